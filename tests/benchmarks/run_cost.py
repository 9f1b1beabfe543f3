"""What a whole run costs over the forward passes with statistics alone, and what a second replica brings.

``python -m tests.benchmarks.run_cost [--layers 6] [--samples 48] [--words 400]`` prints a table and writes it to
``run_cost.md`` beside this file. One random Qwen2 of Qwen2-0.5B's width, one thread per replica:

* bare: one process reads the planned samples and measures them; no Ray, no tables, no ledger;
* bare, twice at once: two such processes side by side, which is what this machine gives at best;
* run: ``python -m engine.run`` over Ray with one and with two replicas, to ``_SUCCESS``.

Rates are tokens over wall time from the end of every replica's first unit on, so that start-up (which is printed) and
the one comparison with the unprobed model are left out; a run's ends with ``_SUCCESS``, and once more with its last
unit: between the two lie Ray's shutdown, 1.6 s however long the run, and the verification. All rates are measured round
by round in turn; the median of ratios is given.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from engine.config import load_config
from engine.encoding.encoded_files import read_batches
from engine.storage.run_directory import RunDirectory
from engine.workers.replica import Replica
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import answer, statement

DEMO_MODEL = ROOT / "data" / "demo-model"
SAMPLES_PER_UNIT = 4


def make_model(folder: Path, layers: int) -> None:
    """Write a random Qwen2 of Qwen2-0.5B's width beside the demo model's tokenizer."""
    shutil.copytree(DEMO_MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=json.loads((DEMO_MODEL / "config.json").read_text())["vocab_size"],
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)


def make_predictions(path: Path, samples: int, num_words: int) -> None:
    """Write predictions with a statement, so much reasoning, and a JSON answer."""
    rng = random.Random(0)
    rows = []
    for index in range(samples):
        label = rng.choice(["increase", "decrease"])
        words = " ".join(rng.choices(("revenue", "margin", "cash", "debt", "cost", "ratio"), k=num_words))
        question = f"Will EPS rise?\n\n{statement(rng)}\n\n{words}"
        rows.append(
            {
                "company_id": index,
                "year": 2000,
                "actual_label": label,
                "predicted_direction": label,
                "full_model_response": f"system\nYou are a helpful assistant.\nuser\n{question}\nassistant\n"
                f"{answer(label, rng)}",
            }
        )
    path.write_text(json.dumps(rows))


def bare(config_path: str, first: int, step: int) -> None:
    """Measure every ``step``-th planned unit and print when each ended, and its tokens."""
    config, _ = load_config(config_path)
    run_dir, replica = RunDirectory(Path(config.run.output) / config.run.name), Replica(config)
    for unit in run_dir.plan.units()[first::step]:
        batches = read_batches(run_dir.plan.encoded_path(unit.name))
        replica.measurer.forward_passes(batches, [])
        print(json.dumps([time.time(), sum(s.num_tokens for batch in batches for s in batch)]), flush=True)


def bare_rate(config: Path, processes: int) -> float:
    """Return tokens per second of so many bare loops at once."""
    command = [sys.executable, "-m", "tests.benchmarks.run_cost", "--bare", str(config), "--step", str(processes)]
    running = [
        subprocess.Popen([*command, "--first", str(first)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for first in range(processes)
    ]
    ends = [[json.loads(line) for line in process.communicate()[0].splitlines()] for process in running]
    return sum(sum(tokens for _, tokens in own[1:]) / (own[-1][0] - own[0][0]) for own in ends)


def run_rate(config: Path, replicas: int) -> tuple[float, float, float]:
    """Return tokens per second of a run to its end, the same to its last unit, and seconds up to its first units."""
    name = f"run-{replicas}"
    started = time.time()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "engine.run",
            str(config),
            f"run.name={name}",
            "--stage",
            "collect",
            f"cluster.replicas={replicas}",
            "cluster.mode=local",
            "--fresh",
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    root = config.parent / "runs" / name
    units = sorted((file.stat().st_mtime, _tokens(file)) for file in root.glob("shards/*/manifest.json"))
    end, after = (root / "_SUCCESS").stat().st_mtime, units[replicas - 1][0]
    tokens = sum(tokens for _, tokens in units[replicas:])
    return tokens / (end - after), tokens / (units[-1][0] - after), after - started


def _tokens(manifest: Path) -> int:
    facts: dict[str, Any] = json.loads(manifest.read_text())["facts"]
    return int(facts["num_tokens"])


def measure(folder: Path, options: argparse.Namespace) -> list[str]:
    """Return the table."""
    make_model(folder / "model", options.layers)
    make_predictions(folder / "predictions.json", options.samples, options.words)
    config = folder / "config.yaml"
    config.write_text(
        f"run: {{name: plan, output: {folder / 'runs'}}}\npredictions: {{path: {folder / 'predictions.json'}}}\n"
        f"model: {{path: {folder / 'model'}, dtype: float32, device: cpu}}\n"
        f"vocabulary: {ROOT / 'config' / 'vocabulary' / 'financial.yaml'}\n"
        f"cluster: {{mode: local, cpus_per_replica: 1, samples_per_shard: {SAMPLES_PER_UNIT}}}\n"
    )
    subprocess.run(
        [sys.executable, "-m", "engine.run", str(config), "--stage", "plan"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    plan = RunDirectory(folder / "runs" / "plan").plan.read()
    rounds: list[dict[str, float]] = []
    for _ in range(options.repeats):
        found = {"bare": bare_rate(config, 1), "bare 2": bare_rate(config, 2)}
        for kind, replicas in (("", 1), (" 2", 2)):
            found[f"run{kind}"], found[f"units{kind}"], found[f"start{kind}"] = run_rate(config, replicas)
        rounds.append(found)
        print(json.dumps(found), flush=True)

    def median(of: str, over: str = "") -> float:
        return statistics.median(found[of] / (found[over] if over else 1) for found in rounds)

    return [
        f"Qwen2, {options.layers} layers x 14 heads, width 896, float32, {plan.num_samples} samples of "
        f"{plan.num_tokens // plan.num_samples:,} tokens in units of {SAMPLES_PER_UNIT}, "
        f"{options.repeats} round(s); "
        f"torch {torch.__version__}, {platform.machine()}.",
        "",
        "| | tokens/s | ratio |",
        "|---|---|---|",
        f"| bare loop | {median('bare'):,.0f} | |",
        f"| run, 1 replica | {median('run'):,.0f} | takes {1 / median('run', 'bare'):.3f} x the bare loop's time |",
        f"| bare loop, two at once | {median('bare 2'):,.0f} | {median('bare 2', 'bare') / 2:.3f} of twice one |",
        f"| run, 2 replicas | {median('run 2'):,.0f} | {median('run 2', 'run') / 2:.3f} of twice one replica, "
        f"{median('run 2', 'bare 2'):.3f} of two bare loops |",
        f"| the same to the last unit's commit | {median('units 2'):,.0f} | "
        f"{median('units 2', 'units') / 2:.3f} of twice one replica, "
        f"{median('units 2', 'bare 2'):.3f} of two bare loops |",
        "",
        f"Until the first units ended, with Ray, the model and its check: {median('start'):.0f} s with one replica, "
        f"{median('start 2'):.0f} s with two.",
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--words", type=int, default=400, help="of reasoning beside the statement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare, options.first, options.step)
        return
    with tempfile.TemporaryDirectory(prefix="run-cost-") as name:
        lines = measure(Path(name), options)
    print("\n".join(lines))
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
