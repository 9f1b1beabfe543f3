"""Parts of held-out prediction beside their definitions: correlations, standard values, penalties, drawn clusters."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analyses.inference.held_out import scores as module
from analyses.inference.held_out.features import Features, Moments, standardised
from analyses.inference.held_out.folds import cluster_counts, permute_labels
from analyses.inference.held_out.transfer import judged, transferred


def features(rng, num_samples=90, missing=0.0):
    values = 3 + rng.normal(size=(num_samples, 7)) * np.array([1.0, 1e-6, 1e4, 1, 1, 1, 1])
    values[rng.random(values.shape) < missing] = np.nan
    values[:, 4] = 2.5  # one that does not vary
    return values


def by_mean_of_training(values, train):
    """Return values with what is unknown at the mean of the training samples."""
    return np.where(np.isnan(values), np.nanmean(values[train], axis=0), values)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("left_out", [(), (1,), (0, 3)], ids=str)
def test_correlations_are_those_of_the_samples_outside_the_folds(missing, left_out):
    rng = np.random.default_rng(1)
    values, is_a, folds = features(rng, missing=missing), rng.random(90) < 0.3, np.arange(90) % 4
    found = Moments(Features.of(values), is_a, folds, 4).correlations(left_out)
    train = ~np.isin(folds, left_out)
    whole = by_mean_of_training(values, train)[train]
    for column in range(7):
        expected = 0.0 if column == 4 else abs(np.corrcoef(whole[:, column], is_a[train])[0, 1])
        assert found[column] == pytest.approx(expected, abs=2e-5), column


def test_what_does_not_vary_outside_the_folds_has_no_correlation():
    """Also where it is known of one sample alone, where nothing is known, and where all labels are the same."""
    rng = np.random.default_rng(2)
    folds, is_a = np.repeat([0, 1], 20), np.tile([True, False], 20)
    values = rng.normal(size=(40, 3))
    values[folds == 1, 0] = np.nan
    values[25, 0] = 4.0
    values[folds == 1, 1] = np.nan
    moments = Moments(Features.of(values), is_a, folds, 2)
    assert moments.correlations((0,))[:2].tolist() == [0.0, 0.0] and moments.correlations((0,))[2] > 0
    alike = Moments(Features.of(values), folds == 0, folds, 2)
    assert not alike.correlations((0,)).any()


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_standard_values_have_the_mean_and_spread_of_the_training_samples(missing):
    rng = np.random.default_rng(3)
    values, train = features(rng, missing=missing), np.arange(90) < 60
    chosen = np.array([5, 0, 2, 4])
    found = standardised(Features.of(values), chosen, train)
    whole = by_mean_of_training(values, train)[:, chosen]
    for slot in range(3):
        mean, deviation = whole[train, slot].mean(), whole[train, slot].std()
        np.testing.assert_allclose(found[:, slot], (whole[:, slot] - mean) / deviation, atol=2e-4)
    np.testing.assert_allclose(found[:, 3], 0, atol=1e-4)


def chosen_penalty(prepared, is_a, folds, kept, moments, num_folds, left_out):
    """Return the place of the penalty that ranks best on folds that were left out one at a time."""
    areas = []
    for fold in range(num_folds):
        if fold in left_out:
            continue
        training = module.Training.outside((fold, *left_out), prepared, is_a, folds, moments, kept)
        scores = module.lasso_scores(training, folds == fold)
        areas.append([roc_auc_score(is_a[folds == fold], scores[:, slot]) for slot in range(scores.shape[1])])
    return int(np.argmax(np.mean(areas, axis=0)))


def many_weak(seed, num_samples=240):
    """Features that all tell a little, so that a weak penalty ranks best, and labels that half hang on them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num_samples, 20))
    is_a = rng.random(num_samples) < 1 / (1 + np.exp(-1.2 * values[:, :12].sum(axis=1) / np.sqrt(12) - 0.5))
    return values, is_a


def test_each_outer_fit_has_the_penalty_that_ranks_best_inside_its_training_folds():
    values, is_a = many_weak(4)
    prepared, cluster = Features.of(values), np.arange(240)
    found = module.held_out_scores(prepared, is_a, cluster, num_folds=4, num_screened=15, seed=3)
    folds = found.folds[0]
    moments = Moments(prepared, is_a, folds, 4)
    best, used = [], []
    for fold in range(4):
        best.append(chosen_penalty(prepared, is_a, folds, 15, moments, 4, (fold,)))
        training = module.Training.outside((fold,), prepared, is_a, folds, moments, 15)
        weights, intercept = module.logistic_model(training, module.PENALTIES[best[-1]])
        rows = folds == fold
        expected = training.values[rows] @ weights
        np.testing.assert_allclose(found.scores[0, rows], expected, atol=1e-9)
        np.testing.assert_allclose(found.log_odds[0, rows], expected + intercept, atol=1e-9)
        np.testing.assert_allclose(found.base_rates[0, rows], is_a[~rows].mean())
        used.append((weights != 0).sum())
    assert max(best) > 0, "the first penalty is no choice"
    assert found.num_used == pytest.approx(np.mean(used))


def test_what_is_transferred_has_the_penalty_that_ranks_best_among_the_training_samples():
    values, is_a = many_weak(5, 300)
    prepared, cluster, is_training = Features.of(values), np.arange(300), np.arange(300) % 3 > 0
    found = transferred(prepared, is_a, cluster, is_training, num_folds=4, num_screened=15, seed=2)
    whole = np.where(is_training, 0, 1)
    moments = Moments(prepared, is_a & is_training, whole, 2)
    training = module.Training.outside((1,), prepared, is_a & is_training, whole, moments, 15)
    fits = [module.logistic_model(training, penalty) for penalty in module.PENALTIES]
    away = [np.abs(training.values[~is_training] @ one + other - found.log_odds).max() for one, other in fits]
    best = int(np.argmin(away))
    assert best > 0 and away[best] < 1e-3 and sorted(away)[1] > 1e-2
    np.testing.assert_allclose(found.weights[training.chosen], fits[best][0], atol=1e-3)
    assert np.count_nonzero(found.weights) == np.count_nonzero(fits[best][0])
    assert roc_auc_score(is_a[~is_training], found.log_odds) > 0.55


def test_labels_of_judged_samples_are_not_looked_at():
    values, is_a = many_weak(6)
    is_training = np.arange(240) < 160
    other = np.where(is_training, is_a, ~is_a)
    one, two = (
        transferred(Features.of(values), labels, np.arange(240), is_training, num_folds=3, seed=1)
        for labels in (is_a, other)
    )
    np.testing.assert_array_equal(one.log_odds, two.log_odds)


def test_without_any_feature_that_varies_the_share_is_predicted():
    is_a, is_training = np.arange(60) % 4 == 0, np.arange(60) < 40
    found = transferred(Features.of(np.ones((60, 3))), is_a, np.arange(60), is_training, num_folds=3, seed=1)
    np.testing.assert_allclose(found.log_odds, np.log(0.25 / 0.75))
    assert not found.weights.any()
    held = module.held_out_scores(Features.of(np.ones((60, 3))), is_a, np.arange(60), num_folds=3, seed=1)
    assert not held.scores.any() and held.num_used == 0
    np.testing.assert_allclose(held.log_odds, np.log(held.base_rates / (1 - held.base_rates)))


def test_training_folds_of_one_class_alone_are_nearly_certain():
    """A class that one cluster holds: the fits without it have seen the other class alone."""
    is_a = np.arange(45) < 5
    cluster = np.r_[np.zeros(5, int), np.arange(1, 41)]
    values = np.random.default_rng(7).normal(size=(45, 2))
    found = module.held_out_scores(Features.of(values), is_a, cluster, num_folds=3, seed=0)
    rows = found.folds[0] == found.folds[0, 0]
    assert (found.log_odds[0, rows] == -30.0).all() and np.isfinite(found.log_odds).all()


def test_areas_of_resampled_predictions_are_weighted_pairs():
    rng = np.random.default_rng(8)
    log_odds, labels = np.round(rng.normal(size=50), 1), rng.random(50) < 0.4
    counts = cluster_counts(np.arange(50) // 2, 3, 0)
    assert (counts.sum(axis=1) == 50).all() and (counts[:, ::2] == counts[:, 1::2]).all()
    found = judged(log_odds, labels, 0.4, counts)
    for place, weights in enumerate(np.vstack([np.ones(50), counts])):
        assert found.auroc[place] == pytest.approx(roc_auc_score(labels, log_odds, sample_weight=weights))
    alone = judged(log_odds, np.ones(50, dtype=bool), 0.4, counts)
    assert np.isnan(alone.auroc).all() and np.isnan(alone.slope).all() and np.isfinite(alone.brier).all()
    assert np.isnan(judged(np.ones(50), labels, 0.4, counts).slope).all()


def test_labels_are_exchanged_between_clusters_of_like_size_alone():
    """Twelve of two samples, twelve of thirty: where every large cluster is of one class, each stays large."""
    cluster = np.repeat(np.arange(24), np.repeat([2, 30], 12))
    is_a = cluster >= 12
    assert (permute_labels(is_a, cluster, np.random.default_rng(0)) == is_a).all()
    few = np.repeat(np.arange(14), np.r_[np.full(12, 2), 30, 31])
    drawn = [permute_labels(few >= 12, few, np.random.default_rng(seed)) for seed in range(5)]
    assert any((labels != (few >= 12)).any() for labels in drawn), "too few of a size join the size before"
    assert all(labels.sum() == 61 for labels in drawn)
