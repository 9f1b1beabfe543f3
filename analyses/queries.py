"""A run directory as lazy Polars tables and tidy frames.

Reads any directory of the contract's schema, whoever wrote it: ``shards/*/samples.parquet`` and ``head_stats.parquet``
are required, everything else is optional. ``head_stats`` stays lazy and wide; a frame that is collected here has at
most one row per sample, layer and query group, or one per head.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from engine.schema import (
    BASE_STATISTICS,
    BASELINE_PREFIX,
    MASS_PREFIX,
    NORM_MASS_PREFIX,
    SCHEMA_VERSION,
    samples_schema,
)

REQUIRED_COLUMNS = {
    "samples": ("sample_id", "is_correct"),
    "head_stats": ("sample_id", "query_group", "layer", "head"),
}

BLOCK_BYTES = 256 * 2**20
"""Most bytes of ``head_stats`` values that are in memory at once while tests are made."""


class RunError(ValueError):
    """A directory cannot be analysed; the message names it and says what to do."""


@dataclass(frozen=True)
class RunTables:
    """The tables of one run.

    Attributes
    ----------
    run_dir
        The run directory.
    samples
        One row per sample, in shard order, with every column of the contract (null where the run lacks it).
    tables
        Every other table by name, lazy.
    statistics, key_groups, query_groups
        What ``head_stats`` holds: statistic columns, the key groups among them, the values of ``query_group``.
    num_layers, num_heads
        Highest layer and head plus one.
    run, plan
        Contents of ``run.yaml`` and ``plan.json``; empty when absent.
    is_partial
        Whether ``_SUCCESS`` is missing.
    """

    run_dir: Path
    samples: pl.DataFrame
    tables: Mapping[str, pl.LazyFrame]
    statistics: tuple[str, ...]
    key_groups: tuple[str, ...]
    query_groups: tuple[str, ...]
    num_layers: int
    num_heads: int
    run: Mapping[str, Any]
    plan: Mapping[str, Any]
    is_partial: bool

    @property
    def head_stats(self) -> pl.LazyFrame:
        """One row per sample, query group, layer and head."""
        return self.tables["head_stats"]

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved config, or an empty mapping."""
        return self.run.get("config") or {}

    @property
    def seed(self) -> int:
        """The run's seed; 0 when it is not known."""
        seed = self.run.get("seed", (self.config.get("run") or {}).get("seed"))
        return seed if isinstance(seed, int) else 0


def open_tables(run_dir: Path, *, partial: bool = False) -> RunTables:
    """Open a run.

    Parameters
    ----------
    run_dir
        Directory with ``shards/*/samples.parquet`` and ``head_stats.parquet``.
    partial
        Whether a run without ``_SUCCESS`` is acceptable; only its committed shards are read.

    Raises
    ------
    RunError
        When the directory is no run, is unfinished, or holds tables of another schema.
    """
    run_dir = Path(run_dir)
    is_partial = _check_directory(run_dir, partial)
    files = table_files(run_dir)
    for name in REQUIRED_COLUMNS:
        _check_table(run_dir, name, files.get(name, []))
    samples = _read_samples(files["samples"])
    tables = {name: pl.scan_parquet(paths) for name, paths in files.items() if name != "samples"}
    schema = _collect_schema(tables["head_stats"], run_dir)
    facts = tables["head_stats"].select(
        pl.col("query_group").unique().implode(),
        num_layers=pl.col("layer").max() + 1,
        num_heads=pl.col("head").max() + 1,
    )
    found = facts.collect(engine="streaming").row(0, named=True)
    groups = sorted(found["query_group"] or [], key=_query_group_order)
    return RunTables(
        run_dir=run_dir,
        samples=samples,
        tables=tables,
        statistics=tuple(name for name in schema.names() if _is_statistic(name)),
        key_groups=tuple(name.removeprefix(MASS_PREFIX) for name in schema.names() if name.startswith(MASS_PREFIX)),
        query_groups=tuple(groups),
        num_layers=int(found["num_layers"] or 0),
        num_heads=int(found["num_heads"] or 0),
        run=_read_yaml(run_dir / "run.yaml"),
        plan=_read_json(run_dir / "plan.json"),
        is_partial=is_partial,
    )


def _check_directory(run_dir: Path, partial: bool) -> bool:
    if not run_dir.is_dir():
        raise RunError(f"{run_dir}: no such directory. Give the directory of a run: it holds shards/ and _SUCCESS.")
    if not (run_dir / "shards").is_dir():
        raise RunError(
            f"{run_dir}: not a run directory, it has no shards/. Give the directory that `python -m engine.run` made "
            "(<output>/<name>)."
        )
    is_partial = not (run_dir / "_SUCCESS").exists()
    if is_partial and not partial:
        raise RunError(
            f"{run_dir}: the run is not finished, it has no _SUCCESS. Run its config again to continue it, or use "
            "--partial to analyse the shards that are committed so far."
        )
    return is_partial


def table_files(run_dir: Path) -> dict[str, list[Path]]:
    """Return the Parquet files of every table; dot directories are ignored, manifests decide where there are any."""
    units = sorted(path for path in (run_dir / "shards").iterdir() if path.is_dir() and path.name[0] != ".")
    committed = [unit for unit in units if (unit / "manifest.json").exists()]
    files: dict[str, list[Path]] = {}
    for unit in committed or units:
        for path in sorted(unit.glob("[!.]*.parquet")):
            files.setdefault(path.stem, []).append(path)
    merged = run_dir / "rejects.parquet"
    if merged.exists():
        files["rejects"] = [merged]
    return files


def _check_table(run_dir: Path, name: str, paths: Sequence[Path]) -> None:
    if not paths:
        raise RunError(
            f"{run_dir}: no committed shard holds {name}.parquet. Collect at least one shard before analysing."
        )
    for path in paths:
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise RunError(
                f"{path}: not a readable Parquet file ({error}). Restore the file, or move its folder out of shards/ "
                "and run the config again."
            ) from error
        version = (schema.metadata or {}).get(b"headledger_schema_version", b"").decode()
        if version and version != str(SCHEMA_VERSION):
            raise RunError(
                f"{path}: schema version {version}, this Headledger reads version {SCHEMA_VERSION}. Analyse it with "
                "the version that wrote it, or run its config again."
            )
        missing = [column for column in REQUIRED_COLUMNS[name] if column not in schema.names]
        if missing:
            raise RunError(f"{path}: column {', '.join(missing)} is missing; {name} needs it (engine/schema.py).")


def _read_samples(paths: Sequence[Path]) -> pl.DataFrame:
    frames = [pl.read_parquet(path, hive_partitioning=False) for path in paths]
    samples = pl.concat(frames, how="diagonal_relaxed")
    empty = pl.from_arrow(samples_schema([]).empty_table())
    assert isinstance(empty, pl.DataFrame)
    casts = [
        (pl.col(name).cast(kind, strict=False) if name in samples.columns else pl.lit(None, dtype=kind)).alias(name)
        for name, kind in empty.schema.items()
        if not isinstance(kind, pl.List) or name not in samples.columns
    ]
    samples = samples.with_columns(casts)
    repeated = samples.filter(pl.col("sample_id").is_duplicated())["sample_id"]
    if len(repeated):
        raise RunError(
            f"{paths[0].parent.parent}: sample {repeated[0]!r} is in more than one shard. Each sample may be measured "
            "once; move the surplus shard folder out of shards/."
        )
    return samples


def _collect_schema(frame: pl.LazyFrame, run_dir: Path) -> pl.Schema:
    try:
        frame.select(pl.len()).collect(engine="streaming")
        return frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise RunError(f"{run_dir}: the shards' head_stats.parquet differ in their columns ({error}).") from error


def _is_statistic(name: str) -> bool:
    return name in BASE_STATISTICS or name.startswith((MASS_PREFIX, NORM_MASS_PREFIX))


def _query_group_order(name: str) -> tuple[int, str]:
    order = ("all", "decision", "response")
    return (order.index(name) if name in order else len(order), name)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not readable YAML ({error}). Restore it, or remove it to use defaults.") from error
    return content if isinstance(content, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not readable JSON ({error}). Restore it, or remove it.") from error
    return content if isinstance(content, dict) else {}


def cluster_codes(tables: RunTables, column: str) -> np.ndarray:
    """Return ``[samples]`` codes of the samples' clusters; a sample without a cluster is one of its own."""
    if column not in tables.samples.columns:
        raise RunError(
            f"{tables.run_dir}: analysis.cluster_by names {column!r}, which is no column of samples; columns: "
            f"{', '.join(tables.samples.columns)}."
        )
    alone = pl.format("sample {}", "sample_id")
    known = pl.format("cluster {}", pl.col(column).cast(pl.String))
    labels = tables.samples.select(pl.when(pl.col(column).is_null()).then(alone).otherwise(known)).to_series()
    return np.unique(labels.to_numpy(), return_inverse=True)[1]


def statistic_blocks(
    tables: RunTables, query_group: str, statistics: Sequence[str], max_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield the values of one query group, as many statistics at a time as fit.

    Yields
    ------
    names
        Statistics of this block.
    values
        float32 ``[samples, statistics, layers * heads]`` in the order of ``tables.samples``; NaN for null and for a
        head that a layer lacks.
    """
    num_places = tables.num_layers * tables.num_heads
    step = max(1, max_bytes // max(4 * len(tables.samples) * num_places, 1))
    rows = tables.head_stats.filter(pl.col("query_group") == query_group)
    for start in range(0, len(statistics), step):
        names = tuple(statistics[start : start + step])
        yield names, _by_sample_and_head(tables, rows, [pl.col(name) for name in names])


def lift_values(tables: RunTables, query_group: str, key_group: str) -> np.ndarray | None:
    """Return each sample's lift of a key group, ``[samples, layers * heads]``; None without baselines."""
    rows = tables.head_stats.filter(pl.col("query_group") == query_group)
    wanted = rows.select("sample_id", "query_group", "layer", "head", f"{MASS_PREFIX}{key_group}")
    joined = with_baselines(tables, wanted)
    if joined is None or f"{BASELINE_PREFIX}{key_group}" not in joined.collect_schema().names():
        return None
    return _by_sample_and_head(tables, joined, [lift(key_group)])[:, 0]


def _by_sample_and_head(tables: RunTables, rows: pl.LazyFrame, values: Sequence[pl.Expr]) -> np.ndarray:
    """Collect expressions into ``[samples, expressions, layers * heads]``."""
    num_samples, num_places = len(tables.samples), tables.num_layers * tables.num_heads
    index = tables.samples.lazy().select("sample_id").with_row_index("row")
    place = (pl.col("layer").cast(pl.Int64) * tables.num_heads + pl.col("head")).alias("place")
    named = [value.cast(pl.Float32).alias(f"value {slot}") for slot, value in enumerate(values)]
    query = rows.select(pl.col("sample_id").cast(pl.String), place, *named)
    frame = query.join(index, on="sample_id", how="inner").drop("sample_id").collect(engine="streaming")
    result = np.full((num_samples, len(values), num_places), np.nan, dtype=np.float32)
    positions = frame["row"].to_numpy(), frame["place"].to_numpy()
    for slot in range(len(values)):
        result[positions[0], slot, positions[1]] = frame[f"value {slot}"].fill_null(float("nan")).to_numpy()
    return result


def head_means(tables: RunTables, by: str | None = None) -> pl.DataFrame:
    """Return the mean of every statistic per query group, layer and head, over samples.

    Parameters
    ----------
    by
        A column of ``samples`` to split by as well, such as ``is_correct``.
    """
    keys = ["query_group", "layer", "head"]
    frame = tables.head_stats
    if by is not None:
        frame = frame.join(tables.samples.lazy().select("sample_id", by), on="sample_id", how="inner")
        keys = [by, *keys]
    values = [pl.col(name).fill_nan(None).mean().cast(pl.Float64) for name in tables.statistics]
    grouped = frame.group_by(keys).agg(values, num_samples=pl.col("sample_id").n_unique())
    return grouped.collect(engine="streaming").sort(keys)


def layer_means(tables: RunTables, statistics: Sequence[str]) -> pl.DataFrame:
    """Return each sample's mean over heads, one row per sample, query group and layer."""
    keys = ["sample_id", "query_group", "layer"]
    values = [pl.col(name).fill_nan(None).mean().cast(pl.Float32) for name in statistics]
    return tables.head_stats.group_by(keys).agg(values).collect(engine="streaming").sort(keys)


def with_baselines(tables: RunTables, frame: pl.LazyFrame) -> pl.LazyFrame | None:
    """Add the ``baseline_*`` columns to a frame with sample_id, query_group and layer; None without the table.

    A baseline row without a layer holds for every layer; a row with one holds for that layer.
    """
    baselines = tables.tables.get("baselines")
    if baselines is None:
        return None
    names = [name for name in baselines.collect_schema().names() if name.startswith(BASELINE_PREFIX)]
    keys = ["sample_id", "query_group"]
    for_all = baselines.filter(pl.col("layer").is_null()).select(*keys, *names)
    for_one = baselines.filter(pl.col("layer").is_not_null()).select(
        *keys, pl.col("layer").cast(pl.Int32), pl.col(names).name.suffix("@layer")
    )
    joined = frame.join(for_all, on=keys, how="left").join(for_one, on=[*keys, "layer"], how="left")
    return joined.with_columns(pl.coalesce(f"{name}@layer", name).alias(name) for name in names).drop(
        f"{name}@layer" for name in names
    )


def lift(key_group: str) -> pl.Expr:
    """Return mass / baseline of a frame ``with_baselines``: 1 is uniform attention; null where the baseline is 0."""
    baseline = pl.col(f"{BASELINE_PREFIX}{key_group}").cast(pl.Float64)
    return pl.when(baseline > 0).then(pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64) / baseline)


def log_odds(key_group: str, floor: float = 1e-6) -> tuple[pl.Expr, pl.Expr]:
    """Return logit(mass) - logit(baseline), and whether either had to be clamped to ``floor..1-floor``.

    Both are null where the baseline is 0. Sum the second to report how many values were clamped.
    """
    mass = pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64)
    baseline = pl.col(f"{BASELINE_PREFIX}{key_group}").cast(pl.Float64)

    def logit(share: pl.Expr) -> pl.Expr:
        inside = share.clip(floor, 1 - floor)
        return (inside / (1 - inside)).log()

    is_clamped = ~(mass.is_between(floor, 1 - floor) & baseline.is_between(floor, 1 - floor))
    has_baseline = baseline > 0
    value = pl.when(has_baseline).then(logit(mass) - logit(baseline))
    return value, pl.when(has_baseline).then(is_clamped)


def sink_free_mass(key_group: str) -> pl.Expr:
    """Return mass / (1 - first_token): the share of the attention that is not on the first token; 0..1.

    Only for key groups that do not contain the first token. Null where all attention is on the first token.
    """
    elsewhere = 1 - pl.col("first_token").cast(pl.Float64)
    return pl.when(elsewhere > 0).then((pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64) / elsewhere).clip(0, 1))
