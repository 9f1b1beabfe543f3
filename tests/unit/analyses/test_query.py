"""SQL over a run: what is answered, what is refused."""

import polars as pl
import pytest

from analyses.query import QueryError, main, run_query
from analyses.reporting.write import analyze
from tests.fixtures.synthetic_run import add_metadata, write_run

QUICK = {"permutations": 9, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = write_run(tmp_path_factory.mktemp("runs") / "queried", num_samples=30, num_layers=2, num_heads=2)
    add_metadata(path, {"analysis": QUICK, "visualization": {"formats": []}})
    analyze(path)
    return path


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("password\nhunter2\n")
    pl.read_csv(path).write_parquet(tmp_path / "secret.parquet")
    pl.read_csv(path).write_ndjson(tmp_path / "secret.jsonl")
    pl.read_csv(path).write_ipc(tmp_path / "secret.ipc")
    return path.with_suffix("")


def test_a_query_joins_tables_of_shards_and_of_the_analysis(run_dir):
    answer = run_query(
        run_dir,
        "SELECT t.head_type, COUNT(*) AS n, AVG(h.mass_profit) AS profit FROM head_stats h "
        "JOIN head_types t ON h.layer = t.layer AND h.head = t.head "
        "JOIN samples s ON s.sample_id = h.sample_id WHERE s.is_correct AND h.query_group = 'decision' "
        "GROUP BY t.head_type",
    )
    assert answer["n"].sum() == run_query(run_dir, "SELECT COUNT(*) AS n FROM samples WHERE is_correct")["n"][0] * 4


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{secret}.csv')",
        "select * from READ_CSV ('{secret}.csv')",
        "SELECT * FROM \"read_csv\"('{secret}.csv')",
        "SELECT * FROM `read_csv`('{secret}.csv')",
        "SELECT * FROM read_csv/* why not */('{secret}.csv')",
        "SELECT * FROM /* a */ read_csv -- b\n ('{secret}.csv')",
        "SELECT * FROM samples WHERE sample_id IN (SELECT password FROM read_csv('{secret}.csv'))",
        "WITH c AS (SELECT * FROM read_csv('{secret}.csv')) SELECT * FROM c",
        "SELECT * FROM samples UNION ALL SELECT * FROM read_csv('{secret}.csv')",
        "SELECT * FROM samples, read_csv('{secret}.csv')",
        "FROM read_csv('{secret}.csv')",
        "EXPLAIN SELECT * FROM read_csv('{secret}.csv')",
        "SELECT '--' , * FROM read_csv('{secret}.csv')",
        "SELECT '/*', * FROM read_csv('{secret}.csv') -- */",
        "SELECT * FROM read_parquet('{secret}.parquet')",
        "SELECT * FROM read_json('{secret}.jsonl')",
        "SELECT * FROM read_ipc('{secret}.ipc')",
        "SELECT * FROM scan_csv('{secret}.csv')",
        "SELECT * FROM '{secret}.csv'",
        'SELECT * FROM "{secret}.csv"',
        "CREATE TABLE x AS SELECT * FROM read_csv('{secret}.csv')",
        "DROP TABLE samples",
        "DELETE FROM samples",
        "TRUNCATE samples",
        "SELECT 1; SELECT * FROM samples",
        "",
        "nonsense",
        "SELECT nothing FROM samples",
        "SELECT * FROM elsewhere",
    ],
)
def test_everything_but_queries_over_the_runs_tables_is_refused(run_dir, secret, query, capsys):
    with pytest.raises(QueryError) as refused:
        run_query(run_dir, query.format(secret=secret))
    if "(" in query and "{secret}" in query and "CREATE" not in query:
        assert "is refused" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert main([str(run_dir), query.format(secret=secret)]) == 2
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err and "Traceback" not in printed.err


@pytest.mark.parametrize(
    "query", ["(SELECT 1 AS a)", "-- first\nSELECT 1 AS a", "/* so */ with b as (select 1 as a) select * from b"]
)
def test_harmless_spellings_are_answered(run_dir, query):
    assert run_query(run_dir, query)["a"].to_list() == [1]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "jsonl"])
def test_output_by_suffix(run_dir, tmp_path, suffix, capsys):
    path = tmp_path / f"answer.{suffix}"
    assert main([str(run_dir), "SELECT sample_id, flags FROM samples ORDER BY sample_id", "--output", str(path)]) == 0
    readers = {"csv": pl.read_csv, "parquet": pl.read_parquet, "json": pl.read_json, "jsonl": pl.read_ndjson}
    assert readers[suffix](path)["sample_id"].to_list()[:2] == ["s00000", "s00001"]
    assert "30 rows" in capsys.readouterr().out


def test_output_with_another_suffix_is_refused(run_dir, tmp_path, capsys):
    assert main([str(run_dir), "SELECT * FROM samples", "--output", str(tmp_path / "x.xlsx")]) == 2
    assert ".xlsx" in capsys.readouterr().err


def test_schema_lists_tables_columns_and_meanings(run_dir, capsys):
    assert main([str(run_dir), "--schema"]) == 0
    printed = capsys.readouterr().out
    assert "head_stats  (one row per sample, query group, layer and head)" in printed
    assert "Mean over rows of -sum p ln p (Clark et al. 2019); nats; 0..ln n" in printed
    assert "Average marginal effect" in printed or "average marginal effect" in printed


def test_a_plain_table_is_printed(run_dir, capsys):
    assert main([str(run_dir), "SELECT layer, COUNT(*) AS n FROM head_stats GROUP BY layer ORDER BY layer"]) == 0
    assert "| 0     | 180 |" in capsys.readouterr().out


def test_exit_codes(run_dir, tmp_path, capsys):
    assert main([str(tmp_path), "SELECT 1"]) == 3
    assert "not a run directory" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        main([str(run_dir)])
    assert usage.value.code == 2
