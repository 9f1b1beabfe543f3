"""Cluster mass along layers: whether a statistic differs over a stretch of neighbouring layers.

Each statistic is averaged over the heads of a layer first. Layers have an order, so an effect that spreads over several
of them adds up: the mass of a stretch is the sum of t over neighbouring layers whose t passes the threshold with the
same sign (Bullmore et al. 1999, Maris and Oostenveld 2007). Its null distribution is that of the largest mass under the
random signs of max-T, so companies, or whatever samples are clustered by, keep their correlations. Heads have no order:
no mass is ever formed across head indices.

Means over heads are as skewed as weights are, and where few answers are wrong, sums of t under random signs find far
too much. So the same is done with normal scores, their variance pooled under the null and whole clusters exchanged
(``inference.adjusted.exchange``): ``pvalue_ranks`` is that of the largest stretch of scores with the same sign that
shares a layer, 1 where there is none. ``pvalue_adjusted`` is the larger of both over the family. With fewer than
``FEW_CLUSTERS`` clusters signs have too few patterns, and no stretch gets a p.

The p-value is of the stretch as a whole. It says that some layer in it differs, not that each does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.adjusted.checks import why_too_few
from analyses.inference.adjusted.cluster_errors import Errors
from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.adjusted.exchange import Exchange
from analyses.inference.adjusted.max_t import FEW_CLUSTERS, TIES, flipped_statistics
from analyses.inference.ranks import normal_scores
from analyses.questions.differences.tables import LAYER_CLUSTERS

FORMING_ALPHA = 0.05
"""A layer joins a stretch when its own two-sided p is at most this; fixed, so that nobody tunes it to the result."""

NO_STRETCH = f"no layer passes the threshold, p = {FORMING_ALPHA:g}"
"""Note of a statistic that was tested in every layer without finding a stretch."""


@dataclass
class LayerClusters:
    """Collects the statistics of one comparison, block by block, and tests their stretches at the end.

    ``untested`` are statistics that are only listed, with the reason as their note; ``exchange`` draws exchanges of
    clusters, for the same samples, and is made of ``model`` where none is given.
    """

    model: ModelSamples
    signs: np.ndarray
    errors: Errors = "CR2"
    untested: Mapping[str, str] = field(default_factory=dict)
    exchange: Exchange | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    largest: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    largest_ranks: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw exchanges of the clusters unless somebody has."""
        if self.exchange is None:
            self.exchange = Exchange(self.model, len(self.signs), 0)

    def tested(self, query_group: str, statistics: Sequence[str], values: np.ndarray) -> LayerClusters:
        """Return the same with nothing but these means over heads, ``[samples, statistics, layers]``, for ``join``."""
        alone = replace(self, rows=[], largest={}, largest_ranks={})
        alone.add(query_group, statistics, values)
        return alone

    def join(self, others: LayerClusters) -> None:
        """Take in what another one holds of further statistics."""
        self.rows += others.rows
        self.largest |= others.largest
        self.largest_ranks |= others.largest_ranks

    def add(self, query_group: str, statistics: Sequence[str], values: np.ndarray) -> None:
        """Take in means over heads, ``[samples, statistics, layers]``, of the samples of the model."""
        num_layers = values.shape[2]
        flat = values.reshape(len(values), -1).astype(np.float64)
        effects = adjusted_effects(flat, self.model, errors=self.errors)
        threshold = stats.t.isf(FORMING_ALPHA / 2, effects.degrees_of_freedom)
        null = np.zeros((len(self.signs), flat.shape[1]), dtype=np.float32)
        for columns, statistic in flipped_statistics(flat, self.model, self.signs, self.errors):
            null[:, columns] = statistic
        piled = why_too_few(flat, self.model.is_a)
        scores = self._scores(flat)
        for slot, name in enumerate(statistics):
            here = slice(slot * num_layers, (slot + 1) * num_layers)
            is_usable = (piled[here] == "") & ~np.isnan(effects.statistic[here])
            limit = np.where(np.isnan(threshold[here]) | ~is_usable, np.inf, threshold[here])
            tested = is_usable
            known = ~np.isnan(flat[:, here]).all(axis=1)
            facts = {
                "query_group": query_group,
                "statistic": name,
                "num_a": int((known & self.model.is_a).sum()),
                "num_b": int((known & ~self.model.is_a).sum()),
                "num_clusters": len(np.unique(self.model.cluster[known])),
            }
            if name in self.untested:
                self.rows.append(facts | {"note": self.untested[name]})
                continue
            ranked, ranked_limit = scores.statistic[here], np.where(is_usable, scores.limit[here], np.inf)
            self.largest[query_group, name] = largest_masses(null[:, here], limit)
            self.largest_ranks[query_group, name] = largest_masses(scores.drawn[:, here], ranked_limit)
            if not tested.any():
                notes = [note for note in [*effects.note[here], *piled[here]] if note]
                self.rows.append(facts | {"note": notes[0] if notes else "no layer could be tested"})
                continue
            observed = np.where(tested, effects.statistic[here], 0.0)
            runs = list(stretches(observed, limit))
            for first, last in runs:
                part = observed[first : last + 1]
                peak = first + int(np.abs(part).argmax())
                difference = float(effects.effect[here][first : last + 1].mean())
                place = {"first_layer": first, "last_layer": last, "peak_layer": peak, "difference": difference}
                same = _same_stretch(ranked, ranked_limit, first, last, float(part.sum()))
                self.rows.append(facts | place | {"mass": float(part.sum()), "ranks": same})
            if not runs:
                self.rows.append(facts | {"note": NO_STRETCH})

    def _scores(self, flat: np.ndarray) -> _Scores:
        """Test normal scores by the pooled variance, as they are and under exchange."""
        assert self.exchange is not None
        result = _Scores(
            np.zeros(flat.shape[1]),
            np.zeros((len(self.signs), flat.shape[1]), dtype=np.float32),
            np.full(flat.shape[1], np.inf),
        )
        for block in self.exchange.statistics(normal_scores(flat)):
            result.statistic[block.columns], result.drawn[:, block.columns] = block.statistic, block.drawn
            result.limit[block.columns] = stats.t.isf(FORMING_ALPHA / 2, block.degrees_of_freedom)
        return result

    def table(self, comparison: str, family: Mapping[tuple[str, str], str]) -> pl.DataFrame:
        """Return one row per stretch, or per statistic without one; ``family`` as from ``declared_families``."""
        over, over_ranks = _largest_of_families(self.largest, family), _largest_of_families(self.largest_ranks, family)
        num_clusters = len(np.unique(self.model.cluster))
        method = (
            f"mean over heads, OLS and {self.errors} errors by cluster as in group_differences; sum of t over "
            f"neighbouring layers with p <= {FORMING_ALPHA:g} and one sign; p of the largest sum under "
            f"{len(self.signs):,} random signs per cluster, within the statistic (pvalue) and over the family; "
            "pvalue_ranks: over the family, normal scores, variance pooled under the null, clusters exchanged; "
            "pvalue_adjusted: the larger of both over the family; assumes independent clusters"
        )
        rows: list[dict[str, object]] = []
        for row in self.rows:
            place = row["query_group"], row["statistic"]
            tested: dict[str, object] = {}
            is_stretch = "mass" in row or row.get("note") == NO_STRETCH
            if is_stretch and len(self.signs) and num_clusters < FEW_CLUSTERS:
                tested["note"] = f"{num_clusters} clusters: fewer than {FEW_CLUSTERS} cannot tell a stretch from chance"
            elif "mass" in row and not len(self.signs):
                tested["note"] = "no random signs were drawn (analysis.permutations is 0)"
            elif "mass" in row:
                masses = self.largest[place], over[family[place]]
                own = [float((1 + (null >= abs(row["mass"]) * (1 - TIES)).sum()) / (len(null) + 1)) for null in masses]
                null = over_ranks[family[place]]
                ranked = float((1 + (null >= row["ranks"] * (1 - TIES)).sum()) / (len(null) + 1))
                tested = {"pvalue": own[0], "pvalue_ranks": ranked, "pvalue_adjusted": max(own[1], ranked)}
            row = {name: value for name, value in row.items() if name != "ranks"}
            rows.append(row | tested | {"comparison": comparison, "family": family[place], "method": method})
        return pl.DataFrame(rows, schema=LAYER_CLUSTERS.schema)


@dataclass(frozen=True)
class _Scores:
    """Statistic of normal scores ``[tests]``, that under exchange ``[draws, tests]``, and the limit of a stretch."""

    statistic: np.ndarray
    drawn: np.ndarray
    limit: np.ndarray


def _largest_of_families(
    masses: Mapping[tuple[str, str], np.ndarray], family: Mapping[tuple[str, str], str]
) -> dict[str, np.ndarray]:
    over: dict[str, np.ndarray] = {}
    for place, own in masses.items():
        over[family[place]] = np.maximum(over.get(family[place], 0.0), own)
    return over


def _same_stretch(statistic: np.ndarray, limit: np.ndarray, first: int, last: int, mass: float) -> float:
    """Return the largest |mass| of the stretches that share a layer with first..last and have the sign of ``mass``."""
    found = [
        abs(float(statistic[start : end + 1].sum()))
        for start, end in stretches(statistic, limit)
        if start <= last and end >= first and np.sign(statistic[start]) == np.sign(mass)
    ]
    return max(found, default=0.0)


def stretches(statistic: np.ndarray, limit: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield first and last place of each run of neighbours that pass the limit with the same sign."""
    signs = np.where(np.abs(statistic) >= limit, np.sign(statistic), 0)
    start = 0
    for place in range(1, len(signs) + 1):
        if place == len(signs) or signs[place] != signs[start]:
            if signs[start]:
                yield start, place - 1
            start = place


def largest_masses(statistic: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return the largest mass of each row of ``[permutations, layers]``; 0 where no layer passes."""
    running, largest = np.zeros(len(statistic)), np.zeros(len(statistic))
    previous = np.zeros(len(statistic))
    for layer in range(statistic.shape[1]):
        here = statistic[:, layer]
        sign = np.where(np.abs(here) >= limit[layer], np.sign(here), 0)
        running = np.abs(here) * (sign != 0) + np.where((sign == previous) & (sign != 0), running, 0)
        largest, previous = np.maximum(largest, running), sign
    return largest
