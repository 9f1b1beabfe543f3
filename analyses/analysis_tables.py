"""Every answer of an analysis in one place, before it becomes charts, sentences and files."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analyses.attention_profiles import decision_top_tokens, key_group_attention, layer_profiles, sample_layer_means
from analyses.group_differences import Comparison, group_differences
from analyses.head_types import head_types
from analyses.key_groups import vocabulary_union
from analyses.queries import head_means
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings, VisualizationSettings
from analyses.units import RunError


@dataclass(frozen=True)
class AnalysisTables:
    """What the analysis computed, ready for charts, sentences and files."""

    run: RunTables
    settings: AnalysisSettings
    look: VisualizationSettings
    comparisons: tuple[Comparison, ...]
    differences: pl.DataFrame
    head_means: pl.DataFrame
    head_types: pl.DataFrame
    layer_profiles: pl.DataFrame
    key_group_attention: pl.DataFrame
    decision_top_tokens: pl.DataFrame | None

    @property
    def comparison(self) -> Comparison | None:
        """The comparison that charts show: the first one configured."""
        return self.comparisons[0] if self.comparisons else None

    @property
    def tested(self) -> pl.DataFrame:
        """Tests of that comparison."""
        return self.tests_of(self.comparison.name) if self.comparison else self.differences.clear()

    def tests_of(self, name: str) -> pl.DataFrame:
        """Return the tests of one comparison."""
        return self.differences.filter(pl.col("comparison") == name)

    @property
    def vocabulary(self) -> str | None:
        """The key group that is the whole vocabulary."""
        return vocabulary_union(self.run)


def compute_tables(run: RunTables, settings: AnalysisSettings, look: VisualizationSettings) -> AnalysisTables:
    """Answer every research question on an open run; nothing is written.

    Raises
    ------
    RunError
        When the run holds no sample, or a statistic that is infinite.
    """
    if run.samples.is_empty() or not run.query_groups:
        raise RunError(f"{run.run_dir}: the run measured no sample{_why_none(run)}. There is nothing to analyse.")
    means_of_heads = head_means(run)
    _check_finite(run, means_of_heads)
    differences, comparisons = group_differences(run, settings)
    shown = comparisons[0] if comparisons else None
    means = sample_layer_means(run)
    return AnalysisTables(
        run=run,
        settings=settings,
        look=look,
        comparisons=tuple(comparisons),
        differences=differences,
        head_means=means_of_heads,
        head_types=head_types(run, settings),
        layer_profiles=layer_profiles(run, means, settings, shown),
        key_group_attention=key_group_attention(run, means, settings, shown),
        decision_top_tokens=decision_top_tokens(run, settings, shown, look.max_tokens),
    )


def _why_none(run: RunTables) -> str:
    found = run.tables.get("rejects")
    if found is None:
        return ""
    counted = found.group_by("reason").agg(pl.len()).sort("len", "reason", descending=[True, False]).collect()
    listed = ", ".join(f"{reason} {count:,}" for reason, count in counted.iter_rows())
    return f"; every row was rejected ({listed})" if listed else ""


def _check_finite(run: RunTables, means: pl.DataFrame) -> None:
    """Refuse infinite values: nulls mark what is missing, and a mean of infinities says nothing."""
    names = [name for name in run.statistics if not means[name].drop_nulls().is_finite().all()]
    if names:
        raise RunError(
            f"{run.run_dir}: {', '.join(names[:5])} of head_stats holds infinite values. Statistics are finite, or "
            "null where they are not defined; measure the run again."
        )
