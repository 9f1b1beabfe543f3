"""Every answer of an analysis in one place, before it becomes charts, sentences and files."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analyses.attention_profiles import attention_profiles, decision_top_tokens
from analyses.causal_agreement import head_agreement
from analyses.causal_effects import causal_effects
from analyses.comparisons import Comparison
from analyses.correlations import correlations
from analyses.decodability import SCHEMA as DECODABILITY_SCHEMA
from analyses.decodability import decodability
from analyses.decodability_settings import DecodabilitySettings
from analyses.group_differences import group_differences
from analyses.head_details import head_details, head_top_tokens
from analyses.head_types import head_types
from analyses.hypotheses import hypotheses
from analyses.power import power
from analyses.queries import head_means, noun_of_clusters
from analyses.run_tables import RunTables
from analyses.sample_choice import ShownSamples, choose_samples
from analyses.setting_checks import require_known
from analyses.settings import AnalysisSettings
from analyses.strata import replication_by_stratum
from analyses.units import RunError
from analyses.visualization_settings import VisualizationSettings


@dataclass(frozen=True)
class AnalysisTables:
    """What the analysis computed, ready for charts, sentences and files."""

    run: RunTables
    settings: AnalysisSettings
    look: VisualizationSettings
    comparisons: tuple[Comparison, ...]
    differences: pl.DataFrame
    layer_clusters: pl.DataFrame
    replication_by_stratum: pl.DataFrame
    head_means: pl.DataFrame
    head_types: pl.DataFrame
    head_distributions: pl.DataFrame
    head_lifts: pl.DataFrame
    head_top_tokens: pl.DataFrame
    shown_samples: ShownSamples
    layer_profiles: pl.DataFrame
    key_group_attention: pl.DataFrame
    decision_top_tokens: pl.DataFrame | None
    decodability: pl.DataFrame
    hypotheses: pl.DataFrame
    correlations: pl.DataFrame
    power: pl.DataFrame
    causal_effects: pl.DataFrame
    causal_differences: pl.DataFrame
    head_agreement: pl.DataFrame
    head_screening: pl.DataFrame

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
        return self.run.vocabulary

    @property
    def cluster_noun(self) -> str:
        """What one cluster is, in the words of the run: the field of the predictions that names it."""
        return noun_of_clusters(self.run, self.settings)


def compute_tables(run: RunTables, settings: AnalysisSettings, look: VisualizationSettings) -> AnalysisTables:
    """Answer every research question on an open run; nothing is written.

    Raises
    ------
    RunError
        When the run holds no sample, or a statistic that is infinite.
    """
    if run.samples.is_empty() or not run.query_groups:
        raise RunError(f"{run.run_dir}: the run measured no sample{_why_none(run)}. There is nothing to analyse.")
    _check_names(run, settings)
    means_of_heads = head_means(run)
    _check_finite(run, means_of_heads)
    differences, layer_clusters, comparisons = group_differences(run, settings)
    shown = comparisons[0] if comparisons else None
    layer_profiles, key_group_attention = attention_profiles(run, settings, shown)
    effects, effect_differences = causal_effects(run, settings)
    agreement, screening = head_agreement(run, settings)
    details = head_details(run, settings, shown)
    return AnalysisTables(
        run=run,
        settings=settings,
        look=look,
        comparisons=tuple(comparisons),
        differences=differences,
        layer_clusters=layer_clusters,
        replication_by_stratum=replication_by_stratum(run, settings, comparisons, differences),
        head_means=means_of_heads,
        head_types=head_types(run, settings),
        head_distributions=details.distributions,
        head_lifts=details.lifts,
        head_top_tokens=head_top_tokens(run),
        shown_samples=choose_samples(run, details.profiles),
        layer_profiles=layer_profiles,
        key_group_attention=key_group_attention,
        decision_top_tokens=decision_top_tokens(run, settings, shown, look.max_tokens),
        decodability=_predicted(run, settings),
        hypotheses=hypotheses(run, settings, settings.hypotheses),
        correlations=correlations(run, settings, settings.correlations),
        power=power(run, settings),
        causal_effects=effects,
        causal_differences=effect_differences,
        head_agreement=agreement,
        head_screening=screening,
    )


def _predicted(run: RunTables, settings: AnalysisSettings) -> pl.DataFrame:
    choices = settings.predicted
    return pl.DataFrame(schema=DECODABILITY_SCHEMA) if choices is None else decodability(run, settings, choices)


def _check_names(run: RunTables, settings: AnalysisSettings) -> None:
    """Refuse statistics and query groups that are to predict, and that the run does not have."""
    choices = settings.predicted
    if choices is None:
        return
    if choices.query_group != DecodabilitySettings.query_group:
        require_known(choices.query_group, "analysis.decodability.query_group", run.query_groups, "query group")
    for slot, name in enumerate(choices.statistics or ()):
        require_known(name, f"analysis.decodability.statistics[{slot}]", run.statistics, "statistic")


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
