"""What a config says of the predictions: files, fields, choice of samples, prompt, decision, generation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.user_patterns import UserPattern
from engine.sections import Section


class FieldsSection(Section):
    """Names of the record's fields, or paths to them; the defaults are those of the users' file.

    ``reasoning`` is the field of a thought that was recorded apart from the answer; ``auto`` is ``reasoning_content``,
    ``reasoning`` or ``thinking``, whichever a record has. ``prompt_token_ids`` and ``token_ids`` are the ids of the
    prompt and of the answer, as vLLM returns them. Null: a field of that name means something else and is not read.
    ``correct`` says whether the answer is right (true or false, C or I, 0 or 1, a number with ``decision.threshold``);
    where it is named it alone decides, and no actual label is needed. ``choices`` are what a row offers to choose from,
    in place of ``decision.labels``, and ``target`` is the right one, by index, name or text. ``choice_scores`` are the
    log-likelihoods of choices that were scored one by one as continuations of the prompt (``continuations``; without
    it a blank and the choice's text).
    """

    id: str | None = None
    cluster: str = "company_id"
    year: str = "year"
    actual: str = "actual_label"
    correct: str | None = None
    choices: str | None = None
    target: str | None = None
    choice_scores: str | None = None
    continuations: str | None = None
    predicted: str = "predicted_direction"
    certainty: str = "certainty"
    magnitude: str = "magnitude"
    transcript: str = "full_model_response"
    prompt: str = "prompt"
    response: str = "response"
    messages: str = "messages"
    system: str = "system"
    reasoning: str | None = "auto"
    prompt_token_ids: str | None = "prompt_token_ids"
    token_ids: str | None = "token_ids"


class JoinSection(Section):
    """A second file with fields of the rows: labels, prompts or scores that were written apart.

    ``on`` is the field that both files have, or ``{field of the row: field of the file}``; either may be a path.
    ``fields`` names what is taken over: a list, or ``{name in the row: path in the file}``; null takes everything.
    """

    path: str
    format: str = "auto"
    on: str | dict[str, str]
    fields: list[str] | dict[str, str] | None = None

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

    ``path`` is a file, a glob pattern or a folder; ``format`` is ``auto`` or a format that ``engine.inputs`` reads.
    ``keep`` names record fields that become columns ``field_<name>`` of ``samples``, as text or as numbers. ``join``
    takes fields over from other files. Fields inside others are named by paths (``scores.match.value``,
    ``resps[0][0]``).
    """

    path: str
    format: str = "auto"
    fields: FieldsSection = Field(default_factory=FieldsSection)
    max_samples: int | None = Field(default=None, ge=1)
    balance: list[str] = []
    filter: dict[str, Any] = {}
    keep: dict[str, Literal["text", "number"]] = {}
    join: list[JoinSection] = []

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
    """How the prompt is recovered from a record.

    ``template_kwargs`` are handed to the chat template beside the messages: ``enable_thinking``, ``reasoning_effort``,
    ``tools``, ``documents``, ``date_string``. ``date`` is the day that a template prints which asks for today's.
    """

    source: Literal["transcript", "fields", "messages"] = "transcript"
    chat_template: str | None = None
    system: str | None = None
    template_kwargs: dict[str, Any] = {}
    date: str | None = None

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


CONTRASTS = ("said_vs_best_other", "said_vs_actual", "said_vs_runner_up")
"""Rules for what the said label is compared with, beside a fixed pair of labels."""


SPAN_KINDS = ("cue", "boxed", "last_number", "last_line", "regex", "offsets")
"""How a free answer is found."""


@dataclass(frozen=True, slots=True)
class SpanSection:
    """How a free answer is found: one of ``SPAN_KINDS``, with the cue, the pattern or the field that it needs."""

    kind: str
    value: str | None = None

    @property
    def text(self) -> str:
        """The setting as a config writes it."""
        return self.kind if self.value is None else f"{self.kind}: {self.value}"


class DecisionSection(Section):
    """The labels and where in the answer they stand.

    ``contrast`` is what margins compare: two labels, or a rule. ``said_vs_best_other`` (of more than two labels the
    default) compares the said label with the likeliest of the others, ``said_vs_actual`` a wrong answer with the actual
    label, ``said_vs_runner_up`` with the likeliest other token of the vocabulary.
    ``negations`` are words that deny a label within the next three words ("not expected to increase"), or before it
    where they begin with …; null stands for the words of the answer's language. ``match`` is ``word``, or ``inside``
    where words are joined to others. ``pattern`` is a regular expression of a cue: its first group, or else what
    follows it on the line, is the answer. ``field`` is the answer's JSON field with the label; ``certainty_field`` and
    ``magnitude_field`` are read from the answer where the record itself has none. ``threshold`` is the least number of
    ``predictions.fields.correct`` that is right. ``span`` finds a free answer in place of labels: ``cue`` (behind
    ``Answer:``, ``####``; or ``{cue: text}``), ``boxed``, ``last_number``, ``last_line``, ``{regex: pattern}``, or
    ``{offsets: field}`` of the record; its margin is against the runner-up.
    """

    labels: dict[str, list[str]] = {
        "increase": ["increase", "increases", "increased"],
        "decrease": ["decrease", "decreases", "decreased"],
    }
    contrast: list[str] | str = []
    field: str | None = "direction_of_eps_change"
    certainty_field: str | None = "certainty_of_assessment"
    magnitude_field: str | None = "magnitude_of_change"
    negations: list[str] | None = None
    match: Literal["word", "inside"] = "word"
    pattern: str | None = None
    locate: Literal["auto", "field", "text"] = "auto"
    threshold: float | None = None
    span: str | dict[str, str | None] | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _a_label_spells_itself(cls, value: object) -> object:
        if isinstance(value, list):
            value = {str(label): [] for label in value}
        if not isinstance(value, dict):
            return value
        return {
            str(label): [str(s) for s in spellings] if spellings else [str(label)] for label, spellings in value.items()
        }

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            compiled = UserPattern("decision.pattern", value).compiled
        except ValueError as error:
            raise ValueError(f"pattern: {error}") from None
        if compiled.search("") is not None:
            raise ValueError(f"pattern is {value!r}, which matches the empty text; name the words before the answer")
        return value

    @property
    def span_section(self) -> SpanSection | None:
        """How a free answer is found; None where labels are."""
        if self.span is None:
            return None
        return SpanSection(self.span) if isinstance(self.span, str) else SpanSection(*next(iter(self.span.items())))

    @model_validator(mode="after")
    def _span_is_known(self) -> DecisionSection:
        if self.span is None:
            return self
        allowed = "cue, boxed, last_number, last_line, {cue: text}, {regex: pattern} or {offsets: field}"
        if isinstance(self.span, dict) and len(self.span) != 1:
            raise ValueError(f"span is {self.span}; give one of {allowed}")
        span = self.span_section
        assert span is not None
        is_bare = span.value is None and span.kind in SPAN_KINDS[:4]
        if not is_bare and not (span.value and span.kind in ("cue", "regex", "offsets")):
            raise ValueError(f"span is {self.span!r}; give one of {allowed}")
        if span.kind == "regex":
            try:
                re.compile(str(span.value))
            except re.error as error:
                raise ValueError(f"span is {self.span}, which is no regular expression: {error}") from None
        if "contrast" in self.model_fields_set and self.contrast not in ([], CONTRASTS[2]):
            raise ValueError(
                f"contrast is {self.contrast}, which compares labels, and span asks for free answers, which have none: "
                f"leave contrast out, or set it to {CONTRASTS[2]}"
            )
        self.contrast = CONTRASTS[2]
        return self

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two labels of a fixed contrast; None where a rule chooses them."""
        return None if isinstance(self.contrast, str) else (self.contrast[0], self.contrast[1])

    @property
    def choice_names(self) -> list[str]:
        """Names of choices by position, where the config gives labels of its own."""
        return [] if self.labels == type(self).model_fields["labels"].default else list(self.labels)

    @model_validator(mode="after")
    def _contrast_is_known(self) -> DecisionSection:
        if len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)} label(s), at least two are needed")
        if not self.contrast and self.span is None:
            self.contrast = list(self.labels) if len(self.labels) == 2 else CONTRASTS[0]
        if self.locate == "field" and not self.field:
            raise ValueError("locate is 'field', which needs field, the name of the JSON field with the label")
        if isinstance(self.contrast, str) or self.span is not None:
            if isinstance(self.contrast, str) and self.contrast not in CONTRASTS:
                raise ValueError(f"contrast is {self.contrast!r}; give two labels, or one of {', '.join(CONTRASTS)}")
        elif len(self.contrast) != 2 or len(set(self.contrast)) != 2:
            raise ValueError(
                f"contrast is {self.contrast}, it must name two different labels, or be one of {', '.join(CONTRASTS)}"
            )
        else:
            for label in self.contrast:
                if label not in self.labels:
                    raise ValueError(f"contrast names {label!r}, which is not in labels {sorted(self.labels)}")
        seen: dict[str, str] = {}
        for label, spellings in self.labels.items():
            for spelling in spellings:
                plain = " ".join(re.split(r"[\s_]+", spelling.casefold().strip(" _")))
                other = seen.setdefault(plain, label)
                if other != label:
                    raise ValueError(f"spelling {spelling!r} stands for both {other!r} and {label!r}")
        return self


class GenerationSection(Section):
    """Answers for rows that have none: greedy unless ``do_sample``, then seeded."""

    enabled: bool = False
    batch_size: int = Field(default=8, ge=1)
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    do_sample: bool = False
    seed: int = Field(default=0, ge=0)
