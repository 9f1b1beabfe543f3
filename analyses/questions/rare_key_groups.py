"""Key groups that too few samples hold for a comparison of attention to them to mean anything.

Where two of 34 wrong reviews hold a number, "wrong ones attend less to numbers" says what the reviews contain, not what
heads do. Such statistics are not tested; a note says so, and how many samples hold the key group. The same holds within
a stratum, and for a correlation, whose two sides are the samples below and above the middle of what it is with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyses.questions.comparisons import Comparison
from analyses.runs.run import Run
from engine.schema import COUNT_PREFIX, MASS_PREFIX, NORM_MASS_PREFIX

MIN_PRESENT = 10
"""Samples on either side of a comparison that must hold a token of a key group, unless every sample holds one."""

Side = tuple[np.ndarray, str]
"""``[samples]`` booleans, and what these samples are called."""


def rare_statistics(run: Run, comparison: Comparison, within: np.ndarray | None = None) -> dict[str, str]:
    """Return the statistics that are not tested in a comparison, and why; the key groups' masses.

    A key group is rare when some sample of the comparison lacks it and fewer than ``MIN_PRESENT`` samples of a side
    hold it. Where every sample holds it, small groups are what the tests themselves allow for.

    Parameters
    ----------
    within
        ``[samples]`` booleans: only these are compared; all of them by default.
    """
    rows = np.ones(len(run.samples), dtype=bool) if within is None else within
    sides = (comparison.is_a & rows, comparison.label_a), (comparison.is_b & rows, comparison.label_b)
    return _rare(run, sides)


def rare_columns(values: np.ndarray, is_a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each column whether too few samples of a side have a value of it, and how many have at least.

    Parameters
    ----------
    values
        ``[samples, columns]`` of the samples that are compared, NaN where a sample has no value.
    is_a
        ``[samples]`` booleans: which side they are on.
    """
    known = ~np.isnan(values)
    held = np.minimum(known[is_a].sum(axis=0), known[~is_a].sum(axis=0))
    return (held < MIN_PRESENT) & ~known.all(axis=0), held


def rare_for_target(run: Run, values: np.ndarray) -> dict[str, str]:
    """Return the statistics whose correlation with ``values`` (``[samples]``, NaN unknown) is not tested, and why."""
    known = ~np.isnan(values)
    if not known.any():
        return {}
    middle = np.median(values[known])
    # The middle itself goes to the side that makes the halves more alike.
    is_lower = values <= middle if (values[known] < middle).sum() <= (values[known] > middle).sum() else values < middle
    return _rare(run, ((known & is_lower, "lower half"), (known & ~is_lower, "upper half")))


def _rare(run: Run, sides: Sequence[Side]) -> dict[str, str]:
    notes: dict[str, str] = {}
    everyone = np.logical_or.reduce([rows for rows, _ in sides])
    for name in run.key_groups:
        column = f"{COUNT_PREFIX}{name}"
        if column not in run.samples.columns:
            continue
        is_present = (run.samples[column] > 0).fill_null(True).to_numpy()
        if is_present[everyone].all():
            continue
        held, of_all, label = min((int((rows & is_present).sum()), int(rows.sum()), label) for rows, label in sides)
        if held < MIN_PRESENT:
            note = f"key group {name} is present in only {held:,} of {of_all:,} {label} samples: not tested"
            notes |= {f"{prefix}{name}": note for prefix in (MASS_PREFIX, NORM_MASS_PREFIX)}
    return notes
