"""Which keys a row sees, as it is learnt from mask functions of transformers: beside loops over rows and keys."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.masking_utils import (
    and_masks,
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    packed_sequence_mask_function,
    sliding_window_causal_mask_function,
)

from engine.attention.masking import Chunk, KeyBias, Masking, first_visible, first_visible_of, in_words
from engine.attention.visible_keys import MOST_ROWS, VisibleKeys, chosen_rows, learnt_mask

WINDOWS = [None, 1, 5, 40, Chunk(1), Chunk(6), Chunk(40)]


def sees(row, key, window):
    """Whether a row sees a key, by definition."""
    if key > row:
        return False
    if isinstance(window, Chunk):
        return row // window.size == key // window.size
    return window is None or row - key < window


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_the_first_visible_key_is_that_of_the_definition(window):
    expected = [next(key for key in range(30) if sees(row, key, window)) for row in range(30)]
    assert [first_visible(row, window) for row in range(30)] == expected
    assert first_visible_of(torch.arange(30), window).tolist() == expected
    assert first_visible_of(np.arange(30), window).tolist() == expected


def test_windows_are_said_in_words():
    assert in_words(None) == "all keys before a row"
    assert in_words(7) == "a sliding window of 7 keys" and in_words(Chunk(7)) == "chunks of 7 keys"


def test_maskings_are_one_whatever_the_tensors_that_come_with_them():
    bias = KeyBias(lambda number: torch.arange(float(number)).expand(2, -1))
    assert (
        Masking(0.5, 4, None, torch.zeros(2))
        == Masking(0.5, 4, None, torch.ones(2))
        == Masking(0.5, 4, None, None, bias)
    )
    with pytest.raises(AssertionError, match="a sink could be held to"):
        Masking(0.5, 4, None, torch.zeros(2), bias)
    assert Masking(0.5, 4) != Masking(0.5, Chunk(4)) and len({bias, bias}) == 1


def test_a_bias_is_counted_from_the_last_key():
    slopes = torch.tensor([[1.0], [0.25]])
    bias = KeyBias(lambda number: slopes * torch.arange(float(number)))
    like = torch.zeros(1, dtype=torch.float64)
    assert bias.up_to(5, like).dtype == torch.float64
    assert torch.equal(bias.up_to(5, like), (slopes * torch.arange(5.0)).double())
    assert torch.equal(bias.beside(2, 5, like), torch.tensor([[-2.0, -1.0, 0.0], [-0.5, -0.25, 0.0]]).double())


def masks(num_tokens):
    """Mask functions of transformers: what is learnt of each, the sizes that the model's code and config give."""
    padding = torch.zeros(1, dtype=torch.long)
    return {
        "causal": (causal_mask_function, None, None, None),
        "sliding": (sliding_window_causal_mask_function(7), 7, 7, None),
        "sliding, not said": (sliding_window_causal_mask_function(7), 7, None, None),
        "sliding, said wrongly": (sliding_window_causal_mask_function(7), 7, 9, None),
        "chunked": (chunked_causal_mask_function(8, padding), Chunk(8), 8, 8),
        "longer than the text": (sliding_window_causal_mask_function(500), 500, 500, None),
        "said of another layer": (causal_mask_function, None, None, 8),
    }


@pytest.mark.parametrize("name", list(masks(1)))
@pytest.mark.parametrize("num_tokens", [30, 200])
def test_a_mask_is_learnt_from_its_function(name, num_tokens):
    function, expected, local_size, chunk_size = masks(num_tokens)[name]
    mask = learnt_mask(
        batch_size=1,
        q_length=num_tokens,
        kv_length=num_tokens,
        mask_function=function,
        local_size=local_size,
        config=SimpleNamespace(attention_chunk_size=chunk_size),
    )
    assert (mask.window, mask.fault, tuple(mask.shape)) == (expected, "", (1, 1, num_tokens, num_tokens))
    assert mask.mask_rows is not None
    rows = torch.tensor([0, 1, 7, 8, 9, num_tokens - 1])
    seen = mask.mask_rows(rows)
    loops = [[sees(int(row), key, expected) for key in range(num_tokens)] for row in rows]
    assert seen.shape == (1, 1, len(rows), num_tokens) and seen[0, 0].tolist() == loops


def test_a_packed_row_is_asked_within_its_longest_sequence():
    """Rows of other sequences see none of its keys, and positions within it start anew."""
    ids = torch.tensor([[0] * 20 + [1] * 60 + [2] * 20])
    for function, expected in (
        (causal_mask_function, None),
        (sliding_window_causal_mask_function(9), 9),
    ):
        mask = learnt_mask(
            batch_size=1,
            q_length=100,
            kv_length=100,
            mask_function=and_masks(function, packed_sequence_mask_function(ids)),
            sequence=(20, 60),
        )
        assert (mask.window, mask.fault) == (expected, "")
    whole = learnt_mask(
        batch_size=1,
        q_length=100,
        kv_length=100,
        mask_function=and_masks(causal_mask_function, packed_sequence_mask_function(ids)),
    )
    assert "neither causal nor" in whole.fault, "over sequences it is no window"


def test_rows_of_a_cached_text_count_from_its_beginning():
    mask = learnt_mask(batch_size=1, q_length=4, kv_length=10, q_offset=6, mask_function=causal_mask_function)
    assert mask.mask_rows is not None
    assert mask.mask_rows(torch.tensor([0, 3]))[0, 0].sum(dim=1).tolist() == [7, 10]


def dilated(_batch, _head, row, key):
    return (key <= row) & ((row - key) % 2 == 0)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"mask_function": bidirectional_mask_function}, r"lets rows see keys after them \(bidirectional attention\)"),
        ({"mask_function": dilated}, r"neither causal nor a sliding window of \d+ keys, which"),
        (
            {"mask_function": dilated, "local_size": 3, "config": SimpleNamespace(attention_chunk_size=4)},
            r"neither causal nor a sliding window of 3 keys, a sliding window of \d+ keys, chunks of 4 keys, which",
        ),
        ({"mask_function": sliding_window_causal_mask_function(0), "local_size": 0}, "nor a sliding window of 0 keys"),
        ({"attention_mask": torch.tensor([[True] * 29 + [False]])}, "hides some tokens as padding"),
    ],
    ids=["bidirectional", "dilated", "dilated, with sizes", "nothing", "padding"],
)
def test_a_mask_that_is_not_covered_says_why(options, fault):
    given = {"mask_function": causal_mask_function, **options}
    mask = learnt_mask(batch_size=1, q_length=30, kv_length=30, **given)
    assert mask.window is None and mask.mask_rows is not None
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(mask.fault)


def test_a_mask_of_ones_hides_nothing():
    ones = torch.ones((1, 30), dtype=torch.bool)
    mask = learnt_mask(batch_size=1, q_length=30, kv_length=30, mask_function=causal_mask_function, attention_mask=ones)
    assert mask.fault == "" and mask.window is None


def stand_in(fault=""):
    return VisibleKeys.standing_for(5, (2, 1, 6, 6), "cpu", lambda rows: rows, fault)


def test_copies_and_slices_of_a_stand_in_stand_for_the_same():
    mask = stand_in()
    for copy in (mask[:1], mask.clone(), mask.to(torch.float32), mask.expand(2, 3, 6, 6), mask.detach().contiguous()):
        assert isinstance(copy, VisibleKeys)
        assert (copy.window, copy.fault, copy.mask_rows) == (5, "", mask.mask_rows)
    assert mask[:1].shape == (1, 1, 6, 6)


def test_a_stand_in_that_is_computed_with_says_so_from_then_on():
    computed = stand_in() * 2
    assert isinstance(computed, VisibleKeys) and computed.window == 5
    assert computed.fault.startswith("computes with its mask (") and "mul" in computed.fault
    assert computed[:1].fault == computed.fault
    assert (stand_in("another") * 2).fault == "another", "what was wrong before is said"
    assert not isinstance(stand_in().tolist(), VisibleKeys)


@pytest.mark.parametrize("length", [1, 2, 40, MOST_ROWS, MOST_ROWS + 1, 1000])
def test_rows_are_chosen_within_the_text_each_once_and_always_the_same(length):
    rows = chosen_rows(length, [100], [length // 2]).tolist()
    assert rows == sorted(set(rows)) and set(rows) <= set(range(length))
    assert len(rows) == min(length, MOST_ROWS) and {0, length - 1, length // 2} <= set(rows)
    assert rows == chosen_rows(length, [100], [length // 2]).tolist()


def test_rows_at_edges_of_windows_are_chosen():
    """Where a window, or a second chunk, begins to hide keys, and where the last chunk begins."""
    rows = set(chosen_rows(10_000, [100, 3000]).tolist())
    assert {99, 100, 101, 199, 200, 9899, 9900, 9901} <= rows
    assert {2999, 3000, 3001, 5999, 6000, 8999, 9000, 9001} <= rows
    assert chosen_rows(10_000, wanted=range(1000, 1064)).tolist() == list(range(1000, 1064)), "wanted ones come first"
