"""The unit folders of a run: which ones count, and whether each is whole.

A run with ``_SUCCESS`` is whole or refused: no sample may drop out of an analysis without a word. Only under
``--partial`` are units left out that are incomplete or not what plan and manifests say, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from analyses.runs.integrity import Integrity
from analyses.runs.layouts import FileLayout, read_layout
from engine.schema import SCHEMA_VERSION, is_readable_schema
from engine.schema.layout import CAUSAL_UNITS, REJECTS, SHARDS

REQUIRED_COLUMNS = {
    "samples": ("sample_id", "is_correct"),
    "head_stats": ("sample_id", "query_group", "layer", "head"),
}

ALL_OR_NONE = ("baselines", "decision_top_keys")
"""Tables that a run may lack, but not some of its units: their numbers would be of other samples than the rest."""

REMEDY = (
    "Run its config again to measure what is missing, or use --partial to analyse the run without incomplete shards."
)


class RunError(ValueError):
    """A directory cannot be analysed; the message names it and says what to do."""


class DamagedRunError(RunError):
    """A run is not what its own plan and manifests say."""


@dataclass(frozen=True)
class LeftOut:
    """What a partial analysis does without.

    Attributes
    ----------
    problems
        Name of an incomplete unit to what is wrong with it; planned units that are not there among them.
    num_samples
        Samples of these units, as planned, or else as far as their files can be read.
    faults
        What else of the run is not what its plan says.
    """

    problems: Mapping[str, str] = field(default_factory=dict)
    num_samples: int = 0
    faults: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.problems or self.faults)

    def __str__(self) -> str:
        parts = [self._of_units()] if self.problems else []
        return "; ".join([*parts, *self.faults])

    def _of_units(self) -> str:
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
    return sorted(path for path in (run_dir / SHARDS).iterdir() if path.is_dir() and path.name[0] != ".")


def table_files(run_dir: Path, left_out: LeftOut | None = None) -> dict[str, list[Path]]:
    """Return the Parquet files of every table, without those left out."""
    files: dict[str, list[Path]] = {}
    without = left_out or LeftOut()
    for unit in unit_folders(run_dir):
        if unit.name not in without.problems:
            for path in sorted(unit.glob("[!.]*.parquet")):
                files.setdefault(path.stem, []).append(path)
    merged = run_dir / REJECTS
    if merged.exists() and not any(fault.startswith(REJECTS) for fault in without.faults):
        files["rejects"] = [merged]
    return files


def check_units(run_dir: Path, found: Integrity, *, partial: bool) -> tuple[LeftOut, tuple[FileLayout, ...]]:
    """Look at every unit; return those to leave out (none of a run that is to be whole), and how ``head_stats`` lies.

    Parameters
    ----------
    run_dir
        The run directory.
    found
        What comparing it with its plan and manifests found.
    partial
        Whether what is damaged or incomplete is left out.

    Raises
    ------
    RunError
        When a unit is incomplete and ``partial`` is false, when none is complete, or when a table has another schema.
    """
    if (found.problems or found.faults) and not partial:
        raise DamagedRunError(
            f"{run_dir}: {len(found.problems) + len(found.faults)} part(s) are not what its plan and manifests say: "
            f"{found}. {REMEDY}"
        )
    folders = unit_folders(run_dir)
    # Units of interventions hold no samples and head_stats of their own.
    measured = [folder for folder in folders if not folder.name.startswith(CAUSAL_UNITS)]
    if not any((folder / f"{name}.parquet").exists() for folder in measured for name in REQUIRED_COLUMNS):
        raise RunError(
            f"{run_dir}: no shard holds samples.parquet and head_stats.parquet. Collect at least one shard before "
            "analysing."
        )
    needed = [*REQUIRED_COLUMNS]
    needed += [name for name in ALL_OR_NONE if any((folder / f"{name}.parquet").exists() for folder in measured)]
    problems = {run_dir / SHARDS / name: problem for name, problem in found.problems.items()}
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
    num_samples = sum(
        found.num_planned.get(folder.name, 0) or _count_samples(folder)
        for folder in problems
        if not folder.name.startswith(CAUSAL_UNITS)
    )
    left_out = LeftOut(named, num_samples, found.faults)
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
    if version and not is_readable_schema(version):
        raise RunError(
            f"{path}: schema version {version}, this Headledger reads version {SCHEMA_VERSION.partition('.')[0]} with "
            "any minor version. Analyse it with the version that wrote it, or run its config again."
        )
    missing = [column for column in REQUIRED_COLUMNS.get(name, ()) if column not in schema.names]
    if missing:
        raise RunError(f"{path}: column {', '.join(missing)} is missing; {name} needs it (engine/schema).")


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
        own = {name: _kind(kind) for name, kind in zip(*_columns(path), strict=True)}
        kinds = kinds or own
        if own == kinds:
            continue
        lacking, beside = [name for name in kinds if name not in own], [name for name in own if name not in kinds]
        other = [f"{name} ({own[name]}, not {kind})" for name, kind in kinds.items() if own.get(name, kind) != kind]
        reasons = (("lacks", lacking), ("has beside them", beside), ("has with another type", other))
        text = " and ".join(f"{verb} {', '.join(names[:5])}" for verb, names in reasons if names)
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
    with pq.ParquetFile(path) as file:
        ids = file.read(columns=["sample_id"], use_threads=False)["sample_id"]
    return ids.cast(pa.string()).to_pylist()


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
