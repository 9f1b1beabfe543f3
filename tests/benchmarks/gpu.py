"""What the fused attention costs on an NVIDIA GPU: alone, in a whole forward, and against the script it replaces.

``python -m tests.benchmarks.gpu`` takes under nine minutes on an H200, prints tables and writes them to ``gpu.md``
beside this file after every figure. The model is a random one of Qwen2-7B's shape in bfloat16; times are medians of
CUDA events, memory is the allocator's peak above the loaded model. Each figure comes with the largest deviation of the
fused statistics from ``blocked`` on the same input: speed without that number means nothing.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import Qwen2Config, Qwen2ForCausalLM

from engine.attention.backends import blocked
from engine.attention.backends.backend import LayerCall
from engine.attention.backends.fused.row import FusedRow
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout, sequence_layout
from engine.attention.masking import Masking
from engine.measuring.forward import decision_logits
from engine.measuring.probe import Probe
from engine.tolerances import tolerance
from tests.benchmarks.statistics_cost import MIB, NUM_KEY_GROUPS, encoded

HEADS, KV_HEADS, HEAD_DIM = 28, 4, 128
DEVICE = torch.device("cuda")


def build_model(layers: int) -> Qwen2ForCausalLM:
    """Return a random model of Qwen2-7B's shape in bfloat16."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
        dtype=torch.bfloat16,
    )
    with torch.device(DEVICE):
        return Qwen2ForCausalLM(config).to(torch.bfloat16).eval()


def milliseconds(forward: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call on the device, after two that are not counted."""
    times = []
    for turn in range(repeats + 2):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        forward()
        end.record()
        end.synchronize()
        if turn >= 2:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def interleaved(by_kind: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return median milliseconds per kind, measured in turn so that clocks and heat meet all alike."""
    rounds: dict[str, list[float]] = {kind: [] for kind in by_kind}
    for turn in range(repeats + 2):
        for kind, forward in by_kind.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            forward()
            torch.cuda.synchronize()
            if turn >= 2:
                rounds[kind].append((time.perf_counter() - started) * 1000)
    return {kind: statistics.median(times) for kind, times in rounds.items()}


def peak_bytes(forward: Callable[[], object]) -> int:
    """Return a call's peak of allocated memory above what was there before."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    forward()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def layout_of(num_tokens: int) -> SequenceLayout:
    """Return a sequence with the default numbers of key groups and query groups."""
    return sequence_layout(encoded(num_tokens), 0, DEVICE)


def deviation(found: LayerStatistics, expected: LayerStatistics) -> float:
    """Return the largest deviation of a mean or decision weight, in multiples of what the tolerance table allows."""
    kinds = {0: "entropy", 1: "entropy", 6: "distance"}
    assert bool((found.means.isnan() == expected.means.isnan()).all())
    worst = 0.0
    for index in range(found.means.shape[-1]):
        allowed = tolerance(kinds.get(index, "mass"))
        a, b = found.means[..., index].nan_to_num().double(), expected.means[..., index].nan_to_num().double()
        worst = max(worst, float(((a - b).abs() / (allowed.atol + allowed.rtol * b.abs())).max()))
    weights = (found.decision_pattern.double() - expected.decision_pattern.double()).abs().max()
    return max(worst, float(weights) / tolerance("weight").atol)


def kernel_line(num_tokens: int, repeats: int) -> str:
    """Return a table row: one layer's attention alone, against PyTorch's flash attention."""
    generator = torch.Generator(DEVICE).manual_seed(num_tokens)
    shape = (num_tokens, HEADS + 2 * KV_HEADS, HEAD_DIM)
    packed = torch.randn(shape, generator=generator, device=DEVICE).to(torch.bfloat16).transpose(0, 1)
    query, key, value = packed.split((HEADS, KV_HEADS, KV_HEADS))
    layout, masking = layout_of(num_tokens), Masking(HEAD_DIM**-0.5)
    row, call = FusedRow([layout]), LayerCall(query, key, value, masking)
    output = torch.empty((num_tokens, HEADS, HEAD_DIM), dtype=query.dtype, device=DEVICE)
    found = row.attend(call, output)[0]
    reference, expected = blocked.attend(call, layout)
    multiples = deviation(found, expected)
    error = float((output.float() - reference).abs().max())
    del reference

    def flash() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True, enable_gqa=True)

    plain = milliseconds(flash, repeats)
    ours = milliseconds(lambda: row.attend(call, output), repeats)
    launch = milliseconds(lambda: row.launch(call, output, None), repeats)
    slow = milliseconds(lambda: blocked.attend(call, layout), 2)
    flops = 2 * HEADS * HEAD_DIM * num_tokens**2
    return (
        f"| {num_tokens:,} | {plain:.3f} ms ({flops / plain / 1e9:.0f} TFLOP/s) | {launch:.3f} ms, "
        f"{launch / plain:.2f} x | {ours:.3f} ms, {ours / plain:.2f} x | {slow / plain:.1f} x | {multiples:.2f} x | "
        f"{error:.1e} |"
    )


def forward_line(model: Qwen2ForCausalLM, num_tokens: int, repeats: int) -> str:
    """Return a table row: a whole forward with statistics, against the same forward with sdpa."""
    layout = layout_of(num_tokens)
    probe, slow = Probe(model, attention="fused"), Probe(model, attention="blocked")
    by_kind: dict[str, Callable[[], object]] = {
        "plain": lambda: decision_logits(model, layout.token_ids, [layout]),
        "fused": lambda: probe.measure(layout.token_ids, [layout]),
    }
    times = interleaved(by_kind, repeats)
    peaks = {kind: peak_bytes(forward) for kind, forward in by_kind.items()}
    (found,), (expected,) = (p.measure(layout.token_ids, [layout]) for p in (probe, slow))
    # Both read the same first layer; later ones read outputs that already differ in bfloat16's last bit.
    multiples = deviation(found.layers[0], expected.layers[0])
    allowed = tolerance("logits", "bfloat16")
    logits = float((found.logits - expected.logits).abs().max())
    share = logits / (allowed.atol + allowed.rtol * float(expected.logits.abs().max()))
    return (
        f"| {num_tokens:,} | {times['plain']:.1f} ms, {peaks['plain'] / MIB:.0f} MiB | "
        f"{times['fused'] / times['plain']:.3f} x | {peaks['fused'] / peaks['plain']:.3f} x | {multiples:.2f} x | "
        f"{share:.2f} x |"
    )


def kept_patterns(model: Any, layout: SequenceLayout) -> np.ndarray:
    """Reduce patterns as the replaced script did: eager attention, keep all, NumPy on the host; ``[layer, head]``."""
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            found = model(layout.token_ids[None], output_attentions=True, use_cache=False, logits_to_keep=1)
    finally:
        model.set_attn_implementation("sdpa")
    patterns = [attention[0].float().cpu().numpy() for attention in found.attentions]
    entropies = []
    for pattern in patterns:
        entropies.append(-(pattern * np.log(pattern + 1e-12)).sum(-1).mean(-1))
        for column in layout.indicators.T.cpu().numpy():
            pattern[:, :, column > 0].sum(-1).mean(-1)
    return np.stack(entropies)


def seed_line(model: Qwen2ForCausalLM, num_tokens: int, repeats: int) -> str:
    """Return the comparison with keeping every pattern."""
    layout = layout_of(num_tokens)
    probe = Probe(model, attention="fused")
    started = time.perf_counter()
    entropies = kept_patterns(model, layout)
    seconds = time.perf_counter() - started
    ours = interleaved({"fused": lambda: probe.measure(layout.token_ids, [layout])}, repeats)["fused"] / 1000
    (found,) = probe.measure(layout.token_ids, [layout])
    measured = found.layers[0].means[:, 0, 0].cpu().numpy()
    apart = float(np.abs(measured - entropies[0]).max())
    return f"| {num_tokens:,} | {seconds:.2f} s | {ours:.3f} s | {seconds / ours:.0f} x | {apart:.1e} nats |"


def main() -> int:
    """Measure and write the tables; 2 where there is no NVIDIA GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--seed-tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    if not torch.cuda.is_available() or torch.version.hip is not None:
        print("There is no NVIDIA GPU on this machine; make bench measures the CPU.", file=sys.stderr)
        return 2
    began = time.perf_counter()
    lines = [
        f"{torch.cuda.get_device_name()}; random model of Qwen2-7B's shape ({options.layers} layers x {HEADS} heads x "
        f"{KV_HEADS} KV heads of {HEAD_DIM}), bfloat16, {NUM_KEY_GROUPS} key groups, 3 query groups; torch "
        f"{torch.__version__}, Python {platform.python_version()}. Deviations are multiples of what the tolerance "
        f"table allows, against `blocked` on the same input: below 1 is equal.",
    ]

    def write(*more: str) -> None:
        print(*more, sep="\n", flush=True)
        lines.extend(more)
        options.output.write_text("\n".join(lines) + "\n")

    write(
        "",
        "| tokens, one layer | flash attention | the kernel | with decision row and means | blocked | deviation "
        "| output |",
        "|---|---|---|---|---|---|---|",
    )
    with torch.inference_mode():
        for num_tokens in options.tokens:
            write(kernel_line(num_tokens, 2 * options.repeats))
    model = build_model(options.layers)
    write(
        "",
        "| tokens, whole forward | plain sdpa | time with all statistics | memory | deviation, first layer | logits |",
        "|---|---|---|---|---|---|",
    )
    for num_tokens in options.tokens:
        write(forward_line(model, num_tokens, max(3, options.repeats * 4096 // num_tokens)))
    write(
        "",
        "| tokens | every pattern kept (eager, NumPy) | with the kernel | ratio | entropy apart, first layer |",
        "|---|---|---|---|---|",
    )
    write(seed_line(model, options.seed_tokens, options.repeats))
    print(f"took {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
