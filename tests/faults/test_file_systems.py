"""File systems and clocks that misbehave, and a kill inside ``--fresh``: faults 26 to 29 (``file_system.c``)."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from engine.storage.ledger import Ledger
from engine.storage.planned.units import PlannedUnit
from tests.fixtures.laboratory import NUM_SHARDS, finished, wait_for
from tests.fixtures.shims import shimmed

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD, as Linux has it"),
]


def lines_of(path: Path):
    return path.read_text().splitlines()


def test_a_kill_inside_fresh_loses_neither_run(lab, tmp_path):
    """Fault 26: wherever it comes, the earlier run is whole where it was or where it was set aside; then equal."""
    name, runs = "fresh", lab.folder / "runs"
    assert lab.here(name) == 0
    before = {path.relative_to(lab.run(name)): path.read_bytes() for path in lab.run(name).rglob("*.parquet")}

    def earlier():
        found = [lab.run(name), *runs.glob(f"{name}.previous-*")]
        return [run for run in found if {p.relative_to(run): p.read_bytes() for p in run.rglob("*.parquet")} == before]

    log = tmp_path / "log"
    copy = runs / "fresh-copy"
    shutil.copytree(lab.run(name), copy)
    code, errors = finished(lab.driver("fresh-copy", "--fresh", "--stage=plan", env=shimmed(runs, lab.folder, log=log)))
    assert code == 0, errors
    changes = lines_of(log)
    aside = next(place for place, line in enumerate(changes) if line == f"rename {copy}")
    assert 0 < aside < len(changes) - 5, "what is killed lies before, at and behind the renaming"
    for number in sorted({2, aside + 1, aside + 2, (aside + len(changes)) // 2, len(changes) - 1}):
        killed = lab.driver(name, "--fresh", "--stage=plan", env=shimmed(runs, lab.folder, kill=number))
        assert finished(killed)[0] == -9
        assert earlier(), f"the earlier run is gone after a kill at change {number}"
    assert lab.here(name, "--fresh") == 0
    lab.assert_whole(name)
    assert earlier() and not list(runs.glob(f".{name}.*planning*"))


def test_a_clock_that_is_set_forward_and_back_moves_nothing(lab, tmp_path):
    """Fault 27: a day forward, then two back, while it measures; a second driver is refused at each time."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    environment = shimmed(lab.folder / "runs", lab.folder, clock=clock)
    slow = f"model.path={lab.faulty(fault_seconds=0.3)}"
    driver = lab.driver("clock", slow, env=environment)
    for count, offset in ((2, "86400"), (6, "-86400")):
        wait_for(lambda count=count: len(lab.commits("clock")) >= count, driver)
        clock.write_text(offset)
        assert lab.here("clock", slow) == 1, "the lease goes by the file system's clock"
    code, errors = finished(driver)
    assert code == 0, errors
    lab.assert_whole("clock")
    (speed,) = [json.loads((lab.run("clock") / "progress.json").read_text())["samples_per_second"]]
    assert 0 < speed < 1000


def test_what_other_hosts_made_becomes_visible_late(lab):
    """Fault 28: the driver sees its replicas' commits, and they its files, 3 s after they were made; equal."""
    environment = shimmed(lab.folder / "runs", lab.folder, delay_ms=3000)
    options = ["cluster.mode=local", "cluster.replicas=2"]
    code, errors = finished(lab.driver("late", *options, env=environment), seconds=400)
    assert code == 0, errors
    lab.assert_whole("late")
    assert len(lab.commits("late")) == NUM_SHARDS


def test_a_commit_that_never_becomes_visible_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.storage.ledger.VISIBLE_SECONDS", 0.5)
    Ledger(tmp_path, tmp_path / "incoming").await_visible([PlannedUnit("measure-00000", ["a"])] * 3)


@pytest.mark.parametrize("number", [3, 12, 60])
def test_a_stale_file_handle_ends_in_a_sentence_and_the_next_start_goes_on(lab, number):
    """Fault 29: a file server that was started anew, or a file that another host replaced."""
    name = f"stale-{number}"
    code, errors = finished(lab.driver(name, env=shimmed(lab.folder / "runs", lab.folder, stale=number)))
    assert code in (0, 1), errors
    if code == 1:
        said = errors.strip().splitlines()[-1]
        assert "Stale file handle" in said and str(lab.folder / "runs") in said, errors
        assert not (lab.run(name) / "_SUCCESS").exists()
    before = lab.commits(name)
    assert lab.here(name) == 0
    assert before.items() <= lab.commits(name).items()
    lab.assert_whole(name)
