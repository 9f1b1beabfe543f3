"""Worlds in which the answer is known, written as run directories: null worlds, and the same with something planted.

In a null world right and wrong answers have the same attention, and nothing goes with certainty or probability. What
differs from world to world is what makes tests fail: cluster sizes, how few answers are wrong, the shape of the values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from engine.causal.circuits.edges import candidate_edges
from engine.causal.circuits.held_out import held_out
from engine.config.causes.circuit import circuit_sizes
from engine.schema import causal_schema

LAYERS, HEADS = 4, 4
CATEGORIES = ("revenue", "profit", "assets")
KEY_GROUPS = ("financial", *CATEGORIES)
STATISTICS = ("entropy_normalized", *(f"mass_{name}" for name in KEY_GROUPS))

EVEN, FEW, VERY_FEW, ALONE = (5,) * 60, (20,) * 14, (30,) * 8, (1,) * 300
ZIPF = tuple(max(1, 160 // rank) for rank in range(1, 61))
GIANT = (150, *(3,) * 50)


@dataclass(frozen=True)
class World:
    """What a world looks like.

    Attributes
    ----------
    sizes
        Samples of each cluster.
    wrong
        Share of wrong answers.
    shape
        Of the values: ``normal``, ``lognormal``, ``t`` (2.2 degrees of freedom).
    zeros
        Share of exact zeros; independent from head to head, or with ``window`` the same samples for every other layer.
    spread_with_length, label_is_correctness, drift, gaps
        Values spread more in long texts, which are right more often; every right answer is "increase"; labels and
        values drift with the year; some columns are constant, some have unknown values.
    whole_clusters, spread_with_wrong, skewed_clusters, steps
        A cluster is right or wrong as a whole; values of wrong answers spread 2.5 times as much; clusters differ by a
        skewed amount, a few by far; values are rounded to so many steps a standard deviation.
    attributed
        Whether samples have attributions too, which push towards what was said, alike in right and in wrong answers.
    retrieved
        Whether heads' retrieval scores are there too: hits at the rate of chance, alike in right and in wrong answers.
    probed
        Whether probes of a preset are asked.
    read
        Whether reading focus and received attention were measured too, alike in right and in wrong answers.
    circuits
        Share of the clusters on which edges of a circuit were chosen, 1 for the same samples; 0: no circuit. All edges
        change s alike, up or down whatever was said.
    planted
        Kind to size in standard deviations: ``head``, ``layer``, ``interaction``, ``order``, one kind of word that
        gets more than the others, or ``edge`` of the circuit.
    """

    sizes: tuple[int, ...] = EVEN
    wrong: float = 0.4
    shape: str = "normal"
    zeros: float = 0.0
    window: bool = False
    spread_with_length: bool = False
    label_is_correctness: bool = False
    drift: bool = False
    gaps: bool = False
    whole_clusters: bool = False
    spread_with_wrong: bool = False
    skewed_clusters: bool = False
    steps: float = 0.0
    planted: Mapping[str, float] = field(default_factory=dict)
    attributed: bool = False
    retrieved: bool = False
    probed: bool = False
    read: bool = False
    circuits: float = 0.0


NULL_WORLDS = {
    "60 clusters of 5": World(),
    "14 clusters of 20": World(FEW),
    "8 clusters of 30": World(VERY_FEW),
    "300 alone": World(ALONE),
    "Zipf": World(ZIPF),
    "one giant": World(GIANT),
    "3 % wrong, lognormal": World(ALONE, 0.03, "lognormal"),
    "8 % wrong, lognormal": World(ALONE, 0.08, "lognormal"),
    "t with 2.2 degrees of freedom": World(EVEN, 0.2, "t"),
    "70 % zeros, 3 % wrong": World(ALONE, 0.03, "lognormal", 0.7),
    "70 % zeros, 8 % wrong": World(ALONE, 0.08, "lognormal", 0.7),
    "90 % zeros, 20 % wrong": World(EVEN, 0.2, "lognormal", 0.9),
    "window, 70 % zeros, 8 % wrong": World(ALONE, 0.08, "normal", 0.7, window=True),
    "spread with length": World(EVEN, 0.3, spread_with_length=True),
    "label is correctness": World(EVEN, 0.3, label_is_correctness=True),
    "drift with year": World(EVEN, 0.3, drift=True),
    "constant and unknown columns": World(EVEN, 0.3, gaps=True),
    "8 clusters, lognormal": World(VERY_FEW, 0.2, "lognormal"),
    "whole clusters right or wrong": World(whole_clusters=True),
    "20 clusters of 15, right or wrong as a whole": World((15,) * 20, 0.3, whole_clusters=True),
    "8 % wrong, which spread more": World(ALONE, 0.08, spread_with_wrong=True),
    "clusters far apart": World(EVEN, 0.3, skewed_clusters=True),
    "values of few steps, 8 % wrong": World(ALONE, 0.08, steps=0.7),
    "attributions, 60 clusters of 5": World(attributed=True),
    "attributions, 8 % wrong, lognormal": World(ALONE, 0.08, "lognormal", attributed=True),
    "attributions, drift with year": World(EVEN, 0.3, drift=True, attributed=True),
    "retrieval, 60 clusters of 5": World(retrieved=True),
    "retrieval, 14 clusters of 20": World(FEW, retrieved=True),
    "retrieval, 8 % wrong, rare hits": World(ALONE, 0.08, "lognormal", retrieved=True),
    "probes, 60 clusters of 5": World(probed=True),
    "probes, 8 % wrong, lognormal": World(ALONE, 0.08, "lognormal", probed=True),
    "reading, 60 clusters of 5": World(read=True),
    "reading, 8 % wrong, lognormal": World(ALONE, 0.08, "lognormal", read=True),
    "reading, drift with year": World(EVEN, 0.3, drift=True, read=True),
    "circuits, 60 clusters of 5": World(circuits=0.5),
    "circuits, 28 clusters of 10": World((10,) * 28, circuits=0.5),
    "circuits, 300 alone, lognormal": World(ALONE, 0.3, "lognormal", circuits=0.5),
}
"""Nothing that a report may claim is true in them, but what every head does alike; rankings have no truth either."""

PLANTED_WORLDS = {
    **{f"one head, {size} sd": World(planted={"head": size}) for size in (0.6, 0.9, 1.5)},
    "a layer, 0.5 sd": World(planted={"layer": 0.5}),
    "interaction, 0.9 sd": World(ALONE, planted={"interaction": 0.9}),
    "14 clusters, one head, 0.9 sd": World(FEW, planted={"head": 0.9}),
    "lognormal, 20 % wrong, one head, 0.9 sd": World(EVEN, 0.2, "lognormal", planted={"head": 0.9}),
    "an edge of a circuit, 0.6 sd": World(circuits=0.5, planted={"edge": 0.6}),
}

PLANTED_EDGE = 4
"""Place of the edge that carries what is planted, among those of a world's circuit."""

ANALYSIS = {"permutations": 499, "decodability": False, "strata": []}

PROBED = {
    "targets": ["is_correct"],
    "permutations": 19,
    "repeats": 1,
    "presets": ["masses", "usual"],
    "preset_query_groups": ["decision"],
}
"""Prediction in worlds that are probed."""


def write_world(folder: Path, world: World, seed: int, analysis: Mapping[str, object] | None = None) -> Path:
    """Write a run directory of a world; the same seed gives the same run."""
    rng = np.random.default_rng([seed, 11])
    cluster = np.repeat(np.arange(len(world.sizes)), world.sizes)
    n = len(cluster)
    year = 2000 + rng.integers(0, 10, n)
    slope = (year - year.mean()) / year.std() if world.drift else np.zeros(n)
    length = rng.normal(size=n)
    latent = 0.7 * rng.normal(size=len(world.sizes))[cluster] + rng.normal(size=n) + slope
    latent = latent + (0.5 * length if world.spread_with_length else 0)
    if world.whole_clusters:
        latent = rng.normal(size=len(world.sizes))[cluster]
    correct = latent > np.quantile(latent, world.wrong)
    predicted = correct if world.label_is_correctness else rng.random(n) < 0.6
    values = _values(world, rng, cluster, correct, predicted, slope, length)
    ids = [f"s{slot}" for slot in range(n)]
    tokens = np.exp(6.5 + 0.25 * length).astype(np.int32)
    shard = folder / "shards" / "measure-00000"
    shard.mkdir(parents=True)
    labels = {True: "increase", False: "decrease"}
    said = [labels[bool(one)] for one in predicted]
    pl.DataFrame(
        {
            "sample_id": ids,
            "cluster": [f"c{code}" for code in cluster],
            "year": year.astype(np.int32),
            "actual_label": [labels[bool(p) == bool(c)] for p, c in zip(predicted, correct, strict=True)],
            "predicted_label": said,
            "raw_predicted_label": said,
            "label_source": ["json"] * n,
            "is_correct": correct,
            "certainty": rng.choice(["High", "Medium", "Low"], n),
            "num_tokens": tokens,
            "num_prompt_tokens": tokens - 20,
            "decision_position": tokens - 5,
            "decision_token": ["In"] * n,
            "logit_difference": rng.normal(size=n).astype(np.float32),
            "contrast_probability": rng.random(n).astype(np.float32),
            "label_surprisal": rng.random(n).astype(np.float32),
            **{f"count_{name}": np.full(n, 9, np.int32) for name in KEY_GROUPS},
        }
    ).write_parquet(shard / "samples.parquet")
    places = LAYERS * HEADS
    pl.DataFrame(
        {
            "sample_id": np.repeat(ids, places),
            "query_group": ["decision"] * (n * places),
            "layer": np.tile(np.repeat(np.arange(LAYERS, dtype=np.int32), HEADS), n),
            "head": np.tile(np.arange(HEADS, dtype=np.int32), n * LAYERS),
            **{name: values[:, slot].astype(np.float32).ravel() for slot, name in enumerate(STATISTICS)},
        }
    ).write_parquet(shard / "head_stats.parquet")
    pl.DataFrame(
        {
            "sample_id": ids,
            "query_group": ["decision"] * n,
            "layer": pl.Series([None] * n, dtype=pl.Int32),
            **{f"baseline_{name}": np.full(n, 0.1, np.float32) for name in KEY_GROUPS},
        }
    ).write_parquet(shard / "baselines.parquet")
    if world.attributed:
        _write_attributions(shard, world, seed, ids, cluster, predicted)
    if world.retrieved:
        _write_retrieval(shard, world, seed, ids, cluster)
    if world.read:
        _write_reading(shard, world, seed, ids, cluster, slope)
    if world.circuits:
        _write_circuits(shard, world, seed, ids, cluster)
    pl.DataFrame(schema=dict.fromkeys(("sample_id", "stage", "reason", "detail"), pl.String)).write_parquet(
        folder / "rejects.parquet"
    )
    told = {"decodability": PROBED} if world.probed else {}
    config = {
        "run": {"seed": seed},
        "analysis": {**ANALYSIS, **told, **(analysis or {})},
        "visualization": {"formats": []},
    }
    (folder / "run.yaml").write_text(json.dumps({"seed": seed, "config": config}))
    (folder / "_SUCCESS").write_text("")
    return folder


def _write_attributions(
    shard: Path, world: World, seed: int, ids: list[str], cluster: np.ndarray, predicted: np.ndarray
) -> None:
    """Write what heads and key groups carry; with draws of its own, so that no other table changes."""
    rng, n = np.random.default_rng([seed, 12]), len(ids)
    shape = (n, 1 + len(KEY_GROUPS), LAYERS, HEADS)
    noise = rng.normal(size=shape) + 0.7 * rng.normal(size=(len(world.sizes), *shape[1:]))[cluster]
    size = np.exp(noise) if world.shape == "lognormal" else 1 + noise
    towards = np.where(predicted, 1.0, -1.0)[:, None, None, None] * 0.1 * size
    places = LAYERS * HEADS
    names = ("dla", *(f"attribution_{name}" for name in KEY_GROUPS))
    pl.DataFrame(
        {
            "sample_id": np.repeat(ids, places),
            "layer": np.tile(np.repeat(np.arange(LAYERS, dtype=np.int32), HEADS), n),
            "head": np.tile(np.arange(HEADS, dtype=np.int32), n * LAYERS),
            **{name: towards[:, slot].astype(np.float32).ravel() for slot, name in enumerate(names)},
        }
    ).write_parquet(shard / "head_attributions.parquet")
    samples = pl.read_parquet(shard / "samples.parquet").with_columns(contrast=pl.lit("increase|decrease"))
    samples.write_parquet(shard / "samples.parquet")


def _write_retrieval(shard: Path, world: World, seed: int, ids: list[str], cluster: np.ndarray) -> None:
    """Write hits in 30 rows at the rate of chance, which differs from head to head and from cluster to cluster."""
    rng, n, rows = np.random.default_rng([seed, 14]), len(ids), 30
    shape = (LAYERS, HEADS)
    usual = -4.0 if world.shape == "lognormal" else -1.5
    log_odds = usual + rng.normal(size=(1, *shape)) + 0.7 * rng.normal(size=(len(world.sizes), *shape))[cluster]
    chance = 1 / (1 + np.exp(-log_odds))
    scores = rng.binomial(rows, chance) / rows
    places = LAYERS * HEADS
    pl.DataFrame(
        {
            "sample_id": np.repeat(ids, places),
            "layer": np.tile(np.repeat(np.arange(LAYERS, dtype=np.int32), HEADS), n),
            "head": np.tile(np.arange(HEADS, dtype=np.int32), n * LAYERS),
            "num_rows": np.full(n * places, rows, np.int32),
            "num_copyable": np.full(n * places, rows, np.int32),
            "retrieval": scores.astype(np.float32).ravel(),
            "retrieval_chance": chance.astype(np.float32).ravel(),
            "copy_score": rng.normal(size=n * places).astype(np.float32),
        }
    ).write_parquet(shard / "retrieval.parquet")


def _write_reading(
    shard: Path, world: World, seed: int, ids: list[str], cluster: np.ndarray, slope: np.ndarray
) -> None:
    """Write how answers read and what is received; with draws of its own, so that no other table changes."""
    rng, places = np.random.default_rng([seed, 13]), LAYERS * HEADS
    named = {
        "sample_id": np.repeat(ids, places),
        "layer": np.tile(np.repeat(np.arange(LAYERS, dtype=np.int32), HEADS), len(ids)),
        "head": np.tile(np.arange(HEADS, dtype=np.int32), len(ids) * LAYERS),
    }
    focus = [f"{prefix}_{name}" for prefix in ("drift", "concentration") for name in KEY_GROUPS]
    for table, columns in (("reading_focus", focus), ("received_heads", ["sink_score", "receiver_kurtosis"])):
        shape = (len(ids), len(columns), LAYERS, HEADS)
        noise = rng.normal(size=shape) + 0.7 * rng.normal(size=(len(world.sizes), *shape[1:]))[cluster]
        noise = noise + slope[:, None, None, None]
        values = 0.1 * (np.exp(noise) if world.shape == "lognormal" else 1 + noise)
        numbers = {name: values[:, slot].astype(np.float32).ravel() for slot, name in enumerate(columns)}
        pl.DataFrame(named | numbers).write_parquet(shard / f"{table}.parquet")


CIRCUIT_HEADS = ((0, 1), (1, 2), (2, 0))


def _write_circuits(shard: Path, world: World, seed: int, ids: list[str], cluster: np.ndarray) -> None:
    """Write edges that add up, in the order that those samples choose which are not held out, and their curves."""
    rng, n = np.random.default_rng([seed, 15]), len(ids)
    samples = pl.read_parquet(shard / "samples.parquet")
    margin = samples["logit_difference"].to_numpy()
    edges = [edge for edge in candidate_edges(CIRCUIT_HEADS, ()) if edge.is_between_heads]
    # Alike in size, so that none is the strongest, and independent of what was said.
    effects = rng.normal(size=(n, len(edges))) + 0.7 * rng.normal(size=(len(world.sizes), len(edges)))[cluster]
    if world.shape == "lognormal":
        effects = np.sign(effects) * np.exp(effects)
    effects[:, PLANTED_EDGE] -= world.planted.get("edge", 0.0) * effects[:, PLANTED_EDGE].std() * np.sign(margin)
    clusters = {sample_id: str(code) for sample_id, code in zip(ids, cluster, strict=True)}
    kept_apart = set(held_out(ids, clusters, {}, world.circuits, seed))
    verifies = np.array([not kept_apart or sample_id in kept_apart for sample_id in ids])
    choosing = np.array([sample_id not in kept_apart for sample_id in ids])
    order = np.argsort(-np.abs(effects[choosing]).mean(axis=0), kind="stable")
    names = {
        "source_layer": [edge.source[0] for edge in edges],
        "source_head": [edge.source[1] for edge in edges],
        "key_group": [None] * len(edges),
        "target_layer": [edge.target and edge.target[0] for edge in edges],
        "target_head": [edge.target and edge.target[1] for edge in edges],
        "input": [edge.input for edge in edges],
    }
    real = np.where(verifies[:, None], effects, np.nan).astype(np.float32)
    columns = {name: values * n for name, values in names.items()} | {
        "replace": ["mean"] * (n * len(edges)),
        "matched_id": [None] * (n * len(edges)),
        "is_held_out": np.repeat([sample_id in kept_apart for sample_id in ids], len(edges)),
        "effect": effects.astype(np.float32).ravel(),
        "verified": pl.Series(real.ravel(), dtype=pl.Float32).fill_nan(None),
        "logit_difference": np.repeat(margin, len(edges)).astype(np.float32),
        "contrast": ["increase|decrease"] * (n * len(edges)),
    }
    schema = pl.from_arrow(causal_schema("edges", ()).empty_table()).schema
    frame = pl.DataFrame({"sample_id": np.repeat(ids, len(edges))} | columns, schema_overrides=schema)
    frame.select(list(schema)).write_parquet(shard / "edges.parquet")
    rows = []
    for draw in range(4):
        kept = order if draw == 0 else np.random.default_rng([seed, 16, draw]).permutation(len(edges))
        for size in [*([0, len(edges)] if draw == 0 else []), *circuit_sizes(len(edges))]:
            s = margin + effects[:, kept[size:]].sum(axis=1)
            rows.append(
                pl.DataFrame({"sample_id": ids, "logit_difference": s.astype(np.float32)})
                .filter(pl.Series(verifies))
                .with_columns(
                    order=pl.lit("random" if draw else "strongest"),
                    draw=pl.lit(draw, pl.Int32),
                    num_edges=pl.lit(size, pl.Int32),
                )
            )
    pl.concat(rows).write_parquet(shard / "circuit_curves.parquet")


def _values(
    world: World,
    rng: np.random.Generator,
    cluster: np.ndarray,
    correct: np.ndarray,
    predicted: np.ndarray,
    slope: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """Return ``[samples, statistics, layers, heads]``, between 0 and 1."""
    n = len(cluster)
    shape = (n, len(STATISTICS), LAYERS, HEADS)
    of_clusters = rng.normal(size=(len(world.sizes), *shape[1:]))
    if world.skewed_clusters:
        of_clusters = np.exp(1.5 * of_clusters)
    own = 0.5 * of_clusters[cluster] + 0.5 * rng.normal(size=(n, 1, 1, 1))
    noise = rng.standard_t(2.2, shape) if world.shape == "t" else rng.normal(size=shape)
    scale = np.exp(0.7 * length)[:, None, None, None] if world.spread_with_length else 1.0
    if world.spread_with_wrong:
        scale = np.where(correct, 1.0, 2.5)[:, None, None, None]
    values = own + scale * noise + slope[:, None, None, None]
    spread = float(np.sqrt(1.5))
    if size := world.planted.get("head"):
        values[:, 2, 1, 2] += size * spread * correct
    if size := world.planted.get("layer"):
        values[:, 2, 1] += size * spread * correct[:, None]
    if size := world.planted.get("order"):
        values[:, 2] += size * spread
    if size := world.planted.get("interaction"):
        values[:, 2, 1, 2] += size * spread * correct * np.where(predicted, 1, -1)
    if world.steps:
        values = np.round(values * world.steps / spread) * spread / world.steps
    values = 0.05 * np.exp(0.8 * values) if world.shape == "lognormal" else 0.2 + 0.02 * values
    if world.zeros:
        if world.window:
            values[:, :, ::2] *= (rng.random(n) > world.zeros)[:, None, None, None]
        else:
            values *= rng.random(shape) > world.zeros
    if world.gaps:
        values[:, 1, 0] = 0.25
        values = np.where(rng.random((n, 1, LAYERS, HEADS)) < 0.1, np.nan, values)
    return np.clip(values, 0, 1)
