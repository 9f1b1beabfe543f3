"""``causal.attention_gradient``: how s changes with the attention to each key group."""

from __future__ import annotations

from typing import ClassVar

from engine.causal.method import CausalMethod, SampleRun
from engine.causal.tables import HeadValues, TablePart
from engine.config import AttentionGradientSection
from engine.schema import ATTENTION_GRADIENT_PREFIX


class AttentionGradient(CausalMethod[AttentionGradientSection]):
    """``sum_i sum_{j in F} A[i,j] ds/dA[i,j]`` of every head for every key group F, and head gradients."""

    tables: ClassVar[tuple[str, ...]] = ("attributions",)

    def explain(self, settings: AttentionGradientSection, run: SampleRun) -> dict[str, TablePart]:
        """Return ``head_gradient`` and a column for every key group, in nats."""
        gradients = run.gradients
        columns = {"head_gradient": gradients.heads}
        if gradients.groups is not None:
            by_group = zip(run.sample.key_groups, gradients.groups.cpu().unbind(-1), strict=True)
            unknown = run.sample.unknown_groups
            columns |= {
                f"{ATTENTION_GRADIENT_PREFIX}{name}": values for name, values in by_group if name not in unknown
            }
        return {"attributions": HeadValues(columns, run.decoder.geometry.softmax_layers)}
