"""Every Eval Ever: instance-level results (``*_samples.jsonl``), which converters make of other tools' logs.

Source: ``every_eval_ever/schemas/instance_level_eval.schema.json`` (0.2.2 and 0.3.0) and the project's converters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.readers.evaluations.log_records import (
    SCORE_OF_SEVERAL,
    SCORED_CHOICE,
    TEMPLATE_UNRECORDED,
    THOUGHT,
    LogRow,
    inner,
    items_of,
    named_choices,
    raw_records,
    texts_of,
)
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record


class EveryEvalReader(Reader):
    """Instance-level results in the schema of Every Eval Ever."""

    suffixes = (".jsonl", ".json")

    def recognises(self, head: FileHead) -> bool:
        """Whether its rows name a sample, a kind of interaction and an evaluation."""
        found = head.first_object()
        return {"sample_id", "interaction_type", "input", "evaluation"} <= set(found)

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per row; several answers of one row stay a list."""
        for record in raw_records(file, limits, on_bytes):
            yield record if record.problem else _record(record)


def _record(record: Record) -> Record:
    raw = record.values
    row = LogRow(raw, str(raw.get("sample_id")), "fields", task=str(raw.get("evaluation_name") or ""))
    for name, scope in (("model_id", "run"), ("evaluation_result_id", "sample"), ("evaluation_name", "sample")):
        if isinstance(raw.get(name), str):
            row.one_of.append(OneOf(name, str(raw[name]), scope))
    if isinstance(raw.get("model_id"), str):
        row.given["model"] = raw["model_id"]
    told = next((name for name in ("is_correct", "score") if inner(raw, "evaluation", name) is not None), None)
    if told is not None:
        row.fields["correct"] = f"evaluation.{told}"
    reference = texts_of(inner(raw, "input", "reference"))
    where = "input.reference" if isinstance(inner(raw, "input", "reference"), str) else "input.reference[0]"
    if len(reference) == 1:
        row.fields["actual"] = where
    choices = texts_of(inner(raw, "input", "choices"))
    if choices:
        row.given["choices"] = named_choices(choices)
        row.fields |= {"choices": "choices", "target": where}
    if isinstance(raw.get("error"), str) and str(raw["error"]).strip():
        return row.record(record, f"The row holds an error: {str(raw['error'])[:200]!r}.", "sample_error")
    if raw.get("interaction_type") != "single_turn":
        row.source = "messages"
        row.given["messages"] = [_message(item) for item in items_of(raw.get("messages"))]
        return row.record(record)
    return _single_turn(row, record, choices)


def _single_turn(row: LogRow, record: Record, choices: list[str]) -> Record:
    raw = record.values
    formatted, plain = inner(raw, "input", "formatted"), inner(raw, "input", "raw")
    if isinstance(formatted, str) and formatted.strip():
        row.source, row.given["prompt"] = "rendered", formatted
    else:
        row.given["prompt"] = plain
    answers = texts_of(inner(raw, "output", "raw"))
    left_by = inner(raw, "metadata", "filter")
    is_of_lm_eval = inner(raw, "metadata", "lm_eval_metrics") is not None
    if is_of_lm_eval:
        row.source = "rendered"  # the prompt that this tool hands to the model
    elif row.source != "rendered":
        row.flags.append(TEMPLATE_UNRECORDED)
    if is_of_lm_eval and choices and len(answers) == 1 and answers[0] in choices:
        blank = "" if str(row.given["prompt"])[-1:].isspace() else " "  # which the converter took off
        row.given |= {"response": blank + answers[0], "said_choice": answers[0]}
        row.fields["predicted"] = "said_choice"
        row.flags.append(SCORED_CHOICE)
        return row.record(record)
    if is_of_lm_eval and left_by not in (None, "", "none"):
        problem = (
            f"The answer was recorded as the filter {left_by!r} left it, not as the model wrote it. Give the samples "
            f"of lm-evaluation-harness themselves, or the rows of another filter."
        )
        return row.record(record, problem, "not_replayed")
    row.given["response"] = answers[0] if len(answers) == 1 else answers
    thoughts = items_of(inner(raw, "output", "reasoning_trace"))
    if len(answers) == 1 and len(thoughts) > 1:
        row.given[THOUGHT] = texts_of(thoughts)
    elif len(thoughts) in (0, len(answers)):
        row.add_thoughts(thoughts)
    else:
        problem = f"The row holds {len(answers)} answers and {len(thoughts)} thoughts: whose each is cannot be told."
        return row.record(record, problem, "not_replayed")
    said = [inner(item, "extracted_value") for item in items_of(raw.get("answer_attribution"))]
    if said and isinstance(said[-1], str):
        row.fields["predicted"] = f"answer_attribution[{len(said) - 1}].extracted_value"
    if len(answers) > 1:
        row.fields["cluster"] = "sample_hash" if raw.get("sample_hash") else "evaluation_name"
        row.fields.pop("predicted", None)
        if row.fields.pop("correct", None):
            row.flags.append(SCORE_OF_SEVERAL)
    return row.record(record)


def _message(item: object) -> object:
    """Return a turn as servers write messages."""
    if not isinstance(item, Mapping):
        return item
    message = {"role": item.get("role"), "content": item.get("content")}
    thoughts = texts_of(item.get("reasoning_trace"))
    if thoughts:
        message[THOUGHT] = thoughts[0] if len(thoughts) == 1 else thoughts
    calls = [call for call in items_of(item.get("tool_calls")) if isinstance(call, Mapping)]
    if calls:
        message["tool_calls"] = [
            {
                "id": call.get("id"),
                "type": "function",
                "function": {"name": call.get("name"), "arguments": call.get("arguments") or {}},
            }
            for call in calls
        ]
    ids = items_of(item.get("tool_call_id"))
    if ids:
        message["tool_call_id"] = ids[0]
    return message
