"""The sample explorer: the chosen samples' tokens and decision rows, cut to what the page can carry.

A row of weights is kept as its heaviest keys: positions, and weights in units of ``UNIT``. How many keys each row has
depends on how many rows there are, so that the page stays small at 2,600 tokens and 784 heads; the page says how much
of the attention the kept keys hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from analyses import wording
from analyses.charts import layers as charts_layers
from analyses.charts.parts import named_rows
from analyses.questions.answers import Answers
from analyses.questions.figure import Figure
from analyses.questions.sample_choice import RULE, reasons_of, why_none

UNIT = 1e-5
"""Weights are whole multiples of this."""

MAX_LAYER_KEYS, MAX_HEAD_KEYS = 70_000, 80_000
"""Keys that the page holds over all samples, of rows averaged over heads and of single heads' rows."""

NUM_BINS = 80
"""Bins of token positions in the chart of one sample."""

MIN_NAMED = 0.12
"""Parts of the text that are a smaller share of the tokens get a line but no name in the chart: names would overlap."""

_FACTS = (
    ("predicted_label", "The model said"),
    ("actual_label", "The truth"),
    ("certainty", "Its certainty"),
    ("magnitude", "Magnitude it named"),
    ("cluster", ""),
    ("year", "Year"),
)


def explorer_content(answers: Answers) -> dict[str, object] | str:
    """Return what the page shows of the chosen samples, JSON-ready; or why it shows none."""
    if "tokens" not in answers.run.tables:
        return "The run kept no tokens table."
    reasons = reasons_of(answers["shown_samples"])
    chosen = list(reasons)
    run = answers.run
    tables = {name: run.of_samples(name, chosen).collect() for name in _TABLES if name in run.tables}
    layer_keys = _allowed(MAX_LAYER_KEYS, len(chosen) * answers.run.num_layers)
    head_keys = _allowed(MAX_HEAD_KEYS, len(chosen) * answers.run.num_layers * answers.run.num_heads)
    samples = []
    for sample_id in chosen:
        own = {name: frame.filter(pl.col("sample_id") == sample_id) for name, frame in tables.items()}
        if own["tokens"].is_empty():
            continue
        samples.append(
            {"id": sample_id, "reasons": reasons[sample_id], "facts": _facts(answers, sample_id)}
            | _text(own["tokens"])
            | _rows(answers, sample_id, own, layer_keys, head_keys)
        )
    if not samples:
        return "The tokens table holds none of the chosen samples."
    return {
        "shape": [answers.run.num_layers, answers.run.num_heads],
        "unit": UNIT,
        "bins": NUM_BINS,
        "min_named": MIN_NAMED,
        "statement": wording.statement_noun(),
        "rule": RULE,
        "absent": why_none(answers.run),
        "samples": samples,
    }


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that nobody sees but that would hide or reorder what follows; they are shown by their number."""

_TABLES = ("tokens", "decision_rows", "decision_head_rows", "decision_top_keys")


def _allowed(total: int, num_rows: int) -> int:
    return max(8, total // max(num_rows, 1))


def _facts(answers: Answers, sample_id: str) -> list[list[str]]:
    row = answers.run.samples.row(answers.run.rows_of[sample_id], named=True)
    facts = [
        [name or answers.cluster_noun.capitalize(), str(row[column])]
        for column, name in _FACTS
        if row[column] is not None
    ]
    if row["is_correct"] is not None:
        facts.insert(0, ["Answer", "right" if row["is_correct"] else "wrong"])
    if row["logit_difference"] is not None:
        sides = (row.get("contrast") or "").replace("|", " against ") or answers.contrast
        facts.append(["Logit difference", f"{row['logit_difference']:+.2f} nats ({sides})"])
    if row["label_probability"] is not None:
        facts.append(["Probability of its answer", wording.percent_text(row["label_probability"])])
    return [*facts, ["Tokens", f"{row['num_tokens']:,}" if row["num_tokens"] is not None else "unknown"]]


def _text(tokens: pl.DataFrame) -> dict[str, object]:
    """Return the tokens as they are displayed, and the runs of segments.

    Tokens that share a character (parts of an emoji) show it once, with the first of them.
    """
    ordered = tokens.sort("position")
    shown, reached = [], 0
    for token, start, end in ordered.select("token", "char_start", "char_end").iter_rows():
        token = token or ""
        own = token
        if start is not None and end is not None:
            own = token[max(0, reached - start) :]
            reached = max(reached, end)
        shown.append(_UNSEEN.sub(lambda match: f"\\u{ord(match.group()):04x}", own))
    segments = ordered["segment"].fill_null("template").to_list()
    runs, position = [], 0
    for name, group in groupby(segments):
        length = len(list(group))
        runs.append([position, position + length, name])
        position += length
    return {"tokens": shown, "segments": runs}


def _rows(
    answers: Answers, sample_id: str, own: Mapping[str, pl.DataFrame], layer_keys: int, head_keys: int
) -> dict[str, object]:
    """Return the weights by layer (mean over heads), by head, and the rollout; null for what was not kept."""
    decision = answers.run.samples["decision_position"][answers.run.rows_of[sample_id]]
    layers: list[list[list[int]] | None] = [None] * answers.run.num_layers
    rollout = None
    for (layer,), pattern, rolled in _patterns(own.get("decision_rows"), ("layer",), with_rollout=True):
        layers[layer] = heaviest(pattern, layer_keys)
        rollout = heaviest(rolled, layer_keys) if rolled is not None else rollout
    heads = {
        f"{layer}.{head}": heaviest(pattern, head_keys)
        for (layer, head), pattern, _ in _patterns(own.get("decision_head_rows"), ("layer", "head"))
    }
    source = "whole rows" if heads else "kept keys"
    if not heads and "decision_top_keys" in own:
        heads = _top_keys(own["decision_top_keys"], head_keys)
    layers_from = "rows"
    if all(row is None for row in layers) and heads:
        layers, layers_from = _mean_of_heads(heads, answers.run.num_layers, answers.run.num_heads, layer_keys), "heads"
    return {
        "decision": decision,
        "layers": layers,
        "layers_from": layers_from,
        "heads": heads,
        "heads_from": source,
        "rollout": rollout,
    }


def _patterns(
    frame: pl.DataFrame | None, keys: tuple[str, ...], *, with_rollout: bool = False
) -> Iterator[tuple[tuple[int, ...], np.ndarray, np.ndarray | None]]:
    """Yield the keys, the pattern and the rollout (or None) of each row."""
    if frame is None:
        return
    for row in frame.iter_rows(named=True):
        pattern = np.array(row["pattern"], dtype=np.float64)
        rolled = row["rollout"] if with_rollout else None
        places = tuple(row[key] for key in keys)
        yield places, pattern, None if rolled is None else np.array(rolled, dtype=np.float64)


def heaviest(weights: np.ndarray, count: int) -> list[list[int]]:
    """Return the positions of the heaviest ``count`` weights, rising, and the weights in ``UNIT``; zeros are left out.

    ``weights``: ``[keys]``, 0..1.
    """
    whole = np.rint(weights / UNIT).astype(np.int64)
    order = np.argsort(-whole, kind="stable")[:count]
    places = np.sort(order[whole[order] > 0])
    return [places.tolist(), whole[places].tolist()]


def _top_keys(keys: pl.DataFrame, count: int) -> dict[str, list[list[int]]]:
    ordered = keys.filter(pl.col("rank") < count).sort("layer", "head", "key_position")
    whole = (pl.col("weight").cast(pl.Float64) / UNIT).round().cast(pl.Int64)
    grouped = ordered.group_by("layer", "head", maintain_order=True).agg("key_position", whole.alias("weight"))
    return {f"{row[0]}.{row[1]}": [row[2], row[3]] for row in grouped.iter_rows()}


def _mean_of_heads(
    heads: Mapping[str, list[list[int]]], num_layers: int, num_heads: int, count: int
) -> list[list[list[int]] | None]:
    """Return each layer's mean over heads of the keys that the heads kept: lower bounds."""
    layers: list[list[list[int]] | None] = []
    for layer in range(num_layers):
        rows = [heads[f"{layer}.{head}"] for head in range(num_heads) if f"{layer}.{head}" in heads]
        if not rows:
            layers.append(None)
            continue
        total = np.zeros(max(max(row[0], default=0) for row in rows) + 1)
        for positions, weights in rows:
            total[positions] += np.array(weights) * UNIT / num_heads
        layers.append(heaviest(total, count))
    return layers


def sample_flow_figure(answers: Answers, content: Mapping[str, Any]) -> Figure | None:
    """Return the chart of one sample's decision row over layers, with the first sample's data; None without rows."""
    sample = content["samples"][0]
    rows = binned(sample)
    if not rows:
        return None
    chart = charts_layers.sample_flow(
        answers.style,
        num_layers=answers.run.num_layers,
        title=f"Sample {sample['id']}: where its decision token looks",
        subtitle="; ".join(sample["reasons"]),
    )
    length = sample["decision"] + 1
    segments = [
        {"start": start, "segment": wording.segment_label(name) if end - start > MIN_NAMED * length else ""}
        for start, end, name in sample["segments"]
        if name != "template" and start < length
    ]
    guide = (
        "Layers down, token positions across in bins; the darker or brighter a cell, the more of the decision token's "
        "attention goes there, averaged over heads. Dashed lines are where parts of the text begin."
    )
    begins = pl.DataFrame(segments, schema={"start": pl.Int64, "segment": pl.String})
    data = named_rows(chart, rows=pl.DataFrame(rows), segments=begins)
    return Figure("sample_flow", "Where a sample's decision token looks", guide, data, (), "samples")


def binned(sample: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return layer, bin and share of a sample's rows averaged over heads, as the page's script computes them too."""
    if sample["decision"] is None:
        return []
    length = sample["decision"] + 1
    width = max(1, -(-length // NUM_BINS))
    rows: list[dict[str, float]] = []
    for layer, row in enumerate(sample["layers"]):
        if row is None:
            continue
        shares: dict[int, list[int]] = {}
        for position, weight in zip(*row, strict=True):
            shares.setdefault(position // width, []).append(weight)
        for slot in range(-(-length // width)):
            last = min((slot + 1) * width, length)
            share = round(sum(shares.get(slot, [])) * UNIT, 5)
            rows.append({"layer": layer, "first": slot * width, "last": last - 1, "end": last, "share": share})
    return rows
