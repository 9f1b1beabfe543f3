"""Planning large files: time and peak memory of ``--stage plan`` on JSON Lines files of growing size.

``python -m tests.benchmarks.plan_scale [--rows 1500,6000] [--kilobytes 33] [--max-samples N]`` writes each file to a
temporary folder, plans it in a process of its own and prints rows, bytes, seconds, peak memory and what the plan takes
on disk. The tokenizer is the genuine Qwen2 one where ``../shared`` is there, else the demo model's; the model is a
config without weights, as a plan loads none.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def plan(folder: Path, path: Path, max_samples: int | None) -> dict[str, float]:
    """Plan a file in a child process and return what it took."""
    config = folder / "config.yaml"
    config.write_text(
        f"run: {{name: scale, output: {folder / 'runs'}}}\npredictions: {{path: {path}}}\n"
        f"model: {{path: {folder / 'model'}}}\nvocabulary: {ROOT / 'config' / 'vocabulary' / 'financial.yaml'}\n"
        "statistics: {random_groups: 0}\ncluster: {mode: inline}\n"
    )
    code = (
        "import resource, sys\nfrom engine.run import main\n"
        "code = main(sys.argv[1:])\n"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(code)"
    )
    limit = [] if max_samples is None else ["--max-samples", str(max_samples)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(config), "--stage", "plan", *limit],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = folder / "runs" / "scale"
    summary = json.loads((run / "plan.json").read_text())
    facts = {
        "rows": summary["num_rows"],
        "samples": summary["num_samples"],
        "tokens": summary["num_tokens"],
        "input_gb": path.stat().st_size / 1e9,
        "wall_s": time.perf_counter() - started,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": int(done.stdout.rsplit("PEAK", 1)[1]) / 1024,
        "plan_gb": sum(file.stat().st_size for file in (run / "plan").rglob("*.parquet")) / 1e9,
    }
    shutil.rmtree(run)
    return facts


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default="1500,6000")
    parser.add_argument("--kilobytes", type=int, default=33)
    parser.add_argument("--max-samples", type=int)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_model(folder / "model")
        print("| rows | samples | tokens | input GB | wall s | CPU s | peak MiB | plan GB |\n|" + "---:|" * 8)
        for rows in map(int, options.rows.split(",")):
            path = folder / f"{rows}.jsonl"
            make_rows(path, rows, options.kilobytes)
            facts = plan(folder, path, options.max_samples)
            print(
                "| " + " | ".join(f"{v:,.2f}" if isinstance(v, float) else f"{v:,}" for v in facts.values()) + " |",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    main()
