"""Every command of the README runs as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.fixtures.places import ROOT

BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.strip().splitlines()]
SNIPPETS = [block for kind, block in BLOCKS if kind == "python"]
NEEDS_A100 = ".venv/bin/python -m engine.run config/full.yaml"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like the repository, with runs of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("engine", "analyses", "config", "data", "Makefile", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    # Old enough for make to find everything installed: a test must not reinstall the environment that it runs in.
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    os.utime(folder / "pyproject.toml", (0, 0))
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(command, folder):
    environment = {**os.environ, "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_the_readme_has_the_two_commands():
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert NEEDS_A100 in COMMANDS


def test_every_command_runs(workplace):
    """In order, since later ones read what `make demo` leaves; `make test` is what runs this very test."""
    for command in COMMANDS:
        if command == "make test":
            continue
        if command == NEEDS_A100:
            plan = "--stage plan --predictions data/predictions_demo.json model.tokenizer=data/demo-model run.name=a100"
            done = run(shlex.split(f"{command} {plan}"), workplace)
        else:
            done = run(shlex.split(command), workplace)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, command
        if command == "make demo":
            assert "analysis/report.html" in done.stdout
            assert (workplace / "runs" / "demo" / "_SUCCESS").exists()
    for snippet in SNIPPETS:
        done = run([sys.executable, "-c", snippet], workplace)
        assert done.returncode == 0 and "mass_number" in done.stdout, done.stderr


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
