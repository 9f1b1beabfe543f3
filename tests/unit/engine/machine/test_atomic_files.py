"""What appears is whole and on disk: the order in which files are written, synced and renamed."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import RunFailedError
from engine.machine.atomic_files import file_facts, naming, replace_file, replacing, sync_folder, write_table
from engine.storage.planned.units import PlannedUnit
from engine.storage.run_directory import RunDirectory

TABLE = {"samples": pa.table({"sample_id": ["a"]})}


@pytest.fixture
def events(monkeypatch):
    """What is synced and renamed, in order: ``("sync", inode)`` and ``("rename", inode, new name)``."""
    seen: list[tuple] = []
    real_sync, real_rename, real_replace = os.fsync, Path.rename, Path.replace

    def sync(descriptor):
        seen.append(("sync", os.fstat(descriptor).st_ino))
        return real_sync(descriptor)

    def renamed(real):
        def call(self, target):
            seen.append(("rename", self.stat().st_ino, Path(target).name))
            return real(self, target)

        return call

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", renamed(real_rename))
    monkeypatch.setattr(Path, "replace", renamed(real_replace))
    return seen


@pytest.mark.parametrize(
    "write",
    [lambda path: write_table(path, TABLE["samples"]), lambda path: replace_file(path, b"x")],
    ids=["table", "file"],
)
def test_a_file_is_on_disk_before_it_has_its_name(tmp_path, events, write):
    path = tmp_path / "file"
    write(path)
    inode = path.stat().st_ino
    assert events.index(("sync", inode)) < events.index(("rename", inode, "file"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_replaced_has_its_folder_synced_afterwards(tmp_path, events):
    replace_file(tmp_path / "file", b"x")
    folder = tmp_path.stat().st_ino
    assert events[-1] == ("sync", folder)


def test_a_commit_syncs_its_files_then_its_folder_then_renames_then_syncs_the_shards(tmp_path, events):
    run_dir = RunDirectory(tmp_path / "run")
    run_dir.start()
    run_dir.ledger.commit("measure-00000", ["a"], TABLE, [], {"num_tokens": 1})
    unit = run_dir.ledger.shards / "measure-00000"
    rename = events.index(("rename", unit.stat().st_ino, "measure-00000"))
    for file in unit.iterdir():
        assert ("sync", file.stat().st_ino) in events[:rename], file.name
    assert events[rename - 1] == ("sync", unit.stat().st_ino), "entries of the unit's folder"
    assert events[rename + 1] == ("sync", run_dir.ledger.shards.stat().st_ino), "the entry that makes it visible"
    assert run_dir.ledger.committed()["measure-00000"].folder == unit
    assert not run_dir.ledger.damages([PlannedUnit("measure-00000", ["a"])])
    assert not list(run_dir.incoming.iterdir())


def test_facts_of_a_file_are_those_of_its_bytes(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(path, pa.table({"x": [1, 2, 3]}))
    content = path.read_bytes()
    expected = {"rows": 3, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert file_facts(path) == expected


def test_folders_of_a_file_are_made(tmp_path):
    replace_file(tmp_path / "a" / "b" / "file", b"content")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


def test_a_write_that_is_given_up_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    replace_file(path, b"earlier")
    with pytest.raises(RuntimeError), replacing(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"earlier" and [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with replacing(path) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"earlier", "nothing is seen of it before it is whole"
    assert path.read_bytes() == b"new"


def test_an_error_that_is_none_of_the_disk_names_no_file(tmp_path):
    with pytest.raises(OSError) as failed, naming(tmp_path / "file"):
        raise OSError(errno.EPERM, "not this")
    assert failed.value.filename is None
    with pytest.raises(OSError, match="full") as failed, naming(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "full", "another")
    assert failed.value.filename == "another", "an error that names its file is left alone"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO], ids=os.strerror)
def test_a_failed_write_names_its_file(tmp_path, monkeypatch, code):
    """The system names none where the disk is full, and whoever has to make room must know where."""

    def fails(*_arguments, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("engine.machine.atomic_files.pq.write_table", fails)
    monkeypatch.setattr(os, "fsync", fails)
    for write in (lambda path: write_table(path, TABLE["samples"]), lambda path: replace_file(path, b"x")):
        with pytest.raises(OSError, match=os.strerror(code)) as failed:
            write(tmp_path / "the-file")
        assert failed.value.filename == str(tmp_path / "the-file")
    assert not list(tmp_path.iterdir())
    run_dir = RunDirectory(tmp_path / "run")
    run_dir.start()
    with pytest.raises(RunFailedError, match=rf"samples\.parquet: unit measure-00000 could not.*{os.strerror(code)}"):
        run_dir.ledger.commit("measure-00000", ["a"], TABLE, [], {"num_tokens": 1})


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    def fails(_descriptor):
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "fsync", fails)
    sync_folder(tmp_path)


def test_a_file_is_synced_once_all_of_it_is_written(tmp_path, monkeypatch):
    """What Python still holds back is not brought to disk."""
    sizes, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sizes.append(os.fstat(file).st_size), real(file)))
    replace_file(tmp_path / "file", b"x" * 10)
    assert sizes[0] == 10


def test_half_a_table_is_not_left_behind(tmp_path, monkeypatch):
    def fails(_table, path, **_options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("engine.machine.atomic_files.pq.write_table", fails)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_table(tmp_path / "table.parquet", TABLE["samples"])
    assert not list(tmp_path.iterdir())
