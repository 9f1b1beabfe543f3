"""The ledger alone, without a run: what counts as committed, and whose attempt counts."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time

import pyarrow as pa
import pytest

from engine.errors import RunFailedError
from engine.samples import Reject
from engine.schema import layout
from engine.schema.manifests import manifest_digest
from engine.storage import ledger as module
from engine.storage import merging
from engine.storage.merging import merge, settle
from engine.storage.planned.units import PlannedUnit
from engine.storage.run_directory import RunDirectory

UNITS = [PlannedUnit(f"measure-{number:05d}", [f"s{number}", f"t{number}"]) for number in range(4)]


def table(unit):
    return {"samples": pa.table({"sample_id": unit.sample_ids})}


def commit(ledger, unit, rejects=(), **facts):
    rejected = [Reject(sample_id, "measure", "too_long", f"why {sample_id}") for sample_id in rejects]
    kept = [sample_id for sample_id in unit.sample_ids if sample_id not in rejects]
    return ledger.commit(unit.name, kept, table(unit), rejected, {"num_tokens": 5, **facts})


@pytest.fixture
def ledger(tmp_path):
    """A ledger in which all units but the last are committed; the second one has a reject."""
    run_dir = RunDirectory(tmp_path / "run")
    run_dir.start()
    commit(run_dir.ledger, UNITS[0])
    commit(run_dir.ledger, UNITS[1], ["t1"])
    commit(run_dir.ledger, UNITS[2])
    return run_dir.ledger


def test_what_was_committed_is_said_in_the_order_that_is_asked_for(ledger):
    assert list(ledger.committed()) == ledger.folder_names() == [unit.name for unit in UNITS[:3]]
    asked = [UNITS[2], UNITS[3], UNITS[0]]
    assert [manifest["unit"] for manifest in ledger.manifests(asked)] == [UNITS[2].name, UNITS[0].name]
    own = ledger.manifest(UNITS[1].name)
    assert own is not None and (own["sample_ids"], own["rejected_ids"]) == (["s1"], ["t1"])
    assert ledger.manifest(UNITS[3].name) is None
    assert ledger.missing_units(UNITS) == [UNITS[3]] and not ledger.quarantine.exists()
    assert not ledger.damages(UNITS)


def test_the_first_attempt_counts_and_the_second_leaves_nothing(ledger):
    first = ledger.manifest(UNITS[0].name)
    again = commit(ledger, UNITS[0], num_deaths=1)
    assert again == first == ledger.manifest(UNITS[0].name) and not list(ledger.incoming.iterdir())


def test_a_folder_without_a_manifest_is_no_first_attempt(ledger):
    (ledger.shards / UNITS[3].name / "x").mkdir(parents=True)
    with pytest.raises(RunFailedError, match=f"unit {UNITS[3].name} could not be written"):
        commit(ledger, UNITS[3])
    assert ledger.damages(UNITS) == {UNITS[3].name: f"{UNITS[3].name}: its manifest.json is missing or damaged"}


def test_an_error_of_the_disk_is_none_of_another_attempt(ledger, monkeypatch):
    """Though the unit is committed: what failed is this attempt, and whoever reads must know why."""
    real = module.Path.rename

    def refused(self, target):
        if self.parent == ledger.incoming:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    monkeypatch.setattr(module.Path, "rename", refused)
    with pytest.raises(RunFailedError, match=os.strerror(errno.EIO)):
        commit(ledger, UNITS[0])


def test_nothing_is_committed_to_a_run_that_is_anothers_by_now(ledger):
    shutil.rmtree(ledger.incoming)
    with pytest.raises(RunFailedError, match=r"was removed, set aside or taken over by another driver") as refused:
        commit(ledger, UNITS[3])
    assert refused.value.__suppress_context__, "the error of the file system would only confuse"
    assert ledger.missing_units(UNITS) == [UNITS[3]]


def test_whether_anything_is_committed(tmp_path, ledger):
    empty = RunDirectory(tmp_path / "empty")
    assert not empty.ledger.has_commits() and empty.ledger.folder_names() == []
    empty.start()
    assert not empty.ledger.has_commits() and ledger.has_commits()
    ledger.shards.rename(ledger.root / layout.UNMERGED)
    assert ledger.has_commits(), "a merge was interrupted between its two renames"


def test_rejects_are_those_of_the_units_in_plan_order(ledger):
    commit(ledger, UNITS[3], ["s3", "t3"])
    found = ledger.rejects([UNITS[3], UNITS[0], UNITS[1]])
    assert [part["sample_id"].to_pylist() for part in found] == [["s3", "t3"], ["t1"]]
    assert ledger.first_reject() == "t1: too_long: why t1"
    shutil.rmtree(ledger.shards / UNITS[1].name)
    shutil.rmtree(ledger.shards / UNITS[3].name)
    assert ledger.first_reject() == "(no reject was recorded)" and ledger.rejects(UNITS[:1]) == []


def flipped(file):
    """Change a file's content and keep its size."""
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda file: file.unlink(), r"samples\.parquet is missing"),
        (flipped, r"samples\.parquet is damaged \(its checksum differs\)"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), r"samples\.parquet is damaged"),
    ],
    ids=["missing", "flipped", "cut"],
)
def test_a_harmed_file_is_named_and_its_unit_set_aside(ledger, harm, words):
    assert not ledger.damages(UNITS), "what is known of a file that was whole must not outlive it"
    harm(ledger.shards / UNITS[1].name / "samples.parquet")
    damages = ledger.damages(UNITS)
    assert list(damages) == [UNITS[1].name]
    with pytest.raises(AssertionError, match=f"^{UNITS[1].name}: {words}"):
        raise AssertionError(damages[UNITS[1].name])
    assert ledger.missing_units(UNITS) == [UNITS[1], UNITS[3]]
    assert [path.name.rpartition("-")[0] for path in ledger.quarantine.iterdir()] == [UNITS[1].name]


def test_a_unit_that_calls_itself_otherwise_is_not_committed(ledger):
    (ledger.shards / UNITS[2].name).rename(ledger.shards / UNITS[3].name)
    assert list(ledger.committed()) == [UNITS[0].name, UNITS[1].name]


def test_a_commit_of_another_host_is_waited_for(ledger, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    folder = ledger.shards / UNITS[2].name
    hidden = folder.rename(ledger.root / "not seen yet")
    thread = threading.Timer(0.2, lambda: hidden.rename(folder))
    thread.start()
    ledger.await_visible(UNITS[:3])
    thread.join()
    assert (folder / layout.MANIFEST).exists()
    monkeypatch.setattr(module, "VISIBLE_SECONDS", 0.1)
    began = time.monotonic()
    ledger.await_visible(UNITS)
    assert time.monotonic() - began >= 0.1, "it is given up after a while, not at once"


def test_units_of_a_merged_folder_are_committed_each(ledger):
    before = [ledger.manifest(unit.name) for unit in UNITS[:3]]
    merge(ledger, UNITS[:3], lambda: None)
    assert ledger.folder_names() == ["measure-00000-00002"]
    assert [ledger.manifest(unit.name) for unit in UNITS[:3]] == before and ledger.manifest(UNITS[3].name) is None
    assert ledger.missing_units(UNITS) == [UNITS[3]]
    assert [part["sample_id"].to_pylist() for part in ledger.rejects(UNITS[:3])] == [["t1"]]


def test_a_folder_is_copied_where_there_are_no_hard_links(ledger, monkeypatch):
    """A merge of one unit shares its files with the folder that goes; without links it must hold copies of its own."""
    content = {file.name: file.read_bytes() for file in (ledger.shards / UNITS[0].name).iterdir()}
    synced = []
    real = merging.sync_file
    monkeypatch.setattr(merging, "sync_file", lambda file: (synced.append(file.name), real(file)))
    monkeypatch.setattr(merging, "MERGED_UNITS", 1)

    def refused(_source, _target):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    merge(ledger, UNITS[:3], lambda: None)
    assert {file.name: file.read_bytes() for file in (ledger.shards / UNITS[0].name).iterdir()} == content
    assert sorted(synced) == sorted([*content] * 3) and not ledger.damages(UNITS)


def test_a_merge_that_may_not_go_on_leaves_everything_as_it_was(ledger):
    def taken_over():
        raise RunFailedError("another driver")

    with pytest.raises(RunFailedError, match="another driver"):
        merge(ledger, UNITS[:3], taken_over)
    assert ledger.folder_names() == [unit.name for unit in UNITS[:3]]
    assert not (ledger.root / layout.MERGING).exists() and not (ledger.root / layout.UNMERGED).exists()


def test_what_an_interrupted_merge_left_is_brought_to_an_end(ledger):
    (ledger.root / layout.MERGING).mkdir()
    (ledger.root / layout.MERGING / "half").touch()
    settle(ledger)
    assert not (ledger.root / layout.MERGING).exists()
    ledger.shards.rename(ledger.root / layout.UNMERGED)
    unfinished = ledger.root / layout.UNMERGED / "measure-00009"
    unfinished.mkdir()
    settle(ledger)
    assert ledger.folder_names() == [unit.name for unit in UNITS[:3]] and not (ledger.root / layout.UNMERGED).exists()


def test_units_are_merged_by_kind_and_in_plan_order(ledger):
    causal = [PlannedUnit(f"causal-{number:05d}", unit.sample_ids, unit.name) for number, unit in enumerate(UNITS[:2])]
    for unit in causal:
        commit(ledger, unit)
    merge(ledger, [*UNITS[:3], *causal], lambda: None)
    assert ledger.folder_names() == ["causal-00000-00001", "measure-00000-00002"]
    content = json.loads((ledger.shards / "causal-00000-00001" / layout.MANIFEST).read_text())
    assert content["facts"] == {"num_tokens": 10} and content["digest"] == manifest_digest(content)
    commit(ledger, UNITS[3])
    merge(ledger, [*UNITS, *causal], lambda: None)
    assert ledger.folder_names() == ["causal-00000-00001", "measure-00000-00002", "measure-00003"]
