"""Who is blamed for sudden deaths: a sample only for those while it was alone and somebody lived on to see them."""

import json

import pytest

from engine.errors import DeviceLost, RunFailedError
from engine.workers.journal import UnitJournal, Witness


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


def test_deaths_behind_other_samples_condemn_only_when_they_are_many(attempt):
    for number in range(5):
        found = attempt(["a"], ["b"], witness=Witness.PARENT, cause="SIGKILL").condemned
        assert ("b" in found) == (number >= 4)


def test_deaths_of_replicas_count_for_their_driver_lives_on(attempt):
    for _ in range(2):
        assert not attempt(["a"], witness=Witness.DRIVER).isolated
    journal = attempt(witness=Witness.DRIVER)
    assert list(journal.condemned) == ["a"] and "cause unknown" in journal.condemned["a"]


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
