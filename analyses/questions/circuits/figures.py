"""Figures of circuits: the layered graph, and what circuits of growing size recover."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.charts import graphs
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.circuits.routes import edge_ways
from analyses.questions.circuits.sentences import (
    certain_edges,
    chosen_text,
    circuit_heads,
    confirmed_heads,
    edge_text,
    lead_edges,
)
from analyses.questions.figure import Absent, Figure, rounded
from analyses.wording import count_text, key_group_label, signed_text

NUM_DRAWN = 30
"""Edges drawn at most: those with the largest size, verified where that was done."""

SMALLEST = 0.01
"""Share of the largest size below which an edge is not drawn."""


def circuit_figures(answers: Answers) -> list[Figure | Absent]:
    """Return the graph and the curve; nothing where the run asked for no circuit."""
    if answers.get("circuit_edges") is None:
        return []
    return [_graph(answers), _curve(answers)]


def _graph(answers: Answers) -> Figure | Absent:
    edges = lead_edges(answers).with_columns(shown_size=pl.coalesce("mean", "linearised"))
    size = pl.col("shown_size").abs()
    drawn = edges.filter((size > 0) & (size >= SMALLEST * size.max())).sort(size, descending=True).head(NUM_DRAWN)
    if drawn.is_empty():
        return Absent("circuit_graph", "No edge of the circuit does anything.")
    certain = {edge_text(row) for row in certain_edges(answers, edges).iter_rows(named=True)}
    places = _places(answers, drawn)
    rows = [_edge(row, places, certain) for row in drawn.iter_rows(named=True)]
    nodes = pl.DataFrame(list(places.values()), orient="row")
    ways = edge_ways([row.pop("ends") for row in rows], nodes.select("x", "y").rows())
    points = [
        {**row, "step": step, "x": x, "y": y}
        for row, way in zip(rows, ways, strict=True)
        for step, (x, y) in enumerate(way)
    ]
    number = drawn.select(pl.max("num_samples", "num_clusters").fill_null(0)).row(0)
    line = f"n = {count_text(number[0], 'sample')} in {count_text(number[1], 'cluster')}"
    chart = graphs.layered_graph(
        rounded(pl.DataFrame(points)),
        nodes,
        answers.style,
        rows=_rows(drawn),
        subtitle=[
            f"change of the answer's lead if an edge is cut; {answers.contrast}; {line}",
            "solid: significant by every check; dashed: not, or foretold by gradients alone",
        ],
        description="; ".join(f"{row['edge']}: {signed_text(row['size'], 3)} nats" for row in rows),
    )
    guide = (
        f"The {count_text(len(rows), 'edge')} with the largest effects, from what heads read (below) over heads, by "
        "layer, to the logits (above). An edge is what one head writes into the queries, keys or values of another, "
        "or what it reads of a key group by its values. Blue edges raise the lead when they are cut, orange ones "
        "lower it, so that orange edges support the model's answers; the wider, the more. Hover for what path "
        "patching measured on real runs and what gradients foretold. A green head is confirmed by its own ablation. "
        "An edge bends around heads that it has nothing to do with. What MLPs and other heads carry between two heads "
        "is not drawn."
    )
    return Figure("circuit_graph", "From what is read to the answer", guide, specification(chart), ("circuit_edges",))


def _rows(drawn: pl.DataFrame) -> list[str]:
    """Return the rows of the graph, from below: what is read, layers with heads, logits."""
    layers = sorted({layer for layer, _ in circuit_heads(drawn)})
    return ["read", *(f"layer {layer}" for layer in layers), "logits"]


def _places(answers: Answers, drawn: pl.DataFrame) -> dict[object, dict[str, Any]]:
    """Return where each node stands: its row, and its place across, 0..1."""
    rows, confirmed = _rows(drawn), confirmed_heads(answers) or set()
    by_row: dict[str, list[object]] = {name: [] for name in rows}
    by_row["read"] = drawn["key_group"].drop_nulls().unique(maintain_order=True).sort().to_list()
    for layer, head in sorted(circuit_heads(drawn)):
        by_row[f"layer {layer}"].append((layer, head))
    by_row["logits"] = ["logits"] if drawn["target_layer"].is_null().any() else []
    places: dict[object, dict[str, Any]] = {}
    for height, name in enumerate(rows):
        for place, node in enumerate(by_row[name]):
            across = (place + 1) / (len(by_row[name]) + 1)
            # Heads of neighbouring rows stand apart, so that few edges have to bend around a third.
            shift = 0.5 / (len(by_row[name]) + 1) * (0.5 if height % 2 else -0.5) if isinstance(node, tuple) else 0.0
            label = f"{node[0]}.{node[1]}" if isinstance(node, tuple) else str(node)
            key = ("group", node) if name == "read" else node
            text = key_group_label(label) if name == "read" else label
            places[key] = {"node": text, "x": across + shift, "y": height, "confirmed": node in confirmed}
    return places


def _edge(row: dict[str, Any], places: dict[object, dict[str, Any]], certain: set[str]) -> dict[str, Any]:
    source = ("group", row["key_group"]) if row["key_group"] else (row["source_layer"], row["source_head"])
    target = "logits" if row["target_layer"] is None else (row["target_layer"], row["target_head"])
    start, end = places[source], places[target]
    # Edges into queries, keys and values of one head lie beside each other.
    beside = 0.0 if row["key_group"] else {"q": -0.008, "k": 0.0, "v": 0.008}.get(row["input"], 0.0)
    name = edge_text(row)
    return {
        "edge": name,
        "input": row["input"],
        "ends": ((start["x"], start["y"]), (end["x"] + beside, end["y"])),
        "size": row["shown_size"],
        "verified": row["mean"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
        "linearised": row["linearised"],
        "pvalue_adjusted": row["pvalue_adjusted"],
        "is_certain": name in certain,
    }


def _curve(answers: Answers) -> Figure | Absent:
    curve = answers.get("circuit_faithfulness")
    if curve is None or curve.is_empty():
        return Absent("circuit_faithfulness", "The circuit's edges are too few, or account for nothing together.")
    names = {"recovered": "strongest edges", "random": "random edges"}
    parts = [
        curve.select(
            "num_edges",
            edges=pl.lit(label),
            recovered=name,
            ci_low=f"{name}_ci_low",
            ci_high=f"{name}_ci_high",
        )
        for name, label in names.items()
    ]
    row = curve.row(0, named=True)
    chart = graphs.recovered_curve(
        rounded(pl.concat(parts)),
        answers.style,
        groups=list(names.values()),
        subtitle=(
            f"of what {row['num_all']:,} edges account for, {row['mean_gap']:.3g} nats on average; "
            f"{answers.intervals}; n = {count_text(row['num_samples'], 'sample')} in "
            f"{count_text(row['num_clusters'], 'cluster')}"
        ),
    )
    guide = (
        "All edges but the kept ones carry something else at once, on real runs. 100 % is the margin with every edge, "
        "0 % that with none. Where the curve of the strongest edges rises long before that of as many random ones, few "
        "edges carry what all of them do; above 100 %, edges that work against the answer are still cut. "
        + chosen_text(answers)
    )
    title = "How few edges are enough?"
    return Figure("circuit_faithfulness", title, guide, specification(chart), ("circuit_faithfulness",))
