"""Label words: where a text says a configured spelling, and which one.

A spelling inside another word, a number, a name or an article is none; whether it is denied is read in ``denials``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.inputs.answers.contexts import is_another_word
from engine.inputs.answers.inflections import inflected, is_participle
from engine.inputs.answers.languages import (
    ARABIC,
    FULL_WIDTH,
    HANGUL,
    JOINED,
    NOT_AFTER_HANGUL,
    NOT_AFTER_LETTER,
    NOT_BEFORE_LETTER,
    UNSPACED,
    languages,
    words_of,
)

STRIP = " \t\r\n\"'`*_.,;:!?()[]{}<>\\«»“”‘’„。，、！？：；（）【】「」『』"
_BLANK = r"[\s_-]+"
_BLANKS = re.compile(r"[\s_]+|(?<=[^\W\d_])-(?=[^\W\d_])")
"""What joins the words of a spelling: blanks, underscores, and hyphens between letters."""
_ARABIC_PREFIX = "(?:[وف])?(?:[بك]?ال|لل|[بكل]|س)?"
_ARABIC_SUFFIX = "(?:\u064bا|ات|ان|ين|ون|ها|هم|ه|ي|ا|ة)?[\u064b-\u0652]*"
_OUT_OF = re.compile(r"\s?(?:/|(?:out )?of\b)\s?(\d+)\b", re.IGNORECASE)
_MOVEMENTS = {"rises": 1, "falls": -1, "levels": 0}
Match = Literal["word", "inside"]


@dataclass(frozen=True, slots=True)
class LabelWord:
    """A label's word in a text: the label, which of its spellings, and the character span."""

    label: str
    spelling: int
    start: int
    end: int

    def moved(self, by: int) -> LabelWord:
        """Return the word of a text that has more characters in front."""
        return LabelWord(self.label, self.spelling, self.start + by, self.end + by)


class LabelWords:
    """Finds the configured spellings in text.

    Parameters
    ----------
    labels
        Spellings per label.
    match
        ``word``: as whole words, with the endings and articles that Korean and Arabic join to them; ``inside``: inside
        words too.
    is_inflected
        Whether English inflections of labels that are verbs count as well (``inflections``).

    Attributes
    ----------
    signs
        Of labels of movement: 1 of a rise, -1 of a fall, 0 of neither; none unless both ways are labels.
    """

    def __init__(self, labels: Mapping[str, list[str]], match: Match = "word", is_inflected: bool = False):
        self.labels = {label: list(spellings) for label, spellings in labels.items()}
        self.match: Match = match
        whole = inflected(self.labels) if is_inflected and match == "word" else self.labels
        configured = {folded(spelling) for spellings in self.labels.values() for spelling in spellings}
        self._participles = {
            folded(spelling) for spellings in whole.values() for spelling in spellings if spelling.endswith("ing")
        } - configured
        places = [
            (spelling, label, index)
            for label, spellings in whole.items()
            for index, spelling in enumerate(spellings)
            if folded(spelling)
        ]
        places.sort(key=lambda place: (-len(place[0]), place[0]))
        self._places = [(label, index, spelling) for spelling, label, index in places]
        self.spelled = {
            form: (label, index)
            for spelling, label, index in reversed(places)
            for form in dict.fromkeys((folded(spelling.upper()), folded(spelling)))
        }
        self.signs = _signs(self.labels)
        self._highest = max((int(form) for form in self.spelled if form.isdecimal()), default=None)
        self._values = re.compile("|".join(_pattern(spelling, match) for spelling, _, _ in places) or "(?!)")
        # A single letter in running text counts in its own case only: "a" is an article, "A" an answer.
        self._prose = re.compile("|".join(_pattern(s, match, any_case=len(s) > 1) for s, _, _ in places) or "(?!)")
        self._inside = (
            re.compile("|".join(_pattern_inside(spelling) for spelling, _, _ in places) or "(?!)")
            if match == "word"
            else None
        )

    def exact(self, text: str) -> str | None:
        """Return the label that the text is a spelling of, ignoring case and surrounding punctuation."""
        place = self.spelled.get(folded(text.strip(STRIP))) or self.spelled.get(folded(text.strip()))
        return place[0] if place else None

    def find(self, text: str, is_prose: bool = False) -> list[LabelWord]:
        """Return every label word of a text in order, denied or not.

        ``is_prose`` tells running text, where letters, numbers and ``no`` need a place of their own, from a value.
        """
        plain = text.translate(FULL_WIDTH)
        words: list[LabelWord] = []
        for match in self._matches(self._prose if is_prose else self._values, plain):
            assert match.lastindex is not None, "every spelling is a group"
            start, end = match.span(match.lastindex)
            label, index, spelling = self._places[match.lastindex - 1]
            if is_another_word(plain, start, end, spelling, is_prose) or not self._is_on_scale(plain, end, spelling):
                continue
            if folded(spelling) not in self._participles or not is_participle(plain, start, end):
                words.append(LabelWord(label, index, start, end))
        return words

    @staticmethod
    def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
        """Yield the matches in order; where words are joined, one that overlaps a longer one is none (は+いいえ)."""
        match = pattern.search(text)
        while match:
            start, end = match.span()
            later = None
            if JOINED.match(text, start) and end - start > 1:
                places = (pattern.match(text, place) for place in range(start + 1, end))
                later = next((other for other in places if other and other.end() - other.start() > end - start), None)
            if later is None:
                yield match
            match = later or pattern.search(text, max(end, start + 1))

    def _is_on_scale(self, text: str, end: int, spelling: str) -> bool:
        """Whether a number is not out of another one than the highest label ("1/10")."""
        highest = _OUT_OF.match(text, end) if spelling.isdecimal() else None
        return highest is None or int(highest.group(1)) == self._highest

    def part_of_word(self, text: str) -> str | None:
        """Return the first word of a text that has a spelling inside, to be named where no whole word was found."""
        match = self._inside.search(text.translate(FULL_WIDTH)) if self._inside else None
        if match is None:
            return None
        start, end = match.span()
        before = re.search(r"[^\s.,;:!?()\[\]{}]{0,30}\Z", text[max(0, start - 30) : start])
        after = re.match(r"[^\s.,;:!?()\[\]{}]{0,30}", text[end : end + 30])
        return (before.group() if before else "") + text[start:end] + (after.group() if after else "")


def _pattern_inside(spelling: str) -> str:
    """Return a pattern of a spelling inside a word; of a single sign only in a name such as ``LABEL_1``."""
    return _pattern(spelling, "inside") if len(spelling) > 1 else rf"(?<=[^\W_]_){re.escape(spelling)}(?![^\W_])"


def folded(text: str) -> str:
    """Return a spelling without what does not tell spellings apart: case, width, kind of blank, composed accents."""
    plain = unicodedata.normalize("NFC", text.translate(FULL_WIDTH)).casefold().strip()
    return " ".join(part for part in _BLANKS.split(plain) if part)


def _signs(labels: Mapping[str, list[str]]) -> dict[str, int]:
    """Return of which labels a spelling is a word for a rise (1), a fall (-1) or neither (0); of none without both."""
    kinds = {sign: {folded(word) for word in words_of(languages(), kind)} for kind, sign in _MOVEMENTS.items()}
    found = {
        label: sign
        for label, spellings in labels.items()
        for sign, words in kinds.items()
        if any(folded(spelling) in words for spelling in (label, *spellings))
    }
    return found if {1, -1} <= set(found.values()) else {}


def _pattern(spelling: str, match: Match, any_case: bool = True) -> str:
    """Return a pattern of a spelling, in composed and decomposed form, whose one group is the spelling itself.

    Beside a script without spaces there is no edge of a word to ask for; an underscore is no letter. Hangul joins
    endings behind a word, Arabic articles and prepositions before it.
    """
    plain = spelling.translate(FULL_WIDTH).strip()
    forms = dict.fromkeys(unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))
    body = "|".join(_BLANK.join(re.escape(word) for word in _BLANKS.split(form) if word) for form in forms)
    group = f"((?i:{body}))" if any_case else f"({body})"
    if match == "inside":
        return group
    left, right = NOT_AFTER_LETTER, NOT_BEFORE_LETTER
    if re.match(f"[{UNSPACED}]", plain[:1]):
        left = ""
    elif re.match(f"[{HANGUL}]", plain[:1]):
        left = NOT_AFTER_HANGUL
    elif re.match(f"[{ARABIC}]", plain[:1]):
        left += _ARABIC_PREFIX
    if re.match(f"[{UNSPACED}{HANGUL}]", plain[-1:]):
        right = ""
    elif re.match(f"[{ARABIC}]", plain[-1:]):
        right = _ARABIC_SUFFIX + right
    return left + group + right
