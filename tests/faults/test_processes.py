"""Replicas die by pid, by a sample, by their model: faults 1, 7, 9 and 14, and what listens meanwhile."""

from __future__ import annotations

import json
import time

import polars as pl
import psutil
import pytest

from engine.executors.over_ray import ray_driver
from engine.executors.over_ray.ray_pool import ReplicaActor
from engine.storage.run_directory import RunDirectory
from engine.workers.journal import UnitJournal, most_deaths
from tests.fixtures.laboratory import NUM_SHARDS, VICTIM, finished, replicas_of, wait_for


def victim_shard(lab):
    """Return the shard that holds the victim and its neighbour there."""
    unit = next(unit for unit in RunDirectory(lab.run("whole")).plan.units() if VICTIM in unit.sample_ids)
    return unit.name, next(sample_id for sample_id in unit.sample_ids if sample_id != VICTIM)


def foreign_listeners(driver):
    """Return what the driver and its descendants listen on beyond loopback."""
    found = []
    for process in [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]:
        try:
            for socket in process.net_connections("inet"):
                host = getattr(socket.laddr, "ip", "").removeprefix("::ffff:")
                if socket.status == psutil.CONN_LISTEN and not (host.startswith("127.") or host == "::1"):
                    found.append((process.name(), socket.laddr))
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.soak
def test_a_replica_killed_twice_is_replaced_and_only_its_shards_are_redone(lab):
    """Faults 1 and 14: as many replicas as CPUs. Security: nothing listens beyond loopback, no dashboard runs."""
    options = [f"model.path={lab.faulty(fault_seconds=0.3)}", "cluster.mode=local", "cluster.replicas=2"]
    driver = lab.driver("killed-replica", *options)
    victims, listening = [], []
    for count in (3, 8):
        wait_for(lambda count=count: len(lab.commits("killed-replica")) >= count, driver)
        listening += foreign_listeners(driver)
        victim = max(replicas_of(driver), key=lambda process: process.create_time())  # the second time, the new one
        victims.append(victim.pid)
        before = lab.commits("killed-replica")
        victim.kill()
    code, errors = finished(driver)
    assert code == 0, errors
    assert len(set(victims)) == 2 and not listening
    assert before.items() <= lab.commits("killed-replica").items()
    lab.assert_whole("killed-replica")
    deaths = [
        json.loads(path.read_text())["facts"]["num_deaths"]
        for path in lab.run("killed-replica").glob("shards/*/manifest.json")
    ]
    assert sum(deaths) <= 2 and len(deaths) == NUM_SHARDS
    assert "measured 40/40 samples" in errors and "ray" not in errors.lower()


@pytest.mark.soak
def test_a_sample_that_kills_its_process_costs_itself(lab):
    """Fault 7 over Ray: bounded deaths, one reject, its neighbour kept, everyone else bit for bit."""
    unit, neighbour = victim_shard(lab)
    retries = 0  # every death costs a load of the model
    options = [f"model.path={lab.faulty('kill')}", "cluster.mode=local", "cluster.replicas=2"]
    driver = lab.driver("killer", *options, f"cluster.max_retries={retries}")
    code, errors = finished(driver, seconds=400)
    assert code == 0, errors
    assert lab.rejects("killer") == [(VICTIM, "measure", "killed_its_process")]
    lab.assert_whole("killer", without=(VICTIM, neighbour))
    facts = json.loads((lab.run("killer") / "shards" / unit / "manifest.json").read_text())["facts"]
    assert retries < facts["num_deaths"] <= most_deaths(retries)
    assert neighbour in facts["divided_sample_ids"]
    # The replica that lost its fellows lets a fresh process do it, and the driver passes on what that died of.
    assert f"Warning: {unit}: its process died of SIGKILL" in errors and "rejected only if" in errors
    (detail,) = pl.read_parquet(lab.run("killer") / "rejects.parquet")["detail"]
    assert "alone died" in detail and "SIGKILL" in detail and "cause unknown" not in detail
    whole, kept = (lab.tables(name)["head_stats"].filter(sample_id=neighbour) for name in ("whole", "killer"))
    assert kept.height == whole.height > 0
    deviation = (kept["entropy_nats"] - whole["entropy_nats"]).abs().max()
    assert deviation < 1e-5


def test_a_sample_that_kills_its_process_inline_costs_itself_after_some_starts(lab):
    """Fault 7 without Ray: the driver dies with it; the next one does the unit in a process of its own and sees why."""
    _, neighbour = victim_shard(lab)
    options = [f"model.path={lab.faulty('kill')}", "cluster.max_retries=0"]
    codes = []
    while len(codes) < 2:
        codes.append(finished(lab.driver("killer-inline", *options))[0])
    assert codes == [-9, 0] and lab.rejects("killer-inline") == [(VICTIM, "measure", "killed_its_process")]
    lab.assert_whole("killer-inline", without=(VICTIM, neighbour))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("fault", "on_all", "code", "words"),
    [
        ("load_raise", False, 2, ["could not be loaded", "no space left in the model's cache"]),
        ("load_kill", True, 1, ["die again and again while they load the model", "cluster.replicas"]),
    ],
)
def test_a_model_that_cannot_be_loaded_fails_fast(lab, fault, on_all, code, words):
    """Fault 9: on one replica of two by an exception, on all by sudden death; no endless restarts."""
    flag = {} if on_all else {"fault_flag": str(lab.folder / "the-one")}
    options = [f"model.path={lab.faulty(fault, **flag)}", "cluster.mode=local", "cluster.replicas=2"]
    started = time.monotonic()
    found, errors = finished(lab.driver(f"unloadable-{fault}", *options))
    assert found == code and all(word in errors for word in words), errors
    assert errors.strip().splitlines()[-1].count(". ") <= 6 and time.monotonic() - started < 150
    assert not (lab.run(f"unloadable-{fault}") / "_SUCCESS").exists()


def test_a_process_that_dies_while_it_loads_is_not_started_for_ever_and_blames_nobody(lab):
    """Fault 9, inline: what is noted of a unit is another process's, and stays so."""
    options = [f"model.path={lab.faulty('load_kill')}", "cluster.max_retries=0"]
    assert lab.here("load-apart", *options, stage="plan") == 0
    run_dir = RunDirectory(lab.run("load-apart"))
    run_dir.journals.mkdir()
    journal = UnitJournal(run_dir.journals, "measure-00000", 0)
    journal.__enter__()
    journal.at_work_on(["a"])
    code, errors = finished(lab.driver("load-apart", *options), seconds=400)
    assert code == 1 and "died 1 time(s) while it loaded the model (SIGKILL" in errors, errors
    assert not UnitJournal(run_dir.journals, "measure-00000", 0).__enter__().deaths


def test_a_replica_that_loads_lets_others_load(lab, tmp_path):
    """Fault 9: deaths while loading count only without a success in between."""
    (tmp_path / "incoming").mkdir()
    import yaml

    config = yaml.safe_load(lab.config.read_text())
    job = {
        "config": config,
        "root": str(tmp_path),
        "incoming": str(tmp_path / "incoming"),
        "key_groups": [],
        "units": [],
    }
    for number in range(5):
        (tmp_path / "incoming" / f"loading-{number}").touch()
    actor = ReplicaActor(job, 2)
    assert actor._failure is None and not list((tmp_path / "incoming").glob("loading-*"))
    for number in range(6):
        (tmp_path / "incoming" / f"loading-{number}").touch()
    row = ReplicaActor(job, 2)({"unit": ["measure-00000"]})
    assert row["state"] == ["failed"] and "die again and again" in row["detail"][0]


@pytest.mark.soak
def test_a_stall_is_named(lab, monkeypatch, capsys):
    """Fault 14: a run that waits says for what, and goes on waiting."""
    monkeypatch.setattr(ray_driver, "STALL_SECONDS", 3.0)
    options = [f"model.path={lab.faulty(fault_seconds=12)}", "predictions.max_samples=1"]
    assert lab.here("stalled", "cluster.mode=local", "cluster.replicas=1", *options) == 0
    said = capsys.readouterr().err
    assert "no shard has been finished for" in said and "at work: measure-00000" in said and "room for" in said


def test_a_run_that_was_killed_from_outside_again_and_again_rejects_nobody(lab, capsys):
    """Fault 7, innocents: the unit is done in a process of its own, in its planned batches, and equal bit for bit."""
    assert lab.here("killed-inline", stage="plan") == 0
    run_dir = RunDirectory(lab.run("killed-inline"))
    unit, sample_id = "measure-00000", run_dir.plan.units()[0].sample_ids[0]
    run_dir.journals.mkdir()
    for _ in range(9):
        journal = UnitJournal(run_dir.journals, unit, 2)
        journal.__enter__()
        journal.at_work_on([sample_id])
    assert lab.here("killed-inline") == 0
    said = capsys.readouterr().err
    assert f"Warning: {unit}: 9 processes died at it and nobody saw of what" in said and "rejected only if" in said
    lab.assert_whole("killed-inline")
    facts = json.loads((run_dir.ledger.shards / unit / "manifest.json").read_text())["facts"]
    assert facts["num_deaths"] == 9 and not facts["isolated_sample_ids"] and lab.rejects("killed-inline") == []
