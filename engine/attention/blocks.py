"""How many query rows are held at a time: blocks bounded by elements, and chunks of fixed length."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.attention.masking import Window, first_visible

BLOCK_ELEMENTS = 2**19
"""Scores per block: 2 MiB of float32, about a core's second-level cache; more on accelerators."""

ACCELERATOR_BLOCK_ELEMENTS = 2**25

CHUNK_ROWS = 512
"""Rows at least whose sums are kept before they become statistics."""


def row_blocks(
    num_tokens: int,
    num_heads: int,
    window: Window,
    device: torch.device,
    first: int = 0,
    stops: tuple[int, ...] = (),
) -> list[tuple[int, int]]:
    """Cut the rows, from the first wanted on, so that each block has about the same number of scores.

    No block reaches over a stop.
    """
    budget = BLOCK_ELEMENTS if device.type == "cpu" else ACCELERATOR_BLOCK_ELEMENTS
    blocks: list[tuple[int, int]] = []
    while first < num_tokens:
        reach = min(first, window) if isinstance(window, int) else first - first_visible(first, window)
        size = 8
        while size < 1024 and num_heads * size * 2 * (reach + size * 2) <= budget:
            size *= 2
        blocks.append((first, end_of_block(first, size, num_tokens, stops)))
        first = blocks[-1][1]
    return blocks


def end_of_block(first: int, size: int, num_tokens: int, stops: tuple[int, ...]) -> int:
    """Return one past the last row of a block of a size, which ends with the sequence and at stops."""
    return min(first + size, num_tokens, *(stop for stop in stops if stop > first))


def chunks(blocks: list[tuple[int, int]], stops: tuple[int, ...] = ()) -> Iterator[list[tuple[int, int]]]:
    """Gather blocks whose sums become statistics together, which spares small operations; memory O(chunk x K).

    No chunk reaches over a stop.
    """
    chunk: list[tuple[int, int]] = []
    for block in blocks:
        chunk.append(block)
        if block[1] - chunk[0][0] >= CHUNK_ROWS or block[1] in stops:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def first_key(first: int, window: Window) -> int:
    """Return the first key that any row of a block sees."""
    return first_visible(first, window)
