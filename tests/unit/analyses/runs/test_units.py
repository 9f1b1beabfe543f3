"""No sample drops out without a word: incomplete and contradictory shards, and what --partial makes of them."""

import shutil
import warnings

import polars as pl
import pytest

from analyses.comparing.analysed_runs import open_runs
from analyses.comparing.answer import compare_runs
from analyses.query import run_query
from analyses.questions.overview.facts import run_facts
from analyses.report import main
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.runs.units import LeftOut, RunError
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, seal, write_run

QUICK = {"permutations": 9, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}
CONFIG = {"analysis": QUICK, "visualization": {"formats": []}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    write_run(path, num_samples=40, num_layers=2, num_heads=2, num_clusters=15, num_shards=2)
    add_metadata(path, CONFIG)
    return path


@pytest.fixture
def copied(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copied")


def edit_shard(run_dir, name, edit, shard=1):
    path = run_dir / "shards" / f"measure-{shard:05d}" / f"{name}.parquet"
    edit(pl.read_parquet(path)).write_parquet(path)


def damage(run_dir, kind):
    unit = run_dir / "shards" / "measure-00001"
    if kind.startswith("without "):
        (unit / f"{kind.removeprefix('without ')}.parquet").unlink()
    elif kind == "empty folder":
        shutil.rmtree(unit)
        unit.mkdir()
    elif kind == "cut file":
        content = (unit / "head_stats.parquet").read_bytes()
        (unit / "head_stats.parquet").write_bytes(content[: len(content) // 2])
    elif kind == "damaged pages":
        content = bytearray((unit / "head_stats.parquet").read_bytes())
        content[8:400] = b"x" * 392
        (unit / "head_stats.parquet").write_bytes(bytes(content))
    elif kind == "fewer samples measured":
        edit_shard(run_dir, "head_stats", lambda f: f.filter(~pl.col("sample_id").is_in(["s00025", "s00031"])))
    elif kind == "fewer samples known":
        edit_shard(run_dir, "samples", lambda f: f.filter(pl.col("sample_id") != "s00025"))
    elif kind == "a row twice":
        edit_shard(run_dir, "head_stats", lambda f: pl.concat([f, f.sample(3, seed=1)]))
    elif kind == "a sample twice":
        edit_shard(run_dir, "samples", lambda f: pl.concat([f, f.head(1)]))
    elif kind == "null head":
        head = pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise(pl.col("head"))
        edit_shard(run_dir, "head_stats", lambda f: f.with_columns(head=head))
    elif kind == "null id":
        edit_shard(run_dir, "samples", lambda f: f.with_columns(sample_id=pl.lit(None, dtype=pl.String)))


DAMAGES = {
    "without head_stats": ("head_stats.parquet is missing", 20),
    "without samples": ("samples.parquet is missing", 20),
    "without baselines": ("baselines.parquet is missing", 20),
    "empty folder": ("samples.parquet is missing", 0),
    "cut file": ("head_stats.parquet is not a readable Parquet file", 20),
    "damaged pages": ("its tables cannot be read", 20),
    "fewer samples measured": ("samples.parquet has 2 of its 20 samples that head_stats.parquet lacks", 20),
    "fewer samples known": ("head_stats.parquet has 1 of its 20 samples that samples.parquet lacks", 19),
    "a row twice": ("head_stats.parquet has 3 of 243 rows", 20),
    "a sample twice": ("samples.parquet has 21 rows of 20 samples", 20),
    "null head": ("head_stats.parquet has 1 of 240 rows", 20),
    "null id": ("samples.parquet has rows without a sample_id", 1),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_an_incomplete_shard_is_refused_by_name_or_left_out_and_counted(copied, kind, capsys):
    damage(copied, kind)
    problem, num_samples = DAMAGES[kind]
    with pytest.raises(RunError) as refused:
        open_tables(copied)
    text = str(refused.value)
    assert f"{copied}/shards/measure-00001: {problem}" in text and "--partial" in text and "\n" not in text
    tables = open_tables(copied, partial=True)
    assert tables.is_partial and tables.is_finished and len(tables.samples) == 20
    assert tables.left_out.num_samples == num_samples and list(tables.left_out.problems) == ["measure-00001"]
    assert str(tables.left_out).startswith("1 incomplete shard with ")
    assert tables.head_stats.select(pl.col("sample_id").n_unique()).collect().item() == 20


@pytest.mark.parametrize(("number", "end"), [(5, "u4: gone)"), (7, "u4: gone; and 2 more)")])
def test_five_of_the_incomplete_shards_are_named(number, end):
    assert str(LeftOut({f"u{place}": "gone" for place in range(number)}, 9)).endswith(end)


def test_report_page_and_stderr_say_what_was_left_out(copied, capsys):
    damage(copied, "without head_stats")
    assert main([str(copied)]) == 3
    assert "20 samples" in capsys.readouterr().err and not (copied / "analysis").exists()
    assert main([str(copied), "--partial"]) == 0
    told = "1 incomplete shard with 20 samples left out (measure-00001: head_stats.parquet is missing"
    assert told in capsys.readouterr().err
    assert told in (copied / "analysis" / "report.html").read_text()
    text = " ".join((copied / "analysis" / "analysis_summary_report.txt").read_text().split())
    assert told in text and "Analysed: 20 samples" in text


def test_uncommitted_shards_of_an_unfinished_run_are_counted(copied, capsys):
    seal(copied)
    (copied / "_SUCCESS").unlink()
    (copied / "shards" / "measure-00001" / "manifest.json").unlink()
    assert main([str(copied), "--partial"]) == 0
    assert "20 samples left out (measure-00001: not committed" in capsys.readouterr().err


def test_no_complete_shard_is_refused_even_when_partial(copied):
    for unit in (copied / "shards").iterdir():
        (unit / "head_stats.parquet").unlink()
    with pytest.raises(RunError, match="no shard is complete"):
        open_tables(copied, partial=True)


def test_shards_with_other_columns_or_types_are_refused_by_name(copied):
    edit_shard(copied, "head_stats", lambda f: f.rename({"mass_profit": "mass_gain"}))
    with pytest.raises(RunError, match=r"measure-00001/head_stats.*lacks mass_profit and has beside them mass_gain"):
        open_tables(copied)
    edit_shard(copied, "head_stats", lambda f: f.rename({"mass_gain": "mass_profit"}).cast({"mass_profit": pl.Float64}))
    with pytest.raises(RunError, match=r"another type mass_profit \(double, not float\)"):
        open_tables(copied)


def test_a_run_without_samples_is_refused_in_words_and_without_warnings(copied, capsys):
    for name in ("samples", "head_stats", "baselines", "decision_top_keys"):
        edit_table(copied, name, lambda frame: frame.clear())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main([str(copied)]) == 3
    error = capsys.readouterr().err
    assert "the run measured no sample; every row was rejected (no_decision 3)" in error
    assert len(error.strip().splitlines()) == 1
    assert run_query(copied, "SELECT COUNT(*) AS n FROM rejects")["n"].to_list() == [3]


def test_a_run_given_twice_is_analysed_once(copied, capsys, monkeypatch):
    monkeypatch.chdir(copied.parent)
    assert main([str(copied), copied.name]) == 0
    printed = capsys.readouterr()
    assert "copied: given twice; a run is analysed once" in printed.err and printed.out.count("report.html") == 1
    assert not (copied / "analysis" / "compared_runs.html").exists()
    assert len(compare_runs(open_runs([copied])).runs) == 1


def test_rejects_stay_the_contracts_table_after_the_analysis(copied):
    expected = ["sample_id", "stage", "reason", "detail"]
    assert run_query(copied, "SELECT * FROM rejects").columns == expected
    result = analyze(copied)
    assert run_query(copied, "SELECT * FROM rejects").columns == expected
    counts = run_query(copied, "SELECT * FROM reject_counts")
    assert counts.rows() == [("label", "no_decision", 3)]
    tables = result.directory / "tables"
    assert not (tables / "rejects.parquet").exists()
    for name in ("rejects", "samples"):
        shutil.copy(tables / "reject_counts.parquet", tables / f"{name}.parquet")
        assert "sample_id" in run_query(copied, f"SELECT * FROM {name}").columns
    (copied / "rejects.parquet").unlink()
    (tables / "rejects.parquet").unlink()
    answer = run_query(copied, "SELECT * FROM rejects")
    assert answer.columns == expected and answer.is_empty()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"analysis": {"covariates": ["nope"]}}, "analysis.covariates[0]: 'nope' is not a column of samples"),
        ({"analysis": {"groups": ["cluster"]}}, "which of them to compare"),
        ({"analysis": {"cluster_by": "company"}}, "analysis.cluster_by"),
        (
            {"visualization": {"color_schemes": {"sequential": "nope"}}},
            "'nope' is an unknown colour scheme",
        ),
        ({"visualization": {"figure_sizes": {"width": "x"}}}, "visualization.figure_sizes.width"),
    ],
)
def test_a_wrong_setting_exits_with_2_before_anything_is_written(copied, config, words, capsys):
    add_metadata(copied, config)
    assert main([str(copied)]) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1
    assert not (copied / "analysis").exists()
    with pytest.raises(ValueError, match=r".") as refused:
        analyze(copied)
    assert type(refused.value).__module__.startswith("analyses.")


def test_infinite_statistics_are_refused_by_name(copied):
    edit_shard(copied, "head_stats", lambda f: f.with_columns(max_weight=pl.lit(float("inf"), dtype=pl.Float32)))
    with pytest.raises(RunError, match="max_weight of head_stats holds infinite values"):
        analyze(copied)


def test_ids_that_are_numbers_and_odd_folder_names_are_read(copied):
    for name in ("samples", "head_stats", "baselines", "decision_top_keys"):
        edit_table(copied, name, lambda f: f.with_columns(pl.col("sample_id").str.slice(1).cast(pl.Int64)))
    odd = copied.rename(copied.with_name("run [1] model=x"))
    assert analyze(odd).num_tests > 0
    samples = open_tables(odd).samples
    assert samples["sample_id"].dtype == pl.String and "run [1] model" not in samples.columns
    assert run_query(odd, "SELECT COUNT(*) AS n FROM head_types")["n"].to_list() == [4]
    assert len(compare_runs(open_runs([odd])).runs) == 1


@pytest.mark.parametrize("text", ["config: 3", "config: {run: [1], model: x, key_groups: [a]}", "- 1", "", "seed: -4"])
def test_a_foreign_run_yaml_gives_defaults_and_no_traceback(copied, text):
    (copied / "run.yaml").write_text(text)
    tables = open_tables(copied)
    assert tables.seed == 0
    assert run_facts(tables, AnalysisSettings())[0] == ("Run", "copied")
