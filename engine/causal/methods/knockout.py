"""``causal.knockout``: attention to key groups blocked before softmax, window of layers by window of layers."""

from __future__ import annotations

from typing import ClassVar

from engine.causal.method import CausalMethod, SampleRun
from engine.causal.tables import Rows, TablePart, effect_columns
from engine.causal.targets import windows
from engine.config import KnockoutSection
from engine.interventions.knockouts import Knockout
from engine.interventions.sweeps import Intervention


class AttentionKnockout(CausalMethod[KnockoutSection]):
    """In which layers a part of the prompt is read (Geva et al. 2023).

    The rows' scores for the key group's positions are masked before softmax in every layer of a window, so that the
    remaining weights sum to 1 again.
    """

    tables: ClassVar[tuple[str, ...]] = ("knockouts",)

    def explain(self, settings: KnockoutSection, run: SampleRun) -> dict[str, TablePart]:
        """Return a row for every key group and window; none of evidence where the record names none."""
        sample, last = run.sample, run.unchanged.num_tokens - 1
        first_row = last if settings.rows == "decision" else min(sample.num_prompt_tokens, last)
        geometry = run.decoder.geometry
        around = [
            (first, end)
            for first, end in windows(geometry.num_layers, settings.window)
            if any(first <= layer <= end for layer in geometry.softmax_layers)
        ]
        asked = [name for name in settings.key_groups or sample.key_groups if name not in sample.unknown_groups]
        knockouts = [(name, window) for name in asked for window in around]
        effects = run.sweep.run(
            [
                Intervention(first_row, (), (Knockout(*window, tuple(sample.key_groups[name].tolist()), first_row),))
                for name, window in knockouts
            ]
        )
        return {
            "knockouts": Rows(
                [
                    {
                        "key_group": name,
                        "rows": settings.rows,
                        "first_layer": first_layer,
                        "last_layer": last_layer,
                        **effect_columns(effect),
                    }
                    for (name, (first_layer, last_layer)), effect in zip(knockouts, effects, strict=True)
                ]
            )
        }
