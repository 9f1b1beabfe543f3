"""Whether a measured run's shards are merged before it is published, and what is said of it."""

from __future__ import annotations

import shutil
import sys

from engine.config import Config
from engine.errors import printable, reason_of
from engine.machine.lease import RunLease
from engine.storage.merging import bytes_of, merge, merged_groups
from engine.storage.run_directory import RunDirectory

AUTO_ABOVE = 500
"""Shards above which ``cluster.compact: auto`` merges them."""


def compacts(config: Config, run_dir: RunDirectory) -> bool:
    """Whether the shards of a whole run are to be merged: ``auto`` leaves a run alone that is published already."""
    if config.cluster.compact is False:
        return False
    num_folders = len(run_dir.ledger.folder_names())
    if config.cluster.compact == "auto":
        return num_folders > AUTO_ABOVE and not run_dir.is_published()
    return num_folders > len(merged_groups(run_dir.ledger, run_dir.units()))


def compact(run_dir: RunDirectory, lease: RunLease) -> bool:
    """Merge the shards of a whole run that is not published; say so, or why it was left.

    Returns
    -------
    bool
        Whether they were merged. The run is whole either way.
    """
    ledger, before = run_dir.ledger, len(run_dir.ledger.folder_names())
    needed = sum(
        bytes_of(manifest) for manifest in {p.folder: p.manifest for p in ledger.committed().values()}.values()
    )
    free = shutil.disk_usage(run_dir.root).free
    reason = f"that needs {needed:,} bytes beside them, and {free:,} are free" if free < needed * 1.1 else ""
    if not reason:
        try:
            merge(ledger, run_dir.units(), lease.check)
        except OSError as error:
            reason = f"{error.filename or run_dir.root}: {reason_of(error)}"
    if reason:
        text = f"cluster.compact: the {before} shards were left as they are: {reason}. The run is whole."
        print(printable(text), file=sys.stderr)
        return False
    print(f"Merged {before} shards into {len(ledger.folder_names())} folders.", flush=True)
    return True
