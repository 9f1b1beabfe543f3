"""Writes run directories of the contract's schema with known content, without a model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine import schema

CATEGORIES = ("revenue", "profit", "balance_sheet", "change", "operations", "time")
KEY_GROUPS = (
    "financial",
    *CATEGORIES,
    "number",
    "system",
    "statement",
    "instruction",
    "response",
    "reasoning",
    "beginning",
    "first_token",
)


@dataclass
class Recipe:
    """What a synthetic run looks like.

    ``planted`` maps (query_group, statistic, layer, head) to what a correct sample has more than an incorrect one.
    """

    num_samples: int = 120
    num_layers: int = 4
    num_heads: int = 4
    num_clusters: int = 40
    num_shards: int = 3
    seed: int = 0
    accuracy: float = 0.6
    key_groups: tuple[str, ...] = KEY_GROUPS
    query_groups: tuple[str, ...] = ("all", "decision", "response")
    planted: dict[tuple[str, str, int, int], float] = field(default_factory=dict)
    optional_tables: bool = True
    top_keys: int = 5


def write_run(run_dir: Path, recipe: Recipe | None = None, **changes: object) -> Path:
    """Write a run directory and return it; ``changes`` are fields of ``Recipe``."""
    recipe = recipe or Recipe()
    for name, value in changes.items():
        assert hasattr(recipe, name), name
        setattr(recipe, name, value)
    rng = np.random.default_rng(recipe.seed)
    samples = _samples(recipe, rng)
    head_stats = _head_stats(recipe, samples, rng)
    baselines = _baselines(recipe, samples, rng)
    top_keys = _top_keys(recipe, samples, rng)
    edges = np.linspace(0, recipe.num_samples, recipe.num_shards + 1).astype(int)
    for shard, (start, stop) in enumerate(pairwise(edges)):
        ids = pa.array(samples["sample_id"][start:stop])
        tables = {"samples": samples, "head_stats": head_stats}
        if recipe.optional_tables:
            tables |= {"baselines": baselines, "decision_top_keys": top_keys}
        folder = run_dir / "shards" / f"measure-{shard:05d}"
        folder.mkdir(parents=True)
        for name, columns in tables.items():
            table = pa.table(columns, schema=schema.table_schema(name, recipe.key_groups))
            keep = pa.compute.is_in(table["sample_id"], value_set=ids)
            pq.write_table(table.filter(keep), folder / f"{name}.parquet", compression="zstd")
    (run_dir / "_SUCCESS").write_text("")
    return run_dir


def add_metadata(run_dir: Path, config: dict | None = None, rejects: int = 3) -> None:
    """Add run.yaml, plan.json, manifests and rejects, as the engine writes them."""
    config = config or {}
    text = json.dumps({"config": {"run": {"name": run_dir.name, "seed": 7}} | config, "seed": 7})
    (run_dir / "run.yaml").write_text(text)
    plan = {"num_rows": 123, "num_samples": 120, "num_rejects": rejects, "rejects_by_reason": {"no_decision": rejects}}
    (run_dir / "plan.json").write_text(json.dumps(plan))
    columns = {
        "sample_id": [f"r{i}" for i in range(rejects)],
        "stage": ["label"] * rejects,
        "reason": ["no_decision"] * rejects,
        "detail": ["no label"] * rejects,
    }
    pq.write_table(pa.table(columns, schema=schema.REJECTS_SCHEMA), run_dir / "rejects.parquet")
    for unit in (run_dir / "shards").iterdir():
        (unit / "manifest.json").write_text("{}")


def edit_table(run_dir: Path, name: str, edit) -> None:
    """Apply ``edit`` (Polars frame to Polars frame) to a table of every shard."""
    import polars as pl

    for path in (run_dir / "shards").glob(f"*/{name}.parquet"):
        edit(pl.read_parquet(path)).write_parquet(path)


def _samples(recipe: Recipe, rng: np.random.Generator) -> dict:
    n = recipe.num_samples
    actual = np.where(rng.random(n) < 0.63, "increase", "decrease")
    is_correct = rng.random(n) < recipe.accuracy
    other = np.where(actual == "increase", "decrease", "increase")
    predicted = np.where(is_correct, actual, other)
    num_tokens = rng.integers(300, 700, n)
    difference = np.where(predicted == "increase", 1, -1) * rng.gamma(2.0, 0.8, n)
    columns = {
        "sample_id": [f"s{i:05d}" for i in range(n)],
        "cluster": [f"c{i}" for i in rng.integers(0, recipe.num_clusters, n)],
        "year": rng.integers(2013, 2016, n),
        "actual_label": actual,
        "predicted_label": predicted,
        "raw_predicted_label": [f"Moderate {label.title()}" for label in predicted],
        "label_source": ["field"] * n,
        "is_correct": is_correct,
        "certainty": rng.choice(["High", "Medium", "Low"], n),
        "magnitude": rng.choice(["Small", "Moderate", "Significant"], n),
        "num_tokens": num_tokens,
        "num_prompt_tokens": num_tokens - 60,
        "decision_position": num_tokens - 12,
        "decision_token": np.where(predicted == "increase", " Increase", " Decre"),
        "decision_char_start": num_tokens * 3,
        "decision_char_end": num_tokens * 3 + 9,
        "flags": [[] for _ in range(n)],
        "logit_difference": difference.astype(np.float32),
        "contrast_probability": (1 / (1 + np.exp(-difference))).astype(np.float32),
        "label_surprisal": rng.gamma(1.5, 0.3, n).astype(np.float32),
    }
    for name in recipe.key_groups:
        columns[f"count_{name}"] = rng.integers(5, 60, n).astype(np.int32)
    if "financial" in recipe.key_groups:
        counted = [columns[f"count_{name}"] for name in CATEGORIES if name in recipe.key_groups]
        columns["count_financial"] = np.sum(counted, axis=0, initial=1).astype(np.int32) * np.ones(n, np.int32)
    return columns


def _head_stats(recipe: Recipe, samples: dict, rng: np.random.Generator) -> dict:
    n, layers, heads, groups = recipe.num_samples, recipe.num_layers, recipe.num_heads, recipe.query_groups
    shape = (n, len(groups), layers, heads)
    company = rng.normal(0, 0.3, (recipe.num_clusters, 1, layers, heads))
    codes = np.array([int(name[1:]) for name in samples["cluster"]])
    columns: dict = {
        "sample_id": np.repeat(np.array(samples["sample_id"]), len(groups) * layers * heads),
        "query_group": np.tile(np.repeat(np.array(groups), layers * heads), n),
        "layer": np.tile(np.repeat(np.arange(layers), heads), n * len(groups)),
        "head": np.tile(np.arange(heads), n * len(groups) * layers),
    }
    correct = np.asarray(samples["is_correct"], dtype=float)
    for name in [*schema.BASE_STATISTICS, *(f"mass_{group}" for group in recipe.key_groups)]:
        centre = rng.normal(-2.2, 1.1, (1, 1, layers, heads))
        noise = rng.normal(0, 0.25, shape) + company[codes] * rng.choice([-1, 1])
        values = 1 / (1 + np.exp(-(centre + noise)))
        if name in ("entropy_nats", "mean_distance"):
            values = values * 5
        for (group, statistic, layer, head), size in recipe.planted.items():
            if statistic == name:
                values[:, groups.index(group), layer, head] += size * correct
        columns[name] = values.reshape(-1).astype(np.float32)
    return columns


def _baselines(recipe: Recipe, samples: dict, rng: np.random.Generator) -> dict:
    n, groups = recipe.num_samples, recipe.query_groups
    columns: dict = {
        "sample_id": np.repeat(np.array(samples["sample_id"]), len(groups)),
        "query_group": np.tile(np.array(groups), n),
        "layer": pa.nulls(n * len(groups), pa.int32()),
    }
    for name in [*recipe.key_groups, "duplicate", "induction"]:
        columns[f"baseline_{name}"] = rng.uniform(0.03, 0.12, n * len(groups)).astype(np.float32)
    return columns


def _top_keys(recipe: Recipe, samples: dict, rng: np.random.Generator) -> dict:
    n, layers, heads, ranks = recipe.num_samples, recipe.num_layers, recipe.num_heads, recipe.top_keys
    words = [
        "<|im_start|>",
        " Revenue",
        " Net",
        " Income",
        " total",
        "\n",
        " t",
        " |",
        " 4",
        " assets",
        ' "',
        " growth",
    ]
    weight = np.sort(rng.dirichlet(np.ones(ranks + 2), (n, layers, heads))[..., :ranks])[..., ::-1]
    return {
        "sample_id": np.repeat(np.array(samples["sample_id"]), layers * heads * ranks),
        "layer": np.tile(np.repeat(np.arange(layers), heads * ranks), n),
        "head": np.tile(np.repeat(np.arange(heads), ranks), n * layers),
        "rank": np.tile(np.arange(ranks), n * layers * heads),
        "key_position": rng.integers(0, 300, n * layers * heads * ranks),
        "token": rng.choice(words, n * layers * heads * ranks, p=np.arange(1, 13) / 78),
        "weight": weight.reshape(-1).astype(np.float32),
    }


def add_causes(run_dir: Path, num_layers: int, num_heads: int, seed: int = 0) -> None:
    """Add a causal unit: every head ablated and attributed, two key groups knocked out, for all samples."""
    rng = np.random.default_rng(seed)
    samples = pl.read_parquet(run_dir / "shards" / "measure-*" / "samples.parquet").select("sample_id")
    s = rng.choice([-2.0, 2.0], len(samples)).astype(np.float32)
    samples = samples.with_columns(s=pl.Series(s))
    heads = pl.DataFrame({"layer": range(num_layers)}).join(pl.DataFrame({"head": range(num_heads)}), how="cross")
    rows = samples.join(heads, how="cross")
    effect = pl.Series(rng.normal(size=len(rows)) * 0.1 * (1 + rows["layer"].to_numpy() % 5), dtype=pl.Float32)
    done = rows.with_columns(change=effect).with_columns(logit_difference=pl.col("s") + pl.col("change"))
    folder = run_dir / "shards" / "causal-00000"
    folder.mkdir()
    done.select(
        "sample_id", kind=pl.lit("ablation"), unit=pl.lit("head"), layer="layer", head="head",
        members=pl.concat_list(pl.format("{}.{}", "layer", "head")), replace=pl.lit("mean"), rows=pl.lit("decision"),
        factor=pl.lit(None, dtype=pl.Float32), logit_difference="logit_difference", change="change",
        is_flipped=pl.col("logit_difference") * pl.col("s") < 0,
    ).write_parquet(folder / "interventions.parquet")  # fmt: skip
    done.select("sample_id", "layer", "head", dla="change", head_gradient=-pl.col("change")).write_parquet(
        folder / "attributions.parquet"
    )
    windows = pl.DataFrame({"key_group": ["financial", "number"]}).join(
        pl.DataFrame({"first_layer": range(num_layers)}), how="cross"
    )
    cut = samples.join(windows, how="cross")
    cut = cut.with_columns(change=pl.Series(rng.normal(size=len(cut)), dtype=pl.Float32))
    cut.select(
        "sample_id", "key_group", rows=pl.lit("decision"), first_layer="first_layer", last_layer="first_layer",
        logit_difference=pl.col("s") + pl.col("change"), change="change", is_flipped=pl.lit(False),
    ).write_parquet(folder / "knockouts.parquet")  # fmt: skip


STATEMENT = "| Account Items | 2001 | 2000 |\n| Sales (net)   | 12.5 | 11.0 |\n| Net Income    | -3.1 |  4.0 |\n"


def add_texts(run_dir: Path, *, num_tokens: int | None = None, hostile: str = "", whole_rows: int = 2) -> None:
    """Add tokens, decision rows with rollout, head rows of the first samples, and masses of line items.

    Every text is a prompt with a statement, and an answer that decides near its end. ``hostile`` is put into the
    statement of every sample, ``num_tokens`` makes every text longer by so many, ``whole_rows`` samples per shard get
    rows of every head.
    """
    rng = np.random.default_rng(0)
    for unit in sorted((run_dir / "shards").glob("measure-*")):
        samples = pl.read_parquet(unit / "samples.parquet")
        shape = pl.read_parquet(unit / "head_stats.parquet").select(pl.col("layer", "head").max() + 1).row(0)
        texts = [_text(hostile, num_tokens) for _ in range(len(samples))]
        decisions = [len(tokens) - 3 for tokens, _ in texts]
        samples = samples.with_columns(
            num_tokens=pl.Series([len(tokens) for tokens, _ in texts], dtype=pl.Int32),
            decision_position=pl.Series(decisions, dtype=pl.Int32),
        )
        samples.write_parquet(unit / "samples.parquet")
        names = ("tokens", "decision_rows", "decision_head_rows", "span_mass")
        parts: dict[str, list[pa.Table]] = {name: [] for name in names}
        for row, (name, (tokens, segments)) in enumerate(zip(samples["sample_id"], texts, strict=True)):
            patterns = rng.dirichlet(np.full(decisions[row] + 1, 0.05), shape).astype(np.float32)
            ends = np.cumsum([len(token) for token in tokens])
            parts["tokens"].append(_table("tokens", sample_id=[name] * len(tokens), position=range(len(tokens)),
                                          token=tokens, char_start=ends - [len(token) for token in tokens],
                                          char_end=ends, segment=segments))  # fmt: skip
            rollout = [None] * (shape[0] - 1) + [patterns.mean(axis=(0, 1)).tolist()]
            parts["decision_rows"].append(_table("decision_rows", sample_id=[name] * shape[0], layer=range(shape[0]),
                                                 pattern=patterns.mean(axis=1).tolist(), rollout=rollout))  # fmt: skip
            layer, head = np.indices(shape).reshape(2, -1)
            if row < whole_rows:
                parts["decision_head_rows"].append(
                    _table("decision_head_rows", sample_id=[name] * layer.size, layer=layer, head=head,
                           pattern=patterns.reshape(layer.size, -1).tolist())
                )  # fmt: skip
            spans = {"Sales (net)": 0.2, "Net Income": 0.4}
            for span, mass in spans.items():
                parts["span_mass"].append(
                    _table("span_mass", sample_id=[name] * layer.size, kind=["line_item"] * layer.size,
                           span=[span] * layer.size, layer=layer, head=head, num_tokens=[5] * layer.size,
                           mass=[mass] * layer.size, baseline=[0.1] * layer.size)
                )  # fmt: skip
        for name, tables in parts.items():
            if tables:
                pq.write_table(pa.concat_tables(tables), unit / f"{name}.parquet")


def _table(name: str, **columns) -> pa.Table:
    table_schema = schema.table_schema(name, ())
    return pa.table({key: list(values) for key, values in columns.items()}, schema=table_schema)


def _text(hostile: str, num_tokens: int | None) -> tuple[list[str], list[str]]:
    """Return tokens (words with the space before them) and their segments."""
    parts = [
        ("template", "<|im_start|>system\n"), ("system", "You are a helpful assistant."), ("template", "<|im_end|>\n"),
        ("instruction", "Will earnings increase or decrease?\n"), ("statement", f"{STATEMENT}{hostile}\n"),
        ("template", "<|im_start|>assistant\n"), ("response", 'Sales rose, so {"direction": "'),
    ]  # fmt: skip
    tokens, segments = [], []
    for segment, text in parts:
        found = re.findall(r"\s?[^\s]+|\s", text)
        if segment == "statement" and num_tokens:
            found += [f" {number}" for number in range(num_tokens)]
        tokens += found
        segments += [segment] * len(found)
    return [*tokens, "Incre", "ase", '"}'], [*segments, *["response"] * 3]
