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


_FIELDS = {"rows": "group of query rows", "by": "shade"}
"""What fields are called, where their names do not say it."""

TABLES = (("CSV", "csv"), ("Python code", "code"))
"""Exports of a page that is a table: their names and kinds."""

PICTURES = (("SVG", "svg"), ("PNG", "png"))
"""Exports of the tokens of a sample, beside those of their table."""


def downloads(path: str, asked: Asked, kinds: Sequence[tuple[str, str]] = TABLES) -> list[tuple[str, str]]:
    """Return the exports of a page as (name, address)."""
    return [(label, f"{link(path, asked)}&as={kind}") for label, kind in kinds]


def asked_number(asked: Asked, name: str, number: int, default: int = 0) -> int:
    """Return the field ``name``, a whole number from 0 to below ``number``; ``default`` where it is not asked for.

    Raises
    ------
    NotThereError
        When it is anything else: nothing is shown in place of what was asked for.
    """
    text, own = asked.get(name) or str(default), name.removeprefix("other_")
    if not (text.isdecimal() and len(text) < 9 and int(text) < number):
        raise NotThereError(f"There is no {_FIELDS.get(own, own)} {text!r} here; allowed: 0 to {number - 1}.")
    return int(text)


def asked_name(asked: Asked, name: str, allowed: Sequence[str], default: str) -> str:
    """Return the field ``name``, one of ``allowed``; ``default``, or else the first, where it is not asked for.

    Raises
    ------
    NotThereError
        When it is none of them.
    """
    own = name.removeprefix("other_")
    text = asked.get(name) or (default if default in allowed else allowed[0])
    if text not in allowed:
        raise NotThereError(f"There is no {_FIELDS.get(own, own)} {text!r} here; allowed: {', '.join(allowed)}.")
    return text


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
