"""HELM: the folder of one run, with its requests in ``scenario_state.json`` and its scores beside it.

Source: ``src/helm/benchmark/adaptation/request_state.py``, ``scenario_state.py``, ``scenarios/scenario.py``,
``src/helm/common/request.py``, ``src/helm/benchmark/runner.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.readers.evaluations.helm_runs.scored_answers import SEPARATE, change_of, questions
from engine.inputs.readers.evaluations.json_member import MemberList
from engine.inputs.readers.evaluations.log_records import (
    FIRST_OF_SCORES,
    SCORE_OF_SEVERAL,
    TEMPLATE_UNRECORDED,
    LogRow,
    chat_messages,
    holds,
    inner,
    items_of,
    texts_of,
)
from engine.inputs.readers.json_files.json_list import ListRecords
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record
from engine.inputs.readers.text_source import TextSource

STATE, STATS = "scenario_state.json", "per_instance_stats.json"
_SCORES = (
    "exact_match",
    "quasi_exact_match",
    "final_number_exact_match",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "chain_of_thought_correctness",
    "prefix_exact_match",
    "quasi_prefix_exact_match",
)
"""Scores that say whether an answer is right, in the order in which the first that a run has is taken."""

_Scores = dict[tuple[str, str, str], dict[str, float]]


class HelmReader(Reader):
    """The requests of one run."""

    suffixes = (".json",)

    def recognises(self, head: FileHead) -> bool:
        """Whether it is an object with an adapter and its requests."""
        return head.first_byte() == b"{" and holds(head, "adapter_spec", "request_states")

    def files_in(self, folder: Path) -> list[Path]:
        """Return the requests of a folder that is one run, or that holds the folders of runs."""
        if (folder / STATE).is_file():
            return [folder / STATE]
        return sorted(folder.glob(f"*/{STATE}"))

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per request; several completions of one stay a list."""
        scores = _scores(file.with_name(STATS), limits)
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            source.first_byte()
            states = MemberList(source, ("request_states",), limits.row_bytes)
            method = str(inner(states.head, "adapter_spec", "method") or "")
            if method.startswith(SEPARATE):
                yield from questions(states, method, lambda record: _row(record, scores, file.parent.name))
                return
            for record in states:
                yield record if record.problem else _record(record, scores, file.parent.name)


def _scores(file: Path, limits: Limits) -> _Scores:
    """Return the scores of each instance and trial; none where the file is missing."""
    found: _Scores = {}
    if not file.is_file():
        return found
    with TextSource(file, limits.chunk_bytes) as source:
        if source.first_byte() != b"[":
            return found
        for record in ListRecords(source, limits.row_bytes):
            scores = found.setdefault(_key(record.values.get("instance_id"), record.values), {})
            for stat in items_of(record.values.get("stats")):
                name, mean = inner(stat, "name", "name"), inner(stat, "mean")
                if name in _SCORES and isinstance(mean, int | float):
                    scores[str(name)] = float(mean)
    return found


def _key(instance_id: object, values: Mapping[str, object], perturbation: object = None) -> tuple[str, str, str]:
    changed = change_of(perturbation or values.get("perturbation"))
    return str(instance_id), str(values.get("train_trial_index", 0)), changed or ""


def _row(record: Record, scores: _Scores, run: str) -> LogRow:
    """Return a request as a row, without what the model was given and said."""
    raw = record.values
    instance_id = str(inner(raw, "instance", "id"))
    trial, perturbation = raw.get("train_trial_index", 0), inner(raw, "instance", "perturbation")
    changed = change_of(perturbation)
    is_repeated = bool(trial) or changed is not None
    name = "-".join(str(part) for part in (instance_id, changed, f"trial{trial}" if trial else None) if part)
    row = LogRow(raw, name, "fields", task=run)
    if is_repeated:
        row.fields["cluster"] = "instance.id"
    model = inner(raw, "request", "model")
    if isinstance(model, str):
        row.given["model"] = model
        row.one_of.append(OneOf("model", model, "run"))
    row.given["scores"] = found = scores.get(_key(instance_id, raw, perturbation), {})
    known = [name for name in _SCORES if name in found]
    if known:
        row.fields["correct"] = f"scores.{known[0]}"
        row.flags += [FIRST_OF_SCORES] if len(known) > 1 else []
    return row


def _record(record: Record, scores: _Scores, run: str) -> Record:
    raw, row = record.values, _row(record, scores, run)
    if raw.get("reference_index") is not None:
        problem = "The request scores one reference of several: no answer of the model's is recorded."
        return row.record(record, problem, "no_response")
    if inner(raw, "result", "success") is False or not isinstance(raw.get("result"), Mapping):
        said = inner(raw, "result", "error") or "no result"
        return row.record(record, f"The request failed: {str(said)[:200]!r}.", "failed_request")
    _add_prompt(row)
    _add_answers(row)
    return row.record(record)


def _add_prompt(row: LogRow) -> None:
    messages = chat_messages(inner(row.raw, "request", "messages"))
    if messages is not None:
        row.source, row.given["messages"] = "messages", messages
        return
    row.given["prompt"] = inner(row.raw, "request", "prompt")
    row.flags.append(TEMPLATE_UNRECORDED)


def _add_answers(row: LogRow) -> None:
    completions = items_of(inner(row.raw, "result", "completions"))
    answers = [text for one in completions if isinstance(text := inner(one, "text"), str)]
    prompt = row.given.get("prompt")
    if inner(row.raw, "request", "echo_prompt") and isinstance(prompt, str):
        answers = [answer.removeprefix(prompt) for answer in answers]
    row.given["response"] = answers[0] if len(answers) == 1 else answers
    row.add_thoughts([inner(one, "thinking", "text") for one in completions if isinstance(inner(one, "text"), str)])
    reason = inner(completions[0], "finish_reason", "reason") if completions else None
    if reason is not None:
        row.given["finish_reason"] = reason
    if len(answers) > 1:
        row.fields["cluster"] = "instance.id"
        if row.fields.pop("correct", None):
            row.flags = [*(flag for flag in row.flags if flag != FIRST_OF_SCORES), SCORE_OF_SEVERAL]
    references = [ref for ref in items_of(inner(row.raw, "instance", "references")) if isinstance(ref, Mapping)]
    right = [inner(ref, "output", "text") for ref in references if "correct" in texts_of(ref.get("tags"))]
    mapping = row.raw.get("output_mapping")
    if isinstance(mapping, Mapping) and mapping:
        letters = [str(letter) for letter, text in mapping.items() if text in right]
        row.fields["choices"] = "output_mapping"
        right = letters
    if len(right) == 1:
        row.given["target_choice"] = right[0]
        row.fields |= {"actual": "target_choice"}
        if isinstance(mapping, Mapping) and mapping:
            row.fields["target"] = "target_choice"
