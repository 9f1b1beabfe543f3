"""Who is blamed for sudden deaths: a sample only for those while it was alone and somebody lived on to see them."""

import json
import signal
import subprocess
import sys

import pytest

from engine.errors import DeviceLost, RunFailedError
from engine.machine import deaths
from engine.workers.journal import UnitJournal, Witness, most_deaths
from tests.fixtures.places import ROOT


@pytest.fixture
def attempt(tmp_path):
    """Let an attempt begin, put samples in flight one after the other, and die; or, without samples, only begin."""

    def begin(*in_flight, witness=Witness.NOBODY, cause=""):
        journal = UnitJournal(tmp_path, "measure-00000", 1, witness)
        journal.__enter__()
        for ids in in_flight:
            journal.at_work_on(ids)
        if cause:
            UnitJournal(tmp_path, "measure-00000", 1).note_death(cause)
        return journal

    return begin


def test_deaths_that_nobody_saw_blame_nobody(attempt):
    """A batch system that kills a run nine times is no fault of the samples."""
    for _ in range(9):
        attempt(["a"])
    journal = attempt()
    assert (journal.isolated, journal.condemned, journal.num_attempts()) == (set(), {}, 10)
    assert journal.needs_witness()
    assert not UnitJournal(journal.path.parent, "measure-00001", 1).needs_witness()


def test_a_parent_that_dies_too_blames_nobody(attempt):
    for _ in range(9):
        attempt(["a"], witness=Witness.PARENT)
    assert not attempt(witness=Witness.PARENT).condemned


def test_a_sample_is_condemned_by_two_deaths_alone_in_a_fresh_process(attempt):
    attempt(["a"]), attempt(["b"])
    assert attempt(["a", "b"], witness=Witness.PARENT, cause="SIGKILL").isolated == set(), "in its planned batch first"
    assert attempt(["a"], ["b"], witness=Witness.PARENT, cause="SIGKILL").isolated == {"a", "b"}
    later = attempt(["b"], witness=Witness.PARENT, cause="SIGSEGV")
    assert later.suspects == ["b"] and not later.condemned, "the one before was not fresh"
    assert not attempt(["b"], witness=Witness.PARENT, cause="SIGKILL").condemned
    last = attempt(witness=Witness.PARENT)
    assert last.condemned == {"b": "3 times without an exception (SIGKILL, SIGSEGV)"}
    assert last.isolated == {"a", "b"} and last.is_written_alone


def test_deaths_behind_other_samples_condemn_nobody_however_many(attempt):
    """They may be the doing of those before; the next process begins with the suspect, and that death counts."""
    for _ in range(9):
        found = attempt(["a"], ["b"], witness=Witness.PARENT, cause="SIGKILL")
        assert not found.condemned
    assert attempt(witness=Witness.PARENT).suspects == ["b"]
    for _ in range(2):
        assert not attempt(["b"], witness=Witness.PARENT, cause="SIGKILL").condemned
    assert list(attempt(witness=Witness.PARENT).condemned) == ["b"]


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_sample_that_kills_costs_no_more_deaths_than_the_bound_says(tmp_path, max_retries, size):
    """Played through: batches until a fresh process does it, then one by one with the suspect first."""
    ids = [*(f"sound-{number}" for number in range(size - 1)), "killer"]
    deaths = 0
    while True:
        driver = UnitJournal(tmp_path, "u", max_retries, Witness.DRIVER, {"of another unit"})
        is_apart = driver.needs_witness()
        journal = UnitJournal(tmp_path, "u", max_retries, Witness.PARENT) if is_apart else driver
        journal.__enter__()
        if "killer" in journal.condemned:
            break
        order = [*journal.suspects, *(one for one in ids if one not in journal.suspects)]
        for batch in [[one] for one in order] if journal.isolated else [ids]:
            journal.at_work_on(batch)
            if "killer" in batch:
                break
        deaths += 1
        if is_apart:
            journal.note_death("SIGKILL")
        assert deaths <= most_deaths(max_retries)
    assert list(journal.condemned) == ["killer"]
    assert deaths == most_deaths(max_retries) - (size == 1)


def test_deaths_of_replicas_count_for_their_driver_lives_on(attempt):
    for _ in range(2):
        assert not attempt(["a"], witness=Witness.DRIVER).isolated
    journal = attempt(witness=Witness.DRIVER)
    assert list(journal.condemned) == ["a"] and "cause unknown" in journal.condemned["a"]


def test_a_replicas_unit_is_done_apart_after_some_deaths_only(attempt):
    """One that was killed from outside once must not cost the bits of its unit."""
    for number in range(3):
        journal = UnitJournal(
            attempt(["a", "b"], witness=Witness.DRIVER).path.parent, "measure-00000", 1, Witness.DRIVER
        )
        assert journal.needs_witness() == (number >= 1)


FAULT = """
import ctypes, sys
from pathlib import Path
from engine.machine.deaths import say_last_words
from engine.workers.journal import UnitJournal, Witness
words = say_last_words(Path(sys.argv[1]) / "words")
journal = UnitJournal(Path(sys.argv[1]), "u", 1, Witness.DRIVER, last_words=words)
journal.__enter__()
journal.at_work_on(["a"])
if sys.argv[2] == "SIGSEGV":
    ctypes.string_at(0)
import os, signal
os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("name", "killed", "cause"),
    [
        ("SIGSEGV", 0, "SIGSEGV"),
        ("SIGABRT", 0, "SIGABRT"),
        ("SIGKILL", 0, None),
        ("SIGKILL", 1, "SIGKILL, the system had killed for want of memory"),
    ],
    ids=["segmentation fault", "abort", "killed", "killed for want of memory"],
)
def test_what_a_replica_died_of_is_noted_where_it_or_the_kernel_says_it(tmp_path, monkeypatch, name, killed, cause):
    command = [sys.executable, "-c", FAULT, str(tmp_path), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -getattr(signal, name), done.stderr
    now = deaths.num_killed_for_memory()
    monkeypatch.setattr(deaths, "num_killed_for_memory", lambda: now + killed)
    journal = UnitJournal(tmp_path, "u", 1, Witness.DRIVER)
    journal.__enter__()
    assert [attempt.cause for attempt in journal.deaths] == [cause]
    assert UnitJournal(tmp_path, "u", 1, Witness.DRIVER).__enter__().deaths[0].cause == cause, "it is noted down"


def test_a_kill_on_another_machine_says_nothing_of_this_one(monkeypatch):
    facts = deaths.kernel_facts()
    assert not deaths.has_killed_for_memory_since({**facts, "boot": "another", "killed_for_memory": -1})
    assert not deaths.has_killed_for_memory_since(None) and not deaths.has_killed_for_memory_since({"boot": None})


def test_a_device_that_is_lost_counts_though_nobody_else_saw_it(tmp_path):
    with pytest.raises(DeviceLost), UnitJournal(tmp_path, "u", 1) as journal:
        journal.at_work_on(["a"])
        raise DeviceLost("lost")
    assert UnitJournal(tmp_path, "u", 1).needs_witness()


def test_deaths_while_no_sample_is_in_flight_end_the_run_and_the_next_start_tries_again(attempt):
    for _ in range(2):
        attempt(witness=Witness.PARENT, cause="SIGBUS")
    with pytest.raises(RunFailedError, match="died 2 times while it read or wrote the unit"):
        attempt(witness=Witness.PARENT)
    assert attempt(witness=Witness.PARENT).num_attempts() == 1


def test_notes_of_other_versions_and_cut_ones_blame_nobody(attempt, tmp_path):
    lines = [{"attempt": "1"}, {"sample_ids": ["a"]}] * 4
    text = "\n".join(map(json.dumps, lines))
    (tmp_path / "measure-00000.jsonl").write_text(f'{{"sample_ids": ["x"]}}\n{text}\n{{"att')
    journal = attempt(witness=Witness.PARENT)
    assert not journal.isolated and journal.needs_witness()
