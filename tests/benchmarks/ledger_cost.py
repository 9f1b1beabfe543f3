"""What Ray, the driver and the ledger cost per shard: 64 replicas that only sleep as long as a 7B prefill takes.

``python -m tests.benchmarks.ledger_cost [--replicas 64] [--shards 512] [--seconds 14] [--samples 32]`` prints a table.

The replicas are real Ray actors under the real driver (``ray_executor`` and ``ray_pool`` of ``executors.over_ray``, the
ledger); only their worker sleeps instead of running a model, and commits small tables. Prefill of Qwen2-7B: 32
samples of 2,640 tokens at 6,000 tokens/s of an A100 are 14 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from engine.config import Config
from engine.executors.job import Job
from engine.executors.over_ray.ray_executor import RayExecutor
from engine.storage.planned.units import PlannedUnit
from engine.storage.run_directory import RunDirectory
from tests.faults.test_cluster import Cluster

SLEEPER = """
import sys, threading, time, types
class UnitWorker:
    def __init__(self, config, root, key_groups, incoming):
        from engine.storage.run_directory import RunDirectory
        self.run_dir, self.seconds, self.num = RunDirectory(root, incoming), float(key_groups[0]), int(key_groups[1])
        self.model_in_use = threading.Lock()
    def run(self, unit):
        import pyarrow as pa
        with self.model_in_use:
            started = time.perf_counter()
            time.sleep(self.seconds)
        ids = [f"{unit}-{index}" for index in range(self.num)]
        facts = {"num_tokens": 2640 * self.num}
        self.run_dir.ledger.commit(unit, ids, {"samples": pa.table({"sample_id": ids})}, [], facts)
        from engine.storage.records import LedgerRow
        return LedgerRow(unit, "committed", num_samples=self.num, num_tokens=facts["num_tokens"],
                         seconds=time.perf_counter() - started)
module = types.ModuleType("engine.workers.worker")
module.UnitWorker = UnitWorker
sys.modules["engine.workers.worker"] = module
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--shards", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=14.0)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-") as name:
        measure(Path(name), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Run the shards and print what they cost."""
    (folder / "sleeper").mkdir()
    (folder / "sleeper" / "sitecustomize.py").write_text(SLEEPER)
    cluster = {"mode": "auto", "replicas": options.replicas}
    config = Config.model_validate({"predictions": {"path": "x"}, "model": {"path": "x"}, "cluster": cluster})
    nodes = Cluster()
    paths = os.pathsep.join([str(folder / "sleeper"), nodes.environment["PYTHONPATH"]])
    nodes.environment |= {"PYTHONPATH": paths, "RAY_ADDRESS": nodes.address}
    os.environ |= nodes.environment
    try:
        nodes.start_head(options.replicas)
        run(RunDirectory(folder / "run"), config, options)
    finally:
        nodes.stop()


def run(run_dir: RunDirectory, config: Config, options: argparse.Namespace) -> None:
    """Let the replicas sleep and print what that costs."""
    units = [f"measure-{number:05d}" for number in range(options.shards)]
    run_dir.start()
    cpu = CpuMeter()
    rows, first = [], None
    with run_dir.session() as session:
        job = Job(config, session, units, [str(options.seconds), str(options.samples)])
        for row in RayExecutor(config).run(job):
            now = time.monotonic()
            if first is None:
                first, cpu_first = now, cpu.start()
            rows.append((now, row))
    cpu_seconds = cpu.stop() - cpu_first
    report(options, rows, cpu_seconds, run_dir)


def report(options: argparse.Namespace, rows: list, cpu_seconds: float, run_dir: RunDirectory) -> None:
    """Print throughput of the steady state and costs per shard."""
    # From the end of the first round to the end of the last full one: every replica is at work all the time.
    whole = rows[options.replicas - 1 : len(rows) - len(rows) % options.replicas]
    seconds = whole[-1][0] - whole[0][0]
    ideal = (len(whole) - 1) / options.replicas * options.seconds
    share = ideal / seconds
    per_shard = cpu_seconds / (len(rows) - 1)
    planned = [PlannedUnit(row.unit, [f"{row.unit}-{i}" for i in range(options.samples)]) for _, row in rows]
    started = time.perf_counter()
    assert not run_dir.ledger.missing_units(planned)
    resume = (time.perf_counter() - started) / len(planned)
    commits = [row.seconds - options.seconds for _, row in rows]
    print(
        f"| replicas | shards | s of a shard | throughput of ideal | driver CPU s per shard | commit s | resume s |\n"
        f"|---|---|---|---|---|---|---|\n"
        f"| {options.replicas} | {len(rows)} | {options.seconds:g} | {share:.1%} | {per_shard:.4f} | "
        f"{sorted(commits)[len(commits) // 2]:.3f} | {resume:.4f} |"
    )
    shards = -(-150_000 // options.samples)
    print(
        f"\n150,000 samples are {shards} shards; on 64 GPUs {shards / 64 * options.seconds / share / 3600:.2f} h, in "
        f"which the driver takes {shards * per_shard / 60:.1f} CPU minutes and a resume {shards * resume:.0f} s."
    )
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


class CpuMeter:
    """CPU seconds of this process and of all of Ray's that are no replicas: driver, GCS, raylet, agents."""

    def __init__(self) -> None:
        self.latest: dict[int, float] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._stopped = threading.Event()

    def start(self) -> float:
        """Begin to watch and return the seconds so far."""
        self._read()
        self._thread.start()
        return sum(self.latest.values())

    def stop(self) -> float:
        """Return the seconds at the end."""
        self._stopped.set()
        return sum(self.latest.values())

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            self._read()

    def _read(self) -> None:
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                title = " ".join(process.cmdline())
                if "MapWorker" not in title and "IDLE" not in title:
                    times = process.cpu_times()
                    self.latest[process.pid] = times.user + times.system
            except psutil.NoSuchProcess:
                continue


if __name__ == "__main__":
    sys.exit(main())
