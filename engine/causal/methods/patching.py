"""``causal.patching``: attribution patching to an edited statement."""

from __future__ import annotations

from typing import ClassVar

from engine.causal.counterfactuals import counterfactual
from engine.causal.gradients import patching_effects
from engine.causal.method import CausalMethod, SampleRun
from engine.causal.tables import HeadValues, TablePart
from engine.config import PatchingSection


class Patching(CausalMethod[PatchingSection]):
    """What every head's output of an edited statement would change s by, to first order."""

    tables: ClassVar[tuple[str, ...]] = ("patching",)

    def explain(self, settings: PatchingSection, run: SampleRun) -> dict[str, TablePart]:
        """Return every head's effect in nats, beside s of both statements.

        Raises
        ------
        RowRejected
            When the statement cannot be edited token for token.
        """
        gradients = run.gradients
        assert run.tokenize is not None and gradients.outputs is not None
        edited = counterfactual(run.sample, settings, run.tokenize)
        other = run.run_unchanged(edited.sample)
        effects = patching_effects(run.decoder, run.unchanged, other, gradients.outputs)
        return {
            "patching": HeadValues(
                {
                    "counterfactual": settings.counterfactual,
                    "edit": edited.edit,
                    "effect": effects,
                    "logit_difference": run.unchanged.logit_difference,
                    "counterfactual_logit_difference": other.logit_difference,
                },
                run.decoder.geometry.softmax_layers,
            )
        }
