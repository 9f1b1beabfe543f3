"""What the analysis of a large run costs: ``python -m tests.benchmarks.analysis_scale [--samples 20000]``.

A run of 28 x 28 heads, 3 query groups and 30 statistics is written as the engine writes it, with plan, manifests and
checksums: ``samples``, ``head_stats``, ``baselines`` and ``decision_top_keys`` (the ten keys that each head's decision
row weighs most, as is default). ``python -m analyses.report`` then analyses it in a process of its own, held to as many
cores as ``--cores`` says, one number after another: wall and CPU seconds, the most memory that the process and its
children held at once, and the size of the report. ``--compare`` tells whether all results, tables and JSON, were equal
bit for bit whatever the number of cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine import schema
from tests.benchmarks.inference_cost import HEADS, LAYERS, write_large_run
from tests.equal_runs import compare_runs
from tests.fixtures.places import ROOT
from tests.fixtures.synthetic_run import add_metadata, seal

TOKENS = np.array([f" word{number}" for number in range(5000)])
RESULTS = ("attention_analysis_results.json", "comparison_analysis_results.json", "report.html")
SECONDS_BETWEEN = 0.1
"""Between two looks at the memory of all processes."""


def make(folder: Path, num_samples: int, num_clusters: int, top_keys: int) -> Path:
    """Write a whole run."""
    write_large_run(folder, num_samples, num_clusters)
    rng = np.random.default_rng(1)
    for unit in sorted((folder / "shards").iterdir()):
        samples = pq.read_table(unit / "samples.parquet")
        count = samples.num_rows
        difference = np.where(samples["predicted_label"].to_numpy() == "increase", 1, -1) * rng.gamma(2.0, 0.8, count)
        known = {
            "raw_predicted_label": samples["predicted_label"],
            "label_source": ["field"] * count,
            "sequence_source": ["template"] * count,
            "certainty": rng.choice(["High", "Medium", "Low"], count),
            "magnitude": rng.choice(["Small", "Moderate", "Significant"], count),
            "decision_position": samples["num_tokens"].to_numpy() - 12,
            "decision_token": samples["predicted_label"],
            "contrast": ["increase|decrease"] * count,
            "contrast_position": samples["num_tokens"].to_numpy() - 12,
            "logit_difference": difference.astype(np.float32),
            "contrast_probability": (1 / (1 + np.exp(-difference))).astype(np.float32),
            "label_surprisal": rng.gamma(1.5, 0.3, count).astype(np.float32),
        }
        for name, values in known.items():
            field = samples.schema.field(name)
            column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, type=field.type)
            samples = samples.set_column(samples.schema.get_field_index(name), field, column)
        pq.write_table(samples, unit / "samples.parquet", compression="zstd")
        if top_keys:
            keys = _top_keys(rng, samples["sample_id"], samples["num_tokens"].to_numpy(), top_keys)
            pq.write_table(keys, unit / "decision_top_keys.parquet", compression="zstd")
    add_metadata(folder)
    return seal(folder)


def _top_keys(rng: np.random.Generator, ids: pa.ChunkedArray, lengths: np.ndarray, ranks: int) -> pa.Table:
    """Return the keys that each head weighs most: tokens as frequent as words are, weights that fall by rank."""
    rows = len(ids) * LAYERS * HEADS * ranks
    layer, head, rank = np.indices((LAYERS, HEADS, ranks)).reshape(3, -1).astype(np.int32)
    common = np.minimum(rng.zipf(1.3, rows) - 1, len(TOKENS) - 1)
    columns = {
        "sample_id": ids.take(pa.array(np.repeat(np.arange(len(ids)), LAYERS * HEADS * ranks))),
        "layer": np.tile(layer, len(ids)),
        "head": np.tile(head, len(ids)),
        "rank": np.tile(rank, len(ids)),
        "key_position": (rng.random(rows) * np.repeat(lengths, LAYERS * HEADS * ranks)).astype(np.int32),
        "token": pa.DictionaryArray.from_arrays(pa.array(common.astype(np.int32)), pa.array(TOKENS)),
        "weight": (rng.random(rows) * 0.5 / (1 + np.tile(rank, len(ids)))).astype(np.float32),
    }
    wanted = schema.table_schema("decision_top_keys", ())
    return pa.table({field.name: columns[field.name] for field in wanted}).cast(wanted)


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds, most GiB at once of all processes, and MB of the report."""

    cores: int
    wall: float
    on_cpu: float
    peak: float
    report: float


def measure(run_dir: Path, cores: int) -> Cost:
    """Analyse a run in a process that may use so many cores."""
    allowed = set(sorted(os.sched_getaffinity(0))[:cores])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "analyses.report", str(run_dir)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(SECONDS_BETWEEN)
    wall = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"the analysis ended with exit code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    on_cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = (run_dir / "analysis" / "report.html").stat().st_size
    return Cost(cores, wall, on_cpu, peak / 2**30, size / 1e6)


def _resident(root: int) -> float:
    """Return the resident bytes of a process and its descendants; what they share counts for each."""
    parents, pages = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)], pages[int(folder.name)] = int(fields[1]), int(fields[21])
    family, total = {root}, pages.get(root, 0)
    while young := {number for number, parent in parents.items() if parent in family} - family:
        family |= young
        total += sum(pages[number] for number in young)
    return total * resource.getpagesize()


def _keep(run_dir: Path, folder: Path) -> Path:
    """Set the analysis aside, to compare another with it."""
    folder.mkdir()
    (run_dir / "analysis").rename(folder / "analysis")
    return folder


def _differences(one: Path, other: Path) -> list[str]:
    found = compare_runs(one, other).differences
    pairs = [(one / "analysis" / name, other / "analysis" / name) for name in RESULTS]
    return found + [f"{a.name} differs" for a, b in pairs if a.read_bytes() != b.read_bytes()]


def main() -> None:
    """Make the run, analyse it and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--clusters", type=int, default=0, help="0: a third of the samples")
    parser.add_argument("--top-keys", type=int, default=10, help="keys kept of each head's decision row; 0: none")
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--folder", type=Path, default=None, help="keep the run here; it is reused when it exists")
    parser.add_argument("--compare", action="store_true", help="compare the results for each number of cores")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="analysis-scale-"))
    run_dir = options.folder or place / "run"
    try:
        if not (run_dir / "plan.json").exists():
            make(run_dir, options.samples, options.clusters or max(options.samples // 3, 1), options.top_keys)
        print(f"{options.samples:,} samples x {LAYERS * HEADS} heads x 3 query groups x 30 statistics\n")
        print("| cores | wall s | CPU s | peak GiB | report MB |\n|---|---|---|---|---|")
        walls: dict[int, float] = {}
        kept: list[Path] = []
        for cores in options.cores:
            cost = measure(run_dir, cores)
            walls[cores] = cost.wall
            figures = f"{cost.wall:.0f} | {cost.on_cpu:.0f} | {cost.peak:.2f} | {cost.report:.1f}"
            print(f"| {cores} | {figures} |", flush=True)
            if options.compare:
                kept.append(_keep(run_dir, place / f"of-{len(kept)}-{cores}"))
        if {1, 2} <= walls.keys():
            print(f"\nTwo cores are {walls[1] / walls[2]:.2f} x as fast as one.")
        for other in kept[1:]:
            print("\n".join(_differences(kept[0], other)) or f"{kept[0].name} and {other.name}: equal, bit for bit")
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
