"""Sequences that begin with the same rows: one packed row that holds these once, against each sequence alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import shared_prefixes
from engine.attention.backends.backend import KnownRows, LayerCall, PackedRow
from engine.attention.backends.blocked import BlockedBackend
from engine.attention.backends.tile_kernel import tile_kernel
from engine.attention.backends.tiled import TiledBackend
from engine.attention.layout import packed_ids, packed_positions, sequence_layout
from engine.attention.masking import Chunk, KeyBias, Masking
from engine.attention.readers.received import ReceivedRows
from engine.encoded_samples import EncodedSample
from engine.schema import BASE_STATISTICS
from engine.shared_prefixes import placements
from engine.tolerances import tolerance
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import QUANTITY, tensors
from tests.oracles.ways import both_ways, small_tiles

CPU = torch.device("cpu")
PROMPT = 40


def sample(ids, decision, *, marked=()):
    """Return a sample whose key groups follow from its tokens, but for positions that are marked."""
    ids = np.asarray(ids, dtype=np.int32)
    num_tokens, zeros = len(ids), np.zeros(len(ids), np.int32)
    groups = {
        "some": np.union1d(np.flatnonzero(ids % 3 == 0), np.asarray(marked, dtype=int)),
        "none": np.array([], int),
        "written": np.arange(PROMPT, max(num_tokens, PROMPT)),
    }
    queries = {
        "all": np.arange(num_tokens),
        "decision": np.array([decision]),
        "response": np.arange(PROMPT, max(num_tokens, PROMPT)),
    }
    return EncodedSample(
        "s", {}, "", ids, zeros, zeros, zeros, min(PROMPT, num_tokens), decision, (0, 1),
        {name: group.astype(np.int32) for name, group in groups.items()},
        {name: group.astype(np.int32) for name, group in queries.items()},
    )  # fmt: skip


def family():
    """Return samples that share rows in every way there is; see the comments."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 11, 200)
    root = ids[:61]
    second = np.concatenate((root[:PROMPT], ids[100:115]))
    return [
        sample(ids[150:170], 17),  # of its own
        sample(second, PROMPT - 1),  # another answer to the root's prompt, decided in the prompt's last row
        sample(np.concatenate((second[:48], ids[120:126])), 50),  # goes on from the middle of the second's answer
        sample(root, 57),
        sample(second, PROMPT - 1),  # the second again: no row of its own
        sample(root[:30], 27),  # the beginning of the root, decided in a shared row
        sample(np.concatenate((root[:PROMPT], ids[130:139])), 45, marked=[11]),  # other key groups from row 11 on
        sample(second, 52),  # the second with another decision
    ]


EXPECTED = [
    None,
    KnownRows(3, 39),  # the decision's row counts to another query group than in the root
    KnownRows(3, 40),
    None,
    KnownRows(1, 55),
    KnownRows(3, 27),
    KnownRows(3, 11),
    KnownRows(3, 40),
]
OWN = [20, 15, 6, 61, 0, 0, 9, 0]


def layouts_of(samples, monkeypatch, *, shares=True, reads=False, receives=False, patterns=()):
    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 8)
    places = placements([one.input_ids for one in samples], shares=shares)
    found = []
    for number, (one, place) in enumerate(zip(samples, places, strict=True)):
        asked = ReceivedRows.of(np.arange(one.num_tokens, dtype=np.int32) // 5, 4, 2, 3) if receives else None
        heads = {0: (1, 2)} if number in patterns else None
        found.append(sequence_layout(one, place.start, CPU, heads, reads, asked, prefix=place.prefix))
    return found


def backend_of(way):
    if way == "blocked":
        return BlockedBackend()
    kernel = tile_kernel()
    if kernel is None:
        pytest.skip("no C compiler here")
    return TiledBackend(kernel)


MASKINGS = {
    "plain": Masking(8**-0.5),
    "window": Masking(8**-0.5, 9),
    "chunks": Masking(8**-0.5, Chunk(12)),
    "softcap": Masking(8**-0.5, None, 5.0),
    "sinks": Masking(8**-0.5, 25, sinks=torch.tensor([0.5, -1.0, 2.0, 0.0])),
    "biases": Masking(8**-0.5, key_bias=KeyBias(lambda n: torch.arange(n) * torch.tensor([[0.5], [0.2], [0.1], [0]]))),
}


def close(found, expected, quantity):
    allowed = tolerance(quantity)
    torch.testing.assert_close(found, expected, rtol=allowed.rtol, atol=2 * allowed.atol, equal_nan=True)


def compare(found, expected):
    """Compare the statistics of two ways."""
    names = [*BASE_STATISTICS, *["mass"] * (found.means.shape[-1] - len(BASE_STATISTICS))]
    assert found.means.shape == expected.means.shape
    for index, name in enumerate(names):
        close(found.means[..., index], expected.means[..., index], QUANTITY.get(name, "mass"))
    close(found.decision_pattern, expected.decision_pattern, "weight")
    assert bool(found.is_finite) and found.patterns.keys() == expected.patterns.keys()
    for head, pattern in found.patterns.items():
        torch.testing.assert_close(pattern, expected.patterns[head], rtol=0, atol=1e-3)
    for mine, other in ((found.null_mass, expected.null_mass),):
        assert (mine is None) == (other is None)
        if mine is not None:
            close(mine, other, "mass")
    if expected.reading is not None:
        for part, quantity in enumerate(("distance", "drift", "mass")):
            close(found.reading[..., part], expected.reading[..., part], quantity)
    if expected.received is not None:
        for name in ("sink", "values", "scores", "flow"):
            close(getattr(found.received, name), getattr(expected.received, name), "mass")


def both(way, masking, samples, monkeypatch, value_norms=None, **options):
    """Return what the packed row gives of each sample, and what it gives alone; outputs beside."""
    layouts = layouts_of(samples, monkeypatch, **options)
    row, backend = PackedRow(layouts), backend_of(way)
    total = len(packed_ids(layouts))
    query, key, value = tensors(4, 2, total, 8, seed=5)
    norms = None if value_norms is None else value_norms(total)
    call, output = LayerCall(query, key, value, masking, 0, norms), torch.full((total, 4, 8), torch.nan)
    backend.prepare(layouts)
    found = backend.attend(call, row, output)
    assert not output.isnan().any()
    for layout, statistics in zip(layouts, found, strict=True):
        part, alone = call.of_sequence(layout), layout.alone()
        expected_output = torch.empty((layout.num_tokens, 4, 8))
        (expected,) = backend.attend(part, PackedRow([alone]), expected_output)
        compare(statistics, expected)
        torch.testing.assert_close(
            output[layout.packed_rows(torch.arange(layout.num_tokens))], expected_output, rtol=0, atol=1e-5
        )
    return call, row, found


@both_ways
@pytest.mark.parametrize("name", MASKINGS)
@pytest.mark.parametrize("budget", [300, 2**18])
def test_shared_rows_count_for_each_sample(monkeypatch, way, name, budget):
    small_tiles(monkeypatch, budget)
    samples = family()
    call, row, found = both(way, MASKINGS[name], samples, monkeypatch)
    assert row.known_rows == EXPECTED
    assert [layout.num_tokens - layout.num_shared for layout in row.layouts] == OWN
    if MASKINGS[name].sinks is not None or MASKINGS[name].key_bias is not None:
        return
    masking = call.masking
    for one, layout, statistics in zip(samples, row.layouts, found, strict=True):
        part = call.of_sequence(layout)
        pattern = oracle.pattern(part.query[3], part.key[1], masking.scaling, masking.window, masking.softcap)
        rows = [
            oracle.row_statistics(pattern, i, one.input_ids, one.key_groups, masking.window)
            for i in range(one.num_tokens)
        ]
        for group, positions in enumerate(one.query_groups.values()):
            means = oracle.group_mean([rows[i] for i in positions])
            for index, key in enumerate([*BASE_STATISTICS, *(f"mass_{key}" for key in one.key_groups)]):
                value, allowed = float(statistics.means[3, group, index]), tolerance(QUANTITY.get(key, "mass"))
                if means.get(key) is None:
                    assert np.isnan(value), (key, group)
                else:
                    assert abs(value - means[key]) <= allowed.atol + allowed.rtol * abs(means[key]), (key, group)


@both_ways
@pytest.mark.parametrize("name", ["plain", "window", "chunks", "sinks", "biases"])
@pytest.mark.parametrize("receives", [True, False], ids=["with receiving", "alone"])
def test_reading_and_receiving_see_shared_rows(monkeypatch, way, name, receives):
    small_tiles(monkeypatch, 300)
    both(way, MASKINGS[name], family(), monkeypatch, reads=True, receives=receives)


@both_ways
def test_whole_patterns_hold_shared_rows(monkeypatch, way):
    options = {"reads": True, "receives": True}
    _, _, found = both(way, MASKINGS["window"], family(), monkeypatch, patterns=(1, 3, 4, 5), **options)
    assert [sorted(one.patterns) for one in found] == [[], [1, 2], [], [1, 2], [1, 2], [1, 2], [], []]


@both_ways
def test_norm_weighted_masses_of_shared_rows(monkeypatch, way):
    def norms(total):
        return torch.rand((4, total), generator=torch.Generator().manual_seed(1)) + 0.1

    both(way, MASKINGS["softcap"], family(), monkeypatch, value_norms=norms)


def test_a_broken_shared_row_breaks_every_sample_that_has_it(monkeypatch):
    layouts = layouts_of(family(), monkeypatch)
    query, key, value = tensors(4, 2, len(packed_ids(layouts)), 8, seed=5)
    query[:, layouts[3].start + 20] = torch.nan
    output = torch.empty((query.shape[1], 4, 8))
    found = BlockedBackend().attend(LayerCall(query, key, value, Masking(0.3)), PackedRow(layouts), output)
    assert [bool(one.is_finite) for one in found] == [True, *[False] * 7]


def test_where_rows_lie(monkeypatch):
    samples = family()
    layouts = layouts_of(samples, monkeypatch)
    ids, positions = packed_ids(layouts), packed_positions(layouts)
    assert len(ids) == sum(OWN) == len(positions)
    for one, layout in zip(samples, layouts, strict=True):
        rows = torch.arange(one.num_tokens)
        places = layout.packed_rows(rows)
        assert ids[places].tolist() == one.input_ids.tolist() and positions[places].tolist() == rows.tolist()
        assert [layout.packed_row(row) for row in rows.tolist()] == places.tolist()
        assert layout.gathered(ids[None]).tolist() == [one.input_ids.tolist()]
    apart = layouts_of(samples, monkeypatch, shares=False)
    assert [layout.prefix for layout in apart] == [()] * len(samples)
    assert [layout.start for layout in apart] == np.cumsum([0, *(len(one.input_ids) for one in samples)])[:-1].tolist()
    assert replace(layouts[1], start=0, prefix=()).token_ids.tolist() == layouts[1].alone().token_ids.tolist()
