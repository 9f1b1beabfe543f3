"""Where the time of a probed forward goes, operation by operation, beside the floor by arithmetic.

``python -m tests.benchmarks.forward_profile [--layers 2] [--tokens 2048]`` prints a table and writes it to
``forward_profile.md`` beside this file: torch's profiler, whose own cost is in the figures, over probed and plain
forwards of ``statistics_cost``'s model in turn on one thread, the fastest of each. The floor of the attention is its
products at the rate of a large matrix product and one exponential per visible score at the rate of ``torch.exp``, both
measured here in the same minute.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from engine.attention.backends.tile_kernel import TileKernel
from tests.benchmarks.statistics_cost import NUM_KEY_GROUPS, forwards

HEADS, HEAD_DIM = 14, 64
TILE = "the compiled pass over tiles"
KINDS = {
    TILE: (TILE,),
    "matrix products": ("aten::bmm", "aten::mm", "aten::addmm", "aten::baddbmm", "aten::_scaled_dot_product"),
    "sums, factors and quotients": ("aten::sum", "aten::sub", "aten::mul", "aten::div", "aten::pow"),
    "copies and fills": ("aten::copy_", "aten::fill_", "aten::masked_fill_", "aten::cat", "aten::zero_"),
    "activation and norms": ("aten::silu", "aten::rsqrt", "aten::mean", "aten::add", "aten::neg"),
}


def make_tiles_visible() -> None:
    """Let torch's profiler see the compiled pass, which is no operation of torch."""
    run = TileKernel.__call__

    def recorded(self: TileKernel, *operands: Any) -> None:
        with record_function(TILE):
            run(self, *operands)

    TileKernel.__call__ = recorded


def kind_of(operation: str) -> str:
    """Return the kind of an operation of torch's profiler."""
    return next(
        (kind for kind, starts in KINDS.items() if any(operation.startswith(start) for start in starts)), "other"
    )


def seconds_by_kind(forward: Callable[[], object]) -> dict[str, float]:
    """Return self CPU seconds of a forward by kind of operation."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        forward()
    seconds: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    return dict(seconds)


def fastest(by_name: dict[str, Callable[[], object]], names: Sequence[str], rounds: int) -> list[dict[str, float]]:
    """Return the fastest of some rounds of each forward, measured in turn, after one that is not counted."""
    found = [[seconds_by_kind(by_name[name]) for name in names] for _ in range(rounds + 1)][1:]
    return [min((one[index] for one in found), key=lambda one: sum(one.values())) for index in range(len(names))]


def rate(work: Callable[[], Any], amount: float, repeats: int = 7) -> float:
    """Return amount per second of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return amount / min(times)


def floor_seconds(layers: int, num_tokens: int) -> tuple[float, float, float]:
    """Return the attention's floor without and with statistics, and the rate of products, FLOP/s."""
    a = torch.randn(1536, 1536)
    flops = rate(lambda: a @ a, 2 * 1536**3)
    exps = torch.randn(2**20)
    exponentials = rate(lambda: torch.exp(exps), 2**20)
    visible = num_tokens * (num_tokens + 1) / 2 * HEADS * layers
    plain = visible * 4 * HEAD_DIM / flops + visible / exponentials
    return plain, plain + visible * 2 * (NUM_KEY_GROUPS + 1) / flops, flops


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    make_tiles_visible()
    by_name = forwards(options.layers, options.tokens)
    plain, probed = fastest(by_name, ("plain", "probed"), options.rounds)
    total = sum(plain.values())
    floor, with_statistics, flops = floor_seconds(options.layers, options.tokens)
    lines = [
        f"Qwen2, {options.layers} layers x 14 heads, width 896, float32, 1 thread, {options.tokens:,} tokens; "
        f"torch {torch.__version__}. Self CPU time in ms, and as a share of the plain forward's {total * 1000:.0f} ms.",
        "",
        "| operations | plain sdpa forward | with all statistics | more |",
        "|---|---|---|---|",
    ]
    for kind in [*KINDS, "other"]:
        a, b = plain.get(kind, 0.0), probed.get(kind, 0.0)
        lines.append(f"| {kind} | {a * 1000:.0f} | {b * 1000:.0f} | {(b - a) / total:+.1%} |")
    both = sum(probed.values())
    lines += [
        f"| all | {total * 1000:.0f} | {both * 1000:.0f} | {both / total - 1:+.1%} |",
        "",
        f"Floor of the attention by arithmetic, with products at {flops / 1e9:.0f} GFLOP/s: {floor * 1000:.0f} ms, "
        f"with masses by key group and distance {with_statistics * 1000:.0f} ms "
        f"({(with_statistics - floor) / total:+.1%} of the forward).",
    ]
    print("\n".join(lines))
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
