"""What each key group of a run is: a vocabulary category, their union, a random vocabulary, a part of the text.

Read from ``key_groups`` in the run's config where it says so, else from the names that the contract fixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from analyses.run_tables import RunTables
from engine.schema import MASS_PREFIX, NORM_MASS_PREFIX

Kind = Literal["category", "union", "random", "complement", "structure"]

STRUCTURE = (
    "number",
    "percentage",
    "year",
    "magnitude_large",
    "magnitude_small",
    "current_period",
    "prior_period",
    "line_item",
    "system",
    "user",
    "history",
    "statement",
    "instruction",
    "template",
    "response",
    "reasoning",
    "beginning",
    "first_token",
)
"""Key groups that are no vocabulary: numbers, parts of a table, parts of the text."""

HOLDS_FIRST_TOKEN = ("first_token", "beginning", "system", "template")
"""Key groups that may contain the first token, for which a sink-free mass has no meaning."""


def kind_of(name: str, config: Mapping[str, Any]) -> Kind:
    """Return what a key group is."""
    groups = config.get("key_groups")
    definition = groups.get(name) if isinstance(groups, Mapping) else None
    definition = definition if isinstance(definition, Mapping) else {}
    given = {key for key, value in definition.items() if value}
    if "random_like" in given or name.startswith("random_"):
        return "random"
    if "complement_of" in given or name.startswith(("not_", "not ")):
        return "complement"
    if given & {"regex", "segment", "spans"}:
        return "structure"
    if "vocabulary" in given:
        return "union" if len(definition["vocabulary"]) > 1 else "category"
    if name == "financial":
        return "union"
    return "structure" if name in STRUCTURE else "category"


def of_kind(tables: RunTables, *kinds: Kind) -> tuple[str, ...]:
    """Return the key groups of these kinds, in column order."""
    return tuple(name for name in tables.key_groups if kind_of(name, tables.config) in kinds)


def vocabulary_union(tables: RunTables) -> str | None:
    """Return the key group that is the whole vocabulary (``financial``), or None."""
    unions = of_kind(tables, "union")
    return unions[0] if unions else None


def declared_statistics(tables: RunTables) -> tuple[str, ...]:
    """Return the statistics that are tested: the declared family, fixed before any value is looked at.

    Left out are random vocabularies (they are the reference), complements (one minus another mass) and
    ``mass_first_token`` (``first_token`` with row 0 added, which is 1 by construction).
    """
    left_out = {f"{prefix}{name}" for name in of_kind(tables, "random", "complement") for prefix in _PREFIXES}
    left_out.add(f"{MASS_PREFIX}first_token")
    return tuple(name for name in tables.statistics if name not in left_out)


_PREFIXES = (MASS_PREFIX, NORM_MASS_PREFIX)
