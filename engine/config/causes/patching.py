"""The config's ``causal.patching``: how the statement is edited."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from engine.config.causes.method import Gradient, MethodSection


class PatchingSection(MethodSection):
    """Attribution patching to an edited statement; no line items means all of them."""

    method: ClassVar[str] = "engine.causal.methods.patching.Patching"

    gradients: ClassVar[frozenset[Gradient]] = frozenset({"heads", "outputs"})
    uses_tokenizer: ClassVar[bool] = True

    counterfactual: Literal["swap_periods", "scale", "replace", "flip_sign"]
    """How the statement is edited: ``scale`` multiplies the current period's figures by ``factor``, ``replace`` puts
    ``value`` in their place, ``flip_sign`` turns every figure's sign, ``swap_periods`` exchanges the current and the
    prior period."""
    line_items: list[str] = []
    """Line items that are edited; empty: all. Example: [Net Income]."""
    factor: float = 2.0
    """Of ``scale``."""
    value: str | None = None
    """Of ``replace``. Example: '100'."""

    @model_validator(mode="after")
    def _a_replacement_is_given(self) -> PatchingSection:
        if (self.value is None) == (self.counterfactual == "replace"):
            raise ValueError("value is what `replace` puts in place of figures; give it there and only there")
        return self

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return the cost of running the edited statement; the rest are gradients, which are shared."""
        return 1.0
