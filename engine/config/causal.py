"""The config's ``causal`` section: every method is off unless its part is given.

What all parts have in common stands in ``causes``; ``engine/causal/methods`` does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.causes.circuit import CircuitSection
from engine.config.causes.method import (
    ALL_ROWS,
    BACKWARD,
    DECISION_ROW,
    Gradient,
    Heads,
    Matching,
    MethodSection,
    Rows,
    RunFacts,
    TopHeads,
    Unit,
    check_heads,
    check_index,
    check_key_groups,
)
from engine.errors import ConfigError
from engine.sections import Section


class AttributionSection(MethodSection):
    """Direct logit attribution and head gradients; takes no settings."""

    gradients: ClassVar[frozenset[Gradient]] = frozenset({"heads"})


class AttentionGradientSection(MethodSection):
    """Attention gradients by key group; takes no settings."""

    gradients: ClassVar[frozenset[Gradient]] = frozenset({"heads", "key_groups"})


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

    factors: list[float] = Field(default=[0.5, 2.0], min_length=1)
    """What outputs are multiplied by, each in turn."""

    @property
    def num_changes(self) -> int:
        """How often every target is changed: once with each factor."""
        return len(self.factors)


class PatchingSection(MethodSection):
    """Attribution patching to an edited statement; no line items means all of them."""

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


class MatchedSection(MethodSection):
    """Decision rows of right predictions put into matched wrong ones, by head and by layer."""

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


class KnockoutSection(MethodSection):
    """Attention to key groups that is blocked in windows of layers; no key groups means all of them."""

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


class CausalSection(Section):
    """What is found out about causes, and for how many samples (drawn with the run's seed).

    Each part is named as its method in ``engine.causal.methods.METHODS``; methods work in the order of the parts here.
    """

    max_samples: int | None = Field(default=None, ge=1)
    """Samples that are explained, drawn with ``run.seed``; null: all. Example: 200."""
    attribution: AttributionSection | None = None
    """Direct logit attribution and head gradients."""
    attention_gradient: AttentionGradientSection | None = None
    """Attention times gradient, by key group."""
    patching: PatchingSection | None = None
    ablation: AblationSection | None = None
    amplification: AmplificationSection | None = None
    knockout: KnockoutSection | None = None
    matched: MatchedSection | None = None
    circuit: CircuitSection | None = None

    @model_validator(mode="after")
    def _a_circuit_fits_the_other_parts(self) -> CausalSection:
        if self.circuit is None:
            return self
        if self.circuit.replace == "counterfactual" and self.patching is None:
            raise ValueError(
                "circuit.replace is 'counterfactual', the edited statement of causal.patching, which is not given; "
                "give it, or use mean, zero, resample or matched"
            )
        if self.circuit.replace == "mean" and self.ablation is not None and self.ablation.mean_rows == "decision":
            raise ValueError(
                "circuit.replace is 'mean', a mean over all rows, and ablation takes means over the decision row "
                "(rows: decision); a run holds one kind. Use ablation.rows: all, or circuit.replace: zero or resample"
            )
        return self

    @property
    def parts(self) -> dict[str, MethodSection]:
        """The parts that are on, by name."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, MethodSection)}

    @property
    def is_on(self) -> bool:
        """Whether any part is asked for."""
        return bool(self.parts)

    @property
    def gradients(self) -> frozenset[Gradient]:
        """Which gradients of s any part reads."""
        return frozenset[Gradient]().union(*(part.gradients for part in self.parts.values()))

    @property
    def uses_tokenizer(self) -> bool:
        """Whether any part tokenises prompts anew."""
        return any(part.uses_tokenizer for part in self.parts.values())

    @property
    def mean_rows(self) -> Rows | None:
        """Over which rows heads' outputs are averaged over the dataset; None where nothing asks for means."""
        asked: set[Rows | None] = {part.mean_rows for part in self.parts.values()}
        asked.discard(None)
        assert len(asked) < 2, "a run holds the means of one kind of rows"
        return asked.pop() if asked else None

    @property
    def needs_partners(self) -> bool:
        """Whether any part needs another sample beside each."""
        return any(part.needs_partners for part in self.parts.values())

    @property
    def matching(self) -> Matching | None:
        """How wrong predictions are matched with right ones; None where nothing asks for it."""
        return next((part.matching for part in self.parts.values() if part.matching is not None), None)

    @property
    def num_screened(self) -> int:
        """How many heads attribution chooses at most; 0 when none are asked for."""
        return max((part.num_screened for part in self.parts.values()), default=0)

    @property
    def num_ablated(self) -> int:
        """How many heads ablation chooses at most; 0 when none are asked for."""
        return max((part.num_ablated for part in self.parts.values()), default=0)

    def gradient_groups(self, key_groups: Sequence[str]) -> Sequence[str]:
        """Return the key groups that have a column of attention gradients: all of them, or none."""
        return () if self.attention_gradient is None else key_groups

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return how many plain forwards explaining one sample costs; parameters as in ``MethodSection.forwards``."""
        if not self.is_on:
            return 0.0
        forwards = 1.0  # the unchanged run
        if self.num_screened or self.num_ablated or self.mean_rows is not None:
            forwards += 1.0 + (BACKWARD if self.num_screened else 0.0)
            forwards += num_layers * num_heads * ALL_ROWS if self.num_ablated else 0.0
        if self.gradients:
            forwards += BACKWARD
        for part in self.parts.values():
            forwards += part.forwards(num_layers=num_layers, num_heads=num_heads, num_groups=num_groups)
        return forwards

    def check(self, facts: RunFacts) -> None:
        """Refuse what this run does not have, part by part.

        Raises
        ------
        ConfigError
            Naming the config path, the value and what is allowed.
        """
        for name, part in self.parts.items():
            part.check(f"causal.{name}", facts)
