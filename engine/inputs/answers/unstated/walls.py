"""What a denial crosses and what it does not: a text of the same length with the ends of sentences made plain.

Line ends that only break a sentence are crossed; dashes between blanks and the end of emphasis are walls.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from engine.inputs.answers.languages import JOINED, languages, words_of

CLOSED = "\ue000"
"""Stands for the sign that closes emphasis; only a denial right behind it reaches over it."""
DASHED = "\ue001"
"""Stands for a dash between blanks; only a verdict right behind it reaches over it."""
WRAP = "\x0b"
"""Stands for a line end inside a sentence; a blank for every pattern."""
_LINE_END = re.compile(
    r"[ \t]*(?:\r?\n|<br ?/?>)(?P<blank>[ \t]*\r?\n)?[ \t]*(?:>[ \t]*)*(?=[*_\"'`(“‘«]{0,3}(?P<letter>[^\W\d_]))"
)
_NO_WRAP_BEHIND = frozenset(".!?:;=。！？：；।|")
_HEADING = re.compile(r"[ \t]*(?:#|(?P<sign>\*\*|__|[*_])[^*_]+(?P=sign)[ \t]*\Z)")
_ITEM = re.compile(r"[\s>*#•-]*\(?\w{1,2}[).][ \t*_]*")
"""What an option is listed by ("A)")."""
_VERB_LAST = re.compile("[\u0900-\u097f]")
_VALUE_BEHIND = re.compile(r"[ \t][-–—]\Z")
"""What sets off the value at the end of a line ("Increase - no")."""
_LONG_LINE = 60
"""Characters of a line that was broken at a width."""
_LAST_WORD = re.compile(r"([^\W\d_]+(?:['’][^\W\d_]+)?)[*_\"'`)”’»]*\Z")
_DRESS = " \t*_\"'`)”’»"
_BLANKS: dict[int, str] = dict.fromkeys((8203, 8206, 8207, 8288, 65279), " ")
_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|mark|font|code|small)(?:\s[^<>]{0,80})?>|&nbsp;|&#160;", re.IGNORECASE)
_LATEX = re.compile(r"\$(?=\\)|\\(?:text|math|f?boxed)\w*\s?\{")
_DASH = re.compile(r"(?<=\s)[-–—](?=\s)")
_ARTICLE = r"(?i:an?|the|eine?|une?|l|la|le|una|uma?|o|il)\b"
_CLOSING = re.compile(
    rf"(?m)(?:^[\s>#•-]*(?:\*\*|__)(?!{_ARTICLE})[^*_\n]{{1,30}}(?=(?:\*\*|__)[ \t])"
    r"|(?<=[^\W_])(?=(?:\*\*|__)[ \t]+[A-ZÀ-ÞА-Я])|(?<=[.!?:])(?=(?:\*\*|__)[ \t]))(?P<sign>\*\*|__)"
)


@lru_cache(maxsize=8)
def walled(text: str) -> str:
    """Return a text of the same length in which only walls are line ends, ``CLOSED`` or ``DASHED``.

    Line ends that only break a sentence are ``WRAP``; tags of emphasis, invisible blanks and what LaTeX puts around
    text are blanks.
    """
    text = text.translate(_BLANKS)
    if "<" in text or "&" in text:
        text = _TAG.sub(lambda match: " " * len(match.group()), text)
    if "\\" in text:
        text = _LATEX.sub(lambda match: " " * len(match.group()), text)
    if "\n" in text or "<br" in text:
        text = _unwrapped(text)
    text = _DASH.sub(DASHED, text)
    if "**" not in text and "__" not in text:
        return text
    return _CLOSING.sub(lambda m: m.group()[: -len(m["sign"])] + CLOSED * len(m["sign"]), text)


def _unwrapped(text: str) -> str:
    def crossed(match: re.Match[str]) -> str:
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        is_denial = bool(_VERB_LAST.match(match["letter"])) and text.startswith(_denying_starts(), match.end())
        if not is_denial and not _goes_on(line, match["letter"], bool(match["blank"])):
            return match.group()
        return WRAP + " " * (len(match.group()) - 1)

    return _LINE_END.sub(crossed, text)


def _goes_on(line: str, following: str, is_apart: bool) -> bool:
    """Whether a sentence goes on behind the end of its line, with a letter.

    It does with a small letter; with another one, or behind an empty line, only when the line ends in a word that ends
    no sentence (no, the, …), and in a script without small letters when it is long, too.
    """
    plain = line.rstrip(_DRESS)
    if not plain.strip(_DRESS + "-#>•") or plain[-1] in _NO_WRAP_BEHIND:
        return False
    last = _LAST_WORD.search(plain)
    before = plain[: last.start()].rstrip(_DRESS) if last else plain
    if before and (
        before[-1] in _NO_WRAP_BEHIND
        or (last and _ITEM.fullmatch(plain, 0, last.start()))
        or _VALUE_BEHIND.search(before)
        or (before[-1] == "(" and line.rstrip(" \t*_").endswith(")"))
    ):
        return False  # a value, or a sentence of one word
    is_long = len(line) >= _LONG_LINE and not following.isupper()
    if not is_apart and (following.islower() or is_long) and not _HEADING.match(line):
        return True
    if JOINED.match(plain[-1]):
        return plain.endswith(_hanging_signs())
    return bool(last and before and last.group(1).replace("’", "'").casefold() in _hanging_words())


@cache
def _hanging_words() -> frozenset[str]:
    """Return words that end no sentence: denials before a label, and function words."""
    words = [*words_of(languages(), "before"), *words_of(languages(), "function_words")]
    return frozenset(word.split()[-1].casefold() for word in words) | {"isn't", "won't", "doesn't", "wouldn't", "can't"}


@cache
def _denying_starts() -> tuple[str, ...]:
    """Return denials that stand behind a label, in scripts without small letters whose sentences end in the verb."""
    return tuple(word for word in words_of(languages(), "after") if _VERB_LAST.match(word))


@cache
def _hanging_signs() -> tuple[str, ...]:
    return tuple(word for word in words_of(languages(), "before") if JOINED.match(word))
