"""Faults put in by hand, one per promise: each would cost data or truth, and each must be noticed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

from tests.mutation.mutants import Mutant


class Slip(NamedTuple):
    """One piece of code and what takes its place; as many lines, so that all others stay where they are."""

    path: str
    before: str
    after: str


LEDGER, VERIFICATION = "engine/storage/ledger.py", "engine/storage/verification.py"
FILES, LEASE = "engine/machine/atomic_files.py", "engine/machine/lease.py"
BLOCKED, BLOCK = "engine/attention/backends/blocked.py", "engine/attention/backends/block.py"
MASKING = "engine/attention/masking.py"
ERRORS, MULTIPLE = "analyses/inference/adjusted/cluster_errors.py", "analyses/inference/multiplicity.py"

SLIPS: dict[str, tuple[Slip, ...]] = {
    "storage": (
        Slip(LEDGER, "        sync_folder(self.shards)\n", "        pass\n"),
        Slip(LEDGER, 'if self._digest(file, facts["bytes"]) != facts["sha256"]:', "if False:"),
        Slip("engine/schema/manifests.py", ' or content.get("digest") != manifest_digest(content)', ""),
        Slip(VERIFICATION, "(problem := _damage_of_schemas(place, schemas))", "(problem := '')"),
        Slip(VERIFICATION, "if twice or len(ids) != num_rows:", "if len(ids) != num_rows:"),
        Slip("engine/storage/merging.py", "folder.rename(ledger.shards / folder.name)", "pass"),
        Slip("engine/storage/run_directory.py", "folder = base / uuid.uuid4().hex", "folder = base"),
    ),
    "machine": (
        Slip(FILES, "            sync_file(temporary)\n", "            pass\n"),
        Slip(FILES, "os.fsync(stream.fileno())\n            temporary", "pass\n            temporary"),
        Slip(LEASE, 'if _parsed(taken.read_text(encoding="utf-8")).get("token") != holder.get("token"):', "if False:"),
        Slip(LEASE, "if not _has_died(holder) and silence <= STALE_SECONDS:", "if silence <= STALE_SECONDS:"),
    ),
    "reporting": (
        Slip("analyses/reporting/write.py", "        target.rename(earlier)\n", "        shutil.rmtree(target)\n"),
    ),
    "labels": (
        Slip("engine/inputs/answers/stated.py", " if not mention.is_denied]", "]"),
        Slip("engine/inputs/answers/decided.py", "        return words[-1]\n", "        return words[0]\n"),
    ),
    "masking": (
        Slip(BLOCK, ".triu(1)", ".triu(2)"),
        Slip(MASKING, "    return max(0, row - window + 1)\n", "    return max(0, row - window)\n"),
        Slip(BLOCKED, "carried.detach()[..., value.shape[-1] + 1 :]", "carried.detach()[..., value.shape[-1] :]"),
    ),
    "inference": (
        Slip(ERRORS, "1 / np.sqrt(np.where(is_exact, 1.0, remaining))", "np.ones_like(remaining)"),
        Slip(MULTIPLE, "np.maximum.accumulate((len(pvalues)", "np.asarray((len(pvalues)"),
        Slip(
            "analyses/inference/adjusted/max_t.py", "(1 + exceeding) / (len(ordered) + 1)", "exceeding / len(ordered)"
        ),
    ),
    "causes": (
        Slip("engine/interventions/edits.py", "            return\n        values", "            pass\n        values"),
    ),
}
"""By the room whose tests must notice them."""


def by_hand(root: Path, room: str) -> list[Mutant]:
    """Return the faults of a room.

    Raises
    ------
    ValueError
        When the code that one replaces is not there exactly once: it must follow the code.
    """
    found: list[Mutant] = []
    for slip in SLIPS.get(room, ()):
        text = (root / slip.path).read_text(encoding="utf-8")
        if text.count(slip.before) != 1 or slip.before.count("\n") != slip.after.count("\n"):
            raise ValueError(f"{slip.path}: {slip.before!r} is there {text.count(slip.before)} times")
        changed = text.replace(slip.before, slip.after)
        first = text[: text.index(slip.before)].count("\n") + 1
        lines = first, first + slip.before.rstrip("\n").count("\n")
        trees = ast.parse(text), ast.parse(changed)
        found.append(
            Mutant(slip.path, first, lines, "by hand", slip.before.strip(), slip.after.strip(), changed, *trees)
        )
    return found
