"""What each key group of a run is: a vocabulary category, their union, a random vocabulary, a part of the text."""

from __future__ import annotations

from analyses.run_tables import RunTables
from analyses.vocabulary import Kind, kind_of
from engine.schema import COUNT_PREFIX, MASS_PREFIX, NORM_MASS_PREFIX

HOLDS_FIRST_TOKEN = ("first_token", "beginning", "system", "template")
"""Key groups that may contain the first token, for which a sink-free mass has no meaning."""


def of_kind(tables: RunTables, *kinds: Kind) -> tuple[str, ...]:
    """Return the key groups of these kinds, in column order."""
    return tuple(name for name in tables.key_groups if kind_of(name, tables.config, tables.vocabulary) in kinds)


def vocabulary_union(tables: RunTables) -> str | None:
    """Return the key group that is the whole vocabulary, or None."""
    return tables.vocabulary


def declared_statistics(tables: RunTables) -> tuple[str, ...]:
    """Return the statistics that are tested: the declared family, fixed before any value is looked at.

    Left out are random vocabularies (they are the reference), complements (one minus another mass) and
    ``mass_first_token`` (``first_token`` with row 0 added, which is 1 by construction). So are key groups that no
    sample holds, which is no result of the heads either.
    """
    names = *of_kind(tables, "random", "complement"), *absent_key_groups(tables)
    left_out = {f"{prefix}{name}" for name in names for prefix in _PREFIXES}
    left_out.add(f"{MASS_PREFIX}first_token")
    return tuple(name for name in tables.statistics if name not in left_out)


def absent_key_groups(tables: RunTables) -> tuple[str, ...]:
    """Return the key groups without a single token in any sample; one that was not counted is taken to be there."""
    counted = [name for name in tables.key_groups if f"{COUNT_PREFIX}{name}" in tables.samples.columns]
    # The largest of no known count is None, which is not 0.
    return tuple(name for name in counted if tables.samples[f"{COUNT_PREFIX}{name}"].max() == 0)


_PREFIXES = (MASS_PREFIX, NORM_MASS_PREFIX)
