"""What every part of the config's ``causal`` section has: what planning must know of a method, and what it refuses.

A part says it without a model and without torch: what its method needs of the whole dataset beforehand, what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from engine.errors import ConfigError
from engine.sections import Section


class TopHeads(Section):
    """The heads that attribution ranks first, and as many random heads of the same layers."""

    top: int = Field(ge=1)
    """How many of them. Example: 20."""


Heads = Literal["all"] | TopHeads | list[tuple[int, int]]
Rows = Literal["all", "decision"]
Unit = Literal["head", "kv_group", "layer", "set"]
Matching = Literal["cluster", "nearest", "cluster_or_nearest"]
"""Where the right prediction that is matched with a wrong one comes from: its cluster, anywhere, or, where its cluster
has none, anywhere."""
Gradient = Literal["heads", "key_groups", "outputs"]
"""Gradients of s: by head, by head and key group, and by every component of the heads' outputs."""

# Measured by `make bench` with 24 layers x 14 heads and 512 tokens, see docs/causal.md.
ALL_ROWS, DECISION_ROW = 0.51, 0.009
"""Plain forwards that one intervention costs which changes all rows, or the decision row alone."""
BACKWARD = 3.0
"""Plain forwards that the gradients of s cost: layers are run again, then differentiated by inputs and outputs."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the parts of a config are checked against, as far as it is known by then.

    Attributes
    ----------
    num_layers, num_heads
        Geometry of the model.
    key_groups
        Names of the run's key groups.
    num_samples
        Samples that are explained.
    headless_layers
        Layers without heads.
    """

    num_layers: int | None = None
    num_heads: int | None = None
    key_groups: Sequence[str] | None = None
    num_samples: int | None = None
    headless_layers: Sequence[int] = ()


def check_index(path: str, kind: Literal["layer", "head"], index: int, facts: RunFacts) -> None:
    """Refuse a layer or head that the model does not have.

    Raises
    ------
    ConfigError
        Naming the config path, the value and the allowed range.
    """
    number = facts.num_layers if kind == "layer" else facts.num_heads
    if number is not None and not 0 <= index < number:
        raise ConfigError(f"{path}: {kind} {index} is outside 0..{number - 1} for this model ({number} {kind}s).")


def check_heads(path: str, layer: int, facts: RunFacts) -> None:
    """Refuse a layer without heads.

    Raises
    ------
    ConfigError
        Naming the config path and the layers that have none.
    """
    if layer in facts.headless_layers:
        raise ConfigError(
            f"{path}: layer {layer} has no heads: it is recurrent, a convolution or an MLP alone, as are "
            f"{', '.join(map(str, facts.headless_layers))}."
        )


def check_key_groups(path: str, names: Sequence[str], facts: RunFacts) -> None:
    """Refuse key groups that the run does not have.

    Raises
    ------
    ConfigError
        Naming the config path, the value and the key groups that there are.
    """
    if facts.key_groups is None:
        return
    for index, name in enumerate(names):
        if name not in facts.key_groups:
            raise ConfigError(
                f"{path}.key_groups[{index}]: {name!r} is no key group of this run; there are "
                f"{', '.join(facts.key_groups)}."
            )


class MethodSection(Section):
    """One method's part of the config; what it leaves as it is here, its method does not need.

    Attributes
    ----------
    method
        Where the class is that does the work: module and name, loaded only where a model is, because it needs torch.
    gradients
        Which gradients of s it reads. They are worked out once per sample for all methods together.
    uses_tokenizer
        Whether it tokenises prompts anew.
    """

    method: ClassVar[str]
    gradients: ClassVar[frozenset[Gradient]] = frozenset()
    uses_tokenizer: ClassVar[bool] = False

    @property
    def mean_rows(self) -> Rows | None:
        """Over which rows it needs every head's mean output over the dataset; None where it needs none."""
        return None

    @property
    def needs_partners(self) -> bool:
        """Whether it needs another sample beside each."""
        return False

    @property
    def matching(self) -> Matching | None:
        """How it matches every wrong prediction with a right one; None where it does not."""
        return None

    @property
    def num_screened(self) -> int:
        """How many heads it lets attribution choose; 0 where it chooses none."""
        return 0

    @property
    def num_ablated(self) -> int:
        """How many heads it lets ablation choose; 0 where it chooses none."""
        return 0

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        """Return how many plain forwards it costs per sample, beyond what methods share.

        The unchanged run, the gradients and the preparation of means and screened heads are shared;
        ``CausalSection.forwards`` counts them once.

        Parameters
        ----------
        num_layers, num_heads
            Geometry of the model.
        num_groups
            Key groups of the run.
        """
        return 0.0

    def check(self, path: str, facts: RunFacts) -> None:
        """Refuse what this run does not have.

        Parameters
        ----------
        path
            Of this part in the config, such as ``causal.ablation``.
        facts
            What is known of the run so far; it is asked again once more is known.

        Raises
        ------
        ConfigError
            Naming the config path, the value and what is allowed.
        """
