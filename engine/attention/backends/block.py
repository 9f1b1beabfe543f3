"""One block of query rows and the keys they see: weights, and what these add up to, in torch."""

from __future__ import annotations

import math

import torch

from engine.attention.blocks import first_key
from engine.attention.layout import SequenceLayout
from engine.attention.masking import MASKED, Masking, Window, first_visible, first_visible_of
from engine.attention.row_statistics import RowSums


class Workspace:
    """Room for one block's scores and one block's weights, allocated once; none where gradients need every block."""

    def __init__(
        self,
        blocks: list[tuple[int, int]],
        num_heads: int,
        window: Window,
        inputs: tuple[torch.Tensor, ...],
    ):
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        size = max(((end - first) * (end - first_key(first, window)) for first, end in blocks), default=0) * num_heads
        self._flat = None if needs_grad else torch.empty((2, size), dtype=torch.float32, device=inputs[0].device)

    def take(self, slot: int, *shape: int) -> torch.Tensor | None:
        """Return the room of a slot in a shape, or None."""
        return None if self._flat is None else self._flat[slot, : math.prod(shape)].view(shape)


class Block:
    """One block of query rows ``[first, end)`` and the keys visible to any of them, all or those before ``end_key``."""

    def __init__(self, first: int, end: int, window: Window, end_key: int | None = None):
        self.first, self.end, self.window = first, end, window
        self.first_key, self.end_key = first_key(first, window), end if end_key is None else end_key
        self.largest = torch.empty(0)

    def weights(
        self, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking, space: Workspace | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return unnormalised weights and the scores minus their row's largest, each ``[KV, G x B, n]``."""
        scores = self.scores(grouped, keys, masking, space)
        # The largest score becomes 0, so that exp cannot overflow and no row's total is below 1.
        # Weights do not depend on what is subtracted, so that no gradient need pass through it.
        self.largest = scores.detach().amax(dim=-1, keepdim=True)
        shifted = scores.sub_(self.largest)
        return torch.exp(shifted, out=space and space.take(1, *scores.shape)), shifted

    def scores(
        self, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking, space: Workspace | None = None
    ) -> torch.Tensor:
        """Return the scores ``[KV, G x B, n]``, those of hidden keys at ``MASKED``."""
        num_kv, group, _, head_dim = grouped.shape
        size, num_keys = self.end - self.first, self.end_key - self.first_key
        shape = (num_kv, group * size, num_keys)
        rows = (grouped[:, :, self.first : self.end].float() * masking.scaling).reshape(num_kv, -1, head_dim)
        scores = torch.bmm(rows, keys[:, self.first_key : self.end_key].mT, out=space and space.take(0, *shape))
        if masking.softcap is not None:
            scores = scores.div_(masking.softcap).tanh_() * masking.softcap
        if masking.key_bias is not None:
            bias = masking.key_bias.beside(self.first_key, self.end_key, scores)
            scores.view(num_kv, group, size, num_keys).add_(bias.view(num_kv, group, 1, num_keys))
        self._hide(scores.view(num_kv, group, size, num_keys))
        return scores

    def _hide(self, scores: torch.Tensor) -> None:
        """Give keys after their row, and those that its window has left behind, a weight of zero."""
        size, own = self.end - self.first, self.first - self.first_key
        if size > 1 and self.end_key == self.end:
            later = torch.ones((size, size), dtype=torch.bool, device=scores.device).triu(1)
            scores[..., own:].masked_fill_(later, MASKED)
        left = min(first_visible(self.end - 1, self.window), self.end_key) - self.first_key
        if left:
            query = torch.arange(self.first, self.end, device=scores.device)[:, None]
            key = torch.arange(self.first_key, self.first_key + left, device=scores.device)[None, :]
            scores[..., :left].masked_fill_(key < first_visible_of(query, self.window), MASKED)

    def sums(
        self,
        weights: torch.Tensor,
        shifted: torch.Tensor,
        total: torch.Tensor,
        groups: torch.Tensor,
        layout: SequenceLayout,
        normed: torch.Tensor | None,
    ) -> RowSums:
        """Return what the block adds up per row; ``shifted`` is overwritten."""
        own = self.first - self.first_key
        matches = layout.matches.block(self.first, self.end, self.first_key, self.window)
        # Counted from the block on, so that distances to what lies near keep their digits.
        offset = torch.arange(-own, self.end - self.first, device=weights.device, dtype=torch.float32)
        reached = torch.mv(weights.reshape(-1, weights.shape[-1]), offset).view(total.shape)
        return RowSums(
            total=total,
            groups=groups,
            distance=offset[own:] * total - reached,
            # H = ln l - sum p (s - m) with the largest score subtracted, which does not cancel as lse - q.(PK) does.
            # A hidden key adds 0 x its finite score; with -inf in place of MASKED it would add NaN.
            score=shifted.view(weights.shape).mul_(weights).sum(dim=-1),
            square=torch.linalg.vector_norm(weights, dim=-1).square(),
            # Copies, not views: the next block overwrites the room of these weights.
            diagonal=torch.diagonal(weights, own, 1, 2).clone(),
            previous=self._previous(weights, own),
            first=weights[..., 0].clone() if self.first_key == 0 else torch.zeros_like(total),
            matched=matches.weigh(weights),
            normed=None if normed is None else weights @ normed[:, self.first_key : self.end],
            has_match=matches.has_match,
        )

    def _previous(self, weights: torch.Tensor, own: int) -> torch.Tensor:
        """Return each row's weight of the key before it; 0 where there is none."""
        found = torch.diagonal(weights, own - 1, 1, 2)
        return torch.nn.functional.pad(found, (1, 0)) if own == 0 else found.clone()

    def triangle(self, weights: torch.Tensor, sums: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return one head's rows of this block, each up to its own position."""
        size = self.end - self.first
        full = torch.zeros((size, self.end), dtype=dtype, device=weights.device)
        full[:, self.first_key :] = (weights / sums).to(dtype)
        rows, columns = torch.tril_indices(size, self.end, offset=self.first, device=weights.device)
        return full[rows, columns]
