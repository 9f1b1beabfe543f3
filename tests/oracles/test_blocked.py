"""The blocked backend beside float64 loops where a layer does more than scale: biases of keys, sinks, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.attention import blocks
from engine.attention.backends import blocked
from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.layout import sequence_layout
from engine.attention.masking import Chunk, KeyBias, Masking
from tests.oracles.attention import visible_keys
from tests.oracles.test_statistics import encoded, tensors

SLOPES = torch.tensor([0.5, 0.25, 0.125, 0.0625])
BIAS = KeyBias(lambda number: SLOPES[:, None] * torch.arange(number, dtype=torch.float32))
SINKS = torch.tensor([0.3, -1.0, 2.0, 0.0])
CPU = torch.device("cpu")

MASKINGS = {
    "biases": Masking(0.3, key_bias=BIAS),
    "biases and a window": Masking(0.3, 9, key_bias=BIAS),
    "sinks": Masking(0.3, 11, sinks=SINKS),
    "sinks, chunks and a cap": Masking(0.3, Chunk(13), 4.0, SINKS),
    "biases, chunks and a cap": Masking(0.3, Chunk(13), 4.0, key_bias=BIAS),
}


def by_loops(query, key, masking):
    """Return one head's pattern ``[T, T]`` and null mass ``[T]`` of each head, in float64."""
    num_heads, num_tokens, _ = query.shape
    group = num_heads // key.shape[0]
    patterns, null = np.zeros((num_heads, num_tokens, num_tokens)), np.zeros((num_heads, num_tokens))
    for head in range(num_heads):
        for i in range(num_tokens):
            keys = list(visible_keys(i, masking.window))
            scores = [float(query[head, i].double() @ key[head // group, j].double()) * masking.scaling for j in keys]
            if masking.softcap is not None:
                scores = [masking.softcap * math.tanh(score / masking.softcap) for score in scores]
            if masking.key_bias is not None:
                scores = [score + float(SLOPES[head]) * (j - i) for score, j in zip(scores, keys, strict=True)]
            weights = [math.exp(score) for score in scores]
            patterns[head, i, keys] = np.array(weights) / sum(weights)
            if masking.sinks is not None:
                sink = math.exp(float(masking.sinks[head]))
                null[head, i] = sink / (sink + sum(weights))
    return patterns, null


@pytest.mark.parametrize("name", list(MASKINGS))
@pytest.mark.parametrize("budget", [2**18, 300])
def test_biases_and_sinks_equal_the_loops(monkeypatch, name, budget):
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", budget)
    masking = MASKINGS[name]
    query, key, value = tensors(4, 2, 43, 8, seed=3)
    sample = encoded(43, seed=4)
    output, found = blocked.attend(LayerCall(query, key, value, masking, 2), sequence_layout(sample, 0, CPU, {2: (3,)}))
    patterns, null = by_loops(query, key, masking)
    kept = (patterns * (1 - null[:, :, None])) @ value.double().numpy().repeat(2, axis=0)
    np.testing.assert_allclose(output.transpose(0, 1), kept, atol=2e-6)
    np.testing.assert_allclose(found.decision_pattern, patterns[:, sample.decision_position], atol=2e-6)
    np.testing.assert_allclose(found.patterns[3], patterns[3][np.tril_indices(43)], atol=5e-4)
    entropy = [[-sum(p * math.log(p) for p in row if p > 0) for row in head] for head in patterns]
    np.testing.assert_allclose(found.means[:, 0, 0], np.mean(entropy, axis=1), atol=2e-5)
    if masking.sinks is None:
        assert found.null_mass is None
        return
    assert found.null_mass is not None
    groups = [null[:, positions].mean(axis=1) for positions in sample.query_groups.values() if len(positions)]
    expected = np.stack([*groups, null[:, sample.decision_position]], axis=1)
    is_full = [len(positions) > 0 for positions in sample.query_groups.values()] + [True]
    np.testing.assert_allclose(found.null_mass[:, is_full], expected, atol=2e-6)


@pytest.mark.parametrize("window", [None, 7, Chunk(10)], ids=str)
def test_gradients_of_the_output_are_those_of_plain_attention(monkeypatch, window):
    """The room for scores is shared by blocks; where gradients are wanted each block must keep its own."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 300)
    given = [part.requires_grad_() for part in tensors(4, 2, 31, 8, seed=6)]
    layout = sequence_layout(encoded(31, seed=1), 0, CPU)
    goal = torch.randn(31, 4, 8, generator=torch.Generator().manual_seed(1))
    output, statistics = blocked.attend(LayerCall(*given, Masking(0.4, window)), layout)
    found = torch.autograd.grad((output * goal).sum(), given)
    query, key, value = (part.detach().double().requires_grad_() for part in given)
    hidden = torch.ones(31, 31, dtype=torch.bool)
    for row in range(31):
        hidden[row, list(visible_keys(row, window))] = False
    scores = (query @ key.repeat_interleave(2, dim=0).mT) * 0.4
    plain = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ value.repeat_interleave(2, dim=0)
    expected = torch.autograd.grad((plain.transpose(0, 1) * goal.double()).sum(), (query, key, value))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, atol=2e-5, rtol=1e-4)
    with torch.no_grad():
        _, without = blocked.attend(LayerCall(*given, Masking(0.4, window)), layout)
    assert not statistics.means.requires_grad and torch.equal(statistics.means.nan_to_num(), without.means.nan_to_num())


@pytest.mark.parametrize("window", [None, 7, Chunk(10)], ids=str)
@pytest.mark.parametrize("num_rows", [1, 20, 45])
def test_blocks_averaged_over_heads_are_the_first_rows_of_the_mean_pattern(monkeypatch, window, num_rows):
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 300)
    query, key, _ = tensors(6, 3, 45, 4, seed=7)
    patterns, _ = by_loops(query, key, Masking(0.5, window))
    found = np.zeros((num_rows, 45))
    covered = []
    for first, end, first_key, rows in blocked.head_averaged_blocks(query, key, Masking(0.5, window), num_rows):
        assert rows.shape == (end - first, end - first_key)
        found[first:end, first_key:end] = rows.numpy()
        covered += range(first, end)
    assert covered == list(range(num_rows))
    np.testing.assert_allclose(found, patterns.mean(axis=0)[:num_rows], atol=1e-6)


def test_packed_sequences_are_written_where_they_stand():
    """Each one's rows of the output, in the output's dtype, and its statistics as if it stood alone."""
    query, key, value = tensors(4, 2, 50, 8, seed=8)
    layouts = [sequence_layout(encoded(20, seed=1), 0, CPU), sequence_layout(encoded(30, seed=2), 20, CPU)]
    output = torch.full((50, 4, 8), torch.nan, dtype=torch.float64)
    backend, call = blocked.create(CPU, is_asked_for=True), LayerCall(query, key, value, Masking(0.4))
    assert backend.covers(call, PackedRow(layouts))
    together = backend.attend(call, PackedRow(layouts), output)
    for layout, found in zip(layouts, together, strict=True):
        rows = slice(layout.start, layout.start + layout.num_tokens)
        alone, expected = blocked.attend(LayerCall(query[:, rows], key[:, rows], value[:, rows], Masking(0.4)), layout)
        assert torch.equal(output[rows], alone.double())
        assert torch.equal(found.means.nan_to_num(), expected.means.nan_to_num())
