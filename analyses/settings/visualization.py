"""What charts may choose: formats, theme, colours, sizes; the ``visualization`` section of the config."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from analyses.settings.color_schemes import BASE_NAMES, SCHEMES
from analyses.settings.columns import AS_GIVEN, Settings, Whole
from engine.sections import did_you_mean


def _known_scheme(name: str) -> str:
    if name not in SCHEMES:
        near = did_you_mean(name, BASE_NAMES)
        raise ValueError(f"{name!r} is an unknown colour scheme{near}; known are {', '.join(BASE_NAMES)}")
    return name


Scheme = Annotated[str, AfterValidator(_known_scheme)]
Pixels = Annotated[Whole, Field(ge=50, le=10_000)]


class ColorSchemes(Settings):
    """Schemes by the kind of what is coloured: those of Vega, and ``okabe_ito``, the colours of Okabe and Ito (2008).

    The defaults can be told apart with the common forms of colour blindness.
    """

    path: ClassVar[str] = "visualization.color_schemes"
    sequential: Scheme = "viridis"
    """Numbers from low to high."""
    diverging: Scheme = "blueorange"
    """Numbers on both sides of a middle."""
    categorical: Scheme = "okabe_ito"
    """Names."""


class FigureSizes(Settings):
    """Size of a chart's plotting area in pixels."""

    path: ClassVar[str] = "visualization.figure_sizes"
    width: Pixels = 640
    """Pixels from left to right."""
    height: Pixels = 360
    """Pixels from top to bottom."""


class VisualizationSettings(Settings):
    """The ``visualization`` section of the config: how charts look and in which formats they are written."""

    path: ClassVar[str] = "visualization"
    formats: tuple[Literal["html", "png", "svg", "pdf", "json"], ...] = ("html", "png", "svg", "pdf")
    """File formats of each chart; ``json`` is the Vega-Lite specification."""
    theme: Literal["light", "dark", "auto"] = "light"
    """The exported files, and what the report shows first; ``auto``: what the reader's system shows, files in light."""
    color_schemes: Annotated[ColorSchemes, AS_GIVEN] = ColorSchemes()
    """Colours of numbers and of names."""
    figure_sizes: Annotated[FigureSizes, AS_GIVEN] = FigureSizes()
    """Pixels of a chart's plotting area."""
    max_tokens: Whole = Field(default=60, ge=1)
    """Most tokens a chart or table of tokens shows."""
