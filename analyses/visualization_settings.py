"""What charts may choose: formats, theme, colours, sizes; the ``visualization`` section of the config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analyses.color_schemes import BASE_NAMES, SCHEMES
from analyses.setting_checks import as_mapping, as_tuple, is_count, known_keys, require, require_known

FORMATS = ("html", "png", "svg", "pdf", "json")
THEMES = ("light", "dark")
COLOR_KINDS = ("sequential", "diverging", "categorical")
SIDES = ("width", "height")
FIGURE_SIZE_RANGE = (50, 10_000)


@dataclass(frozen=True)
class VisualizationSettings:
    """The ``visualization`` section of the config.

    Attributes
    ----------
    formats
        File formats of each chart, out of ``FORMATS``; ``json`` is the Vega-Lite specification.
    theme
        ``light`` or ``dark``: the exported files, and what the report shows first.
    color_schemes
        ``sequential``, ``diverging`` and ``categorical`` each name a Vega scheme; ``okabe_ito`` are the colours of
        Okabe and Ito (2008). The defaults can be told apart with the common forms of colour blindness.
    figure_sizes
        ``width`` and ``height`` in pixels of a chart's plotting area.
    max_tokens
        Most tokens a chart or table of tokens shows.
    """

    formats: tuple[str, ...] = ("html", "png", "svg", "pdf")
    theme: str = "light"
    color_schemes: Mapping[str, str] = field(
        default_factory=lambda: {
            "sequential": "viridis",
            "diverging": "blueorange",
            "categorical": "okabe_ito",
        }
    )
    figure_sizes: Mapping[str, int] = field(default_factory=lambda: {"width": 640, "height": 360})
    max_tokens: int = 60

    def __post_init__(self) -> None:
        for slot, name in enumerate(self.formats):
            require_known(name, f"visualization.formats[{slot}]", FORMATS)
        require_known(self.theme, "visualization.theme", THEMES)
        for kind, name in self.color_schemes.items():
            require_known(kind, "visualization.color_schemes", COLOR_KINDS, "key")
            if not (isinstance(name, str) and name in SCHEMES):
                require_known(name, f"visualization.color_schemes.{kind}", BASE_NAMES, "colour scheme")
        low, high = FIGURE_SIZE_RANGE
        for side, size in self.figure_sizes.items():
            require_known(side, "visualization.figure_sizes", SIDES, "key")
            is_size = is_count(size) and low <= size <= high
            require(is_size, f"visualization.figure_sizes.{side}", size, f"whole pixels from {low} to {high}")
        is_positive = is_count(self.max_tokens) and self.max_tokens > 0
        require(is_positive, "visualization.max_tokens", self.max_tokens, "a whole number from 1")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> VisualizationSettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = known_keys(cls, values, "visualization")
        defaults = cls()
        if "formats" in given:
            given["formats"] = as_tuple(given["formats"], "visualization.formats")
        for name in ("color_schemes", "figure_sizes"):
            if name in given:
                given[name] = dict(getattr(defaults, name)) | as_mapping(given[name], f"visualization.{name}")
        return cls(**given)
