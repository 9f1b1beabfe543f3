"""What a config says of the decision: labels, where they stand, what is compared; and of answers that are missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator, model_validator

from engine.config.user_patterns import UserPattern
from engine.sections import Section

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
    """The labels and where in the answer they stand."""

    labels: dict[str, list[str]] = {
        "increase": ["increase", "increases", "increased"],
        "decrease": ["decrease", "decreases", "decreased"],
    }
    """Labels and the words that stand for them. Example: {positive: [positive, good], negative: [negative, bad]}."""
    contrast: list[str] | str = []
    """What margins compare: two labels, or a rule. ``said_vs_best_other`` (of more than two labels the default)
    compares the said label with the likeliest of the others, ``said_vs_actual`` a wrong answer with the actual label,
    ``said_vs_runner_up`` with the likeliest other token of the vocabulary. Example: [increase, decrease]."""
    field: str | None = "direction_of_eps_change"
    """The answer's JSON field with the label; null: it has none."""
    certainty_field: str | None = "certainty_of_assessment"
    """The answer's JSON field with its certainty, read where the record has none."""
    magnitude_field: str | None = "magnitude_of_change"
    """The same of its magnitude."""
    negations: list[str] | None = None
    """Words that deny a label within the next three words ("not expected to increase"), or before it where they begin
    with …; null: those of the answer's language. Example: [not, never, …aside]."""
    match: Literal["word", "inside"] = "word"
    """``word``, or ``inside`` where words are joined to others."""
    pattern: str | None = None
    """A regular expression of a cue: its first group, or else what follows it on the line, is the answer. Example:
    'Verdict:'."""
    locate: Literal["auto", "field", "text"] = "auto"
    """Where the decision stands: ``field``, ``text`` (the conclusion), ``auto``: in the field if the answer has one,
    else in the conclusion."""
    threshold: float | None = None
    """The least number of ``predictions.fields.correct`` that is right. Example: 0.5."""
    span: str | dict[str, str | None] | None = None
    """Finds a free answer in place of labels: ``cue`` (behind ``Answer:``, ``####``; or {cue: text}), ``boxed``,
    ``last_number``, ``last_line``, {regex: pattern}, or {offsets: field} of the record; its margin is against the
    runner-up. Example: last_number."""

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
    """Answer rows that have only a prompt; new answers are in ``predictions.json`` of the run directory."""
    batch_size: int = Field(default=8, ge=1)
    """Prompts that are answered at once."""
    max_new_tokens: int = Field(default=1024, ge=1)
    """Tokens of an answer at most."""
    temperature: float = Field(default=1.0, gt=0)
    """With ``do_sample``: divides the logits. Example: 0.7."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """With ``do_sample``: the share of probability that is drawn from. Example: 0.9."""
    do_sample: bool = False
    """Draw answers, with a seed per sample; off: greedily."""
    seed: int = Field(default=0, ge=0)
    """With ``do_sample``: of the draws."""
