"""HELM's method ``multiple_choice_separate``: one request for each answer that is offered, scored behind the question.

Source: ``src/helm/benchmark/adaptation/adapters/multiple_choice_separate_adapter.py``,
``multiple_choice_calibrated_adapter.py`` and ``src/helm/benchmark/metrics/basic_metrics.py``
(``compute_logprob_and_length``, ``evaluate_references``): the tokens of the prompt are scored, with the answer behind a
blank at its end; ``multiple_choice_separate_original`` says the answer with the highest sum of log-probabilities,
``multiple_choice_separate_calibrated`` takes off what the answer has behind ``Answer:`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.inputs.readers.evaluations.log_records import (
    SCORED_CHOICE,
    TEMPLATE_UNRECORDED,
    LogRow,
    inner,
    items_of,
    texts_of,
)
from engine.inputs.readers.record import Record

SEPARATE = "multiple_choice_separate"
_CALIBRATED = "calibrated"
_BLANKS = str.maketrans(dict.fromkeys("▁ĠĊ", " "))
"""Signs that tokenizers write for blanks."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """One answer that was scored: its place among the references, the text before it, and its log-probability."""

    place: int
    question: str
    text: str
    score: float
    is_calibration: bool


def questions(states: Iterable[Record], method: str, row_of: Callable[[Record], LogRow]) -> Iterator[Record]:
    """Yield a record per question, of the requests that follow one another and score its answers.

    Parameters
    ----------
    states
        The requests.
    method
        The adapter's.
    row_of
        A request as a row of the log, without what the model was given and said.
    """
    group: list[Record] = []
    for record in states:
        if record.problem:
            yield record
        elif group and _key(group[0]) != _key(record):
            yield _question(group, method, row_of)
            group = [record]
        else:
            group.append(record)
    if group:
        yield _question(group, method, row_of)


def _key(record: Record) -> tuple[str, str, str]:
    raw = record.values
    changed = change_of(inner(raw, "instance", "perturbation"))
    return str(inner(raw, "instance", "id")), str(raw.get("train_trial_index", 0)), str(changed)


def change_of(perturbation: object) -> str | None:
    """Return what a perturbation is called, with what tells those of one name apart (``gender-pronouns``)."""
    parts = [inner(perturbation, step) for step in ("name", "mode", "source_class", "target_class")]
    return "-".join(str(part) for part in parts if part) or None


def _question(group: list[Record], method: str, row_of: Callable[[Record], LogRow]) -> Record:
    """Return the record of a question; with a problem where an answer's score is not in the log."""
    first, row = group[0], row_of(group[0])
    references = [ref for ref in items_of(inner(first.values, "instance", "references")) if isinstance(ref, Mapping)]
    texts = [str(inner(ref, "output", "text")) for ref in references]
    scored: list[_Scored] = []
    for record in group:
        found = _scored(record.values, texts)
        if isinstance(found, str):
            return row.record(first, found, "failed_request" if found.startswith("A request failed") else "no_response")
        scored.append(found)
    asked = {one.place: one for one in scored if not one.is_calibration}
    alone = {one.place: one.score for one in scored if one.is_calibration}
    is_calibrated = method.endswith(_CALIBRATED)
    if sorted(asked) != list(range(len(texts))) or len(texts) < 2 or (is_calibrated and sorted(alone) != sorted(asked)):
        problem = f"Of {len(texts)} answers that are offered the log scores {len(asked)}: which is said cannot be told."
        return row.record(first, problem, "no_response")
    if len({one.question for one in asked.values()}) != 1:
        return row.record(
            first, "The answers were scored behind different texts: there is no one question.", "no_response"
        )
    scores = [asked[place].score - (alone[place] if is_calibrated else 0.0) for place in range(len(texts))]
    said = max(range(len(scores)), key=scores.__getitem__)
    continuations = [f" {text}" for text in texts]
    row.given |= {"prompt": asked[said].question, "response": continuations[said], "said_choice": texts[said].strip()}
    row.fields["predicted"] = "said_choice"
    row.flags += [SCORED_CHOICE, TEMPLATE_UNRECORDED]
    row.add_scored(continuations, scores)
    right = [place for place, ref in enumerate(references) if "correct" in texts_of(ref.get("tags"))]
    if len(right) == 1:
        row.given |= {"target_choice": texts[right[0]].strip(), "target_index": right[0]}
        row.fields |= {"actual": "target_choice", "target": "target_index"}
    return row.record(first)


def _scored(raw: Mapping[str, object], texts: list[str]) -> _Scored | str:
    """Return what a request scored; why it cannot be told as a text."""
    place = raw.get("reference_index")
    if not isinstance(place, int) or not 0 <= place < len(texts):
        return "A request names no reference that it scores."
    completions = items_of(inner(raw, "result", "completions"))
    if inner(raw, "result", "success") is False or len(completions) != 1:
        said = inner(raw, "result", "error") or "no result"
        return f"A request failed: {str(said)[:200]!r}."
    prompt = str(inner(raw, "request", "prompt") or "")
    if not prompt.rstrip().endswith(texts[place].strip()):
        return f"A request's prompt does not end in the reference that it scores ({texts[place][:60]!r})."
    question = prompt.rstrip()[: len(prompt.rstrip()) - len(texts[place].strip())].rstrip(" ")
    score = _log_probability(items_of(inner(completions[0], "tokens")), texts[place])
    if score is None:
        return "A request's result holds no log-probabilities of the tokens of the reference that it scores."
    return _Scored(place, question, texts[place], score, raw.get("request_mode") == _CALIBRATED)


def _log_probability(tokens: Sequence[object], text: str) -> float | None:
    """Return the sum over the last tokens that make a text; None where none do, or one has no log-probability.

    A token of a blank alone before them counts, as it does where the text is tokenised with a blank in front.
    """
    total, said, wanted = 0.0, "", "".join(text.split())
    for token in reversed(tokens):
        piece, number = inner(token, "text"), inner(token, "logprob")
        plain = "".join(str(piece).translate(_BLANKS).split())
        if said == wanted and plain:
            return total
        if not isinstance(piece, str) or not isinstance(number, int | float):
            return None
        if said == wanted:
            return total + float(number)
        said, total = plain + said, total + float(number)
        if not wanted.endswith(said):
            return None
    return total if said == wanted else None
