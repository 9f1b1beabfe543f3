"""Verification: every input id in exactly one committed unit of each kind or in the rejects, every file whole."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import RunFailedError
from engine.schema import CAUSAL_TABLES, REJECTS_SCHEMA, causal_schema, fits_schema, layout, table_schema
from engine.storage.ledger import Committed
from engine.storage.planned.plan import Plan
from engine.storage.planned.units import PlannedUnit
from engine.storage.records import Manifest, RunCounts
from engine.storage.run_directory import RunDirectory

SchemaOf = Callable[[str], pa.Schema]
"""Gives a table's schema by its name, for the run's config."""


def verify(run_dir: RunDirectory) -> RunCounts:
    """Check that every input id is in exactly one committed unit of each kind or in the rejects.

    Checksums of all files are compared with the manifests, schemas with what the config asks for; of a published run
    the merged rejects too.

    Returns
    -------
    dict
        Numbers of units, samples and rejects, and of causal units, samples and rejects where there are any.

    Raises
    ------
    RunFailedError
        Naming what is missing, damaged or held twice.
    """
    planned, plan = run_dir.plan.units(), run_dir.plan.read()
    if not planned or plan is None:
        raise RunFailedError(
            f"{run_dir.root}: holds no plan, so there is nothing to verify; run --stage collect first."
        )
    causal = run_dir.plan.causal_units()
    refuse_damaged_plan(run_dir)
    committed = run_dir.ledger.committed()
    _refuse_surplus(run_dir, [*planned, *causal], committed)
    if problems := _problems(run_dir, plan, [*planned, *causal], committed):
        raise RunFailedError(
            f"{run_dir.root}: {len(problems)} part(s) cannot be verified: {'; '.join(problems[:5])}. Start the run's "
            f"command again: damaged units are set aside in {run_dir.ledger.quarantine.name}/ and done again."
        )
    manifests = [committed[unit.name].own for unit in planned]
    early = pq.read_table(run_dir.root / layout.PLAN_REJECTS)["sample_id"].to_pylist()
    _check_ids(run_dir, plan.num_rows, early, manifests)
    counts: RunCounts = {
        "units": len(planned),
        "samples": sum(len(manifest["sample_ids"]) for manifest in manifests),
        "rejects": len(early) + sum(len(manifest["rejected_ids"]) for manifest in manifests),
    }
    if causal:
        _add_causal(counts, run_dir, [committed[unit.name].own for unit in causal], manifests)
    if run_dir.is_published() and (problem := damage_of_rejects(run_dir)):
        raise RunFailedError(f"{run_dir.root}: {problem}. Start the run's command again: it is made anew.")
    return counts


def refuse_damaged_plan(run_dir: RunDirectory) -> None:
    """Refuse a plan that no start would go on with.

    Raises
    ------
    RunFailedError
        Naming the files of it that are not what was planned.
    """
    if problems := run_dir.plan.damage():
        raise RunFailedError(
            f"{run_dir.root}: {'; '.join(problems)}. What was planned is no longer known for certain; bring the file "
            f"back from a copy, or start anew with --fresh, which sets this run directory aside and deletes nothing."
        )


def _refuse_surplus(run_dir: RunDirectory, units: Sequence[PlannedUnit], committed: Mapping[str, Committed]) -> None:
    """Refuse folders among the units that are none of this run's: no start makes them go away."""
    planned = {unit.name for unit in units}
    known = {place.folder.name for name, place in committed.items() if name in planned} | (planned - set(committed))
    surplus = [name for name in run_dir.ledger.folder_names() if name not in known]
    if surplus:
        more = f" and {len(surplus) - 5} more" if len(surplus) > 5 else ""
        raise RunFailedError(
            f"{run_dir.ledger.shards}: {', '.join(map(repr, surplus[:5]))}{more} is not in the plan: a copy, or of "
            f"another run. Move it out of this folder; everything else is kept, and the same command goes on."
        )


def _problems(
    run_dir: RunDirectory, plan: Plan, units: Sequence[PlannedUnit], committed: Mapping[str, Committed]
) -> list[str]:
    """Return what is wrong with the committed units and their tables, and with what causal units share."""
    damages = run_dir.ledger.damages(units, committed)
    absent = {unit.name: f"{unit.name}: is missing" for unit in units if unit.name not in committed}
    problems = list(dict.fromkeys({**absent, **damages}.values()))
    schemas = _Schemas(_expected_schemas(run_dir, plan.key_groups))
    whole = {committed[unit.name].folder: committed[unit.name] for unit in units if unit.name not in absent | damages}
    problems += [problem for place in whole.values() if (problem := _damage_of_schemas(place, schemas))]
    return problems + damage_of_causal_plan(run_dir, is_needed=plan.is_causal)


def damage_of_rejects(run_dir: RunDirectory) -> str:
    """Return what is wrong with the merged rejects of a published run, or the empty string."""
    path = run_dir.root / layout.REJECTS
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return f"{path.name} is missing or damaged ({' '.join(str(error).split())[:100]})"
    same = table.schema.equals(REJECTS_SCHEMA) and table.equals(run_dir.merged_rejects())
    return "" if same else f"{path.name} does not hold the rejects of the plan and of the units"


def damage_of_causal_plan(run_dir: RunDirectory, *, is_needed: bool) -> list[str]:
    """Return what is wrong with what causal units share."""
    try:
        plan = run_dir.plan.read_causal()
    except RunFailedError:
        return [f"{layout.CAUSAL_PLAN}: is damaged"]
    if plan is None:
        return [f"{layout.CAUSAL_PLAN}: is missing"] if is_needed else []
    return [
        f"plan/{name}.parquet: is missing or damaged (its checksum differs)"
        for name, digest in plan.fingerprints.items()
        if run_dir.plan.table_digest(name) != digest
    ]


def _expected_schemas(run_dir: RunDirectory, key_groups: Sequence[str]) -> SchemaOf:
    """Return what gives a table's schema by its name, for the run's config."""
    record = run_dir.read_run_yaml()
    config = {} if record is None else record["config"]
    statistics = config.get("statistics", {})
    is_norm_weighted, contributes = bool(statistics.get("norm_weighted")), bool(statistics.get("contribution"))
    has_lookback = bool(statistics.get("reading_focus"))
    kept_fields = config.get("predictions", {}).get("keep")
    has_gradients = (config.get("causal") or {}).get("attention_gradient") is not None

    @cache
    def schema_of(name: str) -> pa.Schema:
        if name in CAUSAL_TABLES:
            return causal_schema(name, key_groups if has_gradients else ())
        return table_schema(name, key_groups, is_norm_weighted, kept_fields, contributes, has_lookback)

    return schema_of


class _Schemas:
    """Compares the schemas of files with those that are expected.

    To open a file takes as long as all else that is verified of it. The first file of a table is opened; another one
    whose footer holds the same schema, byte for byte, has it too.
    """

    def __init__(self, schema_of: SchemaOf):
        self._schema_of = schema_of
        self._known: dict[str, bytes] = {}

    def fits(self, path: Path) -> bool:
        """Whether a file has the schema of its table.

        Raises
        ------
        KeyError
            When there is no table of its name.
        """
        known = self._known.get(path.stem)
        if known and known in _footer(path):
            return True
        if not fits_schema(pq.read_schema(path), self._schema_of(path.stem)):
            return False
        self._known[path.stem] = (pq.read_metadata(path).metadata or {}).get(b"ARROW:schema", b"")
        return True


def _footer(path: Path) -> bytes:
    """Return the end of a Parquet file, in which its schema stands."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(end - 8, 0))
        size = int.from_bytes(stream.read(4), "little")
        stream.seek(max(end - 8 - size, 0))
        return stream.read(size)


def _damage_of_schemas(place: Committed, schemas: _Schemas) -> str:
    for name in place.manifest["files"]:
        try:
            is_fitting = schemas.fits(place.folder / name)
        except KeyError:
            return f"{place.folder.name}: {name} is no table of a run"
        if not is_fitting:
            return f"{place.folder.name}: {name} has another schema than this run's config gives"
    return ""


def _check_ids(run_dir: RunDirectory, num_rows: int, early: Sequence[str], manifests: Sequence[Manifest]) -> None:
    """Refuse a run whose ids are not as many as its input has rows, or where one is held twice."""
    ids = Counter(early) + _held_ids(manifests)
    twice = [sample_id for sample_id, count in ids.items() if count > 1]
    if twice or len(ids) != num_rows:
        raise RunFailedError(
            f"{run_dir.root}: {num_rows} input rows, but {len(ids)} ids in units and rejects "
            f"({len(twice)} of them held twice)."
        )


def _held_ids(manifests: Sequence[Manifest]) -> Counter[str]:
    """Return how often each id is held by some units."""
    return Counter(i for manifest in manifests for i in (*manifest["sample_ids"], *manifest["rejected_ids"]))


def _add_causal(
    counts: RunCounts, run_dir: RunDirectory, manifests: Sequence[Manifest], measured: Sequence[Manifest]
) -> None:
    """Count causal units after checking that each id is measured and in one of them only."""
    known = {sample_id for manifest in measured for sample_id in manifest["sample_ids"]}
    wrong = [sample_id for sample_id, count in _held_ids(manifests).items() if count > 1 or sample_id not in known]
    if wrong:
        raise RunFailedError(
            f"{run_dir.root}: {len(wrong)} id(s) are in two causal units or were not measured, such as {wrong[0]!r}."
        )
    counts["causal_units"] = len(manifests)
    counts["causal_samples"] = sum(len(manifest["sample_ids"]) for manifest in manifests)
    counts["causal_rejects"] = sum(len(manifest["rejected_ids"]) for manifest in manifests)
