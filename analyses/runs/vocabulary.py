"""Which key groups are words of the vocabulary, and which one is their union.

Read from ``key_groups`` and ``vocabulary`` in the run's config where it says so, else from the columns themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal

import polars as pl

from engine.schema import AMOUNT_GROUPS, COUNT_PREFIX, DEFAULT_KEY_GROUPS, EVIDENCE, PATTERN_GROUPS, PERIOD_GROUPS

Kind = Literal["category", "union", "random", "complement", "structure"]

NUMBER_GROUPS = (*PATTERN_GROUPS, *AMOUNT_GROUPS, *PERIOD_GROUPS)
"""Key groups of numbers and periods, drawn beside the vocabulary."""

STRUCTURE = (*DEFAULT_KEY_GROUPS, EVIDENCE, "user", "history", "template")
"""Key groups that are no vocabulary: numbers, parts of a table, parts of the text."""

INLINE_VOCABULARY = "vocabulary"
"""Name of the union of a vocabulary that is written into the config instead of a file."""


def kind_of(name: str, config: Mapping[str, object], union: str | None) -> Kind:
    """Return what a key group is; ``union`` is what ``find_vocabulary`` found."""
    definition = _definition(name, config)
    given = {key for key, value in definition.items() if value}
    if name == union:
        return "union"
    if "random_like" in given or name.startswith("random_"):
        return "random"
    if "complement_of" in given or name.startswith(("not_", "not ")):
        return "complement"
    if given & {"regex", "segment", "spans"}:
        return "structure"
    if "vocabulary" in given:
        return "union" if len(definition["vocabulary"]) > 1 else "category"
    return "structure" if name in STRUCTURE else "category"


def _definition(name: str, config: Mapping[str, object]) -> Mapping[str, Any]:
    groups = config.get("key_groups")
    definition = groups.get(name) if isinstance(groups, Mapping) else None
    return definition if isinstance(definition, Mapping) else {}


def find_vocabulary(key_groups: Sequence[str], config: Mapping[str, object], samples: pl.DataFrame) -> str | None:
    """Return the key group that is the union of the vocabulary, or None.

    It is, in this order: the configured key group of several categories; the stem of the vocabulary's file; what random
    vocabularies are named after; the key group that has at least as many tokens in every sample as any other words.
    """
    configured = [name for name in key_groups if len(_definition(name, config).get("vocabulary") or ()) > 1]
    if config.get("key_groups") is None and (vocabulary := config.get("vocabulary")):
        stem = PurePath(vocabulary).stem if isinstance(vocabulary, str) else INLINE_VOCABULARY
        configured += [name for name in key_groups if name == stem]
    matched = [re.fullmatch(r"random_(.+)_\d+", name) for name in key_groups]
    likened = [match.group(1) for match in matched if match and match.group(1) in key_groups]
    return next(iter([*configured, *likened]), None) or _largest(key_groups, samples)


def _largest(key_groups: Sequence[str], samples: pl.DataFrame) -> str | None:
    words = [name for name in key_groups if kind_of(name, {}, None) == "category"]
    counted = [f"{COUNT_PREFIX}{name}" for name in words if f"{COUNT_PREFIX}{name}" in samples.columns]
    known = samples.select(counted).drop_nulls() if len(counted) > 2 else pl.DataFrame()
    if known.is_empty():
        return None
    totals = known.sum().row(0, named=True)
    largest = max(totals, key=lambda name: totals[name])
    holds_all = known.select((pl.col(largest) >= pl.max_horizontal(counted)).all()).item()
    is_more = all(totals[largest] > total for name, total in totals.items() if name != largest)
    return largest.removeprefix(COUNT_PREFIX) if holds_all and is_more else None
