"""What all default statistics cost over a plain sdpa forward, in time and in memory, side by side in one run.

``python -m tests.benchmarks.statistics_cost`` prints a table and writes it to ``statistics_cost.md`` beside this file.
Each figure is a ratio: the same packed tokens, the same ``logits_to_keep``, the same process for time (plain, probed,
eager, plain, probed, eager, …) and one fresh process each for memory. Beside them the forward that keeps every pattern
(eager attention with ``output_attentions``). Nothing is asserted: speed is measured, not tested.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from engine.attention.layout import sequence_layout
from engine.attention.readers.received import ReceivedRows
from engine.encoded_samples import EncodedSample
from engine.measuring.forward import decision_logits
from engine.measuring.probe import Probe
from engine.measuring.tables.attributions import targets_of

NUM_KEY_GROUPS = 16
TOP_TOKENS = 5
MIB = 2**20
KINDS = ("plain", "probed", "patterns kept")


def build_model(layers: int) -> Qwen2ForCausalLM:
    """Return a random Qwen2 of Qwen2-0.5B's width."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=16384,
        tie_word_embeddings=True,
    )
    return Qwen2ForCausalLM(config).eval()


def encoded(num_tokens: int, num_key_groups: int = NUM_KEY_GROUPS, num_query_groups: int = 3) -> EncodedSample:
    """Return a sample with as many key groups and query groups as the defaults have, or more."""
    rng = np.random.default_rng(num_tokens)
    ids = rng.integers(0, 8192, num_tokens).astype(np.int32)
    zeros = np.zeros(num_tokens, np.int32)
    keys = {f"g{i}": np.flatnonzero(rng.random(num_tokens) < 0.2).astype(np.int32) for i in range(num_key_groups)}
    decision = num_tokens - 10
    queries = {
        "all": np.arange(num_tokens, dtype=np.int32),
        "decision": np.array([decision], np.int32),
        "response": np.arange(num_tokens * 2 // 3, num_tokens, dtype=np.int32),
        **{f"extra{i}": keys[f"g{i}"] for i in range(num_query_groups - 3)},
    }
    return EncodedSample("s", {}, "", ids, zeros, zeros, zeros, num_tokens * 2 // 3, decision, (1, 2), keys, queries)


def fits(layers: int, num_tokens: int) -> bool:
    """Whether every pattern of the model fits in this machine's memory, with one more layer's scores beside them."""
    return (layers + 3) * 14 * num_tokens**2 * 4 < 0.9 * psutil.virtual_memory().available


def forwards(layers: int, num_tokens: int) -> dict[str, Callable[[], object]]:
    """Return one function without arguments per kind of forward."""
    model = build_model(layers)
    probe, sample = Probe(model, top_tokens=TOP_TOKENS), encoded(num_tokens)
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    targets = [targets_of(sample, layout)]

    def patterns_kept():
        model.set_attn_implementation("eager")
        try:
            with torch.inference_mode():
                model(layout.token_ids[None], output_attentions=True, use_cache=False, logits_to_keep=1)
        finally:
            model.set_attn_implementation("sdpa")

    found: dict[str, Callable[[], object]] = {
        "plain": lambda: decision_logits(model, layout.token_ids, [layout]),
        "probed": lambda: probe.measure(layout.token_ids, [layout], targets=targets),
    }
    return found | ({"patterns kept": patterns_kept} if fits(layers, num_tokens) else {})


def timed_rounds(by_kind: dict[str, Callable[[], object]], repeats: int) -> list[dict[str, float]]:
    """Return CPU seconds of each kind of forward in turn, round by round, after one round that is not counted."""
    rounds = []
    for _ in range(repeats + 1):
        seconds = {}
        for kind, forward in by_kind.items():
            started = time.process_time()
            forward()
            seconds[kind] = time.process_time() - started
        rounds.append(seconds)
    return rounds[1:]


def cpu_seconds(layers: int, num_tokens: int, repeats: int) -> tuple[float, dict[str, float]]:
    """Return the plain forward's median CPU seconds and, per kind, the median ratio to it round by round."""
    by_kind = forwards(layers, num_tokens)
    rounds = timed_rounds(by_kind, repeats)
    ratios = {kind: statistics.median(r[kind] / r["plain"] for r in rounds) for kind in by_kind}
    return statistics.median(r["plain"] for r in rounds), ratios


def optional_costs(layers: int, num_tokens: int, repeats: int, words: Sequence[str] | None = None) -> dict[str, float]:
    """Return CPU time of each optional statistic over the default ones without attributions, the median of ratios.

    With words, of those alone whose line holds one of them.
    """
    model = build_model(layers)
    plain, weighted, rolled = Probe(model), Probe(model, norm_weighted=True), Probe(model, with_rollout=True)
    sentences = np.arange(num_tokens, dtype=np.int32) // 25
    asked = ReceivedRows.of(sentences, 10, 32, 20)
    reading, receiving = (
        sequence_layout(encoded(num_tokens), 0, torch.device("cpu"), None, reads, received)
        for reads, received in ((True, None), (False, asked))
    )
    short = replace(encoded(num_tokens), num_prompt_tokens=num_tokens - 200)
    briefly = sequence_layout(short, 0, torch.device("cpu"), None, True)
    in_torch, attributing = Probe(model, attention="blocked"), Probe(model, top_tokens=TOP_TOKENS)
    default, groups, queries = (
        sequence_layout(sample, 0, torch.device("cpu"))
        for sample in (encoded(num_tokens), encoded(num_tokens, 36), encoded(num_tokens, num_query_groups=10))
    )
    targets, of_short = [targets_of(encoded(num_tokens), default)], [targets_of(short, briefly)]
    contributing = Probe(model, top_tokens=TOP_TOKENS, contribution=True)
    by_kind: dict[str, Callable[[], object]] = {
        "default": lambda: plain.measure(default.token_ids, [default]),
        "attributions (on by default)": lambda: attributing.measure(default.token_ids, [default], targets=targets),
        "attributions and contributions": lambda: contributing.measure(default.token_ids, [default], targets=targets),
        "both and reading focus, an answer of 200 tokens": lambda: contributing.measure(
            briefly.token_ids, [briefly], targets=of_short
        ),
        "reading focus, an answer of a third of the text": lambda: plain.measure(reading.token_ids, [reading]),
        "reading focus, an answer of 200 tokens": lambda: plain.measure(briefly.token_ids, [briefly]),
        "what keys and sentences receive": lambda: plain.measure(receiving.token_ids, [receiving]),
        "the same without a C compiler": lambda: in_torch.measure(receiving.token_ids, [receiving]),
        "norm-weighted masses": lambda: weighted.measure(default.token_ids, [default]),
        "rollout of the decision row": lambda: rolled.measure(default.token_ids, [default]),
        "20 random vocabularies": lambda: plain.measure(groups.token_ids, [groups]),
        "10 query groups instead of 3": lambda: plain.measure(queries.token_ids, [queries]),
        "no C compiler (`model.attention: blocked`)": lambda: in_torch.measure(default.token_ids, [default]),
    }
    if words is not None:
        by_kind = {
            kind: work for kind, work in by_kind.items() if kind == "default" or any(word in kind for word in words)
        }
    rounds = timed_rounds(by_kind, repeats)
    kinds = list(by_kind)[1:]
    return {kind: statistics.median(r[kind] / r["default"] for r in rounds) for kind in kinds}


def peak_bytes(layers: int, num_tokens: int, kind: str) -> int:
    """Return a forward's peak resident memory above the loaded model, measured in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.statistics_cost",
        "--peak",
        kind,
        "--layers",
        str(layers),
        "--tokens",
        str(num_tokens),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(json.loads(done.stdout))


def resident_peak(forward: Callable[[], object], warm_ups: Iterable[Callable[[], object]]) -> int:
    """Return how far a call lifts this process' resident memory, in bytes, once libraries are loaded."""
    for warm in warm_ups:
        warm()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    forward()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tokens", type=int, nargs="*", default=[512, 1024, 2048, 4096])
    parser.add_argument("--optional", type=int, default=2048, help="tokens at which optional statistics are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="which optional statistics are timed, by a word of their line")
    parser.add_argument("--peak", choices=KINDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        forward = forwards(options.layers, options.tokens[0])[options.peak]
        print(json.dumps(resident_peak(forward, forwards(1, 64).values())))
        return
    lines = [
        f"Qwen2, {options.layers} layers x 14 heads x 2 KV heads, width 896, float32, 1 thread, "
        f"{NUM_KEY_GROUPS} key groups, 3 query groups; torch {torch.__version__}, {platform.machine()}.",
        "",
        "| tokens | plain sdpa forward | with all statistics | with patterns kept |",
        "|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for num_tokens in options.tokens:
        seconds, ratios = cpu_seconds(options.layers, num_tokens, options.repeats)
        peaks = {kind: peak_bytes(options.layers, num_tokens, kind) for kind in ratios}
        cells = [f"{num_tokens:,}", f"{seconds:.2f} CPU s, {peaks['plain'] / MIB:.0f} MiB"]
        cells += [
            f"{ratios[kind]:.2f} x time, {peaks[kind] / peaks['plain']:.2f} x memory" if kind in ratios else "no room"
            for kind in KINDS[1:]
        ]
        line = f"| {' | '.join(cells)} |"
        print(line, flush=True)
        lines.append(line)
    tail = ["", f"| optional, at {options.optional:,} tokens | over the default statistics |", "|---|---|"]
    costs = optional_costs(options.layers, options.optional, options.repeats, options.only)
    tail += [f"| {kind} | {ratio:.2f} x time |" for kind, ratio in costs.items()]
    print("\n".join(tail))
    lines += tail
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
