"""Whether an answer is right, as the record itself says it: a judge, an exact match, a grader's letter, a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.inputs.answers.recorded import one_or_more_texts
from engine.inputs.selection import as_number

_RIGHT = frozenset(("true", "yes", "t", "y", "c", "correct", "right", "pass", "passed", "✓", "✔", "✅", "☑"))
_WRONG = frozenset(("false", "no", "f", "n", "i", "incorrect", "wrong", "fail", "failed", "✗", "✘", "❌", "✖"))
"""Words for a verdict in any case; C, I and N (no answer) are Inspect's."""
_GRADES = {"p": 0.5}
"""Letters between right and wrong, as numbers: Inspect's P for partly correct."""
_NO_VALUE = frozenset(("nan", "none", "null", "<na>", "nat", ""))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a record says of its answer: right, wrong, or neither; ``is_unread`` where it says something else."""

    is_correct: bool | None
    is_unread: bool = False


def verdict_of(value: object, threshold: float | None) -> Verdict:
    """Return what a field says.

    Parameters
    ----------
    value
        True or false, C or I, 0 or 1, words for them, or a number; a list of one is that one.
    threshold
        ``decision.threshold``: numbers from here on are right. Without it only 0 and 1 tell.
    """
    texts = one_or_more_texts(value) if not hasattr(value, "keys") else [str(value)]
    if not texts or all(text.strip().casefold() in _NO_VALUE for text in texts):
        return Verdict(None)
    if len(texts) > 1:
        return Verdict(None, is_unread=True)
    word = texts[0].strip().strip(".").removesuffix("\ufe0f").casefold()
    if word in _RIGHT or word in _WRONG:
        return Verdict(word in _RIGHT)
    number = _GRADES.get(word, as_number(texts[0].strip()))
    if number is None or (threshold is None and number not in (0, 1)):
        return Verdict(None, is_unread=True)
    return Verdict(number == 1 if threshold is None else number >= threshold)


def correctness(
    values: Mapping[str, object], name: str | None, predicted: str, actual: str | None, *, threshold: float | None
) -> tuple[bool | None, tuple[str, ...]]:
    """Return whether an answer is right, and flags.

    Parameters
    ----------
    values
        The record.
    name
        The field that says so, which alone decides; None: labels do.
    predicted, actual
        Its labels.
    threshold
        As for ``verdict_of``.
    """
    by_labels = None if actual is None else predicted == actual
    if name is None:
        return by_labels, ()
    verdict = verdict_of(values.get(name), threshold)
    if verdict.is_unread:
        return None, ("unread_correctness",)
    is_other = None not in (by_labels, verdict.is_correct) and by_labels != verdict.is_correct
    return verdict.is_correct, ("correctness_disagrees",) if is_other else ()
