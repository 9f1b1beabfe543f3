"""Financial tables inside a prompt: where the statement stands and where the instructions stand."""

from __future__ import annotations

import re

_TABLE_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*\r?$", re.MULTILINE)
_TITLE = re.compile(r"[^\n]*:[ \t]*\r?\n(?:[ \t]*-{3,}[ \t]*\r?\n)?\Z")
_RULE_BEFORE = re.compile(r"[ \t]*-{3,}[ \t]*\r?\n\Z")
_RULE_AFTER = re.compile(r"\A\r?\n[ \t]*-{3,}[ \t]*")


def statement_span(text: str) -> tuple[int, int] | None:
    """Find the part of a prompt that holds its tables.

    The statement runs from the first table row to the last, with the title line (ending in a colon) and the dashed
    rules that belong to them; whatever lies between two tables belongs to it as well.

    Parameters
    ----------
    text
        Content of a user message.

    Returns
    -------
    tuple of int, or None
        First character and one past the last, or None when the text has no table of at least two rows.
    """
    rows = list(_TABLE_ROW.finditer(text))
    if len(rows) < 2:
        return None
    start, end = rows[0].start(), rows[-1].end()
    for pattern in (_TITLE, _RULE_BEFORE):
        before = pattern.search(text, 0, start)
        if before:
            start = before.start()
            break
    after = _RULE_AFTER.match(text[end:])
    return start, end + (after.end() if after else 0)
