"""Labels in what a transcript lets somebody say: "CEO: EPS will increase", "Frau Meier: Der Gewinn wird steigen".

A line that begins with the name of who speaks is that person's, up to its end. Who speaks is told by an office or a
title ("Interviewer:", "Mr. Brown:"), or by two or three capitalised words of which none is known to head texts, where
several such speak or something is said beside it; a heading, or a company's name ("Delta Foods:"), tells nobody.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import fields
from functools import cache

from engine.inputs.answers.languages import JOINED, Language, languages, phrases, words_of
from engine.inputs.answers.words import LabelWord

_DRESS = r"[ \t>*_\"'“„«(\[#•-]*+"
_CLOSES = r"[*_\"'”“»)\]]*[ \t]*[:：][*_]*"
_NAME = r"(?-i:[^\W\d_a-zа-яёß-öø-ÿ](?:[^\W\d_]++|\.)(?:[-'’][^\W\d_]++)*+)"
"""A word with a capital letter, or an initial."""
_PERSON = re.compile(rf"^{_DRESS}(?P<name>{_NAME}(?:[ \t]+{_NAME}){{1,2}}){_CLOSES}[ \t]+(?=\S+[ \t]+\S)", re.M)
_NOUN = re.compile(
    r"[^\W\d_]+(?:[ts]ions?|ments?|ness|it(?:y|ies)|[ae]nces?|[ae]ncy|[ae]ncies|ys[ie]s|ings?|log(?:y|ie)|ships?|ures?|ages?|ives?|"
    r"[ai]bles?|ful|less|ous|[aeiu]l|ed|ly|ung(?:en)?|keit(?:en)?|heit(?:en)?|schaft(?:en)?|tät|ismus|nis|lich\w*|zion[ei]|"
    r"ción|ciones|ção|ções|m[ie]ento|menti|dade?s?|ость|ние|ция|ный|ная|ное)",
    re.IGNORECASE,
)
"""Words that by their form are nouns or adjectives, not names."""
_LEAST = 3
"""Letters of a word that is looked up among those of headings."""


def spoken(text: str, words: Sequence[LabelWord], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words stand in a line that somebody else speaks.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    codes
        Languages whose offices and titles count.
    """
    marked = [False] * len(words)
    if not words or not re.search("[:：]", text):
        return marked
    starts = [word.start for word in words]
    known = tuple(dict.fromkeys((*codes, "en")))
    persons = [match for match in _PERSON.finditer(text) if not _heads_a_text(match["name"])]
    offices = [
        match for match in _offices(known).finditer(text) if not (match["more"] and _heads_a_text(match["more"]))
    ]
    for match in (*persons, *offices):
        end = text.find("\n", match.end())
        for index in range(bisect_left(starts, match.end()), len(words)):
            if 0 <= end < starts[index]:
                break
            marked[index] = True
    is_alone = not offices and len({match["name"] for match in persons}) == 1
    # One name over all that is said may be a company's, which heads its forecast ("Procter Gamble: …").
    return [False] * len(words) if is_alone and all(marked) else marked


def _heads_a_text(name: str) -> bool:
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", name)]
    return all(len(word) < _LEAST for word in words) or any(
        word in _heading_words() or _NOUN.fullmatch(word) for word in words
    )


@cache
def _heading_words() -> frozenset[str]:
    """Return every word that a language's data holds, and those that head texts beside them: none is a name."""
    kinds = [field.name for field in fields(Language) if field.type == "tuple[str, ...]" and field.name != "titles"]
    every = (word for kind in kinds for word in words_of(languages(), kind))
    return frozenset(part for word in every for part in re.findall(r"[^\W\d_]+", word.casefold()))


@cache
def _offices(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of a line's beginning with who speaks, by office or title, with a name before or behind."""
    known = [code for code in codes if not languages()[code].is_partial]
    speakers = words_of(known, "speakers")
    office = phrases(word for word in speakers if not JOINED.match(word))
    joined = phrases(word for word in speakers if JOINED.match(word))
    title = rf"{phrases(words_of(known, 'titles'))}\.?"
    names = rf"(?:[ \t]+{_NAME}){{1,3}}"
    article = r"(?:(?:the|our|der|die|das|le|la|el|il|lo|o|a)[ \t]+|l['’])?(?:\w++[ \t]++)?"
    whom = (
        rf"{article}{office}(?:[ \t]+(?:\d{{1,2}}|[A-Z])(?![^\W_]))?(?P<more>{names})?",
        rf"{_NAME}(?:[ \t]+{_NAME}){{0,2}}[ \t]*(?:,[ \t]*|[(][ \t]*|[–-][ \t]*){article}{office}",
        rf"{title}(?:{names}|[ \t]+[^\W\d_]+)",
        rf"[^\s:：。，,、]{{0,8}}[ \t]?{joined}",
    )
    said_how = r"(?:[ \t]*[*_]*\([^()\n]{0,40}\))?"
    return re.compile(rf"^{_DRESS}(?:{'|'.join(whom)}){said_how}{_CLOSES}", re.IGNORECASE | re.MULTILINE)
