"""What can be checked of `launch/` without a cluster; `tests/slurm` runs it on one."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest
import ray
import yaml
from jsonschema import validate

from engine.config_file import load_config
from tests.conftest import ROOT

LAUNCH = ROOT / "launch"
VERSIONS = dict.fromkeys(("ray", "torch", "transformers", "pyarrow", "polars", "numpy"), "1.0")
SCRIPTS = sorted([*LAUNCH.glob("slurm/*.s*"), *LAUNCH.glob("slurm/sites/*.sh")])


@pytest.fixture(scope="module")
def preflight():
    spec = importlib.util.spec_from_file_location("preflight", LAUNCH / "slurm" / "preflight.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def node(host="n1", **changes):
    facts = {"host": host, "python": "3.11.7", "versions": VERSIONS, "problems": [], "free_gb": 50.0}
    return json.dumps(facts | changes)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script):
    assert not subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=True).stderr
    assert "ray stop" not in re.sub(r"#.*", "", script.read_text())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "SITE CONFIG..."),
        (["nowhere", "config/demo.yaml"], "no such site file"),
        (["quest", "config/nowhere.yaml"], "no such config"),
        (["quest", "config/demo.yaml", "--nodes=2"], "come after --"),
        (["quest", "config/demo.yaml", "fast"], "neither a config"),
        (["quest", "run.name=x"], "SITE CONFIG..."),
    ],
)
def test_what_submit_refuses(arguments, words):
    command = [LAUNCH / "slurm" / "submit.sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2 and words in done.stderr


def test_what_submit_hands_to_sbatch(tmp_path):
    """With a stand-in that prints what it was given; the real one is called in tests/slurm."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/sh\nprintf "%s\\n" "$@"; echo "$HEADLEDGER_CONFIGS|$HEADLEDGER_OVERRIDES"\n')
    sbatch.chmod(0o755)
    first, second = tmp_path / "with blank.yaml", tmp_path / "b.yaml"
    for path in (first, second):
        path.write_text("{}")
    done = subprocess.run(
        [LAUNCH / "slurm" / "submit.sh", "quest", str(first), "run.name=a b", str(second), "--", "--nodes=7"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/root"},
        check=True,
    )
    given = done.stdout.splitlines()
    assert {"--account=p12345", "--partition=gengpu", "--gres=gpu:a100:1", "--array=0-1"} <= set(given)
    assert given.index("--nodes=4") < given.index("--nodes=7")
    assert done.stdout.endswith(f"{first}\n{second}|run.name=a b\n")


def test_nodes_that_agree_pass(preflight):
    assert preflight.judge(["module: loaded", node("n1"), node("n2")], 2, 20) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([node("n1")], "1 of 2 nodes gave no answer"),
        ([node("n1"), "bash: python: not found"], "python: not found"),
        ([node("n1"), node("n2", python="3.12.1")], "python differs between nodes: n1 has 3.11.7, n2 has 3.12.1"),
        ([node("n1"), node("n2", free_gb=3.0)], "3.0 GB free; the site file asks for MIN_FREE_GB=20"),
        ([node("n1"), node("n2", problems=["no GPU is visible"])], "n2: no GPU is visible"),
        ([node(host, versions=VERSIONS | {"ray": "missing"}) for host in "ab"], "ray is not installed"),
    ],
)
def test_nodes_that_do_not_fit(preflight, lines, words):
    (problem,) = preflight.judge(lines, 2, 20)
    assert words in problem


def test_a_node_looks_at_config_output_and_model(preflight, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(ROOT)
    output = f"run.output={tmp_path / 'runs'}"
    facts = preflight.look("config/demo.yaml", "127.0.0.1", 0, [output])
    assert facts["problems"] == [] and facts["versions"]["ray"] == ray.__version__
    (problem,) = preflight.look("config/demo.yaml", "-", 0, [output, "model.device=cuda"])["problems"]
    assert "no GPU is visible" in problem and "model.device=cpu" in problem
    (problem,) = preflight.look("config/nowhere.yaml", "-", 0, [])["problems"]
    assert "no such config file" in problem
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (problem,) = preflight.look("config/demo.yaml", "-", 0, [output, "model.path=nobody/nothing"])["problems"]
    assert "hf download nobody/nothing" in problem


def test_the_ray_cluster_is_one_by_rays_own_schema():
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    validate(yaml.safe_load((LAUNCH / "ray" / "cluster.yaml").read_text()), schema)


def test_the_ray_job_is_whole():
    """KubeRay's own schema is not at hand: names, mounts and the command are checked against one another."""
    job = yaml.safe_load((LAUNCH / "kubernetes" / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    specs = [pod["template"]["spec"] for pod in pods]
    assert len({container["image"] for spec in specs for container in spec["containers"]}) == 1
    for spec in specs:
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert all(mount["name"] in volumes for container in spec["containers"] for mount in container["volumeMounts"])
    assert all(isinstance(value, str) for pod in pods for value in pod["rayStartParams"].values())
    words = job["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "engine.run"]
    config, _ = load_config(ROOT / "config" / Path(words[3]).name, words[4:])
    assert config.cluster.mode == "auto" and config.run.output.startswith("/shared/")


def test_the_image_copies_what_the_package_needs():
    copied = re.findall(r"^COPY (\S+)", (LAUNCH / "kubernetes" / "Dockerfile").read_text(), re.MULTILINE)
    assert {"engine", "analyses", "config"} <= set(copied) and all((ROOT / name).exists() for name in copied)


def test_every_path_that_the_page_names_exists():
    page = (LAUNCH / "README.md").read_text()
    for name in re.findall(r"launch/[\w./-]+|\b(?:slurm|ray|kubernetes)/[\w.-]+\.\w+", page):
        assert (ROOT / name).exists() or (LAUNCH / name).exists(), name
