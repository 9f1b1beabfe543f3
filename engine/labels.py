"""Labels as text: which configured label a word or phrase stands for, and where the answer says it.

One place for every rule about label words; ``predictions`` decides which rule applies to a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import json_repair

_FENCED = re.compile(r"```(?:json)?\s*(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_SENTENCE = re.compile(r"[^\n.!?]+(?:[.!?](?=\d)[^\n.!?]*)*[.!?]*")
_CONCLUDES = re.compile(
    r"\b(?:conclu\w*|therefore|thus|hence|overall|final\w*|predict\w*|forecast\w*|expect\w*|answer|assess\w*|"
    r"verdict|choose|choice|likely|in summary|decision)\b",
    re.IGNORECASE,
)
_REPAIRED_CHARACTERS = 200_000
"""How much of a broken block is repaired at most: 0.4 s of work, and far more than any answer's JSON."""
_MAX_BRACES = 50
"""How many opening braces are tried from the end of an answer."""
_DECODER = json.JSONDecoder()
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that put no space between words (Thai, Lao, Burmese, Khmer, Kana, Han): a label may stand inside a run."""
_CHOICE = re.compile(r"[<>|/\[\]{}]")
_STRIP = " \t\r\n\"'`*_.,;:!?()[]{}<>«»“”„。，、！？：；（）【】「」"


@dataclass(frozen=True, slots=True)
class LabelWord:
    """A label's word in a text: the label, which of its spellings, and the character span."""

    label: str
    spelling: int
    start: int
    end: int


class LabelReader:
    """Finds the configured labels in text.

    Parameters
    ----------
    labels
        Spellings per label.
    field
        Name of the JSON field that holds the label, or None when answers hold no JSON.
    """

    def __init__(self, labels: Mapping[str, list[str]], field: str | None):
        self.labels = {label: list(spellings) for label, spellings in labels.items()}
        self.field = field
        self._spellings = {
            spelling.casefold(): (label, index)
            for label, spellings in self.labels.items()
            for index, spelling in enumerate(spellings)
        }
        every = [spelling for spellings in self.labels.values() for spelling in spellings]
        ordered = sorted(every, key=lambda text: (-len(text), text))
        self._words = re.compile("|".join(map(_spelling_pattern, ordered)))

    def exact(self, text: str) -> str | None:
        """Return the label that the text is a spelling of, ignoring case and surrounding punctuation."""
        found = self._spellings.get(" ".join(text.strip(_STRIP).casefold().split()))
        return found[0] if found else None

    def words(self, text: str, start: int = 0, end: int | None = None) -> list[LabelWord]:
        """Return every label word in a stretch of text, in order."""
        matches = self._words.finditer(text, start, len(text) if end is None else end)
        return [self._word(match) for match in matches]

    def _word(self, match: re.Match[str]) -> LabelWord:
        found = self._spellings.get(" ".join(match.group().casefold().split()))
        if found is None:  # ignoring case is wider than folding it: "ı" matches "i" and does not fold to it
            found = next(
                place for text, place in self._spellings.items() if re.fullmatch(_spelling_pattern(text), match.group())
            )
        return LabelWord(*found, match.start(), match.end())

    def single(self, text: str) -> LabelWord | None:
        """Return the last word of the one label a phrase names; None when it names none or several."""
        words = self.words(text)
        return words[-1] if words and len({word.label for word in words}) == 1 else None

    def is_template(self, text: str) -> bool:
        """Whether a phrase offers several labels as a choice, such as ``<Increase/Decrease>``."""
        return self.is_ambiguous(text) and bool(_CHOICE.search(text))

    def is_ambiguous(self, text: str) -> bool:
        """Whether a phrase names several labels."""
        return len({word.label for word in self.words(text)}) > 1

    def field_span(self, answer: str) -> tuple[int, int] | None:
        """Return the character span of the value of the label's field; the last occurrence counts."""
        return value_span(answer, self.field) if self.field else None

    def conclusion(self, answer: str) -> LabelWord | None:
        """Return the label word of an answer's conclusion in prose.

        The last sentence that names a label and sounds like a conclusion (therefore, predict, expect, answer, …), or
        else the last sentence that names a label at all; None when that sentence names several labels.
        """
        naming = [
            (sentence, words)
            for sentence in _SENTENCE.finditer(answer)
            if (words := self.words(answer, *sentence.span()))
        ]
        concluding = [pair for pair in naming if _CONCLUDES.search(pair[0].group())]
        for _, words in (concluding or naming)[-1:]:
            return words[-1] if len({word.label for word in words}) == 1 else None
        return None

    def from_json(self, answer: str) -> tuple[str, str] | None:
        """Return the field's value from the answer's last JSON block, and whether it was valid.

        Returns
        -------
        tuple of str, or None
            The value and its source, ``"json"`` or ``"repaired_json"``.
        """
        if not self.field:
            return None
        fenced = [match.group(1) for match in _FENCED.finditer(answer)]
        for block in reversed(fenced):
            value = _last_value(_parsed(block), self.field)
            if value is not None:
                return value, "json"
            value = self._repaired(block, 0, len(block))
            if value is not None:
                return value, "repaired_json"
        return self._from_braces(answer)

    def _from_braces(self, answer: str) -> tuple[str, str] | None:
        """Return the field's value from the last object that has it, wherever in the text the object stands."""
        assert self.field
        end = len(answer)
        for start in [match.start() for match in re.finditer(r"\{", answer)][: -_MAX_BRACES - 1 : -1]:
            value = _last_value(_parsed(answer, start), self.field)
            if value is not None:
                return value, "json"
            value = self._repaired(answer, start, end)
            if value is not None:
                return value, "repaired_json"
            end = start
        return None

    def _repaired(self, text: str, start: int, end: int) -> str | None:
        """Return the field's value from broken JSON that begins at ``start`` and names the field before ``end``."""
        assert self.field
        if not _field_name(self.field).search(text, start, end):
            return None
        try:
            tree = json_repair.loads(text[start : start + _REPAIRED_CHARACTERS])
        except (ValueError, RecursionError):  # whatever it cannot mend is read as prose
            return None
        return _last_value(tree, self.field)


def value_span(answer: str, field: str) -> tuple[int, int] | None:
    """Return the character span of the value that a text gives a field, as JSON or as prose; the last one counts."""
    matches = list(_field_value(field).finditer(answer))
    return matches[-1].span("value") if matches else None


def field_value(answer: str, field: str) -> str | None:
    """Return the value that a text gives a field, without quotes; None when it gives none."""
    span = value_span(answer, field)
    return (answer[slice(*span)].strip(_STRIP) or None) if span else None


@cache
def _field_name(field: str) -> re.Pattern[str]:
    """Return a pattern of a field's name; its words may be joined by underscores or blanks, as prose writes them."""
    name = r"[\s_]+".join(re.escape(word) for word in re.split(r"[\s_]+", field))
    return re.compile(rf"(?<!\w){name}(?!\w)", re.IGNORECASE)


@cache
def _field_value(field: str) -> re.Pattern[str]:
    return re.compile(
        rf"{_field_name(field).pattern}[\"'“”*`\\]*\s*[:=]\s*[*`\\]*\s*"
        rf"(?P<value>\"[^\"\n]*\"?|'[^'\n]*'?|“[^”\n]*”?|[^,}}\n]*)",
        re.IGNORECASE,
    )


def _last_value(tree: object, field: str) -> str | None:
    """Return the text that the last object with the field gives it, whatever the case of its name and its depth."""
    if isinstance(tree, dict):
        named = [value for key, value in tree.items() if _field_name(field).fullmatch(str(key))]
        if named and isinstance(named[-1], str):
            return named[-1]
        tree = list(tree.values())
    if isinstance(tree, list):
        found = (_last_value(item, field) for item in reversed(tree) if isinstance(item, dict | list))
        return next((value for value in found if value is not None), None)
    return None


def _spelling_pattern(spelling: str) -> str:
    """Return a pattern of a spelling as a whole word.

    One of one or two letters counts in its own case only ("A" is no article), and beside a script without spaces there
    is no edge of a word to ask for.
    """
    pattern = r"\s+".join(re.escape(word) for word in spelling.split())
    first, last = (not re.match(f"[{_UNSPACED}]", sign) for sign in (spelling[:1], spelling[-1:]))
    pattern = pattern if len(spelling) <= 2 else f"(?i:{pattern})"
    return (r"(?<!\w)" if first else "") + pattern + (r"(?!\w)" if last else "")


def _parsed(text: str, start: int | None = None) -> object:
    """Return the value of a text that is JSON, or of the JSON that begins at a place; None when it is none."""
    try:
        return json.loads(text) if start is None else _DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None
