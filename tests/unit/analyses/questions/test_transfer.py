"""Probes trained on one run and judged on another: what is planted in both transfers, noise does not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from analyses.inference.held_out.features import Features
from analyses.inference.held_out.transfer import judged, transferred
from analyses.questions.answers import Asked
from analyses.questions.claims import claims_of
from analyses.questions.decodability.transfer import transfer
from analyses.questions.decodability.transfer_sentences import FAMILY, transfer_sentences
from analyses.report import main
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

QUICK = {
    "permutations": 0,
    "hypotheses": [],
    "correlations": [],
    "strata": [],
    "decodability": {"targets": ["is_correct"], "permutations": 0, "repeats": 1, "query_group": "decision"},
}
GROUPS = ("all", "decision", "prompt")


@pytest.fixture(scope="module", autouse=True)
def fewer_resamples():
    """A fifth of the bootstraps, whose logistic regressions would take most of the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("analyses.questions.decodability.transfer.RESAMPLES", 200)
        yield


def made(rng, num_samples, beta, num_features=30):
    values = rng.normal(size=(num_samples, num_features))
    return values, rng.random(num_samples) < 1 / (1 + np.exp(-beta * values[:, 3]))


@pytest.mark.parametrize(("beta", "low", "high"), [(2.0, 0.75, 0.95), (0.0, 0.35, 0.65)], ids=["planted", "null"])
def test_a_probe_finds_in_new_samples_what_it_was_trained_on(beta, low, high):
    rng = np.random.default_rng(3)
    (first, labels), (second, truth) = made(rng, 300, beta), made(rng, 200, beta)
    cluster = np.arange(500) // 3
    is_training = np.arange(500) < 300
    found = transferred(Features.of(np.vstack([first, second])), np.r_[labels, truth], cluster, is_training)
    again = transferred(Features.of(np.vstack([first, second])), np.r_[labels, ~truth], cluster, is_training)
    np.testing.assert_array_equal(found.log_odds, again.log_odds)  # labels of the judged are not looked at
    auroc = judged(found.log_odds, truth, 0.5, np.zeros((0, 200))).auroc[0]
    assert low < auroc < high
    assert beta == 0 or np.argmax(np.abs(found.weights)) == 3


def test_what_is_judged_equals_reference_implementations():
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    log_odds = rng.normal(size=150)
    labels = rng.random(150) < 1 / (1 + np.exp(-0.5 * log_odds - 0.3))
    counts = rng.integers(0, 3, (4, 150)).astype(float)
    found = judged(log_odds, labels, 0.4, counts)
    share = 1 / (1 + np.exp(-log_odds))
    for place, weights in enumerate(np.vstack([np.ones(150), counts])):
        kept = weights > 0
        rows = (labels[kept], log_odds[kept]), {"sample_weight": weights[kept]}
        assert found.auroc[place] == pytest.approx(roc_auc_score(*rows[0], **rows[1]))
        assert found.brier[place] == pytest.approx(brier_score_loss(labels[kept], share[kept], **rows[1]))
        fitted = sm.GLM(labels.astype(float), sm.add_constant(log_odds), sm.families.Binomial(), freq_weights=weights)
        assert found.slope[place] == pytest.approx(fitted.fit().params[1], abs=1e-6)
        assert found.gap[place] == pytest.approx(np.average(share - labels, weights=weights))
        assert found.base_brier[place] == pytest.approx(np.average((0.4 - labels) ** 2, weights=weights))


def run_of(folder, seed, size, **changes):
    planted = {("decision", "entropy_normalized", 1, 1): size, ("prompt", "entropy_normalized", 1, 1): size}
    recipe = {"num_samples": 160, "num_layers": 2, "num_heads": 2, "query_groups": GROUPS, "seed": seed}
    run_dir = write_run(folder, planted=planted, **recipe | changes)
    add_metadata(run_dir, {"analysis": QUICK, "visualization": {"formats": []}})
    return run_dir


def answers_of(one, other):
    run = open_tables(one)
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    return answer_questions(run, settings, VisualizationSettings.from_mapping({}), transfer=open_tables(other))


def test_heads_of_two_runs_that_share_a_cause_transfer(tmp_path):
    answers = answers_of(run_of(tmp_path / "a", 1, 0.08), run_of(tmp_path / "b", 2, 0.08))
    table = answers["transfer"]
    heads = table.filter(model="heads")
    assert heads["query_group"].to_list() == ["decision", "prompt"] and heads["auroc"].min() > 0.8
    row = heads.row(0, named=True)
    assert row["ci_low"] < row["auroc"] < row["ci_high"] and row["slope_ci_low"] < row["slope"] < row["slope_ci_high"]
    assert row["brier"] < row["base_brier"] and row["num_judged"] == 160 and row["num_shared_clusters"] > 0
    assert set(table["model"]) == {"heads", "length", "margin", "surprisal", "length, margin, surprisal"}
    assert table.filter(model="length")["auroc"].item() == pytest.approx(0.5, abs=0.2)
    decision, prompt = transfer_sentences(answers)
    assert decision.startswith("Do heads trained here tell correct from incorrect in b, by decision token? They tell")
    assert prompt.startswith("Can they before the answer is written (prompt tokens)? They tell something: AUROC ")
    assert "What needs no head, trained alike: length " in prompt and "are in both runs" in prompt
    (claim,) = claims_of(decision)
    assert claim.is_finding and claim.family == FAMILY and claim.value == row["auroc"]


def test_heads_that_know_nothing_elsewhere_claim_nothing(tmp_path):
    answers = answers_of(run_of(tmp_path / "a", 1, 0.08), run_of(tmp_path / "b", 2, 0.0))
    heads = answers["transfer"].filter(model="heads")
    assert heads["auroc"].is_between(0.3, 0.7).all()
    assert not any(claim.is_finding for line in transfer_sentences(answers) for claim in claims_of(line))


def test_p_is_that_of_the_bootstrap_error(tmp_path):
    answers = answers_of(run_of(tmp_path / "a", 1, 0.04), run_of(tmp_path / "b", 2, 0.04))
    row = answers["transfer"].filter(model="heads").row(0, named=True)
    error = (row["ci_high"] - row["ci_low"]) / (2 * stats.norm.ppf(0.975))
    assert row["pvalue"] == pytest.approx(stats.norm.sf((row["auroc"] - 0.5) / error), rel=0.3, abs=1e-4)


def test_runs_of_other_heads_and_too_few_samples_say_why(tmp_path):
    one = run_of(tmp_path / "a", 1, 1.0)
    other = answers_of(one, run_of(tmp_path / "b", 2, 1.0, num_heads=3))
    assert "their heads are not the same" in other["transfer"]["note"][0]
    assert "Not tested: the other run has 2 layers x 3 heads" in transfer_sentences(other)[0]
    few = answers_of(one, run_of(tmp_path / "c", 3, 1.0, num_samples=15))
    assert "of one class; transfer needs 10 of each" in few["transfer"]["note"][0]


def test_the_command_writes_the_table_and_names_a_run_that_is_none(tmp_path, capsys):
    one, other = run_of(tmp_path / "a", 1, 0.08), run_of(tmp_path / "b", 2, 0.08)
    assert main([str(one), "--transfer", str(other)]) == 0
    table = pl.read_parquet(one / "analysis" / "tables" / "transfer.parquet")
    assert set(table["other_run"]) == {"b"} and not (other / "analysis").exists()
    page = (one / "analysis" / "report.html").read_text()
    assert "Can they before the answer is written" in page
    assert main([str(one)]) == 0
    assert not (one / "analysis" / "tables" / "transfer.parquet").exists()
    capsys.readouterr()
    assert main([str(one), "--transfer", str(tmp_path / "nothing")]) != 0
    assert "no such directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("without_clusters", "num_shared"),
    [((), 38), (("a",), 38), (("a", "b"), 160)],
    ids=["by name", "by the ids of one run", "by ids alone"],
)
def test_what_is_remembered_of_shared_clusters_is_no_knowledge(tmp_path, without_clusters, num_shared):
    def edited(frame):
        return frame.with_columns(cluster=pl.lit(None, pl.String))

    runs = [run_of(tmp_path / name, 5, 0.0) for name in "ab"]  # one run, twice
    for run_dir in runs:
        if run_dir.name in without_clusters:
            edit_table(run_dir, "samples", edited)
    run, other = map(open_tables, runs)
    settings = AnalysisSettings.from_mapping(QUICK | {"decodability": QUICK["decodability"] | {"folds": 3}})
    table = transfer(Asked(run, settings, VisualizationSettings.from_mapping({}), (), pl.DataFrame()), other)
    row = table.filter(model="heads").row(0, named=True)
    assert row["auroc"] < 0.65 and row["pvalue"] > 0.05 and row["num_shared_clusters"] == num_shared
