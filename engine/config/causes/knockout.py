"""The config's ``causal.knockout``: key groups that rows are kept from looking at."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from engine.config.causes.method import ALL_ROWS, DECISION_ROW, MethodSection, RunFacts, check_key_groups


class KnockoutSection(MethodSection):
    """Attention to key groups that is blocked in windows of layers; no key groups means all of them."""

    method: ClassVar[str] = "engine.causal.methods.knockout.AttentionKnockout"

    rows: Literal["decision", "response"] = "decision"
    """Rows that are kept from looking: the decision row, or the whole answer."""
    key_groups: list[str] = []
    """What they are kept from looking at, each in turn; empty: every key group. Example: [current_period,
    instruction]."""
    window: int = Field(default=5, ge=1)
    """Layers in which they are, around each layer."""

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return the cost of a window around every layer for every key group."""
        number = num_layers * (len(self.key_groups) or num_groups)
        return number * (DECISION_ROW if self.rows == "decision" else ALL_ROWS)

    def check(self, path: str, facts: RunFacts) -> None:
        """Refuse key groups that the run does not have."""
        check_key_groups(path, self.key_groups, facts)
