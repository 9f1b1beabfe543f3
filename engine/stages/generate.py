"""The generation stage: rows without an answer → units of prompts → answers, committed and resumed like any unit.

Its ledger lies in ``<run>/generation``; when all answers are there, ``<run>/predictions.json`` holds the predictions in
the users' own format, answers included, and can be the input of another run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow.parquet as pq

from engine.config import Config
from engine.encoding.conversations import sample_reader
from engine.encoding.encoded_files import write_prompts
from engine.encoding.sequences.chat_template import ChatTemplate, pin_date
from engine.encoding.tokenizer import load_tokenizer
from engine.executors.missing_units import run_missing
from engine.inputs.conversations.conversation import Conversation
from engine.inputs.readers.record import Record
from engine.inputs.rows.configured import config_records
from engine.inputs.sample_reader import SampleReader
from engine.inputs.selection import drawn_rows
from engine.inputs.transcripts import TranscriptReader
from engine.samples import Answer, Message, Prompt, RowRejected
from engine.schema.layout import GENERATION_UNITS
from engine.storage.fingerprints import Fingerprints
from engine.storage.planned.units import PlannedUnit
from engine.storage.run_directory import RunDirectory

_IDENTITY = "identity.json"
"""What the answers of a ledger depend on, beside it."""


def generate_answers(config: Config, run_dir: RunDirectory, current: Fingerprints) -> dict[str, Answer]:
    """Generate an answer for every row that has none, and write ``predictions.json``.

    Parameters
    ----------
    config
        The run's config.
    run_dir
        The run directory.
    current
        Fingerprints of what the answers depend on.

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
    pin_date(config, load_tokenizer(config))
    generation, identity = run_dir.generation, _identity(config)
    if generation.root.exists() and not _is_of(generation.read_json(_IDENTITY), identity, current):
        generation.set_aside()
    if generation.read_json(_IDENTITY) is None:
        _plan_prompts(config, generation)
        current.refuse_changes(current.stamps, consequence="No answer was generated.")
        generation.write_json(_IDENTITY, {**identity, "fingerprints": current.values})
    current.write(generation.root)
    planned = generation.plan.units()
    if not planned:
        return {}
    missing = generation.missing_units(planned)
    if missing:
        run_missing(config, generation, planned, missing, key_groups=(), verb="generated")
    answers: dict[str, Answer] = {}
    for unit in planned:
        for row in pq.read_table(generation.ledger.table_path(unit.name, "answers")).to_pylist():
            answers[row["sample_id"]] = Answer(row["sample_id"], row["answer"], row["num_tokens"], row["is_cut"])
    run_dir.write_lines("predictions.json", _written_back(config, sample_reader(config, answers)))
    return answers


def _identity(config: Config) -> dict[str, object]:
    """Return what the generated answers depend on."""
    dumped = config.model_dump(mode="json")
    dumped["predictions"].pop("balance")
    parts = {name: dumped[name] for name in ("predictions", "prompt", "generation", "model")}
    return {"seed": config.run.seed, **parts}


def _is_of(stored: object, identity: Mapping[str, object], current: Fingerprints) -> bool:
    """Whether the answers of a ledger are of this config and these files."""
    if not isinstance(stored, dict) or not isinstance(stored.get("fingerprints"), dict):
        return False
    config = {name: value for name, value in stored.items() if name != "fingerprints"}
    return config == identity and not current.differing(stored["fingerprints"])


def _plan_prompts(config: Config, generation: RunDirectory) -> None:
    """Write the rendered prompts of all rows without an answer as units."""
    tokenizer = load_tokenizer(config)
    template = ChatTemplate.of(config, tokenizer)
    generation.start()
    reader = sample_reader(config, tokenizer=tokenizer)
    chosen = _chosen_rows(config, reader)
    prompts = (
        prompt
        for number, sample_id, conversation in _unanswered(config, reader)
        if number in chosen and (prompt := _prompt(template, sample_id, conversation)) is not None
    )
    units: list[PlannedUnit] = []
    while part := list(islice(prompts, config.cluster.samples_per_shard)):
        name = f"{GENERATION_UNITS}{len(units):05d}"
        write_prompts(generation.plan.encoded_path(name), part)
        units.append(PlannedUnit(name, [prompt.sample_id for prompt in part]))
    generation.plan.write_units(units)


def _prompt(template: ChatTemplate, sample_id: str, conversation: Conversation) -> Prompt | None:
    """Return the prompt to answer; None where the template refuses it, which planning turns away with its reason."""
    if conversation.prompt is not None:
        return Prompt(sample_id, conversation.prompt)
    try:
        rendered = template.render(conversation.messages, conversation.template_fields, conversation.dates)
    except RowRejected:
        return None
    return Prompt(sample_id, rendered.text)


def _unanswered(config: Config, reader: SampleReader) -> Iterator[tuple[int, str, Conversation]]:
    """Yield number, id and conversation of every usable row that holds no answer."""
    for record in config_records(config):
        try:
            conversation = reader.conversation(record)
        except RowRejected:
            continue  # planning turns it away, with its reason
        if not conversation.response.strip():
            yield record.number, reader.sample_id(record), conversation


def _chosen_rows(config: Config, reader: SampleReader) -> set[int]:
    """Return the rows to answer: all, or as many as ``max_samples`` asks for, drawn with the run's seed."""
    numbers = [number for number, _, _ in _unanswered(config, reader)]
    return drawn_rows(numbers, config.predictions.max_samples, config.run.seed)


def _written_back(config: Config, reader: SampleReader) -> Iterator[str]:
    """Yield the lines of a JSON list of all records, generated answers filled in where they belong."""
    yield "["
    before = ""
    for record in config_records(config):
        values = _with_answer(config, reader, record) if not record.problem else {"unreadable_row": record.problem}
        yield f"{before}{json.dumps(values, ensure_ascii=False, default=str)}"
        before = ","
    yield "]"


def _with_answer(config: Config, reader: SampleReader, record: Record) -> dict[str, Any]:
    """Return a record's fields, with the answer and what it says where the record had none."""
    values, fields = dict(record.values), config.predictions.fields
    try:
        conversation = reader.conversation(record)
    except RowRejected:
        return values
    generated = reader.answers.get(reader.sample_id(record))
    if conversation.response.strip() or generated is None:
        return values
    answer, messages = generated.text, conversation.messages
    turns = [{"role": message.role, "content": message.content, **message.fields} for message in messages]
    turns.append({"role": "assistant", "content": answer})
    if config.prompt.source == "transcript":
        rendered = conversation.prompt  # with its special tokens, word for word
        values[fields.transcript] = rendered + answer if rendered else _transcript(reader.transcripts, messages, answer)
    elif config.prompt.source == "messages":
        recorded = values[fields.messages]
        values[fields.messages] = [*recorded, turns[-1]] if isinstance(recorded, list) else turns
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
