"""Chat templates that print today's date, pinned to a day: the same tokens on every day and in every time zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import cache

import jinja2
from jinja2 import nodes

_CLOCK = "strftime_now"
"""What a chat template calls to be told the time; transformers gives it the machine's own."""

UNREADABLE = (jinja2.TemplateSyntaxError, RecursionError, ValueError, MemoryError)
"""What reading a template raises: where it is none, or one that is nested too deeply or holds too long a number."""


@cache
def date_formats(template: str) -> tuple[str, ...]:
    """Return the formats in which a template asks for today's date; none where it does not ask."""
    if not re.search(rf"\b{_CLOCK}\s*\(", template):
        return ()
    try:
        tree = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_without_generation(template))
    except UNREADABLE:
        return tuple(dict.fromkeys(re.findall(rf"{_CLOCK}\s*\(\s*[\"']([^\"']*)[\"']\s*\)", template)))
    texts = (node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str))
    return tuple(dict.fromkeys(text for text in texts if re.search(r"%[-A-Za-z]", text)))


def printed(day: date, formats: tuple[str, ...]) -> dict[str, str]:
    """Return a day as each format prints it, at midnight."""
    return {text: datetime.combine(day, time()).strftime(text) for text in formats}


def pinned(template: str, dates: Mapping[str, str]) -> str:
    """Return a template in which the clock tells these dates, by format, and nothing else."""
    if not dates:
        return template
    cases = "".join(
        f"{{%- {'if' if index == 0 else 'elif'} format == {_quoted(text)} -%}}{{{{- {_quoted(value)} -}}}}"
        for index, (text, value) in enumerate(dates.items())
    )
    refusal = "{%- else -%}{{- raise_exception('the template asks for a date in a format that it computes') -}}"
    macro = f"{{%- macro {_CLOCK}(format) -%}}{cases}{refusal}{{%- endif -%}}{{%- endmacro %}}"
    return f"{macro}{{{{ '' }}}}{template}"  # an expression ends the block without eating the line end behind it


def _quoted(text: str) -> str:
    """Return a text as a Jinja literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _without_generation(template: str) -> str:
    """Return a template without the marks around what a model generates, which only transformers knows."""
    return re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)
