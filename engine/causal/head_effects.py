"""Effects of changing heads, target by target: what ablation and amplification have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from engine.causal.method import SampleRun
from engine.causal.tables import Value, effect_columns
from engine.causal.targets import Target, targets
from engine.config.causes.heads import HeadsSection
from engine.interventions.edits import HeadEdit
from engine.interventions.sweeps import Effect, Intervention


class HeadEffect(NamedTuple):
    """What changing a target did.

    Attributes
    ----------
    target
        The heads.
    factor
        What their outputs were multiplied with; 1 where other values took their place.
    effect
        s with and without.
    """

    target: Target
    factor: float
    effect: Effect

    def columns(self) -> dict[str, Value]:
        """Return its columns in ``interventions``.

        Raises
        ------
        RowRejected
            When s is NaN or infinite.
        """
        return {
            "unit": self.target.unit,
            "layer": self.target.layer,
            "head": self.target.head,
            "members": [f"{layer}.{head}" for layer, head in self.target.members],
            **effect_columns(self.effect),
        }


def head_effects(
    settings: HeadsSection, run: SampleRun, factors: Sequence[float], values: Mapping[int, torch.Tensor] | None = None
) -> list[HeadEffect]:
    """Change every target of a section in every wanted way.

    Parameters
    ----------
    settings
        Which heads are changed together, in which rows.
    run
        The sample.
    factors
        What the heads' outputs are multiplied with, one effect for each.
    values
        What takes the heads' place instead, by layer ``[rows or 1, H, head_dim]``.
    """
    geometry = run.decoder.geometry
    kv_heads = {layer: run.unchanged.layers[layer].key.shape[0] for layer in geometry.softmax_layers}
    chosen = targets(settings, geometry.num_heads, kv_heads, run.inputs.screened)
    changes = [(target, factor) for target in chosen for factor in factors]
    is_decision = settings.rows == "decision"
    first_row = run.unchanged.num_tokens - 1 if is_decision else 0
    interventions = [
        Intervention(first_row, tuple(_edits(target, factor, values, only_decision=is_decision)))
        for target, factor in changes
    ]
    effects = run.sweep.run(interventions)
    return [HeadEffect(target, factor, effect) for (target, factor), effect in zip(changes, effects, strict=True)]


def _edits(
    target: Target, factor: float, values: Mapping[int, torch.Tensor] | None, *, only_decision: bool
) -> list[HeadEdit]:
    """Return the target's edits, one for each layer."""
    return [
        HeadEdit(layer, heads, factor, None if values is None else values[layer][:, list(heads)], only_decision)
        for layer, heads in target.by_layer().items()
    ]
