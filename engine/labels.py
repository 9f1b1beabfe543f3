"""Labels as text: which configured label a word or phrase stands for, whether it is denied, and what prose concludes.

One place for every rule about label words; ``answer_fields`` finds the field of an answer, ``rows`` decides which rule
applies to a record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SENTENCE = re.compile(r"[^\n.!?。！？]+(?:[.!?](?=\d)[^\n.!?。！？]*)*[.!?。！？]*")
_CONCLUDES = re.compile(
    r"\b(?:conclu\w*|therefore|thus|hence|overall|final\w*|predict\w*|forecast\w*|expect\w*|answer|assess\w*|"
    r"verdict|choose|choice|likely|in summary|decision)\b",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"\b(?:if|unless|would|could|might|were)\b", re.IGNORECASE)
_MARKUP_WORDS = frozenset(("boxed", "text", "b", "strong", "textbf"))
_BREAKS = r"and|but|so|then|because|while|although|however|than"
"""Words behind which a denial no longer reaches."""
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that put no space between words (Thai, Lao, Burmese, Khmer, Kana, Han): a label may stand inside a run."""
_CHOICE = re.compile(r"[<>|/\[\]{}]")
STRIP = " \t\r\n\"'`*_.,;:!?()[]{}<>\\«»“”„。，、！？：；（）【】「」"


@dataclass(frozen=True, slots=True)
class LabelWord:
    """A label's word in a text: the label, which of its spellings, and the character span."""

    label: str
    spelling: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The label word of an answer's concluding sentence, and whether all concluding sentences agree with it."""

    word: LabelWord
    is_unanimous: bool


class LabelReader:
    """Finds the configured labels in text.

    Parameters
    ----------
    labels
        Spellings per label.
    negations
        Words that turn a label within the next few words into its denial.
    """

    def __init__(self, labels: Mapping[str, list[str]], negations: Iterable[str] = ()):
        self.labels = {label: list(spellings) for label, spellings in labels.items()}
        self._spellings = {
            _folded(spelling): (label, index)
            for label, spellings in self.labels.items()
            for index, spelling in enumerate(spellings)
        }
        every = [spelling for spellings in self.labels.values() for spelling in spellings]
        ordered = sorted(every, key=lambda text: (-len(text), text))
        self._words = re.compile("|".join(_spelling_pattern(spelling) for spelling in ordered))
        # A single letter in running text counts in its own case only: "a" is an article, "A" an answer.
        self._prose = re.compile("|".join(_spelling_pattern(s, any_case=len(s) > 1) for s in ordered))
        self._denial = _denial_pattern([word for word in negations if _folded(word) not in self._spellings])

    def exact(self, text: str) -> str | None:
        """Return the label that the text is a spelling of, ignoring case and surrounding punctuation."""
        found = self._spellings.get(_folded(text.strip(STRIP)))
        return found[0] if found else None

    def words(self, text: str, start: int = 0, end: int | None = None, is_prose: bool = False) -> list[LabelWord]:
        """Return every label word in a stretch of text that is not denied, in order."""
        stop = len(text) if end is None else end
        matches = (self._prose if is_prose else self._words).finditer(text, start, stop)
        return [self._word(match) for match in matches if not self._is_denied(text, start, match.start())]

    def _word(self, match: re.Match[str]) -> LabelWord:
        found = self._spellings.get(_folded(match.group()))
        if found is None:  # ignoring case is wider than folding it: "ı" matches "i" and does not fold to it
            found = next(
                place for text, place in self._spellings.items() if re.fullmatch(_spelling_pattern(text), match.group())
            )
        return LabelWord(*found, match.start(), match.end())

    def _is_denied(self, text: str, start: int, position: int) -> bool:
        return bool(self._denial.search(text, max(start, position - 60), position))

    def single(self, text: str, start: int = 0, end: int | None = None) -> LabelWord | None:
        """Return the last word of the one label that a phrase names; None when it names none or several."""
        words = self.words(text, start, end)
        return words[-1] if words and len({word.label for word in words}) == 1 else None

    def is_template(self, text: str) -> bool:
        """Whether a phrase offers several labels as a choice, such as ``<Increase/Decrease>``."""
        return self.is_ambiguous(text) and bool(_CHOICE.search(text))

    def is_ambiguous(self, text: str) -> bool:
        """Whether a phrase names several labels."""
        return len({word.label for word in self.words(text)}) > 1

    def is_denied(self, text: str) -> bool:
        """Whether a text names labels, and each of them within reach of a denial."""
        return bool(self._words.search(text)) and not self.words(text)

    def why_none(self, text: str) -> str:
        """Return the reject reason of a phrase that does not name one label."""
        if self.is_template(text):
            return "template_echo"
        if self.is_ambiguous(text):
            return "ambiguous_label"
        return "denied_label" if self.is_denied(text) else "no_label"

    def conclusion(self, answer: str) -> Conclusion | None:
        """Return the label word of an answer's conclusion in prose.

        The last sentence that names a label and concludes (therefore, predict, expect, answer, …) or says nothing but
        the label; conditional ones (if, would, …) count only where there is no other. Without any of these, the last
        sentence that names a label at all. None when that sentence names several labels.
        """
        naming = [
            (sentence.group(), words)
            for sentence in _SENTENCE.finditer(answer)
            if (words := self.words(answer, *sentence.span(), is_prose=True))
        ]
        concluding = [(text, words) for text, words in naming if _CONCLUDES.search(text) or self._says_only(text)]
        certain = [(text, words) for text, words in concluding if not _CONDITIONAL.search(text)]
        chosen = certain or concluding or naming
        if not chosen or len({word.label for word in chosen[-1][1]}) > 1:
            return None
        word = chosen[-1][1][-1]
        heard = {other.label for _, words in concluding or naming[-1:] for other in words}
        return Conclusion(word, heard == {word.label})

    def _says_only(self, sentence: str) -> bool:
        rest = re.findall(r"[^\W_]+", self._prose.sub(" ", sentence))
        return all(word.lower() in _MARKUP_WORDS for word in rest)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _spelling_pattern(spelling: str, any_case: bool = True) -> str:
    """Return a pattern of a spelling as a whole word, in composed and decomposed form.

    Beside a script without spaces there is no edge of a word to ask for; an underscore is no letter.
    """
    forms = dict.fromkeys(unicodedata.normalize(form, spelling) for form in ("NFC", "NFD"))
    pattern = "|".join(r"[\s_]+".join(re.escape(word) for word in form.split()) for form in forms)
    first, last = (not re.match(f"[{_UNSPACED}]", sign) for sign in (spelling[:1], spelling[-1:]))
    pattern = f"(?i:{pattern})" if any_case else f"(?:{pattern})"
    return (r"(?<![^\W_])" if first else "") + pattern + (r"(?![^\W_])" if last else "")


def _denial_pattern(negations: list[str]) -> re.Pattern[str]:
    """Return a pattern of a denial that reaches to the end of the searched text: at most three words lie between."""
    if not negations:
        return re.compile(r"(?!)")
    spaced = [re.escape(word) for word in negations if not re.match(f"[{_UNSPACED}]", word)]
    others = [re.escape(word) for word in negations if re.match(f"[{_UNSPACED}]", word)]
    between = rf"(?:[\s_-]+(?!(?:{_BREAKS})\b)[^\W_]+['’]?[^\W_]*){{0,3}}[\s_*\"'-]+"
    parts = [rf"(?:(?<![^\W_])|(?<=n['’]))(?:{'|'.join(spaced)}){between}"] if spaced else []
    parts += [rf"(?:{'|'.join(others)})"] if others else []
    return re.compile(rf"(?:{'|'.join(parts)})\Z", re.IGNORECASE)
