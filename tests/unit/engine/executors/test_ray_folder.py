"""Ray's temporary folder: short enough for its sockets, private, and gone afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RunFailedError
from engine.executors.ray_folder import has_room_for_sockets, remove_folder, short_folder, variables_of
from tests.fixtures.places import ROOT

LONG = "a-folder-that-a-cluster-made-for-the-job-12345678-of-somebody"


def test_a_short_folder_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert short_folder() is None and variables_of(None) == {}
    assert has_room_for_sockets("/tmp/" + "x" * 25) and not has_room_for_sockets("/tmp/" + "x" * 40)


def test_a_long_one_gets_a_private_folder_beside_it(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / LONG))
    folder = short_folder([str(tmp_path / "missing"), str(tmp_path)])
    assert folder is not None and folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    (folder / "ray").mkdir()
    remove_folder(folder)
    assert not folder.exists()
    with pytest.raises(RunFailedError, match=r"Set RAY_TMPDIR to a short folder.*or cluster\.mode=inline"):
        short_folder([str(tmp_path / "missing")])


def test_a_run_in_a_long_temporary_folder_uses_and_removes_a_short_one(config_file, tmp_path):
    long = tmp_path / LONG
    long.mkdir()
    before = set(Path("/tmp").glob("hl*"))
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
    assert not (long / "ray").exists() and not set(Path("/tmp").glob("hl*")) - before
