"""What can be checked of `launch/` without a cluster; `tests/slurm` runs it on one."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import ray
import yaml
from jsonschema import ValidationError, validate

from engine.config import load_config
from tests.fixtures.places import ROOT

LAUNCH = ROOT / "launch"
VERSIONS = dict.fromkeys(("ray", "torch", "transformers", "pyarrow", "polars", "numpy"), "1.0")
SCRIPTS = sorted([*LAUNCH.glob("slurm/*.s*"), *LAUNCH.glob("slurm/sites/*.sh"), *LAUNCH.glob("local/*.sh")])


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
    ("version", "is_refused"),
    [("2.51.2", True), ("2.9.3", True), ("2.52.0", False), ("2.60.0", False), ("missing", False)],
)
def test_a_node_with_a_ray_that_knows_no_tokens_is_refused(preflight, version, is_refused):
    """A missing one is told elsewhere."""
    assert ["knows no tokens" in problem for problem in preflight._knows_tokens(version)] == [True] * is_refused


def test_no_script_starts_a_ray_without_a_token_or_in_a_folder_that_can_be_guessed():
    """Wherever a command of `launch/` or of a page starts Ray, what makes it ask for a token stands before it."""
    for path in [*LAUNCH.rglob("*"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        if path.is_dir():
            continue
        text = re.sub(r"(?m)^\s*#.*$", "", path.read_text())
        for start in re.finditer(r"\bray (?:start|symmetric-run)\b(?! --head` printed)[^`|\n]*--", text):
            before = text[: start.start()]
            assert re.search(r"private\.sh|in_private|RAY_AUTH_MODE=token", before), (path, start.group())
        assert not re.search(r"--temp-dir=/tmp|mkdir -p \"?\$RAY_TMP|RAY_AUTH_TOKEN=\S*[0-9a-f$]", text), path


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
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (problem,) = preflight.look("config/demo.yaml", "127.0.0.1", 0, [output])["problems"]
    assert "the command ray is not in the venv" in problem
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
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


PYTHON = """#!/bin/sh
[ "$1" != -c ] || { echo "$GPUS"; exit; }
printf '%s\\n' "$@"; echo "threads $OMP_NUM_THREADS"
"""


@pytest.mark.parametrize(
    ("script", "environment", "given"),
    [
        ("gpus", {"GPUS": "4"}, ["cluster.mode=local", "cluster.gpus_per_replica=1", "cluster.accelerator_type=null"]),
        ("gpus", {"GPUS": "1"}, ["cluster.mode=inline", "cluster.gpus_per_replica=1", "model.device=cuda"]),
        ("gpus", {"GPUS": "2", "GPUS_PER_REPLICA": "2"}, ["cluster.mode=inline", "cluster.gpus_per_replica=2"]),
        ("gpus", {"GPUS": "1", "GPUS_PER_REPLICA": "0.5"}, ["cluster.mode=local", "cluster.gpus_per_replica=0.5"]),
        ("cpu", {"THREADS": "2", "REPLICAS": "3"}, ["cluster.mode=local", "cluster.replicas=3", "threads 2"]),
        ("cpu", {"REPLICAS": "1"}, ["cluster.mode=inline", "model.dtype=float32", "cluster.gpus_per_replica=0"]),
        ("mps", {}, ["cluster.mode=inline", "model.device=mps", "cluster.gpus_per_replica=0"]),
    ],
)
def test_what_the_local_scripts_run(tmp_path, script, environment, given):
    """With a stand-in for Python that prints what it was given; what is given is a config."""
    stand_in = tmp_path / "python"
    stand_in.write_text(PYTHON)
    stand_in.chmod(0o755)
    own = ["config/full.yaml", "run.name=a b", "model.dtype=float16", "--stage", "plan"]
    done = subprocess.run(
        [LAUNCH / "local" / f"{script}.sh", *own],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(stand_in), **environment},
    )
    words = done.stdout.splitlines()
    assert words[:3] == ["-m", "engine.run", own[0]] and set(given) <= set(words) and words[-5:-1] == own[1:]
    config, _ = load_config(ROOT / "config" / "full.yaml", words[3:-3])
    assert (config.model.dtype, config.run.name) == ("float16", "a b")


def test_a_host_without_gpus_is_told_so(tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\necho 0\n")
    stand_in.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(stand_in)}
    command = [LAUNCH / "local" / "gpus.sh", "config/full.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and "sees no GPU" in done.stderr and "cpu.sh" in done.stderr


def test_the_ray_cluster_is_one_by_rays_own_schema():
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    validate(yaml.safe_load((LAUNCH / "ray" / "cluster.yaml").read_text()), schema)


@pytest.fixture
def ray_job():
    return yaml.safe_load((LAUNCH / "kubernetes" / "rayjob.yaml").read_text())


def _schema():
    """Return a schema written after KubeRay's field names, since its own is not at hand; it says what it lacks."""
    return json.loads((Path(__file__).parent / "rayjob_schema.json").read_text())


def test_the_ray_job_has_no_field_that_there_is_not(ray_job):
    validate(ray_job, _schema())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("spec", "entryPoint"), "python -m engine.run"),
        (("spec", "submissionMode"), "K8SJobMode"),
        (("spec", "backoffLimit"), "2"),
        (("spec", "shutdownAfterJobFinishes"), False),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "authOptions"), {"Mode": "token"}),
        (("spec", "rayClusterSpec", "headGroupSpec", "replicas"), 1),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "groupName"), "A100"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "resources", "limits",
          "memory"), "64 GB"),
    ],
)  # fmt: skip
def test_a_wrong_ray_job_is_noticed(ray_job, place, value):
    part = ray_job
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    with pytest.raises(ValidationError):
        validate(ray_job, _schema())


def test_the_ray_job_is_whole(ray_job):
    """Names, mounts, versions and the command are checked against one another."""
    job = ray_job
    cluster = job["spec"]["rayClusterSpec"]
    # The operator writes its commands for this version, which must be the image's.
    assert f"ray[default]=={cluster['rayVersion']}" in (LAUNCH / "kubernetes" / "Dockerfile").read_text()
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    specs = [pod["template"]["spec"] for pod in pods]
    assert len({container["image"] for spec in specs for container in spec["containers"]}) == 1
    assert cluster["authOptions"] == {"mode": "token"}
    for spec in specs:
        # Also where an operator does not know authOptions: without a token Ray then does not start.
        assert all({"name": "RAY_AUTH_MODE", "value": "token"} in one["env"] for one in spec["containers"])
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
    for name in re.findall(r"launch/[\w./-]+|\b(?:local|slurm|ray|kubernetes)/[\w.-]+\.\w+", page):
        assert (ROOT / name).exists() or (LAUNCH / name).exists() or name.endswith("/mine.sh"), name


def test_every_message_that_the_page_explains_is_said_somewhere():
    """Texts of the table's first column, in the words of the source; those of others say whose they are."""
    source = " ".join(
        path.read_text()
        for folder in ("engine", "launch")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sh", ".sbatch")
    )
    said = " ".join(re.sub(r'"\s*f?"', "", source).split())
    table = (LAUNCH / "README.md").read_text().partition("## What went wrong?")[2]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    texts = [text for row in rows for text in re.findall(r"`([^`]+)`(?! \((?:Ray|SLURM)\))", row)]
    others = {"oom_kill", "dmesg", "PENDING", "Resources"}
    parts = [part.strip() for text in texts for part in text.split("…") if text not in others]
    assert len(parts) > 25
    assert not [part for part in parts if part not in said]
