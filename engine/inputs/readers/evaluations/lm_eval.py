"""lm-evaluation-harness, ``--log_samples``: one row per document and filter.

Source: ``lm_eval/evaluator.py``, ``loggers/evaluation_tracker.py`` and ``utils.py`` (``sanitize_list``).
Generation has one request per document, with keyword arguments behind the prompt; tasks that score answers have one per
answer, with the answer behind the prompt and ``[log-likelihood, is_greedy]`` for its response.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.inputs.readers.evaluations.log_records import (
    FIRST_OF_SCORES,
    SCORE_OF_SEVERAL,
    SCORED_CHOICE,
    LogRow,
    chat_messages,
    inner,
    items_of,
    number_of,
    raw_records,
    texts_of,
    written_list,
)
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record
from engine.inputs.rows.paths import quoted_step

_TASK = re.compile(r"samples_(.+?)(?:_(\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl?$")
_SAMPLES = "samples_*.jsonl*"
_RESULTS = "results_*.json"
_NOT_FOUND = "[invalid]"
"""What a filter writes where it finds no answer (``RegexFilter``)."""
_LARGEST_RESULTS = 16 << 20
"""Bytes of a file of results that is looked at for the model's name."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What one request gave the model, and what came back: a text's continuations, or the score of one.

    ``is_alone``: nothing stands beside the prompt, neither an answer nor settings of a generation.
    """

    prompt: object
    continuation: str | None
    responses: Sequence[object]
    is_alone: bool = False


class LmEvalReader(Reader):
    """The samples of lm-evaluation-harness."""

    suffixes = (".jsonl", ".json")

    def recognises(self, head: FileHead) -> bool:
        """Whether its rows hold requests, responses and a document."""
        found = head.first_object()
        return {"doc_id", "doc", "arguments", "resps"} <= set(found)

    def files_in(self, folder: Path) -> list[Path]:
        """Return the samples of a folder that also holds the results of whole tasks."""
        return sorted(folder.glob(_SAMPLES)) if any(folder.glob(_RESULTS)) else []

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per row; several answers of one row stay a list."""
        name = _TASK.match(file.name)
        task = name[1] if name else file.name.partition(".")[0]
        model = _model_beside(file, name[2] if name else None)
        for record in raw_records(file, limits, on_bytes):
            yield record if record.problem else _record(record, task, model)


def _model_beside(file: Path, stamp: str | None) -> str | None:
    """Return the model that the results beside some samples name; None where there are none, or several."""
    results = sorted(file.parent.glob(_RESULTS))
    meant = [result for result in results if stamp and stamp in result.name] or results
    if len(meant) != 1 or meant[0].stat().st_size > _LARGEST_RESULTS:
        return None
    try:
        name = inner(json.loads(meant[0].read_bytes()), "model_name")
    except (ValueError, OSError, RecursionError):
        return None
    return name if isinstance(name, str) and name else None


def _record(record: Record, task: str, model: str | None) -> Record:
    raw = record.values
    row = LogRow(raw, str(raw.get("doc_id")), "rendered", task=task)
    if model and "model" not in raw:
        row.given["model"] = model
        row.one_of.append(OneOf("model", model, "run"))
    if isinstance(raw.get("filter"), str):
        row.one_of.append(OneOf("filter", str(raw["filter"]), "file"))
    requests = _requests(raw)
    if not requests:
        return row.record(record, "The row holds no request in 'arguments'.", "missing_field")
    _add_score(row)
    if requests[0].continuation is None:
        if problem := _lacks_answer(requests):
            return row.record(record, problem, "no_response")
        _add_answers(row, requests)
        return row.record(record)
    return _scored(row, requests, record)


def _requests(raw: Mapping[str, object]) -> list[_Request]:
    arguments = raw.get("arguments")
    if isinstance(arguments, Mapping):  # gen_args_0, gen_args_1, … with arg_0, arg_1, …
        numbers = range(len(arguments))
        listed = [arguments.get(f"gen_args_{number}") for number in numbers]
        arguments = [[one.get("arg_0"), one.get("arg_1")] if isinstance(one, Mapping) else None for one in listed]
    responses = items_of(raw.get("resps"))
    made: list[_Request] = []
    for place, argument in enumerate(items_of(arguments)):
        given = items_of(argument)
        if not given or given[0] is None:
            continue
        continuation = given[1] if len(given) > 1 and isinstance(given[1], str) else None
        found = items_of(responses[place]) if place < len(responses) else []
        made.append(_Request(given[0], continuation, found, len(given) < 2 or given[1] is None))
    return made


def _add_score(row: LogRow) -> None:
    """Let the first metric of the row say whether it is right."""
    metrics = [name for name in texts_of(row.raw.get("metrics")) if number_of(row.raw.get(name)) is not None]
    if not metrics:  # older versions name no metrics
        known = ("exact_match", "acc", "acc_norm", "em", "pass@1")
        metrics = [name for name in known if number_of(row.raw.get(name)) is not None]
    if metrics:
        row.fields["correct"] = quoted_step(metrics[0]).removeprefix(".")
        row.flags += [FIRST_OF_SCORES] if len(metrics) > 1 else []


def _lacks_answer(requests: Sequence[_Request]) -> str:
    """Return why requests without an answer beside the prompt have no text either; empty where they have."""
    responses = [response for one in requests for response in one.responses]
    if not responses:
        return "The row holds no response in 'resps'."
    is_rolling = all(one.is_alone for one in requests) and all(
        number_of(response) is not None for response in responses
    )
    if is_rolling or not any(isinstance(response, str) for response in responses):
        return "The row scores the likelihood of a whole text (loglikelihood_rolling): no answer was written."
    return ""


def _add_answers(row: LogRow, requests: Sequence[_Request]) -> None:
    prompt = requests[0].prompt
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    messages = chat_messages(prompt)
    if messages is None:
        row.given["prompt"] = prompt
    else:
        row.source, row.given["messages"] = "messages", messages
    answers = [text for request in requests for text in texts_of(request.responses)]
    row.given["response"] = answers[0] if len(answers) == 1 else answers
    target = written_list(row.raw.get("target"))
    if not isinstance(target, list) or len(target) == 1:
        row.fields["actual"] = "target"
    filtered = items_of(row.raw.get("filtered_resps"))
    if len(answers) == 1 and len(filtered) == 1 and isinstance(filtered[0], str) and filtered[0] != _NOT_FOUND:
        row.fields["predicted"] = "filtered_resps[0]"
    if len(answers) > 1:
        row.fields |= {"cluster": "doc_id"}
        if row.fields.pop("correct", None):
            row.flags = [*(flag for flag in row.flags if flag != FIRST_OF_SCORES), SCORE_OF_SEVERAL]


def _scored(row: LogRow, requests: Sequence[_Request], record: Record) -> Record:
    """Return the record of a row whose answers were scored: the one with the highest score is what the model says."""
    # Scores without the question (acc_mutual_info) are asked for behind the others, with the same answers.
    context = requests[0].prompt
    requests = [one for one in requests if one.prompt not in ("", None) or context in ("", None)]
    scores = [_log_likelihood(one.responses) for one in requests]
    if any(score is None for score in scores) or any(not isinstance(one.prompt, str) for one in requests):
        return row.record(record, "A request's response in 'resps' is no log-likelihood of its answer.", "not_text")
    if len(requests) == 1:
        only = requests[0]
        if not _is_greedy(only.responses):
            problem = (
                "The row scores one text alone, and the model's own answer was another one, which the log does not "
                "hold: there is no answer to replay."
            )
            return row.record(record, problem, "no_response")
        row.given |= {"prompt": only.prompt, "response": only.continuation}
        row.fields["actual"] = "target"
        return row.record(record)
    answers = [one.continuation or "" for one in requests]
    by_length = row.fields.get("correct", "").startswith("acc_norm")
    ranks = [
        (score or 0.0) / max(len(answer.strip()), 1) if by_length else score or 0.0
        for score, answer in zip(scores, answers, strict=True)
    ]
    said = max(range(len(ranks)), key=ranks.__getitem__)
    row.flags.append(SCORED_CHOICE)
    row.given |= {"prompt": requests[said].prompt, "response": answers[said], "said_choice": answers[said].strip()}
    row.fields["predicted"] = "said_choice"
    target = _target(row.raw.get("target"), answers)
    contexts = {str(one.prompt) for one in requests}
    if len(contexts) > 1 and len({answer.strip() for answer in answers}) == 1:
        del row.fields["predicted"]  # the questions differ (WinoGrande): no answer tells which was meant
        return row.record(record)
    if len(contexts) == 1:
        row.add_scored(answers, ranks)
    if target is not None:
        row.given |= {"target_choice": answers[target].strip(), "target_index": target}
        row.fields |= {"actual": "target_choice", "target": "target_index"}
    return row.record(record)


def _log_likelihood(responses: Sequence[object]) -> float | None:
    first = written_list(responses[0]) if responses else None
    return number_of(items_of(first)[0]) if items_of(first) else None


def _is_greedy(responses: Sequence[object]) -> bool:
    first = items_of(written_list(responses[0]) if responses else None)
    return len(first) > 1 and str(first[1]).strip().lower() == "true"


def _target(target: object, answers: Sequence[str]) -> int | None:
    """Return which of the answers is right, by its number or its text."""
    text = str(target).strip()
    if text.isdigit() and int(text) < len(answers):
        return int(text)
    found = [place for place, answer in enumerate(answers) if answer.strip() == text]
    if not found and len(text) == 1 and text.isalpha() and ord(text.upper()) - ord("A") < len(answers):
        found = [ord(text.upper()) - ord("A")]
    return found[0] if len(found) == 1 else None
