"""What passes the fence answers what Polars answers: any name and comment, every query of the docs, every function."""

import re
import shlex

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analyses.query import run_query
from analyses.querying.fence import CALLED, FUNCTIONS, fenced
from tests.fixtures.places import ROOT
from tests.fixtures.synthetic_run import write_run

HARMLESS = {
    "columns": ("SELECT a.read_ratio, scan_count FROM (SELECT 1 AS read_ratio, 2 AS scan_count) AS a", (1, 2)),
    "aliases": ("SELECT 1 AS read_csv, 2 AS \"read_csv('x')\"", (1, 2)),
    "string": ("SELECT 'read_csv(''/etc/passwd'')' AS a", ("read_csv('/etc/passwd')",)),
    "backslash in a name": ('SELECT t."a\\" FROM (SELECT 1 AS "a\\") AS t', (1,)),
    "backslash": ("SELECT 'a\\' AS a, '\\''' AS b", ("a\\", "\\'")),
    "dollars in a string": ("SELECT '$$ {# #} -- /* ;' AS a", ("$$ {# #} -- /* ;",)),
    "comments": ("/* read_csv('x') */ SELECT 1 AS a -- FROM read_csv('y')\n, 2 AS b /*+ read_csv */", (1, 2)),
    "nested comments": ("SELECT 1 /* a /* read_csv('b') */ c */ AS a", (1,)),
    "comments to the end": ("SELECT 1 AS a /* /* */ FROM read_csv('x') -- */", (1,)),
    "MySQL comment": ("SELECT 1 AS a /*! FROM read_csv('x') */", (1,)),
    "comment in ORDER BY": ("SELECT a FROM (SELECT 1 AS a) AS t ORDER /* read_csv('x') */ BY a", (1,)),
    "table of WITH": ("WITH read_csv AS (SELECT 1 AS a) SELECT a FROM read_csv", (1,)),
    "columns of WITH": ("WITH scan_csv(read_a, b) AS (SELECT 1, 2) SELECT read_a, b FROM scan_csv", (1, 2)),
    "columns of VALUES": ("SELECT a, b FROM (VALUES (1, 2)) AS read_json(a, b)", (1, 2)),
    "semicolons at the end": ("SELECT 1 AS a; ;\n", (1,)),
    "umlauts": ("SELECT größe, `größe` AS b FROM (SELECT 1 AS größe) AS t", (1, 1)),
    "words of other statements": ("SELECT grant, t.copy FROM (SELECT 1 AS grant, 2 AS copy) AS t", (1, 2)),
    "dots": ('SELECT t.a * .5 AS a, 5. AS b, "t" . "a" AS c FROM (SELECT 2 AS a) AS t', (1.0, 5.0, 2)),
}


@pytest.mark.parametrize(("query", "row"), HARMLESS.values(), ids=HARMLESS)
def test_names_strings_and_comments_may_hold_anything(small_run, query, row):
    assert run_query(small_run, query).rows() == [row]


def test_columns_of_such_names_in_a_run(tmp_path):
    """What the words' fence of before refused."""
    path = write_run(tmp_path / "run", num_samples=4, num_layers=1, num_heads=1, num_shards=1)
    samples = path / "shards" / "measure-00000" / "samples.parquet"
    pl.read_parquet(samples).with_columns(read_ratio=pl.lit(0.5), scan_count=pl.lit(3)).write_parquet(samples)
    assert run_query(path, "SELECT read_ratio, scan_count FROM samples LIMIT 1").rows() == [(0.5, 3)]


def documented():
    """Every query in README, docs and notebooks."""
    found = {}
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        text = path.read_text()
        commands = [
            shlex.split(line)
            for line in text.splitlines()
            if re.search(r"(?:-m analyses\.|headledger )query ", line) and '"' in line
        ]
        queries = [words[-1] for words in commands if " " in words[-1]]
        queries += re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        found |= {f"{path.name} {slot}": query for slot, query in enumerate(queries)}
    return found


def test_queries_are_found_in_the_docs():
    assert "README.md 0" in documented()


@pytest.mark.parametrize("query", documented().values(), ids=documented())
def test_documented_queries_answer_as_polars_does(run_dir, frames, query):
    expected = pl.SQLContext(frames).execute(query, eager=True)
    assert_frame_equal(run_query(run_dir, query), expected)
    assert expected.height > 0


SAME = r"""
SHOW TABLES
FROM head_types ORDER BY layer, head LIMIT 2
FROM head_types SELECT layer, COUNT(*) AS n GROUP BY layer ORDER BY layer
VALUES (1, 'a'), (2, 'b')
EXPLAIN SELECT layer FROM head_types WHERE layer = 1
((SELECT 1 AS a))
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM b
SELECT * EXCLUDE (flags) FROM samples ORDER BY sample_id
SELECT * REPLACE (layer + 1 AS layer) FROM head_types ORDER BY layer, head
SELECT * EXCLUDE (head) RENAME (layer AS l) FROM head_types ORDER BY l
SELECT * ILIKE '%mass%' FROM head_stats LIMIT 1
SELECT COLUMNS('mass_.*') FROM head_stats LIMIT 1
SELECT DISTINCT ON (layer) layer, head FROM head_stats ORDER BY layer, head
SELECT layer, AVG(entropy_nats) AS e FROM head_stats GROUP BY ALL ORDER BY ALL
SELECT layer, AVG(entropy_nats) AS e FROM head_stats GROUP BY 1 HAVING COUNT(*) > 3 ORDER BY 2 DESC NULLS LAST
SELECT layer, head, COUNT(*) AS n FROM head_stats GROUP BY ROLLUP(layer, head) ORDER BY ALL
SELECT layer, head, COUNT(*) AS n FROM head_stats GROUP BY GROUPING SETS ((layer), (head), ()) ORDER BY ALL
SELECT layer FROM head_stats ORDER BY layer OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY
SELECT layer, head FROM head_types QUALIFY ROW_NUMBER() OVER (PARTITION BY layer ORDER BY head) = 1 ORDER BY layer
SELECT layer, head, AVG(diagonal) OVER w AS s FROM head_types WINDOW w AS (PARTITION BY layer) ORDER BY layer, head
SELECT AVG(mass_profit) FILTER (WHERE layer = 0) AS m, COUNT(*) AS n, COUNT(DISTINCT layer) AS d FROM head_stats
SELECT MEDIAN(entropy_nats), STDDEV(entropy_nats), MIN(entropy_nats), MAX(entropy_nats), SUM(head) FROM head_stats
SELECT QUANTILE_CONT(entropy_nats, 0.9) AS q, CORR(entropy_nats, mass_profit) AS c FROM head_stats
SELECT STRING_AGG(sample_id, ', ' ORDER BY sample_id) AS s FROM samples
SELECT ARRAY_AGG(DISTINCT layer ORDER BY layer DESC LIMIT 2) AS heads FROM head_types
SELECT sample_id, flags, ARRAY_LENGTH(flags) AS n, ARRAY_TO_STRING(flags, ',') AS t FROM samples ORDER BY sample_id
SELECT [1, 2, 3] AS l, ARRAY[4, 5] AS m, [10, 20, 30][1] AS a, ARRAY_CONTAINS([1, 2], 2) AS c
SELECT * FROM UNNEST([1, 2, 3], ['a', 'b', 'c']) AS t(a, b)
SELECT CASE WHEN is_correct THEN 'right' ELSE 'wrong' END AS v, COUNT(*) AS n FROM samples GROUP BY v ORDER BY v
SELECT COALESCE(NULL, 1) AS a, IFNULL(NULL, 2) AS b, NULLIF(1, 1) AS c, GREATEST(1, 2) AS d, IF(1 = 1, 'y', 'n') AS f
SELECT POW(2, 3) AS n, MOD(7, 3) AS p, DIV(7, 2) AS q, PI() AS r, LOG(8, 2) AS l, ATAN2(1, 2) AS a
SELECT 'a' || 'b' AS c, LEFT('abc', 2) AS l, RIGHT('abc', 2) AS m, SUBSTR('abc', 2, 1) AS n, REPLACE('ab', 'a', '') AS r
SELECT POSITION('b' IN 'abc') AS a, SUBSTRING('abc' FROM 2 FOR 1) AS b, TRIM(LEADING 'x' FROM 'xax') AS c
SELECT sample_id FROM samples WHERE sample_id NOT LIKE 's0000%' ORDER BY sample_id
SELECT sample_id FROM samples WHERE sample_id ILIKE 'S0000_' ORDER BY sample_id
SELECT sample_id FROM samples WHERE sample_id ~ '^s0000\d$' AND sample_id !~ '3$' ORDER BY sample_id
SELECT sample_id FROM samples WHERE sample_id ~* '^S0000\d$' AND sample_id !~* '3$' ORDER BY sample_id
SELECT sample_id FROM samples WHERE sample_id NOT RLIKE '^s0000\d$' ORDER BY sample_id
SELECT sample_id FROM samples WHERE sample_id ^@ 's0000' AND sample_id ~~ 's%' AND sample_id !~~* 'X%' ORDER BY 1
SELECT 7 / 2 AS a, 7.0 / 2 AS b, 7 // 2 AS c, 7 % 2 AS d, -7 // 2 AS g, 6 & 3 AS h, 6 | 3 AS i, 6 XOR 3 AS j
SELECT 1 == 1 AS b, 1 != 2 AS c, 1 <> 2 AS d, NULL <=> NULL AS e, 1 IS DISTINCT FROM NULL AS f, NOT TRUE AS g
SELECT layer FROM head_types WHERE layer IN (0, 1) AND head NOT BETWEEN 7 AND 9 AND (layer = 1) IS NOT FALSE
SELECT sample_id FROM samples WHERE sample_id IN (SELECT sample_id FROM head_stats WHERE layer = 1) ORDER BY sample_id
SELECT s.sample_id FROM samples s WHERE EXISTS (SELECT 1 FROM head_stats h WHERE h.sample_id = s.sample_id) ORDER BY 1
SELECT layer, (SELECT MAX(head) FROM head_stats) AS m FROM head_types ORDER BY layer
SELECT head, year FROM head_stats h JOIN samples AS s ON h.sample_id = s.sample_id AND is_correct ORDER BY ALL LIMIT 3
SELECT s.sample_id FROM samples s LEFT JOIN head_stats h USING (sample_id) ORDER BY ALL LIMIT 3
SELECT s.sample_id FROM samples s ANTI JOIN head_stats h USING (sample_id) ORDER BY ALL
SELECT a.layer AS x, b.layer AS y FROM head_types a CROSS JOIN head_types b ORDER BY ALL
SELECT head, n FROM head_types JOIN (SELECT head, COUNT(*) AS n FROM head_stats GROUP BY head) q USING (head) ORDER BY 1
SELECT layer FROM head_types UNION ALL BY NAME SELECT head FROM head_types ORDER BY ALL
SELECT layer FROM head_stats EXCEPT SELECT 0 AS layer
SELECT layer::FLOAT AS a, CAST(layer AS REAL) AS b, layer::TEXT AS c, TRY_CAST('x' AS INT) AS k FROM head_types
SELECT 1::DECIMAL(10, 2) AS a, 'a'::VARCHAR(5) AS b
SELECT DATE '2024-01-02' AS a, TIMESTAMP '2024-01-02 03:04:05' AS b, DATE '2024-01-02' + INTERVAL '1 day' AS c
SELECT EXTRACT(YEAR FROM DATE '2024-03-02') AS a, DATE_PART('month', DATE '2024-03-02') AS b
SELECT STRFTIME(DATE '2024-03-02', '%Y/%m') AS e, layer::UINT8 AS l FROM head_types
SELECT 'NaN'::FLOAT AS a, NULL AS b, 1 / 0 AS c
SELECT layer "l", head `h x` FROM head_types ORDER BY 1, 2
SELECT 1e3 AS a, 1.5 AS b, .5 AS c, 1E-3 AS e, 100000000000 AS f, -1 AS g, - -1 AS h
SELECT layer, head, FROM head_types ORDER BY 1, 2,
SELECT 1, 2 AS b, 'a', COUNT(*) FROM head_types
""".strip().splitlines()
"""One query a line; each is answered as Polars answers it."""


@pytest.mark.parametrize("query", SAME)
def test_answers_are_those_of_polars(run_dir, frames, query):
    expected = pl.SQLContext({**frames, "rejects": pl.LazyFrame()}).execute(query, eager=True)
    assert_frame_equal(run_query(run_dir, query), expected)


def test_every_column_needs_no_quotes(frames):
    context = pl.SQLContext(frames)
    for name, frame in frames.items():
        for column in frame.collect_schema().names():
            query = f"SELECT {column}, x.{column} AS {column}_2 FROM {name} AS x WHERE {column} IS NOT NULL LIMIT 2"
            expected = context.execute(query, eager=True)
            assert_frame_equal(context.execute(fenced(query, frames), eager=True), expected)


def test_functions_are_those_of_polars():
    """A name that Polars does not know would only promise what is not there."""
    unknown = []
    for name in sorted(FUNCTIONS):
        try:
            pl.SQLContext(t=pl.LazyFrame({"a": [1]})).execute(f"SELECT {name}(a) FROM t", eager=True)
        except pl.exceptions.PolarsError as error:
            unknown += [name] if f"unsupported function '{name}'" in str(error) else []
    assert unknown == []
    assert not {name for name in CALLED if name.startswith(("read", "scan"))}
