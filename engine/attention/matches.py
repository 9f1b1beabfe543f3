"""Where a row sees its own token again, and what follows it: the sums behind duplicate-token and induction heads.

Which tokens are equal does not depend on the layer, so that a block's pairs are looked for once per forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from engine.attention.masking import Window, first_visible_of

PAIRS_PER_TOKEN = 256
"""Pairs kept for later layers, per token of the sequence: 2 KiB, less than one layer's activations of that token."""

DENSE_SHARE = 0.125
"""Share of keys that match from which one product over all keys beats gathering them."""


@dataclass(frozen=True, slots=True)
class BlockMatches:
    """The matching keys of a block of ``B`` rows over ``n`` keys.

    Attributes
    ----------
    has_match
        Whether a row has any duplicate and any induction match, bool ``[2, B]``.
    dense
        0/1 per row and key, float32 ``[B, n, 2]``; None where few keys match.
    pairs
        Positions in the flattened block, duplicates by row, then induction matches by row, ``[P]``.
    ends
        Where each row's pairs begin and end among them, ``[2 B + 1]``.
    """

    has_match: torch.Tensor
    dense: torch.Tensor | None
    pairs: torch.Tensor
    ends: torch.Tensor

    def weigh(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the weight of each row's matches, ``[H, B, 2]``, from weights ``[H, B, n]``."""
        if self.dense is not None:
            return torch.matmul(weights.transpose(0, 1), self.dense).transpose(0, 1)
        found = weights.reshape(weights.shape[0], -1).index_select(1, self.pairs)
        # Differences of a running sum of at most one per row: float64 loses nothing that float32 holds.
        running = torch.nn.functional.pad(found.double().cumsum(1), (1, 0))
        by_row = running[:, self.ends].diff(dim=1)
        return by_row.unflatten(1, (2, -1)).transpose(1, 2).to(weights.dtype)


class TokenMatches:
    """Finds the matches of blocks of rows of one sequence, and remembers them for the next layer.

    Parameters
    ----------
    token_ids
        Shape ``[T]``.
    """

    def __init__(self, token_ids: torch.Tensor):
        self.token_ids = token_ids
        self._kept: dict[tuple[int, int, Window], BlockMatches] = {}
        self._room = PAIRS_PER_TOKEN * token_ids.shape[0]

    def prepare(self) -> None:
        """Find what ``preceded_ids`` and ``rows_with_match`` keep.

        Done before a forward: small tensors that outlive a layer are carved out of what its activations leave free.
        """
        _ = self.preceded_ids, self._nearest

    @cached_property
    def preceded_ids(self) -> torch.Tensor:
        """The tokens as int32 with one before them that equals none, ``[1 + T]``."""
        return torch.nn.functional.pad(self.token_ids.to(torch.int32), (1, 0), value=-1)

    @cached_property
    def _nearest(self) -> torch.Tensor:
        """How far back each row's own token stood last, ``[T]``; 0 where it did not."""
        order = torch.argsort(self.token_ids, stable=True)
        again = self.token_ids[order[1:]] == self.token_ids[order[:-1]]
        nearest = torch.zeros_like(order)
        nearest[order[1:][again]] = (order[1:] - order[:-1])[again]
        return nearest

    def rows_with_match(self, window: Window) -> torch.Tensor:
        """Return whether each row sees a duplicate, and an induction match, bool ``[2, T]``."""
        nearest = self._nearest
        if window is None:
            return torch.stack((nearest, nearest)) > 0
        rows = torch.arange(nearest.shape[0], device=nearest.device)
        reach = rows - first_visible_of(rows, window)
        return (nearest > 0) & torch.stack((nearest <= reach, nearest <= reach + 1))

    def block(self, first: int, end: int, first_key: int, window: Window) -> BlockMatches:
        """Return the matches of rows ``first`` to ``end`` among the keys from ``first_key`` on."""
        kept = self._kept.get((first, end, window))
        if kept is not None:
            return kept
        found = self._found(first, end, first_key, window)
        size = found.pairs.numel() if found.dense is None else found.dense.numel()
        if size <= self._room:
            self._room -= size
            self._kept[first, end, window] = found
        return found

    def _found(self, first: int, end: int, first_key: int, window: Window) -> BlockMatches:
        matches = token_matches(self.token_ids, first, end, first_key, window)
        has_match = matches.any(dim=-1)
        by_row = matches.sum(dim=-1).flatten()
        is_dense = self._is_dense(matches, by_row)
        dense = matches.permute(1, 2, 0).to(torch.float32) if is_dense else None
        if is_dense:
            pairs = ends = by_row.new_empty(0)
        else:
            num_keys = matches.shape[1] * matches.shape[2]
            pairs = matches.flatten().nonzero()[:, 0] % num_keys
            ends = torch.nn.functional.pad(by_row.cumsum(0), (1, 0))
        return BlockMatches(has_match, dense, pairs, ends)

    @staticmethod
    def _is_dense(matches: torch.Tensor, by_row: torch.Tensor) -> bool:
        """Whether one product over all keys is the faster way; elsewhere than on CPUs counting would wait for it."""
        return matches.device.type != "cpu" or int(by_row.sum()) > DENSE_SHARE * matches.numel()


def token_matches(
    token_ids: torch.Tensor, first_row: int, end_row: int, first_key: int, window: Window
) -> torch.Tensor:
    """Return visible duplicate and induction matches of a block of rows, bool ``[2, B, n]``.

    ``[0]``: keys ``j < i`` with the row's own token (``x_j = x_i``). ``[1]``: keys ``j <= i`` that follow one
    (``x_{j-1} = x_i``, ``j >= 1``). Both lie inside the row's window or chunk.
    """
    rows = token_ids[first_row:end_row, None]
    same = rows == token_ids[None, first_key:end_row]
    after = torch.zeros_like(same)
    begin = max(first_key, 1)
    after[:, begin - first_key :] = rows == token_ids[None, begin - 1 : end_row - 1]
    query = torch.arange(first_row, end_row, device=token_ids.device)[:, None]
    key = torch.arange(first_key, end_row, device=token_ids.device)[None, :]
    same &= key < query
    after &= key <= query
    matches = torch.stack((same, after))
    return matches if window is None else matches & (key >= first_visible_of(query, window))
