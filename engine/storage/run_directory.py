"""The run directory: its folders and files, its plan and its ledger, publication, and the sign to stop."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from engine.machine.atomic_files import replace_file, replacing, write_table
from engine.samples import Reject
from engine.schema import REJECTS_SCHEMA, layout
from engine.storage.json_files import damaged, read_json, write_json
from engine.storage.ledger import Ledger
from engine.storage.planned.files import PlanFiles
from engine.storage.planned.plan import Plan
from engine.storage.planned.units import PlannedUnit
from engine.storage.records import RunCounts, RunRecord

_RUN_YAML_KEYS = ("config", "version", "versions", "schema_version", "fingerprints", "timings")
_SECTIONS = ("run", "predictions", "model", "prompt", "decision", "statistics", "causal", "cluster")
_STOP = ".stop"


class RunDirectory:
    """One run directory.

    Parameters
    ----------
    root
        ``<output>/<name>``; made when something is first written.
    incoming
        Where units are written before they are committed; ``<root>/incoming`` unless given. A driver gives its
        replicas a folder of its own (see ``session``).

    Attributes
    ----------
    plan
        What was planned.
    ledger
        What is committed.
    """

    def __init__(self, root: str | Path, incoming: str | Path | None = None):
        self.root = Path(root).absolute()
        self.incoming = Path(incoming).absolute() if incoming else self.root / layout.INCOMING
        self.plan = PlanFiles(self.root)
        self.ledger = Ledger(self.root, self.incoming)

    @property
    def generation(self) -> RunDirectory:
        """The plan and ledger of generated answers, inside this run directory."""
        return RunDirectory(self.root / layout.GENERATION)

    @property
    def preparation(self) -> RunDirectory:
        """The plan and ledger of what causal units need of all samples, inside this run directory."""
        return RunDirectory(self.root / layout.PREPARATION, self.incoming)

    @property
    def journals(self) -> Path:
        """Where replicas note what they are at work on, for the one who comes after a sudden death."""
        return self.root / layout.ATTEMPTS

    def missing_units(self, planned: Sequence[PlannedUnit], ledger: Ledger | None = None) -> list[PlannedUnit]:
        """Return the planned units that this ledger, or one inside this run directory, has not committed.

        A driver that was killed between a commit and the end of its note left the note, which nobody would read again.
        """
        missing = (ledger or self.ledger).missing_units(planned)
        for name in {unit.name for unit in planned} - {unit.name for unit in missing}:
            (self.journals / f"{name}.jsonl").unlink(missing_ok=True)
        return missing

    # ---------------------------------------------------------------- folders

    def start(self) -> None:
        """Make the run directory's folders."""
        for folder in (self.ledger.shards, self.incoming, self.plan.encoded):
            folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def session(self) -> Iterator[RunDirectory]:
        """Give this run directory with a folder of its own for units that are being written.

        What other drivers left in ``incoming/`` is removed first. Replicas never make the folder that they write
        under, so those of a driver that was killed, or whose run directory was set aside or taken over, can commit
        nothing any more. The caller holds the run's lease.
        """
        base = self.root / layout.INCOMING
        shutil.rmtree(base, ignore_errors=True)
        folder = base / uuid.uuid4().hex
        folder.mkdir(parents=True)
        self.ledger.shards.mkdir(exist_ok=True)
        try:
            yield RunDirectory(self.root, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt_plan(self, folder: Path, units: Sequence[PlannedUnit], rejects: Sequence[Reject], plan: Plan) -> None:
        """Make a folder of encoded units the plan of this run, which holds no committed unit."""
        shutil.rmtree(self.preparation.root, ignore_errors=True)
        (self.root / layout.START_CHECK).unlink(missing_ok=True)
        self.start()
        self.plan.adopt(folder, units, rejects, plan)

    def set_aside(self) -> Path:
        """Rename the whole run directory out of the way and return its new place; nothing is deleted."""
        number = 1
        while (target := self.root.with_name(f"{self.root.name}.previous-{number}")).exists():
            number += 1
        self.root.rename(target)
        return target

    # ---------------------------------------------------------------- files

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file of the run directory atomically."""
        write_json(self.root / name, content)

    def read_json(self, name: str) -> object:
        """Return a JSON file of the run directory, or None when it is not there."""
        return read_json(self.root / name)

    def write_lines(self, name: str, lines: Iterable[str]) -> None:
        """Write a text file of the run directory line by line, atomically."""
        with replacing(self.root / name) as stream:
            stream.writelines(f"{line}\n".encode("utf-8", "backslashreplace") for line in lines)

    def write_text(self, name: str, content: str) -> None:
        """Write a text file of the run directory atomically."""
        replace_file(self.root / name, content.encode())

    def write_run_yaml(self, content: RunRecord) -> None:
        """Write ``run.yaml`` atomically."""
        text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
        replace_file(self.root / layout.RUN_YAML, text.encode())

    def read_run_yaml(self) -> RunRecord | None:
        """Return ``run.yaml``, or None when it is not there.

        Raises
        ------
        RunFailedError
            When it is damaged.
        """
        path = self.root / layout.RUN_YAML
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise damaged(path, error) from None
        if not isinstance(content, dict) or not set(_RUN_YAML_KEYS) <= set(content):
            raise damaged(path, ValueError(f"it must hold {', '.join(_RUN_YAML_KEYS)}"))
        mappings = {name: content[name] for name in _RUN_YAML_KEYS if not name.endswith("version")}
        config = mappings["config"] if isinstance(mappings["config"], dict) else {}
        mappings |= {name: config[name] for name in _SECTIONS if config.get(name) is not None}
        if wrong := [name for name, value in mappings.items() if not isinstance(value, dict)]:
            raise damaged(path, ValueError(f"{', '.join(wrong)} must hold settings by their names"))
        return cast(RunRecord, content)

    # ---------------------------------------------------------------- publication

    def units(self) -> list[PlannedUnit]:
        """Return all units of the run, those to be measured first, then those to be explained."""
        return [*self.plan.units(), *self.plan.causal_units()]

    def merged_rejects(self) -> pa.Table:
        """Return the rejects of the plan and of all units, in plan order."""
        early = pq.read_table(self.root / layout.PLAN_REJECTS)
        return pa.concat_tables([early, *self.ledger.rejects(self.units())]).cast(REJECTS_SCHEMA)

    def publish(self, counts: RunCounts) -> None:
        """Merge the rejects and write ``_SUCCESS``, after verification only."""
        write_table(self.root / layout.REJECTS, self.merged_rejects())
        replace_file(self.root / layout.SUCCESS, (json.dumps(counts) + "\n").encode())

    def is_published(self) -> bool:
        """Whether ``_SUCCESS`` is there."""
        return (self.root / layout.SUCCESS).exists()

    def withdraw(self) -> None:
        """Take ``_SUCCESS`` away, before something that it vouches for is done again."""
        (self.root / layout.SUCCESS).unlink(missing_ok=True)

    # ---------------------------------------------------------------- the sign to stop

    def request_stop(self) -> None:
        """Ask every replica of this session to stop before its next unit."""
        with contextlib.suppress(FileNotFoundError):  # the session is over
            (self.incoming / _STOP).touch()

    def is_stop_requested(self) -> bool:
        """Whether replicas should stop before their next unit."""
        return (self.incoming / _STOP).exists()
