"""How rows are cut into blocks and chunks: every row once, as many at a time as there is room for."""

from __future__ import annotations

import pytest
import torch

from engine.attention import blocks
from engine.attention.blocks import CHUNK_ROWS, chunks, first_key, row_blocks
from engine.attention.masking import Chunk

CPU = torch.device("cpu")


def scores(first, end, heads, window):
    """Scores that a block holds: each of its rows beside every key that any of them sees."""
    return heads * (end - first) * (end - first_key(first, window))


@pytest.mark.parametrize("window", [None, 64, Chunk(48)], ids=str)
@pytest.mark.parametrize("first", [0, 37])
def test_blocks_hold_every_row_once_and_as_many_scores_as_there_is_room_for(monkeypatch, window, first):
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 20_000)
    cut = row_blocks(700, 4, window, CPU, first)
    assert [row for start, end in cut for row in range(start, end)] == list(range(first, 700))
    for start, end in cut:
        size = end - start
        assert size == 8 or scores(start, end, 4, window) <= 20_000
        # A window is counted with one key more than a row sees before itself.
        assert end == 700 or scores(start, start + 2 * size, 4, window) + 4 * 2 * size > 20_000
        assert end == 700 or size & (size - 1) == 0
    assert row_blocks(700, 4, window, CPU) == row_blocks(700, 4, window, CPU, 0) and cut[0][0] == first


def test_blocks_have_1024_rows_at_most_and_accelerators_larger_ones():
    assert row_blocks(5000, 1, 1, CPU)[0] == (0, 512), "2 x 512 x 2 x 512 scores would be too many"
    assert {end - start for start, end in row_blocks(8192, 1, 16, torch.device("meta"))} == {1024}
    assert row_blocks(0, 1, None, CPU) == [] and row_blocks(3, 1, None, CPU) == [(0, 3)]
    many = row_blocks(40_000, 64, None, torch.device("meta"))
    assert all(end - start == 8 or scores(start, end, 64, None) <= 2**25 for start, end in many)
    assert any(scores(start, end, 64, None) > 2**24 for start, end in many)


def test_chunks_are_as_short_as_they_may_be():
    cut = [(row, row + 100) for row in range(0, 2000, 100)] + [(2000, 2001)]
    found = list(chunks(cut))
    assert [block for chunk in found for block in chunk] == cut
    for chunk in found[:-1]:
        assert chunk[-1][1] - chunk[0][0] >= CHUNK_ROWS > chunk[-2][1] - chunk[0][0]
    assert found[-1] == [(1800, 1900), (1900, 2000), (2000, 2001)] and list(chunks([])) == []
