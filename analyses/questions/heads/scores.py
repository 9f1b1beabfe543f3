"""The numbers behind head types, over all samples and over resamples of the clusters, in one pass over the tables.

Sums over samples are all that is kept, so memory does not grow with their number. A resample draws whole clusters with
replacement (Efron's bootstrap): each cluster counts as often as it was drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analyses.inference.clustered_means import cluster_sums, mean_weights
from analyses.runs.clusters import cluster_codes
from analyses.runs.key_groups import HOLDS_FIRST_TOKEN, of_kind
from analyses.runs.lifts import over_baseline
from analyses.runs.run import Run
from analyses.runs.values import baseline_values, shard_values
from analyses.settings.analysis import AnalysisSettings
from engine.schema import MASS_PREFIX

NUM_RESAMPLES = 200
"""Resamples of the clusters; a share over them is known to within 0.035 (one standard error)."""

MIN_CLUSTERS = 10
"""Fewer clusters are not resampled: their resamples are too much alike."""


@dataclass(frozen=True)
class HeadScores:
    """Means over samples, ``[1 + resamples, heads]``: the data itself first. NaN where nothing was measured.

    Attributes
    ----------
    means
        By name: ``diagonal``, ``previous_token``, ``beginning``, ``entropy_normalized``, ``vocabulary``,
        ``prediction_mass`` and ``prediction_lift``.
    random
        ``[random vocabularies, 1 + resamples, heads]`` lifts.
    reach
        ``[heads]``, half width of the clustered interval of ``vocabulary``.
    excess_error
        ``[heads]``, clustered error of ``vocabulary`` minus the mean of the random lifts.
    num_samples, num_clusters
        ``[heads]``, how many have a value of any of these.
    """

    means: dict[str, np.ndarray]
    random: np.ndarray
    reach: np.ndarray
    excess_error: np.ndarray
    num_samples: np.ndarray
    num_clusters: np.ndarray


def rows_of(run: Run, wanted: str) -> str | None:
    """Return the query group that stands for ``all`` or ``decision``, or None."""
    if wanted in run.query_groups:
        return wanted
    return run.query_groups[0] if wanted == "all" and run.query_groups else None


def head_scores(run: Run, settings: AnalysisSettings) -> HeadScores:
    """Return the scores of every head."""
    cluster = cluster_codes(run, settings.cluster_by)
    num_clusters = int(cluster.max()) + 1
    weights = _resample_weights(num_clusters, run.seed)
    num_places = run.num_layers * run.num_heads
    means: dict[str, _Mean] = {}
    lift, excess = (_ClusterError(num_clusters, num_places, np.float32) for _ in range(2))
    is_known = np.zeros((num_clusters, num_places), dtype=bool)
    for rows, scores in _pieces(run):
        codes = cluster[rows]
        known = np.logical_or.reduce([~np.isnan(values) for values in scores.values()])
        present, own = np.unique(codes, return_inverse=True)
        is_known[present] |= cluster_sums(known, own) > 0
        drawn = weights[:, codes]
        for name, values in scores.items():
            means.setdefault(name, _Mean(len(weights), num_places)).add(drawn, values)
        if "vocabulary" in scores:
            lift.add(codes, scores["vocabulary"])
            random = [values for name, values in scores.items() if name.startswith("random ")]
            if random:
                excess.add(codes, scores["vocabulary"] - np.mean(random, axis=0))
    missing = np.full((len(weights), num_places), np.nan)
    done = {name: mean.value() for name, mean in means.items()}
    random = [done.pop(name) for name in list(done) if name.startswith("random ")]
    coverage = stats.t.ppf(1 - settings.alpha / 2, lift.degrees_of_freedom())
    return HeadScores(
        {name: done.get(name, missing) for name in (*_PLAIN, "vocabulary", "prediction_mass", "prediction_lift")},
        np.array(random).reshape(len(random), *missing.shape),
        coverage * lift.value(),
        excess.value(),
        # The first set of weights is the data itself, each sample once.
        np.max([np.zeros(num_places), *(mean.counts[0] for mean in means.values())], axis=0),
        is_known.sum(axis=0),
    )


def _resample_weights(num_clusters: int, seed: int) -> np.ndarray:
    """Return float32 ``[1 + resamples, clusters]``, how often each cluster counts; only the data for few clusters."""
    ones = np.ones((1, num_clusters), dtype=np.float32)
    if num_clusters < MIN_CLUSTERS:
        return ones
    rng = np.random.default_rng([seed, 2])
    drawn = rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), size=NUM_RESAMPLES)
    return np.concatenate([ones, drawn.astype(np.float32)])


_PLAIN = ("diagonal", "previous_token", "beginning", "entropy_normalized")


def _pieces(run: Run) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield rows of ``samples`` and their values by name, ``[samples of the piece, heads]``."""
    beginning = f"{MASS_PREFIX}beginning" if "beginning" in run.key_groups else "first_token"
    sources = {
        "diagonal": "diagonal_excluding_first",
        "previous_token": "previous_token",
        "beginning": beginning,
        "entropy_normalized": "entropy_normalized",
    }
    here = rows_of(run, "all")
    plain = {name: column for name, column in sources.items() if column in run.statistics}
    lifted = {"vocabulary": run.vocabulary} if run.vocabulary else {}
    lifted |= {f"random {slot}": name for slot, name in enumerate(of_kind(run, "random"))} if lifted else {}
    uniform = {name: baseline_values(run, here, group) for name, group in lifted.items()} if here else {}
    lifted = {name: group for name, group in lifted.items() if uniform.get(name) is not None}
    columns = [*plain.values(), *(f"{MASS_PREFIX}{group}" for group in lifted.values())]
    if here is not None and columns:
        for rows, values in shard_values(run, columns, (here,)):
            scores = {name: values[:, 0, slot] for slot, name in enumerate(plain)}
            for slot, name in enumerate(lifted, start=len(plain)):
                baseline = uniform[name]
                assert baseline is not None
                scores[name] = _over(run, values[:, 0, slot], baseline[rows])
            yield rows, scores
    yield from _prediction_pieces(run)


def _over(run: Run, values: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    shaped = values.reshape(len(values), run.num_layers, run.num_heads)
    return over_baseline(shaped, baseline).reshape(len(values), -1)


def _prediction_pieces(run: Run) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield the decision token's attention to the reasoning (the answer where that is not measured)."""
    source = next((name for name in ("reasoning", "response") if name in run.key_groups), None)
    if source is None or rows_of(run, "decision") is None or "first_token" not in run.statistics:
        return
    assert source not in HOLDS_FIRST_TOKEN
    baseline = baseline_values(run, "decision", source)
    for rows, values in shard_values(run, ("first_token", f"{MASS_PREFIX}{source}"), ("decision",)):
        elsewhere = 1 - values[:, 0, 0].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(elsewhere > 0, np.clip(values[:, 0, 1] / elsewhere, 0, 1), np.nan)
        scores = {"prediction_mass": share}
        if baseline is not None:
            scores["prediction_lift"] = _over(run, share, baseline[rows])
        yield rows, scores


class _Sums:
    """Sums and counts of what is not NaN, a row per set of weights or per cluster, ``[rows, places]``."""

    def __init__(self, num_rows: int, num_places: int, count_type: type[np.floating] = np.float64):
        self.sums, self.counts = (np.zeros((num_rows, num_places), kind) for kind in (np.float64, count_type))


class _Mean(_Sums):
    """Weighted means of what is not NaN, for several sets of weights at once."""

    def add(self, weights: np.ndarray, values: np.ndarray) -> None:
        known = ~np.isnan(values)
        self.sums += weights.astype(np.float64) @ np.where(known, values, 0)
        if known.all():
            self.counts += weights.sum(axis=1, dtype=np.float64)[:, None]
        else:
            self.counts += weights.astype(np.float64) @ known

    def value(self) -> np.ndarray:
        return np.where(self.counts > 0, self.sums / np.where(self.counts > 0, self.counts, 1), np.nan)


class _ClusterError(_Sums):
    """The cluster-robust error of a mean, as ``clustered_means.clustered_mean`` has it (CR2)."""

    def add(self, codes: np.ndarray, values: np.ndarray) -> None:
        present, own = np.unique(codes, return_inverse=True)
        known = ~np.isnan(values)
        self.sums[present] += cluster_sums(np.where(known, values, 0), own)
        self.counts[present] += cluster_sums(known, own)

    def value(self) -> np.ndarray:
        total = self.counts.sum(axis=0, dtype=np.float64)
        mean = self.sums.sum(axis=0) / np.maximum(total, 1)
        squares = np.zeros(total.shape)
        for sums, counts in zip(self.sums, self.counts, strict=True):
            left = 1 - counts / np.maximum(total, 1)
            squares += np.divide((sums - counts * mean) ** 2, left, out=np.zeros(total.shape), where=left > 0)
        return np.where((self.counts > 0).sum(axis=0) > 1, np.sqrt(squares) / np.maximum(total, 1), np.nan)

    def degrees_of_freedom(self) -> np.ndarray:
        """Return Satterthwaite's, of each place; NaN with fewer than two clusters."""
        patterns, inverse = np.unique(self.counts, axis=1, return_inverse=True)
        freedom = np.array([mean_weights(sizes)[1] for sizes in patterns.T.astype(np.float64)])
        return freedom[inverse.reshape(-1)] if len(freedom) else np.full(self.counts.shape[1], np.nan)


def resamples_same(types: Sequence[str], drawn: np.ndarray) -> tuple[np.ndarray, list[str | None]]:
    """Return how often resamples give the data's own type, and the type that they give most often instead.

    Parameters
    ----------
    types
        Names of the types.
    drawn
        ``[1 + resamples, heads]`` indices of types, the data's own first.

    Returns
    -------
    share
        ``[heads]``, 0..1; NaN without resamples.
    other
        ``[heads]``; None where no resample gives another type.
    """
    if len(drawn) < 2:
        return np.full(drawn.shape[1], np.nan), [None] * drawn.shape[1]
    counts = np.stack([(drawn[1:] == slot).sum(axis=0) for slot in range(len(types))])
    heads = np.arange(drawn.shape[1])
    share = counts[drawn[0], heads] / (len(drawn) - 1)
    counts[drawn[0], heads] = 0
    most = counts.argmax(axis=0)
    return share, [str(types[slot]) if counts[slot, head] else None for head, slot in enumerate(most.tolist())]
