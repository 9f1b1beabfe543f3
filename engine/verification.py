"""Verification: every input id in exactly one committed unit of each kind or in the rejects, every file whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import RunFailedError
from engine.schema import REJECTS_SCHEMA, table_schema
from engine.schema_causal import CAUSAL_TABLES, causal_schema
from engine.store import CAUSAL_PLAN, PlannedUnit, RunStore


def verify(store: RunStore) -> dict[str, int]:
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
    planned = store.planned_units()
    plan = store.read_json("plan.json")
    if not planned or plan is None:
        raise RunFailedError(f"{store.root}: holds no plan, so there is nothing to verify; run --stage collect first.")
    causal = store.causal_units()
    schemas = _expected_schemas(store, plan["key_groups"])
    problems = store.damage_of_plan()
    for unit in (*planned, *causal):
        found = store.damage(unit) or _damage_of_schemas(store, unit, schemas)
        problems += [found] if found else []
    problems += damage_of_causal_plan(store, plan)
    known = {unit.name for unit in (*planned, *causal)}
    problems += [f"{name}: is not in the plan" for name in _shard_names(store) if name not in known]
    if problems:
        raise RunFailedError(
            f"{store.root}: {len(problems)} part(s) cannot be verified: {'; '.join(problems[:5])}. Start the run's "
            f"command again: damaged units are set aside in {store.quarantine.name}/ and done again."
        )
    manifests = [store.manifest(unit.name) or {} for unit in planned]
    early = pq.read_table(store.root / "plan" / "rejects.parquet")["sample_id"].to_pylist()
    _check_ids(store, plan["num_rows"], early, manifests)
    summary = {
        "units": len(planned),
        "samples": sum(len(manifest["sample_ids"]) for manifest in manifests),
        "rejects": len(early) + sum(len(manifest["rejected_ids"]) for manifest in manifests),
    }
    summary |= _verified_causal(store, causal, manifests)
    if store.is_published() and (problem := damage_of_rejects(store)):
        raise RunFailedError(f"{store.root}: {problem}. Start the run's command again: it is made anew.")
    return summary


def damage_of_rejects(store: RunStore) -> str:
    """Return what is wrong with the merged rejects of a published run, or the empty string."""
    path = store.root / "rejects.parquet"
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return f"{path.name} is missing or damaged ({' '.join(str(error).split())[:100]})"
    same = found.schema.equals(REJECTS_SCHEMA) and found.equals(store.merged_rejects())
    return "" if same else f"{path.name} does not hold the rejects of the plan and of the units"


def damage_of_causal_plan(store: RunStore, plan: dict[str, Any]) -> list[str]:
    """Return what is wrong with what causal units share."""
    try:
        found = store.read_json(CAUSAL_PLAN)
    except RunFailedError:
        return [f"{CAUSAL_PLAN}: is damaged"]
    if found is None:
        return [f"{CAUSAL_PLAN}: is missing"] if plan.get("is_causal") else []
    return [
        f"plan/{name}.parquet: is missing or damaged (its checksum differs)"
        for name, digest in found["fingerprints"].items()
        if store.plan_table_digest(name) != digest
    ]


def _expected_schemas(store: RunStore, key_groups: Sequence[str]) -> Callable[[str], pa.Schema]:
    """Return what gives a table's schema by its name, for the run's config."""
    config = (store.read_run_yaml() or {}).get("config", {})
    is_norm_weighted = bool(config.get("statistics", {}).get("norm_weighted"))
    kept = config.get("predictions", {}).get("keep")
    has_gradients = (config.get("causal") or {}).get("attention_gradient") is not None

    def schema_of(name: str) -> pa.Schema:
        if name in CAUSAL_TABLES:
            return causal_schema(name, key_groups if has_gradients else ())
        return table_schema(name, key_groups, is_norm_weighted, kept)

    return schema_of


def _damage_of_schemas(store: RunStore, unit: PlannedUnit, schema_of: Callable[[str], pa.Schema]) -> str:
    for name in (store.manifest(unit.name) or {}).get("files", {}):
        path = store.shards / unit.name / name
        try:
            expected = schema_of(path.stem)
        except KeyError:
            return f"{unit.name}: {name} is no table of a run"
        if not pq.read_schema(path).equals(expected):
            return f"{unit.name}: {name} has another schema than this run's config gives"
    return ""


def _check_ids(store: RunStore, num_rows: int, early: Sequence[str], manifests: Sequence[dict[str, Any]]) -> None:
    ids = Counter(early)
    for manifest in manifests:
        ids.update([*manifest["sample_ids"], *manifest["rejected_ids"]])
    twice = [sample_id for sample_id, count in ids.items() if count > 1]
    if twice or len(ids) != num_rows:
        raise RunFailedError(
            f"{store.root}: {num_rows} input rows, but {len(ids)} ids in units and rejects "
            f"({len(twice)} of them held twice)."
        )


def _verified_causal(
    store: RunStore, causal: Sequence[PlannedUnit], measured: Sequence[dict[str, Any]]
) -> dict[str, int]:
    """Return the numbers of causal units after checking that each id is measured and in one of them only."""
    if not causal:
        return {}
    manifests = [store.manifest(unit.name) or {} for unit in causal]
    ids = Counter(i for manifest in manifests for i in (*manifest["sample_ids"], *manifest["rejected_ids"]))
    known = {sample_id for manifest in measured for sample_id in manifest["sample_ids"]}
    wrong = [sample_id for sample_id, count in ids.items() if count > 1 or sample_id not in known]
    if wrong:
        raise RunFailedError(
            f"{store.root}: {len(wrong)} id(s) are in two causal units or were not measured, such as {wrong[0]!r}."
        )
    return {
        "causal_units": len(causal),
        "causal_samples": sum(len(manifest["sample_ids"]) for manifest in manifests),
        "causal_rejects": sum(len(manifest["rejected_ids"]) for manifest in manifests),
    }


def _shard_names(store: RunStore) -> list[str]:
    return sorted(folder.name for folder in store.shards.iterdir() if folder.is_dir()) if store.shards.is_dir() else []
