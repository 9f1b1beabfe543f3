"""Names of the colour schemes that a chart may use: those of Vega, and the colours of Okabe and Ito.

Altair ships the same names in its schema of Vega-Lite, but takes a second to load, which a config must not; a test
compares the two.
"""

from __future__ import annotations

CATEGORICAL = [
    "accent",
    "category10",
    "category20",
    "category20b",
    "category20c",
    "dark2",
    "observable10",
    "paired",
    "pastel1",
    "pastel2",
    "set1",
    "set2",
    "set3",
    "tableau10",
    "tableau20",
]

SEQUENTIAL = [
    "blues",
    "browns",
    "greens",
    "greys",
    "oranges",
    "purples",
    "reds",
    "tealblues",
    "teals",
    "warmgreys",
    "cividis",
    "inferno",
    "magma",
    "plasma",
    "turbo",
    "viridis",
]

STEPPED_SEQUENTIAL = [
    "bluegreen",
    "bluepurple",
    "darkblue",
    "darkgold",
    "darkgreen",
    "darkmulti",
    "darkred",
    "goldgreen",
    "goldorange",
    "goldred",
    "greenblue",
    "lightgreyred",
    "lightgreyteal",
    "lightmulti",
    "lightorange",
    "lighttealblue",
    "orangered",
    "purpleblue",
    "purplebluegreen",
    "purplered",
    "redpurple",
    "yellowgreen",
    "yellowgreenblue",
    "yelloworangebrown",
    "yelloworangered",
]
"""Also with a number of steps, ``bluegreen-3`` to ``bluegreen-9``."""

DIVERGING = [
    "blueorange",
    "brownbluegreen",
    "pinkyellowgreen",
    "purplegreen",
    "purpleorange",
    "redblue",
    "redgrey",
    "redyellowblue",
    "redyellowgreen",
    "spectral",
]
"""Also with a number of steps, ``redblue-3`` to ``redblue-11``."""

CYCLICAL = (
    "rainbow",
    "sinebow",
)

BASE_NAMES = ("okabe_ito", *sorted([*CATEGORICAL, *SEQUENTIAL, *STEPPED_SEQUENTIAL, *DIVERGING, *CYCLICAL]))
"""Every scheme without a number of steps."""

SCHEMES = frozenset(
    [
        *BASE_NAMES,
        *(f"{name}-{steps}" for name in STEPPED_SEQUENTIAL for steps in range(3, 10)),
        *(f"{name}-{steps}" for name in DIVERGING for steps in range(3, 12)),
    ]
)
"""Every scheme that can be configured."""
