"""Before Ray starts: whether every node of a SLURM job sees the same software, files, model and network.

``look`` runs on every node and prints what it finds as one line of JSON; ``judge`` reads the lines and says in
sentences what does not fit; ``await`` waits for Ray's nodes. Only ``await`` imports Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "transformers", "pyarrow", "polars", "numpy")
SECONDS = 30.0
"""How long nodes wait for one another's files and sockets: network file systems show new files late."""

RAY_SECONDS = 120.0
FIRST_WITH_TOKENS = (2, 52)


def look(config_path: str, head_ip: str, port: int, overrides: list[str]) -> dict[str, Any]:
    """Collect this node's facts, and its problems as sentences."""
    facts: dict[str, Any] = {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "problems": [],
    }
    try:
        from engine.config import load_config
        from engine.errors import UserError
    except ImportError as error:
        return facts | {"problems": [f"{error}: run in the repository, with the venv in which it is installed."]}
    try:
        config, _ = load_config(config_path, overrides)
    except UserError as error:
        return facts | {"problems": [str(error)]}
    output = Path(config.run.output)
    facts["problems"] += _visible_to_all(output)
    if head_ip != "-":
        facts["problems"] += _reachable(head_ip, port)
        if shutil.which("ray") is None:
            facts["problems"].append("the command ray is not in the venv (VENV); pip install -e . puts it there.")
        facts["problems"] += _knows_tokens(facts["versions"]["ray"])
    facts["free_gb"] = _free_gb(output)
    facts["output"] = str(output)
    gpus = facts["gpus"] = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    wants_gpu = config.cluster.gpus_per_replica > 0 or config.model.device.startswith("cuda")
    if wants_gpu and not gpus:
        facts["problems"].append(
            f"no GPU is visible (CUDA_VISIBLE_DEVICES is empty), but the config asks for model.device: "
            f"{config.model.device}: ask SLURM for one (GRES of the site file), or run with model.device=cpu "
            f"cluster.gpus_per_replica=0."
        )
    if wants_gpu and 0 < len(gpus) < config.cluster.gpus_per_replica:
        facts["problems"].append(
            f"{len(gpus)} GPU(s) are visible, but cluster.gpus_per_replica is {config.cluster.gpus_per_replica:g}."
        )
    facts["problems"] += _model_present(config.model.path, config.model.revision)
    return facts


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _knows_tokens(version: str) -> list[str]:
    """Refuse a Ray that runs everybody's code: one that knows no tokens ignores the setting without a word."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) < 2 or numbers >= FIRST_WITH_TOKENS:  # a missing one is told elsewhere
        return []
    return [
        f"Ray {version} knows no tokens, so that everybody who reaches its ports can run code as you; it must be "
        f"{'.'.join(map(str, FIRST_WITH_TOKENS))} or newer (pip install -e . in VENV)."
    ]


def _rank() -> int:
    return int(os.environ.get("SLURM_PROCID", "0"))


def _visible_to_all(output: Path) -> list[str]:
    """Leave a file in the output folder and wait for those of the other nodes, which shows whether all share it."""
    number = int(os.environ.get("SLURM_NTASKS", "1"))
    folder = output / f".preflight-{os.environ.get('SLURM_JOB_ID', '0')}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(_rank())).write_text(socket.gethostname(), encoding="utf-8")
        end = time.monotonic() + SECONDS
        while len(seen := list(folder.iterdir())) < number and time.monotonic() < end:
            time.sleep(0.2)
    except OSError as error:
        return [f"run.output: {output} cannot be written: {error.strerror or error}."]
    if len(seen) < number:
        return [
            f"run.output: {output.resolve()} shows the files of {len(seen)} of {number} nodes after {SECONDS:.0f} s: "
            f"it must lie on a file system that all nodes share."
        ]
    return []


def _reachable(head_ip: str, port: int) -> list[str]:
    """On the first node listen where Ray's head will; on the others connect there."""
    number = int(os.environ.get("SLURM_NTASKS", "1")) - 1
    if _rank() == 0:
        try:
            with socket.create_server((head_ip, port)) as server:
                server.settimeout(SECONDS)
                with contextlib.suppress(TimeoutError):
                    for _ in range(number):
                        server.accept()[0].close()
        except OSError as error:
            return [f"the head cannot listen at {head_ip}:{port}: {error.strerror}. Is RAY_IFACE the right card?"]
        return []
    end = time.monotonic() + SECONDS
    reason = ""
    while time.monotonic() < end:
        try:
            socket.create_connection((head_ip, port), 3).close()
            return []
        except OSError as error:
            reason = str(error.strerror or error)
            time.sleep(0.3)
    return [
        f"the head's address {head_ip}:{port} cannot be reached: {reason}. Set RAY_IFACE in the site file to the "
        f"network card that the nodes share (ip -4 -o addr)."
    ]


def _free_gb(output: Path) -> float:
    while not output.exists():
        output = output.parent
    return shutil.disk_usage(output).free / 1e9


def _model_present(path: str, revision: str | None) -> list[str]:
    if Path(path).is_dir():
        return [] if (Path(path) / "config.json").is_file() else [f"model.path: {path} holds no config.json."]
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(path, "config.json", revision=revision)
    if isinstance(found, str):
        return []
    cache = os.environ.get("HF_HOME", "~/.cache/huggingface")
    if os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "TRUE"):
        return [
            f"model.path: {path} is neither a folder nor in the cache {cache} (HF_HOME), and HF_HUB_OFFLINE is set. "
            f"Fetch it once where there is internet: HF_HUB_OFFLINE=0 hf download {path}."
        ]
    return []


def judge(lines: list[str], num_nodes: int, min_free_gb: float) -> list[str]:
    """Return what does not fit, as sentences."""
    facts = [json.loads(line) for line in lines if line.startswith("{")]
    problems = [f"{one['host']}: {problem}" for one in facts for problem in one["problems"]]
    if len(facts) < num_nodes:
        words = " ".join(line.strip() for line in lines if not line.startswith("{"))[-300:]
        problems.append(f"{num_nodes - len(facts)} of {num_nodes} nodes gave no answer. {words}")
    for name in ("python", *PACKAGES):
        found = {one["host"]: one["python"] if name == "python" else one["versions"][name] for one in facts}
        if len(set(found.values())) > 1:
            each = ", ".join(f"{host} has {version}" for host, version in sorted(found.items()))
            problems.append(f"{name} differs between nodes: {each}. Use one venv on a shared file system.")
        elif "missing" in found.values():
            problems.append(f"{name} is not installed in the venv; run pip install -e . in the repository.")
    low = min((one["free_gb"] for one in facts if "free_gb" in one), default=None)
    if low is not None and low < min_free_gb:
        problems.append(f"run.output has {low:.1f} GB free; the site file asks for MIN_FREE_GB={min_free_gb:g}.")
    for output in {one["output"] for one in facts if "output" in one}:
        for folder in Path(output).glob(f".preflight-{os.environ.get('SLURM_JOB_ID', '0')}-*"):
            shutil.rmtree(folder, ignore_errors=True)
    return problems


def await_ray(num_nodes: int, step: int) -> str:
    """Wait until Ray counts all nodes; return what is wrong, empty when nothing is."""
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]

    address = os.environ["RAY_ADDRESS"]
    host, port = address.rsplit(":", 1)
    alive, end = 0, time.monotonic() + float(os.environ.get("RAY_UP_SECONDS", RAY_SECONDS))
    while time.monotonic() < end:
        try:
            os.kill(step, 0)
        except OSError:
            return "Ray's step has ended"
        # A GcsClient hangs for 40 s on a closed port.
        with contextlib.suppress(Exception):
            socket.create_connection((host, int(port)), 2).close()
            nodes = GcsClient(address=address).get_all_node_info(timeout=5).values()
            alive = sum(node.state == 0 for node in nodes)
            if alive >= num_nodes:
                return ""
        time.sleep(0.5)
    return f"only {alive} of {num_nodes} Ray nodes came up"


def main(arguments: list[str]) -> int:
    """Run one of the three commands."""
    command, *rest = arguments
    if command == "look":
        print(json.dumps(look(rest[0], rest[1], int(rest[2]), rest[3:])), flush=True)
        return 0
    if command == "judge":
        problems = judge(Path(rest[0]).read_text(encoding="utf-8").splitlines(), int(rest[1]), float(rest[2]))
        for problem in problems:
            print(f"Preflight: {problem}", file=sys.stderr)
        return 1 if problems else 0
    wrong = await_ray(int(rest[0]), int(rest[1]))
    if wrong:
        print(f"Preflight: {wrong}.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
