"""``causal.attribution``: what every part of the model adds to s directly, and the head gradients."""

from __future__ import annotations

from typing import ClassVar

from engine.causal.attribution import check_norms, direct_attribution
from engine.causal.method import CausalMethod, SampleRun, dtype_name
from engine.causal.tables import HeadValues, Rows, TablePart
from engine.config import AttributionSection
from engine.errors import UnsupportedModelError
from engine.interventions.unchanged_run import Trace
from engine.model.decoder import Decoder
from engine.samples import RowRejected
from engine.tolerances import tolerance

_GROSS = 10
"""How many times what is allowed the first text may leave over: more is no rounding, but a part that is not known."""


class Attribution(CausalMethod[AttributionSection]):
    """Direct logit attribution, whose parts sum to s in every sample, and head gradients."""

    tables: ClassVar[tuple[str, ...]] = ("attributions", "sample_attributions")

    def explain(self, settings: AttributionSection, run: SampleRun) -> dict[str, TablePart]:
        """Return ``dla`` and ``head_gradient`` of every head, and what each other component adds.

        Raises
        ------
        RowRejected
            When the parts do not sum to s: one of them is not known.
        """
        direct = direct_attribution(run.decoder, run.unchanged)
        allowed = tolerance("attribution sum", dtype_name(run.decoder))
        # Written so that NaN is refused too.
        if not abs(direct.remainder()) <= allowed.atol + allowed.rtol * direct.scale():
            raise RowRejected(
                "causal",
                "attribution_does_not_sum",
                f"The parts sum to {direct.logit_difference - direct.remainder():.6g}, the logit difference is "
                f"{direct.logit_difference:.6g}: a part of this model is not known.",
            )
        components = [
            {
                "component": part.name,
                "layer": part.layer,
                "value": part.value,
                "logit_difference": direct.logit_difference,
            }
            for part in direct.components
        ]
        columns = {"dla": direct.heads, "head_gradient": run.gradients.heads}
        heads = HeadValues(columns, run.decoder.geometry.softmax_layers)
        return {"attributions": heads, "sample_attributions": Rows(components)}

    def check_model(self, decoder: Decoder) -> None:
        """Refuse norms that cannot be frozen, and residual streams that are not handed on."""
        if getattr(decoder.model.config.get_text_config(), "apply_residual_connection_post_layernorm", False):
            raise UnsupportedModelError(
                f"{type(decoder.model).__name__} with apply_residual_connection_post_layernorm adds to what its norms "
                f"give, not to the residual stream, so that there is no sum of parts, which causal.attribution needs"
            )
        check_norms(decoder)

    def check_run(self, decoder: Decoder, unchanged: Trace) -> None:
        """Refuse a residual stream that is not the sum of its parts."""
        direct = direct_attribution(decoder, unchanged)
        allowed = tolerance("attribution sum", dtype_name(decoder))
        if not abs(direct.remainder()) <= _GROSS * (allowed.atol + allowed.rtol * direct.scale()):
            raise UnsupportedModelError(
                f"its residual stream is not the sum of its heads' and MLPs' outputs (s is "
                f"{direct.logit_difference:.4g}, the parts leave {direct.remainder():.4g}), which is not covered"
            )
