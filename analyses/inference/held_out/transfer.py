"""A sparse model trained on one set of samples and judged on another: scores, their AUROC, and calibration.

The penalty is chosen inside the training set by cluster-grouped folds, as in ``scores``; then one model is fitted to
all of it. The judged set is looked at once. Intervals redraw its clusters: they hold for this fitted model.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from analyses.inference.held_out.features import Features, Moments
from analyses.inference.held_out.folds import deal_folds
from analyses.inference.held_out.scores import PENALTIES, Training, aurocs, lasso_scores, logistic_model


@dataclass(frozen=True)
class Transferred:
    """Predictions for the judged samples.

    Attributes
    ----------
    log_odds
        ``[judged]``, of class true.
    weights
        ``[features]``, 0 where a feature is not used; of standardised features.
    """

    log_odds: np.ndarray
    weights: np.ndarray


def transferred(
    features: Features,
    labels: np.ndarray,
    cluster: np.ndarray,
    is_training: np.ndarray,
    *,
    num_folds: int = 5,
    num_screened: int = 50,
    seed: int | list[int] = 0,
) -> Transferred:
    """Train on some samples and predict the others.

    Parameters
    ----------
    features
        Of all samples.
    labels
        ``[samples]`` booleans; those of samples that are judged are not looked at.
    cluster
        ``[samples]`` any labels; those of training samples are dealt into folds.
    is_training
        ``[samples]`` booleans.
    """
    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.default_rng(seed)
    folds = np.full(len(labels), num_folds)
    dealt = deal_folds(labels[is_training], cluster[is_training], num_folds, int(rng.integers(2**31)))
    folds[is_training] = dealt
    known = labels & is_training
    moments = Moments(features, known, folds, num_folds + 1)
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore", ConvergenceWarning)
        inner = np.full((num_folds, len(PENALTIES)), np.nan)
        for fold in range(num_folds):
            training = Training.outside((fold, num_folds), features, known, folds, moments, num_screened)
            rows = folds == fold
            inner[fold] = aurocs(lasso_scores(training, rows), known[rows])
        judged = inner[~np.isnan(inner).any(axis=1)]
        best = int(np.argmax(judged.mean(axis=0))) if len(judged) else 0
        training = Training.outside((num_folds,), features, known, folds, moments, num_screened)
        weights, intercept = logistic_model(training, PENALTIES[best])
    whole = np.zeros(features.num_features)
    whole[training.chosen] = weights
    return Transferred(training.values[~is_training] @ weights + intercept, whole)


@dataclass(frozen=True)
class Judged:
    """How predictions fare: arrays ``[1 + resamples]``, the first of the samples as they are.

    Attributes
    ----------
    auroc
        Chance that a sample of class true lies above one of class false.
    brier
        Mean of (p - y)^2 (Brier 1950).
    base_brier
        The same of the training set's share of class true as everybody's p.
    gap
        Mean predicted p minus the share of class true: 0 is calibrated in the large.
    slope
        Slope of the labels' log-odds on the predicted ones (Cox 1958): 1 is calibrated, below it predictions are too
        sure, 0 says nothing; NaN where a class has no sample.
    """

    auroc: np.ndarray
    brier: np.ndarray
    base_brier: np.ndarray
    gap: np.ndarray
    slope: np.ndarray


def judged(log_odds: np.ndarray, labels: np.ndarray, base_rate: float | np.ndarray, counts: np.ndarray) -> Judged:
    """Judge predictions on the samples and on redrawn clusters.

    Parameters
    ----------
    log_odds, labels
        ``[samples]``, the labels booleans.
    base_rate
        Share of class true in the training set, or in that of each sample.
    counts
        ``[resamples, samples]``: how often each sample is drawn (``folds.cluster_counts``).
    """
    weights = np.vstack([np.ones((1, len(labels))), counts])
    total = weights.sum(axis=1)
    share = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    a, b = np.flatnonzero(labels), np.flatnonzero(~labels)
    above = (log_odds[a][:, None] > log_odds[b]) + 0.5 * (log_odds[a][:, None] == log_odds[b])
    pairs = weights[:, a].sum(axis=1) * weights[:, b].sum(axis=1)
    concordant = ((weights[:, a] @ above) * weights[:, b]).sum(axis=1)
    return Judged(
        np.where(pairs > 0, concordant / np.where(pairs > 0, pairs, 1), np.nan),
        weights @ (share - labels) ** 2 / total,
        weights @ (base_rate - labels) ** 2 / total,
        weights @ (share - labels) / total,
        np.array([_slope(log_odds, labels, one) for one in weights]),
    )


def _slope(log_odds: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the slope of a weighted logistic regression on one column, by Newton's method."""
    drawn = weights > 0
    if labels[drawn].all() or not labels[drawn].any() or np.ptp(log_odds[drawn]) == 0:
        return float("nan")
    columns = np.column_stack([np.ones(drawn.sum()), log_odds[drawn]])
    target, weight, found = labels[drawn].astype(float), weights[drawn], np.zeros(2)
    for _ in range(25):
        # np.clip would take as long as the exponential, a thousand times five for every judgement.
        share = 1 / (1 + np.exp(-np.minimum(np.maximum(columns @ found, -30), 30)))
        slopes = columns.T @ (weight * (target - share))
        curvature = (columns * (weight * share * (1 - share))[:, None]).T @ columns
        try:
            step = np.linalg.solve(curvature, slopes)
        except np.linalg.LinAlgError:
            return float("nan")
        found = found + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return float(found[1])
