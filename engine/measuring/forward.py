"""One packed forward: logits at the decision rows, in float32 and one sample at a time through the output head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.layout import SequenceLayout, packed_positions
from engine.errors import UnsupportedModelError
from engine.model.placement import forward_replaced, present
from engine.model.rotary import forget_longer_inputs

_VOCABULARY_CHUNK = 16384


def decision_logits(
    model: PreTrainedModel, input_ids: torch.Tensor, layouts: Sequence[SequenceLayout], with_positions: bool = True
) -> torch.Tensor:
    """Return float32 logits of each sequence's decision row, ``[sequence, vocabulary]``; see ``logits_by_row``."""
    found = logits_by_row(model, input_ids, layouts, with_positions)
    return torch.stack([logits[layout.decision] for logits, layout in zip(found, layouts, strict=True)])


def logits_by_row(
    model: PreTrainedModel, input_ids: torch.Tensor, layouts: Sequence[SequenceLayout], with_positions: bool = True
) -> list[dict[int, torch.Tensor]]:
    """Return float32 logits ``[vocabulary]`` of each sequence's decision row and further rows, by one packed forward.

    Parameters
    ----------
    model
        The model.
    input_ids
        Token ids of the packed row, ``[T_total]``.
    layouts
        Where each sequence lies in it.
    with_positions
        Whether the model is told where each row stands in its sequence. A row of one sequence can do without, and
        is then what ``model(input_ids)`` makes of it, whatever the model counts positions from.
    """
    positions = packed_positions(layouts).to(input_ids.device)
    wanted = [(layout.decision, *layout.more_logits) for layout in layouts]
    places = [layout.packed_row(row) for layout, asked in zip(layouts, wanted, strict=True) for row in asked]
    rows = torch.tensor(places, device=input_ids.device)
    forget_longer_inputs(model)
    told = {"position_ids": positions[None]} if with_positions else {}
    with torch.inference_mode(), _exact_head(model):
        output = model(input_ids=input_ids[None], **told, use_cache=False, logits_to_keep=rows)
    logits = output.logits[0]
    if logits.shape[0] != len(rows):
        if logits.shape[0] != input_ids.shape[0]:
            raise UnsupportedModelError(
                f"{type(model).__name__} returns logits of {logits.shape[0]} rows where {len(rows)} of "
                f"{input_ids.shape[0]} are asked for"
            )
        logits = logits[rows.to(logits.device)]  # it returns all rows, whichever are asked for
    parts = iter(logits.float())
    return [{row: next(parts) for row in asked} for asked in wanted]


def plain_logits(model: PreTrainedModel, layout: SequenceLayout) -> torch.Tensor:
    """Return float32 logits of the decision row ``[vocabulary]`` by ``model(input_ids)`` and nothing else of ours.

    Other rows do not pass through the output head: logits of a long text over a large vocabulary take gigabytes.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise UnsupportedModelError(f"{type(model).__name__} has no output embeddings")
    forward, row = head.forward, layout.decision

    def of_row(hidden: torch.Tensor) -> torch.Tensor:
        kept = hidden[:, row : row + 1]
        if not isinstance(head, nn.Linear):
            return forward(kept)
        with present(head):
            return _float32_linear(head, kept.to(head.weight.device))

    forget_longer_inputs(model)
    with torch.inference_mode(), forward_replaced(head, of_row):
        output = model(input_ids=layout.token_ids[None], use_cache=False)
    return output.logits[0, -1].float()


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
