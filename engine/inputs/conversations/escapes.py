r"""Texts that were written as a string inside another one and never read back: ``\n`` for a line end, ``&amp;`` for &.

Such a prompt or answer is not what the model saw or wrote. It is measured as it stands and flagged, since a model may
well write these signs; a rendered prompt whose marks only come out when it is read back is refused.
"""

from __future__ import annotations

import html
import json
import re

_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LINE_END = re.compile(
    r"(?<![\\\w:])\\n|(?<=[^\\\W\d_])\\n(?![a-z])|(?<=[\w.,;:!?)*])\\n(?:\\n|[-*#\d\s]|[A-ZÀ-Þ]|(?:[a-z]+\s+){2})|\\r\\n"
)
r"""``\n`` behind a blank or a stop, before another one or before something that no command of LaTeX goes on with."""
_LATEX = re.compile(
    r"\\n(?:abla|atural|e|eg|eq|ewline|exists|i|mid|ot|otin|parallel|subseteq|u|norm\w*|oindent|ewcommand)(?![a-z])"
)
_CODE = re.compile(r"\\u[0-9a-fA-F]{4}")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-fA-F]{2,4});")
_MARKUP = re.compile(r"<(?:/?(?:p|div|span|table|tr|t[dh]|br|b|i|li|ul|h\d|html|body|a)\b[^<>]{0,200})>", re.IGNORECASE)


def is_escaped(text: str) -> bool:
    r"""Whether a text holds signs that only a string inside another one has.

    ``\n`` where there is no line end, ``\u00e4``, ``\"``, outside of quotes; entities of HTML in a text without tags.
    """
    if "&" in text and _ENTITY.search(text) and not _MARKUP.search(text):
        return True
    if "\\" not in text:
        return False
    if text.count('\\"') >= 2 and '"' not in text.replace('\\"', ""):
        return True
    plain = _LATEX.sub(" ", _QUOTED.sub(" ", text))
    if _CODE.search(plain):
        return True
    return "\n" not in text.strip() and "`" not in text and bool(_LINE_END.search(plain))


def read_back(text: str) -> list[str]:
    """Return what a text would be if it were read back, as HTML and as a string of JSON, where that changes it."""
    found: list[str] = []
    for read in (html.unescape, _from_json):
        plain = read(text)
        if plain is not None and plain != text:
            found.append(plain)
    return found


def _from_json(text: str) -> str | None:
    if "\\" not in text:
        return None
    try:
        plain: object = json.loads(f'"{_unquoted(text)}"', strict=False)
    except ValueError:
        return None
    return plain if isinstance(plain, str) else None


def _unquoted(text: str) -> str:
    return re.sub(r'(?<!\\)"', r"\"", text)
