"""The whole analysis: its files, its words, odd runs, and failures that leave nothing broken behind."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm

from analyses.questions.overview.answer import accuracy
from analyses.report import main
from analyses.reporting.findings import CAVEAT
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.runs.units import RunError
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

CHARTS = {
    "head_map",
    "difference_map",
    "volcano",
    "replication",
    "head_type_map",
    "head_types_by_layer",
    "key_group_weight",
    "key_group_lift",
    "figures_lift",
    "decision_top_tokens",
    "layer_profile",
    "segment_flow",
    "decodability",
    "correlations",
    "head_distribution",
    "head_lift",
    "hypotheses",
    "summary_map",
}
"""Of a run without causes and texts."""

NO_PICTURES = {"analysis": {"permutations": 99, "decodability": False}, "visualization": {"formats": ["json"]}}
FEW_FITS = {"folds": 3, "repeats": 1, "permutations": 2, "screened": 10}
BARE = {
    "analysis": {"permutations": 9, "decodability": False, "hypotheses": [], "correlations": [], "strata": []},
    "visualization": {"formats": []},
}
"""For tests that are about no question: an analysis in half the time."""
SHAPE = {"num_samples": 60, "num_layers": 2, "num_heads": 3, "num_clusters": 25, "num_shards": 2}
HOSTILE = ["<script>alert(1)</script>", "</script><b>", "\u202eright to left", "😀", "a" * 300, "\x00\n\t'\"&amp;", ""]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """A run with everything in it, analysed with pictures."""
    run_dir = write_run(
        tmp_path_factory.mktemp("runs") / "full", planted={("decision", "mass_profit", 1, 2): 0.15}, **SHAPE
    )
    add_metadata(run_dir, {"analysis": {"permutations": 99, "decodability": FEW_FITS}})
    return run_dir, analyze(run_dir)


@pytest.fixture
def plain(tmp_path):
    """A run that is quick to analyse."""
    run_dir = write_run(tmp_path / "plain", **SHAPE)
    add_metadata(run_dir, NO_PICTURES)
    return run_dir


@pytest.fixture
def bare(plain):
    """A run that is quicker still: of what it asks, nothing but the differences is left."""
    add_metadata(plain, BARE)
    return plain


def test_every_promised_file_is_there(analysed):
    run_dir, result = analysed
    folder = run_dir / "analysis"
    assert result.directory == folder and result.report.exists() and result.summary.exists()
    tables = {path.stem for path in (folder / "tables").iterdir()}
    assert {
        "group_differences",
        "head_types",
        "layer_profiles",
        "key_group_attention",
        "head_means",
        "accuracy",
    } <= tables
    charts = {path.stem for path in (folder / "visualizations").iterdir()}
    assert charts == CHARTS
    for name in charts:
        for suffix, start in (("html", b"<!doctype"), ("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")):
            content = (folder / "visualizations" / f"{name}.{suffix}").read_bytes()
            assert content.startswith(start) and len(content) > 2000, (name, suffix)
    assert not [path for path in run_dir.iterdir() if path.name.startswith(".")], "a temporary folder was left behind"


def test_pictures_hold_their_marks(analysed):
    """A chart whose data did not arrive still renders; its axes would be empty."""
    run_dir, _ = analysed
    pictures = run_dir / "analysis" / "visualizations"
    assert (pictures / "head_map.svg").read_text().count('aria-roledescription="rect mark"') == 6
    assert (pictures / "difference_map.svg").read_text().count('aria-roledescription="rect mark"') == 6
    assert "replicated" in (pictures / "difference_map.svg").read_text()
    assert (pictures / "volcano.svg").read_text().count('aria-roledescription="point"') > 400
    assert "correct" in (pictures / "key_group_weight.svg").read_text()
    for path in pictures.glob("*.svg"):
        assert "NaN" not in path.read_text() and "undefined" not in path.read_text(), path.name


def test_the_json_files_keep_the_old_keys(analysed):
    run_dir, _ = analysed
    attention = json.loads((run_dir / "analysis" / "attention_analysis_results.json").read_text())
    assert {"correct_predictions", "incorrect_predictions", "attention_patterns"} <= set(attention)
    assert attention["correct_predictions"]["num_samples"] + attention["incorrect_predictions"]["num_samples"] == 60
    weights = attention["correct_predictions"]["key_group_attention"]["decision"]["profit"]["mass"]
    assert weights["ci_low"] < weights["mean"] < weights["ci_high"]
    compared = json.loads((run_dir / "analysis" / "comparison_analysis_results.json").read_text())
    assert attention["verification"] == compared["verification"] == "not verified: no plan"
    assert "Integrity: not verified: no plan" in (run_dir / "analysis" / "analysis_summary_report.txt").read_text()
    old = {"financial_attention_differences", "head_specialization_differences", "statistical_differences"}
    assert old <= set(compared) and compared["caveat"] == CAVEAT
    family = compared["statistical_differences"]["is_correct"]
    assert family["num_significant"] >= 1 and family["num_tests"] == 6 * 3 * 26
    assert family["strongest"][0]["statistic"] == "mass_profit"


def test_the_text_says_what_the_table_says(analysed):
    run_dir, result = analysed
    table = pl.read_parquet(run_dir / "analysis" / "tables" / "group_differences.parquet")
    best = table.sort("pvalue").row(0, named=True)
    text = " ".join((run_dir / "analysis" / "analysis_summary_report.txt").read_text().split())
    told = f"Head {best['layer']}.{best['head']} (decision token) looks at profit terms {best['lift']:.2f} times"
    assert told in text and ": weight on profit terms is" in text
    assert f"{100 * best['difference']:+.1f} points" in text
    assert f"n = {best['num_a']} and {best['num_b']} in {best['num_clusters']} clusters" in text
    assert CAVEAT.split(".")[0] in text and "rejected at label, no_decision: 3" in text
    assert result.num_significant == (table["pvalue_adjusted"] <= 0.05).sum()
    assert result.sentences[0].startswith(f"Comparison is_correct: {result.num_significant}")


def test_tables_explain_themselves(analysed):
    run_dir, _ = analysed
    for path in (run_dir / "analysis" / "tables").iterdir():
        schema = pq.read_schema(path)
        assert schema.metadata[b"grain"], path.name
        for field in schema:
            assert (field.metadata or {}).get(b"description") or path.stem == "head_means", (path.name, field.name)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.external, self.tags, self.scripts = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("src", "href", "data", "action") and value and not value.startswith("#"):
                self.external.append((tag, value))


def read_links(path):
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def test_the_page_needs_no_network_and_holds_the_script_once(analysed):
    run_dir, result = analysed
    page = result.report.read_text(encoding="utf-8")
    links = read_links(result.report)
    assert links.external == []
    assert page.count("window.vegaEmbed=") == 1
    assert links.scripts == 2 + len(CHARTS) + 3, "themes, the atlas, one per chart, the bundle, the page's own two"
    assert "default-src 'none'" in page and not re.search(r"@import|url\(", page.split("</style>")[0])
    assert read_links(run_dir / "analysis" / "visualizations" / "volcano.html").external == []


def test_hostile_text_is_shown_and_not_run(plain):
    edit_table(
        plain,
        "decision_top_keys",
        lambda frame: frame.with_columns(token=pl.Series([HOSTILE[slot % 7] for slot in range(len(frame))])),
    )
    edit_table(
        plain, "samples", lambda frame: frame.with_columns(decision_token=pl.lit("<img src=x onerror=alert(1)>"))
    )
    config = NO_PICTURES | {"run": {"name": "<script>alert(2)</script>", "seed": 1}}
    (plain / "run.yaml").write_text(json.dumps({"config": config}))
    result = analyze(plain)
    links = read_links(result.report)
    assert links.scripts == 2 + len(CHARTS - {"decodability"}) + 3 and links.external == [] and "img" not in links.tags
    page = result.report.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(2)" in page and "<script>alert" not in page


def test_a_partial_run_says_so_on_top(bare):
    (bare / "_SUCCESS").unlink()
    with pytest.raises(RunError, match="--partial"):
        analyze(bare)
    result = analyze(bare, partial=True)
    assert 'class="partial"' in result.report.read_text() and "PARTIAL RUN" in result.summary.read_text()
    assert not (bare / "_SUCCESS").exists()


def odd_run(run_dir, oddity):
    if oddity == "one label":
        edit_table(
            run_dir, "samples", lambda f: f.with_columns(is_correct=pl.lit(True), actual_label="predicted_label")
        )
    elif oddity == "labels unknown":
        nothing = [pl.lit(None, dtype=pl.String).alias(name) for name in ("actual_label", "predicted_label")]
        edit_table(run_dir, "samples", lambda f: f.with_columns(*nothing, is_correct=pl.lit(None, dtype=pl.Boolean)))
    elif oddity == "no optional tables":
        for path in (run_dir / "shards").glob("*/*.parquet"):
            if path.stem not in ("samples", "head_stats"):
                path.unlink()
        (run_dir / "rejects.parquet").unlink()  # nor is there a plan
    elif oddity == "null statistics":
        blank = [
            pl.lit(None, dtype=pl.Float32).alias(name) for name in ("mass_financial", "entropy_nats", "first_token")
        ]
        edit_table(run_dir, "head_stats", lambda f: f.with_columns(blank))
    elif oddity == "all statistics null":
        edit_table(
            run_dir,
            "head_stats",
            lambda f: f.with_columns(pl.lit(None, dtype=pl.Float32).alias(n) for n in f.columns[4:]),
        )
    elif oddity == "no cluster":
        nothing = pl.lit(None, dtype=pl.String).alias("cluster"), pl.lit(None, dtype=pl.Int32).alias("year")
        edit_table(run_dir, "samples", lambda f: f.with_columns(nothing))
    elif oddity == "no vocabulary":
        edit_table(run_dir, "head_stats", lambda f: f.select([n for n in f.columns if not n.startswith("mass_")]))
    elif oddity == "zero baselines":
        edit_table(
            run_dir,
            "baselines",
            lambda f: f.with_columns(pl.lit(0.0, dtype=pl.Float32).alias(n) for n in f.columns[3:]),
        )


DRAWN = ("null statistics", "zero baselines")
"""Of the odd runs, those whose numbers could leave holes in charts that the run does have."""


@pytest.mark.parametrize(
    "oddity",
    [
        "one label",
        "labels unknown",
        "no optional tables",
        "null statistics",
        "all statistics null",
        "no cluster",
        "no vocabulary",
        "zero baselines",
    ],
)
def test_odd_runs_get_a_report_that_explains_what_is_absent(tmp_path, oddity):
    run_dir = write_run(tmp_path / "odd", **SHAPE)
    kind = "svg" if oddity in DRAWN else "json"
    add_metadata(
        run_dir, {"analysis": {"permutations": 19, "decodability": FEW_FITS}, "visualization": {"formats": [kind]}}
    )
    odd_run(run_dir, oddity)
    result = analyze(run_dir)
    text = " ".join(result.summary.read_text().split())
    expected = {
        "one label": "each group needs at least two",
        "labels unknown": "0 correct and 0 incorrect",
        "no optional tables": "The run kept no decision_top_keys",
        "all statistics null": "No statistic could be tested",
        "no vocabulary": "The run has no vocabulary",
    }.get(oddity, "Comparison is_correct")
    assert expected in text
    if oddity == "no cluster":
        said = text + result.report.read_text()
        assert "year held fixed" not in said and "or the year" not in said, "no year is known there"
    pictures = list((run_dir / "analysis" / "visualizations").glob(f"*.{kind}"))
    assert pictures and all("NaN" not in path.read_text() for path in pictures)


def test_one_sample_is_reported_without_a_p(tmp_path):
    """And a run without run.yaml gets every default."""
    run_dir = write_run(tmp_path / "one", num_samples=1, num_layers=2, num_heads=2, num_shards=1, num_clusters=1)
    result = analyze(run_dir)
    assert result.num_tests == 0 and "n = 1" in result.summary.read_text()
    assert read_links(result.report).scripts >= 3


def test_few_samples_are_called_few(tmp_path):
    run_dir = write_run(tmp_path / "few", num_samples=12, num_layers=2, num_heads=2, num_shards=1)
    add_metadata(run_dir, BARE)
    assert any(sentence.startswith("Beware") for sentence in analyze(run_dir).sentences)


def test_a_failed_analysis_leaves_the_earlier_one_and_success_and_the_next_replaces_it(bare, monkeypatch, capsys):
    first = analyze(bare)
    content = first.report.read_text()
    with monkeypatch.context() as broken:
        broken.setattr("analyses.reporting.write.text_report", lambda *_: 1 / 0)
        broken.setattr("analyses.reporting.content.make_figures", lambda answers: ([], {}))  # nor is this about charts
        assert main([str(bare)]) == 1
    errors = capsys.readouterr().err
    assert "division by zero" in errors and "Traceback" not in errors and len(errors.strip().splitlines()) == 1
    assert first.report.read_text() == content and (bare / "_SUCCESS").exists()
    assert not [path for path in bare.iterdir() if path.name.startswith(".")]
    (bare / "analysis" / "stale.txt").write_text("from an earlier version")
    analyze(bare)
    assert first.report.exists() and not (bare / "analysis" / "stale.txt").exists()


def test_exit_codes_and_messages(plain, tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 3
    assert "no such directory" in capsys.readouterr().err
    (plain / "run.yaml").write_text("config: {analysis: {alpha: 7}}")
    assert main([str(plain)]) == 2
    assert "analysis.alpha: 7 is not allowed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        main([])
    assert usage.value.code == 2


def test_several_runs_are_compared(tmp_path, capsys):
    runs = []
    for name, heads in (("small", 2), ("large", 3)):
        runs.append(write_run(tmp_path / name, **(SHAPE | {"num_heads": heads})))
        add_metadata(runs[-1], BARE)
    assert main([str(path) for path in runs]) == 0
    page = runs[0] / "analysis" / "compared_runs.html"
    assert str(page) in capsys.readouterr().out
    links = [value for _, value in read_links(page).external]
    assert links == ["report.html", "../../large/analysis/report.html"]
    table = pl.read_parquet(runs[0] / "analysis" / "tables" / "compared_runs.parquet")
    assert table["num_heads"].to_list() == [4, 6]


def test_accuracy_by_hand(plain):
    tables = open_tables(plain)
    found = accuracy(tables, AnalysisSettings()).rows_by_key("measure", named=True, unique=True)
    samples = tables.samples
    assert found["accuracy"]["value"] == pytest.approx(samples["is_correct"].mean())
    recalls = samples.group_by("actual_label").agg(pl.col("is_correct").mean())["is_correct"]
    assert found["balanced accuracy"]["value"] == pytest.approx(recalls.mean())
    assert found["accuracy"]["method"] == "clustered" and found["accuracy"]["num_clusters"] < 60
    is_up = (samples["actual_label"] == "increase").cast(float).to_numpy()
    columns = np.column_stack([is_up, 1 - is_up])
    fit = sm.OLS(samples["is_correct"].cast(float).to_numpy(), columns).fit(
        cov_type="cluster", cov_kwds={"groups": samples["cluster"].to_numpy()}, use_t=True
    )
    low, high = fit.t_test([0.5, 0.5]).conf_int()[0]
    balanced = found["balanced accuracy"]
    assert balanced["ci_high"] - balanced["ci_low"] == pytest.approx(high - low, rel=0.02)
    for row in found.values():
        assert 0 <= row["ci_low"] < row["value"] < row["ci_high"] <= 1


def test_the_command_line_runs_without_torch_or_ray(bare):
    """Nor does it load what predictions are made with, and queries parsed, before there are any."""
    code = (
        "import sys, analyses.query; from analyses.report import main; code = main([sys.argv[1]]); "
        "loaded = {'torch', 'ray', 'transformers', 'sklearn', 'sqlglot'} & set(sys.modules); "
        "assert not loaded, loaded; raise SystemExit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bare)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout and done.stderr == ""


def test_importing_the_package_is_light():
    code = "import sys; import analyses; assert not {'polars', 'numpy', 'altair'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_comparison_by_another_column(bare):
    groups = ["is_correct", {"name": "certainty", "column": "certainty", "a": "High", "b": "Low"}]
    add_metadata(bare, BARE | {"analysis": BARE["analysis"] | {"groups": groups}})
    result = analyze(bare)
    table = pl.read_parquet(result.directory / "tables" / "group_differences.parquet")
    assert table["comparison"].unique().sort().to_list() == ["certainty", "is_correct"]
    assert "Comparison certainty" in result.summary.read_text()
    add_metadata(bare, BARE | {"analysis": BARE["analysis"] | {"groups": []}})
    assert "No comparison is configured" in analyze(bare).summary.read_text()
