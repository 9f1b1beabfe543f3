"""What statistics are correlated with: numbers of the samples, and words that have an order.

The model's stated certainty and magnitude are words (High, Medium, Low; Slight, Moderate, Significant). They are read
by the ladders below, upper and lower case alike, or as numbers where the records hold numbers; whatever is neither is
left out and counted in the note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.settings.analysis import TARGETS, SettingsError
from analyses.wording import count_text

CERTAINTY_WORDS = (
    ("none", "very low", "very uncertain"),
    ("low", "uncertain", "weak"),
    ("medium", "moderate", "mid", "average"),
    ("high", "certain", "strong", "confident"),
    ("very high", "very certain", "very confident"),
)
"""Words of certainty from the lowest step to the highest; upper and lower case are the same."""

MAGNITUDE_WORDS = (
    ("none", "no change", "unchanged", "negligible", "minimal"),
    ("slight", "small", "minor", "marginal", "mild", "low"),
    ("moderate", "medium", "modest"),
    ("significant", "large", "substantial", "major", "strong", "considerable", "high"),
    ("very large", "very significant", "extreme", "dramatic", "massive", "huge"),
)
"""Words of magnitude from the smallest step to the largest."""

LADDERS: dict[str, tuple[tuple[str, ...], ...]] = {"certainty": CERTAINTY_WORDS, "magnitude": MAGNITUDE_WORDS}


@dataclass(frozen=True)
class Target:
    """What statistics are correlated with.

    Attributes
    ----------
    name
        As in ``analysis.correlations``.
    values
        ``[samples]``, NaN where unknown; only their order counts.
    note
        How the values were read and what could not be, in words; empty when there is nothing to say.
    """

    name: str
    values: np.ndarray
    note: str = ""


def target_values(run: Run, name: str) -> Target:
    """Return a target's values with a note on how they were read.

    ``probability`` is the model's own probability of the label it said, ``label_probability`` of
    ``runs.derived_columns``.

    Raises
    ------
    SettingsError
        When ``samples`` has no such column and it is no default target, or one that has no order.
    """
    if name == "probability":
        return Target(name, numbers_of(run.samples["label_probability"]))
    if name not in run.samples.columns and name in TARGETS:
        # Nobody asked for a default target, so a run without it is not wrong.
        return Target(name, np.full(len(run.samples), np.nan), f"samples have no column {name!r}")
    if name not in run.samples.columns:
        raise SettingsError(
            f"analysis.correlations: {name!r} is neither 'probability' nor a column of samples; columns: "
            f"{', '.join(run.samples.columns)}."
        )
    column = run.samples[name]
    if column.dtype == pl.String:
        return _read_words(name, column)
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return Target(name, numbers_of(column))
    raise SettingsError(f"analysis.correlations: {name!r} is neither a number nor words with an order.")


def _read_words(name: str, column: pl.Series) -> Target:
    """Read words with an order, or numbers written as text, whichever more samples have."""
    texts = column.drop_nulls().unique().to_list()
    ladder = LADDERS.get(name, ())
    steps = {text: step for text in texts if (step := word_step(text, ladder)) is not None}
    numbers = {text: number for text in texts if (number := text_number(text)) is not None}
    counts = dict(column.drop_nulls().value_counts().iter_rows())
    as_steps, as_numbers = (sum(counts[text] for text in read) for read in (steps, numbers))
    read: Mapping[str, float] = steps if as_steps >= as_numbers else numbers
    values = np.array([read.get(text, np.nan) if text is not None else np.nan for text in column.to_list()], float)
    unread = {text: count for text, count in counts.items() if text not in read}
    if not unread:
        return Target(name, values)
    listed = ", ".join(repr(text[:40]) for text in sorted(unread, key=lambda text: -unread[text])[:3])
    return Target(
        name, values, f"{count_text(sum(unread.values()), 'sample')} left out, {name} not understood: {listed}"
    )


def word_step(text: str, ladder: Sequence[Sequence[str]]) -> int | None:
    """Return the step of a word on a ladder; of longer text, the step of the one step that it names; else None.

    >>> word_step("Moderate Increase", MAGNITUDE_WORDS)
    2
    """
    words = " ".join(re.findall(r"[a-z]+", text.lower()))
    for step, names in enumerate(ladder):
        if words in names:
            return step
    longest = sorted(((name, step) for step, names in enumerate(ladder) for name in names), key=lambda x: -len(x[0]))
    steps: set[int] = set()
    for name, step in longest:
        words, hits = re.subn(rf"\b{name}\b", "", words)
        if hits:
            steps.add(step)
    # "not high" is no step at all: better unknown than wrong.
    is_denied = re.search(r"\b(not|no|never|neither|hardly)\b", words)
    return steps.pop() if len(steps) == 1 and not is_denied else None


def text_number(text: str) -> float | None:
    """Return the number that a text is, with or without thousands separators and a percent sign; else None.

    >>> text_number("-1,234.5 %")
    -1234.5
    """
    match = re.fullmatch(r"\s*([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?)\s*%?\s*", text)
    if match is None or not re.search(r"\d", text):
        return None
    return float(match.group(1).replace(",", ""))


def why_not(target: Target) -> str:
    """Say why nothing can be correlated with a target, or return the empty string."""
    known = target.values[~np.isnan(target.values)]
    if len(known) < 3:
        return "; ".join(filter(None, [f"{count_text(len(known), 'sample')} with a known {target.name}", target.note]))
    if np.ptp(known) == 0:
        return "; ".join(filter(None, [f"every sample has the same {target.name}", target.note]))
    return ""
