"""The fence around queries: no spelling reaches a file or a variable of the process."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyses.query import QueryError, main
from analyses.querying.fence import fenced

CANARY = "hunter2"

canary = pl.DataFrame({"password": [CANARY]})
"""A variable of the process, which a query by its name would find if anything looked for it."""

CSV = "read_csv('{secret}.csv')"

OTHER_FUNCTIONS = """
read_text read_blob read_csv_auto read_json_auto read_xlsx scan_csv scan_parquet scan_arrow_ipc parquet_scan
parquet_metadata parquet_schema sniff_csv glob iceberg_scan delta_scan read_delta sqlite_scan query query_table file url
s3 openrowset load_file pg_read_file
"""

ATTACKS = {
    # Polars' own table functions, in every spelling that it knows.
    "csv": f"SELECT * FROM {CSV}",
    "parquet": "SELECT * FROM read_parquet('{secret}.parquet')",
    "ipc": "SELECT * FROM read_ipc('{secret}.ipc')",
    "json": "SELECT * FROM read_json('{secret}.jsonl')",
    "ndjson": "SELECT * FROM read_ndjson('{secret}.jsonl')",
    "capitals": "SELECT * FROM READ_CSV('{secret}.csv')",
    "mixed case": "select * from Read_Csv('{secret}.csv')",
    "double quotes": "SELECT * FROM \"read_csv\"('{secret}.csv')",
    "double quotes, capitals": "SELECT * FROM \"READ_CSV\"('{secret}.csv')",
    "backticks": "SELECT * FROM `read_csv`('{secret}.csv')",
    "brackets": "SELECT * FROM [read_csv]('{secret}.csv')",
    "space": "SELECT * FROM read_csv ('{secret}.csv')",
    "line break": "SELECT * FROM read_csv\r\n\t('{secret}.csv')",
    "odd space": "SELECT * FROM read_csv\u00a0\u2003('{secret}.csv')",
    "comment between": "SELECT * FROM read_csv/* why not */('{secret}.csv')",
    "nested comment": "SELECT * FROM read_csv/* a /* b */ c */('{secret}.csv')",
    "line comment": "SELECT * FROM /* a */ read_csv -- b\n ('{secret}.csv')",
    "hint": "SELECT * FROM read_csv/*+ x */('{secret}.csv')",
    "Jinja comment": "SELECT * FROM read_csv{# x #}('{secret}.csv')",
    "list of files": "SELECT * FROM read_csv(['{secret}.csv'])",
    "pattern": "SELECT * FROM read_csv('{folder}/*.csv')",
    "named argument": "SELECT * FROM read_csv(path => '{secret}.csv')",
    "escape string": "SELECT * FROM read_csv(E'{secret}.csv')",
    "dollar quotes": "SELECT * FROM read_csv($${secret}.csv$$)",
    "tagged dollar quotes": "SELECT * FROM read_csv($a${secret}.csv$a$)",
    "quoted file": 'SELECT * FROM read_csv("{secret}.csv")',
    "of a schema": "SELECT * FROM main.read_csv('{secret}.csv')",
    "URL": "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    # ... wherever a table may stand
    "alias": f"SELECT * FROM {CSV} AS samples",
    "alias with columns": f"SELECT * FROM {CSV} AS t(a)",
    "FROM first": f"FROM {CSV}",
    "joined": f"SELECT * FROM samples JOIN {CSV} AS c ON TRUE",
    "comma": f"SELECT * FROM samples, {CSV}",
    "cross join": f"SELECT * FROM samples CROSS JOIN {CSV} AS c",
    "in parentheses": f"SELECT * FROM ({CSV})",
    "subquery": f"SELECT * FROM (SELECT * FROM {CSV}) AS t",
    "scalar subquery": f"SELECT (SELECT password FROM {CSV}) AS a",
    "IN": f"SELECT * FROM samples WHERE sample_id IN (SELECT password FROM {CSV})",
    "EXISTS": f"SELECT * FROM samples WHERE EXISTS (SELECT 1 FROM {CSV})",
    "ANY": f"SELECT * FROM samples WHERE sample_id = ANY(SELECT password FROM {CSV})",
    "WITH": f"WITH c AS (SELECT * FROM {CSV}) SELECT * FROM c",
    "WITH of its name": f"WITH read_csv AS (SELECT 1 AS a) SELECT * FROM {CSV}",
    "WITH columns of its name": f"WITH read_csv(a) AS (SELECT 1) SELECT * FROM {CSV}",
    "UNION": f"SELECT sample_id FROM samples UNION ALL SELECT password FROM {CSV}",
    "EXCEPT": f"SELECT 'a' AS password EXCEPT SELECT password FROM {CSV}",
    "EXPLAIN": f"EXPLAIN SELECT * FROM {CSV}",
    "EXPLAIN ANALYZE": f"EXPLAIN ANALYZE SELECT * FROM {CSV}",
    "LATERAL": f"SELECT * FROM samples, LATERAL {CSV}",
    "TABLE": f"SELECT * FROM TABLE({CSV})",
    "UNNEST": f"SELECT * FROM UNNEST({CSV}) AS t(a)",
    "in SELECT": f"SELECT {CSV}",
    "in ORDER BY": f"SELECT * FROM samples ORDER BY {CSV}",
    "in VALUES": f"VALUES ({CSV})",
    "in a window": f"SELECT COUNT(*) OVER (PARTITION BY {CSV}) FROM samples",
    "names only": "SELECT * FROM read_csv(sample_id)",
    # Quotes and comments that two parsers might end in different places.
    "backslash and quote": f"SELECT 'a\\', * FROM {CSV} -- '",
    "backslash, quote, quote": f"SELECT 'a\\'' FROM {CSV} --'",
    "escape string before": f"SELECT E'a\\', * FROM {CSV} -- '",
    "raw string before": f"SELECT r'a\\', * FROM {CSV} -- '",
    "national string before": f"SELECT N'a', * FROM {CSV}",
    "Unicode string": f"SELECT U&'\\0027', * FROM {CSV}",
    "dollars around a quote": f"SELECT $$'$$, * FROM {CSV} -- '",
    "dollars around a comment": f"SELECT $a$/*$a$, * FROM {CSV} -- */",
    "comment in a string": f"SELECT '/*', * FROM {CSV} -- */",
    "line comment in a string": f"SELECT '--' , * FROM {CSV}",
    "string in a comment": f"SELECT 1 /* ' */ FROM {CSV} /* ' */",
    "hash comment": f"SELECT 1 # '\n FROM {CSV} # '",
    "slash comment": f"SELECT 1 // '\n FROM {CSV} // '",
    "carriage return": f"SELECT 1 -- \r FROM {CSV}",
    "Jinja around": "{# ' #} SELECT * FROM " + CSV + " {# ' #}",
    "Jinja block": "{% raw %} SELECT * FROM " + CSV + " {% endraw %}",
    "typographic quotes": f"SELECT \u2018, * FROM {CSV} -- \u2019",
    "typographic double quotes": f"SELECT \u201c, * FROM {CSV} -- \u201d",
    "quote in a name": f'SELECT "a\\" , * FROM {CSV} -- "',
    "backtick in a name": f'SELECT `a"` FROM {CSV} -- "',
    "bracket name": f"SELECT ['], * FROM {CSV} -- ']",
    "NUL": f"SELECT 1 \x00 FROM {CSV}",
    "byte order mark": f"\ufeffSELECT * FROM {CSV}",
    "end of text": f"SELECT 1 \x1a FROM {CSV}",
    "line separator": f"SELECT 1 --\u2028 FROM {CSV}\n FROM {CSV}",
    "fullwidth letters": "SELECT * FROM ｒｅａｄ_ｃｓｖ('{secret}.csv')",
    "dotless i": "SELECT * FROM read_\u0131pc('{secret}.ipc')",
    "long s": "SELECT * FROM read_c\u017fv('{secret}.csv')",
    "combining mark": "SELECT * FROM read_csv\u0301('{secret}.csv')",
    "zero-width space": "SELECT * FROM read\u200b_csv('{secret}.csv')",
    # Files named where a table is.
    "file in single quotes": "SELECT * FROM '{secret}.csv'",
    "file in double quotes": 'SELECT * FROM "{secret}.csv"',
    "file in backticks": "SELECT * FROM `{secret}.parquet`",
    "/etc/passwd": "SELECT * FROM '/etc/passwd'",
    "file URL": "SELECT * FROM 'file://{secret}.parquet'",
    "folder and file": 'SELECT * FROM "{folder}"."secret.csv"',
    "up from the run": 'SELECT * FROM "../secret.parquet"',
    "file joined": "SELECT * FROM samples NATURAL JOIN '{secret}.parquet'",
    # Functions of other engines, should Polars ever take them up.
    **{f"{name}()": f"SELECT * FROM {name}('{{secret}}.csv')" for name in OTHER_FUNCTIONS.split()},
    "secrets": "SELECT * FROM duckdb_secrets()",
    "settings": "SELECT * FROM duckdb_settings()",
    "getenv": "SELECT getenv('CANARY_VARIABLE')",
    "getenv of a name": "SELECT getenv(sample_id) FROM samples",
    "current_setting": "SELECT current_setting('temp_directory')",
    "getvariable": "SELECT getvariable('canary')",
    "session variable": "SELECT @canary",
    "global variable": "SELECT @@canary",
    "psql variable": "SELECT :canary",
    "environment in dollars": "SELECT ${CANARY_VARIABLE}",
    "parameter": "SELECT $1",
    "ODBC call": "SELECT {fn read_csv('{secret}.csv')}",
    # Variables of the process, by name.
    "variable of a module": "SELECT * FROM canary",
    "local variable": "SELECT * FROM canary_here",
    "local of the fence": "SELECT * FROM tables",
    "variable joined": "SELECT * FROM samples CROSS JOIN canary",
    "FROM a variable": "FROM canary",
    "catalog": "SELECT * FROM information_schema.tables",
    # Other statements.
    "CREATE": f"CREATE TABLE x AS SELECT * FROM {CSV}",
    "CREATE VIEW": f"CREATE VIEW x AS SELECT * FROM {CSV}",
    "EXPLAIN CREATE": f"EXPLAIN CREATE TABLE x AS SELECT * FROM {CSV}",
    "WITH before INSERT": "WITH c AS (SELECT 1 AS a) INSERT INTO samples SELECT * FROM c",
    "WITH around DELETE": "WITH c AS (DELETE FROM samples RETURNING *) SELECT * FROM c",
    "SELECT INTO": "SELECT * INTO x FROM samples",
    "INTO OUTFILE": "SELECT * FROM samples INTO OUTFILE '{secret}.out'",
    "COPY": "COPY samples TO '{secret}.out'",
    "COPY FROM": "COPY samples FROM '{secret}.csv'",
    "EXPORT": "EXPORT DATABASE '{folder}'",
    "ATTACH": "ATTACH '{secret}.db' AS x",
    "INSTALL": "INSTALL httpfs",
    "LOAD": "LOAD '{secret}.so'",
    "PRAGMA": "PRAGMA database_list",
    "SET": "SET enable_external_access = true",
    "USE": "USE x",
    "CALL": "CALL read_csv('{secret}.csv')",
    "DESCRIBE": f"DESCRIBE SELECT * FROM {CSV}",
    "SUMMARIZE": "SUMMARIZE '{secret}.csv'",
    "SHOW VARIABLES": "SHOW VARIABLES",
    "SHOW TABLES FROM": "SHOW TABLES FROM x",
    "TABLE statement": "TABLE canary",
    "DROP": "DROP TABLE samples",
    "DELETE": "DELETE FROM samples",
    "UPDATE": "UPDATE samples SET year = 1",
    "TRUNCATE": "TRUNCATE samples",
    "ANALYZE": "ANALYZE SELECT 1",
    "two statements": f"SELECT 1; SELECT * FROM {CSV}",
    "statement after SHOW": f"SHOW TABLES; SELECT * FROM {CSV}",
    "statement in a subquery": f"SELECT * FROM (SELECT 1; SELECT * FROM {CSV}) AS t",
    "semicolon first": f"; SELECT * FROM {CSV}",
    # Clauses that other engines have.
    "FOR UPDATE": "SELECT * FROM samples FOR UPDATE",
    "SETTINGS": "SELECT * FROM samples SETTINGS a = 1",
    "FORMAT": "SELECT * FROM samples FORMAT CSV",
    "PIVOT": "SELECT * FROM samples PIVOT (COUNT(*) FOR year IN (2001))",
    "nested deep": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "not closed": "SELECT 'a",
    "comment not closed": "SELECT 1 /* a",
}


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """Files of every format with the canary in them; the path is without its ending."""
    path = tmp_path_factory.mktemp("outside") / "secret"
    canary.write_csv(path.with_suffix(".csv"))
    canary.write_parquet(path.with_suffix(".parquet"))
    canary.write_ndjson(path.with_suffix(".jsonl"))
    canary.write_ipc(path.with_suffix(".ipc"))
    return path


@pytest.mark.parametrize("query", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused(small_run, secret, query, capsys, monkeypatch):
    monkeypatch.setenv("CANARY_VARIABLE", CANARY)
    canary_here = canary  # noqa: F841
    before = sorted(secret.parent.iterdir())
    sql = query.replace("{secret}", str(secret)).replace("{folder}", str(secret.parent))
    assert main([str(small_run), sql]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert CANARY not in printed.err
    assert "password" not in printed.err or "password" in query
    assert sorted(secret.parent.iterdir()) == before


def test_the_attacks_would_work_without_a_fence(secret):
    """Or the list above shows nothing."""
    for kind in ("csv", "parquet", "ipc"):
        answer = pl.SQLContext().execute(f"SELECT * FROM read_{kind}('{secret}.{kind}')", eager=True)
        assert answer["password"][0] == CANARY
    canary_here = canary  # noqa: F841
    assert pl.sql("SELECT * FROM canary_here", eager=True)["password"][0] == CANARY


WORDS = """
SELECT * FROM t read_csv read_csv('/no/such.csv') "read_csv"('/no/such.csv') ( ) '/no/such.csv' ' " ` WITH c AS ( UNION
ALL JOIN ON TRUE AS , a -- /* */ /*+ \\ '' E' N' U&' $$ $a$ {# #} {% %} # ; [ ] { } @ ? :: 1 0x // !~* -> LATERAL TABLE
UNNEST EXPLAIN SHOW TABLES VALUES CASE WHEN count INTERVAL DATE
"""
FRAGMENTS = [*WORDS.split(), "\n", "\r", "\x00", "\u00a0", "\u2019", "\u201d", "\ufeff"]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from(["", " "])), min_size=1, max_size=12))
def test_no_text_makes_polars_look_for_a_file(fragments):
    """What passes names no file that Polars would miss, which it reports as a FileNotFoundError."""
    tables = {"t": pl.LazyFrame({"a": [1, 2]}), "c": pl.LazyFrame({"a": [3]})}
    for sql in ("".join(map("".join, fragments)), "SELECT a " + "".join(map("".join, fragments)) + " FROM t"):
        try:
            query = fenced(sql, tables)
        except QueryError:
            continue
        try:
            pl.SQLContext(tables).execute(query, eager=True)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            assert "No such file" not in str(error)


def test_a_refusal_says_what_why_and_what_to_do(run_dir, capsys):
    assert main([str(run_dir), "SELECT * FROM read_csv('x.csv')"]) == 2
    assert capsys.readouterr().err == (
        "error: 'read_csv()' is refused: it is none of the functions that queries may call. A query reads the run's "
        "tables only; use Polars in Python to join other data.\n"
    )
    assert main([str(run_dir), "SELECT * FROM range(3)"]) == 2
    assert capsys.readouterr().err.startswith("error: 'RANGE(3)' is refused: it is no table of the run. A query")
    assert main([str(run_dir), "SELECT * FROM elsewhere"]) == 2
    assert "there is no table 'elsewhere'. Tables: accuracy, " in capsys.readouterr().err
    assert main([str(run_dir), "SELECT layer head n FROM head_types"]) == 2
    assert "cannot be parsed" in capsys.readouterr().err


LONG_CHAINS = {
    "sums": lambda n: "SELECT " + "+".join(["layer"] * n) + " AS y FROM head_stats",
    "conditions": lambda n: "SELECT * FROM head_stats WHERE " + " OR ".join(["layer = 1"] * n),
    "texts": lambda n: "SELECT " + "||".join(["sample_id"] * n) + " AS y FROM head_stats",
    "cases": lambda n: (
        "SELECT CASE " + " ".join(f"WHEN layer = {i} THEN {i}" for i in range(n)) + " END AS y FROM head_stats"
    ),
    "unions": lambda n: " UNION ALL ".join(["SELECT layer FROM head_stats"] * n),
    "joins": lambda n: (
        "SELECT a0.layer FROM head_stats a0"
        + "".join(f" JOIN head_stats a{i} ON a0.layer = a{i}.layer" for i in range(1, n))
    ),
    "with": lambda n: (
        "WITH c0 AS (SELECT * FROM head_stats)"
        + "".join(f", c{i} AS (SELECT * FROM c{i - 1})" for i in range(1, n))
        + f" SELECT * FROM c{n - 1}"
    ),
    "parentheses": lambda n: "SELECT " + "(" * n + "layer" + ")" * n + " AS y FROM head_stats",
    "calls": lambda n: "SELECT " + "abs(" * n + "layer" + ")" * n + " AS y FROM head_stats",
    "subqueries": lambda n: "SELECT * FROM " + "(SELECT * FROM " * n + "head_stats" + ")" * n,
    "casts": lambda n: "SELECT layer" + "::DOUBLE" * n + " AS y FROM head_stats",
    "not": lambda n: "SELECT * FROM head_stats WHERE " + "NOT " * n + "layer = 1",
}


LONGEST = ("sums", "parentheses", "casts")
"""Chained, nested, and both: of the others, what is refused at a thousand terms is refused for the same reason."""


@pytest.mark.parametrize("name", LONG_CHAINS)
def test_chains_that_would_end_the_process_are_refused(name):
    """With 20,000 terms Polars overflows its stack, which no exception tells of."""
    for count in (1_000, *([20_000] if name in LONGEST else [])):
        with pytest.raises(QueryError, match=r"more than 250 terms|nested too deep"):
            fenced(LONG_CHAINS[name](count), ["head_stats"])
    assert fenced(LONG_CHAINS[name](20), ["head_stats"])


def test_long_lists_are_no_chains():
    values = ", ".join(map(str, range(20_000)))
    assert fenced(f"SELECT * FROM head_stats WHERE layer IN ({values})", ["head_stats"])
    assert fenced(f"SELECT {', '.join(f'layer AS c{i}' for i in range(5_000))} FROM head_stats", ["head_stats"])
