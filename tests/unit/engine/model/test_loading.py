"""Weights: mapped from their files, fetched once however many want them, found again without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.config import Config
from engine.model.loading import load_model
from tests.fixtures.places import ROOT

REPOSITORY = "somebody/small"
# A file system on which the hub client's own locks hold nobody back.
WITHOUT_FLOCK = """
import contextlib, sys
import huggingface_hub.file_download as client
client.WeakFileLock = lambda *arguments, **options: contextlib.nullcontext()
from engine.config import Config
from engine.model.checkpoints.downloads import fetch_model
fetch_model(Config.model_validate({"predictions": {"path": "x"}, "model": {"path": sys.argv[1]}}))
"""
LOAD = """
import sys
import torch
from engine.config import Config
from engine.model.loading import load_model
config = Config.model_validate({"predictions": {"path": "x"}, "model": {"path": sys.argv[1]}})
print(sum(parameter.numel() for parameter in load_model(config, torch.device("cpu")).parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what is mapped where")
def test_weights_are_the_file_itself(tiny_model_dir):
    """Replicas of a node that map one file hold its weights in memory once."""
    config = Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(tiny_model_dir)}})
    model = load_model(config, torch.device("cpu"))
    mapped = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("/model.safetensors"):
            start, end = line.split()[0].split("-")
            mapped.append(range(int(start, 16), int(end, 16)))
    weights = list(model.parameters())
    assert weights and all(any(weight.data_ptr() in part for part in mapped) for weight in weights)


def python(code, argument, environment):
    """Run code in a process of its own, to which the environment speaks before anything is imported."""
    command = [sys.executable, "-c", code, argument]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


class Hub:
    """A stand-in for the hub on loopback: serves one folder as a repository and counts what is asked for."""

    def __init__(self, folder: Path, seconds: float):
        self.counts: Counter[tuple[str, str]] = Counter()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_HEAD(self):
                self._answer("HEAD")

            def do_GET(self):
                self._answer("GET")

            def _answer(self, method):
                name = self.path.rpartition("/")[2]
                hub.counts[method, name] += 1
                file = folder / name
                if f"/{REPOSITORY}/resolve/" not in self.path or not file.is_file():
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("X-Repo-Commit", "a" * 40)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = file.read_bytes()
                self.send_response(200)
                self.send_header("ETag", f'"{name}-{len(content)}"')
                self.send_header("X-Repo-Commit", "a" * 40)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if method == "GET":
                    if name.endswith(".safetensors"):
                        time.sleep(seconds)
                    self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def test_many_replicas_fetch_once_and_go_on_without_a_network(tiny_model_dir, tmp_path):
    folder = tmp_path / "served"
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    model.save_pretrained(folder, max_shard_size="60KB")
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(shards) > 1
    hub = Hub(folder, seconds=0.5)
    environment = os.environ | {
        "HF_HOME": str(tmp_path / "cache"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "0",
    }
    try:
        wanted = [sys.executable, "-c", WITHOUT_FLOCK, REPOSITORY]
        replicas = [subprocess.Popen(wanted, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        errors = [replica.communicate(timeout=120)[1] for replica in replicas]
        assert [replica.returncode for replica in replicas] == [0, 0], errors
        assert {name: hub.counts["GET", name] for name in shards} == dict.fromkeys(shards, 1)
        loaded = python(LOAD, REPOSITORY, environment)
        assert loaded.returncode == 0, loaded.stderr
        assert {hub.counts["GET", name] for name in shards} == {1}
    finally:
        hub.stop()
    offline = python(LOAD, REPOSITORY, environment | {"HF_HUB_OFFLINE": "1"})
    assert offline.returncode == 0, offline.stderr
    assert int(offline.stdout) == sum(parameter.numel() for parameter in model.parameters())
    assert not list((tmp_path / "cache").rglob("*.lease"))


def test_a_model_that_is_not_in_the_cache_is_named_when_offline(tmp_path):
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = python(LOAD, "nobody/nothing", environment)
    assert done.returncode != 0 and "model.path: the model 'nobody/nothing' could not be loaded" in done.stderr
