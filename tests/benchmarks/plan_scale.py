"""Planning large files: time and peak memory of ``--stage plan`` on JSON Lines files of growing size.

``python -m tests.benchmarks.plan_scale [--rows 1500,6000] [--kilobytes 33] [--max-samples N] [--processes 1,2]
[--rounds N] [--random-groups N]`` writes each file to a temporary folder, plans it in a process of its own, with each
number of ``cluster.planning_processes`` in turn and so often, and prints rows, bytes, seconds, peak memory and what the
plan takes on disk. CPU seconds are told apart: the driver's, which no further process takes away, and those of the
processes that help it, which divide among them. From more than one size it also says what a row costs each, fixed costs
(libraries, tokenizer) aside, and what wall time follows for two and eight idle cores. The tokenizer is Qwen2's own
one where ``../shared`` is there, else the demo model's; the model is a config without weights, as a plan loads none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from tests.fixtures.places import ROOT, SHARED
from tests.fixtures.predictions import answer, statement

QWEN2 = SHARED / "data" / "qwen2-tokenizer"
WORDS = ("revenue", "margin", "cash", "debt", "cost", "trend", "growth", "ratio", "quarter", "demand", "plant")


def make_model(folder: Path) -> Path:
    """Write the config of a 28-layer Qwen2 with a long context beside a tokenizer, without weights."""
    from transformers import Qwen2Config

    shutil.copytree(
        QWEN2 if QWEN2.is_dir() else ROOT / "data" / "demo-model",
        folder,
        ignore=shutil.ignore_patterns("*.safetensors"),
    )
    config = Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        intermediate_size=18944,
        max_position_embeddings=131072,
    )
    config.save_pretrained(folder)
    return folder


def make_rows(path: Path, rows: int, kilobytes: int) -> None:
    """Write predictions of about so many kilobytes each: tables, long reasoning and a JSON answer."""
    rng = random.Random(0)
    fillers = [" ".join(rng.choices(WORDS, k=kilobytes * 140)) for _ in range(50)]
    with path.open("w") as stream:
        for index in range(rows):
            label = rng.choice(["increase", "decrease"])
            question = f"Will EPS rise?\n\n{statement(rng)}\n\n{rng.choice(fillers)}"
            text = f"system\nYou are a helpful assistant.\nuser\n{question}\nassistant\n{answer(label, rng)}"
            record = {
                "company_id": index // 10,
                "year": 1950 + index % 10,
                "actual_label": rng.choice(["increase", "decrease"]),
                "predicted_direction": label,
                "full_model_response": text,
            }
            stream.write(json.dumps(record) + "\n")


def peak_of_helpers(driver: subprocess.Popen[str]) -> int:
    """Return the most memory that a process's children took together while it lived, in bytes, by looking often."""
    most = 0
    while driver.poll() is None:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(driver.pid).children()
            most = max(most, sum(child.memory_info().rss for child in children))
        time.sleep(0.1)
    return most


def plan(folder: Path, path: Path, max_samples: int | None, processes: int, random_groups: int) -> dict[str, float]:
    """Plan a file in a child process, with so many of its own, and return what it took."""
    config = folder / "config.yaml"
    config.write_text(
        f"run: {{name: scale, output: {folder / 'runs'}}}\npredictions: {{path: {path}}}\n"
        f"model: {{path: {folder / 'model'}}}\nvocabulary: {ROOT / 'config' / 'vocabulary' / 'financial.yaml'}\n"
        f"statistics: {{random_groups: {random_groups}}}\n"
        f"cluster: {{mode: inline, planning_processes: {processes}}}\n"
    )
    code = (
        "import resource, sys\nfrom engine.run import main\n"
        "code = main(sys.argv[1:])\n"
        "own, helpers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "print('TOOK', own.ru_utime + own.ru_stime, helpers.ru_utime + helpers.ru_stime, own.ru_maxrss)\n"
        "sys.exit(code)"
    )
    limit = [] if max_samples is None else ["--max-samples", str(max_samples)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(
            [sys.executable, "-c", code, str(config), "--stage", "plan", *limit], cwd=ROOT, stdout=said, text=True
        ) as driver:
            peak = peak_of_helpers(driver)
        assert driver.returncode == 0, "planning failed"
        wall = time.perf_counter() - started
        said.seek(0)
        own, helpers, own_peak = map(float, said.read().rsplit("TOOK", 1)[1].split())
    run = folder / "runs" / "scale"
    summary = json.loads((run / "plan.json").read_text())
    facts: dict[str, float] = {
        "rows": summary["num_rows"],
        "samples": summary["num_samples"],
        "tokens": summary["num_tokens"],
        "input_gb": path.stat().st_size / 1e9,
        "processes": processes,
        "wall_s": wall,
        "driver_s": own,
        "helpers_s": helpers,
        "peak_mib": own_peak / 1024,
        "helpers_mib": peak / 2**20,
        "plan_gb": sum(file.stat().st_size for file in (run / "plan").rglob("*.parquet")) / 1e9,
    }
    shutil.rmtree(run)
    return facts


def costs_of_a_row(small: list[dict[str, float]], large: list[dict[str, float]]) -> dict[str, float]:
    """Return CPU milliseconds per row of driver and helpers, from the medians of two sizes: fixed costs cancel."""
    rows = large[0]["rows"] - small[0]["rows"]
    return {
        name: 1000 * (median(f[name] for f in large) - median(f[name] for f in small)) / rows
        for name in ("driver_s", "helpers_s")
    }


def print_costs(found: dict[int, dict[int, list[dict[str, float]]]]) -> None:
    """Print what a row costs with each number of processes, and what follows for idle cores."""
    sizes = sorted(found)
    costs = {n: costs_of_a_row(found[sizes[0]][n], found[sizes[-1]][n]) for n in found[sizes[0]]}
    alone = costs.get(1, {}).get("driver_s")
    print(
        "\n| processes | driver, ms of CPU per row | helpers, ms | 2 cores, ms | 8 cores, ms | of one process |\n"
        + "|---:" * 6
        + "|"
    )
    for number, cost in costs.items():
        driver, helpers = cost["driver_s"], cost["helpers_s"]
        walls = [driver] * 2 if number == 1 else [max(driver, (driver + helpers) / cores) for cores in (2, 8)]
        ratios = ", ".join(f"{wall / alone:.3f}" for wall in walls) if alone else ""
        print(f"| {number} | {driver:.2f} | {helpers:.2f} | {walls[0]:.2f} | {walls[1]:.2f} | {ratios} |")


def main() -> None:
    """Print one line per size, number of processes and round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default="1500,6000")
    parser.add_argument("--kilobytes", type=int, default=33)
    parser.add_argument("--max-samples", type=int)
    parser.add_argument("--processes", default="1,2", help="numbers of processes, side by side")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--random-groups", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args()
    processes = list(map(int, options.processes.split(",")))
    found: dict[int, dict[int, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_model(folder / "model")
        print(
            "| rows | samples | tokens | input GB | processes | wall s | driver's CPU s | helpers' CPU s | peak MiB of "
            "the driver | of all helpers | plan GB |\n|" + "---:|" * 11
        )
        for rows in map(int, options.rows.split(",")):
            path = folder / f"{rows}.jsonl"
            make_rows(path, rows, options.kilobytes)
            for _round in range(options.rounds):
                for number in processes:
                    facts = plan(folder, path, options.max_samples, number, options.random_groups)
                    found.setdefault(rows, {}).setdefault(number, []).append(facts)
                    cells = (f"{v:,.2f}" if isinstance(v, float) else f"{v:,}" for v in facts.values())
                    print(f"| {' | '.join(cells)} |", flush=True)
            path.unlink()
    if len(found) > 1:
        print_costs(found)


if __name__ == "__main__":
    main()
