import os
import shutil
import signal
import uuid
from pathlib import Path

import pytest

from tests.slurm import lab


@pytest.fixture(scope="session")
def slurm():
    """Start the laboratory, unless it runs already, and stop it afterwards if it was started here."""
    if reason := lab.missing():
        pytest.skip(reason)
    was_running = lab.STATE.is_dir()
    lab.PLACE.mkdir(exist_ok=True)
    done = lab.start()
    if not done.returncode and not lab.is_visible(lab.ROOT):  # it was started for another checkout
        lab.stop()
        done = lab.start()
    if done.returncode:
        pytest.skip(f"the SLURM laboratory does not start here: {done.stdout[-300:]} {done.stderr[-300:]}")
    yield
    if not was_running:
        lab.stop()


@pytest.fixture(scope="session")
def new_folder(slurm):
    """Return a maker of checkouts on the folder that the nodes share; in the end nothing of them is left."""
    made = []

    def make(name: str) -> Path:
        made.append(lab.PLACE / f"{name[:40]}-{uuid.uuid4().hex[:6]}")
        return lab.checkout(made[-1])

    yield make
    for folder in made:
        lab.cancel_jobs(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(new_folder, request):
    """A checkout of a test's own; jobs that a failed test left there are cancelled."""
    place = new_folder(request.node.name)
    yield place
    lab.cancel_jobs(place)


@pytest.fixture(scope="session")
def interrupted(new_folder):
    """Two jobs cut off in the middle: at the time limit, and by a node's power cut; each with what it had committed.

    SLURM starts a job that it put back two minutes later, so that other tests run meanwhile.
    """
    found = {}
    job = lab.submit(new_folder("time-limit"), *lab.LONG)
    before = lab.some_commits(job)
    # What `--signal=B:USR1@300` sends when the limit is near.
    lab.shell("scancel", "--batch", "--signal=USR1", job.number)
    lab.until(90, lambda: "back into the queue" in job.log, job)
    lab.until(60, lambda: job.field("JobState") == "PENDING" or job.field("Restarts") == "1", job)
    found["time limit"] = (job, lab.committed(job.run))
    assert before.items() <= found["time limit"][1].items()

    job = lab.submit(new_folder("power-cut"), *lab.LONG)
    found["power cut"] = (job, lab.some_commits(job))
    # The node of the script, the driver and Ray's head: a run survives the loss of another one by itself.
    os.kill(int((lab.STATE / "pid" / "node1.init").read_text()), signal.SIGKILL)
    try:
        lab.until(
            120,
            lambda: job.field("JobState") in ("PENDING", "NODE_FAIL", "FAILED") or job.field("Restarts") == "1",
            job,
        )
    finally:
        lab.start(only_node="1")
    lab.until(90, lambda: "node1" in lab.shell("sinfo", "-h", "-N", "-t", "idle,alloc,mix", "-o", "%N"), job)
    return found
