"""Where a position's attention goes over layers, and which attention a logit depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

from analyses.charts.parts import Chart
from analyses.charts.single_texts import row_flow
from engine.causal.gradients import head_gradients
from engine.errors import UnsupportedModelError, UserError
from engine.interventions.unchanged_run import trace
from engine.model.decoder import Decoder
from engine.model.wrapped import refuse_wrapped
from engine.notebook.analyzer import FinancialAttentionAnalyzer
from engine.notebook.guide.cells import shows_itself
from engine.notebook.token_labels import visible
from engine.notebook.workbench import MAX_BYTES, check_bytes, in_inference_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class AttentionFlow(dict[str, torch.Tensor]):
    """One position's row by ``layer_<number>``, averaged over heads, float32 ``[T]``, 0 beyond the position.

    Attributes
    ----------
    position
        The row.
    rollout
        Its attention rollout ``[T]`` (Abnar & Zuidema 2020), or None where not all layers are known.
    """

    def __init__(self, analyzer: FinancialAttentionAnalyzer, position: int):
        rows, self.rollout = analyzer.rows_of(position)
        self.position = position % analyzer.encoded.num_tokens
        self._analyzer = analyzer
        super().__init__(
            {f"layer_{layer}": row.mean(dim=0) for layer, row in zip(analyzer.layer_numbers, rows, strict=True)}
        )

    def __repr__(self) -> str:
        """Say whose row it is."""
        token = visible(self._analyzer.tokens["token"][self.position])
        return f"AttentionFlow(position {self.position} {token!r}, {len(self)} layers; .frame, .rollout, .plot())"

    @property
    def frame(self) -> pl.DataFrame:
        """``layer, key, token, weight``, one row per layer and visible key."""
        tokens = self._analyzer.tokens["token"].to_list()[: self.position + 1]
        number, layers = len(tokens), self._analyzer.layer_numbers
        return pl.DataFrame(
            {
                "layer": np.repeat(np.array(layers, dtype=np.int32), number),
                "key": np.tile(np.arange(number, dtype=np.int32), len(layers)),
                "token": tokens * len(layers),
                "weight": np.concatenate([row[:number].numpy() for row in self.values()]),
            }
        )

    @shows_itself
    def plot(self, max_tokens: int | None = None) -> Chart:
        """Return a chart of layers by keys: the keys that any layer weighs most, in the order of the text."""
        look, frame = self._analyzer.look, self.frame
        kept = frame.group_by("key").agg(pl.col("weight").max()).top_k(max_tokens or look.max_tokens, by="weight")
        chosen = sorted(kept["key"].to_list())
        places = {key: place for place, key in enumerate(chosen)}
        tokens = self._analyzer.tokens["token"]
        labels = [visible(tokens[key]) for key in chosen]
        shown = frame.filter(pl.col("key").is_in(chosen)).select(
            "layer",
            pl.col("key").replace_strict(places, return_dtype=pl.Int32),
            pl.col("token").alias("key_label"),
            pl.col("weight").round(6),
        )
        left_out = self.position + 1 - len(chosen)
        more = f"; {left_out} keys with less weight are not shown" if left_out else ""
        return row_flow(
            shown,
            look,
            keys=labels,
            title=f"What position {self.position} looks at, layer by layer",
            subtitle=f"row of {visible(tokens[self.position])!r}, mean over heads{more}",
        )


def trace_attention_flow(analyzer: FinancialAttentionAnalyzer, target_token_pos: int) -> AttentionFlow:
    """Return a position's row in every layer, averaged over heads, and its rollout.

    At the decision position these are the numbers of the table ``decision_rows``.

    Parameters
    ----------
    analyzer
        From a text, every layer is there without its whole patterns; from kept patterns, the layers that were kept.
    target_token_pos
        The row; negative numbers count from the end.

    Raises
    ------
    UserError
        When there is no such position.
    """
    return AttentionFlow(analyzer, target_token_pos)


class AttentionGradients(dict[str, torch.Tensor]):
    """``A · ∂logit/∂A`` by ``layer_<number>``, summed over query rows: float32 ``[heads, keys]``, signed.

    Attributes
    ----------
    head_gradient
        ``sum_i <z_h,i, ∂logit/∂z_h,i>`` per layer and head, float64 ``[L, H]`` (Michel et al. 2019).
    logit
        The logit, or the difference of two, before any final soft-capping.
    """

    def __init__(self, weights: torch.Tensor, head_gradient: torch.Tensor, logit: float):
        super().__init__({f"layer_{layer}": own.float().cpu() for layer, own in enumerate(weights)})
        self.head_gradient, self.logit = head_gradient.cpu(), logit

    def __repr__(self) -> str:
        """Say what was differentiated."""
        layers, heads = self.head_gradient.shape
        return f"AttentionGradients(logit {self.logit:+.3f}, {layers} layers x {heads} heads; .frame, .head_gradient)"

    @property
    def frame(self) -> pl.DataFrame:
        """``layer, head, attention_gradient, head_gradient``; the sums over all keys of a head."""
        num_layers, num_heads = self.head_gradient.shape
        layer, head = np.indices((num_layers, num_heads), dtype=np.int32).reshape(2, -1)
        return pl.DataFrame(
            {
                "layer": layer,
                "head": head,
                "attention_gradient": torch.cat([own.double().sum(dim=-1) for own in self.values()]).numpy(),
                "head_gradient": self.head_gradient.flatten().numpy(),
            }
        )

    def of_group(self, analyzer: FinancialAttentionAnalyzer, key_group: str) -> pl.DataFrame:
        """Return ``layer, head, attention_gradient`` of a key group of the same text, as in table ``attributions``."""
        if key_group not in analyzer.encoded.key_groups:
            known = ", ".join(analyzer.encoded.key_groups)
            raise UserError(f"key_group: {key_group!r} is unknown; known are {known}.")
        number = next(iter(self.values())).shape[-1]
        inside = [position for position in analyzer.encoded.key_groups[key_group].tolist() if position < number]
        sums = [own[:, inside].double().sum(dim=-1) for own in self.values()]
        return self.frame.select("layer", "head").with_columns(pl.Series("attention_gradient", torch.cat(sums).numpy()))


def attention_gradients(
    model: PreTrainedModel, input_ids: torch.Tensor, target_logit: int | tuple[int, int], max_bytes: int = MAX_BYTES
) -> AttentionGradients:
    """Return which attention the last row's logit of a token depends on.

    Layers are differentiated one after the other, each recomputed from what entered it, so that no pattern of the whole
    text exists, no parameter gets a gradient, and the model is left as it was. (The guide's hook cannot run: modules
    have no ``register_hook``, and ``attention_weights.grad`` is never filled.)

    Parameters
    ----------
    model
        Any transformers decoder whose parts are known.
    input_ids
        One text, ``[1, T]`` or ``[T]``.
    target_logit
        A token id, or two whose logits' difference counts: with the labels' tokens, the numbers of ``attributions``.
    max_bytes
        Bytes of the result at most, ``8 · layers · heads · T``.

    Raises
    ------
    UserError
        For a batch, an unknown token, a model whose parts are not known, or a result beyond ``max_bytes``.
    """
    refuse_wrapped(model)
    ids = one_text(model, input_ids)
    wanted = target_logit if isinstance(target_logit, tuple | list) else (target_logit, None)
    vocabulary = model.get_output_embeddings().weight.shape[0]  # type: ignore[union-attr] - a decoder has a head
    for token in wanted:
        if token is not None and not 0 <= int(token) < vocabulary:
            raise UserError(f"target_logit: {token} is no token id of this model; ids are 0..{vocabulary - 1}.")
    try:
        decoder = Decoder(model)
    except UnsupportedModelError as error:
        raise UserError(f"model: {error}.") from None
    shape = decoder.geometry.num_layers, decoder.geometry.num_heads
    check_bytes(8 * shape[0] * shape[1] * len(ids), max_bytes, f"{shape[0]} x {shape[1]} heads x {len(ids)} keys")
    with in_inference_state(model):
        contrast = (int(wanted[0]), None if wanted[1] is None else int(wanted[1]))
        kept = trace(decoder, ids, len(ids) - 1, contrast)
        found = head_gradients(decoder, kept, torch.eye(len(ids), device=ids.device))
    assert found.groups is not None
    return AttentionGradients(found.groups, found.heads, kept.logit_difference)


def one_text(model: PreTrainedModel, input_ids: torch.Tensor) -> torch.Tensor:
    """Return the token ids of one text on the model's device, ``[T]``.

    Raises
    ------
    UserError
        When these are no ids of one text.
    """
    if not isinstance(input_ids, torch.Tensor):
        try:
            input_ids = torch.as_tensor(input_ids)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(
                "input_ids: give the token ids of one text, tokenizer(text, return_tensors='pt').input_ids."
            ) from None
    ids = input_ids[0] if input_ids.dim() == 2 and input_ids.shape[0] == 1 else input_ids
    if ids.dim() != 1 or not len(ids) or ids.is_floating_point():
        raise UserError(f"input_ids: has the shape {list(input_ids.shape)}; one text has [1, T] with whole numbers.")
    return ids.to(model.device).long()
