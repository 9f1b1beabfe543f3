"""What a config says of the predictions: files, fields, choice of samples, prompt."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.sections import Section


class FieldsSection(Section):
    """Names of the record's fields, or paths to them; the defaults are those of the users' file."""

    id: str | None = None
    """Unique name of a sample; null: ``sample_id`` or ``id`` where the record has one, else cluster and year. Example:
    question_id."""
    cluster: str = "company_id"
    """What rows are alike by: a company, a document, a subject. Example: subject."""
    year: str = "year"
    """When it was; held fixed in tests."""
    actual: str = "actual_label"
    """The label that came true."""
    correct: str | None = None
    """Right or wrong as the record says it: true or false, C or I, 0 or 1, a number with ``decision.threshold``; where
    it is named it alone decides, and no actual label is needed. Example: score."""
    choices: str | None = None
    """What a row offers to choose from, in place of ``decision.labels``. Example: choices."""
    target: str | None = None
    """The right one of ``choices``: its place from 0, its letter or its text. Example: answer."""
    choice_scores: str | None = None
    """Log-likelihoods of choices that were scored one by one as continuations of the prompt. Example: scores."""
    continuations: str | None = None
    """The texts that ``choice_scores`` scored; null: a blank and the choice's text. Example: continuations."""
    predicted: str = "predicted_direction"
    """The label that was predicted, where the record has it; else it is read from the answer."""
    certainty: str = "certainty"
    """How sure the answer is: words or a number."""
    magnitude: str = "magnitude"
    """How large a change the answer expects."""
    transcript: str = "full_model_response"
    """``prompt.source: transcript``: the whole conversation as one text."""
    prompt: str = "prompt"
    """``prompt.source: fields``: the prompt."""
    response: str = "response"
    """``prompt.source: fields``: the answer."""
    messages: str = "messages"
    """``prompt.source: messages``: a list of {role, content}."""
    system: str = "system"
    """The system message, where it has a field of its own."""
    reasoning: str | None = "auto"
    """A thought that was recorded apart from the answer; ``auto``: ``reasoning_content``, ``reasoning`` or
    ``thinking``, whichever a record has; null: such a field means something else. Example: thoughts."""
    prompt_token_ids: str | None = "prompt_token_ids"
    """Recorded token ids of the prompt, as vLLM returns them; null: a field of that name means something else."""
    token_ids: str | None = "token_ids"
    """The same of the answer."""
    evidence: str | None = None
    """The gold passages, which become the key group ``evidence``: texts of the prompt, or pairs [start, end] of its
    characters. Example: gold_passages."""


class JoinSection(Section):
    """A second file with fields of the rows: labels, prompts or scores that were written apart."""

    path: str
    """The second file. Example: labels.csv."""
    format: str = "auto"
    """As ``predictions.format``."""
    on: str | dict[str, str]
    """The field that both files have, or one pair {field of the row: field of the file}; either may be a path. Example:
    {id: doc_id}."""
    fields: list[str] | dict[str, str] | None = None
    """What is taken over: a list, or {name in the row: path in the file}; null: everything. Example: {actual_label:
    gold}."""
    filter: dict[str, str | int | float | bool | list[str]] = {}
    """Rows of the file that count, by the value of a field: one value, or a list of them. Example: {name: judge}."""

    @field_validator("on")
    @classmethod
    def _is_one_pair(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        if isinstance(value, dict) and len(value) != 1:
            raise ValueError(f"on is {value}; give one field, or one pair {{field of the row: field of the file}}")
        return value

    def keys(self) -> tuple[str, str]:
        """Return the field of the rows and the field of the file that are compared."""
        return next(iter(self.on.items())) if isinstance(self.on, dict) else (self.on, self.on)

    def names(self) -> dict[str, str] | None:
        """Return where each field that is taken over stands in the file, by its name in the rows; None for all."""
        return {name: name for name in self.fields} if isinstance(self.fields, list) else self.fields


FILTER_WORDS = ("min", "max", "not")
"""What a filter on a field may say beside the values to keep: inclusive bounds, and values to leave out."""


BALANCE_COLUMNS = (
    "is_correct",
    "predicted_label",
    "actual_label",
    "label_source",
    "certainty",
    "magnitude",
    "year",
    "cluster",
)
"""What ``predictions.balance`` may name beside the fields of ``predictions.keep``."""


def _bound_kind(limit: object) -> str | None:
    if isinstance(limit, int | float) and not isinstance(limit, bool):
        return "number"
    return "date" if as_date(limit) else None


def as_date(value: object) -> date | None:
    """Return the day of a date, a time or a text that begins with an ISO date (1990-12-31); None when it is none."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


class PredictionsSection(Section):
    """The predictions file, or files, and which rows are used.

    Fields inside others are named by paths (``scores.match.value``, ``resps[0][0]``).
    """

    path: str
    """A file, a glob pattern or a folder. Example: preds/*.jsonl.gz."""
    format: str = "auto"
    """``auto`` (by suffix and content), json, jsonl, parquet, csv, arrow, or a log: lm-eval, inspect, every-eval-ever,
    batch, lighteval, helm, promptfoo, langfuse, chat-export. Example: inspect."""
    fields: FieldsSection = Field(default_factory=FieldsSection)
    max_samples: int | None = Field(default=None, ge=1)
    """Draw so many with ``run.seed``; null: all. Example: 200."""
    balance: list[str] = []
    """Draw them in equal shares over these: is_correct, predicted_label, actual_label, label_source, certainty,
    magnitude, year, cluster, or fields of ``keep``. Example: [is_correct, predicted_label]."""
    filter: dict[str, Any] = {}
    """Rows to use, by any field: a value, a list of values, or {min, max, not}. Example: {year: {min: 1990, max: 1999},
    sector: {not: bank}}."""
    keep: dict[str, Literal["text", "number"]] = {}
    """More fields that become columns ``field_<name>`` of ``samples``, as text or as numbers. Example: {sector: text,
    total_assets: number}."""
    join: list[JoinSection] = []
    """Fields from other files, row by row. Example: [{path: labels.csv, on: id, fields: {actual_label: gold}}]."""

    @field_validator("keep", mode="before")
    @classmethod
    def _text_by_default(cls, value: object) -> object:
        return {str(name): "text" for name in value} if isinstance(value, list) else value

    @field_validator("filter")
    @classmethod
    def _ranges_have_bounds(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, wanted in value.items():
            if not isinstance(wanted, dict):
                continue
            if not wanted or set(wanted) - set(FILTER_WORDS):
                raise ValueError(
                    f"filter.{name} is {wanted}; give a value, a list of values, or a mapping with "
                    f"{', '.join(FILTER_WORDS)}"
                )
            kinds = {_bound_kind(wanted[bound]) for bound in ("min", "max") if bound in wanted}
            if None in kinds or len(kinds) > 1:
                limits = {bound: wanted[bound] for bound in ("min", "max") if bound in wanted}
                raise ValueError(f"filter.{name} is {limits}; bounds are numbers, or dates such as 1990-12-31")
            # YAML reads an unquoted date as one; text is what run.yaml can hold.
            value[name] = {word: str(limit) if isinstance(limit, date) else limit for word, limit in wanted.items()}
        return value

    @model_validator(mode="after")
    def _balance_is_known(self) -> PredictionsSection:
        for name in self.balance:
            if name not in (*BALANCE_COLUMNS, *self.keep):
                raise ValueError(
                    f"balance names {name!r}; it can be {', '.join(BALANCE_COLUMNS)} or a field of predictions.keep"
                )
        return self


_RENDERING = (
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "sanitize_control_tokens",
    "strftime_now",
    "tokenize",
    "tokenizer_kwargs",
    "truncation",
)
"""What rendering a prompt decides itself."""


class PromptSection(Section):
    """How the prompt is recovered from a record."""

    source: Literal["transcript", "fields", "messages"] = "transcript"
    """What a record holds: the whole conversation as one text, prompt and answer in fields of their own, or
    messages."""
    chat_template: str | None = None
    """A Jinja template, its file, or ``none``; null: the tokenizer's own. Example: none."""
    system: str | None = None
    """A system message for records that have none. Example: You are an analyst."""
    template_kwargs: dict[str, Any] = {}
    """Handed to the chat template beside the messages: enable_thinking, reasoning_effort, tools, documents,
    date_string. Example: {enable_thinking: false}."""
    date: str | None = None
    """The day that a template prints which asks for today's; null: that of the first plan. Example: 2024-07-26."""

    @field_validator("template_kwargs")
    @classmethod
    def _settings_are_the_templates(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in _RENDERING:
                raise ValueError(
                    f"template_kwargs names {name!r}, which rendering a prompt decides itself; give names that the "
                    f"chat template reads, such as enable_thinking, reasoning_effort, tools or date_string"
                )
        # YAML reads an unquoted date as one; text is what run.yaml can hold.
        return {name: str(item) if isinstance(item, date) else item for name, item in value.items()}

    @field_validator("date", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> object:
        if value is None:
            return None
        try:
            return date.fromisoformat(str(value)).isoformat()
        except ValueError:
            raise ValueError(f"date is {value!r}; give a day such as 2024-07-26, or leave it out") from None
