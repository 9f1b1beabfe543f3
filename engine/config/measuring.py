"""What a config says of what is measured: key groups, statistics, kept patterns."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from engine.sections import Section


class KeyGroup(Section):
    """A set of token positions; exactly one way of saying which."""

    vocabulary: list[str] | None = None
    regex: str | None = None
    segment: str | None = None
    spans: str | None = None
    complement_of: str | None = None
    random_like: str | None = None

    @model_validator(mode="after")
    def _one_definition(self) -> KeyGroup:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {sorted(type(self).model_fields)}, not {given or 'none'}")
        return self


class PatternsSection(Section):
    """Whole patterns to keep: which samples, layers and heads, under a byte limit."""

    samples: list[str] = Field(min_length=1)
    layers: list[int] = Field(min_length=1)
    heads: list[int] = Field(min_length=1)
    max_bytes: int = Field(default=256 * 2**20, ge=1)


class AttributionStatistics(Section):
    """What each key carries through each head towards the first side of the contrast, and how many keys are named.

    ``top_tokens`` keys are named of each sign, per head.
    """

    top_tokens: int = Field(default=5, ge=0, le=1000)


class StatisticsSection(Section):
    """What is measured beside the statistics that are always kept.

    ``decision_rows`` keeps each layer's decision row averaged over heads; a list of sample ids keeps those samples'
    rows head by head as well. ``attribution`` is on by default (false: off) and is left out for samples without a
    contrast and for models whose parts are not known. ``contribution`` adds, at the same row, each key group's share of
    the head's output vector.
    """

    query_groups: list[str] = ["all", "decision", "response"]
    norm_weighted: bool = False
    random_groups: int = Field(default=0, ge=0, le=200)
    decision_rows: bool | list[str] = False
    rollout: bool = False
    top_keys: int = Field(default=10, ge=0, le=1000)
    patterns: PatternsSection | None = None
    attribution: AttributionStatistics | None = AttributionStatistics()
    contribution: bool = False

    @field_validator("attribution", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        return {True: AttributionStatistics(), False: None}[value] if isinstance(value, bool) else value

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
