"""A cluster on loopback: nodes and its head die, its address, version or token is wrong: faults 2, 4, 15 and 16."""

from __future__ import annotations

import os
import time

import pytest

from engine.config import Config
from engine.errors import ConfigError, RunFailedError
from engine.executors.over_ray import ray_cluster as clusters
from engine.executors.over_ray import ray_pool
from engine.executors.over_ray.ray_driver import cluster_nodes
from engine.machine.nodes import Node
from tests.fixtures.laboratory import finished, wait_for
from tests.fixtures.ray_clusters import Cluster

LESS = "ray_driver.HEAD_SILENCE_SECONDS, ray_driver.LOSS_SECONDS = 12.0, 3.0"


@pytest.fixture
def ray_cluster():
    made = Cluster()
    yield made
    made.stop()


@pytest.mark.soak
def test_a_node_dies_then_the_head(lab, ray_cluster, monkeypatch):
    """Faults 2, 4 and 16: four replicas lose two with their node, then the head goes; a new cluster finishes."""
    slow = f"model.path={lab.faulty(fault_seconds=0.5)}"
    head = ray_cluster.start_head(2)
    second = ray_cluster.start(f"--address={ray_cluster.address}", num_cpus=2)
    wait_for(lambda: ray_cluster.part(second, "raylet"), second)
    wait_for(lambda: "Ray runtime started" in (ray_cluster.folder / "node-1.log").read_text(), second)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, ray_cluster.environment[name])
    # What a plan sees of it, without joining.
    assert [node.num_cpus for node in cluster_nodes(ray_cluster.address)] == [2, 2]
    environment = ray_cluster.environment | {"RAY_ADDRESS": ray_cluster.address}
    driver = lab.driver("node-lost", slow, "cluster.mode=auto", "cluster.replicas=4", patience=LESS, env=environment)
    wait_for(lambda: len(lab.commits("node-lost")) >= 3, driver)
    ray_cluster.part(second, "raylet").kill()
    before = lab.commits("node-lost")
    code, errors = finished(driver)
    assert code == 0, errors
    assert "a node was lost" in errors and before.items() <= lab.commits("node-lost").items()
    lab.assert_whole("node-lost")

    driver = lab.driver("head-lost", slow, "cluster.mode=auto", "cluster.replicas=2", patience=LESS, env=environment)
    wait_for(lambda: len(lab.commits("head-lost")) >= 3, driver)
    ray_cluster.part(head, "gcs_server").kill()
    before = lab.commits("head-lost")
    code, errors = finished(driver)
    assert code == 1 and "RAY_ADDRESS" in errors and "start the same command again" in errors, errors
    assert not (lab.run("head-lost") / "_SUCCESS").exists()
    code, errors = finished(lab.driver("head-lost", slow, "cluster.mode=local", "cluster.replicas=1"))
    assert code == 0, errors
    assert before.items() <= lab.commits("head-lost").items()
    lab.assert_whole("head-lost")


@pytest.mark.soak
def test_a_cluster_of_another_ray_version_and_of_another_token(lab):
    """Fault 15: both are refused with what to set."""
    made = Cluster(version="2.40.0")
    try:
        made.start_head(1)
        for environment, words in (
            (made.environment, ["Version mismatch", "2.40.0", "Install"]),
            (made.environment | {"RAY_AUTH_TOKEN": "b" * 64}, ["RAY_AUTH_TOKEN"]),
        ):
            driver = lab.driver("other-cluster", "cluster.mode=auto", env=environment | {"RAY_ADDRESS": made.address})
            code, errors = finished(driver)
            assert code == 1 and made.address in errors and all(word in errors for word in words), errors
    finally:
        made.stop()


def test_a_cluster_that_asks_nobody_for_a_token_is_refused(lab):
    """Fault 25: whoever reaches it can run code there; a token that it does not ask for is no lock."""
    made = Cluster()
    made.environment |= {"RAY_AUTH_MODE": "disabled"}
    try:
        made.start_head(1)
        asks = made.environment | {"RAY_AUTH_MODE": "token", "RAY_ADDRESS": made.address}
        code, errors = finished(lab.driver("open-cluster", "cluster.mode=auto", env=asks))
        assert code == 1 and "was started without a token" in errors, errors
        assert not lab.commits("open-cluster")
    finally:
        made.stop()


@pytest.mark.soak
def test_a_local_run_among_leftovers(lab, tmp_path):
    """Fault 15: a stale address file, a stale token and a wrong RAY_ADDRESS concern other clusters."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("stale")
    leftovers = {"HOME": str(tmp_path), "RAY_ADDRESS": "127.0.0.1:1", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "gone")}
    driver = lab.driver("leftovers", "cluster.mode=local", "cluster.replicas=2", env=os.environ | leftovers)
    code, errors = finished(driver)
    assert code == 0, errors
    lab.assert_whole("leftovers")
    assert (tmp_path / ".ray" / "auth_token").read_text() == "stale"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", ["no Ray cluster answers there", "Connection refused"]),
        ("ray://127.0.0.1:10001", ["Ray client"]),
        ("http://127.0.0.1:8265", ["dashboard"]),
        ("head-node", ["host:port"]),
        ("no.such.host.invalid:6379", ["no such host"]),
    ],
)
def test_a_wrong_address_says_what_to_set(lab, monkeypatch, capsys, address, words):
    """Fault 15."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    started = time.monotonic()
    assert lab.here("wrong-address", "cluster.mode=auto") == 1
    said = capsys.readouterr().err
    assert f"RAY_ADDRESS={address}" in said and "cluster.mode=local" in said and "Traceback" not in said
    assert all(word in said for word in words) and time.monotonic() - started < 60


@pytest.mark.parametrize(("replicas", "is_retry", "expected"), [(None, False, 2), (2, False, 2), (4, True, 2)])
def test_replicas_that_fit(replicas, is_retry, expected):
    config = Config.model_validate(
        {"predictions": {"path": "x"}, "model": {"path": "x"}, "cluster": {"replicas": replicas}}
    )
    assert ray_pool.num_replicas(config, [Node(1.0), Node(1.0)], 100, is_retry=is_retry) == expected
    with pytest.raises(ConfigError, match="do not fit"):
        ray_pool.num_replicas(config, [Node(0.0)], 100)


def test_addresses_that_are_none():
    with pytest.raises(RunFailedError, match="host:port"):
        clusters.check_address("127.0.0.1:99999")
    clusters.check_address("auto")
