"""The labels of a task and where an answer states them, or how a free answer is found."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.inputs.answers.recorded import one_or_more_texts, plain_text

MOST_LABELS = 12
"""Different values that are labels; more of them are free answers."""
_ENOUGH = 0.5
_YES, _NO = frozenset(("1", "true", "yes")), frozenset(("0", "false", "no"))
_YES_OR_NO = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)
_FIELD = re.compile(r'"([^"\\{}\[\]:,]{1,60})"\s*:\s*"([^"\\]{1,80})"')
_NUMBER = re.compile(r"[-+$€£]?\d[\d,. ]*%?")
_SPANS = {
    "boxed": re.compile(r"\\boxed\s*\{"),
    "cue": re.compile(r"####|(?i:\banswer(?:\s+is)?\s*:?\s*\S)"),
}
"""Where free answers stand, the likeliest first."""


@dataclass(slots=True)
class TaskLabels:
    """What the answers decide on.

    Attributes
    ----------
    labels
        The labels, with the rows that have each; empty where the answers are free.
    origin
        The field they were read from, in words.
    answer_field
        The JSON field of the answer that holds them; None where there is none.
    span
        ``decision.span`` of free answers; None where there are labels.
    """

    labels: Counter[str] = field(default_factory=Counter)
    origin: str = ""
    answer_field: str | None = None
    span: str | None = None


def task_labels(
    actual: Sequence[object], predicted: Sequence[object], responses: Sequence[str], *, has_choices: bool
) -> TaskLabels:
    """Return the labels of a task.

    Parameters
    ----------
    actual, predicted
        What the label fields hold.
    responses
        What the model wrote.
    has_choices
        Whether the rows offer choices of their own, which are the labels then.
    """
    found = TaskLabels()
    for values, origin in ((actual, "the true labels"), (predicted, "the recorded predictions")):
        counts = _counts(values)
        if len(counts) > max(2, counts.total() / 2):
            continue  # most values stand once: answers of their own
        if 2 <= len(counts) <= MOST_LABELS or (len(counts) == 1 and not found.labels):
            found.labels, found.origin = counts, origin
        if len(found.labels) > 1:
            break
    if len(found.labels) == 1:  # one class alone is seen: the predictions may have others
        found.labels += Counter(dict.fromkeys(_counts(predicted), 0))
    if said := _said_yes_or_no(found.labels, responses):
        found.labels, found.origin = said, f"{found.origin}, as the answers say them"
    if has_choices:
        found.labels, found.origin = Counter(), "the choices of each row"
    elif len(found.labels) < 2:
        found.labels = Counter()
        found.span = span_of(responses, actual)
    found.answer_field = field_of(responses, list(found.labels)) if found.labels else None
    return found


def _said_yes_or_no(labels: Counter[str], responses: Sequence[str]) -> Counter[str]:
    """Return yes and no in place of 1 and 0, or true and false, where that is what most answers say; else nothing."""
    named = {label.casefold() for label in labels}
    if not labels or not named <= _YES | _NO or named & {"yes", "no"}:
        return Counter()
    says = sum(_YES_OR_NO.search(response) is not None for response in responses)
    words = re.compile("|".join(rf"\b{re.escape(label)}\b" for label in labels), re.IGNORECASE)
    own = sum(words.search(response) is not None for response in responses)
    if says < _ENOUGH * max(len(responses), 1) or own >= says:
        return Counter()
    counted: Counter[str] = Counter(yes=0, no=0)
    for label, count in labels.items():
        counted["yes" if label.casefold() in _YES else "no"] += count
    return counted


def _counts(values: Sequence[object]) -> Counter[str]:
    texts = [texts[0].strip() for value in values if len(texts := _texts(value)) == 1]
    counts = Counter(text for text in texts if text and len(text) <= 60 and "\n" not in text)
    by_case: dict[str, str] = {}
    merged: Counter[str] = Counter()
    for text, count in counts.most_common():
        merged[by_case.setdefault(text.casefold(), text)] += count
    return merged


def _texts(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return one_or_more_texts(value)
    text = plain_text(value)
    return [] if text is None else [text]


def field_of(responses: Sequence[str], labels: Sequence[str]) -> str | None:
    """Return the JSON field of most answers whose value names a label; None where there is none."""
    words = re.compile("|".join(rf"\b{re.escape(label)}\b" for label in labels), re.IGNORECASE)
    counts: Counter[str] = Counter()
    for response in responses:
        counts.update({name for name, value in _FIELD.findall(response) if words.search(value)})
    if not counts:
        return None
    name, count = counts.most_common(1)[0]
    return name if count >= _ENOUGH * len(responses) else None


def span_of(responses: Sequence[str], actual: Sequence[object]) -> str:
    """Return where most free answers stand."""
    for name, pattern in _SPANS.items():
        if sum(pattern.search(response) is not None for response in responses) >= _ENOUGH * max(len(responses), 1):
            return name
    numbers = [value for value in actual if _NUMBER.fullmatch(str(value).strip())]
    are_said = sum(any(sign.isdigit() for sign in response) for response in responses) >= _ENOUGH * len(responses)
    return "last_number" if numbers and are_said and len(numbers) >= _ENOUGH * max(len(actual), 1) else "last_line"


def middle_of_scale(numbers: Sequence[float]) -> tuple[float, str]:
    """Return the middle of the scale that scores seem to be on, and the scale in words.

    Scales that people use are 0 to 1, 1 to 5, 0 or 1 to 10 and 0 to 100; of others the middle of what there is.
    """
    least, most = min(numbers), max(numbers)
    first = 0.0 if least < 1 else 1.0
    top = next((top for top in (1.0, 5.0, 10.0, 100.0) if most <= top), most)
    if least < 0 or most > 100:
        first = least
    elif top == 100:
        first = 0.0
    seen = f"from {least:g} to {most:g}"
    is_usual = (first, top) == (0.0, 1.0)
    return (first + top) / 2, seen if is_usual else f"{seen}; the least that is right is a guess, on a scale from " + (
        f"{first:g} to {top:g}"
    )


def shown(labels: Counter[str]) -> str:
    """Return labels with their counts."""
    return ", ".join(f"{json.dumps(label, ensure_ascii=False)} {count:,}" for label, count in labels.items())
