"""promptfoo: the results of an evaluation, as ``eval --output`` (JSON, JSON Lines) and ``export`` write them.

Source: ``src/types/index.ts`` (``OutputFile``, ``EvaluateSummaryV3``, ``EvaluateResult``, ``GradingResult``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.readers.evaluations.json_member import MemberList
from engine.inputs.readers.evaluations.log_records import LogRow, chat_messages, inner, items_of, raw_records
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record
from engine.inputs.readers.text_source import TextSource
from engine.inputs.rows.paths import quoted_step

_ROW = {"promptIdx", "testIdx", "vars", "success"}
_VALUES = ("equals", "iequals", "contains", "icontains", "contains-any", "is", "starts-with")
"""Assertions whose value is the answer that is expected."""
_VARIABLE = re.compile(r"\{\{-?\s*([\w-]+)\s*-?\}\}")
"""A value that is a variable of the test: the log holds the template, not what was made of it."""
_ERROR = 2
"""``ResultFailureReason.ERROR``."""


class PromptfooReader(Reader):
    """The results of an evaluation."""

    suffixes = (".json", ".jsonl")

    def recognises(self, head: FileHead) -> bool:
        """Whether it is an object with an evaluation's id and results, or lines of results."""
        found = head.first_object()
        is_summary = "results" in found and ("evalId" in found or "shareableUrl" in found)
        results = found.get("results")
        is_table = isinstance(results, Mapping) and {"version", "results", "stats"} <= set(results)
        return set(found) >= _ROW or is_summary or is_table

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per result."""
        if set(FileHead(file, limits).first_object()) >= _ROW:
            for record in raw_records(file, limits, on_bytes):
                yield record if record.problem else _record(record)
            return
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            source.first_byte()
            for record in MemberList(source, ("results", "results"), limits.row_bytes):
                yield record if record.problem else _record(record)


def _record(record: Record) -> Record:
    raw = record.values
    place = f"test-{raw.get('testIdx')}-prompt-{raw.get('promptIdx')}"
    row = LogRow(raw, str(raw.get("id") or place), "fields")
    provider = raw.get("provider")
    provider = inner(provider, "id") or inner(provider, "label") if isinstance(provider, Mapping) else provider
    if isinstance(provider, str):
        row.given["model"] = provider
        row.one_of.append(OneOf("model", provider, "run"))
    row.fields |= {"cluster": "testIdx", "correct": "success"}
    _add_expected(row)
    if raw.get("failureReason") == _ERROR or (raw.get("error") and not inner(raw, "response", "output")):
        said = raw.get("error") or inner(raw, "response", "error") or "no response"
        return row.record(record, f"The row holds an error: {str(said)[:200]!r}.", "sample_error")
    prompt = inner(raw, "prompt", "raw") if isinstance(raw.get("prompt"), Mapping) else raw.get("prompt")
    messages = chat_messages(prompt)
    if messages is None:
        row.given["prompt"] = prompt
    else:
        row.source, row.given["messages"] = "messages", messages
    output = inner(raw, "response", "output")
    if not isinstance(output, str):
        kind = type(output).__name__
        problem = (
            f"The response's output is {kind}, not text: promptfoo parsed what the model wrote, which is not in the "
            f"log."
        )
        return row.record(record, problem, "not_text" if output is not None else "no_response")
    row.given["response"] = output
    reason = inner(raw, "response", "finishReason")
    if isinstance(reason, str):
        row.given["finish_reason"] = reason
    return row.record(record)


def _add_expected(row: LogRow) -> None:
    """Let the value of the only assertion that states one be what is expected."""
    asserted = items_of(inner(row.raw, "testCase", "assert"))
    stated = [place for place, one in enumerate(asserted) if inner(one, "type") in _VALUES]
    values = [inner(asserted[place], "value") for place in stated]
    if len(values) != 1 or not isinstance(values[0], str | int | float):
        return
    variable = _VARIABLE.fullmatch(str(values[0]).strip())
    if variable is None and "{{" not in str(values[0]) and "{%" not in str(values[0]):
        row.fields["actual"] = f"testCase.assert[{stated[0]}].value"
    elif variable is not None and isinstance(inner(row.raw, "vars", variable[1]), str | int | float):
        row.fields["actual"] = f"vars{quoted_step(variable[1])}"
