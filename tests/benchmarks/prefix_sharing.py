"""What samples that begin with the same tokens cost over a plain forward of each of them, side by side in one run.

``python -m tests.benchmarks.prefix_sharing`` prints tables and writes them to ``prefix_sharing.md`` beside this file.
Each figure is a ratio of the same process, plain and measured in turn: all statistics and attributions of packed
batches that share what they begin with, the same without sharing, and plain sdpa forwards of the samples one by one.
Nothing is asserted: speed is measured, not tested.

``--against FOLDER`` compares samples that share nothing with another checkout of this repository (today's code), in two
processes that take turns: CPU time of the new one over that of the old one.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from engine.attention.layout import sequence_layout
from engine.encoded_samples import EncodedSample
from engine.measuring.forward import decision_logits
from engine.measuring.probe import Probe
from engine.measuring.tables.attributions import targets_of
from tests.benchmarks.statistics_cost import TOP_TOKENS, build_model, encoded

CPU = torch.device("cpu")


class Shape(NamedTuple):
    """So many samples of own tokens behind a prefix that all of them have."""

    name: str
    number: int
    prefix: int
    own: int
    groups: int = 1


SHAPES = (
    Shape("8 answers of 300 tokens to each of 32 prompts of 2,000", 8, 2000, 300, 32),
    Shape("64 questions of 300 tokens behind 1,500 that all have", 64, 1500, 300),
)


def samples_of(shape: Shape, seed: int) -> list[EncodedSample]:
    """Return the samples of one group; key groups follow from the place, so that a prefix has the same in each."""
    made = []
    length = shape.prefix + shape.own
    common = np.random.default_rng(seed).integers(0, 8192, length).astype(np.int32)
    for number in range(shape.number):
        rng = np.random.default_rng([seed, number])
        ids = np.concatenate((common[: shape.prefix], rng.integers(0, 8192, shape.own))).astype(np.int32)
        sample = replace(encoded(length), sample_id=f"{seed}-{number}", input_ids=ids)
        made.append(replace(sample, query_groups=sample.query_groups | _response(shape, length)))
    return made


def _response(shape: Shape, length: int) -> dict[str, np.ndarray]:
    return {"response": np.arange(shape.prefix, length, dtype=np.int32)}


def plain(model: torch.nn.Module, samples: Sequence[EncodedSample]) -> None:
    """Run the model over each sample alone."""
    for sample in samples:
        layout = sequence_layout(sample, 0, CPU)
        decision_logits(model, layout.token_ids, [layout])


def measured(probe: Probe, samples: Sequence[EncodedSample], tokens_per_batch: int, *, shares: bool) -> int:
    """Measure the samples as a run does, but for its tables; return the rows that passed through the model."""
    from engine.attention.layout import packed_ids
    from engine.planning.units import pack
    from engine.shared_prefixes import placements

    rows = 0
    for batch in pack(samples, tokens_per_batch, shares=shares):
        places = placements([sample.input_ids for sample in batch], shares=shares)
        layouts = [
            sequence_layout(sample, place.start, CPU, prefix=place.prefix)
            for sample, place in zip(batch, places, strict=True)
        ]
        ids = packed_ids(layouts)
        targets = [targets_of(sample, layout) for sample, layout in zip(batch, layouts, strict=True)]
        probe.measure(ids, layouts, targets=targets)
        rows += len(ids)
    return rows


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def row_of(shape: Shape, options: argparse.Namespace) -> str:
    """Return a line of the table: rows and time over plain forwards one by one, the median of all groups and rounds."""
    model = build_model(options.layers)
    probe = Probe(model, top_tokens=TOP_TOKENS)
    shape = shape._replace(number=min(shape.number, options.samples or shape.number))
    ratios: dict[str, list[tuple[float, float]]] = {"shared": [], "apart": []}
    plain_seconds, rows = [], 0
    measured(probe, samples_of(shape._replace(prefix=300, own=20), 99)[:2], 4096, shares=True)
    for seed in range(min(shape.groups, options.groups)):
        samples = samples_of(shape, seed)
        for _ in range(options.repeats):
            base = seconds(lambda: plain(model, samples))  # noqa: B023
            plain_seconds.append(base[0])
            for kind in ("shared", "apart")[: 1 + options.apart]:
                spent = seconds(lambda: measured(probe, samples, options.tokens, shares=kind == "shared"))  # noqa: B023
                ratios[kind].append((spent[0] / base[0], spent[1] / base[1]))
        rows = measured_rows(samples, options.tokens)
    total = shape.number * (shape.prefix + shape.own)
    cells = [shape.name, f"{shape.number}", f"{options.tokens:,}", f"{rows / total:.3f}"]
    cells += [f"{statistics.median(plain_seconds):.1f} CPU s"]
    for found in ratios.values():
        cells += [f"{statistics.median(r[part] for r in found):.3f}" if found else "-" for part in (0, 1)]
    return f"| {' | '.join(cells)} |"


def measured_rows(samples: Sequence[EncodedSample], tokens_per_batch: int) -> int:
    """Return the rows that the batches have."""
    from engine.planning.units import pack
    from engine.shared_prefixes import placements

    batches = pack(samples, tokens_per_batch, shares=True)
    return sum(place.number for batch in batches for place in placements([sample.input_ids for sample in batch]))


_OLD = """
import sys, time, json, torch
torch.set_num_threads(1)
from engine.attention.layout import sequence_layout
from engine.measuring.probe import Probe
from engine.measuring.tables.attributions import targets_of
from tests.benchmarks.statistics_cost import TOP_TOKENS, build_model, encoded
layers, lengths = json.loads(sys.argv[1])
probe, samples = Probe(build_model(layers), top_tokens=TOP_TOKENS), [encoded(length) for length in lengths]
for line in sys.stdin:
    started, at, layouts = time.process_time(), 0, []
    for sample in samples:
        layouts.append(sequence_layout(sample, at, torch.device("cpu")))
        at += sample.num_tokens
    targets = [targets_of(sample, layout) for sample, layout in zip(samples, layouts)]
    probe.measure(torch.cat([layout.token_ids for layout in layouts]), layouts, targets=targets)
    print(time.process_time() - started, flush=True)
"""


def nothing_shared(folder: Path, options: argparse.Namespace) -> str:
    """Return CPU time of a batch that shares nothing over that of another checkout, the median of alternated pairs."""
    lengths = [900, 700, 500]
    model = build_model(options.layers)
    probe, samples = Probe(model, top_tokens=TOP_TOKENS), [encoded(length) for length in lengths]
    arguments = [sys.executable, "-c", _OLD, json.dumps([options.layers, lengths])]
    environment = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    other = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
    )
    assert other.stdin is not None and other.stdout is not None
    ratios = []
    for _ in range(options.pairs + 1):
        other.stdin.write("go\n")
        other.stdin.flush()
        before = float(other.stdout.readline())
        spent, _wall = seconds(lambda: measured(probe, samples, 4096, shares=True))
        ratios.append(spent / before)
    other.stdin.close()
    other.wait()
    kept = sorted(ratios[1:])
    batch = ", ".join(f"{length:,}" for length in lengths)
    return (
        f"Nothing shared (one batch of {batch} tokens): {statistics.median(kept):.3f} of the code before, CPU time, "
        f"median of {len(kept)} alternated pairs ({kept[0]:.3f} to {kept[-1]:.3f})."
    )


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--groups", type=int, default=32, help="prompts of the first shape")
    parser.add_argument("--samples", type=int, default=0, help="samples of a group at most; 0: all")
    parser.add_argument("--tokens", type=int, default=8192, help="cluster.tokens_per_batch")
    parser.add_argument("--shapes", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--apart", action="store_true", help="beside it, the same without sharing")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"Qwen2, {options.layers} layer(s) x 14 heads x 2 KV heads, width 896, float32, 1 thread, 16 key groups, 3 "
        f"query groups, attributions; torch {torch.__version__}, {platform.machine()}; over plain forwards one by one.",
        "",
        "| samples | in a group | tokens per batch | rows | plain | CPU time | wall | not shared: CPU time | wall |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for index in options.shapes:
        lines.append(row_of(SHAPES[index], options))
        print(lines[-1], flush=True)
    if options.against is not None:
        lines += ["", nothing_shared(options.against, options)]
        print(lines[-1], flush=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
