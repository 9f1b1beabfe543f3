"""Many committed units merged into few folders: a thousand shards of nine files are hard on file systems and readers.

The merged folders are written beside ``shards/``, as a whole, and then take its place:

1. ``shards-merging/`` is filled and brought to disk; ``shards/`` stays as it is.
2. ``shards/`` is renamed to ``shards-unmerged/``, ``shards-merging/`` to ``shards/``.
3. ``shards-unmerged/`` is removed.

``_SUCCESS`` is not there meanwhile. Whoever dies at any point leaves at least one whole copy of every unit, and
``settle`` brings back what ``shards/`` lacks.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.machine.atomic_files import file_facts, naming, replace_file, sync_file, sync_folder
from engine.schema import SCHEMA_VERSION, layout
from engine.schema.manifests import manifest_digest
from engine.storage.ledger import Committed, Ledger
from engine.storage.planned.units import PlannedUnit
from engine.storage.records import Manifest

MERGED_BYTES = 512 * 2**20
"""Bytes of a merged folder at most, unless one unit has more."""
MERGED_UNITS = 128
_ROWS_AT_ONCE = 2**17
"""Rows of a row group at least, where there are as many: small ones make a file slow to open."""


def settle(ledger: Ledger) -> None:
    """Bring a merge that was interrupted to an end: nothing but whole units in ``shards/``, nothing beside it.

    The caller holds the run's lease.
    """
    merging, unmerged = ledger.root / layout.MERGING, ledger.root / layout.UNMERGED
    shutil.rmtree(merging, ignore_errors=True)
    if not unmerged.is_dir():
        return
    ledger.shards.mkdir(exist_ok=True)
    committed = ledger.committed()
    held = {place.folder.name for place in committed.values()}
    for folder in sorted(unmerged.iterdir()):
        is_there = folder.name in held or folder.name in committed
        if not is_there and (folder / layout.MANIFEST).exists() and not (ledger.shards / folder.name).exists():
            folder.rename(ledger.shards / folder.name)
    sync_folder(ledger.shards)
    shutil.rmtree(unmerged)


def merge(ledger: Ledger, units: Sequence[PlannedUnit], may_go_on: Callable[[], None]) -> None:
    """Merge consecutive units, all of which are committed and whole.

    Parameters
    ----------
    ledger
        The ledger.
    units
        Its units in plan order.
    may_go_on
        Called before anything that is committed moves; raises where the run is another driver's by now.

    Raises
    ------
    OSError
        When the merged units cannot be written; ``shards/`` is as it was.
    """
    merging, unmerged = ledger.root / layout.MERGING, ledger.root / layout.UNMERGED
    shutil.rmtree(merging, ignore_errors=True)
    try:
        merging.mkdir()
        for group in merged_groups(ledger, units):
            _write(merging, group)
        sync_folder(merging)
        may_go_on()
    except BaseException:
        shutil.rmtree(merging, ignore_errors=True)
        raise
    ledger.shards.rename(unmerged)
    try:
        merging.rename(ledger.shards)
    except OSError:
        unmerged.rename(ledger.shards)
        raise
    sync_folder(ledger.root)
    shutil.rmtree(unmerged, ignore_errors=True)


def merged_groups(ledger: Ledger, units: Sequence[PlannedUnit]) -> list[list[Committed]]:
    """Return which folders become one, in plan order: of one kind, not merged yet, and not too much at once."""
    committed = ledger.committed()
    groups: list[list[Committed]] = []
    kind, size = "", 0
    for place in {committed[unit.name].folder: committed[unit.name] for unit in units}.values():
        own_kind, own_size = place.own["unit"].partition("-")[0], bytes_of(place.manifest)
        if "replaces" in place.manifest:
            groups.append([place])
            kind = ""
            continue
        if own_kind != kind or size + own_size > MERGED_BYTES or len(groups[-1]) == MERGED_UNITS:
            groups.append([])
            kind, size = own_kind, 0
        groups[-1].append(place)
        size += own_size
    return groups


def bytes_of(manifest: Manifest) -> int:
    """Return the bytes of a folder's tables."""
    return sum(facts["bytes"] for facts in manifest["files"].values())


def _write(merging: Path, group: Sequence[Committed]) -> None:
    """Write a group's folder; one that stays as it is shares its files with ``shards/``."""
    if len(group) == 1:
        _share(group[0].folder, merging / group[0].folder.name)
        return
    own = [place.own for place in group]
    name = f"{own[0]['unit']}-{own[-1]['unit'].rpartition('-')[2]}"
    folder = merging / name
    folder.mkdir()
    for file in dict.fromkeys(file for manifest in own for file in manifest["files"]):
        _concatenate(folder / file, [place.folder / file for place in group if file in place.own["files"]])
    manifest: Manifest = {
        "unit": name,
        "schema_version": SCHEMA_VERSION,
        "attempt": f"{name}-{uuid.uuid4().hex}",
        "sample_ids": [sample_id for part in own for sample_id in part["sample_ids"]],
        "rejected_ids": [sample_id for part in own for sample_id in part["rejected_ids"]],
        "files": {file.name: file_facts(file) for file in sorted(folder.glob("*.parquet"))},
        "facts": {"num_tokens": sum(part["facts"]["num_tokens"] for part in own)},
        "replaces": own,
    }
    for file, facts in manifest["files"].items():
        expected = sum(part["files"][file]["rows"] for part in own if file in part["files"])
        assert facts["rows"] == expected, f"{folder / file}: {facts['rows']} rows of {expected}"
    manifest["digest"] = manifest_digest(manifest)
    replace_file(folder / layout.MANIFEST, json.dumps(manifest, ensure_ascii=False).encode())  # syncs the folder too


def _concatenate(target: Path, sources: Sequence[Path]) -> None:
    """Write the rows of some files as one, in their order and with the first one's schema."""
    with naming(target), pq.ParquetFile(sources[0]) as first:
        schema = first.schema_arrow
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for table in _larger(pq.ParquetFile(source) for source in sources):
                writer.write_table(table.cast(schema))
        sync_file(target)


def _larger(files: Iterator[pq.ParquetFile]) -> Iterator[pa.Table]:
    """Yield the rows of files, those of small ones together."""
    held: list[pa.Table] = []
    for file in files:
        with file:
            held.append(file.read())
        if sum(table.num_rows for table in held) >= _ROWS_AT_ONCE:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _share(folder: Path, target: Path) -> None:
    target.mkdir()
    for file in sorted(folder.iterdir()):
        try:
            os.link(file, target / file.name)
        except OSError:  # no hard links here
            with naming(target / file.name):
                shutil.copyfile(file, target / file.name)
                sync_file(target / file.name)
    sync_folder(target)
