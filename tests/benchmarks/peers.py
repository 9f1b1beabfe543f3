"""The same statistics of the same sample by what a user would otherwise pick, side by side in one run.

``python -m tests.benchmarks.peers`` prints a table of CPU time and peak memory over a plain sdpa forward and writes it
to ``peers.md`` beside this file. Every way gives the same means ``[layers, H, Q, K]``, which are compared with ours; a
way whose library is not installed is left out (``pip install -e '.[peers]'`` in an environment of its own brings them,
and ``pip install --no-deps attnread`` the last).

* the old script: eager attention with ``output_attentions``, all patterns kept, statistics in NumPy;
* hooks: eager attention, statistics in torch inside a forward hook per layer, each pattern dropped after it;
* TransformerLens: its bridge around a copy of the model, statistics in a hook on every ``hook_pattern``;
* nnsight: eager attention, statistics in torch inside a trace;
* nnterp: the same through its names and its access to attention probabilities;
* attnread: sdpa as it is, with values that are unit vectors, a forward for as many keys as a head is wide. Layers are
  done one after the other and cost the same, so that one is measured and counted for all;
* three stock calls: sdpa three times per layer with other values, which gives masses, entropy and distance alone.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from engine.attention.group_means import defined_rows, visible_keys
from engine.attention.layout import SequenceLayout, sequence_layout
from engine.measuring.forward import decision_logits
from engine.measuring.probe import Probe
from engine.tolerances import tolerance
from tests.benchmarks.statistics_cost import MIB, build_model, encoded, resident_peak, timed_rounds

OURS, PLAIN = "Headledger", "plain sdpa forward"
LIBRARIES = {
    "TransformerLens": "transformer_lens",
    "nnsight": "nnsight",
    "nnterp": "nnterp",
    "attnread": "attnread",
}
GIVES = {
    OURS: "12 statistics and masses by key group as means over query groups, decision rows, attributions",
    "old script": "patterns, and statistics in NumPy",
    "hooks": "what is written by hand",
    "TransformerLens": "patterns, queries, keys, values, head outputs; statistics by hand",
    "nnsight": "any activation; statistics by hand",
    "nnterp": "any activation under one name for all families; statistics by hand",
    "attnread": "patterns beside fast attention, also of vision towers; statistics by hand",
    "three stock calls": "masses, entropy, distance",
}
ONE_LAYER = {"attnread"}
"""Ways of which one layer is measured and counted for all."""


class Patterns:
    """Statistics of whole patterns, as one would write them with NumPy or torch.

    Parameters
    ----------
    layout
        The sequence.
    library
        ``numpy`` or ``torch``.
    """

    def __init__(self, layout: SequenceLayout, library: Any):
        self.library = library
        ids = layout.token_ids
        num_tokens = ids.shape[0]
        same = torch.tril(ids[:, None] == ids[None, :], -1)
        after = torch.tril(torch.cat((torch.zeros_like(same[:, :1]), ids[:, None] == ids[None, :-1]), 1))
        position = torch.arange(num_tokens)
        counts = visible_keys(position, None)
        has_match = torch.stack((same.any(1), after.any(1)))
        defined = defined_rows(position, counts, has_match, layout.indicators.shape[1]).double()
        weights = layout.query_weights.double()
        parts = (
            same.float(),
            after.float(),
            position.float(),
            counts.clamp(min=2).float().log(),
            layout.indicators,
            weights,
            defined,
            weights @ defined,
        )
        convert = (lambda part: part.numpy()) if library is np else (lambda part: part)
        (
            self.same,
            self.after,
            self.position,
            self.log_counts,
            self.indicators,
            self.weights,
            self.defined,
            self.counts,
        ) = map(convert, parts)

    def means(self, pattern: Any) -> Any:
        """Return means ``[H, Q, K]`` of a layer's pattern ``[H, T, T]``, float32."""
        library = self.library
        entropy = -(pattern * library.log(library.where(pattern > 0, pattern, 1.0))).sum(-1)
        distance = self.position - pattern @ self.position
        rows = library.arange(pattern.shape[-1])
        diagonal = pattern[:, rows, rows]
        columns = [
            entropy,
            entropy / self.log_counts,
            diagonal,
            diagonal,
            pattern[:, :, 0],
            pattern[:, rows, (rows - 1).clip(0)],
            distance,
            distance / self.position.clip(1),
            pattern.max(-1) if library is np else pattern.amax(-1),
            (pattern * pattern).sum(-1),
            (pattern * self.same).sum(-1),
            (pattern * self.after).sum(-1),
        ]
        rows_by_statistic = library.concatenate((library.stack(columns, -1), pattern @ self.indicators), -1)
        return self.weights @ (rows_by_statistic * self.defined) / self.counts


def old_script(model: Any, layout: SequenceLayout) -> Callable[[], np.ndarray]:
    """Keep every pattern, then NumPy."""
    patterns = Patterns(layout, np)

    def forward() -> np.ndarray:
        kept = with_eager(
            model,
            lambda: model(layout.token_ids[None], output_attentions=True, use_cache=False, logits_to_keep=1).attentions,
        )
        return np.stack([patterns.means(pattern[0].numpy()) for pattern in kept])

    return forward


def hooks(model: Any, layout: SequenceLayout) -> Callable[[], np.ndarray]:
    """Reduce in a forward hook of each attention module."""
    patterns = Patterns(layout, torch)

    def forward() -> np.ndarray:
        found = []
        handles = [
            layer.self_attn.register_forward_hook(lambda _, __, output: found.append(patterns.means(output[1][0])))
            for layer in model.model.layers
        ]
        try:
            with_eager(model, lambda: decision_logits(model, layout.token_ids, [layout]))
        finally:
            for handle in handles:
                handle.remove()
        return torch.stack(found).numpy()

    return forward


def with_eager(model: Any, call: Callable[[], Any]) -> Any:
    """Call with eager attention, and leave the model as it was."""
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            return call()
    finally:
        model.set_attn_implementation("sdpa")


def three_stock_calls(model: Any, layout: SequenceLayout) -> Callable[[], None]:
    """Call sdpa with values, with key groups and positions (masses, distance), and with keys (entropy by q.(PK))."""
    from transformers import AttentionInterface

    def attention(module, query, key, value, attention_mask, scaling, **options):
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        riders = torch.cat((layout.indicators, torch.arange(float(layout.num_tokens))[:, None]), 1)
        riders = torch.nn.functional.pad(riders, (0, key.shape[-1] - riders.shape[1])).expand_as(key)
        kept.extend(
            scaled_dot_product_attention(query, key, carried, is_causal=True, scale=scaling).mean()
            for carried in (riders, key)
        )
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling).transpose(1, 2), None

    kept: list[torch.Tensor] = []
    name = f"three_stock_calls_{id(layout)}"
    AttentionInterface.register(name, attention)

    def forward() -> None:
        kept.clear()
        model.set_attn_implementation(name)
        try:
            decision_logits(model, layout.token_ids, [layout])
        finally:
            model.set_attn_implementation("sdpa")

    return forward


def transformer_lens(model: Any, layout: SequenceLayout) -> Callable[[], np.ndarray]:
    """Reduce in TransformerLens' hook on every layer's pattern."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    # It wants a tokenizer, which ids never go through. It takes the model for itself, so that it gets a copy.
    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parents[2] / "data" / "demo-model")
    lens = TransformerBridge.boot_transformers("Qwen/Qwen2-0.5B", hf_model=copy.deepcopy(model), tokenizer=tokenizer)
    patterns = Patterns(layout, torch)

    def forward() -> np.ndarray:
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            lens.run_with_hooks(
                layout.token_ids[None],
                return_type=None,
                fwd_hooks=[
                    (
                        lambda name: name.endswith("hook_pattern"),
                        lambda pattern, hook: found.append(patterns.means(pattern[0])),
                    )
                ],
            )
        return torch.stack(found).numpy()

    return forward


def nnsight(model: Any, layout: SequenceLayout) -> Callable[[], np.ndarray]:
    """Reduce inside a trace of nnsight."""
    import nnsight as nnsight_module
    from nnsight import NNsight

    patterns, wrapped = Patterns(layout, torch), NNsight(model)

    def forward() -> np.ndarray:
        def traced() -> list[torch.Tensor]:
            with wrapped.trace(layout.token_ids[None], use_cache=False, logits_to_keep=1):
                found = nnsight_module.save([])
                for layer in wrapped.model.layers:
                    found.append(patterns.means(layer.self_attn.output[1][0]))
            return found

        return torch.stack(with_eager(model, traced)).numpy()

    return forward


def nnterp(model: Any, layout: SequenceLayout) -> Callable[[], np.ndarray]:
    """Reduce nnterp's attention probabilities inside a trace."""
    import nnsight as nnsight_module
    from nnterp import StandardizedTransformer
    from transformers import AutoTokenizer

    # It wants a tokenizer, which ids never go through, and eager attention for good, so that it gets a copy.
    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parents[2] / "data" / "demo-model")
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    wrapped = StandardizedTransformer(
        eager, tokenizer=tokenizer, enable_attention_probs=True, check_renaming=False, device_map=None
    )
    wrapped.attention_probabilities.enabled = True
    patterns = Patterns(layout, torch)

    def forward() -> np.ndarray:
        with torch.inference_mode(), wrapped.trace(layout.token_ids[None], use_cache=False, logits_to_keep=1):
            found = nnsight_module.save([])
            for layer in range(wrapped.num_layers):
                found.append(patterns.means(wrapped.attention_probabilities[layer][0]))
        return torch.stack(found).numpy()

    return forward


def attnread(model: Any, layout: SequenceLayout) -> Callable[[], np.ndarray]:
    """Reduce what attnread recovers of the first layer's patterns."""
    from attnread import extract_attention

    patterns, num_heads = Patterns(layout, torch), model.config.num_attention_heads

    def forward() -> np.ndarray:
        found = extract_attention(model, {"input_ids": layout.token_ids[None]}, [(0, h) for h in range(num_heads)])
        return patterns.means(torch.cat([found["text", 0, head] for head in range(num_heads)]))[None].numpy()

    return forward


WAYS: dict[str, Callable[[Any, SequenceLayout], Callable[[], Any]]] = {
    "old script": old_script,
    "hooks": hooks,
    "TransformerLens": transformer_lens,
    "nnsight": nnsight,
    "nnterp": nnterp,
    "attnread": attnread,
    "three stock calls": three_stock_calls,
}


def ways(layers: int, num_tokens: int, wanted: list[str]) -> dict[str, Callable[[], Any]]:
    """Return one function without arguments per way that can run here."""
    model = build_model(layers)
    probe, layout = Probe(model), sequence_layout(encoded(num_tokens), 0, torch.device("cpu"))

    def ours() -> np.ndarray:
        return torch.stack([layer.means for layer in probe.measure(layout.token_ids, [layout])[0].layers]).numpy()

    found: dict[str, Callable[[], Any]] = {
        PLAIN: lambda: decision_logits(model, layout.token_ids, [layout]),
        OURS: ours,
    }
    return {kind: call for kind, call in found.items() if kind in wanted} | {
        kind: make(model, layout)
        for kind, make in WAYS.items()
        if kind in wanted and (kind not in LIBRARIES or importlib.util.find_spec(LIBRARIES[kind]))
    }


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest deviation, in multiples of what the tolerance table allows; of the layers that were found."""
    expected = expected[: len(found)]
    assert (np.isnan(found) == np.isnan(expected)).all()
    kinds = {0: "entropy", 1: "entropy", 6: "distance"}
    worst = 0.0
    for index in range(expected.shape[-1]):
        allowed = tolerance(kinds.get(index, "mass"))
        a, b = np.nan_to_num(found[..., index]), np.nan_to_num(expected[..., index])
        worst = max(worst, float((np.abs(a - b) / (allowed.atol + allowed.rtol * np.abs(b))).max()))
    return worst


def peak_bytes(layers: int, num_tokens: int, kind: str) -> int:
    """Return a way's peak resident memory above the loaded model, measured in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.peers",
        "--peak",
        kind,
        "--layers",
        str(layers),
        "--tokens",
        str(num_tokens),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", choices=[PLAIN, OURS, *WAYS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        call = ways(options.layers, options.tokens, [options.peak])[options.peak]
        print(json.dumps(resident_peak(call, ways(1, 64, [options.peak]).values())))
        return
    calls = ways(options.layers, options.tokens, [PLAIN, OURS, *WAYS])
    rounds = timed_rounds(calls, options.repeats)
    expected = calls[OURS]()
    versions = ", ".join(
        f"{kind} {importlib.metadata.version(name.replace('_', '-'))}"
        for kind, name in LIBRARIES.items()
        if kind in calls
    )
    plain = statistics.median(r[PLAIN] for r in rounds)
    plain_peak = peak_bytes(options.layers, options.tokens, PLAIN)
    lines = [
        f"Qwen2, {options.layers} layers x 14 heads x 2 KV heads, width 896, float32, 1 thread, {options.tokens:,} "
        f"tokens, 16 key groups, 3 query groups; torch {torch.__version__}, {platform.machine()}"
        f"{', ' + versions if versions else ''}. A {PLAIN} takes {plain:.2f} CPU s and {plain_peak / MIB:.0f} MiB. "
        f"Deviation is the largest from {OURS}, in multiples of the tolerance table.",
        "",
        "| way | CPU time | peak memory | deviation | what it gives |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for kind in [name for name in calls if name != PLAIN]:
        ratio = statistics.median(r[kind] / r[PLAIN] for r in rounds) * (options.layers if kind in ONE_LAYER else 1)
        memory = peak_bytes(options.layers, options.tokens, kind) / plain_peak
        answer = calls[kind]()
        apart = "other statistics" if answer is None else f"{deviation(answer, expected):.2f}"
        line = f"| {kind} | {ratio:.2f} x | {memory:.2f} x | {apart} | {GIVES[kind]} |"
        print(line, flush=True)
        lines.append(line)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
