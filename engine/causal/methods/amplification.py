"""``causal.amplification``: heads' outputs multiplied."""

from __future__ import annotations

from typing import ClassVar

from engine.causal.head_effects import head_effects
from engine.causal.method import CausalMethod, SampleRun
from engine.causal.tables import Rows, TablePart
from engine.config import AmplificationSection


class Amplification(CausalMethod[AmplificationSection]):
    """How s follows the outputs of a head, a KV group, a layer or a set of heads.

    ``z_h <- factor * z_h`` before the output projection; a factor of 1 gives exactly 0.
    """

    tables: ClassVar[tuple[str, ...]] = ("interventions",)

    def explain(self, settings: AmplificationSection, run: SampleRun) -> dict[str, TablePart]:
        """Return a row for every target and factor."""
        effects = head_effects(settings, run, settings.factors)
        return {
            "interventions": Rows(
                [
                    {
                        "kind": "amplification",
                        "replace": None,
                        "rows": settings.rows,
                        "factor": effect.factor,
                        **effect.columns(),
                    }
                    for effect in effects
                ]
            )
        }
