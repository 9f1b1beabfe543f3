"""A config for a file: what was taken for what, in a person's words, and the text of the YAML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from engine.config import DecisionSection
from engine.drafting.answers import Answers
from engine.drafting.companions import add_partners
from engine.drafting.config_tree import Draft
from engine.drafting.fields import Guesses, guess_fields
from engine.drafting.file_sets import file_set
from engine.drafting.labels import middle_of_scale, shown, task_labels
from engine.drafting.sight import Sight, look
from engine.inputs.answers.recorded import plain_text
from engine.inputs.outcomes.correctness import verdict_of
from engine.inputs.readers.evaluations.log_records import written_list
from engine.inputs.rows.paths import MISSING, value_at
from engine.inputs.selection import as_number

Choose = Callable[[str, Sequence[str]], str]
"""Asked which of several readings is meant; returns one of them."""
UNKNOWN_MODEL = "the/model-that-answered"
_PREFIXES = ("hf/", "vllm/", "hf-local/", "huggingface/", "openai/", "huggingface:text-generation:", "local/")
"""What tools put in front of the name of a model of the hub."""
_FINANCE = ("balance sheet", "income statement", "net income", "total asset", "earnings per share")
_FINANCIAL = "financial"
_MOST_FILES = 5


def drafted(
    path: str, choose: Choose, *, model: str | None = None, name: str = "run", joined: Sequence[str] = ()
) -> Draft:
    """Return a config for a file, a pattern or a folder.

    Parameters
    ----------
    path
        What ``predictions.path`` will be.
    choose
        Asked where two readings are equally likely.
    model
        The model's name, where it is known.
    name
        The run's name.
    joined
        Files that hold prompts, labels or scores of its rows; where none is named, those of a log's folder do.

    Raises
    ------
    ConfigError
        When of several files nobody knows which one is joined, or ids stand in one several times.
    InputError
        When the file cannot be read.
    """
    files = file_set(path)
    sight = look(files.path)
    draft = Draft(
        {"run": {"name": name}, "predictions": {"path": files.path}, "model": {}, "prompt": {}, "decision": {}}
    )
    draft.say("format", f"{sight.format}{', the log of an evaluation' if sight.is_log else ''}", "path")
    if files.others:
        draft.say("files", f"{files.path}: the {len(files.files):,} of {path} that hold answers")
    add_partners(draft, sight, files, joined, choose)
    if sight.format == "batch" and not any({"messages", "prompt"} & set(record.values) for record in sight.records):
        draft.say(
            "requests",
            "not in this file, and in none beside it: name theirs in predictions.join, such as "
            "[{path: requests.jsonl, on: custom_id, fields: {messages: body.messages}}]",
            "path",
        )
    guesses = _of_log(draft, sight, choose) if sight.is_log else _of_rows(draft, sight, choose)
    _add_model(draft, sight, model)
    answers = Answers(draft.tree)
    _add_score(draft, sight, guesses, answers, choose)
    _add_decision(draft, answers)
    _add_vocabulary(draft, answers)
    if not draft.tree["prompt"]:
        del draft.tree["prompt"]
    draft.tree["statistics"] = {"query_groups": ["all", "decision", "response"], **draft.tree.get("statistics", {})}
    return draft


def _of_log(draft: Draft, sight: Sight, choose: Choose) -> Guesses:
    """Note what the format tells, and choose among rows that repeat each other."""
    paths: dict[str, Counter[str]] = {}
    values: dict[str, Counter[str]] = {}
    by_file: dict[str, dict[str, Counter[str]]] = {}
    sources: Counter[str] = Counter()
    for record in sight.records:
        for key, path in record.fields.items():
            paths.setdefault(key, Counter())[path] += 1
        if record.told is not None:
            sources[record.told.source] += 1
            for one in record.told.one_of:
                if one.scope == "file" and record.has_companions:
                    by_file.setdefault(one.name, {}).setdefault(record.source, Counter())[one.value] += 1
                    continue
                values.setdefault(one.name, Counter())[one.value] += 1 if one.scope != "sample" else 0
    fields = {key: counts.most_common(1)[0][0] for key, counts in paths.items()}
    guesses = Guesses(fields, source=sources.most_common(1)[0][0])
    kept: dict[str, str] = {}
    for name, counts in values.items():
        if len(counts) > 1 and sum(counts.values()):
            kept[name] = choose(f"The rows have {len(counts)} values of {name}; which are meant?", list(counts))
            draft.say(f"rows of {name}", f"{kept[name]!r}, of {', '.join(map(repr, counts))}", "filter")
    for name, files in by_file.items():  # other files may have none of these values
        first = [
            f"{next(iter(counts))!r} of {', '.join(map(repr, counts))} in {file}" for file, counts in files.items()
        ]
        if any(len(counts) > 1 for counts in files.values()):
            shown = "; ".join([*first[:_MOST_FILES], *(["…"] if len(first) > _MOST_FILES else [])])
            draft.say(f"rows of {name}", f"those of each file's first: {shown}; predictions.filter names another")
    if kept:
        draft.tree["predictions"]["filter"] = kept
    given = {"rendered": "prompts as the model saw them", "messages": "chat messages", "fields": "prompts"}
    draft.say("given to the model", f"{given[guesses.source]}, as the format says")
    for key, path in guesses.fields.items():
        draft.say(key, f"{path}, as the format says")
    return guesses


def _of_rows(draft: Draft, sight: Sight, choose: Choose) -> Guesses:
    """Name the fields of rows of one's own."""
    guesses = guess_fields(sight.columns(), len(sight.records))
    for key in ("prompt", "response", "actual", "correct"):
        others = [path for path in guesses.others.get(key, []) if path not in guesses.fields.values()]
        if key in guesses.fields and others and key in ("prompt", "response"):
            guesses.fields[key] = choose(f"Which field is the {key}?", [guesses.fields[key], *others])
    named = dict(guesses.fields)
    fields = draft.tree["predictions"].setdefault("fields", {})
    fields |= {key: path for key, path in named.items() if key != "correct"}
    draft.tree["prompt"]["source"] = guesses.source
    given = {"transcript": "whole transcripts", "messages": "chat messages", "fields": "in a field of their own"}
    draft.say("prompts", given[guesses.source], "source")
    for key, path in named.items():
        draft.say(key, path)
    asked = ("prompt", "response") if guesses.source == "fields" else ()
    if guesses.source == "messages" and not _ends_with_answers(sight, named["messages"]):
        asked = ("response",)
    lacking = [key for key in asked if key not in named]
    if lacking:
        known = ", ".join(sorted(sight.columns())[:20])
        draft.say("not found", f"{' and '.join(lacking)} among {known}: name them in predictions.fields")
    return guesses


def _ends_with_answers(sight: Sight, path: str) -> bool:
    """Whether the conversations of most rows end with the assistant's message."""
    last = []
    for value in sight.columns().get(path, []):
        turns = written_list(value)
        turns = turns.get("messages") if isinstance(turns, Mapping) else turns
        turn = turns[-1] if isinstance(turns, list) and turns else None
        last.append(turn.get("role", turn.get("from")) if isinstance(turn, Mapping) else None)
    return sum(role in ("assistant", "gpt", "model") for role in last) * 2 >= len(last)


def _add_model(draft: Draft, sight: Sight, model: str | None) -> None:
    recorded = Counter(
        name for record in sight.records if isinstance(name := record.values.get("model"), str) and name
    ).most_common(1)
    if model is None and recorded:
        model = recorded[0][0]
        for prefix in _PREFIXES:
            if model.startswith(prefix) and (prefix.endswith(":") or model.count("/") > 1 or prefix != "openai/"):
                model = model.removeprefix(prefix)
                break
        draft.say("model", f"{model}, as the log names it ({recorded[0][0]})", "model")
    elif model is None:
        draft.say("model", "not recorded: set model.path, or give --model", "model")
    else:
        draft.say("model", model)
    draft.tree["model"] = {"path": model or UNKNOWN_MODEL}


def _add_score(draft: Draft, sight: Sight, guesses: Guesses, answers: Answers, choose: Choose) -> None:
    """Name the field that says what is right: of rows of one's own, and where a log has several."""
    fields = draft.tree["predictions"].get("fields", {})
    path = fields.get("correct") or guesses.fields.get("correct")
    if path is None:
        said = "of predicted and actual label alone" if any(map(plain_text, answers.actual)) else "unknown"
        draft.say("right or wrong", f"{said}: no field says it")
        return
    by_file = {record.source: record.fields["correct"] for record in sight.records[::-1] if "correct" in record.fields}
    if "correct" not in fields and len(set(by_file.values())) > 1:
        shown = "; ".join(f"{score} of {file}" for file, score in sorted(by_file.items())[:_MOST_FILES])
        draft.say(
            "right or wrong", f"as each file's first score says: {shown}{'; …' if len(by_file) > _MOST_FILES else ''}"
        )
        return
    others = guesses.others.get("correct", []) if not sight.is_log else _other_scores(sight, path)
    if others:
        path, *others = sorted((path, *others), key=lambda one: _is_graded(sight, one))
        path = choose("Which score says what is right?", [path, *others])
    if not sight.is_log or others or "correct" in fields:
        draft.tree["predictions"].setdefault("fields", {})["correct"] = path
    values = _values_of(sight, path)
    numbers = [number for value in values if (number := as_number(value)) is not None]
    if any(verdict_of(value, None).is_unread and not verdict_of(value, 0.5).is_unread for value in values):
        is_graded = not any(number not in (0, 1) for number in numbers)
        least, of = (0.5, "") if is_graded else middle_of_scale(numbers)
        draft.tree["decision"]["threshold"] = least
        what = f"{path} has grades between right and wrong (P)" if is_graded else f"{path} is a number {of}"
        draft.say("threshold", f"{least:g}: {what}", "threshold")
    draft.say("right or wrong", f"as {path} says{f'; others are {chr(44).join(others)}' if others else ''}", "correct")


def _values_of(sight: Sight, path: str) -> list[object]:
    return [value for record in sight.records if (value := value_at(record.values, path)) is not MISSING]


def _is_graded(sight: Sight, path: str) -> bool:
    """Whether a score has values between right and wrong, which a plain one beside it has not."""
    return any(verdict_of(value, None).is_unread for value in _values_of(sight, path))


def _other_scores(sight: Sight, path: str) -> list[str]:
    """Return the other scores of a log's rows, which lie beside the first one."""
    first = sight.records[0]
    metrics = first.values.get("metrics")
    if isinstance(metrics, list) and "." not in path:
        return [str(name) for name in metrics if name != path and name in first.values]
    root = path.partition(".")[0].partition("[")[0]
    columns = sight.columns()
    tail, is_flat = path.rpartition(".")[2], path.count(".") == 1
    alike = [other for other in columns if other.startswith(root) and other != path]
    parent = path.rpartition(".")[0]
    if parent.endswith(".value"):  # a scorer with several values
        beside = [other for other in alike if other.startswith(f"{parent}.") and not _is_text(columns[other])]
        if beside:
            return beside[:5]
    return [other for other in alike if other.rpartition(".")[2] == tail or (is_flat and other.count(".") == 1)][:5]


def _is_text(values: Sequence[object]) -> bool:
    return all(verdict_of(value, 0.5).is_unread for value in values)


def _add_decision(draft: Draft, answers: Answers) -> None:
    found = task_labels(answers.actual, answers.predicted, answers.responses, has_choices=answers.has_choices)
    decision = draft.tree["decision"]
    decision["field"] = found.answer_field
    if not any(map(plain_text, answers.actual)):
        draft.say(
            "true labels",
            "none in the file: join those of another file (predictions.join), or measure without comparing right and "
            "wrong"
            if not any(value is not None for value in answers.correct)
            else "none in the file, but a score",
        )
    if found.span is not None:
        decision["span"] = found.span
        del decision["field"]
        draft.say("answers", f"free ones, found by {found.span}", "span")
        return
    if found.labels:
        if set(found.labels) != set(DecisionSection().labels):  # the default ones have more spellings
            decision["labels"] = list(found.labels)
        draft.say("labels", f"{shown(found.labels)}, from {found.origin}", "labels")
    else:
        draft.say("labels", found.origin)
    where = f"in the JSON field {found.answer_field!r}" if found.answer_field else "in the text, behind a cue or alone"
    draft.say("where an answer stands", where, "field")


def _add_vocabulary(draft: Draft, answers: Answers) -> None:
    text = " ".join(answers.prompts[:50]).casefold()
    if sum(word in text for word in _FINANCE) >= 2:
        draft.tree["vocabulary"] = _FINANCIAL
        draft.say("vocabulary", "financial terms, which the prompts hold", "vocabulary")
    else:
        draft.tree["vocabulary"] = None
        draft.tree["statistics"] = {"random_groups": 0}
        draft.remarks["vocabulary"] = "words whose attention is compared: {name: [word, …]}, or a file"
