"""Rows of the measure tables against what one would write in a line."""

import numpy as np
import pytest
import torch

from engine.encoded_samples import EncodedSample
from engine.measuring.tables.baselines import baselines
from engine.measuring.tables.decisions import top_key_rows


class _Layer:
    def __init__(self, pattern: torch.Tensor):
        self.decision_pattern = pattern


def _encoded(token_ids: np.ndarray) -> EncodedSample:
    length = len(token_ids)
    starts = np.arange(length, dtype=np.int32)
    return EncodedSample(
        "s",
        {},
        "".join(chr(97 + i % 26) for i in range(length)),
        token_ids.astype(np.int32),
        starts,
        starts + 1,
        np.zeros(length, np.int32),
        length - 2,
        length - 1,
        (0, 1),
        {"odd": starts[1::2]},
        {"all": starts},
    )


@pytest.mark.parametrize("num_values", [1, 2, 5, 10**6])
@pytest.mark.parametrize("length", [1, 2, 7, 60])
def test_top_keys_are_those_of_a_stable_sort(num_values, length):
    generator = torch.Generator().manual_seed(length)
    layers = [_Layer(torch.randint(num_values, (4, length), generator=generator) / num_values) for _ in range(3)]
    for count in {1, min(5, length), 100}:
        rows = top_key_rows(_encoded(np.arange(length)), layers, range(3), count)
        kept = min(count, length)
        expected = [
            torch.sort(layer.decision_pattern[head], descending=True, stable=True)
            for layer in layers
            for head in range(4)
        ]
        assert rows["key_position"].tolist() == [int(k) for e in expected for k in e.indices[:kept]]
        assert rows["weight"].tolist() == [float(w) for e in expected for w in e.values[:kept]]
        assert rows["token"].to_pylist() == [chr(97 + k % 26) for k in rows["key_position"].tolist()]


@pytest.mark.parametrize("window", [None, 1, 3, 8])
def test_baselines_of_repetition_by_counting(window):
    ids = np.random.default_rng(0).integers(0, 4, 30)
    duplicate, induction = [], []
    for row in range(len(ids)):
        seen = range(0 if window is None else max(0, row - window + 1), row + 1)
        same = [key for key in seen if key < row and ids[key] == ids[row]]
        after = [key for key in seen if key > 0 and ids[key - 1] == ids[row] and key - 1 < row]
        duplicate += [len(same) / len(seen)] if same else []
        induction += [len(after) / len(seen)] if after else []
    found = baselines(_encoded(ids), window)[0, 1:]
    expected = [np.mean(shares) if shares else np.nan for shares in (duplicate, induction)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
