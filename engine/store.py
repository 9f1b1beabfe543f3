"""The run directory: plan, atomic commits, ledger, verification, publication.

A unit is written under ``incoming/`` and becomes visible by one rename to ``shards/<unit>/``; the ledger is derived
from the manifests found there, so nothing can disagree with it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
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

from engine.atomic_files import file_facts, reason_of, replace_file, replacing, sha256, sync_folder, write_table
from engine.errors import RunFailedError
from engine.samples import Reject
from engine.schema import REJECTS_SCHEMA, SCHEMA_VERSION

MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS"
CAUSAL_PLAN = "plan/causal.json"
_PLAN_FILES = ("plan/units.json", "plan/rejects.parquet")
_RUN_YAML_KEYS = ("config", "version", "versions", "schema_version", "fingerprints", "timings")
_STOP = ".stop"


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit of the plan: its name and the ids that it must account for."""

    name: str
    sample_ids: list[str]


def manifest_digest(manifest: dict[str, Any]) -> str:
    """Return the checksum of all that a manifest says but the checksum itself."""
    content = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class RunStore:
    """One run directory.

    Parameters
    ----------
    root
        ``<output>/<name>``; made when something is first written.
    incoming
        Where units are written before they are committed; ``<root>/incoming`` unless given. A driver gives its
        replicas a folder of its own (see ``open_session``).
    """

    def __init__(self, root: str | Path, incoming: str | Path | None = None):
        self.root = Path(root).absolute()
        self.shards = self.root / "shards"
        self.incoming = Path(incoming).absolute() if incoming else self.root / "incoming"
        self.quarantine = self.root / "quarantine"
        self.encoded = self.root / "plan" / "encoded"

    @property
    def generation(self) -> RunStore:
        """The ledger of generated answers, inside this run directory."""
        return RunStore(self.root / "generation")

    @property
    def preparation(self) -> RunStore:
        """The ledger of what causal units need of all samples, inside this run directory."""
        return RunStore(self.root / "causal", self.incoming)

    # ---------------------------------------------------------------- plan

    def start(self) -> None:
        """Make the run directory's folders."""
        for folder in (self.shards, self.incoming, self.encoded):
            folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def session(self) -> Iterator[RunStore]:
        """Give this run directory with a folder of its own for units that are being written.

        What other drivers left in ``incoming/`` is removed first. Replicas never make the folder that they write
        under, so those of a driver that was killed, or whose run directory was set aside or taken over, can commit
        nothing any more. The caller holds the run's lease.
        """
        base = self.root / "incoming"
        shutil.rmtree(base, ignore_errors=True)
        folder = base / uuid.uuid4().hex
        folder.mkdir(parents=True)
        self.shards.mkdir(exist_ok=True)
        try:
            yield RunStore(self.root, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def journals(self) -> Path:
        """Where replicas note what they are at work on, for the one who comes after a sudden death."""
        return self.root / "attempts"

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
        entries = [{**unit, "sha256": sha256(self.encoded_path(unit["name"]))} for unit in units]
        self.write_json("plan/units.json", entries)
        kept = {name: sha256(self.root / name) for name in _PLAN_FILES}
        self.write_json("plan.json", {**summary, "checksums": kept})

    def damage_of_plan(self) -> list[str]:
        """Return what is wrong with the files that say what must be in the run."""
        plan = self.read_json("plan.json") or {}
        return [
            f"{name}: is missing or damaged (its checksum differs)"
            for name, digest in plan.get("checksums", {}).items()
            if not (self.root / name).is_file() or sha256(self.root / name) != digest
        ]

    def check_encoded(self, unit: str) -> Path:
        """Return where a unit's encoded samples lie, after comparing them with the plan.

        Raises
        ------
        RunFailedError
            When they are not what was planned: measuring them would invent rows.
        """
        path = self.encoded_path(unit)
        planned = {entry["name"]: entry.get("sha256") for entry in self.read_json("plan/units.json") or []}
        if not path.is_file() or planned.get(unit) not in (None, sha256(path)):
            raise RunFailedError(
                f"{path}: is missing or damaged (its checksum differs from the plan's). Committed units are kept; "
                f"start anew with --fresh, which sets this run directory aside and deletes nothing."
            )
        return path

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the run directory atomically."""
        replace_file(self.root / name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Return a JSON file of the run directory, or None when it is not there."""
        try:
            return json.loads((self.root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._unreadable(name, error) from None

    def _unreadable(self, name: str, error: Exception) -> RunFailedError:
        return RunFailedError(
            f"{self.root / name}: is damaged ({' '.join(str(error).split())[:100]}). Bring it back from a copy, or "
            f"start anew with --fresh, which sets this run directory aside and deletes nothing."
        )

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
            content = yaml.safe_load((self.root / "run.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, yaml.YAMLError) as error:
            raise self._unreadable("run.yaml", error) from None
        if not isinstance(content, dict) or not set(_RUN_YAML_KEYS) <= set(content):
            raise self._unreadable("run.yaml", ValueError(f"it must hold {', '.join(_RUN_YAML_KEYS)}"))
        return content

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
        try:
            folder.mkdir()
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
            manifest["digest"] = manifest_digest(manifest)
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
            if not self.incoming.is_dir():
                raise self.lost() from None
            raise RunFailedError(
                f"{error.filename or folder}: unit {unit} could not be written: {reason_of(error)}. Nothing of it is "
                f"visible; free space or mend the folder and start the same command again."
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def lost(self) -> RunFailedError:
        """Return the error of a driver or replica whose run directory is no longer its own."""
        return RunFailedError(
            f"{self.root}: was removed, set aside or taken over by another driver while this one worked in it; nothing "
            f"more was written. Start the same command again to go on with what is there."
        )

    def manifest(self, unit: str) -> dict[str, Any] | None:
        """Return a committed unit's manifest, or None when there is none or it is damaged."""
        try:
            found = json.loads((self.shards / unit / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        is_whole = isinstance(found, dict) and found.get("digest") == manifest_digest(found)
        return found if is_whole else None

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
            return f"{unit.name}: its {MANIFEST} is missing or damaged"
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

    # ---------------------------------------------------------------- publish and stop

    def publish(self, summary: dict[str, Any]) -> None:
        """Merge the rejects and write ``_SUCCESS``, after verification only."""
        write_table(self.root / "rejects.parquet", self.merged_rejects())
        replace_file(self.root / SUCCESS, (json.dumps(summary) + "\n").encode())

    def merged_rejects(self) -> pa.Table:
        """Return the rejects of the plan and of all units, in plan order."""
        paths = [self.root / "plan" / "rejects.parquet"]
        paths += [self.shards / unit.name / "rejects.parquet" for unit in (*self.planned_units(), *self.causal_units())]
        return pa.concat_tables([pq.read_table(path) for path in paths]).cast(REJECTS_SCHEMA)

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
        """Ask every replica of this session to stop before its next unit."""
        with contextlib.suppress(FileNotFoundError):  # the session is over
            (self.incoming / _STOP).touch()

    def is_stop_requested(self) -> bool:
        """Whether replicas should stop before their next unit."""
        return (self.incoming / _STOP).exists()

    def set_aside(self) -> Path:
        """Rename the whole run directory out of the way and return its new place; nothing is deleted."""
        number = 1
        while (target := self.root.with_name(f"{self.root.name}.previous-{number}")).exists():
            number += 1
        self.root.rename(target)
        return target
