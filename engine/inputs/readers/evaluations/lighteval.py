"""LightEval: the details of a task, a Parquet table with a row per document.

Source: ``lighteval/logging/info_loggers.py``, ``tasks/requests.py`` (``Doc``), ``models/model_output.py``
(``ModelResponse``): columns ``doc``, ``metric`` and ``model_response``, which some versions write with underscores
around them. Before 0.10 the columns were ``full_prompt``, ``predictions``, ``gold``, ``choices``, ``gold_index`` and
``metrics``, with lists and objects written as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.inputs.readers.evaluations.log_records import (
    FIRST_OF_SCORES,
    SCORE_OF_SEVERAL,
    SCORED_CHOICE,
    LogRow,
    chat_messages,
    inner,
    items_of,
    number_of,
    texts_of,
    written_list,
)
from engine.inputs.readers.parquet import ParquetReader
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, Record
from engine.inputs.rows.paths import quoted_step

_NEW = {"doc", "metric", "model_response"}
_OLD = {"full_prompt", "predictions", "gold", "metrics"}
_TASK = re.compile(r"details_(.+?)_\d{4}-\d\d-\d\dT[\d.:-]+\.parquet$")


class LightEvalReader(Reader):
    """The details of one task."""

    suffixes = (".parquet",)
    is_compressible = False

    def recognises(self, head: FileHead) -> bool:
        """Whether the table's columns are a document, its metrics and the model's response."""
        try:
            names = {_bare(name) for name in pq.read_schema(head.file).names}
        except (pa.ArrowException, OSError):
            return False
        return names >= _NEW or names >= _OLD

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per row; several answers of one row stay a list."""
        name = _TASK.match(file.name)
        task = name[1] if name else file.stem
        for number, record in enumerate(ParquetReader().read(file, limits, on_bytes)):
            if record.problem:
                yield record
                continue
            values = {_bare(name): written_list(value) for name, value in record.values.items()}
            make = _record if values.keys() >= _NEW else _old_record
            yield make(replace(record, values=values), task, number)


def _bare(name: str) -> str:
    return name.strip("_") if name.startswith("__") else name


def _record(record: Record, task: str, number: int) -> Record:
    raw = record.values
    sample_id = inner(raw, "doc", "id")
    row = LogRow(raw, str(number if sample_id in (None, "") else sample_id), "rendered", task=task)
    _add_score(row, "metric")
    choices = texts_of(inner(raw, "doc", "choices"))
    gold = [place for place in items_of(inner(raw, "doc", "gold_index")) if isinstance(place, int)]
    asked = inner(raw, "model_response", "input")
    messages = chat_messages(asked)
    if messages is not None:
        row.source, row.given["messages"] = "messages", messages
    else:
        row.given["prompt"] = asked if isinstance(asked, str) and asked else inner(raw, "doc", "query")
    answers = texts_of(inner(raw, "model_response", "text"))
    _add_token_ids(row, answers)
    thoughts = items_of(inner(raw, "model_response", "reasonings"))
    if len(thoughts) == len(answers):
        row.add_thoughts([None if str(one) in text else one for one, text in zip(thoughts, answers, strict=True)])
    return _answered(
        row,
        record,
        answers=answers,
        scores=items_of(inner(raw, "model_response", "logprobs")),
        choices=choices,
        gold=gold,
    )


def _add_token_ids(row: LogRow, answers: Sequence[str]) -> None:
    """Let the ids of the tokens that the model was given and wrote be the record's, where there is one answer."""
    if len(answers) != 1:
        return
    asked, said = (inner(row.raw, "model_response", name) for name in ("input_tokens", "output_tokens"))
    said = items_of(said)
    said = items_of(said[0]) if len(said) == 1 and not isinstance(said[0], int) else said
    for name, ids in (("prompt_token_ids", items_of(asked)), ("token_ids", said)):
        if ids and all(isinstance(number, int) and not isinstance(number, bool) for number in ids):
            row.given[name] = ids


def _old_record(record: Record, task: str, number: int) -> Record:
    raw = record.values
    row = LogRow(raw, str(number), "rendered", task=task)
    _add_score(row, "metrics")
    row.given["prompt"] = raw.get("full_prompt")
    choices = texts_of(raw.get("choices"))
    gold = [place for place in items_of(raw.get("gold_index")) if isinstance(place, int)]
    said = items_of(raw.get("predictions"))
    scores = [score[0] if isinstance(score, list | tuple) and score else score for score in said]
    is_scored = bool(scores) and all(isinstance(score, float) for score in scores)
    if not choices:
        choices, gold = texts_of(raw.get("gold")), [0]
    return _answered(
        row, record, answers=texts_of(said), scores=scores if is_scored else [], choices=choices, gold=gold
    )


def _add_score(row: LogRow, name: str) -> None:
    metrics = row.raw.get(name)
    found = (
        [key for key, value in metrics.items() if number_of(value) is not None] if isinstance(metrics, Mapping) else []
    )
    if found:
        row.fields["correct"] = f"{name}{quoted_step(str(found[0]))}"
        row.flags += [FIRST_OF_SCORES] if len(found) > 1 else []


def _answered(
    row: LogRow,
    record: Record,
    *,
    answers: Sequence[str],
    scores: Sequence[object],
    choices: Sequence[str],
    gold: Sequence[int],
) -> Record:
    gold = [place for place in gold if 0 <= place < len(choices)]
    if len(gold) == 1:
        row.given["target_choice"] = choices[gold[0]].strip()
        row.fields["actual"] = "target_choice"
    if answers:
        row.given["response"] = answers[0] if len(answers) == 1 else list(answers)
        if len(answers) > 1:
            row.fields["cluster"] = "said_of"
            row.given["said_of"] = row.sample_id
            if row.fields.pop("correct", None):
                row.flags.append(SCORE_OF_SEVERAL)
        return row.record(record)
    ranks = [number_of(score) for score in scores]
    if not ranks or len(ranks) != len(choices) or any(rank is None for rank in ranks):
        return row.record(
            record, "The model's response holds neither a text nor a score for each choice.", "no_response"
        )
    numbers = [rank or 0.0 for rank in ranks]
    if row.fields.get("correct", "").rpartition(".")[2].startswith("acc_norm"):
        numbers = [rank / max(len(choice.strip()), 1) for rank, choice in zip(numbers, choices, strict=True)]
    said = max(range(len(numbers)), key=numbers.__getitem__)
    row.flags.append(SCORED_CHOICE)
    row.given |= {"response": choices[said], "said_choice": choices[said].strip()}
    row.fields["predicted"] = "said_choice"
    row.add_scored(choices, numbers)
    if len(gold) == 1:
        row.given["target_index"] = gold[0]
        row.fields["target"] = "target_index"
    return row.record(record)
