"""A run directory as tables: opened, checked and described.

Reads any directory of the contract's schema, whoever wrote it: ``shards/*/samples.parquet`` and ``head_stats.parquet``
are required, everything else is optional. ``head_stats`` stays lazy and wide.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from analyses.runs.derived_columns import copied_rows, with_derived
from analyses.runs.integrity import check_integrity
from analyses.runs.layouts import FileLayout
from analyses.runs.units import LeftOut, RunError, check_units, scan_table, table_files, unit_folders
from analyses.runs.vocabulary import find_vocabulary
from engine.schema import (
    BASE_STATISTICS,
    BASELINE_PREFIX,
    LOOKBACK_STATISTICS,
    MASS_PREFIX,
    NORM_MASS_PREFIX,
    samples_schema,
)
from engine.schema.layout import CAUSAL_PLAN, PLAN, RUN_YAML, SHARDS, SUCCESS


@dataclass(frozen=True)
class Run:
    """A run that is finished, or what is committed of one: its tables and what was recorded of it.

    Attributes
    ----------
    run_dir
        The run directory.
    samples
        One row per sample, in shard order, with every column of the contract (null where the run lacks it) and those
        of ``runs.derived_columns``.
    tables
        Every other table by name, lazy.
    files
        The Parquet files of every table, in the order of units.
    layouts
        The files of ``head_stats`` and how their rows lie.
    statistics, key_groups, query_groups
        What ``head_stats`` holds: statistic columns, the key groups among them, the values of ``query_group``.
    vocabulary
        The key group that is the whole vocabulary, or None.
    num_layers, num_heads
        Highest layer and head plus one.
    metadata, plan, causal_plan
        Contents of ``run.yaml``, ``plan.json`` and ``plan/causal.json``; empty when absent.
    is_finished
        Whether ``_SUCCESS`` is there.
    left_out
        What was left out; only a partial analysis has anything.
    verification
        Whether the run was compared with its plan and manifests, in words.
    """

    run_dir: Path
    samples: pl.DataFrame
    tables: Mapping[str, pl.LazyFrame]
    files: Mapping[str, Sequence[Path]]
    layouts: tuple[FileLayout, ...]
    statistics: tuple[str, ...]
    key_groups: tuple[str, ...]
    query_groups: tuple[str, ...]
    vocabulary: str | None
    num_layers: int
    num_heads: int
    metadata: Mapping[str, object]
    plan: Mapping[str, Any]
    causal_plan: Mapping[str, Any]
    is_finished: bool
    left_out: LeftOut
    verification: str

    @property
    def is_partial(self) -> bool:
        """Whether samples of the run are missing, or may be."""
        return not self.is_finished or bool(self.left_out)

    @cached_property
    def rows_of(self) -> Mapping[str, int]:
        """Sample to its row in ``samples``."""
        return {name: row for row, name in enumerate(self.samples["sample_id"])}

    @cached_property
    def copies(self) -> Sequence[np.ndarray]:
        """Rows of ``samples`` of each set of copies: samples of which every number is the same."""
        return copied_rows(self.samples, self.head_stats, self.statistics)

    @property
    def headless_layers(self) -> tuple[int, ...]:
        """Layers of the model without attention heads, as the plan recorded them: recurrent ones and convolutions."""
        model = self.plan.get("model") or {}
        return tuple(model.get("headless_layers") or ())

    @cached_property
    def baselines(self) -> Mapping[tuple[str, str], np.ndarray]:
        """float32 ``[samples, layers]`` by query group and ``baseline_<key group>``; one layer where all are alike."""
        return _read_baselines(self)

    def of_samples(self, name: str, samples: Collection[str]) -> pl.LazyFrame:
        """Return the rows of a table that belong to some samples, from the units that hold these samples."""
        units = {layout.path.parent for layout in self.layouts if not set(samples).isdisjoint(layout.sample_ids)}
        # Tables of causal units lie in folders of their own.
        paths = [path for path in self.files[name] if path.parent in units] or self.files[name]
        return _scan(paths).filter(pl.col("sample_id").is_in(list(samples)))

    @property
    def head_stats(self) -> pl.LazyFrame:
        """One row per sample, query group, layer and head."""
        return self.tables["head_stats"]

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved config, or an empty mapping."""
        return _mapping(self.metadata.get("config"))

    def section(self, name: str) -> Mapping[str, object]:
        """Return a section of the config, such as ``run``; empty when it is not there or is no mapping."""
        return _mapping(self.config.get(name))

    @property
    def seed(self) -> int:
        """The run's seed; 0 when it is not known."""
        seed = self.metadata.get("seed", self.section("run").get("seed"))
        return seed if isinstance(seed, int) and seed >= 0 else 0


def _read_baselines(run: Run) -> dict[tuple[str, str], np.ndarray]:
    table = run.tables.get("baselines")
    if table is None:
        return {}
    names = [name for name in table.collect_schema().names() if name.startswith(BASELINE_PREFIX)]
    result: dict[tuple[str, str], np.ndarray] = {}
    for query_group in run.query_groups:
        part = table.filter(pl.col("query_group") == query_group).select("sample_id", "layer", *names).collect()
        for_all, for_one = part.filter(pl.col("layer").is_null()), part.drop_nulls("layer")
        at = [_rows_in(run, rows["sample_id"]) for rows in (for_all, for_one)]
        layers = for_one["layer"].to_numpy().astype(np.int64)
        for name in names:
            values = np.full((len(run.samples), run.num_layers if len(for_one) else 1), np.nan, dtype=np.float32)
            whole, single = (
                rows[name].cast(pl.Float32).fill_null(float("nan")).to_numpy() for rows in (for_all, for_one)
            )
            known = (at[0] >= 0) & ~np.isnan(whole)
            values[at[0][known]] = whole[known, None]
            known = (at[1] >= 0) & ~np.isnan(single) & (layers < run.num_layers)
            values[at[1][known], layers[known]] = single[known]
            result[query_group, name] = values
    return result


def _rows_in(run: Run, ids: pl.Series) -> np.ndarray:
    return np.array([run.rows_of.get(name, -1) for name in ids], dtype=np.int64)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def open_tables(run_dir: Path, *, partial: bool = False) -> Run:
    """Open a run.

    Parameters
    ----------
    run_dir
        Directory with ``shards/*/samples.parquet`` and ``head_stats.parquet``.
    partial
        Whether a run without ``_SUCCESS``, or with incomplete or damaged units, is acceptable; only what is whole is
        read.

    Raises
    ------
    RunError
        When the directory is no run, is unfinished, is not what its plan and manifests say, or holds tables of
        another schema.
    """
    run_dir = Path(run_dir)
    is_finished = _check_directory(run_dir, partial)
    found = check_integrity(run_dir, unit_folders(run_dir), is_finished=is_finished)
    left_out, layouts = check_units(run_dir, found, partial=partial)
    files = table_files(run_dir, left_out)
    samples = _read_samples(files["samples"])
    tables = {name: _scan(paths) for name, paths in files.items() if name != "samples"}
    schema = tables["head_stats"].collect_schema()
    groups = sorted({name for layout in layouts for name in layout.query_groups}, key=_query_group_order)
    metadata = _read_yaml(run_dir / RUN_YAML)
    key_groups = tuple(name.removeprefix(MASS_PREFIX) for name in schema.names() if name.startswith(MASS_PREFIX))
    return Run(
        run_dir=run_dir,
        samples=with_derived(samples, metadata),
        tables=tables,
        files=files,
        layouts=layouts,
        statistics=tuple(name for name in schema.names() if _is_statistic(name)),
        key_groups=key_groups,
        vocabulary=find_vocabulary(key_groups, _mapping(metadata.get("config")), samples),
        query_groups=tuple(groups),
        num_layers=max((layout.num_layers for layout in layouts), default=0),
        num_heads=max((layout.num_heads for layout in layouts), default=0),
        metadata=metadata,
        plan=_read_json(run_dir / PLAN),
        causal_plan=_read_json(run_dir / CAUSAL_PLAN),
        is_finished=is_finished,
        left_out=left_out,
        verification=found.verdict,
    )


def _check_directory(run_dir: Path, partial: bool) -> bool:
    if not run_dir.is_dir():
        raise RunError(f"{run_dir}: no such directory. Give the directory of a run: it holds shards/ and _SUCCESS.")
    if not (run_dir / SHARDS).is_dir():
        raise RunError(
            f"{run_dir}: not a run directory, it has no shards/. Give the directory that `python -m engine.run` made "
            "(<output>/<name>)."
        )
    is_finished = (run_dir / SUCCESS).exists()
    if not is_finished and not partial:
        raise RunError(
            f"{run_dir}: the run is not finished, it has no _SUCCESS. Run its config again to continue it, or use "
            "--partial to analyse the shards that are committed so far."
        )
    return is_finished


def _scan(paths: Sequence[Path]) -> pl.LazyFrame:
    """Return a table with its ids as text, which joins rely on."""
    frame = scan_table(paths)
    kinds = frame.collect_schema()
    if "sample_id" in kinds and kinds["sample_id"] != pl.String:
        return frame.with_columns(pl.col("sample_id").cast(pl.String))
    return frame


def _read_samples(paths: Sequence[Path]) -> pl.DataFrame:
    frames = [pl.read_parquet(path, glob=False, hive_partitioning=False) for path in paths]
    try:
        samples = pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise RunError(
            f"{paths[0].parent.parent}: the shards' samples.parquet do not fit together ({error})."
        ) from error
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


def _is_statistic(name: str) -> bool:
    return name in (*BASE_STATISTICS, *LOOKBACK_STATISTICS) or name.startswith((MASS_PREFIX, NORM_MASS_PREFIX))


def _query_group_order(name: str) -> tuple[int, str]:
    order = ("all", "decision", "response")
    return (order.index(name) if name in order else len(order), name)


def _read_yaml(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not readable YAML ({error}). Restore it, or remove it to use defaults.") from error
    return content if isinstance(content, dict) else {}


def _read_json(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: not readable JSON ({error}). Restore it, or remove it.") from error
    return content if isinstance(content, dict) else {}
