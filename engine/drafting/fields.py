"""Which fields of a file that is no log hold prompt, answer, labels, score, id and cluster, by names and values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.inputs.answers.recorded import one_or_more_texts
from engine.inputs.conversations.messages import is_message_list
from engine.inputs.outcomes.correctness import verdict_of
from engine.inputs.outcomes.spans import concluded_answer

_NAMES: dict[str, tuple[str, ...]] = {
    "transcript": ("full_model_response", "transcript", "full_transcript", "chat_log"),
    "messages": ("messages", "conversations", "conversation", "convo", "chat", "dialog", "dialogue", "turns"),
    "prompt": (
        "prompt",
        "full_prompt",
        "formatted_prompt",
        "question",
        "query",
        "input",
        "instruction",
        "problem",
        "frage",
        "pregunta",
        "pergunta",
        "domanda",
        "вопрос",
        "问题",
        "質問",
        "질문",
    ),
    "response": (
        "response",
        "model_response",
        "model_output",
        "generated_text",
        "completion",
        "generation",
        "output",
        "answer_text",
        "prediction",
        "answer",
        "antwort",
        "respuesta",
        "réponse",
        "reponse",
        "resposta",
        "risposta",
        "ответ",
        "回答",
        "답변",
    ),
    "actual": (
        "actual_label",
        "label",
        "gold",
        "target",
        "ground_truth",
        "gold_label",
        "answer_key",
        "correct_answer",
        "expected",
        "reference",
        "y_true",
        "answer",
    ),
    "predicted": ("predicted_direction", "predicted_label", "prediction", "predicted", "pred", "extracted", "y_pred"),
    "correct": ("correct", "is_correct", "is_match", "match", "exact_match", "acc", "passed", "success", "score"),
    "id": ("sample_id", "id", "uid", "uuid", "custom_id", "question_id", "doc_id", "example_id", "idx", "index"),
    "cluster": (
        "company_id",
        "cluster",
        "group",
        "document_id",
        "subject",
        "user_id",
        "firm",
        "company",
        "product",
        "source_id",
    ),
    "year": ("year", "fiscal_year", "fyear"),
    "choices": ("choices", "options"),
    "system": ("system", "system_prompt"),
    "reasoning": ("reasoning_content", "reasoning", "thinking"),
}
"""What people call a field, the likeliest first; a name also counts with words around it (``model_answer``)."""
_WANTED = frozenset(("expected", "gold", "target", "targets", "reference", "ideal", "truth", "correct", "true"))
"""Words of a field that holds what should have been answered, not what was."""
_PARTS = frozenset(("extracted", "parsed", "id", "ids"))
"""Words of a field that holds less than the model's answer, or only names it."""
_NO_CLASSES = frozenset(("model", "version", "provider", "engine", "role", "status", "finish", "object", "split"))
"""Words of a field whose few values are no labels."""
_SAY_NOTHING = frozenset(("text", "content", "value", "raw", "string", "str"))
"""Names of what lies inside an object that has the field's own name (``output.text``)."""
_LONGEST_LABEL = 60
_SHARE = 0.5
"""Share of the rows that a field must have."""


@dataclass(slots=True)
class Guesses:
    """What the fields of a file are taken for.

    Attributes
    ----------
    fields
        Paths by the keys of ``predictions.fields``.
    others
        Further paths that could be meant as well, by the same keys.
    source
        ``prompt.source``.
    """

    fields: dict[str, str] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)
    source: str = "fields"


def guess_fields(columns: Mapping[str, Sequence[object]], num_rows: int) -> Guesses:
    """Return what the fields are taken for.

    Parameters
    ----------
    columns
        Values by path.
    num_rows
        Rows that were looked at.
    """
    usual = {path: values for path, values in columns.items() if len(values) >= _SHARE * num_rows}
    found = Guesses()
    taken: set[str] = set()

    def take(key: str, is_one: Callable[[Sequence[object]], bool], word: str = "") -> bool:
        named = [path for path in _named(key, [path for path in usual if path not in taken]) if word in _own_name(path)]
        fitting = [path for path in named if is_one(usual[path])]
        if fitting:
            found.fields[key], found.others[key] = fitting[0], fitting[1:]
            taken.add(fitting[0])
        return bool(fitting)

    if take("transcript", _are_transcripts):
        found.source = "transcript"
    elif take("messages", _are_conversations) or take("prompt", _are_conversations):
        found.source = "messages"
        if "prompt" in found.fields:
            found.fields["messages"], found.others["messages"] = found.fields.pop("prompt"), found.others.pop("prompt")
        take("response", _are_texts)
    else:
        take("prompt", _are_texts)
        take("response", _are_answers)
    take("predicted", _are_labels)
    take("actual", _are_answers_to_give)
    if not take("correct", _are_verdicts):
        take("correct", _are_numbers, word="score")
    take("choices", _are_choices)
    take("id", lambda values: _are_unique(values, num_rows))
    take("year", _are_years)
    take("cluster", _are_repeated)
    return found


def truth_fields(columns: Mapping[str, Sequence[object]], num_rows: int) -> dict[str, list[str]]:
    """Return which fields of a file of labels may hold the true label, and which say whether the answer was right.

    By their names; where none is called so, any field of short values that is not called something else.

    Parameters
    ----------
    columns, num_rows
        As for ``guess_fields``, without the field of ids.
    """
    found = named_truths(columns)
    if found:
        return found
    others = {path for key in ("id", "year", "cluster", "prompt", "system") for path in _named(key, list(columns))}
    plain = [path for path, values in columns.items() if path not in others and _are_labels(values)]
    plain = [path for path in plain if not all(isinstance(value, float) for value in columns[path])]
    plain = [path for path in plain if not set(_own_name(path).split("_")) & _NO_CLASSES]
    classes = [path for path in plain if len({str(value) for value in columns[path]}) <= max(num_rows / 2, 2)]
    return {"actual": classes or plain} if plain else {}


def named_truths(columns: Mapping[str, Sequence[object]]) -> dict[str, list[str]]:
    """Return the fields that are called as true labels are, and as verdicts are, the likeliest first."""
    found: dict[str, list[str]] = {}
    for key, is_one in (("actual", _are_labels), ("correct", _are_verdicts)):
        taken = found.get("actual", [])
        paths = [path for path in _named(key, list(columns)) if path not in taken and is_one(columns[path])]
        if paths:
            found[key] = paths
    return found


def is_called_id(path: str) -> bool:
    """Whether a field is called as ids are."""
    words = set(_own_name(path).split("_"))
    return bool(_named("id", [path])) or bool(words & {"id", "key", "request", "question", "nr", "no", "number"})


def _named(key: str, paths: Sequence[str]) -> list[str]:
    """Return the paths whose last step is a name of the field, the likeliest first."""
    order: list[tuple[int, int, str]] = []
    for path in paths:
        last = _own_name(path)
        words = set(re.split(r"[^a-z0-9]+", last))
        if key == "response" and (words & _PARTS or _all_words(path) & _WANTED):
            continue
        for rank, name in enumerate(_NAMES[key]):
            if last in (name, f"{name}s"):
                order.append((rank, path.count("."), path))
                break
            if "_" not in name and len(name) > 2 and name in words:
                order.append((rank + len(_NAMES[key]), path.count("."), path))
                break
    return [path for _, _, path in sorted(order)]


def _all_words(path: str) -> set[str]:
    return {word for step in re.split(r"[.\[]", path) for word in _in_words(step.strip("]\"'")).split("_")}


def _own_name(path: str) -> str:
    """Return what a field is called: the last step of its path, or the one before where that says nothing."""
    steps = [_in_words(step.strip("]\"'")) for step in re.split(r"[.\[]", path)]
    return steps[-2] if len(steps) > 1 and steps[-1] in _SAY_NOTHING else steps[-1]


def _in_words(name: str) -> str:
    """Return a name with its words joined by underscores (``actualOutput``, ``Expected Output``), in small letters."""
    return re.sub(r"[\s-]+|(?<=[a-z0-9])(?=[A-Z])", "_", name).casefold()


def _most(values: Sequence[object], is_one: Callable[[object], bool]) -> bool:
    given = [value for value in values if value not in (None, "")]
    return bool(given) and sum(map(is_one, given)) > 0.8 * len(given)


def _are_texts(values: Sequence[object]) -> bool:
    return _most(values, lambda value: isinstance(value, str))


def _are_answers(values: Sequence[object]) -> bool:
    return _most(values, lambda value: isinstance(value, str | Mapping | list))


def _are_transcripts(values: Sequence[object]) -> bool:
    return _most(values, lambda value: isinstance(value, str) and "\n" in value)


def _are_conversations(values: Sequence[object]) -> bool:
    return _most(values, _is_conversation)


def _is_conversation(value: object) -> bool:
    if isinstance(value, str):
        return is_message_list(value)
    if isinstance(value, Mapping):
        value = value.get("messages")
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and ("role" in item or "from" in item) for item in value)
    )


def _are_labels(values: Sequence[object]) -> bool:
    return _most(values, lambda value: isinstance(value, bool | int | float) or _is_short(value))


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_LABEL and "\n" not in value


def _are_answers_to_give(values: Sequence[object]) -> bool:
    """Whether they are short texts, lists of them, or explanations that end with one (``... #### 18``)."""

    def is_one(value: object) -> bool:
        texts = one_or_more_texts(value) if isinstance(value, str | list) else []
        return bool(texts) and all(_is_short(concluded_answer(text)) for text in texts)

    return _are_labels(values) or _most(values, is_one)


def _say_any(values: Sequence[object]) -> bool:
    return any(verdict_of(value, 0.5).is_correct is not None for value in values)


def _are_verdicts(values: Sequence[object]) -> bool:
    return _say_any(values) and _most(
        values, lambda value: not verdict_of(value, None).is_unread or isinstance(value, float)
    )


def _are_numbers(values: Sequence[object]) -> bool:
    return _say_any(values) and _most(
        values, lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    )


def _are_choices(values: Sequence[object]) -> bool:
    return _most(values, lambda value: isinstance(value, list | Mapping) and len(value) > 1)


def _are_unique(values: Sequence[object], num_rows: int) -> bool:
    plain = [value for value in values if isinstance(value, str | int)]
    return len(plain) == num_rows and len(set(map(str, plain))) == num_rows


def _are_years(values: Sequence[object]) -> bool:
    return _most(values, lambda value: str(value).isdigit() and 1800 <= int(str(value)) <= 2200)


def _are_repeated(values: Sequence[object]) -> bool:
    plain = [str(value) for value in values if isinstance(value, str | int)]
    return 1 < len(set(plain)) < len(plain)
