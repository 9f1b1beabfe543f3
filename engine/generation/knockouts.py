"""Knockouts while an answer is written: rows that must not look at some keys, in every step of decoding.

The model keeps its own attention; only the mask of the layers in the window changes. A step of decoding sees the keys
of all steps before it in the cache, so a key that is hidden from a row is hidden wherever the cache is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from engine.errors import UnsupportedModelError
from engine.interventions.knockouts import Knockout
from engine.model.decoder import Decoder


@contextmanager
def keys_hidden_in_steps(
    decoder: Decoder, knockouts: Sequence[Sequence[Knockout]], paddings: Sequence[int]
) -> Iterator[None]:
    """Hide keys in the forwards of one call of ``generate`` inside.

    Parameters
    ----------
    decoder
        The model.
    knockouts
        Those of each element of the batch; keys and rows count its own tokens, without padding. Rows go on: with
        ``first_row`` at the prompt's last token, every row that predicts a token of the answer is kept from the keys.
    paddings
        Tokens before each element's first own one.

    Raises
    ------
    UnsupportedModelError
        When the model's attention takes no mask of rows and keys.
    ValueError
        When a row would see no key at all.
    """
    steps = _Steps(knockouts, paddings)
    layers = {layer for own in knockouts for one in own for layer in range(one.first_layer, one.last_layer + 1)}
    with ExitStack() as hooks:
        # The first layer counts rows; it comes before the others in every forward.
        for layer in sorted({0, *(layer for layer in layers if layer < len(decoder.attentions))}):
            attention = decoder.attentions[layer]
            hook = steps.hook(layer)
            hooks.enter_context(attention.register_forward_pre_hook(hook, with_kwargs=True))
        yield


class _Steps:
    """How far one generation has come."""

    def __init__(self, knockouts: Sequence[Sequence[Knockout]], paddings: Sequence[int]):
        self.knockouts, self.paddings, self.num_seen = knockouts, paddings, 0

    def hook(self, layer: int) -> Callable[..., tuple[tuple[object, ...], dict[str, object]]]:
        """Return a hook that hides keys in a layer."""
        is_hiding = any(one.covers(layer) for own in self.knockouts for one in own)

        def hide(
            module: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[object, ...], dict[str, object]]:
            hidden_states = args[0] if args else kwargs["hidden_states"]
            num_rows = hidden_states.shape[1]
            if layer == 0:
                self.num_seen += num_rows
            if not is_hiding:
                return args, kwargs
            if len(args) > 1 or "attention_mask" not in kwargs:
                raise UnsupportedModelError(f"{type(module).__name__} is not given its mask by name")
            mask = self._mask(module, kwargs["attention_mask"], num_rows, hidden_states)
            return args, {**kwargs, "attention_mask": self._without(mask, layer, num_rows)}

        return hide

    def _mask(self, module: nn.Module, mask: torch.Tensor | None, num_rows: int, like: torch.Tensor) -> torch.Tensor:
        """Return the mask ``[B, heads or 1, rows, keys]``; where the library passes none, everything before is seen."""
        if type(module).__name__ == "MptAttention":  # whose masks say what is hidden, not what is seen
            raise UnsupportedModelError("knockouts in generation do not cover MPT, whose masks are of another kind")
        implementation = getattr(getattr(module, "config", None), "_attn_implementation", "sdpa")
        if implementation not in ("sdpa", "eager") or (mask is not None and mask.dim() != 4):
            raise UnsupportedModelError(
                f"knockouts in generation need a mask of rows and keys, which {implementation!r} attention has not"
            )
        if mask is None:
            rows = torch.arange(self.num_seen - num_rows, self.num_seen, device=like.device)
            mask = (torch.arange(self.num_seen, device=like.device) <= rows[:, None])[None, None]
        return mask.expand(like.shape[0], -1, -1, -1).clone()

    def _without(self, mask: torch.Tensor, layer: int, num_rows: int) -> torch.Tensor:
        # A cache of a sliding window holds only the last keys; the last column is always the last token.
        first_key, first_row = self.num_seen - mask.shape[-1], self.num_seen - num_rows
        nothing = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
        for element, (own, padding) in enumerate(zip(self.knockouts, self.paddings, strict=True)):
            for one in own:
                keys = [key + padding - first_key for key in one.keys if first_key <= key + padding < self.num_seen]
                start = max(one.first_row + padding - first_row, 0)
                if not one.covers(layer) or not keys or start >= num_rows:
                    continue
                mask[element, :, start:, keys] = nothing
                seen = mask[element, :, start:] if mask.dtype == torch.bool else mask[element, :, start:] > nothing
                if not seen.any(dim=-1).all():
                    raise ValueError(f"layer {layer}: the knockout leaves a row without any key to look at")
        return mask
