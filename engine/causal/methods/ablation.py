"""``causal.ablation``: heads' outputs replaced by zero, by their mean over the dataset, or by another sample's."""

from __future__ import annotations

from typing import ClassVar

import torch

from engine.causal.head_effects import head_effects
from engine.causal.method import CausalMethod, SampleRun
from engine.causal.tables import Rows, TablePart
from engine.config import AblationSection


class Ablation(CausalMethod[AblationSection]):
    """What s loses without a head, a KV group, a layer or a set of heads.

    ``z_h <- 0``, its mean over the dataset, or another sample's, before the output projection; the effect is s with
    the change minus s of the unmodified reference in the same batch, in nats.
    """

    tables: ClassVar[tuple[str, ...]] = ("interventions",)

    def explain(self, settings: AblationSection, run: SampleRun) -> dict[str, TablePart]:
        """Return a row for every target."""
        values = None if settings.replace == "zero" else _replacements(settings, run)
        effects = head_effects(settings, run, [0.0 if values is None else 1.0], values)
        return {
            "interventions": Rows(
                [
                    {
                        "kind": "ablation",
                        "replace": settings.replace,
                        "rows": settings.rows,
                        "factor": None,
                        **effect.columns(),
                    }
                    for effect in effects
                ]
            )
        }


def _replacements(settings: AblationSection, run: SampleRun) -> dict[int, torch.Tensor]:
    """Return what takes the heads' place, by layer ``[rows or 1, H, head_dim]``."""
    unchanged = run.unchanged
    if settings.replace == "mean":
        assert run.inputs.means is not None
        return {layer: means[None].to(unchanged.leaving) for layer, means in run.inputs.means.items()}
    other = run.run_unchanged(run.inputs.partners[run.sample.sample_id])
    # Both end with their decision row; where the partner is shorter, its first row stands for the rows before it.
    rows = torch.arange(unchanged.num_tokens) - unchanged.num_tokens + other.num_tokens
    partner_rows = rows.clamp(min=0)
    by_head = (run.decoder.geometry.num_heads, -1)
    outputs = {layer: other.layers[layer].head_outputs for layer in run.decoder.geometry.softmax_layers}
    return {layer: part[partner_rows.to(part.device)].unflatten(-1, by_head) for layer, part in outputs.items()}
