"""What statistics cost beside sdpa as a text grows: one whole layer of a 7B's shape, and its attention alone.

``python -m tests.benchmarks.long_texts`` prints both tables and writes them to ``long_texts.md`` beside this file.
Time: CPU seconds of one thread, sdpa and ours in turn; from 32,768 tokens on, where a forward takes minutes, one each.
Memory: the peak above what stood before, in a process each.
The attention alone is one KV head with the seven query heads that read it, of Qwen2-7B's four and 28: the others do the
same work again.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM

from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.choice import BackendChoice
from engine.attention.layout import sequence_layout
from engine.attention.masking import Masking
from engine.measuring.forward import decision_logits
from engine.measuring.probe import Probe
from tests.benchmarks.statistics_cost import encoded, resident_peak, timed_rounds

MIB = 2**20
HEAD_DIM, GROUP = 128, 7

Forwards = dict[str, Callable[[], object]]


def layer(num_tokens: int) -> Forwards:
    """Return a forward through one layer of Qwen2-7B's shape, plain and with all default statistics."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=1,
        num_attention_heads=28,
        num_key_value_heads=4,
        max_position_embeddings=131072,
    )
    model = Qwen2ForCausalLM(config).eval()
    probe = Probe(model)
    layout = sequence_layout(encoded(num_tokens), 0, torch.device("cpu"))
    return {
        "sdpa": lambda: decision_logits(model, layout.token_ids, [layout]),
        "ours": lambda: probe.measure(layout.token_ids, [layout]),
    }


def attention(num_tokens: int) -> Forwards:
    """Return the attention of one KV head and its query heads, by sdpa and with all default statistics."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn((heads, num_tokens, HEAD_DIM), generator=generator) for heads in (GROUP, 1, 1))
    layout = sequence_layout(encoded(num_tokens), 0, torch.device("cpu"))
    backend = BackendChoice("auto", torch.device("cpu"))
    call, row = LayerCall(query, key, value, Masking(HEAD_DIM**-0.5)), PackedRow([layout])

    def ours():
        with torch.inference_mode():
            backend.prepare([layout])
            return backend.attend(call, row, torch.empty((num_tokens, GROUP, HEAD_DIM)))

    def plain():
        with torch.inference_mode():
            return functional.scaled_dot_product_attention(
                query[None], key[None], value[None], is_causal=True, enable_gqa=True
            )

    return {"sdpa": plain, "ours": ours}


PARTS = {"layer": layer, "attention": attention}


LONG = 32_768
"""Tokens from which a forward takes minutes: its time is that of the one whose memory is measured."""


def peak_and_seconds(part: str, kind: str, num_tokens: int) -> tuple[int, float]:
    """Return the peak resident bytes above what stood before and the CPU seconds of a forward in its own process."""
    command = [sys.executable, "-m", "tests.benchmarks.long_texts", "--peak", part, kind, str(num_tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    peak, seconds = json.loads(done.stdout)
    return int(peak), float(seconds)


def line(part: str, num_tokens: int, repeats: int) -> str:
    """Measure a length and return its line."""
    (plain, seconds), (ours, our_seconds) = (peak_and_seconds(part, kind, num_tokens) for kind in ("sdpa", "ours"))
    ratio = our_seconds / seconds
    if num_tokens < LONG:
        rounds = timed_rounds(PARTS[part](num_tokens), repeats)
        seconds = statistics.median(each["sdpa"] for each in rounds)
        ratio = statistics.median(each["ours"] / each["sdpa"] for each in rounds)
    return (
        f"| {part} | {num_tokens:,} | {seconds:.2f} CPU s, {plain / MIB:,.0f} MiB | {ratio:.2f} x time, "
        f"{ours / plain:.2f} x memory |"
    )


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", type=int, nargs="*", default=[2048, 8192, 32768], help="tokens of a whole layer")
    parser.add_argument("--attention", type=int, nargs="*", default=[8192, 32768, 131072], help="of attention alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", nargs=3, metavar=("PART", "KIND", "TOKENS"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        part, kind, num_tokens = options.peak
        forward = PARTS[part](int(num_tokens))[kind]
        took: list[float] = []

        def timed():
            started = time.process_time()
            forward()
            took.append(time.process_time() - started)

        print(json.dumps((resident_peak(timed, PARTS[part](64).values()), *took)))
        return
    lines = ["| part | tokens | sdpa | with all statistics |", "|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for part in PARTS:
        for num_tokens in getattr(options, part):
            lines.append(line(part, num_tokens, options.repeats))
            print(lines[-1], flush=True)
    lines += [
        "",
        f"Float32, one thread, 16 key groups, 3 query groups; torch {torch.__version__}, {platform.machine()}.",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
