"""One head: how its values spread over groups of samples, and the samples where they are strongest on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.charts.parts import named_rows
from analyses.charts.single_heads import head_distribution
from analyses.settings.visualization import VisualizationSettings
from analyses.viewing.source import ViewedRun
from analyses.wording import query_group_label, signed_text, statistic_label, statistic_unit, value_text

STRONGEST = 12
"""Samples listed on each side."""

_QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}

_SHOWN = ("predicted_label", "actual_label", "logit_difference")

_SIDES = {True: "correct", False: "incorrect", None: "all samples"}


@dataclass(frozen=True)
class HeadPage:
    """What is shown of a head.

    Attributes
    ----------
    sides
        Name of a group of samples to its rows ``sample_id, value`` (in words)``, predicted_label, actual_label,
        logit_difference``, strongest first.
    values
        Every sample with its value, for export.
    chart
        Vega-Lite of how values spread; None where no sample has one.
    facts
        What the analysis says of the head, as (what, text).
    """

    sides: dict[str, pl.DataFrame]
    values: pl.DataFrame
    chart: dict[str, object] | None
    facts: list[tuple[str, str]]


def head_page(
    viewed: ViewedRun,
    style: VisualizationSettings,
    where: tuple[int, int],
    query_group: str,
    statistic: str,
    *,
    low: bool,
) -> HeadPage:
    """Return what is shown of a head.

    Parameters
    ----------
    where
        Layer and head.
    low
        Whether the lowest values come first rather than the highest.
    """
    layer, head = where
    column = viewed.values(query_group, statistic)[:, layer * viewed.run.num_heads + head]
    samples = viewed.run.samples.select(
        "sample_id", "is_correct", "predicted_label", "actual_label", "logit_difference"
    )
    known = samples.with_columns(value=pl.Series(column.astype(np.float64))).filter(pl.col("value").is_not_nan())
    groups = [key for key in (True, False) if (known["is_correct"] == key).any()] or [None]
    sides, rows = {}, []
    for key in groups:
        own = known if key is None else known.filter(pl.col("is_correct") == key)
        strongest = own.sort("value", descending=not low, maintain_order=True).head(STRONGEST)
        told = [value_text(statistic, value) for value in strongest["value"]]
        sides[_SIDES[key]] = strongest.select("sample_id", pl.Series("value", told, dtype=pl.String), *_SHOWN)
        spread = {name: own["value"].quantile(at) for name, at in _QUANTILES.items()}
        rows.append({"group": _SIDES[key], "num_samples": len(own), **spread})
    chart = None
    if len(known):
        is_share = statistic_unit(statistic) == "share of attention"
        title = f"Head {layer}.{head}, {query_group_label(query_group)}: {statistic_label(statistic).lower()}"
        drawn = head_distribution(style, groups=[row["group"] for row in rows], title=title, is_share=is_share)
        chart = named_rows(drawn, rows=pl.DataFrame(rows))
    return HeadPage(sides, known, chart, _facts(viewed, layer, head))


def _facts(viewed: ViewedRun, layer: int, head: int) -> list[tuple[str, str]]:
    types, effects = viewed.analysis("head_types"), viewed.analysis("causal_effects")
    facts: list[tuple[str, str]] = []
    if types is not None and len(own := types.filter(layer=layer, head=head)):
        facts.append(("Type", str(own["head_type"][0])))
    if effects is not None:
        own = effects.filter(layer=layer, head=head, measure="lead").drop_nulls("mean")
        facts += [
            (
                kind.replace("_", " ").replace("dla", "direct attribution"),
                f"{signed_text(mean, 3)} nats of the answer's lead",
            )
            for kind, mean in own.select("kind", "mean").iter_rows()
        ]
    return facts or [("Analysis", "not analysed yet: python -m analyses.report makes it")]
