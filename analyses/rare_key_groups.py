"""Key groups that too few samples hold for a comparison of attention to them to mean anything.

Where two of 34 wrong reviews hold a number, "wrong ones attend less to numbers" says what the reviews contain, not what
heads do. Such statistics are not tested; a note says so, and how many samples hold the key group.
"""

from __future__ import annotations

from analyses.comparisons import Comparison
from analyses.run_tables import RunTables
from engine.schema import COUNT_PREFIX, MASS_PREFIX, NORM_MASS_PREFIX

MIN_PRESENT = 10
"""Samples on either side of a comparison that must hold a token of a key group, unless every sample holds one."""


def rare_statistics(tables: RunTables, comparison: Comparison) -> dict[str, str]:
    """Return the statistics that are not tested in a comparison, and why; the key groups' masses.

    A key group is rare when some sample of the comparison lacks it and fewer than ``MIN_PRESENT`` samples of a side
    hold it. Where every sample holds it, small groups are what the tests themselves allow for.
    """
    found: dict[str, str] = {}
    for name in tables.key_groups:
        column = f"{COUNT_PREFIX}{name}"
        if column not in tables.samples.columns:
            continue
        is_present = (tables.samples[column] > 0).fill_null(True).to_numpy()
        if is_present[comparison.is_member].all():
            continue
        sides = (comparison.is_a, comparison.label_a), (comparison.is_b, comparison.label_b)
        held, of_all, label = min((int((rows & is_present).sum()), int(rows.sum()), label) for rows, label in sides)
        if held < MIN_PRESENT:
            note = f"key group {name} is present in only {held:,} of {of_all:,} {label} samples: not tested"
            found |= {f"{prefix}{name}": note for prefix in (MASS_PREFIX, NORM_MASS_PREFIX)}
    return found
