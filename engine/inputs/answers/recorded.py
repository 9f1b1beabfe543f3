"""Labels in the fields of a record: what a table, a notebook or another tool made of them is read as it was meant.

1.0 is 1, true is yes or 1, a list with one text is that text, and a label's own name counts beside its spellings.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.inputs.answers.words import STRIP, LabelWords, folded
from engine.samples import RowRejected

_MISSING = (None, "")
_NO_VALUE = frozenset(("nan", "none", "null", "<na>", "nat"))
"""How tables write that there is no value."""
_WHOLE_KEY = re.compile(r"[+-]?\d+\.0+")
_WHOLE = re.compile(r"([+-]?\d+)(?:\.0*|,00?)")
_LIST = re.compile(r"\s*([\[(].*[\])])\s*", re.DOTALL)
_ARRAY = re.compile(r"\s*array\((.*?)(?:,\s*dtype=[\w<>|']+)?\)\s*", re.DOTALL)
_BYTES = re.compile(r"b(['\"]).*\1", re.DOTALL)
_TRUTHS = (("true", "yes", "1"), ("false", "no", "0"))
_DEEPEST = 3
_LONGEST_LIST = 100_000
"""Characters of a text that is looked at for a list."""


@dataclass(frozen=True, slots=True)
class RecordedValue:
    """A label field of one record: its text, and the label that it stands for, when it is one.

    ``is_one_beyond`` where it is a number, and that of the place behind the last choice.
    """

    text: str | None
    label: str | None
    is_one_beyond: bool = False


class RecordedLabels:
    """Reads labels from records."""

    def __init__(self, labels: LabelWords):
        self._spelled = {form: label for form, (label, _) in labels.spelled.items()}
        for label in labels.labels:
            self._spelled.setdefault(folded(label), label)
        for form, label in list(self._spelled.items()):
            self._spelled.setdefault(_whole(form), label)
        for word, label in list(self._truths().items()):
            self._spelled.setdefault(word, label)

    def _truths(self) -> dict[str, str]:
        """Return the labels of true, yes and 1 and of their opposites, where both are labels and different ones."""
        labels = [{self._spelled[word] for word in words if word in self._spelled} for words in _TRUTHS]
        if any(len(some) != 1 for some in labels) or labels[0] == labels[1]:
            return {}
        return {word: label for words, some in zip(_TRUTHS, labels, strict=True) for label in some for word in words}

    def label(self, text: str) -> str | None:
        """Return the label that a text stands for, ignoring case and punctuation around it."""
        for form in (text.strip(STRIP), text.strip()):
            plain = folded(form)
            label = self._spelled.get(plain) or self._spelled.get(_whole(plain))
            if label:
                return label
        return None

    def read(self, value: object, name: str) -> RecordedValue:
        """Return the text of a record's label field and the label that it stands for.

        Raises
        ------
        RowRejected
            When the field holds several values that are not one label.
        """
        texts = one_or_more_texts(value)
        if len(texts) > 1:
            labels = {self.label(text) for text in texts}
            if len(labels) > 1 or None in labels:
                raise RowRejected(
                    "read",
                    "several_values",
                    f"The field {name!r} holds {len(texts)} values ({', '.join(map(repr, texts[:3]))}); a row is one "
                    f"prediction with one label. Write a row for each, or keep one value.",
                )
        if not texts:
            return RecordedValue(None, None)
        label = self.label(texts[0])
        if label is None and texts[0].strip().casefold() in _NO_VALUE:
            return RecordedValue(None, None)
        return RecordedValue(texts[0], label)


def one_or_more_texts(value: object, is_text_only: bool = False) -> list[str]:
    """Return the texts of a field: one of a plain value, those inside of a list, also of one that was written as text.

    Parameters
    ----------
    value
        Of a record.
    is_text_only
        Whether only what Python wrote for a list of texts is taken for one, and a JSON list of one text: a model may
        well write a list of several itself.
    """
    return _texts(value, is_text_only, 0)


def _texts(value: object, is_text_only: bool, depth: int) -> list[str]:
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [text for item in value for text in _texts(item, is_text_only, depth + 1)]
    if isinstance(value, str) and not value.strip():
        return []
    if isinstance(value, str):
        is_readable = depth < _DEEPEST and len(value) <= _LONGEST_LIST
        inner = _list_in(value, is_text_only) if is_readable else None
        return [value] if inner is None else _texts(inner, is_text_only, depth + 1)
    text = plain_text(value)
    return [] if text is None else [text]


def _list_in(text: str, is_text_only: bool) -> list[object] | str | None:
    """Return the list, or the bytes, that a text is the written form of; None when it is none."""
    if _BYTES.fullmatch(text.strip()):
        content = _evaluated(text.strip())
        return content.decode("utf-8", "replace") if isinstance(content, bytes) else None
    array = _ARRAY.fullmatch(text)
    match = _LIST.fullmatch(array.group(1) if array else text)
    if match is None:
        return None
    content = _evaluated(match.group(1))
    if isinstance(content, tuple | list) and all(isinstance(item, str) for item in content):
        is_python = repr(content) == match.group(1).strip()
        return list(content) if is_python or not is_text_only or len(content) == 1 else None
    if isinstance(content, list | tuple) and not is_text_only and not any(isinstance(x, Mapping) for x in content):
        return list(content)
    return None


def _evaluated(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def plain_text(value: object) -> str | None:
    """Return a field as text; None for null, NaN and the empty string. Whole numbers are alike, as floats or not."""
    if value in _MISSING or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # integers beside missing values arrive as floats
    return value if isinstance(value, str) else str(value)


def key_text(value: object) -> str | None:
    """Return an id, a cluster or a key as text; whole numbers alike, whether a table wrote them as 7, 7.0 or text."""
    text = plain_text(value)
    return text.partition(".")[0] if text is not None and _WHOLE_KEY.fullmatch(text) else text


def _whole(text: str) -> str:
    match = _WHOLE.fullmatch(text)
    return match.group(1) if match else text


def answer_in_list(value: object, name: str) -> object:
    """Return a recorded answer without the list that it stands in, also one that was written as text.

    Raises
    ------
    RowRejected
        When the list holds several texts.
    """
    if isinstance(value, list | tuple) and not all(isinstance(item, str) for item in value):
        return value
    texts = one_or_more_texts(value, is_text_only=True) if isinstance(value, str | list | tuple) else []
    if len(texts) > 1:
        raise RowRejected(
            "read",
            "several_answers",
            f"The field {name!r} holds {len(texts)} answers; a row is one prediction. Write a row for each answer, "
            f"with an id of its own.",
        )
    return texts[0] if texts else value


def is_unwrapped(value: object, answer: str) -> bool:
    """Whether an answer is the one text of a list that the record holds."""
    return isinstance(value, list | tuple) or (
        isinstance(value, str) and value != answer and one_or_more_texts(value, is_text_only=True) == [answer]
    )
