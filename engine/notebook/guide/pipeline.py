"""The guide's pipeline over samples: aggregate what was found in each text, draw it, test it.

The guide calls these functions and defines none of them. Each text counts once: heads and layers are never pooled as if
they were samples. A run (``run_interpretability_experiment``) does more of all of it, and with right and wrong answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.charts.heads import head_map
from analyses.charts.parts import Chart, Menus
from analyses.inference.clustered_means import clustered_mean
from analyses.inference.multiplicity import adjust_pvalues
from analyses.settings.visualization import VisualizationSettings
from engine.errors import UserError
from engine.notebook.analyzer import FinancialAttentionAnalyzer
from engine.notebook.guide.cells import shows_itself
from engine.notebook.head_types import analyze_head_types
from engine.notebook.workbench import warn

_FEWEST = 10
"""Texts below which nothing is claimed, as for rare key groups."""
_HEAD = ["query_group", "key_group", "layer", "head"]
_NEEDED = ("financial_attention", "prediction_attention", "head_specialization")


@dataclass(frozen=True)
class AggregatedResults:
    """What was found in several texts.

    Attributes
    ----------
    scores
        ``sample, query_group, layer, head, key_group, mass, baseline, lift``: every text's.
    prediction
        ``sample, layer, financial_attention``: what the row that predicts the word puts on the vocabulary, the mean
        over heads.
    head_types
        ``layer, head, head_type, num_samples``: in how many texts a head is of a type.
    clusters
        One label per text; texts of one label may be alike.
    """

    scores: pl.DataFrame
    prediction: pl.DataFrame
    head_types: pl.DataFrame
    clusters: tuple[object, ...]

    @property
    def num_samples(self) -> int:
        """Texts."""
        return len(self.clusters)

    @property
    def means(self) -> pl.DataFrame:
        """``query_group, key_group, layer, head, mass, baseline, lift``: means over texts."""
        return self.scores.group_by(_HEAD, maintain_order=True).agg(pl.col("mass", "baseline", "lift").mean())

    def __repr__(self) -> str:
        """Say how much was put together."""
        groups = self.scores["key_group"].n_unique()
        return f"AggregatedResults({self.num_samples} samples, {groups} key groups; .means, .prediction, .head_types)"


def analyze_head_specialization(analyzer: FinancialAttentionAnalyzer) -> pl.DataFrame:
    """Return the type of every head of every layer in one text, as ``analyze_head_types`` does for one layer."""
    return analyze_head_types(analyzer)


def aggregate_results(
    results: Sequence[Mapping[str, Any]], clusters: Sequence[object] | None = None
) -> AggregatedResults:
    """Put together what was found in each text.

    Parameters
    ----------
    results
        One mapping per text, as the guide makes them: ``financial_attention``
        (``analyzer.compute_financial_attention_scores()``), ``prediction_attention``
        (``analyzer.analyze_prediction_attention()``) and ``head_specialization`` (``analyze_head_specialization``).
    clusters
        What texts are alike by, such as their company; each stands for itself otherwise.

    Raises
    ------
    UserError
        When a text lacks one of the three, or there is another number of clusters than of texts.
    """
    if not results:
        raise UserError("results: give what was found in at least one text.")
    for number, found in enumerate(results):
        if missing := [name for name in _NEEDED if name not in found]:
            raise UserError(
                f"results[{number}]: lacks {', '.join(missing)}; a text's results have {', '.join(_NEEDED)}."
            )
    labels = tuple(range(len(results)) if clusters is None else clusters)
    if len(labels) != len(results):
        raise UserError(f"clusters: {len(labels)} labels for {len(results)} texts; give one for each.")
    scores, types, rows = [], [], []
    for number, found in enumerate(results):
        scores.append(found["financial_attention"].select(pl.lit(number).alias("sample"), pl.all()))
        types.append(found["head_specialization"].select("layer", "head", "head_type"))
        for name, row in found["prediction_attention"].items():
            layer = int(str(name).removeprefix("layer_"))
            rows.append({"sample": number, "layer": layer, "financial_attention": row["financial_attention"]["mean"]})
    counted = pl.concat(types).group_by("layer", "head", "head_type").agg(pl.len().alias("num_samples"))
    return AggregatedResults(pl.concat(scores), pl.DataFrame(rows), counted.sort("layer", "head", "head_type"), labels)


@shows_itself
def visualize_findings(aggregated: AggregatedResults, look: VisualizationSettings | None = None) -> Chart:
    """Return a map of heads with the mean lift over texts, with menus of rows and key groups; an Altair chart.

    Lift is attention over what uniform attention would give: 1 is no preference.
    """
    wide = aggregated.means.pivot("key_group", index=["query_group", "layer", "head"], values="lift")
    groups = aggregated.scores["key_group"].unique(maintain_order=True).to_list()
    rows = aggregated.scores["query_group"].unique(maintain_order=True).to_list()
    menus = Menus(
        {name: f"{name.replace('_', ' ')} rows" for name in rows},
        {name: f"lift of {name.replace('_', ' ')}" for name in groups},
        (rows[0], groups[0]),
    )
    return head_map(
        wide,
        look or VisualizationSettings(),
        menus=menus,
        subtitle=f"mean over {aggregated.num_samples} texts; 1 is uniform attention",
    )


def statistical_tests(
    aggregated: AggregatedResults, query_group: str = "all", alpha: float = 0.05, correction: str = "fdr_bh"
) -> pl.DataFrame:
    """Test for every head and key group whether it gets more or less than uniform attention would give.

    The text is the unit (texts of one cluster count together): t of the mean excess with CR2 errors and Satterthwaite's
    degrees of freedom, adjusted over all tests. (The guide's t-tests took heads and positions for samples.)

    Parameters
    ----------
    aggregated
        What ``aggregate_results`` returned.
    query_group
        Whose attention.
    alpha
        Level of the intervals and of ``is_finding``.
    correction
        ``fdr_bh``, ``fdr_by``, ``holm`` or ``bonferroni``.

    Returns
    -------
    polars.DataFrame
        ``key_group, layer, head, excess, ci_low, ci_high, num_samples, num_clusters, pvalue, pvalue_adjusted,
        is_finding``, the surest first; ``excess`` is mass less baseline. P-values are null where texts do not differ or
        are fewer than two.

    Raises
    ------
    UserError
        When no text has the query group.
    """
    own = aggregated.scores.filter(pl.col("query_group") == query_group)
    if own.is_empty():
        known = ", ".join(aggregated.scores["query_group"].unique(maintain_order=True))
        raise UserError(f"query_group: {query_group!r} is unknown; known are {known}.")
    if aggregated.num_samples < _FEWEST:
        warn(
            f"statistical_tests: {aggregated.num_samples} text(s) are too few to say anything; {_FEWEST} are the least."
        )
    wide = (
        own.with_columns((pl.col("mass").cast(pl.Float64) - pl.col("baseline").cast(pl.Float64)).alias("excess"))
        .pivot("sample", index=["key_group", "layer", "head"], values="excess")
        .sort("key_group", "layer", "head")
    )
    keys, values = wide.select("key_group", "layer", "head"), wide.drop("key_group", "layer", "head")
    present = np.array([int(name) for name in values.columns])
    labels = np.unique(np.array([str(aggregated.clusters[number]) for number in present]), return_inverse=True)[1]
    found = clustered_mean(values.cast(pl.Float64).to_numpy().T, labels, 1 - alpha)
    error = np.where(found.standard_error > 0, found.standard_error, np.nan)
    pvalue = 2 * stats.t.sf(np.abs(found.mean / error), found.degrees_of_freedom)
    adjusted = adjust_pvalues(pvalue, correction)
    return keys.with_columns(
        pl.Series("excess", found.mean),
        pl.Series("ci_low", found.ci_low),
        pl.Series("ci_high", found.ci_high),
        pl.Series("num_samples", found.num_samples),
        pl.Series("num_clusters", found.num_clusters),
        pl.Series("pvalue", pvalue).fill_nan(None),
        pl.Series("pvalue_adjusted", adjusted).fill_nan(None),
        (pl.Series("pvalue_adjusted", adjusted).fill_nan(None) <= alpha).fill_null(False).alias("is_finding"),
    ).sort("pvalue_adjusted", "pvalue", nulls_last=True)
