"""A unit at which processes died again and again, done in a process of its own by one that lives on.

A driver that measures inline dies with its samples: nobody is left to tell a sample that kills its process from a batch
system that kills the run. A replica's driver lives on, but the replica has worked on other samples before, whose doing
a death may be. So after some deaths the driver, or the replica, starts a process for the unit and sees what that dies
of. It holds no model meanwhile, for which the device may have no room twice. Dies it too, nobody is blamed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from engine.config import Config
from engine.errors import DeviceLost, RunFailedError, UserError
from engine.executors.job import Job
from engine.executors.over_ray.ray_messages import JobMessage
from engine.machine.children import environment_of_child
from engine.machine.deaths import OF_MEMORY, num_killed_for_memory
from engine.storage.records import LedgerRow
from engine.workers.journal import UnitJournal, Witness

_DEVICE_LOST = 70
_GRACE_SECONDS = 1.0
"""Whoever kills all processes of a run is done by then: a driver that dies too blames nobody."""
_FROM_OUTSIDE = frozenset(
    (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
)
"""Signals that no fault of a process raises."""


def print_warning(text: str) -> None:
    """Say something to the person in front of this process."""
    print(f"Warning: {text}", file=sys.stderr, flush=True)


def needs_witness(job: Job, unit: str, witness: Witness = Witness.NOBODY) -> bool:
    """Whether processes with such a witness died so often at a unit that it should be done in one of its own."""
    return _journal(job, unit, witness).needs_witness()


def done_apart(job: Job, unit: str, warn: Callable[[str], None] = print_warning) -> LedgerRow:
    """Do a unit in a process of its own, started anew when it dies, and return its ledger row.

    Parameters
    ----------
    job, unit
        What is to be done.
    warn
        Told what a person should know.

    Raises
    ------
    RunFailedError
        When it is ended from outside, cannot begin, or dies again and again before it has begun.
    """
    journal = _journal(job, unit)
    warn(
        f"{unit}: {journal.num_attempts()} processes died at it and nobody saw of what: they were killed from outside, "
        f"the machine had no memory left, or a sample kills its process. It is done in a process of its own now; a "
        f"sample is rejected only if that process dies while the sample is alone in it, first of all."
    )
    num_loading = 0
    while True:
        num_killed, num_begun = num_killed_for_memory(), journal.num_attempts()
        code, said = _run_child(job, unit)
        if code == 0:
            return LedgerRow(**json.loads(said))
        if code == _DEVICE_LOST:  # noted by itself
            continue
        if code > 0:
            raise RunFailedError(f"{unit}: its process ended with exit code {code} and said nothing of the unit.")
        number = signal.Signals(-code)
        if number in _FROM_OUTSIDE:
            raise RunFailedError(
                f"{unit}: its process was ended by {number.name} from outside. No sample is blamed and committed units "
                f"are kept; start the same command again to go on."
            )
        time.sleep(_GRACE_SECONDS)
        is_memory = number == signal.SIGKILL and num_killed_for_memory() > num_killed
        cause = f"{number.name}, {OF_MEMORY}" if is_memory else number.name
        if journal.num_attempts() > num_begun:
            journal.note_death(cause)
        else:  # no attempt was begun: what is noted last is another process's
            num_loading += 1
            _check_loading(job, unit, num_loading, cause)
        warn(f"{unit}: its process died of {cause}; started anew.")


def _check_loading(job: Job, unit: str, num_deaths: int, cause: str) -> None:
    if num_deaths > job.config.cluster.max_retries:
        raise RunFailedError(
            f"model.path: the process for {unit} died {num_deaths} time(s) while it loaded the model ({cause}), most "
            f"often for want of memory (dmesg). No sample is blamed and committed units are kept; start the same "
            f"command again on a machine that holds the model."
        )


def _journal(job: Job, unit: str, witness: Witness = Witness.NOBODY) -> UnitJournal:
    return UnitJournal(job.run_dir.journals, unit, job.config.cluster.max_retries, witness)


def _run_child(job: Job, unit: str) -> tuple[int, str]:
    """Run one process for a unit to its end; return its exit code and what it said."""
    message: JobMessage = {
        "config": job.config.model_dump(mode="json"),
        "root": str(job.run_dir.root),
        "incoming": str(job.run_dir.incoming),
        "key_groups": list(job.key_groups),
        "units": [unit],
        "is_retry": False,
    }
    with subprocess.Popen(
        [sys.executable, "-c", "from engine.executors.processes.apart import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment_of_child(),
        text=True,
        start_new_session=True,  # Ctrl-C is for the driver, which lets the unit be finished
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(f"{json.dumps(message)}\n")
            child.stdin.flush()
            said = child.stdout.read()  # stdin stays open: its end tells the child that nobody listens any more
            return child.wait(), said
        except BrokenPipeError:
            return child.wait(), ""
        finally:
            child.kill()


def serve() -> None:
    """Do the unit of the job that stands on stdin, and print its ledger row as JSON."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not the answer
    job: JobMessage = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    (unit,) = job["units"]
    try:
        from engine.workers.worker import UnitWorker

        config = Config.model_validate(job["config"])
        worker = UnitWorker(config, Path(job["root"]), job["key_groups"], Path(job["incoming"]), Witness.PARENT)
        row = worker.run(unit)
    except DeviceLost as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(_DEVICE_LOST)
    except UserError as error:
        row = LedgerRow(unit, "failed", detail=str(error), exit_code=error.exit_code)
    except Exception as error:
        detail = "".join(traceback.format_exception(error))
        row = LedgerRow(unit, "failed", detail=detail, exit_code=RunFailedError.exit_code)
    answer.write(json.dumps(row.to_json()))
    answer.flush()
    os._exit(0)  # nothing is left to be done, and no library may make a death of its end


def _end_with_stdin() -> None:
    # By the descriptor: a thread that waits in sys.stdin would hold its lock when the interpreter ends.
    while os.read(0, 4096):
        pass
    os._exit(1)
