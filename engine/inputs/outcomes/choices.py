"""The choices of one row: what a multiple-choice question offers, and which of them a value names."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.inputs.answers.recorded import RecordedValue, one_or_more_texts, plain_text
from engine.inputs.answers.words import folded
from engine.samples import RowRejected

_NAME_KEYS = ("label", "key", "letter", "id", "name")
_TEXT_KEYS = ("text", "value", "content", "answer", "choice")
"""What objects call a choice's name and its text."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a row offers to choose from.

    Attributes
    ----------
    names
        Short names, which become its labels: the row's own, or letters.
    texts
        What each of them says.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]

    def labels(self) -> dict[str, list[str]]:
        """Return every name with its spellings: itself, and its text where no other choice has that too."""
        taken = Counter(map(folded, (*self.names, *self.texts)))
        return {
            name: [name, text] if folded(text) and taken[folded(text)] == 1 else [name]
            for name, text in zip(self.names, self.texts, strict=True)
        }

    def are_shown(self, texts: Sequence[str]) -> bool:
        """Whether one of some texts holds the text of a choice, or no choice has another text than its name."""
        said = {folded(text) for text in self.texts} - {folded(name) for name in self.names} - {""}
        return not said or any(choice in shown for shown in map(folded, texts) for choice in said)

    def index_of(self, value: object) -> int | None:
        """Return which choice a value names: by its text, its name, or its number from 0; None where it is none.

        A whole number counts from 0, unless names are numbers themselves.
        """
        text = plain_text(value)
        if text is None:
            return None
        plain = folded(text)
        by_text = [index for index, other in enumerate(self.texts) if folded(other) == plain]
        by_name = [index for index, name in enumerate(self.names) if folded(name) == folded(text.strip(" ().:"))]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        for found in ([] if is_number else by_text, by_name):
            if len(found) == 1:
                return found[0]
        number = int(plain) if plain.isdecimal() else None
        return number if number is not None and number < len(self.names) else None

    def value(self, value: object, name: str) -> RecordedValue:
        """Return what a field says, as the label that it stands for.

        Raises
        ------
        RowRejected
            When it holds several values.
        """
        if isinstance(value, list | tuple):
            if len(value) > 1:
                raise RowRejected(
                    "read",
                    "several_values",
                    f"The field {name!r} holds {len(value)} values ({', '.join(map(repr, value[:3]))}); a row is one "
                    f"prediction with one choice. Keep one value.",
                )
            value = value[0] if value else None
        return self.named(value)

    def named(self, value: object) -> RecordedValue:
        """Return what one value says, as the label that it stands for."""
        index, text = self.index_of(value), plain_text(value)
        is_one_beyond = index is None and text is not None and folded(text) == str(len(self.names))
        return RecordedValue(text, None if index is None else self.names[index], is_one_beyond)


def choices_of(value: object, name: str, known: Sequence[str] = ()) -> Choices | None:
    """Return the choices that a field holds; None where it is empty.

    Parameters
    ----------
    value
        A list of texts, a list of objects with a name and a text each, texts by name, or an object of two lists
        (``{"label": […], "text": […]}``).
    name
        The field, for messages to people.
    known
        Names of choices by position; letters where there are none.

    Raises
    ------
    RowRejected
        When it holds something else, or a single choice.
    """
    if value is None or (isinstance(value, str | list | tuple | Mapping) and not value):
        return None
    if isinstance(value, Mapping):
        names, texts = _of_object(value)
    elif isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        names = [_part(item, _NAME_KEYS) for item in value]
        texts = [_part(item, _TEXT_KEYS) for item in value]
    else:
        texts = list[str | None](one_or_more_texts(value))
        names = [None] * len(texts)
    if len(texts) < 2 or None in texts:
        raise RowRejected(
            "read",
            "unreadable_choices",
            f"The field {name!r} holds {str(value)[:80]!r}; choices are a list of at least two texts, objects with a "
            f"label and a text, or texts by label.",
        )
    if None in names:
        names = list(known[: len(texts)]) if len(known) >= len(texts) else list(string.ascii_uppercase[: len(texts)])
    if len(names) < len(texts) or len({folded(str(name)) for name in names}) < len(texts):
        raise RowRejected(
            "read",
            "unreadable_choices",
            f"The field {name!r} holds {len(texts)} choices without a name of its own for each; name them in "
            f"decision.labels, or in the field as objects with a label and a text.",
        )
    return Choices(tuple(map(str, names)), tuple(map(str, texts)))


def _of_object(value: Mapping[object, object]) -> tuple[list[str | None], list[str | None]]:
    """Return names and texts of an object: two lists by their keys, or texts by name."""
    lists = {str(key): item for key, item in value.items() if isinstance(item, list | tuple)}
    texts = next((lists[key] for key in _TEXT_KEYS if key in lists), None)
    if texts is not None:
        names = next((lists[key] for key in _NAME_KEYS if key in lists and len(lists[key]) == len(texts)), None)
        return list(map(plain_text, names)) if names else [None] * len(texts), list(map(plain_text, texts))
    return list(map(str, value)), list(map(plain_text, value.values()))


def _part(item: Mapping[object, object], keys: Sequence[str]) -> str | None:
    return next((plain_text(item[key]) for key in keys if key in item), None)
