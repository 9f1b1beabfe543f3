"""What a config says of what is measured: key groups, statistics, kept patterns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from engine.sections import Section


class KeyGroup(Section):
    """A set of token positions; exactly one way of saying which."""

    vocabulary: list[str] | None = None
    """Terms that are found as whole words and phrases. Example: [net income, eps]."""
    regex: str | None = None
    """A regular expression; tokens of its matches. Example: 'Q[1-4]'."""
    segment: str | None = None
    """A part of the conversation: system, prompt, thinking, answer, reasoning, response, or a sentence of one. Example:
    'thinking: -1'."""
    spans: str | None = None
    """What is found in financial statements: a line item, a period. Example: 'line_item: Net Income'."""
    complement_of: str | None = None
    """All tokens but those of another group. Example: number."""
    random_like: str | None = None
    """Random words, as many and as frequent as another group's. Example: financial."""

    @model_validator(mode="after")
    def _one_definition(self) -> KeyGroup:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {sorted(type(self).model_fields)}, not {given or 'none'}")
        return self


class PatternsSection(Section):
    """Whole patterns to keep: which samples, layers and heads, under a byte limit."""

    samples: list[str] = Field(min_length=1)
    """Ids of the samples. Example: ['1000-1990']."""
    layers: list[int] = Field(min_length=1)
    """Layers, from 0. Example: [0, 5]."""
    heads: list[int] = Field(min_length=1)
    """Heads of each of these layers, from 0. Example: [3]."""
    max_bytes: int = Field(default=256 * 2**20, ge=1)
    """The plan is refused where the patterns take more."""


class AttributionStatistics(Section):
    """What each key carries through each head towards the first side of the contrast, and how many keys are named."""

    top_tokens: int = Field(default=5, ge=0, le=1000)
    """Keys that are named of each sign, per head."""


class ReceivedStatistics(Section):
    """What keys receive from all rows that see them, and sentences from those further on."""

    top: int = Field(default=10, ge=0, le=1000)
    """Keys that are named, per head."""
    min_rows: int = Field(default=32, ge=1)
    """Keys that fewer rows see are not named: the last ones receive from themselves and their neighbours alone. Where a
    window or the text is shorter, those that the most rows see are."""
    sentences: Literal["thinking", "prompt"] | None = "thinking"
    """Whose sentences receive: those of the thought, of the prompt, or none (null)."""
    heads: int = Field(default=20, ge=1, le=1000)
    """Receiver heads of a sample whose sentences are kept, by kurtosis."""


class StatisticsSection(Section):
    """What is measured beside the statistics that are always kept."""

    query_groups: list[str] = ["all", "decision", "response"]
    """Rows that statistics are averaged over: all, decision, response, prompt, thinking, answer, reasoning, span, or a
    key group."""
    norm_weighted: bool = False
    """Masses weighted by the norm of what each token contributes, too (Kobayashi et al. 2020)."""
    random_groups: int = Field(default=0, ge=0, le=200)
    """Random vocabularies, the null for heads that favour the vocabulary. Example: 20."""
    decision_rows: bool | list[str] = False
    """Keep each layer's decision row averaged over heads; a list of sample ids keeps those samples' rows head by head
    as well."""
    rollout: bool = False
    """Rollout of the decision row (Abnar and Zuidema 2020)."""
    top_keys: int = Field(default=10, ge=0, le=1000)
    """Tokens with the largest weights of the decision row that are kept, per head."""
    patterns: PatternsSection | None = None
    """Whole patterns to keep; null: none."""
    attribution: AttributionStatistics | None = AttributionStatistics()
    """What each key group and token carries at the decision row towards the contrast; false: off. Left out for samples
    without a contrast and for models whose parts are not known."""
    contribution: bool = False
    """Each key group's share of the head's output vector at the same row."""

    retrieval: bool = False
    """Whether each head's largest weight, in the rows of what the model wrote, lies on the token that is written next
    (Wu et al. 2024), and whether heads write what they look at (copy score)."""
    reading_focus: bool = False
    """Where the answer's rows look within each key group: centre, drift and concentration, and lookback ratios."""
    received: ReceivedStatistics | None = None
    """What each key receives from the rows behind it, and receiver heads of sentences; true: as set by default."""

    @field_validator("attribution", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        return {True: AttributionStatistics(), False: None}[value] if isinstance(value, bool) else value

    @field_validator("received", mode="before")
    @classmethod
    def _received_or_not(cls, value: object) -> object:
        return {True: ReceivedStatistics(), False: None}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _contributions_go_with_attributions(self) -> StatisticsSection:
        if self.contribution and self.attribution is None:
            raise ValueError("contribution is true, which needs attribution (they are worked out together)")
        return self

    @field_validator("query_groups")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"query_groups is {value}, it must name at least one group, each once")
        return value
