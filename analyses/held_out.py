"""Held-out prediction of two classes from many features: nested, cluster-grouped cross-validation of a sparse model.

Everything that looks at labels is done inside the training folds: screening, standardising, choosing the penalty,
fitting. No cluster is ever on both sides. The clusters are dealt into K folds; for outer fold k, the penalty is chosen
by K - 1 inner fits, each trained on all folds but k and j and scored on fold j. The fit without j and k is the same for
k as for j, so K (K - 1) / 2 inner fits serve all K outer folds.

The area under the ROC curve compares only samples of the same fold and repeat, since scores of different fits are on
different scales (pooling them biases it: Airola et al. 2011, Computational Statistics and Data Analysis 55: 1828-1844).

scikit-learn takes a second to import, so functions import it when they are called.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

PENALTIES = (1.25, 2.5, 5.0, 10.0)
"""Inverse penalties that are tried, over the smallest at which any feature is used."""

MANY_CLUSTERS = 300
"""From here on folds are dealt without regard to labels: they are alike anyway, and balancing them is slow."""


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
    """

    scores: np.ndarray
    folds: np.ndarray
    num_used: float
    share_used: np.ndarray


@dataclass(frozen=True)
class Features:
    """A feature matrix prepared for many fits.

    Attributes
    ----------
    values
        ``[features, samples]`` float32 (so laid out, sums over samples take a fifth of the time), each feature moved
        and scaled to lie within -1..1, 0 where unknown.
    squares
        ``values`` squared.
    is_known
        The same shape, 1 where known; None when all are.
    """

    values: np.ndarray
    squares: np.ndarray
    is_known: np.ndarray | None

    @property
    def num_features(self) -> int:
        """How many features there are."""
        return len(self.values)

    @classmethod
    def of(cls, values: np.ndarray) -> Features:
        """Prepare ``[samples, features]``, NaN where unknown; an unknown value counts as the training mean.

        Moving and scaling only keeps the digits of later sums: every fit standardises by its own training folds.
        """
        known = np.isfinite(values)
        values = np.where(known, values, 0.0).astype(np.float64)
        values -= values.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        values[~known] = 0.0
        size = np.abs(values).max(axis=0, initial=0.0)
        scaled = np.ascontiguousarray((values / np.where(size > 0, size, 1.0)).T, dtype=np.float32)
        is_known = None if known.all() else np.ascontiguousarray(known.T, dtype=np.float32)
        return cls(scaled, scaled**2, is_known)


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
    scores = np.zeros((repeats, len(is_a)))
    folds = np.zeros((repeats, len(is_a)), dtype=np.int64)
    used = np.zeros((repeats * num_folds, features.num_features), dtype=bool)
    for repeat in range(repeats):
        folds[repeat] = deal_folds(is_a, cluster, num_folds, int(rng.integers(2**31)))
        with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
            # A fit that has not converged to the last digit ranks samples all the same.
            warnings.simplefilter("ignore", ConvergenceWarning)
            outer = _nested(features, is_a, folds[repeat], num_folds, num_screened)
        scores[repeat] = outer[0]
        used[repeat * num_folds : (repeat + 1) * num_folds] = outer[1]
    return HeldOut(scores, folds, float(used.sum(axis=1).mean()), used.mean(axis=0))


def deal_folds(is_a: np.ndarray, cluster: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return each sample's fold, whole clusters together and labels balanced over folds."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    codes = np.unique(cluster, return_inverse=True)[1]
    kind = GroupKFold if codes.max() >= MANY_CLUSTERS else StratifiedGroupKFold
    splitter = kind(num_folds, shuffle=True, random_state=seed)
    folds = np.zeros(len(is_a), dtype=np.int64)
    with warnings.catch_warnings():
        # A class rarer than the folds: such folds hold no pair and are not scored.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(np.zeros((len(is_a), 1)), is_a, codes)):
            folds[held_out] = fold
    return folds


def _nested(
    features: Features, is_a: np.ndarray, folds: np.ndarray, num_folds: int, num_screened: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out scores ``[samples]`` and which features each outer fit uses ``[folds, features]``."""
    moments = _Moments(features, is_a, folds, num_folds)
    inner = np.full((num_folds, num_folds, len(PENALTIES)), np.nan)
    for first, second in combinations(range(num_folds), 2):
        predicted = _fit(features, is_a, folds, moments, (first, second), num_screened, PENALTIES)[0]
        for outer, judged in ((first, second), (second, first)):
            rows = folds == judged
            inner[outer, judged] = [auroc(scores[rows], is_a[rows]) for scores in predicted]
    result, used = np.zeros(len(is_a)), np.zeros((num_folds, features.num_features), dtype=bool)
    for outer in range(num_folds):
        judged = inner[outer][~np.isnan(inner[outer]).any(axis=1)]
        # The first of equals is the sparsest.
        best = int(np.argmax(judged.mean(axis=0))) if len(judged) else 0
        predicted, weights = _fit(features, is_a, folds, moments, (outer,), num_screened, (PENALTIES[best],))
        rows = folds == outer
        result[rows], used[outer] = predicted[0][rows], weights != 0
    return result, used


class _Moments:
    """Sums per fold, from which the correlations in any set of folds follow without another pass over the features."""

    def __init__(self, features: Features, is_a: np.ndarray, folds: np.ndarray, num_folds: int) -> None:
        member = (folds == np.arange(num_folds)[:, None]).astype(np.float32)
        both = np.vstack([member, member * is_a])

        def sums(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
            return (values @ np.ascontiguousarray(weights.T)).T.astype(np.float64)

        self.size, self.is_a = np.split(both.sum(axis=1, dtype=np.float64), 2)
        self.sums, self.sums_a = np.split(sums(both, features.values), 2)
        self.squares = sums(member, features.squares)
        if features.is_known is None:
            self.known, self.known_a = self.size[:, None], self.is_a[:, None]
        else:
            self.known, self.known_a = np.split(sums(both, features.is_known), 2)

    def correlations(self, left_out: tuple[int, ...]) -> np.ndarray:
        """Return |correlation with the label| of the features outside these folds; 0 where one does not vary."""
        kept = np.setdiff1d(np.arange(len(self.size)), left_out)
        known, size = self.known[kept].sum(axis=0), self.size[kept].sum()
        mean = self.sums[kept].sum(axis=0) / np.maximum(known, 1)
        squares = self.squares[kept].sum(axis=0)
        # Unknown values stand at the mean, so they add nothing to the spread.
        variance = squares - known * mean**2
        share = self.is_a[kept].sum() / max(size, 1)
        product = self.sums_a[kept].sum(axis=0) - mean * self.known_a[kept].sum(axis=0)
        product = product - share * (self.sums[kept].sum(axis=0) - mean * known)
        # The sums are of float32 numbers, so a smaller spread is rounding.
        varies = (variance > 1e-5 * squares) & (share * (1 - share) > 0)
        spread = np.sqrt(np.where(varies, variance * size * share * (1 - share), 1.0))
        return np.where(varies, np.abs(product) / spread, 0.0)


def _fit(
    features: Features,
    is_a: np.ndarray,
    folds: np.ndarray,
    moments: _Moments,
    left_out: tuple[int, ...],
    num_screened: int,
    penalties: tuple[float, ...],
) -> tuple[list[np.ndarray], np.ndarray]:
    """Fit outside the folds ``left_out``; return scores of all samples per penalty, and the last fit's weights."""
    from sklearn.linear_model import LogisticRegression

    correlation = moments.correlations(left_out)
    weights = np.zeros(len(correlation))
    chosen = np.argsort(-correlation, kind="stable")[:num_screened]
    chosen = chosen[correlation[chosen] > 0]
    train = ~np.isin(folds, left_out)
    if not len(chosen):
        return [np.zeros(len(is_a)) for _ in penalties], weights
    values = _standardised(features, chosen, train)
    # Below 1 / max |x'(y - mean y)| the penalty leaves no feature in the model.
    share = is_a[train].mean()
    smallest = 1 / (train.sum() * np.sqrt(share * (1 - share)) * correlation[chosen].max())
    train_values, labels = values[train], is_a[train]
    scores: list[np.ndarray] = []
    for penalty in penalties:
        # The intercept's column is scaled up so that the penalty hardly touches it.
        model = LogisticRegression(
            C=penalty * smallest, l1_ratio=1.0, solver="liblinear", intercept_scaling=10, random_state=0
        )
        model.fit(train_values, labels)
        scores.append(values @ model.coef_[0])
        weights[chosen] = model.coef_[0]
    return scores, weights


def _standardised(features: Features, chosen: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return chosen features of all samples by the mean and spread of the training samples; 0 where unknown."""
    values = features.values[chosen].T.astype(np.float64)
    known = np.ones_like(values) if features.is_known is None else features.is_known[chosen].T.astype(np.float64)
    mean = values[train].sum(axis=0) / np.maximum(known[train].sum(axis=0), 1)
    values = (values - mean) * known
    deviation = np.sqrt((values[train] ** 2).mean(axis=0))
    return values / np.where(deviation > 0, deviation, 1.0)


def auroc(scores: np.ndarray, is_a: np.ndarray) -> float:
    """Return the chance that a sample of class true lies above one of class false, ties counting half; else NaN."""
    num_a = int(is_a.sum())
    num_b = len(is_a) - num_a
    if num_a == 0 or num_b == 0:
        return float("nan")
    return float((stats.rankdata(scores)[is_a].sum() - num_a * (num_a + 1) / 2) / (num_a * num_b))


def bootstrap_auroc(found: HeldOut, is_a: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
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
    for scores, folds in zip(found.scores, found.folds, strict=True):
        for fold in np.unique(folds):
            a, b = np.flatnonzero((folds == fold) & is_a), np.flatnonzero((folds == fold) & ~is_a)
            above = (scores[a][:, None] > scores[b]) + 0.5 * (scores[a][:, None] == scores[b])
            concordant += ((weights[:, a] @ above) * weights[:, b]).sum(axis=1)
            pairs += weights[:, a].sum(axis=1) * weights[:, b].sum(axis=1)
    result = np.where(pairs > 0, concordant / np.where(pairs > 0, pairs, 1), np.nan)
    return float(result[0]), result[1:]


def cluster_counts(cluster: np.ndarray, resamples: int, seed: int | list[int]) -> np.ndarray:
    """Return ``[resamples, samples]``: how often each is drawn when whole clusters are drawn with replacement."""
    codes = np.unique(cluster, return_inverse=True)[1]
    num_clusters = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), resamples)
    return drawn[:, codes].astype(np.float64)


def permute_labels(is_a: np.ndarray, cluster: np.ndarray, rng: np.random.Generator, min_stratum: int = 5) -> np.ndarray:
    """Return labels exchanged between clusters of like size, so that labels stay as alike within a cluster as they are.

    Clusters are sorted by size into strata of at least ``min_stratum`` clusters, one size to a stratum where there are
    enough of it. In a stratum, the labels of all clusters in one random order are laid on the clusters in another: with
    one size that exchanges whole clusters; where sizes differ a little, few clusters are cut. The number of each label
    stays the same.
    """
    codes, sizes = np.unique(cluster, return_inverse=True, return_counts=True)[1:]
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    result = np.empty_like(is_a)
    for stratum in _strata(sizes, min_stratum):
        source = np.concatenate([rng.permutation(rows_of[code]) for code in rng.permutation(stratum)])
        target = np.concatenate([rows_of[code] for code in rng.permutation(stratum)])
        result[target] = is_a[source]
    return result


def _strata(sizes: np.ndarray, min_stratum: int) -> list[np.ndarray]:
    """Return clusters of like size in strata of at least ``min_stratum`` where there are that many."""
    strata: list[np.ndarray] = []
    waiting = np.zeros(0, dtype=np.int64)
    for size in np.unique(sizes):
        waiting = np.concatenate([waiting, np.flatnonzero(sizes == size)])
        if len(waiting) >= min_stratum:
            strata.append(waiting)
            waiting = waiting[:0]
    if len(waiting):
        strata[-1:] = [np.concatenate([*strata[-1:], waiting])]
    return strata
