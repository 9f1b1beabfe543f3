"""Ray's temporary folder: short enough for its sockets, private, gone afterwards or with the next start."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from engine.errors import RunFailedError
from engine.executors.over_ray import ray_cluster
from engine.executors.over_ray.ray_folder import has_room_for_sockets, make_folder, sweep
from tests.fixtures.places import ROOT

LONG = "a-folder-that-a-cluster-made-for-the-job-12345678-of-somebody"
HOLDER = """
import sys
from engine.executors.over_ray.ray_folder import make_folder
folder = make_folder()
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(monkeypatch):
    """A short place for temporary files."""
    with tempfile.TemporaryDirectory(prefix="hl", dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_private_and_holds_a_token_that_only_its_user_can_read(place):
    first, second = make_folder(), make_folder()
    tokens = [(folder.path / "token").read_text() for folder in (first, second)]
    assert first.path.parent == place and mode_of(first.path) == 0o700
    assert mode_of(first.path / "token") == 0o600 and len(tokens[0]) == 64 and tokens[0] != tokens[1]
    variables = first.variables()
    assert variables["RAY_AUTH_MODE"] == "token" and variables["RAY_AUTH_TOKEN_PATH"] == str(first.path / "token")
    assert not [value for value in variables.values() if tokens[0] in value], "variables are shown, files are not"
    (first.path / "ray").mkdir()
    first.remove(), second.remove()
    assert not list(place.iterdir())


def test_what_a_dead_run_left_is_removed_and_nothing_else(place):
    """A run that lives, folders of others and what only looks like one of ours stay."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLDER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as dead, subprocess.Popen(command, **pipes) as alive:
        left, used = (Path(process.stdout.readline().strip()) for process in (dead, alive))
        (left / "ray").mkdir()
        dead.kill()
        dead.wait()
        kept = [place / name for name in ("hlr-readable", "hlr-contents", "hlr-12345678x", "hlr-afile123")]
        for path in kept[:3]:
            path.mkdir(mode=0o700)
        kept[0].chmod(0o755)
        (kept[1] / "thesis.tex").touch()
        kept[3].touch()
        (place / "hlr-alink123").symlink_to(kept[1], target_is_directory=True)
        kept = [*kept, place / "hlr-alink123"]
        assert left.exists()
        make_folder().remove()
        assert not left.exists() and used.exists() and all(path.exists() for path in kept)
        alive.kill()
    sweep(str(place))
    assert not used.exists() and (kept[1] / "thesis.tex").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give a folder away")
def test_a_folder_of_another_user_stays(place):
    (place / "hlr-12345678").mkdir(mode=0o700)
    os.chown(place / "hlr-12345678", 65534, 65534)
    sweep(str(place))
    assert (place / "hlr-12345678").exists()


def test_a_place_where_everybody_can_rename_is_not_used(place, monkeypatch):
    shared = place / "open"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("RAY_TMPDIR", str(shared))
    with pytest.raises(RunFailedError, match="lets every user rename what others put there"):
        make_folder([])
    shared.chmod(0o1777)
    made = make_folder([])
    assert made.path.parent == shared
    made.remove()


def test_a_long_place_is_replaced(monkeypatch, place, tmp_path):
    assert has_room_for_sockets("/tmp/" + "x" * 12) and not has_room_for_sockets("/tmp/" + "x" * 40)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / LONG))
    made = make_folder([str(place / "missing"), str(place)])
    assert made.path.parent == place and mode_of(made.path) == 0o700
    made.remove()
    with pytest.raises(RunFailedError, match=r"Set RAY_TMPDIR to a short folder.*or cluster\.mode=inline"):
        make_folder([str(place / "missing")])


@pytest.mark.parametrize(("version", "is_refused"), [("2.51.2", True), ("2.9.3", True), ("2.52.0", False)])
def test_a_ray_that_knows_no_tokens_is_refused(monkeypatch, version, is_refused):
    """It would ignore the setting, and be open to everybody."""
    monkeypatch.setattr(ray_cluster.metadata, "version", lambda _name: version)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    if is_refused:
        with pytest.raises(RunFailedError, match=rf"Ray {version} knows no tokens.*ray\[data\]>=2\.52"):
            ray_cluster.require_token()
    else:
        ray_cluster.require_token()


def test_the_package_asks_for_a_ray_that_knows_tokens():
    least = ".".join(map(str, ray_cluster.FIRST_WITH_TOKENS))
    assert f'"ray[data]>={least},<' in (ROOT / "pyproject.toml").read_text()
    assert f"FIRST_WITH_TOKENS = {ray_cluster.FIRST_WITH_TOKENS}" in (ROOT / "launch/slurm/preflight.py").read_text()


@pytest.mark.soak
def test_a_run_in_a_long_temporary_folder_uses_and_removes_a_short_one(config_file, tmp_path):
    long = tmp_path / LONG
    long.mkdir()
    before = set(Path("/tmp").glob("hlr-*"))
    done = subprocess.run(
        [sys.executable, "-m", "engine.run", str(config_file), "cluster.mode=local", "cluster.replicas=1"],
        env=os.environ | {"TMPDIR": str(long), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    # Other tests' folders may come and go meanwhile; nothing may lie in the long one.
    assert not (long / "ray").exists() and not list(long.glob("hlr-*"))
    assert not [path for path in set(Path("/tmp").glob("hlr-*")) - before if (path / "ray").exists() and is_idle(path)]


def is_idle(path):
    """Whether no process has a folder locked."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.exists()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
