"""What sentences claim as data: every kind of claim in a world where it is true and in one where it is not."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import polars as pl
import pytest

from analyses.questions.causes.values import causal_blocks
from analyses.questions.claims import PRIMARY, Claim, Sentence, claims_of, shared_levels
from analyses.questions.decodability.answer import drawn_samples
from analyses.questions.differences.question import Differences
from analyses.questions.differences.sentences_beyond_heads import beside_heads
from analyses.questions.differences.story import comparison_headlines, difference_tiles
from analyses.questions.families import is_certain, is_significant
from analyses.reporting.analysis import answer_questions
from analyses.reporting.findings import claims, findings, level_lines
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from tests.benchmarks.null_worlds import claims_in
from tests.benchmarks.worlds import ALONE, EVEN, GIANT, VERY_FEW, World, write_world
from tests.fixtures.synthetic_run import add_causes, add_metadata, edit_table, write_run

CHOICES = {"targets": ["is_correct"], "statistics": ["mass_revenue"], "folds": 3, "repeats": 1, "permutations": 19}
HELD_OUT = {"decodability": CHOICES}
HYPOTHESIS = {"hypotheses": [{"name": "more", "key_group": "revenue", "group": "is_correct", "scale": "value"}]}
QUIET = {"correlations": [], "hypotheses": []}
DRIFT_ALONE = {"correlations": ["year"], "hypotheses": []}


@pytest.mark.parametrize(
    ("kind", "true", "false", "analysis"),
    [
        ("difference", World(planted={"head": 1.5}), World(), QUIET),
        ("stretch", World(ALONE, planted={"layer": 0.9}), World(ALONE), QUIET),
        ("interaction", World(ALONE, planted={"interaction": 1.5}), World(ALONE, planted={"head": 0.3}), QUIET),
        ("correlation", World(drift=True), World(), DRIFT_ALONE),
        ("hypothesis", World(ALONE, planted={"layer": 1.2}), World(ALONE), HYPOTHESIS | {"correlations": []}),
        ("order", World(ALONE, planted={"order": 1.0}), World(ALONE), QUIET),
        ("prediction", World(ALONE, planted={"head": 2.0}), World(ALONE), QUIET | HELD_OUT),
    ],
    ids=["difference", "stretch", "interaction", "correlation", "hypothesis", "order", "prediction"],
)
def test_a_claim_is_made_where_it_is_true_and_not_where_it_is_false(kind, true, false, analysis):
    found = [claim for claim in claims_in(true, 3, analysis) if claim.kind == kind]
    assert found and all(claim.pvalue <= claim.level for claim in found)
    assert not [claim for claim in claims_in(false, 3, analysis) if claim.kind == kind]


def answers_of(run_dir, **planted):
    write_world(run_dir, World(ALONE, planted=planted), 4)
    settings = AnalysisSettings.from_mapping({"permutations": 199} | QUIET)
    return answer_questions(open_tables(run_dir), settings, VisualizationSettings.from_mapping({}))


def test_the_top_says_what_differs_where_no_head_does(tmp_path):
    answers = answers_of(tmp_path / "run", interaction=1.2)
    (headline,) = comparison_headlines(answers)
    assert "no head is shown to differ" in headline and not headline.is_finding
    assert re.search(r"But in \d+ tests? the difference depends on what the model said\.$", headline)
    (tile,) = difference_tiles(answers)
    assert "the difference depends on what the model said" in tile.beside
    of_layer = answers_of(tmp_path / "layer", layer=0.9)
    assert beside_heads(of_layer, "is_correct") == "with heads averaged, 1 stretch of layers differs"
    assert not beside_heads(answers_of(tmp_path / "null"), "is_correct")


def claims_on_causes(run_dir, kind=""):
    """Return what is claimed, found or not, of a run whose effects are noise, but for a head that carries the lead."""
    write_run(run_dir, num_samples=90, num_layers=2, num_heads=2, seed=1)
    add_causes(run_dir, 2, 2)
    if kind:
        right = open_tables(run_dir).samples.select("sample_id", "is_correct")
        path = run_dir / "shards" / "causal-00000" / "interventions.parquet"
        frame = pl.read_parquet(path).join(right, on="sample_id", maintain_order="left")
        before = pl.col("logit_difference") - pl.col("change")
        size = pl.when("is_correct").then(-1.5).otherwise(-0.5) if kind == "contrast" else pl.lit(-1.0)
        here = (pl.col("layer") == 1) & (pl.col("head") == 0)
        change = pl.when(here).then(size * before.sign()).otherwise(0) + pl.col("change")
        frame = frame.with_columns(change=change.cast(pl.Float32), logit_difference=(before + change).cast(pl.Float32))
        frame.drop("is_correct").write_parquet(path)
    settings = AnalysisSettings(permutations=999, decodability=False, strata=(), **QUIET)
    told = findings(answer_questions(open_tables(run_dir), settings, VisualizationSettings()))
    return [claim for lines in told.values() for line in lines for claim in claims_of(line)]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return claims_on_causes(tmp_path_factory.mktemp("noise") / "run")


@pytest.mark.parametrize("kind", ["effect", "contrast"])
def test_claims_on_causes(tmp_path, noise, kind):
    """Effects of pure noise are none; a head that carries the lead has one, and another where answers are wrong."""
    made = claims_on_causes(tmp_path / "run", kind)
    assert any("head 1.0" in claim.subject for claim in made if claim.kind == kind and claim.is_finding)
    assert not any(claim.kind == kind and claim.is_finding for claim in noise)
    assert any(claim.kind == "effect" for claim in noise)


def test_below_twelve_clusters_no_stretch_is_claimed_and_that_is_said(tmp_path):
    run = open_tables(write_world(tmp_path / "run", World(VERY_FEW, planted={"layer": 2.0}), 0, QUIET))
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    told = " ".join(findings(answer_questions(run, settings, VisualizationSettings()))["difference_map"])
    assert "stretches of layers could not be tested: 8 clusters: fewer than 12" in told


def test_drift_is_claimed_by_nobody_where_the_year_is_held_fixed(tmp_path):
    world = World(EVEN, 0.3, drift=True)
    analysis = {"correlations": [], "hypotheses": HYPOTHESIS["hypotheses"]}
    assert not claims_in(world, 0, analysis)
    free = claims_in(world, 0, analysis | {"held_fixed": []})
    assert {claim.kind for claim in free} >= {"difference", "hypothesis"}, "without it, drift looks like a finding"
    run = open_tables(write_world(tmp_path / "run", world, 0, analysis))
    answers = answer_questions(run, AnalysisSettings.from_mapping(run.config["analysis"]), VisualizationSettings())
    row = answers["hypotheses"].row(0, named=True)
    assert row["pvalue"] < 0.001 < row["pvalue_fixed"] and row["verdict"] == "not decided"
    assert "with year held fixed" in " ".join(findings(answers)["hypotheses"])


def test_families_share_a_level_by_holm():
    levels = shared_levels({"a": 0.001, "b": 0.04, "c": 0.02, "d": float("nan")}, 0.06)
    assert (
        levels["a"] == pytest.approx(0.02) and levels["c"] == pytest.approx(0.03) and levels["b"] == pytest.approx(0.06)
    )
    stopped = shared_levels({"a": 0.03, "b": 0.04, "c": 0.001}, 0.05)
    assert stopped["c"] == pytest.approx(0.05 / 3) and stopped["a"] == stopped["b"] == pytest.approx(0.025)
    assert shared_levels({}, 0.05) == {}


def test_a_sentence_is_text_that_keeps_its_claims():
    claim = Claim("difference", PRIMARY, "is_correct", is_finding=True, pvalue=0.01, level=0.05)
    line = Sentence("It differs.", claim)
    assert line == "It differs." and json.dumps([line]) == '["It differs."]' and line.startswith("It")
    assert claims_of(line.with_text("Other words.")) == (claim,) and claims_of("plain") == ()
    (placed,) = claims_of(line.placed("heads", "difference_map"))
    assert (placed.chapter, placed.part) == ("heads", "difference_map")
    (listed,) = claims({"difference_map": [line, "plain"]})
    assert listed["sentence"] == "It differs." and listed["pvalue"] == 0.01


def test_the_report_states_both_levels_and_its_json_lists_the_claims(tmp_path):
    run_dir = write_run(
        tmp_path / "run", num_samples=90, num_layers=2, num_heads=2, planted={("decision", "mass_profit", 1, 1): 0.2}
    )
    add_metadata(
        run_dir,
        {"analysis": {"permutations": 199, "decodability": False, **QUIET}, "visualization": {"formats": ["json"]}},
    )
    made = analyze(run_dir)
    results = json.loads((made.directory / "comparison_analysis_results.json").read_text())
    found = [one for one in results["claims"] if one["is_finding"] and one["family"] == PRIMARY]
    assert found and all(one["sentence"] in results["findings"][one["part"]] for one in found)
    assert results["levels"]["primary"] == 0.05 and max(results["levels"]["further"].values()) <= 0.05
    text = " ".join(made.summary.read_text().split())
    assert "What counts as a finding" in text and "are the primary family, at level 0.05: something was found" in text
    assert "share a second level of 0.05" in made.report.read_text()
    assert made.headlines[0].startswith("The model is right in")
    assert level_lines(
        answer_questions(
            open_tables(run_dir), AnalysisSettings(permutations=9, decodability=False, **QUIET), VisualizationSettings()
        ),
        {},
    )[0].count("nothing was found")


def test_a_head_of_noise_is_compared_without_itself(tmp_path):
    """Its noise is in s, so taking it away lowers the lead on average; without it, it does nothing."""
    run_dir = write_run(tmp_path / "run", num_samples=600, num_layers=2, num_heads=2)
    add_causes(run_dir, 2, 2)
    ids = open_tables(run_dir).samples["sample_id"]
    own = np.random.default_rng(0).normal(size=(len(ids), 4))
    s = own.sum(axis=1)
    places = np.tile(np.arange(4), len(ids))
    rows = pl.DataFrame({"sample_id": np.repeat(ids, 4), "s": np.repeat(s, 4), "own": own.ravel(), "place": places})
    for name, changed in (("interventions", -pl.col("own")), ("attributions", pl.col("own"))):
        path = run_dir / "shards" / "causal-00000" / f"{name}.parquet"
        frame = pl.read_parquet(path).with_columns(place=2 * pl.col("layer") + pl.col("head"))
        frame = frame.join(
            rows.with_columns(place=pl.col("place").cast(frame.schema["place"])), on=["sample_id", "place"]
        )
        if name == "interventions":
            new = {"change": changed.cast(pl.Float32), "logit_difference": (pl.col("s") + changed).cast(pl.Float32)}
        else:
            new = {"dla": changed.cast(pl.Float32), "head_gradient": changed.cast(pl.Float32)}
        frame.with_columns(**new).drop("s", "own", "place").write_parquet(path)
    samples = pl.DataFrame({"sample_id": ids, "logit_difference": s.astype(np.float32)})
    edit_table(
        run_dir,
        "samples",
        lambda f: f.drop("logit_difference").join(samples, on="sample_id", maintain_order="left"),
    )
    kinds = set()
    for block in causal_blocks(open_tables(run_dir)):
        kind = block.keys["kind"][0]
        if kind in ("ablation", "dla", "head_gradient"):
            kinds.add(kind)
            assert (np.abs(np.nanmean(block.measures["lead"], axis=0)) > 0.25).all()
            assert (np.abs(np.nanmean(block.without, axis=0)) < 0.13).all()
    assert kinds == {"ablation", "dla", "head_gradient"}


def test_one_giant_cluster_does_not_keep_all_others_out_of_the_draw():
    """Whole clusters are drawn up to 4,000 samples; one that does not fit used to end the draw."""
    sizes = np.r_[3000, np.full(1000, 3)]
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(20):
        kept, note = drawn_samples(np.ones(len(cluster), dtype=bool), cluster, seed)
        assert 3990 <= kept.sum() <= 4000 or (kept.sum() >= 3000 and not kept[cluster == 0].any())
        assert "whole clusters" in note
        assert all(kept[cluster == code].all() or not kept[cluster == code].any() for code in (0, 1, 500))


@pytest.mark.parametrize(("sizes", "is_marked"), [(GIANT, True), (ALONE, False)], ids=["one giant", "alone"])
def test_intervals_of_means_are_called_approximate_where_one_cluster_dominates(tmp_path, sizes, is_marked):
    run = open_tables(write_world(tmp_path / "run", World(sizes, planted={"order": 1.0}), 0, QUIET))
    settings = AnalysisSettings.from_mapping(run.config["analysis"] | {"permutations": 0})
    answers = answer_questions(run, settings, VisualizationSettings())
    assert answers.mean_interval == ("approximate 95 % interval" if is_marked else "95 % interval")


def test_charts_sentences_and_json_count_at_the_level_of_the_comparison(tmp_path):
    """A second comparison has a share of the second alpha only, wherever its findings are counted."""
    planted = {("decision", "mass_profit", place // 4, place % 4): 0.01 + 0.001 * place for place in range(16)}
    run_dir = write_run(tmp_path / "run", num_samples=90, num_layers=4, num_heads=4, planted=planted)
    groups = ("is_correct", {"name": "again", "column": "is_correct", "a": True, "b": False})
    sections = {"permutations": 199, "decodability": False, "groups": groups, "correction": "fdr_bh", "strata": ()}
    settings = AnalysisSettings.from_mapping(sections | QUIET)
    answers = answer_questions(open_tables(run_dir), settings, VisualizationSettings())
    tests = answers["group_differences"]
    levels = dict(tests.select("comparison", "level").unique().iter_rows())
    assert levels["is_correct"] == 0.05 and levels["again"] == answers.level("heads, again") < 0.05
    counts = dict(tests.filter(is_significant()).group_by("comparison").len().iter_rows())
    at_alpha = dict(tests.filter(is_certain(0.05)).group_by("comparison").len().iter_rows())
    assert 0 < counts["again"] < at_alpha["again"] == at_alpha["is_correct"]
    (chart,) = [figure for figure in Differences().figures(answers) if figure.name == "volcano"]
    (mapped,) = [figure for figure in Differences().figures(answers) if figure.name == "difference_map"]
    drawn = json.dumps(chart.specification)
    told = " ".join(str(line) for line in Differences().sentences(answers)["difference_map"])
    for name, number in counts.items():
        assert f"{name}: {number} of " in drawn
        assert re.search(rf"Comparison {name}: {number} of [\d,]+ tests (is|are) significant", told), told
    (cells,) = mapped.specification["datasets"].values()
    marks = pl.read_csv(io.StringIO(cells), infer_schema_length=None).filter(comparison="again").select("^.*@mark$")
    assert sum((marks[name].fill_null(0) > 0).sum() for name in marks.columns) == counts["again"]
