"""Cluster mass along layers: whether a statistic differs over a stretch of neighbouring layers.

Each statistic is averaged over the heads of a layer first. Layers have an order, so an effect that spreads over several
of them adds up: the mass of a stretch is the sum of t over neighbouring layers whose t passes the threshold with the
same sign (Bullmore et al. 1999, Maris and Oostenveld 2007). Its null distribution is that of the largest mass under the
random signs of max-T, so companies, or whatever samples are clustered by, keep their correlations. Heads have no order:
no mass is ever formed across head indices.

The p-value is of the stretch as a whole. It says that some layer in it differs, not that each does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.adjusted_model import adjusted_effects
from analyses.cluster_errors import Errors
from analyses.design import Samples
from analyses.max_t import TIES, flipped_statistics

FORMING_ALPHA = 0.05
"""A layer joins a stretch when its own two-sided p is at most this; fixed, so that nobody tunes it to the result."""

NO_STRETCH = f"no layer passes the threshold, p = {FORMING_ALPHA:g}"
"""Note of a statistic that was tested in every layer without finding a stretch."""

SCHEMA: dict[str, Any] = {
    "comparison": pl.String,
    "family": pl.String,
    "query_group": pl.String,
    "statistic": pl.String,
    "first_layer": pl.Int32,
    "last_layer": pl.Int32,
    "peak_layer": pl.Int32,
    "difference": pl.Float64,
    "mass": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "num_a": pl.Int32,
    "num_b": pl.Int32,
    "num_clusters": pl.Int32,
    "method": pl.String,
    "note": pl.String,
}


@dataclass
class LayerClusters:
    """Collects the statistics of one comparison, block by block, and tests their stretches at the end.

    ``untested`` are statistics that are only listed, with the reason as their note.
    """

    model: Samples
    signs: np.ndarray
    errors: Errors = "CR2"
    untested: Mapping[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    largest: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def add(self, query_group: str, statistics: Sequence[str], values: np.ndarray) -> None:
        """Take in means over heads, ``[samples, statistics, layers]``, of the samples of the model."""
        num_layers = values.shape[2]
        flat = values.reshape(len(values), -1).astype(np.float64)
        effects = adjusted_effects(flat, self.model, errors=self.errors)
        threshold = stats.t.isf(FORMING_ALPHA / 2, effects.degrees_of_freedom)
        null = np.zeros((len(self.signs), flat.shape[1]), dtype=np.float32)
        for columns, statistic in flipped_statistics(flat, self.model, self.signs, self.errors):
            null[:, columns] = statistic
        for slot, name in enumerate(statistics):
            here = slice(slot * num_layers, (slot + 1) * num_layers)
            limit = np.where(np.isnan(threshold[here]), np.inf, threshold[here])
            tested = ~np.isnan(effects.statistic[here])
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
            self.largest[query_group, name] = largest_masses(null[:, here], limit)
            if not tested.any():
                notes = [note for note in effects.note[here] if note]
                self.rows.append(facts | {"note": notes[0] if notes else "no layer could be tested"})
                continue
            observed = np.where(tested, effects.statistic[here], 0.0)
            found = list(stretches(observed, limit))
            for first, last in found:
                part = observed[first : last + 1]
                peak = first + int(np.abs(part).argmax())
                difference = float(effects.effect[here][first : last + 1].mean())
                place = {"first_layer": first, "last_layer": last, "peak_layer": peak, "difference": difference}
                self.rows.append(facts | place | {"mass": float(part.sum())})
            if not found:
                self.rows.append(facts | {"note": NO_STRETCH})

    def table(self, comparison: str, family: Mapping[tuple[str, str], str]) -> pl.DataFrame:
        """Return one row per stretch, or per statistic without one; ``family`` as from ``declared_families``."""
        over: dict[str, np.ndarray] = {}
        for place, masses in self.largest.items():
            name = family[place]
            over[name] = np.maximum(over[name], masses) if name in over else masses
        method = (
            f"mean over heads, OLS and {self.errors} errors by cluster as in group_differences; sum of t over "
            f"neighbouring layers with p <= {FORMING_ALPHA:g} and one sign; p of the largest sum under "
            f"{len(self.signs):,} random signs per cluster, within the statistic (pvalue) and over the family "
            "(pvalue_adjusted); assumes "
            "independent clusters with errors symmetric about 0"
        )
        rows: list[dict[str, Any]] = []
        for row in self.rows:
            place = row["query_group"], row["statistic"]
            tested: dict[str, Any] = {}
            if "mass" in row and not len(self.signs):
                tested["note"] = "no random signs were drawn (analysis.permutations is 0)"
            elif "mass" in row:
                masses = self.largest[place], over[family[place]]
                own = [float((1 + (null >= abs(row["mass"]) * (1 - TIES)).sum()) / (len(null) + 1)) for null in masses]
                tested = dict(zip(("pvalue", "pvalue_adjusted"), own, strict=True))
            rows.append(row | tested | {"comparison": comparison, "family": family[place], "method": method})
        return pl.DataFrame(rows, schema=SCHEMA)


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
