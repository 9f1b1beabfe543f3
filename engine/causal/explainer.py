"""One sample explained: its unchanged run, then every method that the config asks for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from engine.attention.layout import SequenceLayout, sequence_layout
from engine.causal.counterfactuals import Tokenize
from engine.causal.method import CausalInputs, SampleRun, dtype_name
from engine.causal.methods import METHODS
from engine.causal.tables import TablePart, joined
from engine.config import CausalSection
from engine.errors import UnsupportedModelError
from engine.interventions.knockouts import Knockout
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import Trace, trace
from engine.measuring.contrasts import contrast_of, pinned
from engine.measuring.forward import decision_logits, logits_by_row
from engine.model.decoder import Decoder
from engine.samples import EncodedSample, RowRejected
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

    Raises
    ------
    UnsupportedModelError
        When a method does not cover the model.
    """

    def __init__(
        self, decoder: Decoder, settings: CausalSection, tokens_per_batch: int, tokenize: Tokenize | None = None
    ):
        self.decoder, self.settings, self.tokens_per_batch = decoder, settings, tokens_per_batch
        self.tokenize = tokenize
        self.methods = [(METHODS[name], part) for name, part in settings.parts.items()]
        self.is_checked = False
        check_methods(decoder, settings.parts)

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
        contrast = contrast_of(sample, logits)
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
        layout = SequenceLayout(0, ids, torch.zeros(len(ids), 0), torch.zeros(0, len(ids)), len(ids) - 1)
        unchanged = trace(self.decoder, ids, layout.decision, (int(ids[-1]), int(ids[0])))
        if np.isfinite(unchanged.logit_difference):
            self._check(unchanged, layout)

    def _check(self, unchanged: Trace, layout: SequenceLayout) -> None:
        _check_logits(self.decoder, unchanged, layout)
        if any(table in ("interventions", "knockouts") for table in self.tables):
            _check_recomputation(self.decoder, unchanged, self.tokens_per_batch)
        for method, _ in self.methods:
            method.check_run(self.decoder, unchanged)
        self.is_checked = True

    def explain(self, sample: EncodedSample, inputs: CausalInputs) -> dict[str, TablePart]:
        """Return the sample's part of every table that the config asks for.

        Raises
        ------
        RowRejected
            When the sample cannot be explained.
        """
        sample = self.pinned(sample)
        run = SampleRun(
            self.decoder,
            self.settings,
            sample,
            self.trace(sample),
            inputs,
            self.tokens_per_batch,
            self.trace,
            self.tokenize,
        )
        parts: dict[str, TablePart] = {}
        for method, settings in self.methods:
            for name, part in method.explain(settings, run).items():
                parts[name] = joined(parts[name], part) if name in parts else part
        return parts


def check_methods(decoder: Decoder, parts: Iterable[str]) -> None:
    """Refuse methods that do not cover a model, as far as its parts tell.

    Parameters
    ----------
    decoder
        The model, or its skeleton.
    parts
        Names of methods.

    Raises
    ------
    UnsupportedModelError
        Naming what is not covered.
    """
    names = list(parts)
    without = [name for name in names if not METHODS[name].covers_hybrids]
    if decoder.is_hybrid and without:
        covered = ", ".join(f"causal.{name}" for name, method in METHODS.items() if method.covers_hybrids)
        raise UnsupportedModelError(
            f"{type(decoder.model).__name__} has layers without heads (recurrent layers or convolutions), which "
            f"{', '.join(f'causal.{name}' for name in without)} does not cover; {covered} do"
        )
    for name in names:
        METHODS[name].check_model(decoder)


def _check_logits(decoder: Decoder, unchanged: Trace, layout: SequenceLayout) -> None:
    """Refuse a model that makes its logits in another way than by final norm and output head.

    Raises
    ------
    UnsupportedModelError
        Saying what differs.
    """
    model = decoder.model
    logits = decision_logits(model, layout.token_ids, [layout], with_positions=False)[0]
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    capped = [logits[token].double() for token in unchanged.contrast if token is not None]
    first, second = (float(torch.atanh(value / cap) * cap if cap else value) for value in capped)
    allowed = tolerance("logits", dtype_name(decoder))
    bound = 2 * allowed.atol + allowed.rtol * float(logits.abs().max())
    # Written so that NaN is refused too.
    if not abs(first - second - unchanged.logit_difference) <= bound:
        raise UnsupportedModelError(
            f"its logits differ by {first - second:.4g}, final norm and output head alone give "
            f"{unchanged.logit_difference:.4g}: something scales them, which is not covered"
        )


def _check_recomputation(decoder: Decoder, unchanged: Trace, tokens_per_batch: int) -> None:
    """Refuse a model whose layers, run on some rows beside kept keys and values, give something else.

    Raises
    ------
    UnsupportedModelError
        Saying by how much.
    """
    allowed = tolerance("logits", dtype_name(decoder))
    bound = 4 * allowed.atol + 2 * allowed.rtol * abs(unchanged.logit_difference)
    for first_row in (0, unchanged.num_tokens - 1):
        knockout = Knockout(0, 0, (0,), first_row)
        (effect,) = Sweep(decoder, unchanged, tokens_per_batch).run([Intervention(first_row, (), (knockout,))])
        if not abs(effect.reference - unchanged.logit_difference) <= bound:
            raise UnsupportedModelError(
                f"its layers, run again from row {first_row} on with nothing changed, give a logit difference of "
                f"{effect.reference:.4g} instead of {unchanged.logit_difference:.4g}: they depend on more than their "
                f"rows, keys and values, which interventions do not cover"
            )
