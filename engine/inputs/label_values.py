"""The values that the records' label fields hold, counted: which are known, and what would make the others known."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.config import FieldsSection
from engine.errors import ConfigError
from engine.inputs.answers.recorded import RecordedValue

_MOST_VALUES = 1_000
"""Different values that are counted one by one."""
_SHOWN = 20
_LONGEST = 60
"""Characters of a value that are shown."""
_PLAIN_YAML = re.compile(r"[A-Za-z][A-Za-z0-9 ]*")
_YAML_WORDS = frozenset(("yes", "no", "true", "false", "on", "off", "null", "y", "n", "nan"))


@dataclass(slots=True)
class FieldValues:
    """What one label field holds.

    Attributes
    ----------
    known, unknown
        Rows by value: of those that stand for a label, and of those that do not.
    num_empty
        Rows without a value.
    num_uncounted
        Rows with further values that are not told apart.
    num_one_beyond
        Rows whose value is the place behind the last choice.
    """

    known: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    num_empty: int = 0
    num_uncounted: int = 0
    num_one_beyond: int = 0

    def add(self, value: RecordedValue) -> None:
        """Count a row."""
        if value.text is None:
            self.num_empty += 1
            return
        self.num_one_beyond += value.is_one_beyond
        counter = self.unknown if value.label is None else self.known
        text = value.text if len(value.text) <= _LONGEST else f"{value.text[: _LONGEST - 1]}…"
        if text in counter or len(counter) < _MOST_VALUES:
            counter[text] += 1
        else:
            self.num_uncounted += 1

    @property
    def counts_from_one(self) -> bool:
        """Whether places of choices are counted from 1: one is behind the last, and none is 0."""
        return self.num_one_beyond > 0 and "0" not in self.known

    def as_json(self) -> dict[str, dict[str, int] | int]:
        """Return the counts for ``plan.json``, the most frequent values first."""
        return {
            "known": dict(self.known.most_common(_SHOWN)),
            "unknown": dict(self.unknown.most_common(_SHOWN)),
            "num_known": self.known.total(),
            "num_unknown": self.unknown.total() + self.num_uncounted,
            "num_other_values": sum(max(0, len(values) - _SHOWN) for values in (self.known, self.unknown)),
            "num_empty": self.num_empty,
        }


def counted(values: Mapping[str, int], num_shown: int = _SHOWN) -> str:
    """Return values with their counts in words, quoted."""
    shown = [f"{value!r} {count:,}" for value, count in list(values.items())[:num_shown]]
    others = len(values) - len(shown)
    return ", ".join(shown) + (f" and {others:,} others" if others > 0 else "")


def refuse_places_from_one(fields: FieldsSection, label_values: Mapping[str, FieldValues]) -> None:
    """Refuse places of choices that are counted from 1: read from 0, each would name the choice after the right one.

    Raises
    ------
    ConfigError
        When the field of the right choice holds such places.
    """
    name = fields.target or fields.actual
    if (fields.choices or fields.target) and name in label_values and label_values[name].counts_from_one:
        values = Counter({**label_values[name].known, **label_values[name].unknown})
        raise ConfigError(
            f"predictions.fields.{'target' if fields.target else 'actual'}: {name!r} holds {counted(values, 10)}, and "
            f"no 0: these places count from 1, and places of choices are counted from 0. Write them from 0, or the "
            f"choice's letter or text."
        )


def mapping_line(labels: Mapping[str, Sequence[str]]) -> str:
    """Return the line of a config to which unknown values can be added, each to the label that it means."""
    parts = [
        f"{_yaml(label)}: [{', '.join([*map(_yaml, spellings), f'<what means {label}>'])}]"
        for label, spellings in labels.items()
    ]
    return f"decision: {{labels: {{{', '.join(parts)}}}}}"


def _yaml(text: str) -> str:
    """Return a text as YAML reads it in a line; numbers and words such as yes and no in quotes."""
    is_plain = _PLAIN_YAML.fullmatch(text) and not text.endswith(" ") and text.casefold() not in _YAML_WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)
