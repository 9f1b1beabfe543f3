"""Links of the view, and values as its pages show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

Asked = Mapping[str, str]
"""What a page is asked: the fields of its address."""


class NotThereError(Exception):
    """What was asked for is not in the run; the message says what is."""


def link(path: str, asked: Asked, **changes: str) -> str:
    """Return the address of a page with what is asked, changed; empty fields are left out."""
    kept = {name: value for name, value in {**asked, **changes}.items() if value and name != "as"}
    return f"{path}?{urlencode(kept)}"


TABLES = (("CSV", "csv"), ("Python code", "code"))
"""Exports of a page that is a table: their names and kinds."""

PICTURES = (("SVG", "svg"), ("PNG", "png"))
"""Exports of the tokens of a sample, beside those of their table."""


def downloads(path: str, asked: Asked, kinds: Sequence[tuple[str, str]] = TABLES) -> list[tuple[str, str]]:
    """Return the exports of a page as (name, address)."""
    return [(label, f"{link(path, asked)}&as={kind}") for label, kind in kinds]


def within(text: str, number: int) -> int:
    """Return a whole number from 0 to below ``number``; 0 where the text is none."""
    return min(int(text), number - 1) if text.isdecimal() and len(text) < 9 else 0


def shown_value(value: object, name: str = "") -> str:
    """Return a value as text, in the format of its column: probabilities in percent, nats with their sign."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        if name.endswith("probability"):
            return f"{100 * value:.1f} %"
        return f"{value:+.2f}" if name == "logit_difference" else f"{value:.4g}"
    if name in ("year", "layer", "head", "position"):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
