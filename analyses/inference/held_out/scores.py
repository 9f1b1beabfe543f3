"""Held-out prediction of two classes from many features: nested, cluster-grouped cross-validation of a sparse model.

Everything that looks at labels is done inside the training folds: screening, standardising, choosing the penalty,
fitting. No cluster is ever on both sides. The clusters are dealt into K folds; for outer fold k, the penalty is chosen
by K - 1 inner fits, each trained on all folds but k and j and scored on fold j. The fit without j and k is the same for
k as for j, so K (K - 1) / 2 inner fits serve all K outer folds.

The outer fits are logistic with an L1 penalty (liblinear). The inner ones, which only choose among penalties, fit the
quadratic that touches the logistic likelihood at zero: least squares on the labels with an L1 penalty, whose whole path
coordinate descent finds from the products of the features alone, in a fortieth of the time. A penalty is told as a
multiple of the smallest inverse penalty at which any feature is used, which is the same for both likelihoods because
they have the same slopes at zero.

The area under the ROC curve compares only samples of the same fold and repeat, since scores of different fits are on
different scales (pooling them biases it: Airola et al. 2011, Computational Statistics and Data Analysis 55: 1828-1844).

scikit-learn takes a second to import, so functions import it when they are called.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from analyses.inference.held_out.features import Features, Moments, standardised
from analyses.inference.held_out.folds import deal_folds
from analyses.inference.ranks import rank_columns

PENALTIES = (1.25, 2.5, 5.0, 10.0)
"""Inverse penalties that are tried, over the smallest at which any feature is used."""

_CERTAIN = 30.0
"""Log-odds beyond which a prediction is as good as certain."""


@dataclass(frozen=True)
class HeldOut:
    """Scores of samples by models that never saw their cluster.

    Attributes
    ----------
    scores
        ``[repeats, samples]``; higher is class true.
    folds
        ``[repeats, samples]``: the fold each sample was held out in.
    num_used
        Features with a weight, on average over the outer fits.
    share_used
        ``[features]``: share of the outer fits in which a feature has a weight.
    log_odds
        ``[repeats, samples]``: scores with the intercept of their fit, log-odds of class true.
    base_rates
        ``[repeats, samples]``: share of class true among the samples that the fit saw.
    """

    scores: np.ndarray
    folds: np.ndarray
    num_used: float
    share_used: np.ndarray
    log_odds: np.ndarray
    base_rates: np.ndarray


def held_out_scores(
    features: Features,
    is_a: np.ndarray,
    cluster: np.ndarray,
    *,
    num_folds: int = 5,
    repeats: int = 1,
    num_screened: int = 50,
    seed: int | list[int] = 0,
) -> HeldOut:
    """Score every sample by sparse logistic models that never saw its cluster.

    Parameters
    ----------
    is_a
        ``[samples]`` booleans to predict.
    cluster
        ``[samples]`` any labels; at least ``num_folds`` different ones.
    num_folds, repeats
        At least three folds; each repeat deals the clusters anew.
    num_screened
        Features that enter a fit: those that correlate most with the labels of its training folds.
    seed
        The same seed gives the same scores.
    """
    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.default_rng(seed)
    scores, log_odds, base_rates = (np.zeros((repeats, len(is_a))) for _ in range(3))
    folds = np.zeros((repeats, len(is_a)), dtype=np.int64)
    used = np.zeros((repeats * num_folds, features.num_features), dtype=bool)
    for repeat in range(repeats):
        folds[repeat] = deal_folds(is_a, cluster, num_folds, int(rng.integers(2**31)))
        with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
            # A fit that has not converged to the last digit ranks samples all the same.
            warnings.simplefilter("ignore", ConvergenceWarning)
            outer = _nested(features, is_a, folds[repeat], num_folds, num_screened)
        # Infinite where the training folds hold one class alone.
        scores[repeat], intercepts = outer[0], np.clip(outer[2], -_CERTAIN, _CERTAIN)
        log_odds[repeat] = scores[repeat] + intercepts[folds[repeat]]
        for fold in range(num_folds):
            base_rates[repeat, folds[repeat] == fold] = is_a[folds[repeat] != fold].mean()
        used[repeat * num_folds : (repeat + 1) * num_folds] = outer[1]
    return HeldOut(scores, folds, float(used.sum(axis=1).mean()), used.mean(axis=0), log_odds, base_rates)


def _nested(
    features: Features, is_a: np.ndarray, folds: np.ndarray, num_folds: int, num_screened: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return held-out scores ``[samples]``, features that each outer fit uses ``[folds, features]``, and intercepts."""
    moments = Moments(features, is_a, folds, num_folds)
    inner = np.full((num_folds, num_folds, len(PENALTIES)), np.nan)
    for pair in combinations(range(num_folds), 2):
        training = Training.outside(pair, features, is_a, folds, moments, num_screened)
        for outer, judged in (pair, pair[::-1]):
            rows = folds == judged
            inner[outer, judged] = aurocs(lasso_scores(training, rows), is_a[rows])
    result, used = np.zeros(len(is_a)), np.zeros((num_folds, features.num_features), dtype=bool)
    intercepts = np.zeros(num_folds)
    for outer in range(num_folds):
        judged = inner[outer][~np.isnan(inner[outer]).any(axis=1)]
        # The first of equals is the sparsest.
        best = int(np.argmax(judged.mean(axis=0))) if len(judged) else 0
        training = Training.outside((outer,), features, is_a, folds, moments, num_screened)
        weights, intercepts[outer] = logistic_model(training, PENALTIES[best])
        rows = folds == outer
        result[rows] = training.values[rows] @ weights
        used[outer, training.chosen] = weights != 0
    return result, used, intercepts


@dataclass(frozen=True)
class Training:
    """What a fit outside some folds sees.

    Attributes
    ----------
    values
        ``[samples, chosen]``, standardised by the training samples; of all samples, so that others can be scored.
    labels
        ``[samples]`` booleans.
    rows
        ``[samples]`` booleans, the training samples.
    chosen
        Indices of the screened features; empty where none varies with the labels.
    slope
        Largest |xᵀ(y - mean y)| of the training samples, at which an L1 penalty leaves no feature in the model.
    """

    values: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    chosen: np.ndarray
    slope: float

    @classmethod
    def outside(
        cls,
        left_out: tuple[int, ...],
        features: Features,
        is_a: np.ndarray,
        folds: np.ndarray,
        moments: Moments,
        num_screened: int,
    ) -> Training:
        """Screen and standardise by the samples that are in none of the folds ``left_out``."""
        correlation = moments.correlations(left_out)
        chosen = np.argsort(-correlation, kind="stable")[:num_screened]
        chosen = chosen[correlation[chosen] > 0]
        rows = ~np.isin(folds, left_out)
        values = standardised(features, chosen, rows)
        share = is_a[rows].mean()
        slope = float(rows.sum() * np.sqrt(share * (1 - share)) * correlation[chosen].max(initial=0.0))
        return cls(values, is_a, rows, chosen, slope)


def lasso_scores(training: Training, judged: np.ndarray) -> np.ndarray:
    """Return scores ``[judged samples, penalties]`` by least squares with an L1 penalty."""
    from sklearn.linear_model import lasso_path

    if not len(training.chosen):
        return np.zeros((int(judged.sum()), len(PENALTIES)))
    values, labels = training.values[training.rows], training.labels[training.rows]
    products = values.T @ values
    slopes = values.T @ (labels - labels.mean())
    alphas = training.slope / (len(labels) * np.array(PENALTIES))
    centred = np.asfortranarray(values), labels - labels.mean()
    # The stubs know only the defaults of these.
    options: dict[str, Any] = {"alphas": alphas, "precompute": products, "Xy": slopes, "check_input": False}
    _, weights, _ = lasso_path(*centred, **options)
    return training.values[judged] @ weights


def logistic_weights(training: Training, penalty: float) -> np.ndarray:
    """Return the weights ``[chosen]`` of the sparse logistic model."""
    return logistic_model(training, penalty)[0]


def logistic_model(training: Training, penalty: float) -> tuple[np.ndarray, float]:
    """Return the weights ``[chosen]`` of the sparse logistic model, and its intercept."""
    from scipy.special import logit
    from sklearn.linear_model import LogisticRegression

    if not len(training.chosen):
        return np.zeros(0), float(logit(training.labels[training.rows].mean()))  # of one class alone: infinite
    # The intercept's column is scaled up so that the penalty hardly touches it.
    model = LogisticRegression(
        C=penalty / training.slope, l1_ratio=1.0, solver="liblinear", intercept_scaling=10, random_state=0
    )
    fitted = model.fit(training.values[training.rows], training.labels[training.rows])
    return fitted.coef_[0], float(fitted.intercept_[0])


def aurocs(scores: np.ndarray, is_a: np.ndarray) -> np.ndarray:
    """Return, per column, the chance that a sample of class true lies above one of class false, ties counting half.

    ``scores`` are ``[samples, columns]``; NaN where a class has no sample.
    """
    num_a = int(is_a.sum())
    num_b = len(is_a) - num_a
    if num_a == 0 or num_b == 0:
        return np.full(scores.shape[1], np.nan)
    ranks = rank_columns(scores).doubled[:, is_a].sum(axis=1) / 2
    return (ranks - num_a * (num_a - 1) / 2) / (num_a * num_b)


def bootstrap_auroc(held_out: HeldOut, is_a: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUROC over pairs of the same fold and repeat, and the same of resampled clusters.

    Parameters
    ----------
    counts
        ``[resamples, samples]``: how often each sample is drawn; see ``cluster_counts``.

    Returns
    -------
    auroc
        Σ over folds of concordant pairs / Σ over folds of pairs.
    resampled
        ``[resamples]``. The fits are not repeated: it is the uncertainty of judging these models on these clusters.
    """
    weights = np.vstack([np.ones((1, len(is_a))), counts])
    concordant, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for scores, folds in zip(held_out.scores, held_out.folds, strict=True):
        for fold in np.unique(folds):
            a, b = np.flatnonzero((folds == fold) & is_a), np.flatnonzero((folds == fold) & ~is_a)
            above = (scores[a][:, None] > scores[b]) + 0.5 * (scores[a][:, None] == scores[b])
            concordant += ((weights[:, a] @ above) * weights[:, b]).sum(axis=1)
            pairs += weights[:, a].sum(axis=1) * weights[:, b].sum(axis=1)
    result = np.where(pairs > 0, concordant / np.where(pairs > 0, pairs, 1), np.nan)
    return float(result[0]), result[1:]
