"""The ledger: what is committed, derived from the manifests of committed units, so that nothing can disagree with it.

A unit is written under ``incoming/`` and becomes visible by one rename to ``shards/<unit>/``.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import RunFailedError, reason_of
from engine.machine.atomic_files import file_facts, replace_file, sha256, sync_folder, write_table
from engine.samples import Reject
from engine.schema import SCHEMA_VERSION, layout
from engine.schema.manifests import is_manifest, manifest_digest
from engine.storage.records import Manifest, PlannedUnit, UnitFacts
from engine.storage.rejects import write_rejects

VISIBLE_SECONDS = 90.0
"""How long another host's commit may take to be seen: NFS asks again after 60 s unless it is mounted otherwise."""
_LOOK_SECONDS = 0.2


class Ledger:
    """The committed units of one folder.

    Parameters
    ----------
    root
        The folder that ``shards/`` lies in.
    incoming
        Where units are written before they are committed; replicas never make it.
    """

    def __init__(self, root: Path, incoming: Path):
        self.root, self.incoming = root, incoming
        self.shards = root / layout.SHARDS
        self.quarantine = root / layout.QUARANTINE

    # ---------------------------------------------------------------- commit

    def commit(
        self,
        unit: str,
        sample_ids: Sequence[str],
        tables: Mapping[str, pa.Table],
        rejects: Sequence[Reject],
        facts: UnitFacts,
    ) -> Manifest:
        """Commit a unit: write, fsync, rename, fsync.

        Returns
        -------
        dict
            The manifest that counts: this attempt's, or that of another attempt which committed the unit first.

        Raises
        ------
        RunFailedError
            When the unit cannot be written, or the run directory is no longer this driver's.
        """
        folder = self.incoming / f"{unit}-{uuid.uuid4().hex}"
        try:
            folder.mkdir()
            for name, table in tables.items():
                write_table(folder / f"{name}.parquet", table)
            write_rejects(folder / layout.REJECTS, rejects)
            manifest: Manifest = {
                "unit": unit,
                "schema_version": SCHEMA_VERSION,
                "attempt": folder.name,
                "sample_ids": list(sample_ids),
                "rejected_ids": [reject.sample_id for reject in rejects],
                "files": {file.name: file_facts(file) for file in sorted(folder.glob("*.parquet"))},
                "facts": facts,
            }
            manifest["digest"] = manifest_digest(manifest)
            replace_file(folder / layout.MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
            sync_folder(folder)
            return self._make_visible(folder, manifest)
        except OSError as error:
            if not self.incoming.is_dir():
                raise self.lost() from None
            raise RunFailedError(
                f"{error.filename or folder}: unit {unit} could not be written: {reason_of(error)}. Nothing of it is "
                f"visible; free space or mend the folder and start the same command again."
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_visible(self, folder: Path, manifest: Manifest) -> Manifest:
        """Rename a written unit to its place; where another attempt was first, its manifest is the one that counts."""
        try:
            folder.rename(self.shards / manifest["unit"])
        except OSError as error:
            committed = self.manifest(manifest["unit"])
            if committed is not None and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return committed
            raise
        sync_folder(self.shards)
        return manifest

    def lost(self) -> RunFailedError:
        """Return the error of a driver or replica whose run directory is no longer its own."""
        return RunFailedError(
            f"{self.root}: was removed, set aside or taken over by another driver while this one worked in it; nothing "
            f"more was written. Start the same command again to go on with what is there."
        )

    # ---------------------------------------------------------------- what is committed

    def manifest(self, unit: str) -> Manifest | None:
        """Return a committed unit's manifest, or None when there is none or it is damaged."""
        try:
            content = json.loads((self.shards / unit / layout.MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
            return None
        return cast(Manifest, content) if is_manifest(content) else None

    def manifests(self, units: Iterable[PlannedUnit]) -> Iterator[Manifest]:
        """Yield the manifests of those of the units that are committed, in their order."""
        for unit in units:
            manifest = self.manifest(unit.name)
            if manifest is not None:
                yield manifest

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
            return f"{unit.name}: its {layout.MANIFEST} is missing or damaged"
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

    def await_visible(self, units: Iterable[PlannedUnit]) -> None:
        """Wait until this host sees units that replicas have committed, or long enough to say that it does not.

        Network file systems show late what another host made, most of all names that were asked for before.
        """
        deadline = time.monotonic() + VISIBLE_SECONDS
        for unit in units:
            manifest = self.shards / unit.name / layout.MANIFEST
            while not manifest.exists() and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
                self.unit_names()  # a folder that is read is asked for anew

    def has_commits(self) -> bool:
        """Whether any unit is committed."""
        return any(self.shards.glob(f"*/{layout.MANIFEST}"))

    def unit_names(self) -> list[str]:
        """Return the names of all folders among the committed units, planned or not."""
        return (
            sorted(folder.name for folder in self.shards.iterdir() if folder.is_dir()) if self.shards.is_dir() else []
        )

    def table_path(self, unit: str, table: str) -> Path:
        """Return where a table of a committed unit lies."""
        return self.shards / unit / f"{table}.parquet"

    def rejects(self, units: Iterable[PlannedUnit]) -> list[pa.Table]:
        """Return the rejects of committed units, in their order."""
        return [pq.read_table(self.shards / unit.name / layout.REJECTS) for unit in units]

    def first_reject(self) -> str:
        """Return the detail of the first sample that was rejected in a unit, for a message."""
        for file in sorted(self.shards.glob(f"*/{layout.REJECTS}")):
            for row in pq.read_table(file).to_pylist():
                return f"{row['sample_id']}: {row['reason']}: {row['detail']}"
        return "(no reject was recorded)"
