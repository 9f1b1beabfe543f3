"""``causal.matched``: the decision row of a right prediction put into a matched wrong one, by head and by layer."""

from __future__ import annotations

from typing import ClassVar

import torch

from engine.causal.head_effects import head_effects
from engine.causal.method import CausalMethod, SampleRun
from engine.causal.tables import Row, Rows, TablePart
from engine.config import MatchedSection


class Matched(CausalMethod[MatchedSection]):
    """What putting a right prediction's heads into a wrong one's decision row does to s (activation patching).

    ``z_dh <- z_dh`` of the right prediction's decision row, before the output projection (Vig et al. 2020; Heimersheim
    and Nanda 2024); the effect is s with the change minus s of the unmodified reference in the same batch, in nats. A
    prediction without a match has no row.
    """

    tables: ClassVar[tuple[str, ...]] = ("matched_patching",)

    def explain(self, settings: MatchedSection, run: SampleRun) -> dict[str, TablePart]:
        """Return a row for every head and layer, beside s of both predictions at the wrong one's contrast."""
        match = run.inputs.matched.get(run.sample.sample_id)
        if match is None:
            return {"matched_patching": Rows([])}
        right, geometry = run.run_unchanged(match), run.decoder.geometry
        values = {
            layer: right.layers[layer].head_outputs[-1:].unflatten(-1, (geometry.num_heads, -1))
            for layer in geometry.softmax_layers
        }
        with torch.no_grad():
            of_right = float(run.decoder.logit_difference(right.leaving, run.unchanged.contrast))
        cluster = run.sample.metadata.get("cluster")
        shared = {
            "matched_id": match.sample_id,
            "is_same_cluster": cluster is not None and cluster == match.metadata.get("cluster"),
            "matched_logit_difference": of_right,
        }
        rows: list[Row] = []
        for section in settings.sections():
            effects = head_effects(section, run, [1.0], values)
            rows += [
                {**shared, **{name: value for name, value in effect.columns().items() if name != "members"}}
                for effect in effects
            ]
        return {"matched_patching": Rows(rows)}
