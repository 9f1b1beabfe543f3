"""Units measured in this very process: for small runs, debuggers and machines without Ray.

Those at which this process died again and again are done in one of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.config import Config
from engine.executors.job import Job
from engine.executors.processes.apart import done_apart, needs_witness
from engine.machine.nodes import Node, this_machine
from engine.model.lent import lent_model
from engine.storage.records import LedgerRow
from engine.workers.worker import UnitWorker


class InlineExecutor:
    """Measures units in this very process, one after the other."""

    is_local = True
    place = "this machine"
    caveat = ""

    def __init__(self, _config: Config):
        pass

    def nodes(self) -> Sequence[Node]:
        """Return what this machine has."""
        return [this_machine()]

    def run(self, job: Job) -> Iterator[LedgerRow]:
        """Yield one ledger row per unit."""
        # First, while this process holds no model. One that is lent cannot be given to another process.
        apart = [unit for unit in job.units if lent_model() is None and needs_witness(job, unit)]
        for unit in apart:
            yield done_apart(job, unit)
        rest = [unit for unit in job.units if unit not in set(apart)]
        if rest:
            worker = UnitWorker(job.config, job.run_dir.root, job.key_groups, job.run_dir.incoming)
            for unit in rest:
                yield worker.run(unit)
