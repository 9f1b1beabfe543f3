"""One sample explained: its unchanged run, then every method that the config asks for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from engine.attention.layout import SequenceLayout, sequence_layout
from engine.causal.counterfactuals import Tokenize
from engine.causal.method import CausalInputs, SampleRun, dtype_name
from engine.causal.methods import method_of
from engine.causal.tables import TablePart, beside, joined
from engine.config import CausalSection
from engine.config.causes.method import MethodSection
from engine.encoded_samples import EncodedSample
from engine.errors import UnsupportedModelError
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.knockouts import Knockout
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import Trace, trace
from engine.machine.devices import is_out_of_memory
from engine.measuring.contrasts import Decode, contrast_of, pinned
from engine.measuring.forward import decision_logits, logits_by_row
from engine.model.decoder import Decoder
from engine.samples import RowRejected
from engine.schema import causal_schema
from engine.tolerances import tolerance

_CHECKED_TOKENS = 24
"""Tokens of the text on which methods are checked before anything is measured."""


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
        Token ids of a rendered prompt, where ``settings.uses_tokenizer``.
    decode
        Text of a token, by which a runner-up is named.

    Raises
    ------
    UnsupportedModelError
        When a method does not cover the model.
    """

    def __init__(
        self,
        decoder: Decoder,
        settings: CausalSection,
        tokens_per_batch: int,
        tokenize: Tokenize | None = None,
        decode: Decode | None = None,
    ):
        self.decoder, self.settings, self.tokens_per_batch = decoder, settings, tokens_per_batch
        self.tokenize, self.decode = tokenize, decode
        self.methods = [(method_of(type(part)), part) for part in settings.parts.values()]
        self.is_checked = False
        check_methods(decoder, settings.parts.values())

    @property
    def tables(self) -> list[str]:
        """Names of the tables that the config's methods fill, each once."""
        return list(dict.fromkeys(name for method, _ in self.methods for name in method.tables))

    def trace(self, sample: EncodedSample) -> Trace:
        """Run a sample unchanged.

        Raises
        ------
        RowRejected
            When its labels share their token, or the model gives NaN or infinity.
        UnsupportedModelError
            When the first sample shows that the model works in another way than is known.
        """
        sample = self.pinned(sample)
        layout = sequence_layout(sample, 0, self.decoder.device)
        unchanged = trace(self.decoder, layout.token_ids, sample.decision_position, sample.contrast_token_ids)
        if not np.isfinite(unchanged.logit_difference):
            raise RowRejected("causal", "not_finite", "The model gives NaN or infinity; try model.dtype=float32.")
        if not self.is_checked:
            self._check(unchanged, layout)
        return unchanged

    def pinned(self, sample: EncodedSample) -> EncodedSample:
        """Return a sample whose margin compares the pair that its rule finds in the unchanged run.

        Raises
        ------
        RowRejected
            When there is none.
        """
        logits = {}
        if sample.contrast.name != "pair":
            layout = sequence_layout(sample, 0, self.decoder.device)
            (logits,) = logits_by_row(self.decoder.model, layout.token_ids, [layout], with_positions=False)
        contrast = contrast_of(sample, logits, self.decode)
        if contrast is None:
            raise RowRejected("causal", "no_contrast", "The two labels have the same token at the decision row.")
        return pinned(sample, contrast)

    def check_model(self) -> None:
        """Check the methods on a few tokens, before anything is measured.

        A text on which the model gives NaN says nothing; the first sample is then checked instead.

        Raises
        ------
        UnsupportedModelError
            When the model works in another way than is known.
        """
        generator = torch.Generator().manual_seed(0)
        ends = (self.decoder.model.get_input_embeddings(), self.decoder.head)
        vocabulary = min(int(end.weight.shape[0]) for end in ends if isinstance(end, nn.Embedding | nn.Linear))
        ids = torch.randint(vocabulary // 8, vocabulary, (_CHECKED_TOKENS,), generator=generator)
        ids = ids.to(self.decoder.device)
        layout = SequenceLayout(0, ids, torch.zeros(len(ids), 0), torch.zeros(0, len(ids)), len(ids) - 3)
        unchanged = trace(self.decoder, ids, layout.decision, (int(ids[-1]), int(ids[0])))
        if np.isfinite(unchanged.logit_difference):
            self._check(unchanged, layout)

    def _check(self, unchanged: Trace, layout: SequenceLayout) -> None:
        _check_logits(self.decoder, unchanged, layout)
        if any(table in ("interventions", "knockouts", "matched_patching", "edges") for table in self.tables):
            _check_recomputation(self.decoder, unchanged, layout, self.tokens_per_batch)
        for method, _ in self.methods:
            method.check_run(self.decoder, unchanged)
        self.is_checked = True

    def sample_run(self, sample: EncodedSample, inputs: CausalInputs) -> SampleRun:
        """Run a sample unchanged, for methods to work on.

        Raises
        ------
        RowRejected
            When the sample cannot be explained.
        """
        sample = self.pinned(sample)
        return SampleRun(
            self.decoder,
            self.settings,
            sample,
            self.trace(sample),
            inputs,
            self.tokens_per_batch,
            self.trace,
            self.tokenize,
        )

    def explain(self, sample: EncodedSample, inputs: CausalInputs) -> dict[str, TablePart]:
        """Return the sample's part of every table that the config asks for, each row with the contrast of s.

        Raises
        ------
        RowRejected
            When the sample cannot be explained.
        """
        run = self.sample_run(sample, inputs)
        parts: dict[str, TablePart] = {}
        for method, settings in self.methods:
            for name, part in method.explain(settings, run).items():
                parts[name] = joined(parts[name], part) if name in parts else part
        contrast = f"{run.sample.contrast.first}|{run.sample.contrast.second}"
        return {
            name: beside(part, contrast=contrast) if "contrast" in causal_schema(name, ()).names else part
            for name, part in parts.items()
        }


def check_methods(decoder: Decoder, parts: Iterable[MethodSection]) -> None:
    """Refuse methods that do not cover a model, as far as its parts tell.

    Parameters
    ----------
    decoder
        The model, or its skeleton.
    parts
        Parts of the config, which ask for methods.

    Raises
    ------
    UnsupportedModelError
        Naming what is not covered.
    """
    for part in parts:
        method_of(type(part)).check_model(decoder)


def _check_logits(decoder: Decoder, unchanged: Trace, layout: SequenceLayout) -> None:
    """Refuse a model that makes its logits in another way than by final norm and output head.

    Raises
    ------
    UnsupportedModelError
        Saying what differs.
    """
    model = decoder.model
    logits = decision_logits(model, layout.token_ids, [layout], with_positions=False)[0]
    decoder.see_logits(unchanged.leaving, logits)
    if not decoder.applies_logit_scale:
        with torch.no_grad():
            unchanged.logit_difference = float(decoder.logit_difference(unchanged.leaving, unchanged.contrast))
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    given = [logits[token].double() for token in unchanged.contrast if token is not None]
    plain = float(given[0] - given[1])
    # Vision models may leave out what their text decoder does by itself: PaliGemma the cap, Aya Vision the scale.
    stated = float(torch.atanh(given[0] / cap) * cap - torch.atanh(given[1] / cap) * cap) if cap else plain
    allowed = tolerance("logits", dtype_name(decoder))
    bound = 2 * allowed.atol + allowed.rtol * float(logits.abs().max())

    if not any(abs(value - unchanged.logit_difference) <= bound for value in (stated, plain)):
        raise UnsupportedModelError(
            f"its logits differ by {stated:.4g}, final norm and output head alone give "
            f"{unchanged.logit_difference:.4g}: something scales them, which is not covered"
        )


def _check_recomputation(decoder: Decoder, unchanged: Trace, layout: SequenceLayout, tokens_per_batch: int) -> None:
    """Refuse a model whose layers, run on some rows beside kept keys and values, give something else.

    Raises
    ------
    UnsupportedModelError
        Saying by how much.
    """
    try:
        fault = _recomputation_fault(decoder, unchanged, layout, tokens_per_batch)
        if fault and not decoder.needs_all_rows:
            decoder.needs_all_rows = True
            fault = _recomputation_fault(decoder, unchanged, layout, tokens_per_batch)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        fault = f"its layers cannot be run again: {type(error).__name__}: {error}; interventions do not cover them"
    if fault:
        raise UnsupportedModelError(fault)


def _recomputation_fault(decoder: Decoder, unchanged: Trace, layout: SequenceLayout, tokens_per_batch: int) -> str:
    """Return what differs when layers are run again with nothing changed, from both ends of a text and of the model."""
    allowed = tolerance("logits", dtype_name(decoder))
    bound = 4 * allowed.atol + 2 * allowed.rtol * abs(unchanged.logit_difference)
    first_layer = decoder.geometry.softmax_layers[0]
    sweep = Sweep(decoder, unchanged, tokens_per_batch)
    for first_row in (0, unchanged.num_tokens - 1):
        knockout = Knockout(first_layer, first_layer, (0,), first_row)
        edit = HeadEdit(first_layer, (0,), only_decision=first_row > 0)
        effects = sweep.run([Intervention(first_row, (), (knockout,)), Intervention(first_row, (edit,))])
        for effect in effects:
            if not abs(effect.reference - unchanged.logit_difference) <= bound:
                return (
                    f"its layers, run again from row {first_row} on with nothing changed, give a logit difference of "
                    f"{effect.reference:.4g} instead of {unchanged.logit_difference:.4g}: they depend on more than "
                    f"their rows, keys and values, which interventions do not cover"
                )
    # What layers hand on beside the residual stream (Zaya) shows only where something changes.
    edit = HeadEdit(first_layer, (0,))
    (effect,) = sweep.run([Intervention(0, (edit,))])
    with heads_edited(decoder, [edit]):
        whole = trace(decoder, layout.token_ids, layout.decision, unchanged.contrast).logit_difference
    if not abs(effect.logit_difference - whole) <= bound:
        return (
            f"without a head of layer {first_layer} its layers, run again, give a logit difference of "
            f"{effect.logit_difference:.4g}, a whole forward {whole:.4g}: they hand on more than the residual stream, "
            f"which interventions do not cover"
        )
    return ""
