"""Which rows of a predictions file are used: filters on any field, and a seeded, balanced choice of samples."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import SupportsFloat, SupportsIndex

import numpy as np

from engine.config import PredictionsSection, as_date
from engine.samples import RowRejected, Sample

Stratum = tuple[str, ...]
_DECIMAL_COMMA = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})|0,[0-9]+|[0-9]{4,},[0-9]+)"
)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3}){2,}(?:\.[0-9]+)?|(?:,[0-9]{3})+\.[0-9]+)")


def refuse_filtered(values: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Turn a record away that ``predictions.filter`` does not keep.

    Raises
    ------
    RowRejected
        Reason ``filtered``, naming the field, its value and what is kept.
    """
    for name, allowed in wanted.items():
        if name not in values and not (isinstance(allowed, Mapping) and set(allowed) == {"not"}):
            raise RowRejected("read", "filtered", f"The row has no field {name!r}, which predictions.filter names.")
        if not _is_kept(values.get(name), allowed):
            raise RowRejected(
                "read", "filtered", f"{name} is {values.get(name)!r}, predictions.filter keeps {allowed!r}."
            )


def _is_kept(value: object, allowed: object) -> bool:
    if not isinstance(allowed, Mapping):
        return _is_one_of(value, allowed)
    if "not" in allowed and _is_one_of(value, allowed["not"]):
        return False
    bounds = {word: allowed[word] for word in ("min", "max") if word in allowed}
    if not bounds:
        return True
    if any(isinstance(bound, str) for bound in bounds.values()):
        day = as_date(value)
        first, last = as_date(bounds.get("min", date.min)), as_date(bounds.get("max", date.max))
        return day is not None and first is not None and last is not None and first <= day <= last
    number = as_number(value)
    return number is not None and bounds.get("min", -math.inf) <= number <= bounds.get("max", math.inf)


def _is_one_of(value: object, wanted: object) -> bool:
    accepted = wanted if isinstance(wanted, list) else [wanted]
    return any(value is item or value == item for item in accepted) or str(value) in {str(item) for item in accepted}


def as_number(value: object) -> float | None:
    """Return a field as a finite number; None when it is none."""
    if not isinstance(value, str | bytes | SupportsFloat | SupportsIndex):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = _printed_number(value) if isinstance(value, str) else None
        if number is None:
            return None
    return number if math.isfinite(number) else None


def _printed_number(text: str) -> float | None:
    """Return a number with commas where they can only be one thing: "0,85" and "1.234,5", or "1,234,567.8".

    "1,234" is either 1234 or 1.234, and none.
    """
    text = text.strip()
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(".", "").replace(",", "."))
    return float(text.replace(",", "")) if _GROUPED.fullmatch(text) else None


class Selection:
    """Collects which samples there are and chooses ``predictions.max_samples`` of them.

    Parameters
    ----------
    settings
        The config's section.
    seed
        The run's seed.
    """

    def __init__(self, settings: PredictionsSection, seed: int):
        self.settings = settings
        self.seed = seed
        self.numbers = array("q")
        self._strata: list[Stratum] = []
        self._codes = array("q")
        self._code_of: dict[Stratum, int] = {}

    def add(self, number: int, stratum: Stratum) -> None:
        """Note a sample by its row number and its values of the fields of ``predictions.balance``."""
        code = self._code_of.setdefault(stratum, len(self._strata))
        if code == len(self._strata):
            self._strata.append(stratum)
        self.numbers.append(number)
        self._codes.append(code)

    def chosen(self) -> frozenset[int]:
        """Return the row numbers of the samples to use.

        All of them when there are no more than ``max_samples``. Otherwise the samples are shuffled with the run's seed
        and taken one stratum after the other, so that strata get equal shares as far as they reach and the rest is
        shared among those that have more.
        """
        limit = self.settings.max_samples
        if limit is None or len(self.numbers) <= limit:
            return frozenset(self.numbers)
        queues: dict[Stratum, list[int]] = {}
        for index in np.random.default_rng(self.seed).permutation(len(self.numbers)):
            queues.setdefault(self._strata[self._codes[int(index)]], []).append(int(index))
        turns = sorted(
            (place, order, index)
            for order, stratum in enumerate(sorted(queues))
            for place, index in enumerate(queues[stratum])
        )
        return frozenset(self.numbers[index] for _, _, index in turns[:limit])

    def description(self, chosen: Iterable[int]) -> dict[str, object]:
        """Return how the choice was made, for ``plan.json``."""
        kept = frozenset(chosen)
        available = Counter(self._codes)
        taken = Counter(code for number, code in zip(self.numbers, self._codes, strict=True) if number in kept)
        order: Sequence[int] = sorted(available, key=lambda code: self._strata[code])
        return {
            "max_samples": self.settings.max_samples,
            "seed": self.seed,
            "balance": list(self.settings.balance),
            "filter": dict(self.settings.filter),
            "num_available": len(self.numbers),
            "num_selected": len(kept),
            "strata": [
                {
                    "stratum": dict(zip(self.settings.balance, self._strata[code], strict=True)),
                    "available": available[code],
                    "selected": taken[code],
                }
                for code in order
            ],
        }


def stratum_of(sample: Sample, settings: PredictionsSection) -> Stratum:
    """Return a sample's values of the fields of ``predictions.balance``."""
    return tuple(str(_value(sample, name)) for name in settings.balance)


def drawn_rows(numbers: Sequence[int], limit: int | None, seed: int) -> set[int]:
    """Return at most ``limit`` of the row numbers, drawn with a seed; all of them when there are no more."""
    if limit is None or len(numbers) <= limit:
        return set(numbers)
    return {numbers[int(index)] for index in np.random.default_rng(seed).permutation(len(numbers))[:limit]}


def _value(sample: Sample, name: str) -> object:
    return sample.kept[name] if name in sample.kept else getattr(sample, name)
