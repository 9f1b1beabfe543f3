"""What charts share: grids of heads, menus, scales, tooltips. Only modules of this folder know Altair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import altair as alt
import polars as pl
from altair.utils.schemapi import debug_mode

from analyses.design import OKABE_ITO, colours_of
from analyses.settings.visualization import VisualizationSettings
from analyses.wording import statistic_unit

alt.data_transformers.disable_max_rows()

Chart = alt.TopLevelMixin
"""Any chart, for those who hand charts on and do not know Altair."""


unchecked_parts = partial(debug_mode, False)
"""Context in which a chart is held against Vega-Lite's schema when it is whole, and its parts are not one by one."""

SHARE = ".3~%"
"""Format of shares of attention: "0.5 %", "10 %"."""


LONG_FRAME = 50
"""Rows from which a chart's data is embedded as CSV."""


def specification(chart: alt.TopLevelMixin) -> dict[str, object]:
    """Return a chart's Vega-Lite specification without a theme."""
    content = chart.to_dict()
    content.pop("config", None)
    return content


def chart_of(frame: pl.DataFrame, title: alt.Title) -> alt.Chart:
    """Return a chart of a frame, as CSV where it is long: half the size of one JSON object per row."""
    if len(frame) < LONG_FRAME:
        return alt.Chart(frame, title=title)
    kinds = {name: "number" if kind.is_numeric() else "string" for name, kind in frame.schema.items()}
    kinds |= {name: "boolean" for name, kind in frame.schema.items() if kind == pl.Boolean}
    parsed = alt.CsvDataFormat(type="csv", parse=alt.Parse(**kinds))
    return alt.Chart(alt.InlineData(values=frame.write_csv(), format=parsed), title=title)


def has_intervals(frame: pl.DataFrame) -> bool:
    """Return whether any mean has an interval; a single sample has none, and Vega warns of an axis without values."""
    return frame["ci_low"].is_not_null().any()


def _largest(frame: pl.DataFrame, column: str) -> float:
    return float(frame.select(pl.col(column).max()).item() or 0)


def cell_size(frame: pl.DataFrame, style: VisualizationSettings) -> tuple[float, float]:
    """Return width and height in pixels of a head's cell, so that 6 x 8 and 28 x 28 heads both fill the width."""
    heads, layers = _largest(frame, "head") + 1, _largest(frame, "layer") + 1
    width = max(8.0, min(72.0, style.figure_sizes.width / heads))
    return width, max(8.0, min(44.0, width, 1.6 * style.figure_sizes.height / layers))


def head_grid(frame: pl.DataFrame, style: VisualizationSettings, title: alt.Title) -> alt.Chart:
    """Return a chart with a cell per head: layers down, heads across.

    The height is a number, here and wherever rows are counted, because the page fits charts in width.
    """
    width, height = cell_size(frame, style)
    axis = {"labelAngle": 0, "labelOverlap": True, "ticks": False, "domain": False}
    # Beside one or two layers the whole title is longer than the chart is high.
    layer_title = "layer" if height * (_largest(frame, "layer") + 1) < 110 else "layer (0 reads the input)"
    # Also layers and heads of which nothing is drawn: a cell's place says which head it is.
    heads, layers = (alt.Scale(domain=list(range(int(_largest(frame, name)) + 1))) for name in ("head", "layer"))
    return (
        chart_of(frame, title)
        .encode(
            x=alt.X("head:O", title="head", axis=alt.Axis(**axis), scale=heads),
            y=alt.Y("layer:O", title=layer_title, axis=alt.Axis(**axis), scale=layers),
        )
        .properties(width=alt.Step(width), height=height * (_largest(frame, "layer") + 1))
    )


def marked_head() -> tuple[alt.Parameter, alt.Parameter]:
    """Return the parameters that say which head the page has chosen; none in files."""
    return alt.param(name="marked_layer", value=-1), alt.param(name="marked_head", value=-1)


def named(*parameters: alt.Parameter) -> list[Any]:
    """Return parameters as a chart takes them when it is made: its methods copy all of its layers, twice."""
    return [parameter.param for parameter in parameters]


def frames_of_marked(base: alt.Chart) -> list[alt.Chart]:
    """Return layers that frame the chosen head's cell, dark in light so that it shows on every colour."""
    chosen = base.transform_filter("datum.layer == marked_layer && datum.head == marked_head")
    frames = [("white", 5.0), ("black", 2.5)]
    return [chosen.mark_rect(fillOpacity=0, stroke=colour, strokeWidth=width) for colour, width in frames]


def named_rows(chart: alt.TopLevelMixin, **rows: pl.DataFrame) -> dict[str, object]:
    """Return the specification of a chart of named data, with rows that the page can replace."""
    content = specification(chart)
    return content | {"datasets": {name: frame.to_dicts() for name, frame in rows.items()}}


def gradient_legend(number_format: str = "~g", shown: str = "") -> alt.Legend:
    """Return the legend of a continuous colour; ``shown``: Vega's expression for its numbers as text."""
    written: dict[str, Any] = {"labelExpr": shown} if shown else {"format": number_format}
    return alt.Legend(gradientLength=150, tickCount=5, titleLimit=220, **written)


def written_value(is_share: str, value: str = "datum.value") -> str:
    """Return Vega's expression for a value as text: in percent where the expression ``is_share`` holds."""
    return f"({is_share}) ? format({value}, '{SHARE}') : format({value}, '.4~g')"


def written_difference(is_share: str, value: str = "datum.value") -> str:
    """Return Vega's expression for a difference as text: in percentage points where ``is_share`` holds."""
    return f"({is_share}) ? format(100 * {value}, '+.3~g') + ' points' : format({value}, '+.4~g')"


def menu(label: str, options: Mapping[str, str]) -> alt.BindRadioSelect:
    """Return a menu of options by their names in words."""
    return alt.binding_select(options=list(options), labels=list(options.values()), name=label)


@dataclass(frozen=True, slots=True)
class Menus:
    """Two menus of one chart: whose attention is shown, and which statistic of it.

    Attributes
    ----------
    query_groups, statistics
        Value or column to its name in words, in the order of the menus.
    start
        Query group and statistic that are shown first, and in exported files.
    """

    query_groups: Mapping[str, str]
    statistics: Mapping[str, str]
    start: tuple[str, str]

    def parameters(self) -> tuple[alt.Parameter, alt.Parameter]:
        """Return the parameters that choose query group and statistic."""
        return (
            alt.param(name="chosen_rows", value=self.start[0], bind=menu("Attention of ", self.query_groups)),
            alt.param(name="chosen_statistic", value=self.start[1], bind=menu("Statistic ", self.statistics)),
        )

    def title(self) -> str:
        """Return the Vega expression of a title that follows the menus."""
        rows, statistics = names_in_vega(self.query_groups), names_in_vega(self.statistics)
        return f"{rows}[chosen_rows] + ': ' + {statistics}[chosen_statistic]"

    def is_share(self) -> str:
        """Return the Vega expression of whether the chosen statistic is a share of attention."""
        shares = [quoted(name) for name in self.statistics if statistic_unit(name) == "share of attention"]
        return f"indexof([{', '.join(shares)}], chosen_statistic) >= 0"


CHOSEN_ROWS = "datum.query_group == chosen_rows && datum.statistic == chosen_statistic"
"""Filter of a long frame: the rows that a chart's ``Menus`` choose."""


def comparison_menu(comparisons: Mapping[str, str]) -> alt.Parameter:
    """Return the parameter that chooses a comparison; without a menu where there is only one."""
    bound = menu("Compared ", comparisons) if len(comparisons) > 1 else alt.Undefined
    return alt.param(name="chosen_comparison", value=next(iter(comparisons)), bind=bound)


def names_in_vega(options: Mapping[str, str]) -> str:
    """Return a Vega object literal that maps each option to its name."""
    return "{" + ", ".join(f"{quoted(key)}: {quoted(name)}" for key, name in options.items()) + "}"


def quoted(text: str) -> str:
    """Return a text as a literal of a Vega expression."""
    plain = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{plain}'"


def scheme(style: VisualizationSettings, kind: Literal["sequential", "diverging", "categorical"]) -> dict[str, Any]:
    """Return the scale's colours of one kind (sequential, diverging, categorical)."""
    name = getattr(style.color_schemes, kind)
    if name == "okabe_ito":
        return {"range": list(OKABE_ITO)}
    # On every map the scheme's first colour (blue, as that of correct samples) is for what is higher.
    return {"scheme": name, "reverse": True} if kind == "diverging" else {"scheme": name}


def category_scale(style: VisualizationSettings, domain: Sequence[str]) -> alt.Scale:
    """Return a colour for each value of a domain: that of its meaning (``analyses.design``), whatever the chart."""
    colours = scheme(style, "categorical")
    if "range" in colours:
        colours["range"] = colours_of(domain)
    return alt.Scale(domain=list(domain), **colours)


def interval_tooltip(number_format: str) -> list[alt.Tooltip]:
    """Return the two lines of a tooltip that give an interval."""
    return [
        alt.Tooltip("ci_low:Q", title="interval from", format=number_format),
        alt.Tooltip("ci_high:Q", title="to", format=number_format),
    ]


def mean_tooltip(name: str, number_format: str, *more: alt.Tooltip) -> list[alt.Tooltip]:
    """Return the tooltip of a mean with its interval and counts."""
    return [
        alt.Tooltip(f"{name}:N", title=" "),
        *more,
        alt.Tooltip("group:N", title="samples"),
        alt.Tooltip("mean:Q", format=number_format),
        *interval_tooltip(number_format),
        alt.Tooltip("num_samples:Q", title="samples"),
        alt.Tooltip("num_clusters:Q", title="clusters"),
    ]
