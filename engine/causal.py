"""One sample explained: attributions, gradients and the effects of interventions, as columns of the causal tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from engine.attention.interface import UnsupportedModelError
from engine.attention.reductions import SequenceLayout, sequence_layout
from engine.attribution import (
    DirectAttribution,
    HeadGradients,
    direct_attribution,
    head_gradients,
    patching_effects,
)
from engine.causal_settings import (
    AblationSection,
    AmplificationSection,
    CausalSection,
    KnockoutSection,
    PatchingSection,
)
from engine.causal_tables import (
    Columns,
    attribution_columns,
    component_columns,
    effect_columns,
    head_columns,
    row_columns,
)
from engine.causal_targets import Head, Target, targets, windows
from engine.counterfactuals import Tokenize, counterfactual
from engine.decoder import Decoder, Trace, trace
from engine.interventions import HeadEdit, Knockout
from engine.probe import decision_logits
from engine.samples import EncodedSample, RowRejected
from engine.sweeps import Intervention, Sweep
from engine.tolerances import tolerance

_GROSS = 0.1
"""Share of the parts' sizes that no rounding leaves over."""


@dataclass(frozen=True, slots=True)
class CausalInputs:
    """What was found out over the whole dataset before single samples are explained.

    Attributes
    ----------
    means
        Mean output of every head ``[L, H, head_dim]``, over all rows up to the decision row or the decision rows alone,
        as ``causal.ablation.rows`` asks for.
    partners
        Whose heads' outputs replace a sample's in resample ablation, by sample id.
    screened
        Heads that ``heads: {top: k}`` verifies.
    """

    means: torch.Tensor | None = None
    partners: dict[str, EncodedSample] = field(default_factory=dict)
    screened: tuple[Head, ...] = ()


class Explainer:
    """Explains samples with one model.

    Parameters
    ----------
    decoder
        The model.
    settings
        The config's section.
    tokens_per_batch
        Recomputed tokens of a batch at most.
    tokenize
        Token ids of a rendered prompt, for counterfactual statements.
    """

    def __init__(
        self, decoder: Decoder, settings: CausalSection, tokens_per_batch: int, tokenize: Tokenize | None = None
    ):  # fmt: skip
        self.decoder, self.settings, self.tokens_per_batch = decoder, settings, tokens_per_batch
        self.tokenize = tokenize
        self.is_checked = False
        self.dtype = str(decoder.model.dtype).removeprefix("torch.")

    def trace(self, sample: EncodedSample) -> Trace:
        """Run a sample unchanged.

        Raises
        ------
        RowRejected
            When its labels share their token, or the model gives NaN or infinity.
        """
        if len(set(sample.contrast_token_ids)) < 2:
            raise RowRejected("causal", "no_contrast", "The two labels have the same token at the decision row.")
        layout = sequence_layout(sample, 0, self.decoder.device)
        kept = trace(self.decoder, layout.token_ids, sample.decision_position, sample.contrast_token_ids)
        if not np.isfinite(kept.logit_difference):
            raise RowRejected("causal", "not_finite", "The model gives NaN or infinity; try model.dtype=float32.")
        if not self.is_checked:
            self._check(kept, layout)
            self.is_checked = True
        return kept

    def _check(self, kept: Trace, layout: SequenceLayout) -> None:
        """Refuse a model that makes its logits or its residual stream in another way than is known.

        Raises
        ------
        UnsupportedModelError
            Saying what differs.
        """
        model = self.decoder.model
        logits = decision_logits(model, layout.token_ids, [layout])[0]
        own = [logits[token].double() for token in kept.contrast if token is not None]
        cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        first, second = (float(torch.atanh(value / cap) * cap if cap else value) for value in own)
        allowed = tolerance("logits", self.dtype)
        bound = 2 * allowed.atol + allowed.rtol * float(logits.abs().max())
        if not abs(first - second - kept.logit_difference) <= bound:
            raise UnsupportedModelError(
                f"its logits differ by {first - second:.4g}, final norm and output head alone give "
                f"{kept.logit_difference:.4g}: something scales them, which is not covered"
            )
        if self.settings.attribution is not None:
            direct = direct_attribution(self.decoder, kept)
            if abs(direct.remainder()) > _GROSS * direct.scale():
                raise UnsupportedModelError(
                    f"its residual stream is not the sum of its heads' and MLPs' outputs (s is "
                    f"{direct.logit_difference:.4g}, the parts leave {direct.remainder():.4g}), which is not covered"
                )

    def explain(self, sample: EncodedSample, inputs: CausalInputs) -> dict[str, Columns]:
        """Return the sample's columns of every causal table that the config asks for.

        Raises
        ------
        RowRejected
            When the sample cannot be explained.
        """
        kept = self.trace(sample)
        found: dict[str, Columns] = {}
        settings = self.settings
        if settings.attribution is not None:
            direct = self._direct(kept)
            found["sample_attributions"] = component_columns(sample, direct)
        else:
            direct = None
        is_attributed = direct is not None or settings.attention_gradient is not None
        if is_attributed or settings.patching is not None:
            groups = list(sample.key_groups) if settings.attention_gradient is not None else []
            indicators = self._indicators(sample, groups, kept)
            gradients = head_gradients(self.decoder, kept, indicators, settings.patching is not None)
            if is_attributed:
                found["attributions"] = attribution_columns(sample, direct, gradients, groups)
            if settings.patching is not None:
                found["patching"] = self._patching_columns(settings.patching, sample, kept, gradients)
        sweep = Sweep(self.decoder, kept, self.tokens_per_batch)
        parts = [part for part in (settings.ablation, settings.amplification) if part is not None]
        rows = [row for part in parts for row in self._intervention_rows(part, sample, kept, sweep, inputs)]
        if parts:
            found["interventions"] = row_columns(sample, rows)
        if settings.knockout is not None:
            found["knockouts"] = row_columns(sample, self._knockout_rows(settings.knockout, sample, kept, sweep))
        return found

    def _direct(self, kept: Trace) -> DirectAttribution:
        direct = direct_attribution(self.decoder, kept)
        allowed = tolerance("attribution sum", self.dtype)
        if not abs(direct.remainder()) <= allowed.atol + allowed.rtol * direct.scale():
            raise RowRejected(
                "causal",
                "attribution_does_not_sum",
                f"The parts sum to {direct.logit_difference - direct.remainder():.6g}, the logit difference is "
                f"{direct.logit_difference:.6g}: a part of this model is not known.",
            )
        return direct

    def _indicators(self, sample: EncodedSample, groups: Sequence[str], kept: Trace) -> torch.Tensor | None:
        if not groups:
            return None
        indicators = np.zeros((sample.num_tokens, len(groups)), dtype=np.float32)
        for column, name in enumerate(groups):
            indicators[sample.key_groups[name], column] = 1.0
        return torch.from_numpy(indicators[: kept.num_tokens]).to(kept.leaving.device)

    def _patching_columns(
        self, section: PatchingSection, sample: EncodedSample, kept: Trace, gradients: HeadGradients
    ) -> Columns:
        assert self.tokenize is not None and gradients.outputs is not None
        edited = counterfactual(sample, section, self.tokenize)
        other = self.trace(edited.sample)
        effects = patching_effects(kept, other, gradients.outputs, self.decoder.geometry.num_heads)
        columns = head_columns(sample, *effects.shape)
        number = effects.numel()
        return {
            **columns,
            "counterfactual": [section.counterfactual] * number,
            "edit": [edited.edit] * number,
            "effect": effects.flatten().tolist(),
            "logit_difference": [kept.logit_difference] * number,
            "counterfactual_logit_difference": [other.logit_difference] * number,
        }

    def _intervention_rows(
        self,
        section: AblationSection | AmplificationSection,
        sample: EncodedSample,
        kept: Trace,
        sweep: Sweep,
        inputs: CausalInputs,
    ) -> list[Columns]:
        geometry = self.decoder.geometry
        kv_heads = [layer.key.shape[0] for layer in kept.layers]
        chosen = targets(section, geometry.num_layers, geometry.num_heads, kv_heads, inputs.screened)
        replace = section.replace if isinstance(section, AblationSection) else None
        factors = section.factors if isinstance(section, AmplificationSection) else [0.0 if replace == "zero" else None]
        values = self._replacements(section, sample, kept, inputs)
        wanted = [(target, factor) for target in chosen for factor in factors]
        effects = sweep.run([_intervention(section, target, factor, kept, values) for target, factor in wanted])
        return [
            {
                "kind": "amplification" if replace is None else "ablation",
                "unit": target.unit,
                "layer": target.layer,
                "head": target.head,
                "members": [f"{layer}.{head}" for layer, head in target.members],
                "replace": replace,
                "rows": section.rows,
                "factor": factor if replace is None else None,
                **effect_columns(effect),
            }
            for (target, factor), effect in zip(wanted, effects, strict=True)
        ]

    def _replacements(
        self, section: AblationSection | AmplificationSection, sample: EncodedSample, kept: Trace, inputs: CausalInputs
    ) -> list[torch.Tensor] | None:
        """Return what takes the heads' place, by layer ``[rows or 1, H, head_dim]``, or None where they are scaled."""
        if not isinstance(section, AblationSection) or section.replace == "zero":
            return None
        if section.replace == "mean":
            assert inputs.means is not None
            return [means[None].to(kept.leaving) for means in inputs.means]
        other = self.trace(inputs.partners[sample.sample_id])
        # Both end with their decision row; where the partner is shorter, its first row stands for the rows before it.
        rows = torch.arange(kept.num_tokens) - kept.num_tokens + other.num_tokens
        by_head = (self.decoder.geometry.num_heads, -1)
        taken = rows.clamp(min=0)
        outputs = [layer.head_outputs for layer in other.layers]
        return [part[taken.to(part.device)].unflatten(-1, by_head) for part in outputs]

    def _knockout_rows(
        self, section: KnockoutSection, sample: EncodedSample, kept: Trace, sweep: Sweep
    ) -> list[Columns]:
        last = kept.num_tokens - 1
        first_row = last if section.rows == "decision" else min(sample.num_prompt_tokens, last)
        wanted = [
            (name, window)
            for name in section.key_groups or sample.key_groups
            for window in windows(self.decoder.geometry.num_layers, section.window)
        ]
        effects = sweep.run(
            [
                Intervention(first_row, (), (Knockout(*window, tuple(sample.key_groups[name].tolist()), first_row),))
                for name, window in wanted
            ]
        )
        return [
            {
                "key_group": name,
                "rows": section.rows,
                "first_layer": window[0],
                "last_layer": window[1],
                **effect_columns(effect),
            }
            for (name, window), effect in zip(wanted, effects, strict=True)
        ]


def _intervention(
    section: AblationSection | AmplificationSection, target: Target, factor: float | None, kept: Trace,
    values: list[torch.Tensor] | None,
) -> Intervention:  # fmt: skip
    is_decision = section.rows == "decision"
    edits = tuple(
        HeadEdit(
            layer, heads, 1.0 if factor is None else factor,
            None if values is None else values[layer][:, list(heads)], is_decision,
        )
        for layer, heads in target.by_layer().items()
    )  # fmt: skip
    return Intervention(kept.num_tokens - 1 if is_decision else 0, edits)
