"""The probe: arms a model's attention for one packed forward, collects statistics, always disarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.backends import Backend
from engine.attention.blocked import Masking
from engine.attention.interface import UnsupportedModelError, armed, value_norms
from engine.attention.reductions import LayerStatistics, SequenceLayout
from engine.attention.rollout import LayerScores, rollout
from engine.dispatched import forward_replaced, input_device, present

_VOCABULARY_CHUNK = 16384

_NOT_COVERED = {
    "is_encoder_decoder": "an encoder-decoder model",
    "alibi": "ALiBi position biases",
    "use_alibi": "ALiBi position biases",
    "kv_lora_rank": "multi-head latent attention",
}
_REFUSED_TYPES = {
    **dict.fromkeys(("bloom", "mpt"), "ALiBi position biases"),
    **dict.fromkeys(("gpt_oss",), "attention sinks"),
    **dict.fromkeys(
        (
            "albert",
            "bert",
            "camembert",
            "deberta",
            "deberta-v2",
            "distilbert",
            "electra",
            "modernbert",
            "roberta",
            "xlm-roberta",
        ),
        "an encoder",
    ),
    **dict.fromkeys(("mamba", "mamba2", "rwkv", "jamba", "falcon_mamba"), "recurrent layers"),
}
"""Known not to be covered. Whatever is in no list is still compared with the model's own attention before measuring."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Layers and query heads of a model, as its config states them."""

    num_layers: int
    num_heads: int

    @classmethod
    def of(cls, model_config: Any) -> Geometry:
        """Read the geometry of a (text) config.

        Raises
        ------
        UnsupportedModelError
            When the config names a kind of attention that is not covered.
        """
        text = model_config.get_text_config() if hasattr(model_config, "get_text_config") else model_config
        if _type(text) in _REFUSED_TYPES:
            what = _REFUSED_TYPES[_type(text)]
            raise UnsupportedModelError(f"model type {_type(text)!r} has or is {what}, which is not covered")
        for name, what in _NOT_COVERED.items():
            if getattr(text, name, None):
                raise UnsupportedModelError(f"model type {_type(text)!r} has or is {what}, which is not covered")
        kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
        if kinds:
            raise UnsupportedModelError(
                f"model type {_type(text)!r} has {', '.join(sorted(kinds))} layers, not covered"
            )
        if getattr(text, "num_hidden_layers", None) is None or getattr(text, "num_attention_heads", None) is None:
            raise UnsupportedModelError(f"model type {_type(text)!r} does not state its layers and heads")
        return cls(int(text.num_hidden_layers), int(text.num_attention_heads))


def _type(model_config: Any) -> str:
    return str(getattr(model_config, "model_type", type(model_config).__name__))


@dataclass(frozen=True, slots=True)
class SequenceMeasurement:
    """What one forward found out about one sequence.

    Attributes
    ----------
    logits
        Decision row, float32 ``[vocabulary]``.
    layers
        Statistics by layer.
    windows
        Sliding window of each layer, or None.
    rollout
        Rollout of the decision row, float32 ``[T]``, when asked for.
    """

    logits: torch.Tensor
    layers: list[LayerStatistics]
    windows: tuple[int | None, ...]
    rollout: torch.Tensor | None = None

    def on_host(self) -> SequenceMeasurement:
        """Return the measurement in the host's memory; from a CUDA device only once its copies have been waited for."""
        return replace(
            self,
            logits=_to_host(self.logits),
            layers=[
                LayerStatistics(
                    _to_host(layer.means),
                    _to_host(layer.decision_pattern),
                    _to_host(layer.is_finite) if isinstance(layer.is_finite, torch.Tensor) else layer.is_finite,
                    {head: _to_host(pattern) for head, pattern in layer.patterns.items()},
                )
                for layer in self.layers
            ],
            rollout=None if self.rollout is None else _to_host(self.rollout),
        )


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Copy to pinned memory without waiting, where the device can; return what lies on the host already."""
    return tensor.to("cpu", non_blocking=tensor.device.type == "cuda")


class Probe:
    """Measures packed sequences on one model.

    Parameters
    ----------
    model
        A causal language model whose attention can be replaced (any transformers decoder with a registered
        attention interface).
    norm_weighted
        Whether norm-weighted masses are measured too.
    with_rollout
        Whether the decision row's rollout is computed too; keeps queries and keys of all layers for a forward.
    attention
        ``auto``, ``blocked`` or ``fused``.

    Raises
    ------
    UnsupportedModelError
        When the model's kind of attention is not covered.
    ConfigError
        When ``fused`` is asked for where it cannot run.
    """

    def __init__(
        self, model: PreTrainedModel, norm_weighted: bool = False, with_rollout: bool = False, attention: str = "auto"
    ):
        self.model = model
        self.norm_weighted = norm_weighted
        self.with_rollout = with_rollout
        self.geometry = Geometry.of(model.config)
        self.backend = Backend(attention, input_device(model))
        self.windows: list[int | None] = [None] * self.geometry.num_layers

    def measure(self, input_ids: torch.Tensor, layouts: Sequence[SequenceLayout]) -> list[SequenceMeasurement]:
        """Run one packed forward.

        Parameters
        ----------
        input_ids
            Token ids of all sequences one after the other, ``[T_total]``.
        layouts
            Where each sequence starts and what to reduce.

        Returns
        -------
        list of SequenceMeasurement
            In the order of ``layouts``.
        """
        num_layers = self.geometry.num_layers
        collected: list[list[LayerStatistics | None]] = [[None] * num_layers for _ in layouts]
        scores: list[list[LayerScores]] = [[] for _ in layouts]
        kept = [self._storage(layout) for layout in layouts]
        # What layers need of the sequences, on each device that layers are computed on.
        places: dict[torch.device, tuple[Any, Sequence[SequenceLayout]]] = {}

        def handle(
            module: nn.Module, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
        ) -> torch.Tensor:
            norms = value_norms(module, value, query.shape[0]) if self.norm_weighted else None
            output = query.new_empty((query.shape[1], query.shape[0], value.shape[-1]))
            if query.device not in places:
                near = [layout.to(query.device) for layout in layouts]
                places[query.device] = (self.backend.row(near), near)
            row, near = places[query.device]
            measured = self.backend.attend(row, query, key, value, masking, near, layer, norms, output)
            for index, statistics in enumerate(measured):
                if collected[index][layer] is not None:
                    raise UnsupportedModelError(f"layer {layer} calls attention twice in one forward")
                means, decisions = kept[index]
                means[layer], decisions[layer] = statistics.means, statistics.decision_pattern
                collected[index][layer] = LayerStatistics(
                    means[layer], decisions[layer], statistics.is_finite, statistics.patterns
                )
                if self.with_rollout:
                    rows = slice(layouts[index].start, layouts[index].start + layouts[index].num_tokens)
                    scores[index].append(LayerScores(query[:, rows], key[:, rows], masking))
            self.windows[layer] = masking.window
            return output

        self.backend.prepare(layouts)
        with armed(self.model, handle):
            logits = decision_logits(self.model, input_ids, layouts)
        complete = [[statistics for statistics in layers if statistics is not None] for layers in collected]
        if any(len(layers) != num_layers for layers in complete):
            seen = sum(statistics is not None for statistics in collected[0])
            raise UnsupportedModelError(f"only {seen} of {num_layers} layers call the replaced attention")
        return [
            SequenceMeasurement(
                logits[index], layers, tuple(self.windows),
                rollout(scores[index], layout.decision) if self.with_rollout else None,
            )
            for index, (layout, layers) in enumerate(zip(layouts, complete, strict=True))
        ]  # fmt: skip

    def _storage(self, layout: SequenceLayout) -> tuple[torch.Tensor, torch.Tensor]:
        """Return room for a sequence's statistics of all layers.

        Taken before the forward: small tensors that outlive a layer would otherwise be carved out of the large blocks
        that its activations leave free, so that the next layer needs new ones.
        """
        num_layers, num_heads = self.geometry.num_layers, self.geometry.num_heads
        groups = layout.query_weights.shape[0]
        like = layout.indicators
        return (
            like.new_empty((num_layers, num_heads, groups, layout.num_statistics(self.norm_weighted))),
            like.new_empty((num_layers, num_heads, layout.num_tokens)),
        )


def decision_logits(model: PreTrainedModel, input_ids: torch.Tensor, layouts: Sequence[SequenceLayout]) -> torch.Tensor:
    """Return float32 logits of each sequence's decision row, ``[sequence, vocabulary]``, by one packed forward."""
    positions = torch.cat([torch.arange(layout.num_tokens) for layout in layouts]).to(input_ids.device)
    rows = torch.tensor([layout.start + layout.decision for layout in layouts], device=input_ids.device)
    forget_longer_inputs(model)
    with torch.inference_mode(), _exact_head(model):
        output = model(input_ids=input_ids[None], position_ids=positions[None], use_cache=False, logits_to_keep=rows)
    return output.logits[0].float()


def forget_longer_inputs(model: PreTrainedModel) -> None:
    """Reset rotary embeddings that remember the longest input so far, so that no batch depends on earlier ones."""
    for module in model.modules():
        original = getattr(module, "original_inv_freq", None)
        inv_freq = getattr(module, "inv_freq", None)
        if isinstance(original, torch.Tensor) and isinstance(inv_freq, torch.Tensor):
            module.register_buffer("inv_freq", original.to(inv_freq.device, copy=True), persistent=False)
            if hasattr(module, "original_max_seq_len"):
                module.max_seq_len_cached = module.original_max_seq_len


@contextmanager
def _exact_head(model: PreTrainedModel) -> Iterator[None]:
    """Let the output head see one row at a time, in float32.

    One row, because small matrix products depend on how many rows they have; float32, because logits of 20 in
    bfloat16 are multiples of 1/8 and their difference would be too.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise UnsupportedModelError(f"{type(model).__name__} has no output embeddings")
    forward = head.forward

    def by_row(hidden: torch.Tensor) -> torch.Tensor:
        rows = [hidden[:, row : row + 1] for row in range(hidden.shape[1])]
        if not isinstance(head, nn.Linear):
            return torch.cat([forward(row) for row in rows], dim=1)
        with present(head):
            return torch.cat([_float32_linear(head, row.to(head.weight.device)) for row in rows], dim=1)

    with forward_replaced(head, by_row):
        yield


def _float32_linear(head: nn.Linear, row: torch.Tensor) -> torch.Tensor:
    """Return ``head(row)`` computed in float32, without a float32 copy of the whole weight."""
    parts = [
        nn.functional.linear(row.float(), weight.float()) for weight in head.weight.split(_VOCABULARY_CHUNK, dim=0)
    ]
    logits = torch.cat(parts, dim=-1)
    return logits if head.bias is None else logits + head.bias.float()
