"""The look in one place: a fixed colour for every meaning, and the neutrals of light and dark pages.

Charts, pages, exported files and the live view take their colours from here and from nowhere else, so that "correct"
is one colour in all of them. A meaning's colour has a contrast of at least 3 to 1 on the light and on the dark paper
(WCAG 2.2, 1.4.11), so that it need not change with the theme; text has at least 4.5 to 1 (1.4.3). A test computes both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#999999")
"""The scheme ``okabe_ito`` where numbers ask for it (Okabe and Ito 2008, the last two ours); names have their own."""

BLUE, VERMILLION, GREEN, AMBER = "#1478B8", "#D55E00", "#0A8F68", "#B07A00"
VIOLET, PINK, SKY, TEAL, OLIVE = "#8C6BB1", "#C0609A", "#3A8FC4", "#13909E", "#7A8A2E"

GREY = "#82888f"
"""Of everyone, of what is not significant, of rules: readable on both papers."""

MEANINGS: Mapping[str, str] = {
    # groups of samples
    "correct": BLUE,
    "incorrect": VERMILLION,
    "all samples": GREY,
    "all": GREY,
    # head types; the vocabulary's type has the vocabulary's name
    "self-attention": PINK,
    "causal": GREEN,
    "beginning-focused": VIOLET,
    "prediction": AMBER,
    "focused": SKY,
    "distributed": OLIVE,
    "mixed": GREY,
    # families of key groups
    "vocabulary": TEAL,
    "figures": AMBER,
    "random words": GREY,
    # what a test came to
    "significant": PINK,
    "significant and replicated": PINK,
    "significant, not replicated": VIOLET,
    "not significant": GREY,
    "supported": GREEN,
    "contradicted": PINK,
    "mixed evidence": AMBER,
    "not decided": GREY,
    # what predicts
    "heads": TEAL,
    "no heads": AMBER,
    "control": GREY,
}
"""Meaning to colour, by the name that charts give it."""

_NAMELESS = (TEAL, AMBER, VIOLET, OLIVE, PINK, SKY, GREEN, GREY)
"""Colours of names without a meaning, never those of right and wrong; the first is that of the vocabulary."""


@dataclass(frozen=True)
class Neutrals:
    """Paper, ink and lines of one theme, as CSS colours."""

    ink: str
    muted: str
    paper: str
    card: str
    line: str
    accent: str
    warn: str
    warn_paper: str
    shade: str
    """Red, green and blue of the attention that shades a token."""


LIGHT = Neutrals(
    ink="#1c2430",
    muted="#566070",
    paper="#ffffff",
    card="#f4f6f8",
    line="#d9e0e7",
    accent="#00659e",
    warn="#7d4400",
    warn_paper="#fff4e0",
    shade="230, 159, 0",
)
DARK = Neutrals(
    ink="#e8ecf1",
    muted="#a3aebb",
    paper="#14181d",
    card="#1d232a",
    line="#323b45",
    accent="#62b8ea",
    warn="#ffcf87",
    warn_paper="#3a2a10",
    shade="178, 74, 0",
)


def colours_of(names: Sequence[str]) -> list[str]:
    """Return a colour for each name: that of its meaning, or one that no other name of these has."""
    fixed = {name: MEANINGS[name] for name in names if name in MEANINGS}
    free = [colour for colour in _NAMELESS if colour not in fixed.values()]
    others = [name for name in names if name not in fixed]
    return [fixed.get(name) or free[others.index(name) % len(free)] for name in names]


def style_sheet() -> str:
    """Return the neutrals of both themes and the meanings as custom properties of CSS.

    ``data-theme`` of the page is ``light`` or ``dark``; ``auto`` is settled by the page's first script, and without
    scripts by the system.
    """
    dark = f"{_properties(DARK)}; color-scheme: dark"
    meanings = "; ".join(f"--{_name(name)}: {colour}" for name, colour in MEANINGS.items())
    return (
        f":root {{ {_properties(LIGHT)}; {meanings} }}\n[data-theme=dark] {{ {dark} }}\n"
        f"@media (prefers-color-scheme: dark) {{ [data-theme=auto] {{ {dark} }} }}"
    )


def _properties(neutrals: Neutrals) -> str:
    return "; ".join(f"--{_name(name)}: {value}" for name, value in asdict(neutrals).items())


def _name(name: str) -> str:
    return name.replace("_", "-").replace(" ", "-")


def contrast(one: str, other: str) -> float:
    """Return the contrast of two ``#rrggbb`` colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
