"""Edits: heads changed at the input of the output projection.

A head is changed before ``o_proj``, where its output stands alone; a slice of the projection's output belongs to no
head. As context managers they work on any forward of the model, nest, and leave nothing behind, whatever is raised
inside. ``sweeps`` applies the same edits to many interventions of one sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from engine.errors import UnsupportedModelError
from engine.model.decoder import Decoder


@dataclass(frozen=True, slots=True)
class HeadEdit:
    """A change of some heads of one layer: ``z_h <- factor * z_h``, or other values in their place.

    Attributes
    ----------
    layer, heads
        Which query heads.
    factor
        What their output is multiplied with; 0 is zero ablation.
    values
        What replaces their output instead, ``[rows or 1, len(heads), head_dim]`` (mean or resample ablation).
    only_decision
        Whether only the last row is changed, which is the decision row in a sweep.
    """

    layer: int
    heads: tuple[int, ...]
    factor: float = 0.0
    values: torch.Tensor | None = None
    only_decision: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing by its very definition."""
        return self.values is None and self.factor == 1

    def change(self, outputs: torch.Tensor) -> None:
        """Change heads' outputs in place.

        Parameters
        ----------
        outputs
            ``[..., n, H, head_dim]``: the last ``n`` rows.
        """
        first = outputs.shape[-3] - 1 if self.only_decision else 0
        rows, heads = outputs[..., first:, :, :], list(self.heads)
        if self.values is None:
            rows[..., heads, :] *= self.factor
            return
        values = self.values if self.values.shape[0] == 1 else self.values[-rows.shape[-3] :]
        rows[..., heads, :] = values.to(rows)


@contextmanager
def heads_edited(decoder: Decoder, edits: Sequence[HeadEdit]) -> Iterator[None]:
    """Change heads in every forward inside, whatever its attention; inner edits act on what outer ones left.

    Edits of all rows suit any forward, generation included; ``only_decision`` means the last row of each forward.
    """
    with edited_elements(decoder, {None: edits}):
        yield


@contextmanager
def edited_elements(decoder: Decoder, edits: dict[int | None, Sequence[HeadEdit]]) -> Iterator[None]:
    """Change heads of single elements of the batch; None stands for all of them."""
    layers = sorted({edit.layer for own in edits.values() for edit in own})
    num_heads = decoder.geometry.num_heads
    for layer in layers:
        if not decoder.has_heads(layer):
            raise UnsupportedModelError(f"layer {layer} has no heads to change (recurrent, a convolution or an MLP)")
    with ExitStack() as hooks:
        for layer in layers:
            wanted = [(element, edit) for element, own in edits.items() for edit in own if edit.layer == layer]
            hook = _edit_hook(wanted, num_heads)
            # Behind the hooks that are there: an inner context acts on what the outer ones left.
            hooks.enter_context(decoder.projections[layer].register_forward_pre_hook(hook))
        yield


def _edit_hook(
    wanted: Sequence[tuple[int | None, HeadEdit]], num_heads: int
) -> Callable[..., tuple[torch.Tensor, ...]]:
    def hook(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        changed = args[0].clone()
        outputs = changed.unflatten(-1, (num_heads, -1))
        for element, edit in wanted:
            edit.change(outputs if element is None else outputs[element])
        return (changed, *args[1:])

    return hook
