"""Soak: a thousand shards while replicas, and now and then the driver, are killed at random; nothing is lost."""

from __future__ import annotations

import json
import random
import time

import psutil
import pytest

from engine.errors import EXIT_DONE, EXIT_FAILED
from tests.fixtures.laboratory import Laboratory, replicas_of
from tests.fixtures.predictions import records

NUM_SHARDS = 1000
MAX_SECONDS = 1800
DRIVER_KILLS = 3


@pytest.mark.soak
def test_a_thousand_shards_under_random_kills(lab, tmp_path):
    rows = records(NUM_SHARDS)
    (tmp_path / "many.json").write_text(json.dumps(rows))
    laboratory = Laboratory.__new__(Laboratory)
    laboratory.__dict__.update(lab.__dict__ | {"ids": sorted(f"{row['company_id']}-{row['year']}" for row in rows)})
    options = [f"predictions.path={tmp_path / 'many.json'}", "cluster.samples_per_shard=1"]
    assert laboratory.here("soak-whole", *options) == 0
    rng, started = random.Random(7), time.monotonic()
    kills, driver_kills, given_up, code = 0, 0, 0, None
    while code != EXIT_DONE:
        driver = laboratory.driver("soak", *options, "cluster.mode=local", "cluster.replicas=2")
        while driver.poll() is None:
            assert time.monotonic() - started < MAX_SECONDS
            time.sleep(rng.uniform(2, 8))
            if driver_kills < DRIVER_KILLS and len(laboratory.commits("soak")) > (driver_kills + 1) * NUM_SHARDS // 5:
                driver.kill()
                driver_kills += 1
                break
            alive = replicas_of(driver) if driver.poll() is None else []
            if alive:
                victim = rng.choice(alive)
                try:
                    victim.kill()
                    kills += 1
                except psutil.NoSuchProcess:
                    continue
        _, errors = driver.communicate(timeout=60)
        code = driver.returncode
        # Killed often enough before any replica has loaded its model, a run gives up; the next start goes on.
        gives_up = code == EXIT_FAILED and "die again and again while they load" in errors
        given_up += gives_up
        assert code in (EXIT_DONE, -9) or gives_up, errors
    seconds = time.monotonic() - started
    print(
        f"{NUM_SHARDS} shards, {kills} replicas and {driver_kills} drivers killed, {given_up} times given up while "
        f"loading, {seconds:.0f} s"
    )
    assert driver_kills == DRIVER_KILLS and kills >= 5
    expected, found = laboratory.tables("soak-whole"), laboratory.tables("soak")
    assert sorted(found["samples"]["sample_id"]) == laboratory.ids
    for name, table in expected.items():
        assert table.equals(found[name]), name
