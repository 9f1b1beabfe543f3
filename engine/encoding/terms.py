"""Terms of a vocabulary found in a text by its words: each text is cut into words once, for all groups of terms.

The matches are those of ``term_pattern``. Trying that pattern at every character costs more than tokenising the text; a
term begins where a word begins, and with the same word, so that it need only be tried there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from engine.encoding.vocabulary import term_pattern

_RUN = re.compile(r"\w+")
_LETTER_AND_MARK = "\u0345"
"""The one sign that is no part of a word and that letters match where case does not count (iota subscript)."""


class Words:
    """Where each word of a text begins.

    Parameters
    ----------
    text
        Any text.

    Attributes
    ----------
    starts
        First characters of every run of letters, digits and underscores, by the run in whatever case.
    """

    def __init__(self, text: str):
        self.text = text
        self.is_ascii = text.isascii()
        starts: defaultdict[str, list[int]] = defaultdict(list)
        if self.is_ascii:
            for match in _RUN.finditer(text.upper()):
                starts[match[0]].append(match.start())
        else:
            for match in _RUN.finditer(text):
                starts[_in_one_case(match[0])].append(match.start())
        self.starts = dict(starts)


class Terms:
    """Terms that are looked for as whole words and phrases, whatever the case.

    Parameters
    ----------
    terms
        Words and phrases.

    Attributes
    ----------
    pattern
        A pattern of all of them, of which ``spans`` are the matches.
    """

    def __init__(self, terms: Iterable[str]):
        terms = list(dict.fromkeys(" ".join(term.split()) for term in terms))
        self.pattern = term_pattern(terms)
        by_word: defaultdict[str, list[str]] = defaultdict(list)
        self._has_others = False
        for term in terms:
            run = _RUN.match(term)
            if run is None or _LETTER_AND_MARK in term:
                self._has_others = True
            else:
                by_word[_in_one_case(run[0])].append(term)
        self._by_word: dict[str, re.Pattern[str]] = {}
        self._alone: set[str] = set()
        for word, found in by_word.items():
            self._by_word[word] = term_pattern(found)
            if len(found) == 1 and found[0].isascii() and _RUN.fullmatch(found[0]):
                self._alone.add(word)

    def spans(self, words: Words) -> list[tuple[int, int]]:
        """Return the characters of each match in a text, in its order; as ``pattern.finditer`` finds them."""
        text = words.text
        if self._has_others or (not words.is_ascii and _LETTER_AND_MARK in text):
            return [match.span() for match in self.pattern.finditer(text)]
        met = [word for word in self._by_word if word in words.starts]
        if words.is_ascii and self._alone.issuperset(met):  # words only: none can lie in another
            return sorted((start, start + len(word)) for word in met for start in words.starts[word])
        spans: list[tuple[int, int]] = []
        end = 0
        by_start = {start: word for word in met for start in words.starts[word]}
        for start in sorted(by_start):
            if start < end:
                continue
            word = by_start[start]
            if words.is_ascii and word in self._alone:
                end = start + len(word)
            else:
                match = self._by_word[word].match(text, start)
                if match is None:
                    continue
                end = match.end()
            spans.append((start, end))
        return spans


def _in_one_case(word: str) -> str:
    """Return a word so that all that a pattern that ignores case takes for one are one; some others may be too."""
    return word.replace("\u0130", "i").lower().upper()
