"""Formulas of the documentation as MathML, so that its pages need no script and no network."""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """Replace what ``pymdownx.arithmatex`` marks; called by mkdocs for every page."""
    return _FORMULA.sub(_as_mathml, html)


def _as_mathml(found: re.Match[str]) -> str:
    formula = unescape(found[2]).strip()
    is_display = formula.startswith(r"\[")
    made = convert(formula[2:-2], display="block" if is_display else "inline")
    # A formula that is wider than a telephone scrolls by itself, by keyboard too.
    return f'<div style="overflow-x: auto" tabindex="0">{made}</div>' if is_display else made
