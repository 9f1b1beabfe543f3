"""The generation stage: rows without an answer → units of prompts → answers, committed and resumed like any unit.

Its ledger lies in ``<run>/generation``; when all answers are there, ``<run>/predictions.json`` holds the predictions in
the users' own format, answers included, and can be the input of another run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow.parquet as pq

from engine.collect import run_missing
from engine.config import Config
from engine.encoded_units import write_prompts
from engine.encoding import render
from engine.model_facts import fingerprints
from engine.planning import row_reader
from engine.records import Record, read_records
from engine.rows import RowReader
from engine.samples import Answer, Message, Prompt, RowRejected
from engine.selection import drawn_rows
from engine.store import RunStore
from engine.tokenizer import chat_template, load_tokenizer
from engine.transcripts import TranscriptReader


def generate_answers(config: Config, store: RunStore) -> dict[str, Answer]:
    """Generate an answer for every row that has none, and write ``predictions.json``.

    Parameters
    ----------
    config
        The run's config.
    store
        The run directory.

    Returns
    -------
    dict
        Answers by sample id.

    Raises
    ------
    RunStopped
        When the run was asked to stop; what is committed stays.
    RunFailedError
        When a unit cannot be committed.
    """
    ledger = store.generation
    identity = _identity(config)
    if ledger.root.exists() and ledger.read_json("identity.json") != identity:
        ledger.set_aside()
    if ledger.read_json("identity.json") is None:
        _plan_prompts(config, ledger)
        ledger.write_json("identity.json", identity)
    planned = ledger.planned_units()
    if not planned:
        return {}
    missing = ledger.missing_units(planned)
    if missing:
        run_missing(config, ledger, planned, missing, (), "generated")
    answers: dict[str, Answer] = {}
    for unit in planned:
        for row in pq.read_table(ledger.shards / unit.name / "answers.parquet").to_pylist():
            answers[row["sample_id"]] = Answer(row["sample_id"], row["answer"], row["num_tokens"], row["is_cut"])
    store.write_lines("predictions.json", _written_back(config, row_reader(config, answers)))
    return answers


def _identity(config: Config) -> dict[str, Any]:
    """Return what the generated answers depend on."""
    dumped = config.model_dump(mode="json")
    dumped["predictions"].pop("balance")
    parts = {name: dumped[name] for name in ("predictions", "prompt", "generation", "model")}
    return {"seed": config.run.seed, **parts, "fingerprints": fingerprints(config)}


def _plan_prompts(config: Config, ledger: RunStore) -> None:
    """Write the rendered prompts of all rows without an answer as units."""
    tokenizer = load_tokenizer(config)
    template = chat_template(config, tokenizer)
    ledger.start()
    reader = row_reader(config, tokenizer=tokenizer)
    chosen = _chosen_rows(config, reader)
    prompts = (
        Prompt(sample_id, render(tokenizer, template, messages))
        for number, sample_id, messages in _unanswered(config, reader)
        if number in chosen
    )
    units: list[dict[str, Any]] = []
    while part := list(islice(prompts, config.cluster.samples_per_shard)):
        name = f"generate-{len(units):05d}"
        write_prompts(ledger.encoded_path(name), part)
        units.append({"name": name, "sample_ids": [prompt.sample_id for prompt in part]})
    ledger.write_json("plan/units.json", units)


def _unanswered(config: Config, reader: RowReader) -> Iterator[tuple[int, str, tuple[Message, ...]]]:
    """Yield number, id and conversation of every usable row that holds no answer."""
    for record in read_records(config.predictions.path, config.predictions.format):
        try:
            messages, response, _ = reader.conversation(record)
        except RowRejected:
            continue  # planning turns it away, with its reason
        if not response.strip():
            yield record.number, reader.sample_id(record), messages


def _chosen_rows(config: Config, reader: RowReader) -> set[int]:
    """Return the rows to answer: all, or as many as ``max_samples`` asks for, drawn with the run's seed."""
    numbers = [number for number, _, _ in _unanswered(config, reader)]
    return drawn_rows(numbers, config.predictions.max_samples, config.run.seed)


def _written_back(config: Config, reader: RowReader) -> Iterator[str]:
    """Yield the lines of a JSON list of all records, generated answers filled in where they belong."""
    yield "["
    before = ""
    for record in read_records(config.predictions.path, config.predictions.format):
        values = _with_answer(config, reader, record) if not record.problem else {"unreadable_row": record.problem}
        yield f"{before}{json.dumps(values, ensure_ascii=False, default=str)}"
        before = ","
    yield "]"


def _with_answer(config: Config, reader: RowReader, record: Record) -> dict[str, Any]:
    """Return a record's fields, with the answer and what it says where the record had none."""
    values, fields = dict(record.values), config.predictions.fields
    try:
        messages, response, _ = reader.conversation(record)
    except RowRejected:
        return values
    generated = reader.answers.get(reader.sample_id(record))
    if response.strip() or generated is None:
        return values
    answer = generated.text
    turns = [{"role": message.role, "content": message.content} for message in messages]
    turns.append({"role": "assistant", "content": answer})
    if config.prompt.source == "transcript":
        values[fields.transcript] = _transcript(reader.transcripts, messages, answer)
    elif config.prompt.source == "messages":
        values[fields.messages] = turns
    else:
        values[fields.response] = answer
    try:
        sample = reader.sample(reader.sample_id(record), record)
    except RowRejected:
        return values | {fields.predicted: values.get(fields.predicted) or "error", "generated": True}
    said = {
        fields.predicted: sample.predicted_label,
        fields.certainty: sample.certainty,
        fields.magnitude: sample.magnitude,
    }
    missing = {name: value for name, value in said.items() if values.get(name) in (None, "")}
    return values | missing | {"is_match": sample.is_correct, "generated": True}


def _transcript(reader: TranscriptReader, messages: Sequence[Message], answer: str) -> str:
    """Return a conversation as the users record it, without special tokens, or with them where roles would be lost."""
    turns = [*messages, Message("assistant", answer)]
    stripped = "\n".join(f"{turn.role}\n{turn.content}" for turn in turns)
    try:
        if reader.split(stripped) == (tuple(messages), answer):
            return stripped
    except RowRejected:
        pass
    return "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in turns)
