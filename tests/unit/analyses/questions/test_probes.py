"""Probes by preset: what is planted before the answer is said to be there before it, and noise is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss

from analyses.inference.held_out.features import Features
from analyses.inference.held_out.scores import held_out_scores
from analyses.inference.held_out.transfer import judged
from analyses.questions.claims import claims_of
from analyses.questions.decodability.presets import asked_probes, preset_features
from analyses.questions.decodability.probe_sentences import FAMILY, probe_sentences
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.columns import SettingsError
from analyses.settings.decodability import DecodabilitySettings
from analyses.settings.visualization import VisualizationSettings
from engine.run import main
from tests.fixtures import planted
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

GROUPS = ("all", "decision", "prompt", "thinking")
NULL_SEEDS = (20, 21, 22)
QUICK = {"permutations": 0, "hypotheses": [], "correlations": [], "strata": []}


@pytest.fixture(scope="module", autouse=True)
def fewer_resamples():
    """A fifth of the bootstraps, whose logistic regressions would take most of the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("analyses.questions.decodability.probes.RESAMPLES", 200)
        yield


def run_of(folder, planted=None, seed=1, num_samples=150, presets=("entropy", "masses"), **changes):
    recipe = {"num_samples": num_samples, "num_layers": 2, "num_heads": 2, "query_groups": GROUPS, "seed": seed}
    run_dir = write_run(folder, planted=planted or {}, **recipe)
    probed = {"targets": ["is_correct"], "permutations": 19, "repeats": 1, "presets": list(presets), **changes}
    add_metadata(run_dir, {"analysis": {**QUICK, "decodability": probed}, "visualization": {"formats": ["json"]}})
    return run_dir


def answers_of(run_dir, other=None):
    run = open_tables(run_dir)
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    transfer = None if other is None else open_tables(other)
    return answer_questions(run, settings, VisualizationSettings.from_mapping({}), transfer=transfer)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The collision of head 1.1 is lower in right answers already at the rows of the prompt."""
    planted = {("prompt", "collision", 1, 1): 0.1}
    return answers_of(run_of(tmp_path_factory.mktemp("planted") / "run", planted))


def test_what_is_planted_in_the_prompt_is_told_before_the_answer(before):
    table = before["probes"]
    heads = table.filter(model="heads")
    assert heads.select("preset", "query_group").rows() == [
        (preset, group) for preset in ("entropy", "masses") for group in ("prompt", "thinking", "decision")
    ]
    found = heads.filter(pl.col("pvalue_adjusted") <= before.level(FAMILY))
    assert found.select("preset", "query_group").rows() == [("entropy", "prompt")]
    row = found.row(0, named=True)
    assert row["auroc"] > 0.8 and row["brier"] < row["base_brier"] and row["difference_ci_low"] > 0
    assert row["slope_ci_low"] < row["slope"] < row["slope_ci_high"] and abs(row["gap"]) < 0.1
    assert row["num_features"] == 4 and row["share"] == pytest.approx(row["num_a"] / row["num_samples"])
    others = table.filter(pl.col("model") != "heads")
    assert others["model"].to_list() == [
        "prompt length",
        "length",
        "margin",
        "surprisal",
        "length, margin, surprisal",
    ]


def test_the_sentence_answers_from_rows_before_the_answer_alone(before):
    first, *others = probe_sentences(before)
    question = "Can the heads tell correct from incorrect before the answer is written? They tell something: "
    assert first.startswith(f"{question}a probe of entropy (Rényi-2) by prompt tokens has AUROC ")
    assert "the surest of 4 probes of rows before the answer" in first
    assert "Known by then without heads: prompt length 0." in first
    assert "known once the answer is written: length 0." in first and "% are correct." in first
    (claim,) = claims_of(first)
    assert claim.is_finding and claim.family == FAMILY and claim.subject == "is_correct before the answer"
    assert sum("tells something" in line for line in others) == 1
    assert sum("not shown to tell" in line for line in others) == 5


def test_what_shows_at_the_decision_alone_is_not_told_before(tmp_path):
    answers = answers_of(run_of(tmp_path / "run", {("decision", "collision", 1, 1): 0.1}, presets=["entropy"]))
    first, *others = probe_sentences(answers)
    assert "before the answer is written? It is not shown: " in first and not claims_of(first)[0].is_finding
    assert next(line for line in others if "tells something" in line).startswith(
        "A probe of entropy (Rényi-2) by decision token: tells something"
    )


def test_nothing_is_claimed_where_nothing_is_planted(tmp_path):
    """In none of three, which a probe that claims in one world of three passes in three of ten."""
    for seed in NULL_SEEDS:
        answers = answers_of(run_of(tmp_path / str(seed), seed=seed, num_samples=100, presets=["entropy"]))
        assert not any(claim.is_finding for line in probe_sentences(answers) for claim in claims_of(line)), seed


def test_presets_are_what_they_say(tmp_path):
    run_dir = run_of(tmp_path / "run", num_samples=30)
    run = open_tables(run_dir)
    stats = run.head_stats.collect().filter(query_group="prompt", layer=1, head=0)
    by_sample = dict(stats.select("sample_id", "collision").iter_rows())
    entropy = preset_features(run, "entropy", "prompt")
    assert entropy.names == [f"{place} Rényi-2 entropy" for place in ("0.0", "0.1", "1.0", "1.1")]
    expected = [-np.log(by_sample[name]) for name in run.samples["sample_id"]]
    np.testing.assert_allclose(entropy.values[:, 2], expected, rtol=1e-6)
    assert "statistics.received" in preset_features(run, "received", "all").problem
    assert "no query group 'answer'" in preset_features(run, "masses", "answer").problem
    masses = preset_features(run, "masses", "decision")
    assert len(masses.names) % 4 == 0 and all("weight on" in name for name in masses.names)
    edit_table(run_dir, "head_stats", lambda frame: frame.with_columns(mass_response=pl.lit(0.25, pl.Float32)))
    derived = preset_features(open_tables(run_dir), "lookback", "decision")
    assert not derived.problem and np.allclose(derived.values, 0.75)
    edit_table(run_dir, "head_stats", lambda frame: frame.with_columns(lookback_ratio=pl.lit(0.6, pl.Float32)))
    run = open_tables(run_dir)
    named = tuple(dict.fromkeys((*run.statistics, "lookback_ratio")))
    own = preset_features(replace(run, statistics=named), "lookback", "decision")
    assert np.allclose(own.values, 0.6)
    edit_table(run_dir, "head_stats", lambda frame: frame.drop("lookback_ratio", "mass_response", strict=False))
    lacking = preset_features(open_tables(run_dir), "lookback", "decision")
    assert "neither 'lookback_ratio' nor 'mass_response'" in lacking.problem


def test_what_keys_receive_is_asked_once_and_never_before_the_answer(tmp_path):
    choices = DecodabilitySettings(presets=("received", "entropy"), preset_query_groups=("prompt", "decision"))
    assert asked_probes(choices) == [("received", "all"), ("entropy", "prompt"), ("entropy", "decision")]
    run_dir = run_of(tmp_path / "run", num_samples=30)
    names = open_tables(run_dir).samples["sample_id"].to_list()
    for shard in sorted((run_dir / "shards").iterdir()):
        own = pl.read_parquet(shard / "samples.parquet")["sample_id"]
        place = {"layer": pl.Series([1], dtype=pl.Int32), "head": pl.Series([0], dtype=pl.Int32)}
        number = own.map_elements(names.index, return_dtype=pl.Int64).cast(pl.Float32) / 100
        heads = pl.DataFrame({"sample_id": own, "sink_score": number}).join(pl.DataFrame(place), how="cross")
        heads.write_parquet(shard / "received_heads.parquet")
        ranks = pl.DataFrame({"rank": pl.Series([0, 1, 7], dtype=pl.Int32)})
        keys = heads.join(ranks, how="cross").with_columns(received=pl.col("sink_score") + pl.col("rank"))
        keys.drop("sink_score").write_parquet(shard / "received_keys.parquet")
    found = preset_features(open_tables(run_dir), "received", "all")
    assert not found.problem and found.values.shape == (30, 6 * 4)
    by_name = dict(zip(found.names, found.values.T, strict=True))
    np.testing.assert_allclose(by_name["1.0 sink score"], np.arange(30) / 100, atol=1e-6)
    np.testing.assert_allclose(by_name["1.0 received by its key of rank 1"], 1 + np.arange(30) / 100, atol=1e-6)
    assert np.isnan(by_name["0.0 sink score"]).all() and np.isnan(by_name["1.0 received by its key of rank 2"]).all()


def test_held_out_log_odds_are_those_of_the_fits_that_never_saw_the_cluster():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(600, 8))
    log_odds = 1.5 * values[:, 3] - 0.5
    labels, cluster = rng.random(600) < 1 / (1 + np.exp(-log_odds)), np.arange(600) // 3
    found = held_out_scores(Features.of(values), labels, cluster, repeats=2, seed=1)
    result = judged(found.log_odds[0], labels, found.base_rates[0], np.zeros((0, 600)))
    share = 1 / (1 + np.exp(-found.log_odds[0]))
    assert result.brier[0] == pytest.approx(brier_score_loss(labels, share))
    # The penalty shrinks: what is predicted is rather too unsure, and right in the large.
    assert 1 < result.slope[0] < 2 and result.gap[0] == pytest.approx(0, abs=0.05)
    assert result.brier[0] < 0.9 * result.base_brier[0]
    # Within a fold the intercept moves nothing, and base rates are those of the other folds.
    for fold in range(5):
        rows = found.folds[0] == fold
        assert np.ptp(found.log_odds[0][rows] - found.scores[0][rows]) < 1e-9
        assert found.base_rates[0][rows] == pytest.approx(labels[~rows].mean())


def test_presets_transfer_to_another_run(tmp_path):
    planted = {("prompt", "collision", 1, 1): 0.1}
    one = run_of(tmp_path / "a", planted, presets=["entropy"], permutations=0)
    answers = answers_of(one, run_of(tmp_path / "b", planted, seed=2))
    rows = answers["transfer"].filter(model="heads", preset="entropy")
    assert rows["query_group"].to_list() == ["prompt", "thinking", "decision"]
    assert rows["auroc"][0] > 0.8 and rows["auroc"][1:].is_between(0.2, 0.8).all()
    assert answers["transfer"].filter(model="heads")["preset"].null_count() == 3


def test_without_presets_nothing_changes_and_twice_is_refused(tmp_path):
    answers = answers_of(run_of(tmp_path / "run", presets=(), num_samples=60))
    assert answers.get("probes") is None and probe_sentences(answers) == [] and FAMILY not in answers.levels
    with pytest.raises(SettingsError, match="stands there twice"):
        AnalysisSettings.from_mapping({"decodability": {"presets": ["entropy", "entropy"]}})


def test_the_plan_says_which_probes_are_not_made(tmp_path, capsys):
    path = planted.write_config(tmp_path, count=6)
    path.write_text(
        path.read_text().replace(
            "analysis: {permutations: 100}", "analysis: {decodability: {presets: [usual, received]}}"
        )
    )
    assert main([str(path), "--stage", "plan"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "preset_query_groups names prompt, thinking, which statistics.query_groups does not" in said
    assert "presets names received, which needs statistics.received: that probe is not made" in said
