"""The compiled attention of CPUs: what tiles may do to sums, what is left to ``blocked``, and where it is built."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from engine.attention.backends import tile_kernel, tiled
from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.choice import BackendChoice
from engine.attention.layout import INDEX, sequence_layout
from engine.attention.masking import Masking
from engine.attention.matches import TokenMatches, token_matches
from engine.tolerances import tolerance
from tests.oracles.test_statistics import QUANTITY, encoded, tensors
from tests.oracles.ways import WAYS, blocked_attend, both_ways, tiled_attend

CPU = torch.device("cpu")


def in_float64(query, key, sample, scaling):
    """Return the means over all rows of a few statistics of one head, from its whole pattern in float64."""
    num_tokens = query.shape[0]
    scores = (query.double() @ key.double().T * scaling).masked_fill(
        torch.ones(num_tokens, num_tokens).triu(1) > 0, -np.inf
    )
    pattern = scores.softmax(dim=-1)
    rows = torch.arange(num_tokens)[:, None]
    same, after = token_matches(torch.from_numpy(sample.input_ids.astype(np.int64)), 0, num_tokens, 0, None)
    mean_where = {"duplicate_token": same, "induction": after}
    found = {
        "entropy_nats": torch.special.entr(pattern).sum(-1).mean(),
        "mean_distance": (pattern * (rows - rows.T)).sum(-1).mean(),
        "collision": pattern.square().sum(-1).mean(),
        "max_weight": pattern.amax(-1).mean(),
    }
    for name, mask in mean_where.items():
        found[name] = (pattern * mask).sum(-1)[mask.any(-1)].mean()
    return {name: float(value) for name, value in found.items()}


def direction(kind, key):
    """Scale keys so that scores rise, fall or stay along the sequence; rising ones raise every tile's largest."""
    ramp = torch.linspace(0.1, 3.0, key.shape[1])[:, None]
    return {"rising": key * ramp, "falling": key * ramp.flip(0), "level": key}[kind]


@both_ways
@pytest.mark.parametrize("kind", ["rising", "falling", "level"])
@pytest.mark.parametrize("vocabulary", [1, 3, 500])
def test_thousands_of_keys_in_many_tiles_equal_float64(monkeypatch, way, kind, vocabulary):
    monkeypatch.setattr(tiled, "TILE_ELEMENTS", 2**14)
    sample = encoded(1500, seed=vocabulary, vocabulary=vocabulary)
    query, key, value = tensors(3, 1, 1500, 16, seed=4, scale=1.2)
    key = direction(kind, key)
    _, found = WAYS[way](query, key, value, Masking(0.25), sequence_layout(sample, 0, CPU), 0)
    for head in range(3):
        for name, expected in in_float64(query[head], key[0], sample, 0.25).items():
            allowed = tolerance(QUANTITY.get(name, "mass"))
            measured = float(found.means[head, 0, INDEX[name]])
            assert abs(measured - expected) <= allowed.atol + allowed.rtol * abs(expected), (name, measured, expected)


def test_a_head_on_the_previous_token_has_a_distance_of_one_however_far_it_stands():
    """Distances to what lies near must not be differences of large sums."""
    num_tokens = 3000
    sample = encoded(num_tokens, seed=1)
    turn = torch.arange(num_tokens) * 0.7
    waves = [torch.stack((torch.cos(turn * f), torch.sin(turn * f)), dim=-1) for f in (1.0, 0.31, 0.097, 0.0113)]
    key = torch.cat(waves, dim=-1)[None] * 20
    query = torch.roll(key, 1, dims=1)
    for attend in WAYS.values():
        _, found = attend(query, key, key, Masking(1.0), sequence_layout(sample, 0, CPU), 0)
        decision = found.means[0, 1]
        assert abs(float(decision[INDEX["previous_token"]]) - 1) < 1e-6
        assert abs(float(decision[INDEX["mean_distance"]]) - 1) < 1e-5


@pytest.mark.parametrize("window", [None, 1, 5, 40])
@pytest.mark.parametrize("vocabulary", [1, 4, 60])
def test_rows_with_a_match_are_those_that_the_pairs_name(window, vocabulary):
    ids = torch.from_numpy(encoded(60, seed=vocabulary, vocabulary=vocabulary).input_ids.astype(np.int64))
    expected = token_matches(ids, 0, 60, 0, window).any(dim=-1)
    assert torch.equal(TokenMatches(ids).rows_with_match(window), expected)


@both_ways
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_seen(way, bad):
    sample = encoded(200, seed=2)
    query, key, value = tensors(2, 1, 200, 8, seed=3)
    key[0, 77, 2] = bad
    _, found = WAYS[way](query, key, value, Masking(0.3), sequence_layout(sample, 0, CPU), 0)
    assert not found.is_finite


def test_scores_hundreds_below_the_largest_weigh_nothing():
    sample = encoded(300, seed=2)
    query, key, value = tensors(2, 1, 300, 8, seed=3)
    key[0, :, 0], query[:, :, 0] = -400.0, 1.0
    key[0, 40:45, 0] = 0.0
    _, found = tiled_attend(query, key, value, Masking(1.0), sequence_layout(sample, 0, CPU), 0)
    _, expected = blocked_attend(query, key, value, Masking(1.0), sequence_layout(sample, 0, CPU), 0)
    torch.testing.assert_close(found.means, expected.means, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert found.is_finite


def test_what_asks_for_more_is_left_to_blocked():
    query, key, value = tensors(2, 1, 20, 8, seed=3)
    layout = sequence_layout(encoded(20, 0), 0, CPU)

    def covers(query, value):
        return tiled.TiledBackend(None).covers(LayerCall(query, key, value, Masking(0.3)), PackedRow([layout]))

    assert covers(query, value)
    assert not covers(query.requires_grad_(), value)
    with torch.no_grad():
        assert covers(query, value)
    with torch._subclasses.FakeTensorMode():
        assert not covers(torch.empty(2, 20, 8), torch.empty(1, 20, 8))
    assert not covers(query.to("meta"), value)


def test_of_a_packed_row_only_the_sequence_whose_patterns_are_kept_is_left_to_blocked():
    query, key, value = tensors(2, 1, 50, 8, seed=3)
    plain = sequence_layout(encoded(30, 0), 0, CPU)
    kept = sequence_layout(encoded(20, 1), 30, CPU, {1: (0,)})
    call, row = LayerCall(query, key, value, Masking(0.3), 1), PackedRow([plain, kept])
    kernel = tile_kernel.tile_kernel()
    if kernel is None:
        pytest.skip("no C compiler here")
    output = torch.empty(50, 2, 8)
    first, second = tiled.TiledBackend(kernel).attend(call, row, output)
    rows = [slice(0, 30), slice(30, 50)]
    for way, found, layout, part in zip(WAYS, (second, first), (kept, plain), reversed(rows), strict=True):
        of_part = (query[:, part], key[:, part], value[:, part])
        expected_output, expected = WAYS[way](*of_part, Masking(0.3), layout, 1)
        assert torch.equal(output[part], expected_output)
        assert torch.equal(found.means.nan_to_num(), expected.means.nan_to_num())
        assert list(found.patterns) == list(expected.patterns)


@pytest.fixture
def unbuilt():
    """Forget what was built before and after a test."""
    tile_kernel.tile_kernel.cache_clear()
    yield
    tile_kernel.tile_kernel.cache_clear()


@pytest.mark.parametrize(
    ("compiler", "said"),
    [("no-such-compiler", "no C compiler"), ("false", "false cannot build"), ("true", "true cannot build")],
)
def test_without_a_working_compiler_torch_computes_the_same(monkeypatch, caplog, unbuilt, compiler, said):
    monkeypatch.setenv("CC", compiler)
    sample = encoded(90, seed=5)
    query, key, value = tensors(4, 2, 90, 8, seed=6)
    layout = sequence_layout(sample, 0, CPU)
    with caplog.at_level(logging.INFO):
        backend = BackendChoice("auto", CPU)
    assert list(backend.backends) == ["blocked"] and said in caplog.text
    output = torch.empty(90, 4, 8)
    (found,) = backend.attend(LayerCall(query, key, value, Masking(0.3)), PackedRow([layout]), output)
    expected_output, expected = tiled_by_default(monkeypatch, query, key, value, layout)
    torch.testing.assert_close(found.means, expected.means, rtol=1e-5, atol=1e-6, equal_nan=True)
    torch.testing.assert_close(output, expected_output, rtol=1e-5, atol=1e-5)


def test_without_room_for_the_build_torch_computes(monkeypatch, caplog, unbuilt):
    def full(**_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tile_kernel.tempfile, "TemporaryDirectory", full)
    with caplog.at_level(logging.INFO):
        backend = BackendChoice("auto", CPU)
    assert list(backend.backends) == ["blocked"] and ("No space left" in caplog.text or "no C compiler" in caplog.text)
    assert backend.method == "blocked"


def tiled_by_default(monkeypatch, *operands):
    """Compute with the machine's own compiler again."""
    monkeypatch.delenv("CC")
    tile_kernel.tile_kernel.cache_clear()
    query, key, value, layout = operands
    return tiled_attend(query, key, value, Masking(0.3), layout, 0)


def test_options_that_a_compiler_does_not_know_are_left_out(monkeypatch, tmp_path, unbuilt):
    picky = tmp_path / "picky"
    picky.write_text('#!/bin/sh\ncase "$*" in *-fopenmp*|*-march*) exit 1;; esac\nexec cc "$@"\n')
    picky.chmod(0o755)
    monkeypatch.setenv("CC", str(picky))
    if tile_kernel.shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    sample, masking = encoded(90, seed=5), Masking(0.3)
    query, key, value = tensors(4, 2, 90, 8, seed=6)
    layout = sequence_layout(sample, 0, CPU)
    _, found = tiled_attend(query, key, value, masking, layout, 0)
    _, expected = blocked_attend(query, key, value, masking, layout, 0)
    torch.testing.assert_close(found.means, expected.means, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_more_threads_give_the_same_numbers():
    sample = encoded(1200, seed=7)
    query, key, value = tensors(6, 2, 1200, 16, seed=8)
    layout, before = sequence_layout(sample, 0, CPU), torch.get_num_threads()
    found = {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found[threads] = tiled_attend(query, key, value, Masking(0.25), layout, 0)[1].means
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[1], found[2], rtol=1e-5, atol=1e-6, equal_nan=True)


def test_only_auto_on_a_cpu_takes_the_compiled_pass():
    assert BackendChoice("blocked", CPU).method == "blocked"
    assert BackendChoice("auto", torch.device("meta")).method == "blocked"
    expected = "blocked" if tile_kernel.tile_kernel() is None else "compiled"
    assert BackendChoice("auto", CPU).method == expected
