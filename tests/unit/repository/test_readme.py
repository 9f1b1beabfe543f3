"""Every command of the README, and of the pages that a new reader follows, runs as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.fixtures.places import ROOT

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.strip().splitlines()]
NEEDS_A100 = ".venv/bin/headledger run config/full.yaml"
FOLLOWED = ("docs/first-run.md", "docs/tutorials/eps.md", "docs/tutorials/benchmark.md")
MOST_WORDS = 600


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


@pytest.mark.soak
@pytest.mark.parametrize("page", FOLLOWED)
def test_every_command_of_the_first_pages_runs(page, workplace):
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    commands = [line for block in blocks for line in block.strip().splitlines()]
    assert commands
    for command in commands:
        done = run(shlex.split(command), workplace)
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= MOST_WORDS


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
