"""The config's ``causal.circuit``: edges between heads, what they carry once they are cut, and what that costs."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.causes.method import (
    ALL_ROWS,
    BACKWARD,
    Matching,
    MethodSection,
    Rows,
    RunFacts,
    TopHeads,
    check_heads,
    check_index,
    check_key_groups,
)
from engine.errors import ConfigError
from engine.sections import Section

Replace = Literal["zero", "mean", "resample", "matched", "counterfactual"]
"""What an edge of a circuit carries once it is cut."""
CUT_RUN = 1.0
"""Plain forwards that a run with edges cut costs: layers from the first cut one on, and the inputs of heads beside
them; 0.87 with 12 layers, six heads from layer 2 up and 512 tokens."""
MOST_IN_CIRCUIT = 32
"""Heads of a circuit at most: 32 have 1,520 edges among themselves and to the logits."""


class AblatedHeads(Section):
    """The heads whose ablation changes s most, found by ablating every head of every sample that is explained."""

    ablated: int = Field(ge=1, le=32)
    """How many of them. Example: 8."""


def _not_too_many(number: int) -> None:
    if number > MOST_IN_CIRCUIT:
        raise ValueError(
            f"heads names {number} heads, between which there would be too many edges to tell apart; name at most "
            f"{MOST_IN_CIRCUIT}"
        )


class CircuitSection(MethodSection):
    """Edges between heads, from key groups and to the logits: linearised, the strongest verified, what they recover."""

    method: ClassVar[str] = "engine.causal.methods.circuit.Circuit"

    heads: AblatedHeads | TopHeads | list[tuple[int, int]] = AblatedHeads(ablated=6)
    """Heads of the circuit: {ablated: k}, those whose ablation (by zero, in all rows) changes s most on average over
    the samples; {top: k}, those that attribution ranks first; or a list of [layer, head]."""
    replace: Replace = "mean"
    """What an edge carries once it is cut: what its head would write with its mean output over the dataset, with zero,
    with the output of another sample (``resample``), of the right prediction matched with a wrong one (``matched``),
    or of the edited statement of causal.patching (``counterfactual``)."""
    key_groups: list[str] = []
    """Key groups whose values the heads read, as sources; empty: every key group but those drawn at random. Example:
    [current_period, prior_period]."""
    steps: int = Field(default=5, ge=1, le=50)
    """Runs over which gradients are averaged (integrated gradients); 1: the gradient at the unchanged run."""
    verified: int = Field(default=12, ge=0)
    """The strongest edges between heads, and as many from key groups, that path patching verifies, beside all edges to
    the logits, which it verifies at no cost."""
    selection: float = Field(default=0.5, gt=0, le=1)
    """Share of the clusters on whose samples heads and edges are chosen; those of all other clusters verify them. 1:
    all samples choose and verify, so that what they show is flattered by the choice."""
    controls: int = Field(default=3, ge=1, le=20)
    """Random orders of edges, drawn with the run's seed, that the circuit is compared with."""

    @field_validator("heads", mode="before")
    @classmethod
    def _one_of_three_ways(cls, value: object) -> object:
        is_list = isinstance(value, list | tuple) and all(
            isinstance(pair, list | tuple) and len(pair) == 2 and all(type(part) is int for part in pair)
            for pair in value
        )
        is_ranked = isinstance(value, AblatedHeads | TopHeads) or (
            isinstance(value, dict) and set(value) in ({"ablated"}, {"top"})
        )
        if not is_ranked and not (is_list and value):
            raise ValueError(f"{value!r} names no heads; use {{ablated: k}}, {{top: k}} or a list of [layer, head]")
        if isinstance(value, dict):
            (number,) = value.values()
            if type(number) is not int or number < 1:
                raise ValueError(f"{value!r} is not allowed; allowed: a whole number from 1 up to {MOST_IN_CIRCUIT}")
            _not_too_many(number)
        return value

    @model_validator(mode="after")
    def _few_heads(self) -> CircuitSection:
        _not_too_many(self.num_heads)
        return self

    @property
    def num_heads(self) -> int:
        """How many heads the circuit has at most."""
        if isinstance(self.heads, list):
            return len(set(self.heads))
        return self.heads.ablated if isinstance(self.heads, AblatedHeads) else self.heads.top

    @property
    def mean_rows(self) -> Rows | None:
        """All rows, where means take the heads' place."""
        return "all" if self.replace == "mean" else None

    @property
    def needs_partners(self) -> bool:
        """Whether another sample's heads take a sample's place."""
        return self.replace == "resample"

    @property
    def matching(self) -> Matching | None:
        """As ``causal.matched`` does by default; where that is on, as it says."""
        return "cluster_or_nearest" if self.replace == "matched" else None

    @property
    def num_screened(self) -> int:
        """How many heads attribution chooses."""
        return self.heads.top if isinstance(self.heads, TopHeads) else 0

    @property
    def num_ablated(self) -> int:
        """How many heads ablation chooses."""
        return self.heads.ablated if isinstance(self.heads, AblatedHeads) else 0

    @property
    def most_edges(self) -> int:
        """How many edges from heads there are at most: three inputs of each head above each, and the logits."""
        return 3 * self.num_heads * (self.num_heads - 1) // 2 + self.num_heads

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return the cost of ranking edges, of verifying the strongest, and of circuits of growing size, on average."""
        ranking = 1.0 + self.steps * (1.0 + BACKWARD)
        groups = len(self.key_groups) or num_groups
        inner = min(self.verified, self.most_edges - self.num_heads) + min(self.verified, groups * self.num_heads)
        curve = 1 + (1 + self.controls) * len(circuit_sizes(self.most_edges))
        others = 0.0 if self.replace in ("zero", "mean") else 2.0  # ranking and verifying each run it
        verifying = 1.0 if self.selection == 1 else 1.0 - self.selection
        return ranking + verifying * (inner * ALL_ROWS + curve * CUT_RUN) + others

    def check(self, path: str, facts: RunFacts) -> None:
        """Refuse listed heads that the model does not have, unknown key groups, and resampling from one sample."""
        for index, (layer, head) in enumerate(self.heads if isinstance(self.heads, list) else []):
            check_index(f"{path}.heads[{index}]", "layer", layer, facts)
            check_heads(f"{path}.heads[{index}]", layer, facts)
            check_index(f"{path}.heads[{index}]", "head", head, facts)
        check_key_groups(path, self.key_groups, facts)
        if self.needs_partners and facts.num_samples is not None and facts.num_samples < 2:
            raise ConfigError(f"{path}.replace: 'resample' takes another sample's heads, but there is only one.")


def circuit_sizes(num_edges: int) -> list[int]:
    """Return the numbers of kept edges at which a circuit is run: 1, 2, 4, and so on, below all of them."""
    sizes, size = [], 1
    while size < num_edges:
        sizes.append(size)
        size *= 2
    return sizes
