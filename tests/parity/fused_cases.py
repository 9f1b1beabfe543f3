"""Checks of the fused attention against the float64 oracle and ``blocked``, on whatever device it runs.

``python -m tests.parity.fused_cases`` runs all of them (``some``: fewer), with TRITON_INTERPRET=1 on the CPU, else on
CUDA: Triton reads that variable once, when it is imported, so the interpreter needs a process of its own. It prints one
line per case.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from engine.attention.backends import blocked
from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.fused import row as fused_row
from engine.attention.backends.fused.backend import FusedBackend
from engine.attention.backends.fused.tiling import Tiling
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import sequence_layout
from engine.attention.masking import Chunk, KeyBias, Masking, Window
from engine.attention.readers.received import ReceivedRows
from engine.encoded_samples import EncodedSample
from engine.measuring.probe import Probe
from engine.schema import BASE_STATISTICS
from engine.tolerances import tolerance
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import QUANTITY, tensors

OUTPUT_ATOL = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
"""Of the output; half-precision weights meet half-precision values, as in any flash attention."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One packed row: sizes, masking, dtype."""

    name: str
    lengths: tuple[int, ...]
    heads: int = 2
    kv: int = 1
    dim: int = 16
    value_dim: int | None = None
    window: Window = None
    softcap: float | None = None
    sinks: bool = False
    bias: bool = False
    dtype: torch.dtype = torch.float32
    groups: int = 3
    norms: bool = False
    scale: float = 1.0
    small_tiles: bool = False
    reads: bool = False


def cases(every: bool = True) -> list[Case]:
    """Return the matrix of shapes, masks and dtypes; if wanted with one dtype for each size of heads."""
    found = [
        Case("mha", (41,), heads=2, kv=2),
        Case("gqa", (41,), heads=4, kv=2),
        Case("mqa", (41,), heads=3, kv=1),
        Case("one token", (1,)),
        Case("two tokens", (2,), window=1),
        Case("packed", (1, 2, 15, 16, 17, 40), small_tiles=True),
        Case("packed, window", (1, 2, 15, 16, 17, 40), window=5, small_tiles=True),
        Case("packed, long window, softcap", (33, 64, 9), window=24, softcap=4.0, small_tiles=True),
        Case("whole blocks", (63, 64, 65)),
        Case("two large blocks", (129,), heads=1, dtype=torch.bfloat16, dim=32),
        Case("window wider than the sequence", (20,), window=100),
        Case("window of one tile", (70,), window=16, small_tiles=True),
        Case("scores of hundreds", (40,), scale=12.0, small_tiles=True),
        Case("values of another width", (30,), dim=32, value_dim=16),
        Case("odd head", (30,), dim=6),
        Case("norm-weighted", (30, 17), heads=4, kv=2, norms=True, small_tiles=True),
        Case("norm-weighted, half", (30,), norms=True, window=9, dtype=torch.bfloat16),
        Case("groups over two passes, norms", (33,), groups=40, norms=True, small_tiles=True),
        Case("reading", (41,), heads=4, kv=2, reads=True),
        Case("reading, packed, window", (1, 2, 15, 16, 17, 40), window=5, small_tiles=True, reads=True),
        Case("reading, capped, half", (37, 20), softcap=4.0, dtype=torch.bfloat16, dim=32, reads=True),
        Case("reading, norms over two passes", (33, 9), groups=40, norms=True, small_tiles=True, reads=True),
    ]
    found += [
        Case("chunks", (1, 2, 15, 16, 17, 40), heads=4, kv=2, window=Chunk(6), small_tiles=True, reads=True),
        Case("chunks of a tile", (70, 33), window=Chunk(16), small_tiles=True),
        Case("chunks of one", (20,), window=Chunk(1), small_tiles=True),
        Case("chunks, large blocks", (129,), heads=1, window=Chunk(100), dtype=torch.bfloat16, dim=32),
        Case("chunks wider than the sequence", (20,), window=Chunk(100)),
        Case("sinks", (41, 9), heads=4, kv=2, sinks=True, small_tiles=True, reads=True),
        Case("sinks, window, half", (37, 20), heads=4, kv=2, window=9, sinks=True, dtype=torch.bfloat16, dim=32),
        Case("sinks, norms over two passes", (33,), groups=40, norms=True, sinks=True, small_tiles=True),
        Case("biases", (1, 2, 15, 16, 17, 40), heads=4, kv=2, bias=True, small_tiles=True, reads=True),
        Case("biases, window, softcap, half", (37, 70), window=24, softcap=4.0, bias=True, dtype=torch.float16),
        Case("biases, chunks", (129,), heads=3, window=Chunk(50), bias=True),
    ]
    found += [Case(f"{count} key groups", (33,), groups=count, small_tiles=True) for count in (0, 1, 14, 16, 40, 150)]
    kinds = ((torch.float32, None, None), (torch.bfloat16, 20, None), (torch.float16, None, 6.0))
    for number, dim in enumerate((16, 32, 64, 80, 96, 128, 256)):
        found += [
            Case(f"head {dim} {str(dtype)[6:]}", (37,), dim=dim, dtype=dtype, window=window, softcap=softcap)
            for place, (dtype, window, softcap) in enumerate(kinds)
            if every or place == number % len(kinds)
        ]
    return found


def encoded(num_tokens: int, seed: int, num_groups: int) -> EncodedSample:
    """Return a sample of few token ids with so many key groups, and query groups of which one is empty."""
    rng = np.random.default_rng(seed)
    empty = np.zeros(num_tokens, np.int32)
    decision = max(0, num_tokens - 3)
    keys = {f"g{i}": np.flatnonzero(rng.random(num_tokens) < 0.3) for i in range(num_groups)}
    if num_groups > 1:
        keys["g0"], keys["g1"] = np.arange(num_tokens), np.array([], int)
    queries = {
        "all": np.arange(num_tokens),
        "decision": np.array([decision]),
        "empty": np.array([], int),
        "response": np.arange(num_tokens // 2, num_tokens),
        "first_row": np.array([0]),
    }
    return EncodedSample(
        "s",
        {},
        "",
        rng.integers(0, 11, num_tokens).astype(np.int32),
        empty,
        empty,
        empty,
        num_tokens // 2,
        decision,
        (0, 1),
        {name: group.astype(np.int32) for name, group in keys.items()},
        {name: group.astype(np.int32) for name, group in queries.items()},
    )


def masking_of(case: Case, device: torch.device) -> Masking:
    """Return a case's masking: sinks from far below all scores to far above, biases as ALiBi has them."""
    sinks = torch.linspace(-30.0, 30.0, case.heads, device=device) if case.sinks else None
    slopes = 2.0 ** -torch.arange(1.0, case.heads + 1, device=device)[:, None]
    bias = KeyBias(lambda number: slopes * torch.arange(number, device=device)) if case.bias else None
    return Masking(case.dim**-0.5, case.window, case.softcap, sinks, bias)


def check(case: Case, device: torch.device) -> None:
    """Compare one case, sequence by sequence: every head with ``blocked``, the last head with the oracle too."""
    samples = [encoded(length, seed=length + 7 * i, num_groups=case.groups) for i, length in enumerate(case.lengths)]
    starts = np.concatenate(([0], np.cumsum(case.lengths)))
    sentences = [np.arange(length, dtype=np.int32) // 3 for length in case.lengths]
    asked = [ReceivedRows.of(numbers, 4, 2, 2) if case.reads else None for numbers in sentences]
    layouts = [
        sequence_layout(s, int(at), device, with_reading=case.reads, received=received)
        for s, at, received in zip(samples, starts[:-1], asked, strict=True)
    ]
    query, key, value = tensors(case.heads, case.kv, int(starts[-1]), case.dim, seed=3, scale=case.scale)
    value = value[..., : case.value_dim or case.dim] / case.scale
    # As models give them: heads side by side, so that rows are not contiguous.
    query, key, value = (
        t.transpose(0, 1).contiguous().to(device, case.dtype).transpose(0, 1) for t in (query, key, value)
    )
    norms = None
    if case.norms:
        norms = torch.rand(query.shape[:2], generator=torch.Generator().manual_seed(0)).to(device) * 3e5
        norms[0] = 0
    masking = masking_of(case, device)
    output = torch.empty((query.shape[1], case.heads, value.shape[-1]), dtype=torch.float32, device=device)
    call, row, backend = LayerCall(query, key, value, masking, 0, norms), PackedRow(layouts), FusedBackend()
    assert backend.covers(call, row)
    found = backend.attend(call, row, output)
    for sample, layout, statistics in zip(samples, layouts, found, strict=True):
        rows = slice(layout.start, layout.start + layout.num_tokens)
        parts = (query[:, rows], key[:, rows], value[:, rows])
        reference, expected = blocked.attend(call.of_sequence(layout), layout)
        deviation = float((output[rows] - reference).abs().max())
        assert deviation <= OUTPUT_ATOL[case.dtype] * float(reference.abs().max().clamp(min=1)), f"output: {deviation}"
        assert bool(statistics.is_finite)
        assert statistics.means.shape == expected.means.shape
        assert (statistics.null_mass is None) == (not case.sinks)
        if statistics.null_mass is not None and expected.null_mass is not None:
            null, wanted = statistics.null_mass.cpu(), expected.null_mass.cpu()
            assert bool((null.isnan() == wanted.isnan()).all()), "null mass: other groups have rows"
            _compare(case, "mass", null.nan_to_num().numpy(), wanted.nan_to_num().numpy(), 2.0)
        _compare_rows(case, statistics.decision_pattern.cpu(), expected.decision_pattern.cpu())
        names = [*BASE_STATISTICS, *(["mass"] * (expected.means.shape[-1] - len(BASE_STATISTICS)))]
        for index, name in enumerate(names):
            a, b = statistics.means[..., index].cpu(), expected.means[..., index].cpu()
            assert bool((a.isnan() == b.isnan()).all()), f"{name}: other rows are defined"
            _compare(case, name, a.nan_to_num().numpy(), b.nan_to_num().numpy(), 2.0)
        _compare_with_oracle(case, sample, parts, statistics)
        if case.reads:
            _compare_reading(case, sample, parts, statistics)


def _compare_with_oracle(case: Case, sample: EncodedSample, parts: Any, statistics: Any) -> None:
    head = case.heads - 1
    query, key = (part.double().cpu() for part in parts[:2])
    pattern = oracle.pattern(query[head], key[-1], case.dim**-0.5, case.window, case.softcap, _slope(case, head))
    _compare_rows(case, statistics.decision_pattern[head].cpu(), torch.from_numpy(pattern[sample.decision_position]))
    groups = dict(list(sample.key_groups.items())[:17])
    rows = [oracle.row_statistics(pattern, i, sample.input_ids, groups, case.window) for i in range(sample.num_tokens)]
    for group, positions in enumerate(sample.query_groups.values()):
        means = oracle.group_mean([rows[i] for i in positions])
        for index, name in enumerate((*BASE_STATISTICS, *(f"mass_{name}" for name in groups))):
            value = float(statistics.means[head, group, index])
            if means.get(name) is None:
                assert np.isnan(value), (name, group)
            else:
                _compare(case, name, value, means[name], 1.0)


def _slope(case: Case, head: int) -> float:
    return 2.0 ** -(head + 1) if case.bias else 0.0


def _compare_reading(case: Case, sample: EncodedSample, parts: Any, statistics: Any) -> None:
    """Compare every head's reading, lookback ratios and what its keys and sentences receive with the oracle."""
    first, answer = sample.num_prompt_tokens, range(sample.num_prompt_tokens, sample.num_tokens)
    lookbacks = slice(len(BASE_STATISTICS) + case.groups, len(BASE_STATISTICS) + case.groups + 2)
    query, key = (part.double().cpu() for part in parts[:2])
    for head in range(case.heads):
        pattern = oracle.pattern(
            query[head],
            key[head // (case.heads // case.kv)],
            case.dim**-0.5,
            case.window,
            case.softcap,
            _slope(case, head),
        )
        expected = [oracle.reading(pattern, list(answer), positions) for positions in sample.key_groups.values()]
        wanted = np.array([[np.nan if value is None else value for value in row] for row in expected])
        found = statistics.reading[head].cpu().double().numpy()
        assert (np.isnan(found) == np.isnan(wanted)).all(), "reading: other rows are counted"
        for part, quantity in enumerate(("distance", "drift", "mass")):
            allowed, gap = tolerance(quantity), np.abs(found[:, part] - wanted[:, part])
            assert not (gap > allowed.atol + allowed.rtol * np.abs(wanted[:, part])).any(), f"{quantity}: {gap}"
        values, seen = oracle.received(pattern, case.window)
        got = statistics.received
        _compare(case, "mass", float(got.sink[head]), values[0], 1.0)
        for value, at in zip(got.values[head].tolist(), got.keys[head].tolist(), strict=True):
            assert (value >= 0) == (seen[at] >= min(2, max(seen))), "received: another key is named"
            if value >= 0:
                _compare(case, "mass", value, values[at], 1.0)
        places = [np.flatnonzero(np.arange(sample.num_tokens) // 3 == b) for b in range((sample.num_tokens + 2) // 3)]
        flow = np.array(
            [[np.nan if v is None else v for v in row] for row in oracle.sentence_flow(pattern, places, case.window)]
        )
        got_flow = got.flow[head].cpu().double().numpy()
        assert (np.isnan(got_flow) == np.isnan(flow)).all(), "sentence flow: other pairs see each other"
        _compare(case, "mass", np.nan_to_num(got_flow), np.nan_to_num(flow), 1.0)
        rows = [oracle.lookback_row(pattern, i, first, case.window) for i in range(sample.num_tokens)]
        for group, positions in enumerate(sample.query_groups.values()):
            means = oracle.group_mean([rows[i] for i in positions])
            for value, name in zip(
                statistics.means[head, group, lookbacks].tolist(),
                ("lookback_ratio", "lookback_ratio_per_token"),
                strict=True,
            ):
                if means.get(name) is None:
                    assert np.isnan(value), (name, group)
                else:
                    _compare(case, "mass", value, means[name], 1.0)


def _compare(case: Case, name: str, found: Any, expected: Any, factor: float) -> None:
    allowed = tolerance(QUANTITY.get(name, "mass"))
    # Scores of hundreds carry an absolute float32 error of 3e-5 themselves, so weights do too.
    factor *= 1.0 if case.scale == 1.0 else 60.0
    deviation = np.abs(np.asarray(found) - np.asarray(expected))
    worst = float((deviation - factor * (allowed.atol + allowed.rtol * np.abs(expected))).max())
    assert worst <= 0, f"{name}: {deviation.max():.3g}"


def _compare_rows(case: Case, found: torch.Tensor, expected: torch.Tensor) -> None:
    allowed = tolerance("weight").atol * (1.0 if case.scale == 1.0 else 60.0)
    deviation = float((found.double() - expected.double()).abs().max())
    assert deviation <= allowed, f"decision row: {deviation:.3g}"


def check_models(device: torch.device, families: Sequence[str] = ("qwen2", "mistral", "gemma2")) -> None:
    """Whole models: tables' numbers with the fused kernel equal those with ``blocked``."""
    from tests.parity.test_parity import build, packed

    for family in families:
        model = build(family).to(device)
        samples = [encoded(length, seed=length, num_groups=3) for length in (37, 18, 1)]
        ids, layouts = packed(samples)
        ids = ids.to(device)
        layouts = [sequence_layout(s, layout.start, device) for s, layout in zip(samples, layouts, strict=True)]
        results = {}
        for name in ("blocked", "fused"):
            probe = Probe(model, norm_weighted=True, with_rollout=True, attention=name)
            assert (probe.backend.method == "fused") == (name == "fused")
            results[name] = probe.measure(ids, layouts)
            assert (probe.backend.method == "fused") == (name == "fused")
        for a, b in zip(results["fused"], results["blocked"], strict=True):
            torch.testing.assert_close(a.logits, b.logits, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(a.rollout, b.rollout, rtol=0, atol=1e-5)
            for one, other in zip(a.layers, b.layers, strict=True):
                torch.testing.assert_close(one.means, other.means, rtol=1e-5, atol=2e-5, equal_nan=True)
                torch.testing.assert_close(one.decision_pattern, other.decision_pattern, rtol=0, atol=2e-6)
                assert bool(one.is_finite)


def check_shared_rows(device: torch.device) -> None:
    """Sequences that begin with rows of others: each is what ``blocked`` makes of it alone."""
    first, second = encoded(40, 1, 3), encoded(34, 2, 3)
    ids = np.concatenate((first.input_ids[:25], second.input_ids[25:]))
    second = dataclasses.replace(second, input_ids=ids)
    third = dataclasses.replace(encoded(30, 4, 3), input_ids=ids[:30])
    asked = [ReceivedRows.of(np.arange(s.num_tokens, dtype=np.int32) // 3, 4, 2, 2) for s in (first, second, third)]
    places = ((0, ()), (40, ((0, 25),)), (49, ((0, 25), (40, 5))))  # the third has no row of its own
    layouts = [
        sequence_layout(sample, start, device, with_reading=True, received=received, prefix=prefix)
        for sample, received, (start, prefix) in zip((first, second, third), asked, places, strict=True)
    ]
    query, key, value = (t.to(device) for t in tensors(4, 2, 49, 16, seed=3))
    norms = torch.rand((4, 49), generator=torch.Generator().manual_seed(0)).to(device) + 0.1
    case, output = Case("shared", ()), torch.full((49, 4, 16), torch.nan, device=device)
    call = LayerCall(query, key, value, Masking(0.25, 20), 0, norms)
    row, backend = PackedRow(layouts), FusedBackend()
    assert backend.covers(call, row)
    for layout, statistics in zip(layouts, backend.attend(call, row, output), strict=True):
        reference, expected = blocked.attend(call.of_sequence(layout), layout.alone())
        written = output[layout.packed_rows(torch.arange(layout.num_tokens, device=device))]
        assert float((written - reference).abs().max()) <= OUTPUT_ATOL[torch.float32] * float(reference.abs().max())
        _compare_rows(case, statistics.decision_pattern.cpu(), expected.decision_pattern.cpu())
        means, wanted_means = statistics.means.cpu(), expected.means.cpu()
        assert bool((means.isnan() == wanted_means.isnan()).all()), "other rows are defined"
        for index, name in enumerate([*BASE_STATISTICS, *["mass"] * (means.shape[-1] - len(BASE_STATISTICS))]):
            _compare(
                case, name, means[..., index].nan_to_num().numpy(), wanted_means[..., index].nan_to_num().numpy(), 2.0
            )
        received, wanted = statistics.received, expected.received
        assert received is not None and wanted is not None
        _compare(case, "mass", received.values.cpu().numpy(), wanted.values.cpu().numpy(), 2.0)


def check_choices(device: torch.device) -> None:
    """Whole patterns and gradients take ``blocked``; NaN is seen and does not spread; the same input, the same bits."""
    sample = encoded(20, 1, 3)
    query, key, value = (t.to(device) for t in tensors(2, 1, 20, 16, seed=3))
    masking = Masking(0.25)
    plain, backend = sequence_layout(sample, 0, device), FusedBackend()
    row, kept = PackedRow([plain]), PackedRow([sequence_layout(sample, 0, device, {1: (0,)})])

    def covers(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, row: PackedRow = row, at: int = 0) -> bool:
        return backend.covers(LayerCall(query, key, value, masking, at), row)

    def attend(key: torch.Tensor) -> tuple[torch.Tensor, LayerStatistics]:
        output = torch.empty((20, 2, 16), device=device)
        return output, FusedBackend().attend(LayerCall(query, key, value, masking), row, output)[0]

    assert covers(query, key, value)
    assert not covers(query.clone().requires_grad_(), key, value)
    with torch.no_grad():
        assert covers(query.clone().requires_grad_(), key, value)
    assert not covers(query.double(), key, value)
    wide = query.new_zeros((2, 20, 300))
    assert not covers(wide, wide[:1], wide[:1])
    assert covers(query, key, value, kept) and not covers(query, key, value, kept, 1)
    first, again = (attend(key) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].means.nan_to_num(), again[1].means.nan_to_num())
    alone = attend(key)[1]
    for bad in (float("nan"), float("inf")):
        broken = key.clone()
        broken[0, 7, 0] = bad
        assert not bool(attend(broken)[1].is_finite)
    # A neighbour in the packed row changes no bit and spreads no NaN.
    other = encoded(33, 5, 3)
    more = [t.to(device) for t in tensors(2, 1, 33, 16, seed=4)]
    more[1][0, 3] = float("nan")
    both = [torch.cat((b, a), dim=1) for a, b in zip((query, key, value), more, strict=True)]
    output = torch.empty((53, 2, 16), device=device)
    pair = PackedRow([sequence_layout(other, 0, device), sequence_layout(sample, 33, device)])
    spoiled, clean = backend.attend(LayerCall(both[0], both[1], both[2], masking), pair, output)
    assert not bool(spoiled.is_finite) and bool(clean.is_finite)
    assert torch.equal(clean.means.nan_to_num(), alone.means.nan_to_num())
    assert torch.equal(output[33:], first[0])


def main() -> int:
    """Run every case, or with the argument ``some`` fewer, and return 1 when one fails."""
    device = torch.device("cpu" if fused_row.IS_INTERPRETED else "cuda")
    torch.set_num_threads(1)
    every = sys.argv[1:] != ["some"]
    work: dict[str, Any] = {case.name: case for case in cases(every)}
    # Gemma 2 has what the others have, and caps scores.
    work |= {
        "models": check_models if every else partial(check_models, families=("gemma2",)),
        "shared rows": check_shared_rows,
        "choices": check_choices,
    }
    usual = fused_row.tiling
    failed = 0
    for name, item in work.items():
        started = time.perf_counter()
        # Blocks of 16 rows and keys, so that short sequences have many of them.
        is_small = isinstance(item, Case) and item.small_tiles
        fused_row.tiling = _small_tiles if is_small else usual  # type: ignore[assignment]
        try:
            check(item, device) if isinstance(item, Case) else item(device)
            verdict = "passed"
        except Exception:
            verdict, failed = "FAILED\n" + traceback.format_exc(), failed + 1
        print(f"{name}: {verdict} ({time.perf_counter() - started:.1f} s)", flush=True)
    print(f"{len(work) - failed} of {len(work)} passed on {device.type}")
    return min(failed, 1)


def _small_tiles(*_: Any) -> Tiling:
    return Tiling(16, 16, 32, 1, 1)


if __name__ == "__main__":
    sys.exit(main())
