"""The unit folders of a run: which ones count, and whether each is whole.

A run with ``_SUCCESS`` is whole or refused: no sample may drop out of an analysis without a word. Only under
``--partial`` are incomplete units left out, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from analyses.layouts import FileLayout, read_layout
from engine.schema import SCHEMA_VERSION

REQUIRED_COLUMNS = {
    "samples": ("sample_id", "is_correct"),
    "head_stats": ("sample_id", "query_group", "layer", "head"),
}

ALL_OR_NONE = ("baselines", "decision_top_keys")
"""Tables that a run may lack, but not some of its units: their numbers would be of other samples than the rest."""

NO_SAMPLES_PREFIX = "causal-"
"""Units of interventions hold no samples and head_stats of their own."""

REMEDY = (
    "Run its config again to measure what is missing, or use --partial to analyse the run without incomplete shards."
)


class RunError(ValueError):
    """A directory cannot be analysed; the message names it and says what to do."""


@dataclass(frozen=True)
class LeftOut:
    """Incomplete units that a partial analysis does without.

    Attributes
    ----------
    problems
        Unit folder's name to what is wrong with it.
    num_samples
        Samples of these units, as far as their files can be read.
    """

    problems: Mapping[str, str]
    num_samples: int

    def __str__(self) -> str:
        units, samples = len(self.problems), self.num_samples
        listed = "; ".join(f"{name}: {problem}" for name, problem in list(self.problems.items())[:5])
        more = f"; and {units - 5} more" if units > 5 else ""
        shards = "1 incomplete shard" if units == 1 else f"{units:,} incomplete shards"
        counted = "1 sample" if samples == 1 else f"{samples:,} samples"
        return f"{shards} with {counted} left out ({listed}{more})"


def scan_table(paths: Sequence[Path]) -> pl.LazyFrame:
    """Return a table's files as one lazy frame; names of folders are taken literally."""
    return pl.scan_parquet(list(paths), glob=False, hive_partitioning=False)


def unit_folders(run_dir: Path) -> list[Path]:
    """Return the unit folders of a run in order; dot directories are none."""
    return sorted(path for path in (run_dir / "shards").iterdir() if path.is_dir() and path.name[0] != ".")


def table_files(run_dir: Path, left_out: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Return the Parquet files of every table, without those of the units left out."""
    files: dict[str, list[Path]] = {}
    for unit in unit_folders(run_dir):
        if unit.name not in left_out:
            for path in sorted(unit.glob("[!.]*.parquet")):
                files.setdefault(path.stem, []).append(path)
    merged = run_dir / "rejects.parquet"
    if merged.exists():
        files["rejects"] = [merged]
    return files


def check_units(run_dir: Path, *, is_finished: bool, partial: bool) -> tuple[LeftOut, tuple[FileLayout, ...]]:
    """Look at every unit; return those to leave out (none of a run that is to be whole), and how ``head_stats`` lies.

    Raises
    ------
    RunError
        When a unit is incomplete and ``partial`` is false, when none is complete, or when a table has another schema.
    """
    folders = unit_folders(run_dir)
    measured = [folder for folder in folders if not folder.name.startswith(NO_SAMPLES_PREFIX)]
    if not any((folder / f"{name}.parquet").exists() for folder in measured for name in REQUIRED_COLUMNS):
        raise RunError(
            f"{run_dir}: no shard holds samples.parquet and head_stats.parquet. Collect at least one shard before "
            "analysing."
        )
    needed = [*REQUIRED_COLUMNS]
    needed += [name for name in ALL_OR_NONE if any((folder / f"{name}.parquet").exists() for folder in measured)]
    problems: dict[Path, str] = {}
    if not is_finished and any((folder / "manifest.json").exists() for folder in folders):
        uncommitted = [folder for folder in folders if not (folder / "manifest.json").exists()]
        problems |= dict.fromkeys(uncommitted, "not committed, it has no manifest.json")
    layouts: dict[Path, FileLayout] = {}
    for folder in measured:
        if folder in problems:
            continue
        try:
            layouts[folder] = _whole_unit(folder, needed)
        except _IncompleteError as error:
            problems[folder] = str(error)
    if problems and not partial:
        folder, problem = next(iter(problems.items()))
        more = f" ({len(problems)} of {len(measured)} shards are incomplete.)" if len(problems) > 1 else ""
        raise RunError(f"{folder}: {problem}.{more} {REMEDY}")
    whole = [folder for folder in measured if folder not in problems]
    if not whole:
        folder, problem = next(iter(problems.items()))
        raise RunError(f"{run_dir}: no shard is complete; {folder.name}: {problem}. Run its config again.")
    for name in ("head_stats", *ALL_OR_NONE, "rejects"):
        _check_same_columns([path for folder in whole if (path := folder / f"{name}.parquet").exists()])
    named = {folder.name: problem for folder, problem in problems.items()}
    left_out = LeftOut(named, sum(_count_samples(folder) for folder in problems))
    return left_out, tuple(layouts[folder] for folder in whole)


class _IncompleteError(Exception):
    """A unit cannot be used; the message says why."""


def _whole_unit(folder: Path, needed: Sequence[str]) -> FileLayout:
    """Return how the unit's ``head_stats`` lies; raise when the unit is not whole."""
    for name in needed:
        path = folder / f"{name}.parquet"
        if not path.exists():
            others = "" if name in REQUIRED_COLUMNS else ", other shards have it"
            raise _IncompleteError(f"{path.name} is missing ({_count_samples(folder):,} samples{others})")
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise _IncompleteError(f"{path.name} is not a readable Parquet file ({_one_line(error)})") from error
        _check_schema(path, name, schema)
    try:
        layout = read_layout(folder / "head_stats.parquet")
        problem = _disagreement(folder, layout)
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        raise _IncompleteError(f"its tables cannot be read ({_one_line(error)})") from error
    if problem:
        raise _IncompleteError(problem)
    return layout


def _check_schema(path: Path, name: str, schema: pa.Schema) -> None:
    version = (schema.metadata or {}).get(b"headledger_schema_version", b"").decode()
    if version and version != str(SCHEMA_VERSION):
        raise RunError(
            f"{path}: schema version {version}, this Headledger reads version {SCHEMA_VERSION}. Analyse it with "
            "the version that wrote it, or run its config again."
        )
    missing = [column for column in REQUIRED_COLUMNS.get(name, ()) if column not in schema.names]
    if missing:
        raise RunError(f"{path}: column {', '.join(missing)} is missing; {name} needs it (engine/schema.py).")


def _disagreement(folder: Path, layout: FileLayout) -> str:
    """Return how the unit's samples and head_stats contradict each other, or an empty string."""
    samples = _ids(folder / "samples.parquet")
    known = set(samples)
    if None in known:
        return "samples.parquet has rows without a sample_id"
    if len(known) < len(samples):
        return f"samples.parquet has {len(samples):,} rows of {len(known):,} samples; each sample may have one"
    measured = set(layout.sample_ids)
    for name, other, absent in (
        ("head_stats", "samples", measured - known),
        ("samples", "head_stats", known - measured),
    ):
        if absent:
            example = min(map(str, absent))
            return (
                f"{name}.parquet has {len(absent):,} of its {len(measured if name == 'head_stats' else known):,} "
                f"samples that {other}.parquet lacks, such as {example!r}"
            )
    return "" if layout.is_regular else _repetition(folder)


def _repetition(folder: Path) -> str:
    """Return which rows of the unit's head_stats stand there twice or have null keys, or an empty string."""
    place = pl.col("layer").cast(pl.Int64) * 2**32 + pl.col("head").cast(pl.Int64)
    rows = scan_table([folder / "head_stats.parquet"]).select(
        pl.col("sample_id").cast(pl.String), "query_group", place.alias("place")
    )
    counts = (
        rows.group_by("sample_id", "query_group")
        .agg(rows=pl.len(), places=pl.col("place").drop_nulls().n_unique())
        .collect(engine="streaming")
    )
    if repeated := counts.filter(pl.col("rows") > pl.col("places")).sort("sample_id", "query_group").to_dicts():
        surplus = sum(row["rows"] - row["places"] for row in repeated)
        example = f"{repeated[0]['sample_id']!r}, {repeated[0]['query_group']!r}"
        return (
            f"head_stats.parquet has {surplus:,} of {counts['rows'].sum():,} rows whose (sample_id, query_group, "
            f"layer, head) is null or stands there already, such as of {example}"
        )
    return ""


def _check_same_columns(paths: Sequence[Path]) -> None:
    """Refuse files of one table that differ in their columns or types."""
    kinds: dict[str, str] = {}
    for path in paths:
        found = {name: _kind(kind) for name, kind in zip(*_columns(path), strict=True)}
        kinds = kinds or found
        if found == kinds:
            continue
        lacking, beside = [name for name in kinds if name not in found], [name for name in found if name not in kinds]
        other = [f"{name} ({found[name]}, not {kind})" for name, kind in kinds.items() if found.get(name, kind) != kind]
        told = (("lacks", lacking), ("has beside them", beside), ("has with another type", other))
        text = " and ".join(f"{verb} {', '.join(names[:5])}" for verb, names in told if names)
        raise RunError(
            f"{path}: the shards' {path.name} differ in their columns: beside {paths[0].parent.name}, this one {text}. "
            "Shards of different configs are no run; move this folder out of shards/ and run the config again."
        )


def _columns(path: Path) -> tuple[list[str], list[pa.DataType]]:
    schema = pq.read_schema(path)
    return schema.names, schema.types


def _kind(kind: pa.DataType) -> str:
    return str(kind).replace("large_", "").replace("string_view", "string")


def _ids(path: Path) -> list[str | None]:
    return scan_table([path]).select(pl.col("sample_id").cast(pl.String)).collect().to_series().to_list()


def _count_samples(folder: Path) -> int:
    """Return how many samples a unit has, from whichever of its files can be read; 0 when none can."""
    for name in REQUIRED_COLUMNS:
        try:
            return len(set(_ids(folder / f"{name}.parquet")))
        except (pl.exceptions.PolarsError, OSError):
            continue
    return 0


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
