"""A run held against its own plan and manifests before anything of it is read: what is missing, changed or too much.

A directory with neither plan nor manifests was written by others (the contract allows that): nothing vouches for it,
and whoever reads it says so. Sizes and rows are compared at every reading, checksums once for as long as files stay.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analyses.runs.checksums import Checksums
from engine.schema import REJECTS_SCHEMA
from engine.schema.layout import (
    CAUSAL_PLAN,
    CAUSAL_UNITS,
    MANIFEST,
    PLAN,
    PLAN_REJECTS,
    PLANNED_UNITS,
    REJECTS,
    SHARDS,
    SUCCESS,
)
from engine.schema.manifests import is_manifest, is_merged_name, manifest_digest, units_of

NOT_VERIFIED = "not verified: no plan"
VERIFIED = "every planned shard is there and equals its manifest"
IN_PART = "only what was analysed: other parts are missing or damaged"

Manifest = Mapping[str, Any]
"""What a ``manifest.json`` or ``plan.json`` holds."""

MOVE_AWAY = "move this folder out of shards/"


@dataclass(frozen=True)
class Integrity:
    """What was found.

    Attributes
    ----------
    problems
        Name of a unit to what is wrong with it; of units that are planned and not there too.
    faults
        What is wrong with the plan, the merged rejects or ``_SUCCESS``.
    num_planned
        Samples that a measure unit was planned with, by its name.
    verdict
        In words: verified, in part, or not at all.
    """

    problems: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    num_planned: Mapping[str, int] = field(default_factory=dict)
    verdict: str = VERIFIED

    def __str__(self) -> str:
        found = [f"{name}: {problem}" for name, problem in self.problems.items()]
        found += self.faults
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        return f"{'; '.join(found[:5])}{more}"


def check_integrity(run_dir: Path, folders: Sequence[Path], *, is_finished: bool) -> Integrity:
    """Compare a run with its plan and manifests.

    Parameters
    ----------
    run_dir
        The run directory.
    folders
        Its unit folders.
    is_finished
        Whether ``_SUCCESS`` is there: then every planned unit must be.
    """
    if not (run_dir / PLAN).exists() and not any((folder / MANIFEST).exists() for folder in folders):
        return Integrity(verdict=NOT_VERIFIED)
    checksums = Checksums(run_dir)
    plan, faults = _plan(run_dir, checksums)
    planned, more = _planned(run_dir, is_known=not faults, is_causal=bool(plan.get("is_causal")) and is_finished)
    faults += more
    manifests: dict[str, Manifest] = {}
    problems: dict[str, str] = {}
    there: set[str] = set()
    for folder in folders:
        manifest = _manifest(folder)
        own = [folder.name] if manifest is None else list(_units(folder, manifest))
        is_damaged_merge = manifest is None and is_merged_name(folder.name)
        if not faults and not is_damaged_merge and not planned.keys() >= set(own):
            problems[folder.name] = f"is not in the plan; {MOVE_AWAY}"
        elif manifest is None:
            what = "is damaged" if (folder / MANIFEST).exists() else "is missing"
            problems[folder.name] = f"not committed, its {MANIFEST} {what}"
        elif problem := _problem(folder, manifest, planned):
            problems[folder.name] = problem
        elif there & set(own):
            problems[folder.name] = f"holds {min(there & set(own))}, which another folder holds too; {MOVE_AWAY}"
        else:
            manifests[folder.name] = manifest
        there.update(own)
    problems |= _changed(run_dir, manifests, checksums)
    checksums.keep()
    absent = "is missing from shards/" if is_finished else "not committed yet"
    problems |= {name: absent for name in planned if name not in there}
    if is_finished and not faults and not problems:
        faults += [*_damage_of_rejects(run_dir, planned, manifests), *_damage_of_success(run_dir, planned, manifests)]
    counts = {name: len(ids) for name, ids in planned.items() if not name.startswith(CAUSAL_UNITS)}
    counts |= {name: len(_ids(manifest)) for name, manifest in manifests.items() if not name.startswith(CAUSAL_UNITS)}
    return Integrity(problems, tuple(faults), counts, IN_PART if problems or faults else VERIFIED)


def _plan(run_dir: Path, checksums: Checksums) -> tuple[Manifest, list[str]]:
    """Return ``plan.json``, and what is wrong with it and the files that it vouches for."""
    plan = _json(run_dir / PLAN)
    named = plan.get("checksums") if isinstance(plan, dict) else None
    if not isinstance(plan, dict) or not isinstance(named, dict):
        what = "is not that of a plan" if (run_dir / PLAN).exists() else "is missing"
        return {}, [f"{PLAN}: {what}, so that nobody knows which shards there must be"]
    faults = []
    if plan.get("digest", "") not in ("", manifest_digest(plan)):  # plans of earlier versions have none
        faults.append(f"{PLAN}: is damaged (its checksum differs)")
    for name in (PLANNED_UNITS, PLAN_REJECTS):
        try:
            is_whole = checksums.of([run_dir / name])[run_dir / name] == named.get(name)
        except OSError:
            is_whole = False
        if not is_whole:
            faults.append(f"{name}: is missing or damaged (its checksum differs)")
    return plan, faults


def _planned(run_dir: Path, *, is_known: bool, is_causal: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Return the ids of every planned unit by its name, and what is wrong with the plans."""
    if not is_known:
        return {}, []
    entries, causal = _json(run_dir / PLANNED_UNITS), _json(run_dir / CAUSAL_PLAN)
    if causal is None and (is_causal or (run_dir / CAUSAL_PLAN).exists()):
        return {}, [f"{CAUSAL_PLAN}: is missing or damaged"]
    try:
        every = [*entries, *(causal["units"] if causal is not None else ())]
        return {entry["name"]: list(map(str, entry["sample_ids"])) for entry in every}, []
    except (TypeError, KeyError):
        return {}, [f"{PLANNED_UNITS} or {CAUSAL_PLAN}: has another shape than a plan's"]


def _manifest(folder: Path) -> Manifest | None:
    """Return a unit's manifest; None where there is none, or it is damaged."""
    content = _json(folder / MANIFEST)
    return content if is_manifest(content) else None


def _units(folder: Path, manifest: Manifest) -> dict[str, Manifest]:
    """Return the manifest of every unit that a folder holds, by the unit's name; a copy of merged units holds none."""
    if "replaces" not in manifest or manifest.get("unit") != folder.name:
        return {folder.name: manifest}
    return {unit["unit"]: unit for unit in units_of(manifest)}


def _ids(manifest: Manifest) -> list[str]:
    return list(map(str, (*manifest["sample_ids"], *manifest["rejected_ids"])))


def _problem(folder: Path, manifest: Manifest, planned: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong with a folder by ids, sizes and rows, or the empty string."""
    for name, unit in _units(folder, manifest).items():
        if name in planned and Counter(_ids(unit)) != Counter(planned[name]):
            return "does not hold the planned sample ids"
    if surplus := {path.name for path in folder.glob("[!.]*.parquet")} - set(manifest["files"]):
        return f"{', '.join(sorted(surplus)[:3])} is not in its manifest; move it out of the folder"
    for name, facts in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing, which its manifest lists"
        size = file.stat().st_size
        if size != facts.get("bytes"):
            return f"{name} has {size:,} bytes, its manifest {facts.get('bytes')}"
        try:
            rows = pq.read_metadata(file).num_rows
        except (OSError, pa.ArrowException):
            return f"{name} is not a readable Parquet file"
        if rows != facts.get("rows"):
            return f"{name} has {rows:,} rows, its manifest {facts.get('rows')}"
    return ""


def _changed(run_dir: Path, manifests: Mapping[str, Manifest], checksums: Checksums) -> dict[str, str]:
    """Return the units of which a file has another checksum than its manifest says."""
    expected = {
        run_dir / SHARDS / unit / name: facts.get("sha256")
        for unit, manifest in manifests.items()
        for name, facts in manifest["files"].items()
    }
    found = checksums.of(list(expected))
    changed: dict[str, str] = {}
    for file, digest in expected.items():
        if found[file] != digest:
            changed.setdefault(file.parent.name, f"{file.name} is damaged (its checksum differs)")
    return changed


def _damage_of_rejects(
    run_dir: Path, planned: Mapping[str, object], manifests: Mapping[str, Manifest]
) -> Iterator[str]:
    """Yield what is wrong with the merged rejects of a published run; shards without any are not opened."""
    place = {name: number for number, name in enumerate(planned)}
    first = {name: min(place[unit] for unit in _units(Path(name), manifests[name])) for name in manifests}
    rejecting = [name for name in sorted(manifests, key=lambda name: first[name]) if manifests[name]["rejected_ids"]]
    paths = [run_dir / PLAN_REJECTS, *(run_dir / SHARDS / name / REJECTS for name in rejecting)]
    try:
        parts = pa.concat_tables([pq.read_table(path) for path in paths]).cast(REJECTS_SCHEMA)
        is_same = pq.read_table(run_dir / REJECTS).cast(REJECTS_SCHEMA).equals(parts)
    except (OSError, pa.ArrowException, ValueError):
        is_same = False
    if not is_same:
        yield f"{REJECTS}: is missing or does not hold the rejects of the plan and of the shards"


def _damage_of_success(
    run_dir: Path, planned: Mapping[str, object], manifests: Mapping[str, Manifest]
) -> Iterator[str]:
    """Yield what is wrong with ``_SUCCESS``, which says how much was verified when the run was published."""
    counts = _json(run_dir / SUCCESS)
    measured = [name for name in planned if not name.startswith(CAUSAL_UNITS)]
    folders = [manifest for name, manifest in manifests.items() if not name.startswith(CAUSAL_UNITS)]
    samples = sum(len(manifest["sample_ids"]) for manifest in folders)
    if not isinstance(counts, dict) or (counts.get("units"), counts.get("samples")) != (len(measured), samples):
        yield f"{SUCCESS}: was not written when this run was verified"


def _json(path: Path) -> Any:
    """Return what a JSON file holds; None where it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
