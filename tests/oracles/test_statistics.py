"""Every statistic of the fast path against slow float64 loops over the model's own queries and keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.attention.layout import sequence_layout
from engine.attention.masking import Chunk, Masking
from engine.encoded_samples import EncodedSample
from engine.errors import UnsupportedModelError
from engine.measuring.tables.baselines import baselines
from engine.model.projections import value_norms
from engine.schema import BASE_STATISTICS
from engine.tolerances import tolerance
from tests.oracles import attention as oracle
from tests.oracles.ways import WAYS, both_ways, small_tiles

QUANTITY = {"entropy_nats": "entropy", "entropy_normalized": "entropy", "mean_distance": "distance"}


def encoded(num_tokens, seed, vocabulary=11):
    rng = np.random.default_rng(seed)
    empty = np.zeros(num_tokens, np.int32)
    decision = max(0, num_tokens - 3)
    keys = {
        "some": np.flatnonzero(rng.random(num_tokens) < 0.3),
        "none": np.array([], int),
        "all_keys": np.arange(num_tokens),
    }
    queries = {
        "all": np.arange(num_tokens),
        "decision": np.array([decision]),
        "response": np.arange(num_tokens // 2, num_tokens),
        "empty": np.array([], int),
        "first_row": np.array([0]),
    }
    return EncodedSample(
        "s",
        {},
        "",
        rng.integers(0, vocabulary, num_tokens).astype(np.int32),
        empty,
        empty,
        empty,
        num_tokens // 2,
        decision,
        (0, 1),
        {name: group.astype(np.int32) for name, group in keys.items()},
        {name: group.astype(np.int32) for name, group in queries.items()},
    )


def tensors(num_heads, num_kv, num_tokens, head_dim, seed, scale=1.5):
    generator = torch.Generator().manual_seed(seed)
    shapes = (num_heads, num_kv, num_kv)
    query, key, value = (torch.randn(h, num_tokens, head_dim, generator=generator) * scale for h in shapes)
    return query, key, value


CASES = [
    # heads, KV heads, tokens, head_dim, window, softcap, block elements
    (4, 2, 41, 8, None, None, 2**18),
    (4, 4, 41, 8, None, None, 300),
    (6, 1, 37, 16, 9, None, 500),
    (4, 2, 60, 8, 16, 5.0, 2**18),
    (2, 1, 1, 8, None, None, 2**18),
    (2, 2, 2, 8, 1, None, 2**18),
    (2, 1, 130, 4, None, 20.0, 4000),
    pytest.param(4, 2, 45, 8, Chunk(12), None, 2**18, id="chunk-12"),
    pytest.param(4, 1, 61, 8, Chunk(7), 5.0, 300, id="chunk-7"),
    pytest.param(2, 2, 9, 8, Chunk(1), None, 2**18, id="chunk-1"),
    pytest.param(2, 2, 9, 8, Chunk(50), None, 2**18, id="chunk-50"),
]


@both_ways
@pytest.mark.parametrize(("heads", "kv", "tokens", "dim", "window", "softcap", "budget"), CASES)
def test_statistics_equal_the_oracle(monkeypatch, way, heads, kv, tokens, dim, window, softcap, budget):
    small_tiles(monkeypatch, budget)
    sample = encoded(tokens, seed=tokens)
    query, key, value = tensors(heads, kv, tokens, dim, seed=heads)
    masking = Masking(dim**-0.5, window, softcap)
    layout = sequence_layout(sample, 0, torch.device("cpu"), {3: (1,)} if way == "blocked" else None)
    output, statistics = WAYS[way](query, key, value, masking, layout, layer_idx=3)
    names = [*BASE_STATISTICS, *(f"mass_{name}" for name in sample.key_groups)]
    for head in range(heads):
        kv_head = head // (heads // kv)
        pattern = oracle.pattern(query[head], key[kv_head], dim**-0.5, window, softcap)
        np.testing.assert_allclose(output[:, head], pattern @ value[kv_head].double().numpy(), atol=1e-5)
        np.testing.assert_allclose(
            statistics.decision_pattern[head], pattern[sample.decision_position], atol=tolerance("weight").atol
        )
        rows = [oracle.row_statistics(pattern, i, sample.input_ids, sample.key_groups, window) for i in range(tokens)]
        for group, positions in enumerate(sample.query_groups.values()):
            means = oracle.group_mean([rows[i] for i in positions])
            for index, name in enumerate(names):
                found = float(statistics.means[head, group, index])
                expected = means.get(name)
                if expected is None:
                    assert np.isnan(found), (name, group)
                    continue
                allowed = tolerance(QUANTITY.get(name, "mass"))
                assert abs(found - expected) <= allowed.atol + allowed.rtol * abs(expected), (
                    name,
                    group,
                    found,
                    expected,
                )
    if way == "tiled":
        return
    kept = statistics.patterns[1]
    expected = oracle.pattern(query[1], key[1 // (heads // kv)], dim**-0.5, window, softcap)
    np.testing.assert_allclose(kept, expected[np.tril_indices(tokens)], atol=5e-4)


@pytest.mark.parametrize(
    "window",
    [None, 1, 4, 100, Chunk(1), Chunk(6), Chunk(100)],
    ids=["all", "1", "4", "100", "chunk-1", "chunk-6", "chunk-100"],
)
def test_baselines_equal_the_oracle(window):
    sample = encoded(53, seed=3, vocabulary=7)
    found = baselines(sample, window)
    rows = [oracle.row_baselines(i, sample.input_ids, sample.key_groups, window) for i in range(53)]
    names = [*(f"baseline_{name}" for name in sample.key_groups), "baseline_duplicate", "baseline_induction"]
    for group, positions in enumerate(sample.query_groups.values()):
        means = oracle.group_mean([rows[i] for i in positions])
        for index, name in enumerate(names):
            expected = means.get(name)
            assert np.isnan(found[group, index]) if expected is None else abs(found[group, index] - expected) < 1e-12, (
                name
            )


@both_ways
def test_large_scores_neither_overflow_nor_cancel(way):
    """Qwen2's key biases give scores of hundreds, where lse - q.(PK) would lose the entropy's digits."""
    sample = encoded(64, seed=1)
    query, key, value = tensors(2, 1, 64, 8, seed=5)
    key = key + 60.0
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    _, statistics = WAYS[way](query, key, value, Masking(8**-0.5), layout, 0)
    rows = []
    pattern = oracle.pattern(query[0], key[0], 8**-0.5)
    rows = [oracle.row_statistics(pattern, i, sample.input_ids, sample.key_groups) for i in range(64)]
    expected = oracle.group_mean(rows)["entropy_nats"]
    # Scores of 500 carry an absolute float32 error of about 3e-5 themselves, so weights do too.
    assert abs(float(statistics.means[0, 0, 0]) - expected) < 2e-4
    assert bool(torch.isfinite(statistics.means[:, 0]).all())


@both_ways
def test_half_precision_inputs_are_measured_in_float32(way):
    sample = encoded(50, seed=2)
    query, key, value = (t.to(torch.bfloat16) for t in tensors(4, 2, 50, 8, seed=9))
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    _, half = WAYS[way](query, key, value, Masking(8**-0.5), layout, 0)
    _, full = WAYS[way](query.float(), key.float(), value.float(), Masking(8**-0.5), layout, 0)
    assert torch.equal(half.means.nan_to_num(), full.means.nan_to_num())


class Projected(torch.nn.Module):
    """An attention module as far as its output projection goes."""

    def __init__(self, name, projection):
        super().__init__()
        setattr(self, name, projection)


@both_ways
@pytest.mark.parametrize(
    ("name", "heads", "kv"), [("o_proj", 4, 2), ("dense", 2, 2), ("c_proj", 4, 4), ("o_proj", 3, 1)]
)
def test_norm_weighted_masses_equal_the_oracle(monkeypatch, way, name, heads, kv):
    small_tiles(monkeypatch, 400)
    from transformers.pytorch_utils import Conv1D

    torch.manual_seed(heads)
    projection = Conv1D(20, heads * 8) if name == "c_proj" else torch.nn.Linear(heads * 8, 20)
    with torch.no_grad():
        projection.weight.normal_()
    columns = (projection.weight.T if name == "c_proj" else projection.weight).detach()
    sample = encoded(30, seed=8)
    query, key, value = tensors(heads, kv, 30, 8, seed=2)
    norms = value_norms(Projected(name, projection), value, heads).detach()
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    _, found = WAYS[way](query, key, value, Masking(8**-0.5), layout, 0, norms)
    width = len(sample.key_groups)
    assert found.means.shape[-1] == layout.num_statistics(norm_weighted=True)
    for head in range(heads):
        kv_head = head // (heads // kv)
        pattern = oracle.pattern(query[head], key[kv_head], 8**-0.5)
        weight = columns[:, head * 8 : (head + 1) * 8]
        rows = [oracle.norm_weighted_row(pattern, i, weight, value[kv_head], sample.key_groups) for i in range(30)]
        for group, positions in enumerate(sample.query_groups.values()):
            means = oracle.group_mean([rows[i] for i in positions])
            for index, key_group in enumerate(sample.key_groups):
                expected = means.get(f"norm_mass_{key_group}")
                measured = float(found.means[head, group, index - width])
                assert np.isnan(measured) if expected is None else abs(measured - expected) < 2e-6


def test_an_unknown_output_projection_is_refused():
    with pytest.raises(UnsupportedModelError, match="no output projection"):
        value_norms(Projected("final", torch.nn.Linear(8, 8)), torch.zeros(1, 3, 8), 1)
