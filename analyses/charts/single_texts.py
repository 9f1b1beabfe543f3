"""Charts of single texts: patterns with token labels, rows over layers, key groups by head, effects of interventions.

They draw what they are given and compute nothing; long texts come cut or summed.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from analyses.charts.parts import SHARE, category_scale, chart_of, gradient_legend, quoted, scheme
from analyses.settings.visualization import VisualizationSettings

_CELL, _SMALLEST_CELL = 18.0, 7.0
_LABELS_FROM = 12.0
"""Pixels of a cell from which its label can be read."""


def _axis(labels: Sequence[str], cell: float, title: str, angle: int) -> alt.Axis:
    """Return an axis whose values are numbers and whose labels are their texts; equal texts stay apart."""
    texts = "[" + ", ".join(quoted(label) for label in labels) + "]"
    step = max(1, round(_LABELS_FROM / cell))
    values = list(range(0, len(labels), step))
    return alt.Axis(
        title=title,
        values=values,
        labelExpr=f"{texts}[datum.value]",
        labelAngle=angle,
        ticks=False,
        domain=False,
        labelOverlap=False,
        labelLimit=150,
        titlePadding=30 if angle == 0 else 8,
    )


def _places(labels: Sequence[str]) -> alt.Scale:
    """Return a scale with a place for every label, those without a cell included."""
    return alt.Scale(domain=list(range(len(labels))))


def _weight(field: str, title: str, style: VisualizationSettings) -> alt.Color:
    """Return the colour of a share of attention, from 0."""
    scale = alt.Scale(domainMin=0, **scheme(style, "sequential"))
    return alt.Color(field, title=title, scale=scale, legend=gradient_legend())


def pattern_heatmap(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    rows: Sequence[str],
    keys: Sequence[str],
    title: str,
    subtitle: str,
    summed: bool,
) -> alt.TopLevelMixin:
    """Draw a pattern: what each row looks at.

    Parameters
    ----------
    frame
        ``row, key`` (places in ``rows`` and ``keys``) and ``weight``; ``row_label, key_label`` for the tooltip.
    style
        Colours and sizes.
    rows, keys
        Labels in the order of the text.
    title, subtitle
        Which head, and what is shown of the text.
    summed
        Whether a cell is the mean over its rows of the sum over its keys.
    """
    width, height = style.figure_sizes.width, 1.6 * style.figure_sizes.height
    cell = max(_SMALLEST_CELL, min(_CELL, width / max(len(keys), 1), height / max(len(rows), 1)))
    weight = "weight (mean over rows of the sum over keys)" if summed else "weight"
    return (
        chart_of(frame, alt.Title(title, subtitle=subtitle))
        .mark_rect()
        .encode(
            x=alt.X("key:O", sort=None, scale=_places(keys), axis=_axis(keys, cell, "key (looked at)", -60)),
            y=alt.Y("row:O", sort=None, scale=_places(rows), axis=_axis(rows, cell, "query (looking)", 0)),
            color=_weight("weight:Q", "weight", style),
            tooltip=[
                alt.Tooltip("row_label:N", title="query"),
                alt.Tooltip("key_label:N", title="key"),
                alt.Tooltip("weight:Q", title=weight, format=".4f"),
            ],
        )
        .properties(width=cell * max(len(keys), 1), height=cell * max(len(rows), 1))
    )


def row_flow(
    frame: pl.DataFrame, style: VisualizationSettings, *, keys: Sequence[str], title: str, subtitle: str
) -> alt.TopLevelMixin:
    """Draw one position's row over layers, averaged over heads. ``frame``: ``layer, key, key_label, weight``.

    ``keys`` are the labels of the keys shown, in the order of the text.
    """
    cell = max(_SMALLEST_CELL, min(_CELL, style.figure_sizes.width / max(len(keys), 1)))
    return (
        chart_of(frame, alt.Title(title, subtitle=subtitle))
        .mark_rect()
        .encode(
            x=alt.X("key:O", sort=None, scale=_places(keys), axis=_axis(keys, cell, "key (looked at)", -60)),
            y=alt.Y("layer:O", title="layer (0 reads the input)"),
            color=_weight("weight:Q", "mean weight", style),
            tooltip=[
                alt.Tooltip("layer:O"),
                alt.Tooltip("key_label:N", title="key"),
                alt.Tooltip("weight:Q", title="mean weight", format=".4f"),
            ],
        )
        .properties(width=cell * max(len(keys), 1), height=alt.Step(_CELL))
    )


def group_flow(
    frame: pl.DataFrame, style: VisualizationSettings, *, key_groups: Sequence[str], title: str, subtitle: str
) -> alt.TopLevelMixin:
    """Draw each head's mass on key groups. ``frame``: ``head, key_group, mass, baseline, lift``."""
    return (
        chart_of(frame, alt.Title(title, subtitle=subtitle))
        .mark_rect()
        .encode(
            x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("key_group:N", title=None, sort=list(key_groups)),
            color=_weight("mass:Q", "share of attention", style),
            tooltip=[
                alt.Tooltip("head:O"),
                alt.Tooltip("key_group:N", title="key group"),
                alt.Tooltip("mass:Q", title="share of attention", format=SHARE),
                alt.Tooltip("baseline:Q", title="uniform attention", format=SHARE),
                alt.Tooltip("lift:Q", title="times uniform", format=".2f"),
            ],
        )
        .properties(width=alt.Step(28), height=alt.Step(24))
    )


def effect_bars(
    frame: pl.DataFrame, style: VisualizationSettings, *, kinds: Sequence[str], title: str, subtitle: str
) -> alt.TopLevelMixin:
    """Draw what interventions change. ``frame``: ``shown, kind, change, logit_difference, is_flipped``."""
    return (
        chart_of(frame, alt.Title(title, subtitle=subtitle))
        .mark_bar()
        .encode(
            x=alt.X("change:Q", title="change of the logit difference"),
            y=alt.Y("shown:N", title=None, sort=None),
            color=alt.Color("kind:N", title=None, scale=category_scale(style, kinds)),
            tooltip=[
                alt.Tooltip("shown:N", title="intervention"),
                alt.Tooltip("change:Q", format="+.4f"),
                alt.Tooltip("logit_difference:Q", title="logit difference", format="+.4f"),
                alt.Tooltip("is_flipped:N", title="sign flipped"),
            ],
        )
        .properties(width=style.figure_sizes.width * 0.6, height=alt.Step(20))
    )


def drawn(specification: dict[str, object]) -> alt.TopLevelMixin:
    """Return a finished specification as a chart."""
    return alt.Chart.from_dict(specification)
