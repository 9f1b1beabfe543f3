"""Every test of one chunk of heads and statistics: adjusted, on ranks, unadjusted, under random signs, in halves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from analyses.inference.adjusted.checks import check_differences, interactions, why_too_few
from analyses.inference.adjusted.cluster_errors import Errors
from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import AdjustedEffects, adjusted_effects
from analyses.inference.adjusted.exchange import Exchange
from analyses.inference.adjusted.max_t import TIES, flipped_statistics
from analyses.inference.ranks import normal_scores, rank_columns
from analyses.inference.replication import HalfEffects
from analyses.inference.unadjusted import compare_groups


@dataclass(frozen=True)
class Chunk:
    """The tests of one chunk.

    Attributes
    ----------
    columns
        ``[tests]`` arrays by name.
    halves
        Effects of both halves; None without replication.
    maxima, exchanged
        By family the largest |T*| under each set of signs, and the largest statistic under each exchange.
    labels
        What ``interaction`` compares.
    """

    columns: dict[str, np.ndarray]
    halves: tuple[HalfEffects, HalfEffects] | None
    maxima: Mapping[str, np.ndarray]
    exchanged: Mapping[str, np.ndarray]
    labels: tuple[str, str]


@dataclass
class TestedChunks:
    """What is collected over the chunks of a comparison until its p-values can be adjusted.

    Attributes
    ----------
    model
        The samples of both groups.
    errors, signs
        Kind of clustered errors, and the random signs that every chunk shares.
    is_wild
        Whether p and interval are those of the wild cluster bootstrap.
    alpha
        Intervals cover ``1 - alpha``.
    in_confirmation
        ``[samples]`` booleans, or None without replication.
    untested
        Statistics that get no p-value, and why.
    fixed
        The same samples with ``analysis.held_fixed`` among their covariates, or None.
    exchange
        Draws of exchanged clusters; None without permutations.
    parts, halves, maxima, exchanged
        Results: columns of each chunk, effects of both halves, the largest |T*| by family, and the largest under
        exchange.
    labels
        What ``interaction`` compares: a predicted label and the others.
    """

    model: ModelSamples
    errors: Errors
    signs: np.ndarray
    is_wild: bool
    alpha: float
    in_confirmation: np.ndarray | None
    untested: Mapping[str, str] = field(default_factory=dict)
    fixed: ModelSamples | None = None
    exchange: Exchange | None = None
    parts: list[dict[str, np.ndarray]] = field(default_factory=list)
    halves: list[tuple[HalfEffects, HalfEffects]] = field(default_factory=list)
    maxima: dict[str, np.ndarray] = field(default_factory=dict)
    exchanged: dict[str, np.ndarray] = field(default_factory=dict)
    labels: tuple[str, str] = ("", "")

    def add(self, chunk: Chunk) -> None:
        """Take in the tests of the next chunk."""
        self.parts.append(chunk.columns)
        if chunk.halves is not None:
            self.halves.append(chunk.halves)
        for kept, new in ((self.maxima, chunk.maxima), (self.exchanged, chunk.exchanged)):
            for name, largest in new.items():
                kept[name] = np.maximum(kept.get(name, 0.0), largest)
        self.labels = chunk.labels

    def tested(self, keys: dict[str, np.ndarray], values: np.ndarray) -> Chunk:
        """Test a chunk, float32 ``[samples, tests]``, of the samples of the model; nothing is taken in yet."""
        ranks = rank_columns(values)
        values = values.astype(np.float64)
        effects = adjusted_effects(values, self.model, 1 - self.alpha, self.errors)
        scores = normal_scores(values, ranks)
        plain = compare_groups(values, self.model.is_a, ranks)
        reasons = np.array([self.untested.get(name, "") for name in keys["statistic"]], dtype=object)
        reasons = np.where(reasons == "", why_too_few(values, self.model.is_a), reasons)
        is_left_out = reasons != ""
        effects.note[is_left_out] = reasons[is_left_out]
        for column in (effects.statistic, effects.pvalue, effects.ci_low, effects.ci_high, effects.standard_error):
            column[is_left_out] = np.nan
        for column in (plain.pvalue_welch, plain.pvalue_mannwhitney):
            column[is_left_out] = np.nan
        tested = ~np.isnan(effects.pvalue)
        exchange, pooled, exchanged = self._exchange(keys["family"], scores, np.flatnonzero(tested))
        checks = check_differences(
            values, effects, self.model, self.fixed, scores=scores, pooled=pooled, errors=self.errors
        )
        found = interactions(values, scores, self.model)
        maxima = self._flip(keys["family"], values, effects, np.flatnonzero(~is_left_out)) if len(self.signs) else {}
        columns = keys | {"exchange": exchange}
        halves = None if self.in_confirmation is None else self._half_effects(values, self.in_confirmation)
        for name, half in zip(_HALF_COLUMNS, halves or (), strict=False):
            half.pvalue[is_left_out] = np.nan
            columns[name] = np.where(is_left_out, np.nan, half.effect / plain.standardizer)
        columns |= {name: getattr(plain, name) for name in _PLAIN_COLUMNS}
        columns |= {name: getattr(effects, name) for name in _EFFECT_COLUMNS}
        columns |= {
            "difference": effects.effect,
            "effect_size_adjusted": effects.effect / plain.standardizer,
            "t": effects.statistic,
            "interaction": np.where(tested, found.effect, np.nan),
            "pvalue_interaction": np.where(tested, found.pvalue, np.nan),
        }
        columns |= {name: getattr(checks, name) for name in _CHECK_COLUMNS} | {"is_approximate": checks.is_skewed}
        return Chunk(columns, halves, maxima, exchanged, found.labels)

    @cached_property
    def _half_models(self) -> tuple[ModelSamples, ModelSamples]:
        assert self.in_confirmation is not None
        return self.model.take(~self.in_confirmation), self.model.take(self.in_confirmation)

    def _half_effects(self, values: np.ndarray, in_confirmation: np.ndarray) -> tuple[HalfEffects, HalfEffects]:
        rows = ~in_confirmation, in_confirmation
        halves = [
            adjusted_effects(values[half], model, errors=self.errors)
            for half, model in zip(rows, self._half_models, strict=True)
        ]
        return HalfEffects(halves[0].effect, halves[0].pvalue), HalfEffects(halves[1].effect, halves[1].pvalue)

    def _exchange(
        self, family: np.ndarray, scores: np.ndarray, tested: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Return the statistic of each test as it is, its pooled p, and the largest of each family under exchange."""
        result, pooled = np.full((2, scores.shape[1]), np.nan)
        exchanged: dict[str, np.ndarray] = {}
        chosen = scores if len(tested) == scores.shape[1] else scores[:, tested]
        for block in self.exchange.statistics(chosen) if self.exchange else ():
            columns = tested[block.columns]
            result[columns], pooled[columns] = block.statistic, block.pooled
            _keep_largest(exchanged, family[columns], np.abs(block.drawn, out=block.drawn))
        return result, pooled, exchanged

    def _flip(
        self, family: np.ndarray, values: np.ndarray, effects: AdjustedEffects, tested: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the largest |T*| of each family; with ``is_wild``, take p and interval from each test's own."""
        maxima = {name: np.zeros(len(self.signs)) for name in dict.fromkeys(family.tolist())}
        chosen = values if len(tested) == values.shape[1] else values[:, tested]
        for places, statistic in flipped_statistics(chosen, self.model, self.signs, self.errors):
            columns = tested[places]
            size = np.abs(statistic)
            _keep_largest(maxima, family[columns], size)
            if self.is_wild:
                _bootstrap(effects, columns, size, self.alpha)
        return maxima


def _keep_largest(kept: dict[str, np.ndarray], family: np.ndarray, size: np.ndarray) -> None:
    """Keep the largest of each family and draw; ``size`` is ``[draws, tests]``."""
    names = dict.fromkeys(family.tolist())
    for name in names:
        largest = (size if len(names) == 1 else size[:, family == name]).max(axis=1)
        kept[name] = np.maximum(kept.get(name, 0.0), largest)


def _bootstrap(effects: AdjustedEffects, columns: np.ndarray, size: np.ndarray, alpha: float) -> None:
    """Replace p and interval of some tests by those of the wild cluster bootstrap; ``size`` is |T*|."""
    tested = ~np.isnan(effects.pvalue[columns])
    columns, size = columns[tested], size[:, tested]
    at_least = (size >= np.abs(effects.statistic[columns]) * (1 - TIES)).sum(axis=0)
    effects.pvalue[columns] = (1 + at_least) / (len(size) + 1)
    # The (1 - alpha) quantile of |T*| and T itself among them, so that p <= alpha and an interval without 0 agree.
    rank = min(int(np.ceil((1 - alpha) * (len(size) + 1))), len(size)) - 1
    reach = np.partition(size, rank, axis=0)[rank] * effects.standard_error[columns]
    effects.ci_low[columns], effects.ci_high[columns] = effects.effect[columns] - reach, effects.effect[columns] + reach
    effects.degrees_of_freedom[columns] = np.nan
    # What was left out of the model stands behind the error's kind, and must stay there.
    kind = f", wild cluster bootstrap-t, {len(size):,} draws, null imposed"
    effects.method[columns] = [re.sub(r", t\([^)]*\)", kind, text, count=1) for text in effects.method[columns]]


_HALF_COLUMNS = ("effect_size_discovery", "effect_size_confirmation")

_CHECK_COLUMNS = ("pvalue_ranks", "pvalue_pooled", "difference_fixed", "pvalue_fixed")

_PLAIN_COLUMNS = (
    "mean_a",
    "mean_b",
    "effect_size",
    "pvalue_welch",
    "pvalue_mannwhitney",
    "auc",
    "num_a",
    "num_b",
)
_EFFECT_COLUMNS = (
    "ci_low",
    "ci_high",
    "standard_error",
    "pvalue",
    "num_clusters",
    "degrees_of_freedom",
    "method",
    "note",
)
