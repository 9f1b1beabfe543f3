"""Who may come in: other users of the machine, whoever reaches a cluster's ports, and what a killed run leaves open."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from engine.executors.over_ray.ray_folder import make_folder
from tests.fixtures.capabilities import needs
from tests.fixtures.laboratory import finished, wait_for
from tests.fixtures.places import ROOT

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]
BREAK_IN = """
folder=$1
cat "$folder/token" && echo read
ls "$folder" && echo listed
mv "$folder" "$folder.stolen" && echo renamed
for session in "$folder"/ray/session_2*; do
  mv "$session/sockets/raylet" "$session/sockets/raylet.stolen" && echo moved
  touch "$session/logs/planted" && echo planted
done
for process in $2; do cat "/proc/$process/environ" && echo environment; done
exit 0
"""
ASK = """
import sys
from ray._raylet import GcsClient
client = GcsClient(address=sys.argv[1])
print("nodes", len(client.get_all_node_info(timeout=20)))
"""


def environment_of(process):
    """Return a process's environment; nothing of one that has ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none, too
        return process.environ()
    return {}


def folder_of(driver):
    """Return the temporary folder of a driver's Ray, or None before it is there."""
    for process in psutil.Process(driver.pid).children():
        if folder := environment_of(process).get("HEADLEDGER_RAY_FOLDER"):
            return Path(folder)
    return None


def sockets_of(driver):
    folder = folder_of(driver)
    return folder and list(folder.glob("ray/session_2*/sockets/raylet"))


def test_another_user_finds_every_door_closed_and_the_next_start_sweeps(lab):
    """No session of Ray's can be entered or listed; the token stands in no argument, variable or log."""
    needs("setpriv")
    options = [f"model.path={lab.faulty(fault_seconds=0.5)}", "cluster.mode=local", "cluster.replicas=1"]
    driver = lab.driver("doors", *options)
    wait_for(lambda: sockets_of(driver) and lab.commits("doors"), driver)
    folder, family = folder_of(driver), psutil.Process(driver.pid).children(recursive=True)
    token = (folder / "token").read_text()
    pids = " ".join(str(process.pid) for process in family)
    said = subprocess.run([*NOBODY, BREAK_IN, "sh", folder, pids], capture_output=True, text=True, check=True)
    assert said.stdout == "" and "Permission denied" in said.stderr
    told = subprocess.run([*NOBODY, "ls -d /tmp && echo listed"], capture_output=True, text=True, check=True)
    assert "listed" in told.stdout, "the other user can do what everybody may"
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            with_token = [text for text in [*process.cmdline(), *process.environ().values()] if token in text]
            assert not with_token, process
    searched = [path for path in folder.glob("ray/**/*") if path.is_file() and path != folder / "token"]
    assert searched and not [path for path in searched if token.encode() in path.read_bytes()]
    assert not [path for path in lab.run("doors").rglob("*") if path.is_file() and token.encode() in path.read_bytes()]

    # Both that could remove the folder die without a chance to; the kernel says so to the next start.
    child = next(process for process in family if "HEADLEDGER_RAY_FOLDER" in environment_of(process))
    child.send_signal(signal.SIGSTOP)
    driver.kill()
    child.kill()
    driver.communicate()
    for process in family:
        if process.is_running():
            process.kill()
    psutil.wait_procs(family, timeout=30)  # from here on the next start sweeps, and another test's may be the first
    made = make_folder()
    made.remove()
    assert not folder.exists() and not made.path.exists()


@pytest.mark.soak
def test_a_folder_is_gone_after_a_run(lab):
    options = ["cluster.mode=local", "cluster.replicas=1", "predictions.max_samples=2"]
    driver = lab.driver("doors-closed", *options)
    wait_for(lambda: sockets_of(driver), driver)
    folder = folder_of(driver)
    code, errors = finished(driver)
    assert code == 0, errors
    assert not folder.exists()


def in_own_network(script, *arguments, **variables):
    """Run a script of bash in a network of its own, whose only address beside loopback is 10.77.0.1."""
    setup = "ip link set lo up && ip addr add 10.77.0.1/32 dev lo || exit 77\n"
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(ROOT),
        "RAY_DISABLE_IMPORT_WARNING": "1",
        **variables,
    }
    command = [
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "bash",
        "-c",
        setup + script,
        "bash",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=400)


CLUSTER = """
eval "$1" || exit 1
ask() { timeout 120 python -c "$2" 10.77.0.1:6379 2>&1 | tail -n 1 | cut -c1-300 | sed "s/^/$1: /"; }
(unset RAY_AUTH_MODE; HOME=/nonexistent ask "no token" "$2") &
(HOME=/nonexistent RAY_AUTH_TOKEN=$(printf 'b%.0s' $(seq 64)) ask "wrong token" "$2") &
ask "its token" "$2" &
wait
ss -Hltn | awk '{print "listens", $4}'
stat -c 'folder %a' "$RAY_TMPDIR"
rm -rf "$RAY_TMPDIR"
"""


def head_command():
    """Return what ``ray up`` runs on the head of launch/ray/cluster.yaml, for this checkout and its Python."""
    (command,) = yaml.safe_load((ROOT / "launch/ray/cluster.yaml").read_text())["head_start_ray_commands"]
    command = command.replace("REPOSITORY", f"'{ROOT}'").replace("HEAD_ADDRESS", "10.77.0.1")
    return command.replace(". .venv/bin/activate", "true")


def test_the_ray_cluster_lets_in_only_who_has_its_token(tmp_path):
    """In a network of its own: without a token, or with another's, nothing is answered."""
    needs("unshare", "ip", "ss")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("a" * 64)
    (tmp_path / ".ray" / "auth_token").chmod(0o644)  # too open: mended
    done = in_own_network(CLUSTER, head_command(), ASK, HOME=str(tmp_path))
    if done.returncode == 77:
        pytest.skip(f"no network of its own can be made here: {done.stderr[-200:]}")
    lines = done.stdout.splitlines()
    (good,) = (line for line in lines if line.startswith("its token"))
    assert good == "its token: nodes 1", done.stdout + done.stderr
    refused = [line for line in lines if line.startswith(("no token", "wrong token"))]
    assert len(refused) == 2 and not [line for line in refused if "nodes" in line], refused
    ports = {line.rpartition(":")[2] for line in lines if line.startswith("listens")}
    assert "6379" in ports
    assert "folder 700" in lines and (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    assert "a" * 64 not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("stand_in", "has_token", "is_started"),
    [("exit 0", True, True), ("[ $1 != get-auth-token ]", True, False), ("exit 0", False, False)],
    ids=["as it should be", "a Ray that knows no tokens", "no token"],
)
def test_the_ray_cluster_starts_only_with_a_token(tmp_path, stand_in, has_token, is_started):
    """With a stand-in for the command ray that prints what it was given."""
    (tmp_path / ".ray").mkdir()
    if has_token:
        (tmp_path / ".ray" / "auth_token").write_text("a" * 64)
    ray = tmp_path / "ray"
    knows = f"[ -s {tmp_path}/.ray/auth_token ] || exit 1\n" if not has_token else ""
    ray.write_text(f'#!/bin/sh\n{knows}[ $1 != start ] || echo "$@ in $RAY_TMPDIR, $RAY_AUTH_MODE"\n{stand_in}\n')
    ray.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", head_command()], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert ("start --head" in done.stdout) == is_started and (done.returncode == 0) == is_started, done
    if is_started:
        folder = Path(done.stdout.rpartition(" in ")[2].partition(",")[0])
        assert folder.stat().st_mode & 0o777 == 0o700 and done.stdout.rstrip().endswith("token")
        folder.rmdir()


JOB = """
set -uo pipefail
source "$HEADLEDGER_LAUNCH/job.sh"
make_private
trap remove_private EXIT
stat -c '%a %n' "$RAY_TMP" "$RAY_AUTH_TOKEN_PATH"
echo "$RAY_AUTH_MODE ${RAY_AUTH_TOKEN:-none}"
"$HEADLEDGER_LAUNCH/ray-node.sh" 2>&1
[ -d "$RAY_TMP" ] || echo gone
"""
NODE = """
mkdir -m 755 "$RAY_TMP" && chown 65534 "$RAY_TMP"
"$HEADLEDGER_LAUNCH/ray-node.sh" 2>&1
"""


@pytest.fixture
def job(tmp_path):
    """Run a script as a SLURM job would, with stand-ins for its commands and Ray's that print what they were given."""
    (tmp_path / "logs").mkdir()
    for name, text in {
        "ray": 'echo "ray $@"; stat -c "%a" "$RAY_TMP"',
        "squeue": "echo 7; echo 99",
        "ip": "echo '10.0.0.1 dev lo src 10.0.0.1 uid 0'",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def run(script, **variables):
        environment = {
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HEADLEDGER_LAUNCH": str(ROOT / "launch" / "slurm"),
            "SLURM_JOB_ID": "4242000007",
            "SLURM_NODEID": "0",
            "HEAD_IP": "10.0.0.1",
            "BASE": "20000",
            "RAY_AUTH_TOKEN": "of another cluster",
            **variables,
        }
        command = ["bash", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

    return run


def test_a_slurm_jobs_folder_and_token_are_private_and_go_with_it(job, tmp_path):
    old = tmp_path / "logs" / ".ray-token-4242000006-abcdefgh"
    running = tmp_path / "logs" / ".ray-token-99-abcdefgh"
    left = Path("/tmp/hl4242000006-abcdefgh")
    left.mkdir(mode=0o700)
    for path in (old, running):
        path.touch()
    done = job(JOB)
    folder, token, modes, ray, mode_inside, gone = done.stdout.splitlines()
    assert folder.startswith("700 /tmp/hl4242000007-") and token.startswith("600 ") and modes == "token none"
    assert "--include-dashboard=false" in ray and folder[4:] in ray
    assert (mode_inside, gone) == ("700", "gone")
    assert not left.exists() and not old.exists() and running.exists()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [running.name]
    assert not list(Path("/tmp").glob("hl4242000007-*"))


def test_a_slurm_node_does_not_use_what_another_user_made(job, tmp_path):
    needs()
    folder = Path("/tmp/hl4242000008-abcdefgh")
    try:
        done = job(NODE, SLURM_JOB_ID="4242000008", SLURM_NODEID="1", RAY_TMP=str(folder))
        assert (
            done.returncode != 0 and "is there already and not ours" in done.stdout and "ray start" not in done.stdout
        )
    finally:
        shutil.rmtree(folder)
