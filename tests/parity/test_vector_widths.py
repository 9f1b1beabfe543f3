"""The compiled pass with vectors of 4, 8 and 16 floats: which machine computes must not show in the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.attention.backends import tile_kernel
from engine.attention.backends.tile_kernel import STATE
from engine.attention.masking import Chunk, first_visible

WIDTHS = (4, 8, 16)
HEADS, CARRIED = 2, 3


def kernel(width, folder, *options):
    """Return the pass built for vectors of a width; a compiler takes wider ones apart than the machine has."""
    compiler = tile_kernel._compiler()
    if compiler is None:
        pytest.skip("no C compiler here")
    return tile_kernel._build(compiler, (f"-DWIDTH={width}", *options), folder / f"{width}.so")


def tile(num_rows, num_keys, first_row, first_key, seed):
    """Return scores as a product leaves them, hidden keys' too, and the tokens with one before them."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(num_rows * HEADS, num_keys, generator=generator) * 3
    scores[:, -1] = float("nan") if first_row + num_rows - 1 < first_key + num_keys - 1 else 1.0
    length = max(first_row + num_rows, first_key + num_keys)
    ids = torch.randint(0, 5, (length,), generator=generator, dtype=torch.int32)
    return scores, torch.nn.functional.pad(ids, (1, 0), value=-1)


def run(made, scores, first_row, first_key, window, ids):
    weights, state = scores.clone(), torch.zeros(len(scores), len(STATE))
    made(weights, HEADS, first_row, first_key, window, ids, state, torch.zeros(len(scores), CARRIED))
    return weights, state


def in_float64(scores, first_row, first_key, window, ids):
    """Return weights and states row by row, key by key."""
    weights, states = np.zeros(scores.shape), np.zeros((len(scores), len(STATE)))
    token = ids.tolist()[1:]
    for index, row in enumerate(scores.double().tolist()):
        at = first_row + index // HEADS
        seen = [j for j in range(first_key, first_key + len(row)) if first_visible(at, window) <= j <= at]
        if not seen:
            continue
        largest = max(row[j - first_key] for j in seen)
        found = dict.fromkeys(STATE, 0.0) | {"largest": largest}
        for j in seen:
            power = row[j - first_key] - largest
            weight = weights[index, j - first_key] = math.exp(power)
            found["total"] += weight
            found["score"] += weight * power
            found["square"] += weight**2
            found["distance"] += weight * (at - j)
            found["duplicate"] += weight * (j < at and token[j] == token[at])
            found["induction"] += weight * (j > 0 and token[j - 1] == token[at])
            found["diagonal"] += weight * (j == at)
            found["previous"] += weight * (j == at - 1)
            found["first"] += weight * (j == 0)
        states[index] = [found[name] for name in STATE]
    return weights, states


CASES = [
    pytest.param(3, 1, 0, 0, None, id="one key"),
    pytest.param(9, 9, 0, 0, None, id="the first rows"),
    pytest.param(5, 40, 35, 0, None, id="whole vectors and some keys"),
    pytest.param(40, 48, 0, 0, None, id="hidden keys behind"),
    pytest.param(17, 33, 60, 20, None, id="a later tile"),
    pytest.param(8, 64, 100, 0, None, id="all keys before the rows"),
    pytest.param(20, 50, 30, 0, 7, id="a window"),
    pytest.param(20, 50, 30, 0, Chunk(16), id="chunks"),
    pytest.param(6, 5, 3, 0, 2, id="a window in few keys"),
]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("num_rows", "num_keys", "first_row", "first_key", "window"), CASES)
def test_every_width_adds_up_what_float64_does(tmp_path, width, num_rows, num_keys, first_row, first_key, window):
    made = kernel(width, tmp_path)
    scores, ids = tile(num_rows, num_keys, first_row, first_key, seed=num_keys)
    weights, state = run(made, scores, first_row, first_key, window, ids)
    expected_weights, expected = in_float64(scores, first_row, first_key, window, ids)
    np.testing.assert_allclose(weights.numpy(), expected_weights, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(state.numpy(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("width", [4, 16])
def test_sums_do_not_depend_on_the_width(tmp_path, width):
    """Lanes are the same on every machine, and so is the order in which they are added up: to the last bit."""
    scores, ids = tile(16, 700, 684, 0, seed=1)
    options = ("-march=native",)
    expected = run(kernel(8, tmp_path, *options), scores, 684, 0, None, ids)
    for one, other in zip(run(kernel(width, tmp_path, *options), scores, 684, 0, None, ids), expected, strict=True):
        assert torch.equal(one, other)
