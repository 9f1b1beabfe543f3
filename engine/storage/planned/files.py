"""The files of a plan: what was planned, which units there are, and which samples each of them holds."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from engine.errors import RunFailedError
from engine.machine.atomic_files import sha256, write_table
from engine.samples import Reject
from engine.schema import layout
from engine.schema.manifests import manifest_digest
from engine.storage.json_files import damaged, read_json, write_json
from engine.storage.planned.plan import Plan
from engine.storage.planned.units import CausalPlan, PlannedUnit
from engine.storage.rejects import write_rejects

_OTHER_SHAPE = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a record raises where valid JSON has another shape than the record's."""


class PlanFiles:
    """The plan of one ledger.

    Parameters
    ----------
    root
        The folder that ``plan.json`` and ``plan/`` lie in.
    """

    def __init__(self, root: Path):
        self.root = root
        self.encoded = root / layout.ENCODED

    # ---------------------------------------------------------------- planning

    @contextlib.contextmanager
    def folder_beside(self) -> Iterator[Path]:
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

    def adopt(self, folder: Path, units: Sequence[PlannedUnit], rejects: Sequence[Reject], plan: Plan) -> None:
        """Make a folder of encoded units the plan of a run that holds no committed unit; ``plan.json`` comes last."""
        (self.root / layout.PLAN).unlink(missing_ok=True)
        (self.root / layout.CAUSAL_PLAN).unlink(missing_ok=True)
        shutil.rmtree(self.encoded, ignore_errors=True)
        self.encoded.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(self.encoded)
        write_rejects(self.root / layout.PLAN_REJECTS, rejects)
        self.write_units([replace(unit, sha256=sha256(self.encoded_path(unit.name))) for unit in units])
        checksums = {name: sha256(self.root / name) for name in (layout.PLANNED_UNITS, layout.PLAN_REJECTS)}
        content = json.loads(json.dumps(replace(plan, checksums=checksums).to_json()))
        write_json(self.root / layout.PLAN, content | {"digest": manifest_digest(content)})

    def write_units(self, units: Sequence[PlannedUnit]) -> None:
        """Write which units there are."""
        write_json(self.root / layout.PLANNED_UNITS, [unit.to_json() for unit in units])

    # ---------------------------------------------------------------- what was planned

    def read(self) -> Plan | None:
        """Return the plan, or None when nothing was planned to the end.

        Raises
        ------
        RunFailedError
            When it is damaged.
        """
        path = self.root / layout.PLAN
        content = read_json(path)
        if content is None:
            return None
        try:
            # Plans of earlier versions have no checksum of themselves.
            if "digest" in content and content["digest"] != manifest_digest(content):
                raise ValueError("its checksum of itself differs")
            return Plan.from_json(content)
        except _OTHER_SHAPE as error:
            raise damaged(path, error) from None

    def damage(self) -> list[str]:
        """Return what is wrong with the files that say what must be in the run."""
        plan = self.read()
        checksums = {} if plan is None else plan.checksums
        return [
            f"{name}: is missing or damaged (its checksum differs)"
            for name, digest in checksums.items()
            if not (self.root / name).is_file() or sha256(self.root / name) != digest
        ]

    def units(self) -> list[PlannedUnit]:
        """Return the planned units in order, or none when nothing was planned.

        Raises
        ------
        RunFailedError
            When the file is damaged.
        """
        path = self.root / layout.PLANNED_UNITS
        entries = read_json(path)
        try:
            return [PlannedUnit.from_json(entry) for entry in ([] if entries is None else entries)]
        except _OTHER_SHAPE as error:
            raise damaged(path, error) from None

    def encoded_path(self, unit: str) -> Path:
        """Return where a unit's encoded samples lie."""
        return self.encoded / f"{unit}.parquet"

    def check_encoded(self, unit: str) -> Path:
        """Return where a unit's encoded samples lie, after comparing them with the plan.

        Raises
        ------
        RunFailedError
            When they are not what was planned: measuring them would invent rows.
        """
        path = self.encoded_path(unit)
        planned = {entry.name: entry.sha256 for entry in self.units()}
        if not path.is_file() or planned.get(unit, "") not in ("", sha256(path)):
            raise RunFailedError(
                f"{path}: is missing or damaged (its checksum differs from the plan's). Committed units are kept; "
                f"start anew with --fresh, which sets this run directory aside and deletes nothing."
            )
        return path

    # ---------------------------------------------------------------- what causal units share

    def write_causal(self, plan: CausalPlan) -> None:
        """Write the causal plan."""
        write_json(self.root / layout.CAUSAL_PLAN, plan.to_json())

    def read_causal(self) -> CausalPlan | None:
        """Return the causal plan, or None when there is none yet.

        Raises
        ------
        RunFailedError
            When it is damaged.
        """
        path = self.root / layout.CAUSAL_PLAN
        content = read_json(path)
        try:
            return None if content is None else CausalPlan.from_json(content)
        except _OTHER_SHAPE as error:
            raise damaged(path, error) from None

    def causal_units(self) -> list[PlannedUnit]:
        """Return the causal units in order, or none when they are not planned."""
        plan = self.read_causal()
        return [] if plan is None else plan.units

    def table_path(self, name: str) -> Path:
        """Return where a table of the plan lies."""
        return self.root / layout.PLAN_FOLDER / f"{name}.parquet"

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table of the plan atomically."""
        write_table(self.table_path(name), table)

    def table_digest(self, name: str) -> str:
        """Return the checksum of a table of the plan, empty when it is not there."""
        path = self.table_path(name)
        return sha256(path) if path.is_file() else ""
