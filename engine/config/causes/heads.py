"""The config's ``causal.ablation`` and ``causal.amplification``: changed heads, and their outputs then."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.causes.method import (
    ALL_ROWS,
    DECISION_ROW,
    Heads,
    MethodSection,
    Rows,
    RunFacts,
    TopHeads,
    Unit,
    check_heads,
    check_index,
)
from engine.errors import ConfigError


class HeadsSection(MethodSection):
    """Heads that are intervened upon, one by one or together."""

    heads: Heads = "all"
    """``all``, {top: k} of attribution's ranking and as many random ones, or a list of [layer, head]."""
    rows: Rows = "all"
    """Rows that are changed: all, or the decision row alone."""
    unit: Unit = "head"
    """What is changed at a time: a query head, all query heads of its KV group, all of its layer, or (``set``) all
    heads listed."""

    @field_validator("heads", mode="before")
    @classmethod
    def _one_of_three_ways(cls, value: object) -> object:
        is_list = isinstance(value, list | tuple) and all(
            isinstance(pair, list | tuple) and len(pair) == 2 and all(type(part) is int for part in pair)
            for pair in value
        )
        is_top = isinstance(value, TopHeads) or (isinstance(value, dict) and set(value) == {"top"})
        if value != "all" and not is_top and not (is_list and value):
            raise ValueError(f"{value!r} names no heads; use all, {{top: k}} or a list of [layer, head]")
        return value

    @model_validator(mode="after")
    def _a_set_is_listed(self) -> HeadsSection:
        if self.unit == "set" and not isinstance(self.heads, list):
            raise ValueError("unit is 'set', which needs heads as a list of [layer, head]")
        if self.unit in ("kv_group", "layer") and isinstance(self.heads, TopHeads):
            raise ValueError(f"heads is {{top: {self.heads.top}}}, which ranks heads; use unit: head")
        return self

    @property
    def num_screened(self) -> int:
        """How many heads attribution chooses."""
        return self.heads.top if isinstance(self.heads, TopHeads) else 0

    @property
    def num_changes(self) -> int:
        """How often every target is changed."""
        return 1

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return the cost of changing every target, as often as the method changes each."""
        if self.heads == "all":
            number = num_layers * num_heads
        else:  # a random head is verified beside every one that attribution chooses
            number = 2 * self.heads.top if isinstance(self.heads, TopHeads) else len(self.heads)
        targets = {"head": number, "set": 1}.get(self.unit, min(number, num_layers))
        return targets * self.num_changes * (ALL_ROWS if self.rows == "all" else DECISION_ROW)

    def check(self, path: str, facts: RunFacts) -> None:
        """Refuse listed heads that the model does not have."""
        for index, (layer, head) in enumerate(self.heads if isinstance(self.heads, list) else []):
            check_index(f"{path}.heads[{index}]", "layer", layer, facts)
            check_heads(f"{path}.heads[{index}]", layer, facts)
            check_index(f"{path}.heads[{index}]", "head", head, facts)


class AblationSection(HeadsSection):
    """Heads whose output is replaced by zero, by its mean over the dataset or by that of another sample."""

    method: ClassVar[str] = "engine.causal.methods.ablation.Ablation"

    replace: Literal["zero", "mean", "resample"] = "zero"
    """What takes the heads' output's place: zero, its mean over the dataset, or that of another sample."""

    @property
    def mean_rows(self) -> Rows | None:
        """The changed rows, where their mean takes the heads' place."""
        return self.rows if self.replace == "mean" else None

    @property
    def needs_partners(self) -> bool:
        """Whether another sample's heads take a sample's place."""
        return self.replace == "resample"

    def check(self, path: str, facts: RunFacts) -> None:
        """Refuse heads outside the model, and resampling from a single sample."""
        super().check(path, facts)
        if self.needs_partners and facts.num_samples is not None and facts.num_samples < 2:
            raise ConfigError(f"{path}.replace: 'resample' takes another sample's heads, but there is only one.")


class AmplificationSection(HeadsSection):
    """Heads whose output is multiplied."""

    method: ClassVar[str] = "engine.causal.methods.amplification.Amplification"

    factors: list[float] = Field(default=[0.5, 2.0], min_length=1)
    """What outputs are multiplied by, each in turn."""

    @property
    def num_changes(self) -> int:
        """How often every target is changed: once with each factor."""
        return len(self.factors)
