"""Several runs side by side: same samples, other shapes, no common samples; numbers against slow ones."""

import dataclasses
import io
import json
import re
import shutil

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm

from analyses.comparing.analysed_runs import counted_nouns, open_runs, shared_nouns
from analyses.comparing.answer import compare_runs, hold_against_levels
from analyses.comparing.page import TABLES, _side_by_side, write_comparison
from analyses.comparing.sentences import sentences
from analyses.comparing.tables import COMPARED_CHANGES
from analyses.report import main
from analyses.reporting.terminal import print_summary
from analyses.reporting.write import analyze
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

QUICK = {
    "analysis": {"permutations": 9, "decodability": False, "hypotheses": [], "correlations": [], "strata": []},
    "visualization": {"formats": ["json"]},
}
SHAPE = {"num_samples": 40, "num_layers": 2, "num_heads": 3, "num_clusters": 15, "num_shards": 2}


def written(path, shift=0.0, **changes):
    write_run(path, **(SHAPE | changes))
    if shift:
        head = (pl.col("layer") == 1) & (pl.col("head") == 2) & (pl.col("query_group") == "decision")
        moved = pl.when(head).then(pl.col("mass_profit") + shift).otherwise("mass_profit").cast(pl.Float32)
        edit_table(path, "head_stats", lambda frame: frame.with_columns(mass_profit=moved))
    add_metadata(path, QUICK)
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The same samples: as they were, with one head moved and other noise, in another shape, and other samples."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [
        written(folder / "first"),
        written(folder / "moved", shift=0.3),
        written(folder / "deeper", num_layers=3),
        written(folder / "others", seed=5),
    ]
    edit_table(paths[3], "samples", lambda f: f.with_columns(sample_id=pl.lit("other ") + pl.col("sample_id")))
    for name in ("head_stats", "baselines", "decision_top_keys"):
        edit_table(paths[3], name, lambda f: f.with_columns(sample_id=pl.lit("other ") + pl.col("sample_id")))
    noise = np.random.default_rng(3)

    def noisy(frame):
        values = noise.normal(0, 0.05, len(frame)).astype(np.float32)
        return frame.with_columns(mass_number=pl.col("mass_number") + pl.Series(values))

    edit_table(paths[1], "head_stats", noisy)
    assert main([str(path) for path in paths]) == 0
    add_metadata(paths[0], QUICK | {"visualization": {"formats": ["svg"]}})  # pictures of the comparison alone
    write_comparison(paths)
    return paths, compare_runs(open_runs(paths))


def test_a_moved_head_is_found_and_the_others_are_not(compared):
    _, found = compared
    changes = found.changes.filter(other_run="moved", statistic="mass_profit", query_group="decision")
    moved = changes.filter(layer=1, head=2)
    assert moved["difference"][0] == pytest.approx(0.3, abs=1e-5)
    others = changes.filter(~((pl.col("layer") == 1) & (pl.col("head") == 2)))
    assert others["difference"].abs().max() < 1e-6


def test_changes_are_those_of_statsmodels(compared):
    """CR2 by hand for one head: an intercept, clusters of samples."""
    paths, found = compared
    row = found.changes.filter(other_run="moved", statistic="mass_number", query_group="decision", layer=0, head=1)
    values = [
        pl.read_parquet(path / "shards" / "*" / "head_stats.parquet")
        .filter(query_group="decision", layer=0, head=1)
        .sort("sample_id")["mass_number"]
        .to_numpy()
        .astype(float)
        for path in paths[:2]
    ]
    samples = pl.read_parquet(paths[0] / "shards" / "*" / "samples.parquet").sort("sample_id")
    cluster = samples["cluster"].to_numpy()
    change = values[1] - values[0]
    assert row["difference"][0] == pytest.approx(change.mean(), rel=1e-5)
    error = (row["ci_high"][0] - row["ci_low"][0]) / 2
    robust = sm.OLS(change, np.ones(len(change))).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    assert error == pytest.approx((robust.conf_int()[0][1] - robust.conf_int()[0][0]) / 2, rel=0.15)
    assert row["num_samples"][0] == 40 and row["num_clusters"][0] == len(set(cluster))


def test_pairs_say_what_can_be_compared(compared):
    _, found = compared
    pairs = {row["other_run"]: row for row in found.pairs.to_dicts()}
    same = pairs["moved"]
    assert same["is_same_shape"] and same["num_samples"] == 40 and same["share_same_answer"] == 1
    assert same["difference"] == 0 and same["accuracy"] == same["accuracy_other"]
    assert same["num_tests"] == 6 * 3 * 26 and same["rho"] > 0.8 and same["share_same_type"] > 0.5
    assert not pairs["deeper"]["is_same_shape"] and "2 x 3 and 3 x 3" in pairs["deeper"]["note"]
    assert pairs["others"]["num_samples"] == 0 and "no samples of the same id" in pairs["others"]["note"]
    assert set(found.changes["other_run"]) == {"moved"}


def test_sentences_claim_what_passes_and_nothing_else(compared):
    """Equal answers and a constant shift, which has no p, are no findings; a small p and a count are."""
    _, found = compared

    def claims(pairs):
        said = sentences(dataclasses.replace(found, pairs=pairs.filter(other_run="moved")), 0.05)
        return {claim.family: claim for line in said for claim in line.claims if "moved" in claim.subject}, " ".join(
            said
        )

    nothing, text = claims(found.pairs)
    assert set(nothing) == {"changes of heads"} and not nothing["changes of heads"].is_finding
    assert "no interval: the difference is the same everywhere" in text
    unsure = {"pvalue": 0.04, "difference": 0.1, "ci_low": 0.01, "ci_high": 0.19, "level_answers": 0.025}
    nothing, text = claims(found.pairs.with_columns(**{name: pl.lit(value) for name, value in unsure.items()}))
    assert not nothing["answers of runs"].is_finding and "is not shown" in text
    numbers = unsure | {"pvalue": 0.001, "num_changed": 3}
    something, text = claims(found.pairs.with_columns(**{name: pl.lit(value) for name, value in numbers.items()}))
    assert all(claim.is_finding for claim in something.values()) and "one is right more often" in text
    assert something["answers of runs"].direction == "higher" and something["changes of heads"].count == 3


def test_a_copy_is_said_to_be_one_and_counts_keep_to_their_labels(tmp_path):
    """Of what passes every check some replicates, never more; p has the format of all p."""
    written(tmp_path / "one", planted={("decision", "mass_profit", 1, 2): 0.1})
    analyze(tmp_path / "one")
    runs = open_runs([tmp_path / "one", shutil.copytree(tmp_path / "one", tmp_path / "copy")])
    found = compare_runs(runs)
    assert (found.runs["num_replicated"] <= found.runs["num_significant"]).all()
    said = " ".join(sentences(found, 0.05))
    assert "0 of 0" not in said and re.search(r"; ([\d,]+) of \1 are exactly 0", said)
    page = _side_by_side(found.runs, [True, True])
    (smallest,) = [values for label, values in page if label == "Smallest adjusted p"]
    assert all(re.fullmatch(r"0\.\d+|1|< 0\.0001", value) for value in smallest)


def test_answers_and_changes_of_all_pairs_share_alpha():
    """A p of 0.02 passes alone and, among four families with it, does not."""
    few = COMPARED_CHANGES.empty()
    one = pl.DataFrame({"pvalue_adjusted": [0.02], "pvalue_ranks_adjusted": [0.01], "is_unchanged": [True]})
    pairs = [({"pvalue": 0.02, "num_tested": 1}, one, one), ({"pvalue": 0.3, "num_tested": 1}, few, one)]
    hold_against_levels(pairs, 0.05)
    assert [pair["num_changed"] for pair, _, _ in pairs] == [0, 0] and pairs[0][0]["level_answers"] == 0.0125
    alone = [({"pvalue": None, "num_tested": 1}, few, one)]
    hold_against_levels(alone, 0.05)
    assert alone[0][0]["num_changed"] == 1 and alone[0][0]["num_unchanged"] == 0  # never both


def test_layers_are_compared_by_relative_depth(compared):
    _, found = compared
    depths = found.layers.group_by("run").agg(pl.col("depth").unique().sort())
    by_run = dict(depths.iter_rows())
    assert by_run["first"] == [0, 1] and by_run["deeper"] == [0, 0.5, 1]


def test_tables_page_and_charts_are_written(compared):
    paths, found = compared
    folder = paths[0] / "analysis"
    page = (folder / "compared_runs.html").read_text()
    said = sentences(found, 0.05)
    assert all(sentence.split(":")[0] in page for sentence in said)
    stored = json.loads((folder / "compared_runs.json").read_text())
    assert stored["findings"] == said and len(stored["claims"]) == sum(len(sentence.claims) for sentence in said)
    for table in TABLES:
        schema = pq.read_schema(folder / "tables" / f"{table.name}.parquet")
        assert schema.metadata[b"grain"] and all(field.metadata[b"description"] for field in schema)
    charts = {path.stem for path in (folder / "visualizations").glob("compared_*.svg")}
    assert charts == {"compared_layers", "compared_types", "compared_heads_1", "compared_changes_1", "compared_heads_3"}


def test_a_comparison_is_the_same_every_time(compared):
    paths, _ = compared
    drawn = paths[0] / "analysis" / "visualizations" / "compared_types.svg"
    before = drawn.read_bytes()
    write_comparison(paths)
    assert drawn.read_bytes() == before


def called(path, nouns):
    """Give a run other nouns."""
    add_metadata(path, QUICK | {"analysis": QUICK["analysis"] | {"nouns": nouns}})
    return path


@pytest.mark.parametrize(
    ("others", "said", "unsaid"),
    [
        pytest.param(
            {"statement": "review", "cluster": "author"}, ("on the review", r"in \d+ authors"), ("statement",), id="all"
        ),
        pytest.param(
            {"cluster": "writer"}, ("on the statement", r"in \d+ clusters"), ("review", "author", "writer"), id="none"
        ),
        pytest.param({"statement": "review"}, ("on the review", r"in \d+ clusters"), ("statement", "author"), id="one"),
    ],
)
def test_the_page_calls_things_as_all_of_its_runs_do_and_else_by_their_default(
    compared, tmp_path, others, said, unsaid
):
    first, second = (shutil.copytree(path, tmp_path / path.name) for path in compared[0][:2])
    called(first, {"statement": "review", "cluster": "author"})
    called(second, others)
    page = write_comparison([first, second]).read_text()
    words = page[page.index("<main>") :].partition('id="themes"')[0] + "".join(
        re.findall(r"data-specification=[^>]*>(.*?)</script>", page)
    )
    words = re.sub(r"mass_\w+|<summary>.*?</details>", "", words, flags=re.DOTALL)
    assert all(re.search(word, words) for word in said)
    assert not any(word in words for word in unsaid)


def test_samples_and_clusters_are_counted_in_the_shared_words(compared, tmp_path):
    paths = [shutil.copytree(path, tmp_path / path.name) for path in compared[0][:2]]
    for path in paths:
        called(path, {"sample": "question", "cluster": "exam"})
    runs = open_runs(paths)
    assert shared_nouns(runs) == {"sample": "question", "cluster": "exam"}
    text = " ".join(map(str, sentences(compare_runs(runs), 0.05, counted_nouns(runs))))
    assert "40 questions in common" in text and counted_nouns(runs).cluster == "exam"


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_the_summary_is_the_same_on_a_terminal_and_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    result = analyze(written(tmp_path / "run"))
    screen, plain = Screen(), io.StringIO()
    for stream in (screen, plain):
        print_summary(result.facts, result.headlines, result.report, partial="PARTIAL RUN: half", stream=stream)
    assert "╭" in screen.getvalue() and "╭" not in plain.getvalue()
    shown = " ".join(screen.getvalue().replace("│", " ").split())
    for line in (*result.headlines, "PARTIAL RUN: half"):
        assert line in plain.getvalue() and line.split(".")[0][:60] in shown
    assert len(result.headlines) >= 2 and "right in" in result.headlines[0]


def test_markup_of_rich_in_names_is_text(tmp_path):
    screen = Screen()
    print_summary([("Run", "[red]x[/nothing]")], ["[bold]a"], tmp_path, stream=screen)
    assert "[red]x[/nothing]" in screen.getvalue() and "[bold]a" in screen.getvalue()


def test_types_of_unequal_rows_do_not_stand_side_by_side(tmp_path):
    """One run measured the decision token alone: its types come from other rows, which the page says."""
    paths = [written(tmp_path / "whole"), written(tmp_path / "decided", query_groups=("decision",))]
    paths.append(written(tmp_path / "strict"))
    strict = QUICK["analysis"] | {"head_types": {"beginning_mass": 0.9}}
    add_metadata(paths[2], QUICK | {"analysis": strict})
    assert main([str(path) for path in paths]) == 0
    runs = open_runs(paths)
    found = compare_runs(runs)
    assert found.runs["type_rows"].to_list() == ["all tokens", "decision token", "all tokens"]
    assert found.pairs["share_same_type"].to_list() == [None, None]
    page = " ".join((paths[0] / "analysis" / "compared_runs.html").read_text().split())
    assert "Head types come from all tokens in whole and from decision token in decided" in page
    assert "have other thresholds" in page and "Not beside them: decided, strict" in page


@pytest.mark.parametrize(
    ("pvalues", "equivalent", "said", "not_said"),
    [
        ([0.001, 0.001], [True, False], "2 of 2 tested statistics of heads changed", "neither is shown"),
        ([0.001, 0.9], [True, True], "1 of them by less than 0.2 standard deviations", "neither is shown"),
        ([0.001, 0.9], [False, True], "1 are unchanged", "1 of them by less than"),
        (
            [0.9, 0.9],
            [True, False],
            "1 are unchanged, each to within 0.2 standard deviations between samples; of the",
            "more",
        ),
        ([None, 0.9], [None, True], "1 more could not be tested", "neither is shown"),
        ([None, 0.9], [None, True], "1 of them exactly 0", "neither is shown"),
    ],
)
def test_no_change_is_counted_twice_nor_left_out(compared, pvalues, equivalent, said, not_said):
    _, found = compared
    changes = (
        found.changes.filter(other_run="moved")
        .head(2)
        .with_columns(
            pl.Series("difference", [0.0, 0.1]),
            pl.Series("is_unchanged", equivalent),
            *(pl.Series(name, pvalues, pl.Float64) for name in ("pvalue", "pvalue_adjusted", "pvalue_ranks_adjusted")),
        )
    )
    pair = found.pairs.filter(other_run="moved").to_dicts()[0] | {"num_tested": changes["pvalue"].count()}
    hold_against_levels([(pair, COMPARED_CHANGES.empty(), changes)], 0.05)
    pairs = pl.DataFrame([pair], schema=found.pairs.schema)
    text = " ".join(sentences(dataclasses.replace(found, pairs=pairs, changes=changes), 0.05))
    assert said in text and not_said not in text
