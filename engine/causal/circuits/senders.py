"""What takes the place of heads' outputs and of values, and how the residual stream changes with it.

Shape legend: ``T`` tokens up to the decision row, ``H`` query heads, ``KV`` key-value heads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from engine.causal.targets import Head
from engine.interventions.unchanged_run import Trace
from engine.model.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Baseline:
    """What edges carry once they are cut.

    Attributes
    ----------
    outputs
        Of every head, by layer that has heads, ``[T or 1, H, head_dim]``.
    values
        At every key, by layer that has heads, ``[KV, T or 1, head_dim]``: what a key group's values give way to.
    """

    outputs: Mapping[int, torch.Tensor]
    values: Mapping[int, torch.Tensor]


def zeros(decoder: Decoder, kept: Trace) -> Baseline:
    """Return zero for every head and value."""
    num_heads = decoder.geometry.num_heads
    layers = {index: kept.layers[index] for index in decoder.geometry.softmax_layers}
    return Baseline(
        {
            index: layer.head_outputs.new_zeros((1, num_heads, layer.head_outputs.shape[1] // num_heads))
            for index, layer in layers.items()
        },
        {index: torch.zeros_like(layer.value[:, :1]) for index, layer in layers.items()},
    )


def means(decoder: Decoder, kept: Trace, by_layer: Mapping[int, torch.Tensor]) -> Baseline:
    """Return every head's mean over the dataset, and the mean of the sample's own values over its keys.

    Parameters
    ----------
    decoder, kept
        The model and the sample's unchanged run.
    by_layer
        Mean output of every head, ``[H, head_dim]``.
    """
    layers = decoder.geometry.softmax_layers
    return Baseline(
        {index: by_layer[index][None] for index in layers},
        {index: kept.layers[index].value.mean(dim=1, keepdim=True) for index in layers},
    )


def of_other(decoder: Decoder, kept: Trace, other: Trace) -> Baseline:
    """Return heads' outputs and values of another run; both end with their decision row.

    Where the other run is shorter, its first row stands for the rows before it.
    """
    num_heads = decoder.geometry.num_heads
    rows = (torch.arange(kept.num_tokens) - kept.num_tokens + other.num_tokens).clamp(min=0)
    outputs, values = {}, {}
    for index in decoder.geometry.softmax_layers:
        layer = other.layers[index]
        chosen = rows.to(layer.head_outputs.device)
        outputs[index] = layer.head_outputs[chosen].unflatten(-1, (num_heads, -1))
        values[index] = layer.value[:, chosen]
    return Baseline(outputs, values)


def residual_change(
    decoder: Decoder, kept: Trace, layer: int, heads: Collection[int], outputs: torch.Tensor, baseline: Baseline
) -> torch.Tensor:
    """Return what the baseline of some heads of a layer in their place changes the residual stream by, ``[T, hidden]``.

    ``W_O^h (z'_h - z_h)`` summed over heads, times the model's residual scale; where a norm stands behind attention,
    what the norm gives with the change minus what it gives without.

    Parameters
    ----------
    decoder, kept
        The model and the sample's unchanged run.
    layer, heads
        Query heads of one layer.
    outputs
        Input of the layer's output projection, ``[T, H * head_dim]``.
    baseline
        What takes their place.
    """
    chosen = sorted(heads)
    wide = decoder.dtype
    by_head = outputs.unflatten(-1, (decoder.geometry.num_heads, -1))[:, chosen].to(wide)
    moved = baseline.outputs[layer][:, chosen].to(by_head) - by_head
    columns = decoder.head_columns(layer)[:, chosen].to(moved)
    change = torch.einsum("ohd,thd->to", columns, moved)
    norm = kept.layers[layer].attention_norm
    if norm is not None:
        before = decoder.projections[layer](outputs[None])[0].to(wide)
        change = norm(before + change).to(wide) - norm(before).to(wide)
    return change * decoder.residual_scale


def by_layer(heads: Collection[Head]) -> dict[int, list[int]]:
    """Return the query heads of each layer, both in order."""
    layers: dict[int, list[int]] = {}
    for layer, head in sorted(heads):
        layers.setdefault(layer, []).append(head)
    return layers
