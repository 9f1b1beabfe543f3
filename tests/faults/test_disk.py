"""Disks fill up, are read-only, vanish or spoil files: faults 5 and 11."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import threading

import pytest

from tests.fixtures.laboratory import NUM_SHARDS, finished, wait_for


def mounted(folder, *options):
    """Mount a tmpfs and return whether that worked; it takes root."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder):
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("mode", ["inline", pytest.param("local", marks=pytest.mark.soak)])
def test_a_full_disk(lab, tmp_path, mode):
    """Fault 5: nothing torn becomes visible, the message says what and where, and space is all it takes to go on.

    Where no file system may be mounted, a limit on the size of a file stands in for the disk (inline only).
    """
    folder, name = tmp_path / "small", f"full-{mode}"
    has_mount = mounted(folder, "size=1200k")
    options = [f"run.output={folder}", f"cluster.mode={mode}", "cluster.replicas=2"]
    try:
        if not has_mount and mode == "local":
            pytest.skip("no file system may be mounted here")
        limit = None if has_mount else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))
        code, errors = finished(lab.driver(name, *options, preexec_fn=limit))
        run = folder / name
        assert code == 1 and str(folder) in errors, errors
        assert ("No space left on device" if has_mount else "File too large") in errors, errors
        assert not (run / "_SUCCESS").exists() and not list(run.glob("incoming/*/*"))
        committed = {path: path.read_bytes() for path in run.glob("shards/*/*")}
        assert all((path.parent / "manifest.json") in committed for path in committed)
        assert not has_mount or 0 < len(list(run.glob("shards/*"))) < NUM_SHARDS
        if has_mount:
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            assert lab.here(name, *options, "cluster.mode=inline") == 0
            assert all(path.read_bytes() == content for path, content in committed.items())
            shutil.copytree(run, lab.run(name))
            lab.assert_whole(name)
    finally:
        if has_mount:
            unmount(folder)


def test_a_read_only_output(lab, tmp_path, capsys):
    """Fault 5: refused at once, before anything is planned or measured."""
    folder = tmp_path / "fixed"
    if not mounted(folder, "size=1m"):
        pytest.skip("no file system may be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert lab.here("fixed", f"run.output={folder}") == 1
        said = capsys.readouterr().err
        assert "Read-only file system" in said and str(folder) in said and said.strip().count("\n") == 0
    finally:
        unmount(folder)


@pytest.mark.parametrize("mode", ["inline", pytest.param("local", marks=pytest.mark.soak)])
def test_a_run_directory_that_is_removed_meanwhile(lab, mode):
    """Fault 5: the run fails, says so, and does not bring pieces of the directory back."""
    name = f"removed-{mode}"
    driver = lab.driver(name, f"model.path={lab.faulty(fault_seconds=0.3)}", f"cluster.mode={mode}")
    wait_for(lambda: len(lab.commits(name)) >= 2, driver)
    shutil.move(lab.run(name), lab.run(name).with_name(f"{name}-away"))
    code, errors = finished(driver)
    assert code == 1 and str(lab.run(name)) in errors and "was removed, set aside or taken over" in errors, errors
    assert not lab.run(name).exists()
    moved = lab.run(name).with_name(f"{name}-away")
    assert not (moved / "_SUCCESS").exists()
    if mode == "inline":
        moved.rename(lab.run(name))
        assert lab.here(name, f"model.path={lab.faulty(fault_seconds=0.3)}") == 0
        lab.assert_whole(name)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def delete_folder(path):
    shutil.rmtree(path.parent)


@pytest.fixture
def copied(lab, request):
    """A copy of the undisturbed run under a name of its own, with the config that it was made with."""
    import yaml

    name = f"copy-{abs(hash(request.node.name)) % 10**8}"
    shutil.copytree(lab.run("whole"), lab.run(name))
    path = lab.run(name) / "run.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["run"]["name"] = name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return name


@pytest.mark.parametrize(
    ("spoil", "file"),
    [(truncate, "head_stats.parquet"), (flip, "samples.parquet"), (flip, "rejects.parquet"), (flip, "manifest.json"),
     (truncate, "manifest.json"), (os.unlink, "tokens.parquet"), (delete_folder, "manifest.json")],
)  # fmt: skip
def test_a_spoiled_shard_is_found_and_only_that_is_redone(lab, copied, capsys, spoil, file):
    """Fault 11: the ledger's checksums find it; verify says so, a new start mends it."""
    unit = "measure-00003"
    before = lab.commits(copied)
    spoil(lab.run(copied) / "shards" / unit / file)
    assert lab.here(copied, stage="verify") == 1
    assert unit in capsys.readouterr().err
    assert lab.here(copied) == 0
    lab.assert_whole(copied)
    after = lab.commits(copied)
    assert {name for name, time_ns in after.items() if before[name] != time_ns} == {unit}
    assert lab.here(copied, stage="verify") == 0


@pytest.mark.parametrize("file", ["rejects.parquet", "_SUCCESS"])
def test_spoiled_files_of_the_whole_run_are_made_anew(lab, copied, capsys, file):
    """Fault 11: what is merged from shards costs no measurement."""
    before = lab.commits(copied)
    path = lab.run(copied) / file
    if file == "_SUCCESS":
        path.unlink()
    else:
        flip(path)
        assert lab.here(copied, stage="verify") == 1
        assert "rejects.parquet" in capsys.readouterr().err
    assert lab.here(copied) == 0 and lab.commits(copied) == before
    lab.assert_whole(copied)


@pytest.mark.parametrize(
    "file", ["plan.json", "plan/units.json", "plan/rejects.parquet", "plan/encoded/measure-00003.parquet", "run.yaml"]
)
@pytest.mark.parametrize("spoil", [truncate, flip])
def test_a_spoiled_plan_is_never_measured_by(lab, copied, capsys, spoil, file):
    """Fault 11: what says what must be in the run cannot be made anew without a doubt, so the run is refused."""
    shutil.rmtree(lab.run(copied) / "shards" / "measure-00003")
    (lab.run(copied) / "_SUCCESS").unlink()
    path = lab.run(copied) / file
    spoil(path)
    if file == "run.yaml" and spoil is flip:
        path.write_text(path.read_text(errors="replace").replace("fingerprints:", "fingerprint:"))
    if file == "plan.json" and spoil is flip:
        path.write_text(path.read_text(errors="replace").replace('"num_rows": 40', '"num_rows": 41'))
    capsys.readouterr()
    assert lab.here(copied) == 1
    said = capsys.readouterr().err
    assert path.name in said or "input rows" in said, said
    assert said.strip().count("\n") <= 1 and not (lab.run(copied) / "_SUCCESS").exists()


def test_commits_of_many_threads_and_one_winner(lab, tmp_path):
    """Two attempts at one unit commit at the same time: one is visible, whole, and both are content."""
    import pyarrow as pa

    from engine.storage.run_directory import RunDirectory

    run_dir = RunDirectory(tmp_path / "run")
    run_dir.start()
    found = []
    table, facts = {"samples": pa.table({"sample_id": ["a"]})}, {"num_tokens": 1}
    work = [
        threading.Thread(target=lambda: found.append(run_dir.ledger.commit("measure-00000", ["a"], table, [], facts)))
        for _ in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len({json.dumps(manifest) for manifest in found}) == 1 and len(found) == 8
    assert not list(run_dir.incoming.iterdir())
