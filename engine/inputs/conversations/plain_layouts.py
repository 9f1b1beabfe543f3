"""Prompts and transcripts with a layout of their own in plain text, as models without a chat template take them."""

from __future__ import annotations

import re
from typing import NamedTuple

_ASKS = r"(?:human|user|question|query|instruction|instruct|input|prompt|problem|customer|student|q)"
_ANSWERS = r"(?:assistant|response|answer|output|ai|bot|gpt|model|completion|solution|label|prediction|agent|chatbot|a)"
_WORDS = r"(?:[\w.-]+ ){0,2}"
"""Words before a role: ``GPT4 Correct User:``."""
_OPENS = re.compile(
    rf"^[ \t]*#{{1,4}}[ \t]*{_ASKS}\b[^\n]{{0,20}}$"
    rf"|^[ \t]*(?:\*\*|<|\[)?{_WORDS}{_ASKS}[ \t]*\d{{0,3}}(?:\*\*|>|\])?[ \t]*[:：]"
    r"|\b(?:USER|HUMAN):",
    re.IGNORECASE | re.MULTILINE,
)
_ENDS = re.compile(
    rf"(?:^[ \t]*#{{1,4}}[ \t]*{_ANSWERS}[ \t]*[:：]?"
    rf"|^[ \t]*(?:\*\*|<|\[)?{_WORDS}{_ANSWERS}[ \t]*\d{{0,3}}(?:\*\*|>|\])?[ \t]*[:：](?:\*\*)?"
    r"|\bASSISTANT:)\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_PAIRS = (
    (r"(?:human|user|customer|student|interviewer)", r"(?:assistant|ai|bot|gpt|model|chatbot|agent)"),
    (r"(?:instruction|instruct|input|prompt|problem|task)", r"(?:response|output|answer|completion|solution)"),
    (r"(?:question|query|q)", r"(?:answer|response|solution|a)"),
)
"""Names of who asks and of who answers them."""
_LINE_ENDS = re.compile(r"(?:[ \t]*\r?\n)*")
_LONGEST = 80
"""Characters at a text's end that the name of whoever answers takes at most."""
_ROLE_LINES = re.compile(r"^(?:user|human)[ \t]*\r?\n(?:.*\n)?(?:assistant|model)\s*\Z", re.MULTILINE | re.DOTALL)


def _mark(names: str) -> re.Pattern[str]:
    """Return a pattern of what names a role: with a colon at a line's beginning, as a heading, or in capitals."""
    return re.compile(
        rf"^[ \t]*(?:\*\*|<|\[)?{_WORDS}{names}[ \t]*\d{{0,3}}(?:\*\*|>|\])?[ \t]*[:：](?:\*\*)?"
        rf"|^[ \t]*#{{1,4}}[ \t]*{names}[ \t]*[:：]?[ \t]*\r?$"
        rf"|(?-i:(?<!\w){names.upper()}:)",
        re.IGNORECASE | re.MULTILINE,
    )


_MARKS = tuple((_mark(asks), _mark(answers)) for asks, answers in _PAIRS)


def has_plain_layout(text: str) -> bool:
    """Whether a text names who asks and ends with the name of who answers, such as ``Human: … Assistant:``."""
    at = max(len(text.rstrip()) - _LONGEST, 0)
    begin = text.rfind("\n", 0, at) + 1
    ending = next(_ENDS.finditer(text, begin), None)
    if ending is None:
        return _ROLE_LINES.search(text) is not None
    return _OPENS.search(text, 0, ending.start()) is not None or ending.group().lstrip().startswith("#")


class PlainTranscript(NamedTuple):
    """A conversation whose roles stand in plain text: what is in front, what is asked, where the answer begins."""

    head: str
    asked: str
    answer_start: int


def plain_transcript(text: str) -> PlainTranscript | None:
    """Return the parts of a transcript such as ``Human: … Assistant: …``; None where it names no roles.

    The first name of who asks counts, and the first one of who answers behind it; line ends behind that are the
    prompt's, a blank is the answer's.
    """
    found = [(asked, answers) for asks, answers in _MARKS if (asked := asks.search(text)) is not None]
    for asked, answers in sorted(found, key=lambda pair: pair[0].start()):
        answered = answers.search(text, asked.end())
        if answered is not None:
            ends = _LINE_ENDS.match(text, answered.end())
            start = ends.end() if ends else answered.end()
            return PlainTranscript(text[: asked.start()], text[asked.end() : answered.start()], start)
    return None
