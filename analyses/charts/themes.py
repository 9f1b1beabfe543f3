"""Colours and fonts of charts, light and dark, as Vega-Lite configs."""

from __future__ import annotations

from collections.abc import Mapping

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#999999")

GREY = "#8a8a8a"
"""Of everyone, of what is not significant, of rules: readable on white and on black."""

_FONT = "DejaVu Sans, Verdana, Segoe UI, Helvetica, Arial, sans-serif"


def _theme(ink: str, muted: str, paper: str, grid: str) -> dict[str, object]:
    text = {"labelColor": ink, "titleColor": ink}
    return {
        "background": paper,
        "font": _FONT,
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 15,
            "subtitleColor": muted,
            "subtitleFontSize": 12,
            "subtitlePadding": 4,
            "offset": 12,
        },
        "axis": text
        | {
            "labelFontSize": 11,
            "labelFlush": False,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "gridColor": grid,
            "domainColor": muted,
            "tickColor": muted,
        },
        "legend": text | {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 260},
        "header": text | {"labelFontSize": 12, "titleFontSize": 12, "labelFontWeight": "bold", "labelLimit": 300},
        "view": {"stroke": None},
        "style": {"guide-label": {"fill": ink}},
    }


THEMES: Mapping[str, dict[str, object]] = {
    "light": _theme("#1c2430", "#5b6675", "#ffffff", "#e3e7ec"),
    "dark": _theme("#e8ecf1", "#9aa6b5", "#151a21", "#2d3540"),
}
