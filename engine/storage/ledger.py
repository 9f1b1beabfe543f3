"""The ledger: what is committed, derived from the manifests of committed units, so that nothing can disagree with it.

A unit is written under ``incoming/`` and becomes visible by one rename to ``shards/<unit>/``. Where there are many,
``engine.storage.merging`` puts consecutive ones into one folder, whose manifest holds theirs.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import RunFailedError, reason_of
from engine.machine.atomic_files import file_facts, replace_file, sha256, sync_folder, write_table
from engine.samples import Reject
from engine.schema import SCHEMA_VERSION, layout
from engine.schema.manifests import is_manifest, is_merged_name, manifest_digest, units_of
from engine.storage.file_digests import Stamp
from engine.storage.planned.units import PlannedUnit
from engine.storage.records import Manifest, UnitFacts
from engine.storage.rejects import write_rejects

VISIBLE_SECONDS = 90.0
"""How long another host's commit may take to be seen: NFS asks again after 60 s unless it is mounted otherwise."""
_LOOK_SECONDS = 0.2


class Committed(NamedTuple):
    """Where a committed unit lies: its folder, the folder's manifest, and the unit's own, which may be a part of it."""

    folder: Path
    manifest: Manifest
    own: Manifest


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
        self._digests: dict[Path, tuple[Stamp, str]] = {}
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
            # The last of its files: with it, all entries of the folder are brought to disk.
            replace_file(folder / layout.MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
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

    def committed(self) -> dict[str, Committed]:
        """Return what is committed, by the name of each unit, from one pass over the manifests.

        A manifest that is damaged commits nothing. Where a unit lies in a folder of its own and in a merged one too,
        the merged one counts.
        """
        found: dict[str, Committed] = {}
        for folder in sorted(self._folders(), key=lambda folder: is_merged_name(folder.name)):
            content = _read_manifest(folder)
            if content is not None and content["unit"] == folder.name:
                for unit in units_of(content):
                    found[unit["unit"]] = Committed(folder, content, cast(Manifest, unit))
        return found

    def manifest(self, unit: str) -> Manifest | None:
        """Return a committed unit's manifest, or None when there is none or it is damaged."""
        own = _read_manifest(self.shards / unit)
        if own is not None or (self.shards / unit).exists():
            return own
        place = self.committed().get(unit) if any(map(is_merged_name, self.folder_names())) else None
        return None if place is None else place.own

    def manifests(self, units: Iterable[PlannedUnit]) -> Iterator[Manifest]:
        """Yield the manifests of those of the units that are committed, in their order."""
        committed = self.committed()
        for unit in units:
            if unit.name in committed:
                yield committed[unit.name].own

    def missing_units(self, planned: Sequence[PlannedUnit]) -> list[PlannedUnit]:
        """Return the planned units that are not committed; damaged ones are moved to quarantine first."""
        committed = self.committed()
        damages = self.damages(planned, committed)
        damaged = {committed[name].folder for name in damages if name in committed}
        damaged |= {self.shards / name for name in damages if (self.shards / name).exists()}
        damaged |= {
            folder for folder in self._folders() if is_merged_name(folder.name) and _read_manifest(folder) is None
        }
        for folder in sorted(damaged):
            self.quarantine.mkdir(exist_ok=True)
            folder.rename(self.quarantine / f"{folder.name}-{uuid.uuid4().hex}")
        return [unit for unit in planned if unit.name not in committed or committed[unit.name].folder in damaged]

    def damages(self, units: Iterable[PlannedUnit], committed: Mapping[str, Committed] | None = None) -> dict[str, str]:
        """Return what is wrong with committed units, by name; units that are not committed have no damage.

        Parameters
        ----------
        units
            The units.
        committed
            What is committed, where the caller has it at hand.
        """
        committed = self.committed() if committed is None else committed
        of_folder: dict[Path, str] = {}
        damages: dict[str, str] = {}
        for unit in units:
            place = committed.get(unit.name)
            if place is None:
                if (self.shards / unit.name).exists():
                    damages[unit.name] = f"{unit.name}: its {layout.MANIFEST} is missing or damaged"
                continue
            if Counter([*place.own["sample_ids"], *place.own["rejected_ids"]]) != Counter(unit.sample_ids):
                damages[unit.name] = f"{unit.name}: does not hold the planned sample ids"
                continue
            if place.folder not in of_folder:
                of_folder[place.folder] = self._damage_of_files(place)
            if problem := of_folder[place.folder]:
                damages[unit.name] = problem
        return damages

    def _damage_of_files(self, place: Committed) -> str:
        """Return what is wrong with the files of a folder, or the empty string."""
        files = [(place.folder / name, facts) for name, facts in place.manifest["files"].items()]
        for file, facts in files:
            if not file.is_file():
                return f"{place.folder.name}: {file.name} is missing"
            if self._digest(file, facts["bytes"]) != facts["sha256"]:
                return f"{place.folder.name}: {file.name} is damaged (its checksum differs)"
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
                self._folders()  # a folder that is read is asked for anew

    def _digest(self, file: Path, size: int) -> str:
        """Return a file's checksum, empty where its size is another; computed once for as long as the file stays."""
        stamp = Stamp.of(file)
        if stamp.size != size:
            return ""
        known = self._digests.get(file)
        if known is None or known[0] != stamp:
            known = self._digests[file] = (stamp, sha256(file))
        return known[1]

    def has_commits(self) -> bool:
        """Whether any unit is committed."""
        return any(any(folder.glob(f"*/{layout.MANIFEST}")) for folder in (self.shards, self.root / layout.UNMERGED))

    def folder_names(self) -> list[str]:
        """Return the names of all folders among the committed units, planned or not."""
        return [folder.name for folder in self._folders()]

    def _folders(self) -> list[Path]:
        if not self.shards.is_dir():
            return []
        return sorted(Path(entry.path) for entry in os.scandir(self.shards) if entry.is_dir())

    def table_path(self, unit: str, table: str) -> Path:
        """Return where a table of a committed unit lies, of a ledger whose units are never merged."""
        return self.shards / unit / f"{table}.parquet"

    def rejects(self, units: Iterable[PlannedUnit]) -> list[pa.Table]:
        """Return the rejects of committed units, in their order; folders without any are not opened."""
        committed = self.committed()
        folders = {committed[unit.name].folder: committed[unit.name].manifest for unit in units}
        return [
            pq.read_table(folder / layout.REJECTS)
            for folder, manifest in folders.items()
            if manifest["rejected_ids"] or manifest["files"][layout.REJECTS]["rows"]
        ]

    def first_reject(self) -> str:
        """Return the detail of the first sample that was rejected in a unit, for a message."""
        for file in sorted(self.shards.glob(f"*/{layout.REJECTS}")):
            for row in pq.read_table(file).to_pylist():
                return f"{row['sample_id']}: {row['reason']}: {row['detail']}"
        return "(no reject was recorded)"


def _read_manifest(folder: Path) -> Manifest | None:
    """Return a folder's manifest; None where there is none or it is damaged."""
    try:
        content = json.loads((folder / layout.MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return cast(Manifest, content) if is_manifest(content) else None
