"""What all default statistics cost over a plain sdpa forward, in time and in memory, side by side in one run.

``python -m tests.benchmarks.statistics_cost`` prints a table and writes it to ``statistics_cost.md`` beside this file.
Each figure is a ratio: the same packed tokens, the same ``logits_to_keep``, the same process for time (plain, probed,
plain, probed, …) and one fresh process each for memory. Nothing is asserted: speed is measured, not tested.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from engine.attention.reductions import sequence_layout
from engine.probe import Probe, decision_logits
from engine.samples import EncodedSample

NUM_KEY_GROUPS = 16
MIB = 2**20


def build_model(layers: int) -> Qwen2ForCausalLM:
    """Return a random Qwen2 of Qwen2-0.5B's width."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192, hidden_size=896, intermediate_size=4864, num_hidden_layers=layers, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def encoded(num_tokens: int) -> EncodedSample:
    """Return a sample with as many key groups and query groups as the defaults have."""
    rng = np.random.default_rng(num_tokens)
    ids = rng.integers(0, 8192, num_tokens).astype(np.int32)
    zeros = np.zeros(num_tokens, np.int32)
    keys = {f"g{i}": np.flatnonzero(rng.random(num_tokens) < 0.2).astype(np.int32) for i in range(NUM_KEY_GROUPS)}
    decision = num_tokens - 10
    queries = {
        "all": np.arange(num_tokens, dtype=np.int32),
        "decision": np.array([decision], np.int32),
        "response": np.arange(num_tokens * 2 // 3, num_tokens, dtype=np.int32),
    }
    return EncodedSample(
        "s", {}, "", ids, zeros, zeros, zeros, num_tokens * 2 // 3, decision, (1, 2), keys, queries
    )  # fmt: skip


def forwards(layers: int, num_tokens: int):
    """Return the plain and the probed forward as functions without arguments."""
    model = build_model(layers)
    probe = Probe(model)
    layout = sequence_layout(encoded(num_tokens), 0, torch.device("cpu"))
    return (
        lambda: decision_logits(model, layout.token_ids, [layout]),
        lambda: probe.measure(layout.token_ids, [layout]),
    )


def time_ratio(layers: int, num_tokens: int, repeats: int) -> tuple[float, float]:
    """Return the plain forward's median CPU seconds and the median ratio of probed over plain, pair by pair."""
    plain, probed = forwards(layers, num_tokens)
    plain()
    probed()
    pairs = []
    for _ in range(repeats):
        pair = []
        for forward in (plain, probed):
            started = time.process_time()
            forward()
            pair.append(time.process_time() - started)
        pairs.append(pair)
    return statistics.median(p for p, _ in pairs), statistics.median(b / a for a, b in pairs)


def peak_bytes(layers: int, num_tokens: int, kind: str) -> int:
    """Return a forward's peak resident memory above the loaded model, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.statistics_cost", "--peak", kind,
               "--layers", str(layers), "--tokens", str(num_tokens)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(json.loads(done.stdout))


def _measure_peak(layers: int, num_tokens: int, kind: str) -> None:
    forward = forwards(layers, num_tokens)[("plain", "probed").index(kind)]
    warm = forwards(1, 64)
    warm[0]()
    warm[1]()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    forward()
    print(json.dumps(_status("VmHWM") - before))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", choices=("plain", "probed"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        _measure_peak(options.layers, options.tokens[0], options.peak)
        return
    lines = [
        f"Qwen2, {options.layers} layers x 14 heads x 2 KV heads, width 896, float32, 1 thread, "
        f"{NUM_KEY_GROUPS} key groups, 3 query groups; torch {torch.__version__}, {platform.machine()}.",
        "",
        "| tokens | plain sdpa forward, CPU s | with all statistics | plain memory, MiB | memory with statistics |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for num_tokens in options.tokens:
        seconds, ratio = time_ratio(options.layers, num_tokens, options.repeats)
        plain, probed = (peak_bytes(options.layers, num_tokens, kind) for kind in ("plain", "probed"))
        line = f"| {num_tokens:,} | {seconds:.2f} | x {ratio:.2f} | {plain / MIB:.0f} | x {probed / plain:.2f} |"
        print(line, flush=True)
        lines.append(line)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
