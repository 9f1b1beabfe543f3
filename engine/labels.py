"""Labels as text: which configured label a word or phrase stands for, and where the answer says it.

One place for every rule about label words; ``predictions`` decides which rule applies to a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import json_repair

_FENCED = re.compile(r"```(?:json)?\s*(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_SENTENCE = re.compile(r"[^\n.!?]+(?:[.!?](?=\d)[^\n.!?]*)*[.!?]*")
_CONCLUDES = re.compile(
    r"\b(?:conclu\w*|therefore|thus|hence|overall|final\w*|predict\w*|forecast\w*|expect\w*|answer|assess\w*|"
    r"verdict|choose|choice|likely|in summary|decision)\b",
    re.IGNORECASE,
)
_STRIP = " \t\r\n\"'`*_.,;:!?()[]{}"


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
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(map(_spelling_pattern, ordered))})(?!\w)")
        # A field's words may be joined by underscores or spaces, as an answer in prose writes them.
        name = r"[\s_]+".join(re.escape(word) for word in re.split(r"[\s_]+", field or ""))
        self._field_value = re.compile(
            rf"(?<!\w){name}(?!\w)[\"'“”*`]*\s*[:=]\s*[*`]*\s*"
            rf"(?P<value>\"[^\"\n]*\"?|'[^'\n]*'?|“[^”\n]*”?|[^,}}\n]*)",
            re.IGNORECASE,
        )

    def exact(self, text: str) -> str | None:
        """Return the label that the text is a spelling of, ignoring case and surrounding punctuation."""
        found = self._spellings.get(" ".join(text.strip(_STRIP).casefold().split()))
        return found[0] if found else None

    def words(self, text: str, start: int = 0, end: int | None = None) -> list[LabelWord]:
        """Return every label word in a stretch of text, in order."""
        matches = self._words.finditer(text, start, len(text) if end is None else end)
        return [self._word(match) for match in matches]

    def _word(self, match: re.Match[str]) -> LabelWord:
        label, spelling = self._spellings[" ".join(match.group().casefold().split())]
        return LabelWord(label, spelling, match.start(), match.end())

    def single(self, text: str) -> LabelWord | None:
        """Return the last word of the one label a phrase names; None when it names none or several."""
        words = self.words(text)
        return words[-1] if words and len({word.label for word in words}) == 1 else None

    def is_template(self, text: str) -> bool:
        """Whether a phrase names every label of a choice, such as ``<Increase/Decrease>``."""
        return len({word.label for word in self.words(text)}) > 1

    def field_span(self, answer: str) -> tuple[int, int] | None:
        """Return the character span of the value of the label's field; the last occurrence counts."""
        if not self.field:
            return None
        matches = list(self._field_value.finditer(answer))
        return matches[-1].span("value") if matches else None

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
        blocks = [match.group(1) for match in _FENCED.finditer(answer)] or [answer[answer.rfind("{") :]]
        for block in reversed(blocks):
            value = self._value(_parsed(block))
            if value is not None:
                return value, "json"
            repaired = self._value(json_repair.loads(block)) if self.field in block else None
            if repaired is not None:
                return repaired, "repaired_json"
        return None

    def _value(self, tree: object) -> str | None:
        if isinstance(tree, list):
            tree = next((item for item in reversed(tree) if isinstance(item, dict) and self.field in item), None)
        if isinstance(tree, dict) and isinstance(tree.get(self.field), str):
            return str(tree[self.field])
        return None


def _spelling_pattern(spelling: str) -> str:
    """Return a pattern for a spelling; one of one or two letters counts in its own case only ("A" is no article)."""
    pattern = r"\s+".join(re.escape(word) for word in spelling.split())
    return pattern if len(spelling) <= 2 else f"(?i:{pattern})"


def _parsed(block: str) -> object:
    try:
        return json.loads(block)
    except (ValueError, RecursionError):
        return None
