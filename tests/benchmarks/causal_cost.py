"""What ablating every head costs beside the naive loop, side by side in one run.

``python -m tests.benchmarks.causal_cost`` prints a table and writes it to ``causal_cost.md`` beside this file. The
naive loop runs the whole model once per head with a hook on the output projection; its cost does not depend on the
head, so one head of it runs between the layers of the sweep, and their mean counts for all. The sweep's own unchanged
run is part of its cost. CPU time on one thread.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import torch

from engine.attention.layout import sequence_layout
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import trace
from engine.measuring.forward import decision_logits
from engine.model.decoder import Decoder
from tests.benchmarks.statistics_cost import build_model, encoded

GOALS = {"all": 0.52, "decision": 0.005}


def measure(layers: int, num_tokens: int, tokens_per_batch: int, every: int) -> dict[str, float]:
    """Return CPU seconds of a plain forward, of one head of the naive loop, and per head of both kinds of sweep.

    What a head of a layer costs with all rows is linear in the layers behind it, so that layers with the same distance,
    as many before the middle as behind it, have the mean of all layers.
    """
    decoder = Decoder(build_model(layers))
    sample = encoded(num_tokens)
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    num_heads = decoder.geometry.num_heads
    seconds: dict[str, list[float]] = {"plain": [], "naive": [], "all": [], "decision": []}

    def timed(name, work):
        started = time.process_time()
        result = work()
        seconds[name].append(time.process_time() - started)
        return result

    def naive(layer):
        with heads_edited(decoder, [HeadEdit(layer, (0,))]):
            return decision_logits(decoder.model, layout.token_ids, [layout])

    naive(0)  # the first forward allocates
    kept = trace(decoder, layout.token_ids, sample.decision_position, sample.contrast_token_ids)
    for rows in ("all", "decision"):
        timed(rows, lambda: trace(decoder, layout.token_ids, sample.decision_position, sample.contrast_token_ids))
    sweep = Sweep(decoder, kept, tokens_per_batch)
    chosen = chosen_layers(layers, every)
    for layer in chosen:
        timed("plain", lambda: decision_logits(decoder.model, layout.token_ids, [layout]))
        difference = timed("naive", lambda layer=layer: naive(layer))[0]
        for rows, first_row in (("all", 0), ("decision", kept.num_tokens - 1)):
            interventions = [
                Intervention(first_row, (HeadEdit(layer, (head,), only_decision=rows == "decision"),))
                for head in range(num_heads)
            ]
            effects = timed(rows, lambda interventions=interventions: sweep.run(interventions))
            if rows == "all":
                first, second = sample.contrast_token_ids
                assert abs(effects[0].logit_difference - float(difference[first] - difference[second])) < 1e-3
    measured = len(chosen)
    heads = {rows: sum(seconds[rows][1:]) / (measured * num_heads) for rows in GOALS}
    return {
        "plain": sum(seconds["plain"]) / measured,
        "naive": sum(seconds["naive"]) / measured,
        # The unchanged run is done once for all heads, whichever are measured.
        **{rows: heads[rows] + seconds[rows][0] / (layers * num_heads) for rows in GOALS},
    }


def chosen_layers(layers: int, every: int) -> list[int]:
    """Return one layer of each stretch of so many, with the same mean depth as all layers have."""
    # The middle of an even stretch lies between two layers: every second one is taken a layer earlier.
    return [
        layer - (place % 2 if every % 2 == 0 else 0) for place, layer in enumerate(range(every // 2, layers, every))
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tokens", type=int, nargs="*", default=[256])
    parser.add_argument("--tokens-per-batch", type=int, default=4096)
    parser.add_argument("--every", type=int, default=1, help="measure one of so many layers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "| tokens | plain forward | naive loop, per head | sweep of all rows, per head | decision row, per head |",
        "|---|---|---|---|---|",
    ]
    for num_tokens in options.tokens:
        found = measure(options.layers, num_tokens, options.tokens_per_batch, options.every)
        plain = found["plain"]
        cells = [f"{found[name] / plain:.3f} x" for name in ("naive", "all", "decision")]
        lines.append(f"| {num_tokens:,} | {plain:.2f} CPU s | {' | '.join(cells)} |")
        print(lines[-1], {rows: found[rows] / plain <= goal for rows, goal in GOALS.items()}, flush=True)
    goals = ", ".join(f"rows: {rows} at most {goal} x" for rows, goal in GOALS.items())
    machine = platform.processor() or platform.machine()
    lines += [
        "",
        f"Goals: {goals}. A random Qwen2 of {options.layers} layers x 14 heads, 896 wide, float32, one thread, batches "
        f"of {options.tokens_per_batch:,} tokens, one layer of {options.every} measured; {machine}, "
        f"torch {torch.__version__}.",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
