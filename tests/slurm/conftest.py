import subprocess
from pathlib import Path

import pytest

from tests.slurm import lab


@pytest.fixture(scope="session")
def slurm():
    """Start the laboratory, unless it runs already, and stop it afterwards if it was started here."""
    if reason := lab.missing():
        pytest.skip(reason)
    was_running = lab.STATE.is_dir()
    Path("/tmp/slurmlab").mkdir(exist_ok=True)
    done = subprocess.run([lab.LAB / "start-slurm.sh"], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"the SLURM laboratory does not start here: {done.stdout[-300:]} {done.stderr[-300:]}")
    yield
    if not was_running:
        subprocess.run([lab.LAB / "stop-slurm.sh"], check=False, timeout=60)


@pytest.fixture
def folder(slurm, tmp_path_factory, request):
    """A checkout on the folder that the nodes share; jobs that a failed test left are cancelled."""
    import shutil
    import uuid

    place = Path("/tmp/slurmlab") / f"{request.node.name[:40]}-{uuid.uuid4().hex[:6]}"
    yield lab.checkout(place)
    subprocess.run(["scancel", "--user", "root"], check=False, timeout=30)
    lab.until(60, lambda: not lab.shell("squeue", "-h"))
    shutil.rmtree(place, ignore_errors=True)
