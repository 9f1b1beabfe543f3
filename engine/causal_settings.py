"""The config's ``causal`` section: every part is off unless it is given."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from engine.config_section import STRICT


class _Section(BaseModel):
    model_config = STRICT


class TopHeads(_Section):
    """The heads that attribution ranks first, and as many random heads of the same layers."""

    top: int = Field(ge=1)


Heads = Literal["all"] | TopHeads | list[tuple[int, int]]
Rows = Literal["all", "decision"]
Unit = Literal["head", "kv_group", "layer", "set"]


class AttributionSection(_Section):
    """Direct logit attribution and head gradients; takes no settings."""


class AttentionGradientSection(_Section):
    """Attention gradients by key group; takes no settings."""


class _HeadsSection(_Section):
    """Heads that are intervened upon, one by one or together.

    ``unit`` says what is changed at a time: a query head, all query heads of its KV group, all of its layer, or, for
    ``set``, all heads listed.
    """

    heads: Heads = "all"
    rows: Rows = "all"
    unit: Unit = "head"

    @field_validator("heads", mode="before")
    @classmethod
    def _one_of_three_ways(cls, value: Any) -> Any:
        is_list = isinstance(value, list | tuple) and all(
            isinstance(pair, list | tuple) and len(pair) == 2 and all(type(part) is int for part in pair)
            for pair in value
        )
        is_top = isinstance(value, TopHeads) or (isinstance(value, dict) and set(value) == {"top"})
        if value != "all" and not is_top and not (is_list and value):
            raise ValueError(f"{value!r} names no heads; use all, {{top: k}} or a list of [layer, head]")
        return value

    @model_validator(mode="after")
    def _a_set_is_listed(self) -> _HeadsSection:
        if self.unit == "set" and not isinstance(self.heads, list):
            raise ValueError("unit is 'set', which needs heads as a list of [layer, head]")
        if self.unit in ("kv_group", "layer") and isinstance(self.heads, TopHeads):
            raise ValueError(f"heads is {{top: {self.heads.top}}}, which ranks heads; use unit: head")
        return self


class AblationSection(_HeadsSection):
    """Heads whose output is replaced by zero, by its mean over the dataset or by that of another sample."""

    replace: Literal["zero", "mean", "resample"] = "zero"


class AmplificationSection(_HeadsSection):
    """Heads whose output is multiplied."""

    factors: list[float] = Field(default=[0.5, 2.0], min_length=1)


class PatchingSection(_Section):
    """Attribution patching to an edited statement; no line items means all of them.

    ``scale`` multiplies the current period's figures by ``factor``, ``replace`` puts ``value`` in their place,
    ``flip_sign`` turns every figure's sign, ``swap_periods`` exchanges the current and the prior period.
    """

    counterfactual: Literal["swap_periods", "scale", "replace", "flip_sign"]
    line_items: list[str] = []
    factor: float = 2.0
    value: str | None = None

    @model_validator(mode="after")
    def _a_replacement_is_given(self) -> PatchingSection:
        if (self.value is None) == (self.counterfactual == "replace"):
            raise ValueError("value is what `replace` puts in place of figures; give it there and only there")
        return self


class KnockoutSection(_Section):
    """Attention to key groups that is blocked in windows of layers; no key groups means all of them."""

    rows: Literal["decision", "response"] = "decision"
    key_groups: list[str] = []
    window: int = Field(default=5, ge=1)


class CausalSection(_Section):
    """What is found out about causes, and for how many samples (drawn with the run's seed)."""

    max_samples: int | None = Field(default=None, ge=1)
    attribution: AttributionSection | None = None
    attention_gradient: AttentionGradientSection | None = None
    ablation: AblationSection | None = None
    amplification: AmplificationSection | None = None
    patching: PatchingSection | None = None
    knockout: KnockoutSection | None = None

    @property
    def is_on(self) -> bool:
        """Whether any part is asked for."""
        return any(getattr(self, name) is not None for name in type(self).model_fields if name != "max_samples")

    @property
    def needs_means(self) -> bool:
        """Whether heads are replaced by their mean over the dataset."""
        return self.ablation is not None and self.ablation.replace == "mean"

    @property
    def needs_partners(self) -> bool:
        """Whether heads are replaced by those of another sample."""
        return self.ablation is not None and self.ablation.replace == "resample"

    @property
    def num_screened(self) -> int:
        """How many heads attribution chooses at most; 0 when none are asked for."""
        parts = (self.ablation, self.amplification)
        return max((p.heads.top for p in parts if p is not None and isinstance(p.heads, TopHeads)), default=0)

    def listed_heads(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """Return config key and heads of every part that lists some."""
        parts = {"ablation": self.ablation, "amplification": self.amplification}
        return [(f"causal.{name}.heads", part.heads) for name, part in parts.items()
                if part is not None and isinstance(part.heads, list)]  # fmt: skip
