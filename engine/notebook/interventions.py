"""``AttentionInterventions``: what a text's next tokens become when a head is switched off or amplified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch

from analyses.charts.parts import Chart
from analyses.charts.single_texts import effect_bars
from analyses.settings.visualization import VisualizationSettings
from engine.errors import UnsupportedModelError, UserError
from engine.generation.continuation import continued, ends_of
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import trace
from engine.model.decoder import Decoder
from engine.model.wrapped import refuse_wrapped
from engine.notebook.flow import one_text
from engine.notebook.guide.cells import shows_itself
from engine.notebook.workbench import check_head, in_inference_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class InterventionResult:
    """A text under one intervention, beside the text as it is.

    Attributes
    ----------
    sequences
        Prompt and the tokens that follow greedily under the intervention, ``[1, T + new]``.
    kind, layer, head, factor
        What was done: ``z_h <- factor * z_h``.
    contrast
        Token ids whose logits are compared at the last row.
    logit_difference, reference, change
        Under the intervention, without it, and the difference; before any final soft-capping, as in the table
        ``interventions``.
    is_flipped
        Whether the logit difference changed its sign.
    num_prompt_tokens
        ``T``.
    """

    sequences: torch.Tensor
    kind: str
    layer: int
    head: int
    factor: float
    contrast: tuple[int, int]
    logit_difference: float
    reference: float
    num_prompt_tokens: int

    def __repr__(self) -> str:
        """Say what was done and what it changed."""
        return (
            f"InterventionResult({self.kind} layer {self.layer} head {self.head} x {self.factor:g}: logit difference "
            f"{self.reference:+.3f} -> {self.logit_difference:+.3f}; .sequences, .change, .is_flipped)"
        )

    @property
    def change(self) -> float:
        """What the intervention changed."""
        return self.logit_difference - self.reference

    @property
    def is_flipped(self) -> bool:
        """Whether the sign changed."""
        return (self.logit_difference > 0) != (self.reference > 0)

    @property
    def new_tokens(self) -> torch.Tensor:
        """The tokens after the prompt."""
        return self.sequences[0, self.num_prompt_tokens :]


class AttentionInterventions:
    """Switches heads off, or amplifies them, in a loaded model; nothing is left behind, whatever is raised inside.

    A head is changed at the input of the output projection (``o_proj``), where its output stands alone. (The guide
    zeroed a slice of the projection's output, which belongs to no head.)

    Parameters
    ----------
    model, tokenizer
        Loaded already. The tokenizer is needed for words in ``contrast`` and for texts; it need not be a fast one.
    contrast
        The two words, or token ids, whose logits are compared; by default the two tokens that the unchanged model
        finds likeliest after each text.

    Raises
    ------
    UserError
        When the model's parts are not known.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, contrast: Sequence[str | int] | None = None
    ):
        refuse_wrapped(model)
        self.model, self.tokenizer, self.contrast = model, tokenizer, contrast
        try:
            self.decoder = Decoder(model)
        except UnsupportedModelError as error:
            raise UserError(f"model: {error}.") from None

    def __repr__(self) -> str:
        """Say whose heads it changes."""
        return f"AttentionInterventions({type(self.model).__name__}, contrast {self.contrast or 'the two likeliest'})"

    def ablate_attention_head(
        self,
        layer_idx: int,
        head_idx: int,
        input_ids: torch.Tensor,
        ablation_value: float = 0.0,
        max_new_tokens: int = 20,
        contrast: Sequence[str | int] | None = None,
    ) -> InterventionResult:
        """Scale a head's output by ``ablation_value`` in every row, prompt and answer, and generate greedily.

        Parameters
        ----------
        layer_idx, head_idx
            The query head.
        input_ids
            One text, ``[1, T]``.
        ablation_value
            Factor of the head's output at the input of ``o_proj``; 0 is zero ablation, 1 changes nothing.
        max_new_tokens
            Tokens to generate; 0 for the logit difference alone.
        contrast
            Replaces the object's.

        Raises
        ------
        UserError
            For a layer or head that the model does not have, a batch, or words that cannot be told apart.
        """
        return self._changed("ablate", layer_idx, head_idx, input_ids, ablation_value, max_new_tokens, contrast)

    def amplify_attention_head(
        self,
        layer_idx: int,
        head_idx: int,
        input_ids: torch.Tensor,
        amplification_factor: float = 2.0,
        max_new_tokens: int = 20,
        contrast: Sequence[str | int] | None = None,
    ) -> InterventionResult:
        """Multiply a head's output by ``amplification_factor``; as ``ablate_attention_head`` otherwise."""
        return self._changed("amplify", layer_idx, head_idx, input_ids, amplification_factor, max_new_tokens, contrast)

    def _changed(
        self,
        kind: str,
        layer: int,
        head: int,
        input_ids: torch.Tensor,
        factor: float,
        max_new_tokens: int,
        contrast: Sequence[str | int] | None,
    ) -> InterventionResult:
        check_head(self.decoder.geometry, layer, head)
        ids = one_text(self.model, input_ids)
        edit = HeadEdit(layer, (head,), float(factor))
        with in_inference_state(self.model):
            pair, lead = self._tokens(ids, contrast)
            asked = torch.cat([ids, lead])
            unchanged = trace(self.decoder, asked, len(asked) - 1, pair)
            (effect,) = Sweep(self.decoder, unchanged, _TOKENS_PER_BATCH).run([Intervention(0, (edit,))])
            sequences = ids[None]
            if max_new_tokens > 0:
                with heads_edited(self.decoder, [edit]):
                    sequences = self._continued(ids, max_new_tokens)
        return InterventionResult(
            sequences, kind, layer, head, float(factor), pair, effect.logit_difference, effect.reference, len(ids)
        )

    @torch.no_grad()
    def _tokens(self, ids: torch.Tensor, contrast: Sequence[str | int] | None) -> tuple[tuple[int, int], torch.Tensor]:
        """Return the two tokens, and what both words begin with, which is appended to the text."""
        chosen = contrast if contrast is not None else self.contrast
        nothing = ids[:0]
        if chosen is None:
            logits = self.model(input_ids=ids[None], use_cache=False).logits[0, -1]
            first, second = logits.topk(2).indices.tolist()
            return (first, second), nothing
        if len(chosen) != 2:
            raise UserError(f"contrast: {list(chosen)!r} must name two words or two token ids.")
        if all(isinstance(token, int) for token in chosen):
            first, second = (int(token) for token in chosen)
            size = self.decoder.head.weight.shape[0]
            if first == second or not (0 <= first < size and 0 <= second < size):
                raise UserError(f"contrast: {first} and {second} must be two different token ids, 0..{size - 1}.")
            return (first, second), nothing
        # Words follow the text after a blank, as a tokenizer writes them inside a sentence.
        coded = [
            list(self.tokenizer(f" {str(word).strip()}", add_special_tokens=False)["input_ids"]) for word in chosen
        ]
        shared = next((n for n, (a, b) in enumerate(zip(*coded, strict=False)) if a != b), None)
        if shared is None:
            raise UserError(f"contrast: the tokens of {chosen[0]!r} and {chosen[1]!r} cannot be told apart.")
        return (coded[0][shared], coded[1][shared]), ids.new_tensor(coded[0][:shared])

    def generate(self, input_ids: torch.Tensor, max_new_tokens: int = 20) -> torch.Tensor:
        """Return prompt and answer of the unchanged model, greedily, ``[1, T + new]``: what results compare with."""
        ids = one_text(self.model, input_ids)
        with in_inference_state(self.model):
            return self._continued(ids, max_new_tokens)

    @torch.no_grad()
    def _continued(self, ids: torch.Tensor, max_new_tokens: int) -> torch.Tensor:
        text = ids[None]
        ends = ends_of(self.model, self.tokenizer)
        return continued(self.model, text, torch.ones_like(text), max_new_tokens=max_new_tokens, ends=ends)


def test_causal_intervention(
    interventions: AttentionInterventions,
    base_text: str,
    intervention_specs: Iterable[tuple[int, int, str] | tuple[int, int, str, float]],
    max_new_tokens: int = 20,
    contrast: Sequence[str | int] | None = None,
) -> pl.DataFrame:
    """Return the effect of each intervention on a text, one row each.

    Parameters
    ----------
    interventions
        The model.
    base_text
        The text, as it is.
    intervention_specs
        ``(layer_idx, head_idx, "ablate")``, ``(layer_idx, head_idx, "amplify")``, or either with its factor behind it.
    max_new_tokens, contrast
        As for ``ablate_attention_head``; where no contrast is given, that of the unchanged text is used in all rows.

    Returns
    -------
    polars.DataFrame
        ``kind, layer, head, factor, logit_difference, reference, change, is_flipped, text, is_text_changed``.

    Raises
    ------
    UserError
        For an intervention that is unknown.
    """
    ids = one_text(interventions.model, interventions.tokenizer(base_text, return_tensors="pt")["input_ids"])
    if contrast is None and interventions.contrast is None:
        with in_inference_state(interventions.model):
            contrast = interventions._tokens(ids, None)[0]
    plain = interventions.generate(ids, max_new_tokens)[0, len(ids) :] if max_new_tokens else ids[:0]
    known = {"ablate": interventions.ablate_attention_head, "amplify": interventions.amplify_attention_head}
    rows = []
    for number, spec in enumerate(intervention_specs):
        if len(spec) not in (3, 4) or spec[2] not in known:
            raise UserError(
                f"intervention_specs[{number}]: {tuple(spec)!r} is unknown; give (layer_idx, head_idx, 'ablate' or "
                f"'amplify'), with a factor behind it if you like."
            )
        layer, head, kind, *factor = spec
        result = known[kind](layer, head, ids, *factor, max_new_tokens=max_new_tokens, contrast=contrast)
        text = interventions.tokenizer.decode(result.new_tokens)
        texts = {"text": text, "is_text_changed": not torch.equal(result.new_tokens, plain)}
        rows.append({name: getattr(result, name) for name in _EFFECT} | texts)
    return pl.DataFrame(rows, schema=_EFFECT | _TEXTS)


test_causal_intervention.__test__ = False  # type: ignore[attr-defined] - its name is the guide's, not pytest's

_EFFECT = {
    "kind": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
    "factor": pl.Float64,
    "logit_difference": pl.Float64,
    "reference": pl.Float64,
    "change": pl.Float64,
    "is_flipped": pl.Boolean,
}
"""Columns of an ``InterventionResult``."""

_TEXTS = {"text": pl.String, "is_text_changed": pl.Boolean}


@shows_itself
def plot_effects(effects: pl.DataFrame, look: VisualizationSettings | None = None) -> Chart:
    """Return bars of what each intervention of ``test_causal_intervention`` changes, an Altair chart."""
    name = pl.format("{} layer {} head {}", "kind", "layer", "head")
    factor = pl.when(pl.col("kind") == "amplify").then(pl.format(" x {}", "factor")).otherwise(pl.lit(""))
    shown = effects.with_columns((name + factor).alias("shown")).select(
        "shown", "kind", "change", "logit_difference", "is_flipped"
    )
    reference = effects["reference"][0] if len(effects) else 0.0
    kinds = [kind for kind in ("ablate", "amplify") if kind in effects["kind"]]
    return effect_bars(
        shown,
        look or VisualizationSettings(),
        kinds=kinds,
        title="What the interventions change",
        subtitle=f"logit difference of the unchanged text: {reference:+.3f}",
    )
