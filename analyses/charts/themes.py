"""Fonts and neutrals of charts, light and dark, as Vega-Lite configs; colours are those of ``analyses.design``."""

from __future__ import annotations

from collections.abc import Mapping

from analyses.design import DARK, LIGHT, Neutrals

_FONT = "DejaVu Sans, Verdana, Segoe UI, Helvetica, Arial, sans-serif"

_NUMBERS = {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["$", ""], "percent": "\u00a0%"}
"""How numbers are written (d3-format's locale)."""


def _theme(neutrals: Neutrals) -> dict[str, object]:
    ink, muted, grid, paper = neutrals.ink, neutrals.muted, neutrals.line, neutrals.paper
    text = {"labelColor": ink, "titleColor": ink}
    return {
        "background": paper,
        "font": _FONT,
        # As sentences and tables have it: "10 %".
        "locale": {"number": _NUMBERS},
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
        # Numbers that touch read as one number: every second is left out until there is room.
        "axisQuantitative": {"labelOverlap": True, "labelSeparation": 8},
        "legend": text | {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 260},
        "header": text | {"labelFontSize": 12, "titleFontSize": 12, "labelFontWeight": "bold", "labelLimit": 300},
        "view": {"stroke": None},
        # Names inside a drawing, on a seam of paper that lines do not cross.
        "style": {"guide-label": {"fill": ink}, "name": {"color": ink}, "seam": {"color": paper, "stroke": paper}},
    }


THEMES: Mapping[str, dict[str, object]] = {"light": _theme(LIGHT), "dark": _theme(DARK)}
"""By the name of the theme; ``auto`` is drawn as either."""


def theme_of_files(theme: str) -> dict[str, object]:
    """Return the theme of exported files: they cannot ask a system for its own, so that ``auto`` is light."""
    return THEMES["dark" if theme == "dark" else "light"]
