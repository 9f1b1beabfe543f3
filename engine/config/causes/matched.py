"""The config's ``causal.matched``: decision rows of right predictions put into wrong ones."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from engine.config.causes.heads import HeadsSection
from engine.config.causes.method import Matching, MethodSection, RunFacts


class MatchedSection(MethodSection):
    """Decision rows of right predictions put into matched wrong ones, by head and by layer."""

    method: ClassVar[str] = "engine.causal.methods.matched.Matched"

    heads: Literal["all"] | list[tuple[int, int]] = "all"
    """Heads that are put in: all, or a list of [layer, head]."""
    units: list[Literal["head", "layer"]] = Field(default=["head", "layer"], min_length=1)
    """What is put in at a time: each query head's output, or all of a layer."""
    match: Matching = "cluster_or_nearest"
    """How a right prediction is found for a wrong one: of the same cluster, the nearest, or of the cluster where it has
    one and else the nearest."""

    @field_validator("heads", mode="before")
    @classmethod
    def _some_heads(cls, value: object) -> object:
        if value != "all" and not (isinstance(value, list | tuple) and value):
            raise ValueError(f"{value!r} names no heads; use all or a list of [layer, head]")
        return value

    @property
    def matching(self) -> Matching:
        """How right predictions are found."""
        return self.match

    def sections(self) -> list[HeadsSection]:
        """Return what is changed at a time, unit by unit."""
        return [HeadsSection(heads=self.heads, rows="decision", unit=unit) for unit in dict.fromkeys(self.units)]

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return the cost of the right prediction's run and of every change of the decision row."""
        sizes = {"num_layers": num_layers, "num_heads": num_heads, "num_groups": num_groups}
        return 1.0 + sum(section.forwards(**sizes) for section in self.sections())

    def check(self, path: str, facts: RunFacts) -> None:
        """Refuse listed heads that the model does not have."""
        self.sections()[0].check(path, facts)
