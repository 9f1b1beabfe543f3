"""The picture of a run: every head by its type, those that differ marked, those that matter ringed."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from analyses.charts.parts import (
    category_scale,
    cell_size,
    frames_of_marked,
    head_grid,
    marked_head,
    named,
    names_in_vega,
)
from analyses.settings.visualization import VisualizationSettings


def summary_map(
    frame: pl.DataFrame, style: VisualizationSettings, *, types: Mapping[str, str], subtitle: list[str]
) -> alt.TopLevelMixin:
    """Draw each head's type, a dot or diamond on those that differ, a ring round those that matter.

    ``frame``: ``layer, head, head_type, finding`` (0, 1 differs, 2 confirmed as well)``, is_causal, differs, matters``
    (words). ``types``: each type that is there to its name in words.
    """
    base = head_grid(frame, style, alt.Title("The run in one picture", subtitle=subtitle))
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("head:Q"),
        alt.Tooltip("head_type:N", title="type"),
        alt.Tooltip("differs:N", title="differs between"),
        alt.Tooltip("matters:N", title="moves the answer"),
    ]
    legend = alt.Legend(labelExpr=f"{names_in_vega(types)}[datum.label]")
    cells = base.mark_rect(stroke="white", strokeWidth=0.5, cursor="pointer", opacity=0.85).encode(
        color=alt.Color("head_type:N", title="head type", scale=category_scale(style, list(types)), legend=legend),
        tooltip=tooltip,
    )
    side = min(cell_size(frame, style))
    ringed = base.transform_filter("datum.is_causal")
    # A white ring below the black one, so that it shows on every colour.
    rings = [
        ringed.mark_point(shape="circle", filled=False, size=0.5 * side**2, stroke=stroke, strokeWidth=width, opacity=1)
        for stroke, width in (("white", max(3.5, side / 7)), ("black", max(1.8, side / 14)))
    ]
    marks = (
        base.transform_filter("datum.finding > 0")
        .mark_point(filled=True, size=max(16.0, 0.1 * side**2), color="black", stroke="white", strokeWidth=1, opacity=1)
        .encode(
            shape=alt.Shape(
                "kind:N", scale=alt.Scale(domain=["differs", "confirmed"], range=["circle", "diamond"]), legend=None
            ),
            tooltip=tooltip,
        )
        .transform_calculate(kind="datum.finding > 1 ? 'confirmed' : 'differs'")
    )
    apart = alt.Resolve(scale=alt.ScaleResolveMap(shape="independent"))
    return alt.layer(cells, *rings, marks, *frames_of_marked(base), params=named(*marked_head()), resolve=apart)
