"""Held-out prediction from heads: no leak, nothing found where nothing is, the planted found beyond the baselines."""

import shutil
import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from analyses.inference.held_out import scores as module
from analyses.inference.held_out.features import Features, Moments
from analyses.inference.held_out.folds import cluster_counts, deal_folds, permute_labels
from analyses.inference.held_out.scores import aurocs, bootstrap_auroc, held_out_scores
from analyses.questions.decodability.answer import CONTROL, HEADS, decodability
from analyses.questions.decodability.sentences import decodability_sentences
from analyses.questions.decodability.tables import DECODABILITY
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.settings.decodability import DecodabilitySettings
from tests.fixtures.synthetic_run import edit_table, write_run

SETTINGS = AnalysisSettings(permutations=0)
QUICK = DecodabilitySettings(targets=("is_correct",), folds=3, repeats=1, permutations=19, screened=10)


def drawn_clusters(rng, num_samples, num_clusters):
    return np.unique(rng.integers(0, num_clusters, num_samples), return_inverse=True)[1]


def test_auroc_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores, is_a = rng.integers(0, 9, (70, 3)).astype(float), rng.random(70) < 0.4
    expected = [roc_auc_score(is_a, scores[:, column]) for column in range(3)]
    np.testing.assert_allclose(aurocs(scores, is_a), expected, atol=1e-14)
    assert np.isnan(aurocs(scores, np.ones(70, dtype=bool))).all()


def test_only_pairs_of_the_same_fold_count_and_the_bootstrap_repeats_samples():
    rng = np.random.default_rng(1)
    cluster, is_a = drawn_clusters(rng, 90, 30), rng.random(90) < 0.5
    found = held_out_scores(Features.of(rng.normal(size=(90, 4))), is_a, cluster, num_folds=3, repeats=2, seed=5)
    counts = cluster_counts(cluster, 4, 0)
    value, resampled = bootstrap_auroc(found, is_a, counts)

    def by_loop(weights):
        concordant = pairs = 0.0
        for scores, folds in zip(found.scores, found.folds, strict=True):
            for a in np.flatnonzero(is_a):
                for b in np.flatnonzero(~is_a & (folds == folds[a])):
                    weight = weights[a] * weights[b]
                    pairs += weight
                    concordant += weight * ((scores[a] > scores[b]) + 0.5 * (scores[a] == scores[b]))
        return concordant / pairs

    np.testing.assert_allclose([value, *resampled], [by_loop(np.ones(90)), *map(by_loop, counts)], rtol=1e-12)
    for draw in counts:
        assert all(len(set(draw[cluster == code])) == 1 for code in np.unique(cluster)) and draw.sum() > 0


def test_clusters_are_never_split_between_folds():
    rng = np.random.default_rng(2)
    cluster, is_a = drawn_clusters(rng, 200, 60), rng.random(200) < 0.3
    folds = deal_folds(is_a, cluster, 5, 0)
    assert all(len(set(folds[cluster == code])) == 1 for code in np.unique(cluster))
    rates = [is_a[folds == fold].mean() for fold in range(5)]
    assert set(folds) == set(range(5)) and np.ptp(rates) < 0.15


@pytest.mark.parametrize("num_clusters", [11, 60, 400])
def test_folds_share_the_rarer_class_as_evenly_as_clusters_allow(num_clusters):
    rng = np.random.default_rng(20)
    for draw in range(10):
        cluster, is_a = drawn_clusters(rng, 6 * num_clusters, num_clusters), rng.random(6 * num_clusters) < 0.2
        folds = deal_folds(is_a, cluster, 5, draw)
        counts = np.bincount(folds, is_a, minlength=5)
        assert np.ptp(counts) <= np.bincount(cluster, is_a).max()
        assert np.ptp(np.bincount(folds[np.unique(cluster, return_index=True)[1]])) <= 1
    assert not np.array_equal(deal_folds(is_a, cluster, 5, 1), deal_folds(is_a, cluster, 5, 2))


def lasso_by_loop(values, labels, alpha):
    """Coordinate descent from the definition, one weight after another, until nothing moves."""
    weights = np.zeros(values.shape[1])
    for _ in range(3000):
        for column in range(len(weights)):
            rest = labels - values @ weights + values[:, column] * weights[column]
            slope = values[:, column] @ rest / len(labels)
            size = (values[:, column] ** 2).mean()
            weights[column] = np.sign(slope) * max(abs(slope) - alpha, 0) / size
    return weights


def test_the_path_that_chooses_the_penalty_is_the_lasso_and_ranks_as_the_logistic_model_does():
    rng = np.random.default_rng(21)
    features = rng.normal(size=(120, 3)) @ rng.normal(size=(3, 8)) + rng.normal(size=(120, 8))
    is_a = rng.random(120) < 1 / (1 + np.exp(-0.8 * features[:, 0]))
    folds = np.arange(120) % 4
    prepared = Features.of(features)
    moments = Moments(prepared, is_a, folds, 4)
    training = module.Training.outside((1, 2), prepared, is_a, folds, moments, 6)
    found = module.lasso_scores(training, folds == 1)
    train = (folds == 0) | (folds == 3)
    values, labels = training.values[train], is_a[train] - is_a[train].mean()
    assert training.slope == pytest.approx(np.abs(values.T @ labels).max(), rel=1e-5)
    for slot, penalty in enumerate(module.PENALTIES):
        weights = lasso_by_loop(values, labels, training.slope / (penalty * len(labels)))
        np.testing.assert_allclose(found[:, slot], training.values[folds == 1] @ weights, atol=2e-3)
        logistic = training.values @ module.logistic_weights(training, penalty)
        assert stats.spearmanr(logistic, training.values @ weights).statistic > 0.99


def test_choosing_features_sees_no_held_out_label():
    """Thousands of columns of noise for eighty samples: choosing among them outside the folds would look like skill."""
    rng = np.random.default_rng(3)
    values = []
    for _ in range(12):
        is_a = rng.random(80) < 0.5
        features = rng.normal(size=(80, 2000))
        found = held_out_scores(Features.of(features), is_a, np.arange(80), num_folds=4, num_screened=10, seed=1)
        values.append(bootstrap_auroc(found, is_a, np.zeros((0, 80)))[0])
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_a_company_that_is_recognised_does_not_help():
    """Features that name the company, labels that hang on it: for companies never seen they tell nothing."""
    rng = np.random.default_rng(4)
    values = []
    for _ in range(8):
        cluster = np.repeat(np.arange(30), 5)
        is_a = (rng.random(30) < 0.5)[cluster]
        features = rng.normal(size=(30, 12))[cluster] + 0.01 * rng.normal(size=(150, 12))
        found = held_out_scores(Features.of(features), is_a, cluster, num_folds=5, seed=2)
        values.append(bootstrap_auroc(found, is_a, np.zeros((0, 150)))[0])
    assert np.mean(values) < 0.6


def test_the_signal_is_found_and_the_right_features_used():
    rng = np.random.default_rng(5)
    is_a = rng.random(300) < 0.5
    features = rng.normal(size=(300, 400))
    features[:, 7] += 1.2 * is_a
    features[::9, 7] = np.nan
    found = held_out_scores(Features.of(features), is_a, np.arange(300) // 3, seed=0)
    value, _ = bootstrap_auroc(found, is_a, np.zeros((0, 300)))
    assert value > 0.7 and found.share_used[7] == 1.0 and found.num_used < 25


def test_units_do_not_matter_and_the_seed_does():
    rng = np.random.default_rng(6)
    cluster, is_a = drawn_clusters(rng, 120, 50), rng.random(120) < 0.5
    features = rng.normal(size=(120, 30)) + 0.5 * is_a[:, None]
    first = held_out_scores(Features.of(features), is_a, cluster, num_folds=3, seed=1)
    again = held_out_scores(Features.of(features), is_a, cluster, num_folds=3, seed=1)
    scaled = held_out_scores(Features.of(features * 1e-6 + 3), is_a, cluster, num_folds=3, seed=1)
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_allclose(scaled.scores, first.scores, atol=1e-4)
    assert not np.array_equal(
        held_out_scores(Features.of(features), is_a, cluster, num_folds=3, seed=2).folds, first.folds
    )


def test_permuted_labels_keep_their_number_and_stay_together():
    rng = np.random.default_rng(7)
    cluster = np.repeat(np.arange(60), np.repeat([2, 3, 7], 20))
    is_a = (rng.random(60) < 0.4)[cluster]
    for draw in range(20):
        labels = permute_labels(is_a, cluster, np.random.default_rng(draw))
        assert labels.sum() == is_a.sum()
        assert all(len(set(labels[cluster == code])) == 1 for code in range(60)), "whole clusters are exchanged"
    moved = np.mean([(permute_labels(is_a, cluster, np.random.default_rng(d)) != is_a).mean() for d in range(50)])
    assert moved == pytest.approx(2 * 0.4 * 0.6, abs=0.12)
    uneven = np.repeat(np.arange(12), np.arange(1, 13))
    labels = permute_labels(is_a[: len(uneven)], uneven, np.random.default_rng(0))
    assert labels.sum() == is_a[: len(uneven)].sum()


def test_the_p_value_is_nominal_where_heads_know_nothing():
    """Company-correlated labels and features without any relation; p of the permuted-label control."""
    rng = np.random.default_rng(8)
    pvalues = []
    for trial in range(20):
        cluster = np.repeat(np.arange(24), 3)
        latent = 1.2 * rng.normal(size=24)[cluster] + rng.normal(size=72)
        is_a = latent > 0
        features = Features.of(rng.normal(size=(24, 8))[cluster] + rng.normal(size=(72, 8)))

        def value(labels, seed, features=features, cluster=cluster):
            found = held_out_scores(features, labels, cluster, num_folds=3, num_screened=4, seed=seed)
            return bootstrap_auroc(found, labels, np.zeros((0, 72)))[0]

        controls = [value(permute_labels(is_a, cluster, rng), [trial, number]) for number in range(9)]
        pvalues.append((1 + sum(control >= value(is_a, [trial, 99]) for control in controls)) / 10)
    # 20 p-values of a uniform distribution on 0.1 … 1: 2 at 0.1, 10 up to 0.5, give or take three standard errors.
    assert (np.array(pvalues) <= 0.1).sum() <= 6 and (np.array(pvalues) <= 0.5).sum() in range(4, 17)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    planted = {("decision", "entropy_normalized", 1, 2): 0.03}
    return write_run(path, num_samples=240, num_layers=2, num_heads=3, num_clusters=80, planted=planted, seed=2)


@pytest.fixture
def copied(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "copied")


def test_planted_knowledge_is_found_beyond_every_baseline(run_dir):
    table = decodability(open_tables(run_dir), SETTINGS, QUICK)
    assert table.schema == DECODABILITY.schema
    models = table["model"].to_list()
    assert models == [HEADS, "length", "answer", "margin", "covariates", "all baselines", CONTROL]
    heads = table.filter(pl.col("model") == HEADS).row(0, named=True)
    assert heads["auroc"] > 0.75 and heads["pvalue"] == pytest.approx(1 / 20) and heads["difference_ci_low"] > 0
    assert heads["ci_low"] < heads["auroc"] < heads["ci_high"] and heads["num_features"] == 7 * 6
    assert "1.2 entropy relative to uniform (100 %)" in heads["most_used"]
    control = table.filter(pl.col("model") == CONTROL).row(0, named=True)
    assert control["auroc"] == pytest.approx(0.5, abs=0.06) and control["pvalue"] is None
    (told,) = decodability_sentences(table)
    assert "Do the heads tell correct from incorrect?" in told and "the heads tell more than it does" in told


def test_an_interval_beside_0_that_decides_nothing_says_why(run_dir):
    """Ends of one sign and "not decided" would contradict each other without the level that the claim is held to."""
    quick = DecodabilitySettings(targets=("is_correct",), folds=3, repeats=1, permutations=2)
    table = decodability(open_tables(run_dir), SETTINGS, quick)
    table = table.with_columns(
        difference_ci_low=pl.lit(-0.25), difference_ci_high=pl.lit(-0.04), difference_pvalue=pl.lit(0.007)
    )
    (told,) = decodability_sentences(table, level=0.004)
    assert "not decided which tells more (p = 0.014, its level is 0.004, as one of two claims)" in told


def test_the_same_seed_gives_the_same_table(run_dir):
    quick = DecodabilitySettings(targets=("is_correct",), folds=3, repeats=1, permutations=2)
    first, second = (decodability(open_tables(run_dir), SETTINGS, quick) for _ in range(2))
    assert first.equals(second)


def test_what_the_margin_knows_is_no_news_from_the_heads(copied):
    """A head that only repeats the model's margin: its AUROC is high, the difference to the baseline is not."""
    size = pl.col("logit_difference").abs()
    right = (size + pl.Series(np.random.default_rng(0).normal(0, 0.3, 1)).item()) > size.median()
    samples = open_tables(copied).samples
    margin = samples.select("sample_id", margin=size.rank() / len(samples))
    correct = samples.select("sample_id", fresh=right)

    def labels(frame):
        return frame.join(correct, "sample_id", maintain_order="left").with_columns(is_correct="fresh").drop("fresh")

    edit_table(copied, "samples", labels)
    there = (pl.col("layer") == 0) & (pl.col("head") == 0)
    edit_table(
        copied,
        "head_stats",
        lambda f: (
            f.join(margin, "sample_id", maintain_order="left")
            .with_columns(max_weight=pl.when(there).then("margin").otherwise("max_weight").cast(pl.Float32))
            .drop("margin")
        ),
    )
    table = decodability(open_tables(copied), SETTINGS, QUICK)
    heads = table.filter(pl.col("model") == HEADS).row(0, named=True)
    assert heads["auroc"] > 0.9 and heads["best_baseline"] in ("margin", "all baselines")
    assert heads["difference_ci_low"] <= 0.01 and heads["difference"] < 0.02
    assert "tell more than it does" not in decodability_sentences(table)[0] or heads["difference_ci_low"] > 0


def test_other_targets_and_adjustment_over_them(run_dir):
    certain = {"name": "certain", "column": "certainty", "a": "High", "b": "Low"}
    quick = DecodabilitySettings(
        targets=("is_correct", "predicted_label", certain), folds=3, repeats=1, permutations=9, screened=5
    )
    table = decodability(open_tables(run_dir), SETTINGS, quick)
    heads = table.filter(pl.col("model") == HEADS)
    assert heads["target"].to_list() == ["is_correct", "predicted_label", "certain"]
    expected = stats.false_discovery_control(heads["pvalue"].to_numpy())
    np.testing.assert_allclose(heads["pvalue_adjusted"].to_numpy(), expected)
    assert "margin" not in table.filter(pl.col("target") == "predicted_label")["model"].to_list()


BAD = [
    "two samples",
    "one cluster",
    "one class",
    "NaN",
    "constant",
    "unknown target",
    "no statistic",
    "no query group",
    "three labels",
]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_a_stated_null(tmp_path, kind):
    num_samples = 2 if kind == "two samples" else 60
    path = write_run(tmp_path / "run", num_samples=num_samples, num_layers=1, num_heads=2, num_shards=1)
    choices, reason = QUICK, ""
    if kind in ("NaN", "constant"):
        lit = pl.lit(float("nan") if kind == "NaN" else 0.25, dtype=pl.Float32)
        reason = "no head statistic varies"
        edit_table(path, "head_stats", lambda f: f.with_columns(lit.alias(name) for name in f.columns[4:]))
    elif kind == "one class":
        edit_table(path, "samples", lambda f: f.with_columns(is_correct=pl.lit(True)))
    elif kind == "one cluster":
        edit_table(path, "samples", lambda f: f.with_columns(cluster=pl.lit("only")))
        reason = "1 cluster"
    elif kind == "three labels":
        label = pl.Series(["up", "down", "flat"] * 20)
        edit_table(path, "samples", lambda f: f.with_columns(actual_label=label))
        choices = DecodabilitySettings(targets=("actual_label",))
    elif kind in ("unknown target", "no statistic", "no query group"):
        changes = {"unknown target": {"targets": ("wealth",)}, "no statistic": {"statistics": ("vibes",)}}
        choices = DecodabilitySettings(**changes.get(kind, {"query_group": "nobody"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = decodability(open_tables(path), SETTINGS, choices)
        told = decodability_sentences(table)
    assert table["auroc"].is_null().all() and table["pvalue"].is_null().all() and table["note"].is_not_null().all()
    assert all("Not tested" in sentence for sentence in told) and len(told) == len(choices.targets)
    assert reason in told[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fold": 5}, r"decodability.fold: unknown key \(did you mean analysis.decodability.folds"),
        ({"folds": 2}, "decodability.folds: 2 is not allowed; allowed: a whole number from 3"),
        ({"targets": "is_correct"}, "decodability.targets: 'is_correct' is not a list"),
        ({"permutations": -1}, "from 0"),
        ({"query_group": 3}, "query_group: 3 is not allowed; allowed: text"),
    ],
)
def test_impossible_settings_are_refused_by_path(values, message):
    with pytest.raises(SettingsError, match=message):
        DecodabilitySettings.from_mapping(values)


def test_settings_are_read():
    assert DecodabilitySettings.from_mapping(None) == DecodabilitySettings()
    found = DecodabilitySettings.from_mapping(
        {"targets": ["is_correct"], "statistics": ["entropy_nats"], "folds": 4, "repeats": None}
    )
    assert (
        found.targets == ("is_correct",)
        and found.statistics == ("entropy_nats",)
        and found.folds == 4
        and found.repeats == 3
    )
