"""The run directory: plan, atomic commits, ledger, verification, publication.

A unit is written under ``incoming/`` and becomes visible by one rename to ``shards/<unit>/``; the ledger is derived
from the manifests found there, so nothing can disagree with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from engine.atomic_files import file_facts, replace_file, replacing, sha256, sync_folder, write_table
from engine.errors import RunFailedError
from engine.samples import Reject
from engine.schema import REJECTS_SCHEMA, SCHEMA_VERSION

MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS"
CAUSAL_PLAN = "plan/causal.json"
_STOP = ".stop"


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit of the plan: its name and the ids that it must account for."""

    name: str
    sample_ids: list[str]


class RunStore:
    """One run directory.

    Parameters
    ----------
    root
        ``<output>/<name>``; made when something is first written.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root).absolute()
        self.shards = self.root / "shards"
        self.incoming = self.root / "incoming"
        self.quarantine = self.root / "quarantine"
        self.encoded = self.root / "plan" / "encoded"

    @property
    def generation(self) -> RunStore:
        """The ledger of generated answers, inside this run directory."""
        return RunStore(self.root / "generation")

    @property
    def preparation(self) -> RunStore:
        """The ledger of what causal units need of all samples, inside this run directory."""
        return RunStore(self.root / "causal")

    # ---------------------------------------------------------------- plan

    def start(self) -> None:
        """Make the run directory's folders."""
        for folder in (self.shards, self.incoming, self.encoded):
            folder.mkdir(parents=True, exist_ok=True)

    def encoded_path(self, unit: str) -> Path:
        """Return where a unit's encoded samples lie."""
        return self.encoded / f"{unit}.parquet"

    @contextlib.contextmanager
    def planning_folder(self) -> Iterator[Path]:
        """Give a folder beside the run directory for encoded units that are not part of the run yet.

        The caller holds the run's lease; what an earlier start left there is removed.
        """
        folder = self.root.with_name(f".{self.root.name}.planning")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt_plan(
        self, folder: Path, units: Sequence[dict[str, Any]], rejects: Sequence[Reject], summary: dict[str, Any]
    ) -> None:
        """Make a folder of encoded units the plan of a run that holds no committed unit; ``plan.json`` comes last."""
        (self.root / "plan.json").unlink(missing_ok=True)
        (self.root / CAUSAL_PLAN).unlink(missing_ok=True)
        shutil.rmtree(self.preparation.root, ignore_errors=True)
        shutil.rmtree(self.encoded, ignore_errors=True)
        self.start()
        self.encoded.rmdir()
        folder.rename(self.encoded)
        self.write_rejects(self.root / "plan" / "rejects.parquet", rejects)
        self.write_json("plan/units.json", list(units))
        self.write_json("plan.json", summary)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the run directory atomically."""
        replace_file(self.root / name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Return a JSON file of the run directory, or None when it is not there."""
        try:
            return json.loads((self.root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write_lines(self, name: str, lines: Iterable[str]) -> None:
        """Write a text file of the run directory line by line, atomically."""
        path = self.root / name
        with replacing(path) as stream:
            stream.writelines(f"{line}\n".encode("utf-8", "backslashreplace") for line in lines)

    def write_text(self, name: str, content: str) -> None:
        """Write a text file of the run directory atomically."""
        replace_file(self.root / name, content.encode())

    def write_run_yaml(self, content: dict[str, Any]) -> None:
        """Write ``run.yaml`` atomically."""
        replace_file(self.root / "run.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())

    def read_run_yaml(self) -> dict[str, Any] | None:
        """Return ``run.yaml``, or None when it is not there."""
        try:
            return yaml.safe_load((self.root / "run.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def planned_units(self) -> list[PlannedUnit]:
        """Return the planned units in order, or none when nothing was planned."""
        plan = self.read_json("plan/units.json") or []
        return [PlannedUnit(unit["name"], unit["sample_ids"]) for unit in plan]

    def causal_units(self) -> list[PlannedUnit]:
        """Return the causal units in order, or none when they are not planned."""
        plan = self.read_json(CAUSAL_PLAN) or {"units": []}
        return [PlannedUnit(unit["name"], unit["sample_ids"]) for unit in plan["units"]]

    def plan_table_path(self, name: str) -> Path:
        """Return where a table of the plan lies."""
        return self.root / "plan" / f"{name}.parquet"

    def write_plan_table(self, name: str, table: pa.Table) -> None:
        """Write a table of the plan atomically."""
        write_table(self.plan_table_path(name), table)

    def plan_table_digest(self, name: str) -> str:
        """Return the checksum of a table of the plan, empty when it is not there."""
        path = self.plan_table_path(name)
        return sha256(path) if path.is_file() else ""

    def write_rejects(self, path: Path, rejects: Iterable[Reject]) -> None:
        """Write a ``rejects`` table."""
        table = pa.Table.from_pylist([reject.as_row() for reject in rejects], schema=REJECTS_SCHEMA)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table)

    # ---------------------------------------------------------------- commit

    def commit(
        self,
        unit: str,
        sample_ids: Sequence[str],
        tables: dict[str, pa.Table],
        rejects: Sequence[Reject],
        facts: dict[str, Any],
    ) -> dict[str, Any]:
        """Commit a unit: write, fsync, rename, fsync.

        Returns
        -------
        dict
            The manifest that counts: this attempt's, or that of another attempt which committed the unit first.
        """
        folder = self.incoming / f"{unit}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            for name, table in tables.items():
                write_table(folder / f"{name}.parquet", table)
            self.write_rejects(folder / "rejects.parquet", rejects)
            manifest = {
                "unit": unit,
                "schema_version": SCHEMA_VERSION,
                "attempt": folder.name,
                "sample_ids": list(sample_ids),
                "rejected_ids": [reject.sample_id for reject in rejects],
                "files": {file.name: file_facts(file) for file in sorted(folder.glob("*.parquet"))},
                "facts": facts,
            }
            replace_file(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
            sync_folder(folder)
            target = self.shards / unit
            try:
                folder.rename(target)
            except OSError as error:
                committed = self.manifest(unit)
                if committed is not None and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return committed
                raise
            sync_folder(self.shards)
            return manifest
        except OSError as error:
            raise RunFailedError(
                f"{folder}: unit {unit} could not be written: {error.strerror or error}. Nothing of it is visible; "
                f"free space or mend the folder and start the same command again."
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def manifest(self, unit: str) -> dict[str, Any] | None:
        """Return a committed unit's manifest, or None."""
        try:
            return json.loads((self.shards / unit / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            return None

    def missing_units(self, planned: Sequence[PlannedUnit]) -> list[PlannedUnit]:
        """Return the planned units that are not committed; damaged ones are moved to quarantine first."""
        missing = []
        for unit in planned:
            folder = self.shards / unit.name
            if folder.exists() and self.damage(unit):
                self.quarantine.mkdir(exist_ok=True)
                folder.rename(self.quarantine / f"{unit.name}-{uuid.uuid4().hex}")
            if not folder.exists():
                missing.append(unit)
        return missing

    def damage(self, unit: PlannedUnit) -> str:
        """Return what is wrong with a committed unit, or the empty string."""
        manifest = self.manifest(unit.name)
        if manifest is None:
            return f"{unit.name}: has no readable {MANIFEST}"
        ids = Counter([*manifest["sample_ids"], *manifest["rejected_ids"]])
        if ids != Counter(unit.sample_ids):
            return f"{unit.name}: does not hold the planned sample ids"
        for name, facts in manifest["files"].items():
            file = self.shards / unit.name / name
            if not file.is_file():
                return f"{unit.name}: {name} is missing"
            if file.stat().st_size != facts["bytes"] or sha256(file) != facts["sha256"]:
                return f"{unit.name}: {name} is damaged (its checksum differs)"
        return ""

    # ---------------------------------------------------------------- verify and publish

    def verify(self) -> dict[str, int]:
        """Check that every input id is in exactly one committed unit of each kind or in the rejects.

        Returns
        -------
        dict
            Numbers of units, samples and rejects, and of causal units, samples and rejects where there are any.

        Raises
        ------
        RunFailedError
            Naming what is missing, damaged or held twice.
        """
        planned = self.planned_units()
        plan = self.read_json("plan.json")
        if not planned or plan is None:
            raise RunFailedError(
                f"{self.root}: holds no plan, so there is nothing to verify; run --stage collect first."
            )
        causal = self.causal_units()
        problems = [problem for unit in (*planned, *causal) if (problem := self.damage(unit))]
        problems += self._damage_of_causal_plan(plan)
        known = {unit.name for unit in (*planned, *causal)}
        problems += [
            f"{folder.name}: is not in the plan" for folder in self._shard_folders() if folder.name not in known
        ]
        if problems:
            raise RunFailedError(f"{self.root}: {len(problems)} unit(s) cannot be verified: {'; '.join(problems[:5])}.")
        manifests = [self.manifest(unit.name) or {} for unit in planned]
        early = pq.read_table(self.root / "plan" / "rejects.parquet")["sample_id"].to_pylist()
        ids = Counter(early)
        for manifest in manifests:
            ids.update([*manifest["sample_ids"], *manifest["rejected_ids"]])
        twice = [sample_id for sample_id, count in ids.items() if count > 1]
        if twice or len(ids) != plan["num_rows"]:
            raise RunFailedError(
                f"{self.root}: {plan['num_rows']} input rows, but {len(ids)} ids in units and rejects "
                f"({len(twice)} of them held twice)."
            )
        summary = {
            "units": len(planned),
            "samples": sum(len(manifest["sample_ids"]) for manifest in manifests),
            "rejects": len(early) + sum(len(manifest["rejected_ids"]) for manifest in manifests),
        }
        return summary | self._verified_causal(causal, manifests)

    def _damage_of_causal_plan(self, plan: dict[str, Any]) -> list[str]:
        """Return what is wrong with what causal units share."""
        found = self.read_json(CAUSAL_PLAN)
        if found is None:
            return [f"{CAUSAL_PLAN}: is missing"] if plan.get("is_causal") else []
        return [
            f"plan/{name}.parquet: is missing or damaged (its checksum differs)"
            for name, digest in found["fingerprints"].items()
            if self.plan_table_digest(name) != digest
        ]

    def _verified_causal(
        self, causal: Sequence[PlannedUnit], measured: Sequence[dict[str, Any]]
    ) -> dict[str, int]:  # fmt: skip
        """Return the numbers of causal units after checking that each id is measured and in one of them only."""
        if not causal:
            return {}
        manifests = [self.manifest(unit.name) or {} for unit in causal]
        ids = Counter(i for manifest in manifests for i in (*manifest["sample_ids"], *manifest["rejected_ids"]))
        known = {sample_id for manifest in measured for sample_id in manifest["sample_ids"]}
        wrong = [sample_id for sample_id, count in ids.items() if count > 1 or sample_id not in known]
        if wrong:
            raise RunFailedError(
                f"{self.root}: {len(wrong)} id(s) are in two causal units or were not measured, such as {wrong[0]!r}."
            )
        return {
            "causal_units": len(causal),
            "causal_samples": sum(len(manifest["sample_ids"]) for manifest in manifests),
            "causal_rejects": sum(len(manifest["rejected_ids"]) for manifest in manifests),
        }

    def _shard_folders(self) -> list[Path]:
        return sorted(folder for folder in self.shards.iterdir() if folder.is_dir()) if self.shards.is_dir() else []

    def publish(self, summary: dict[str, Any]) -> None:
        """Merge the rejects and write ``_SUCCESS``, after verification only."""
        paths = [self.root / "plan" / "rejects.parquet"]
        paths += [self.shards / unit.name / "rejects.parquet" for unit in (*self.planned_units(), *self.causal_units())]
        merged = pa.concat_tables([pq.read_table(path) for path in paths]).cast(REJECTS_SCHEMA)
        write_table(self.root / "rejects.parquet", merged)
        replace_file(self.root / SUCCESS, (json.dumps(summary) + "\n").encode())

    def first_reject(self) -> str:
        """Return the detail of the first sample that was rejected in a unit, for a message."""
        for file in sorted(self.shards.glob("*/rejects.parquet")):
            for row in pq.read_table(file).to_pylist():
                return f"{row['sample_id']}: {row['reason']}: {row['detail']}"
        return "(no reject was recorded)"

    def has_commits(self) -> bool:
        """Whether any unit is committed."""
        return any(self.shards.glob(f"*/{MANIFEST}"))

    def is_published(self) -> bool:
        """Whether ``_SUCCESS`` is there."""
        return (self.root / SUCCESS).exists()

    def withdraw(self) -> None:
        """Take ``_SUCCESS`` away, before something that it vouches for is done again."""
        (self.root / SUCCESS).unlink(missing_ok=True)

    def request_stop(self) -> None:
        """Ask every replica to stop before its next unit."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / _STOP).touch()

    def is_stop_requested(self) -> bool:
        """Whether replicas should stop before their next unit."""
        return (self.root / _STOP).exists()

    def clear_stop(self) -> None:
        """Forget an earlier request to stop."""
        (self.root / _STOP).unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Rename the whole run directory out of the way and return its new place; nothing is deleted."""
        number = 1
        while (target := self.root.with_name(f"{self.root.name}.previous-{number}")).exists():
            number += 1
        self.root.rename(target)
        return target
