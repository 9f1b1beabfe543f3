"""The console script: a word for each command line."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from engine.commands import COMMANDS, main
from tests.fixtures.places import ROOT


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_line_can_be_called(name):
    parameters = inspect.signature(importlib.import_module(COMMANDS[name].module).main).parameters
    assert list(parameters) == ["arguments", "prog"]


@pytest.mark.parametrize("arguments", [[], ["nothing"]], ids=["nothing", "another word"])
def test_what_is_no_command_names_those_there_are(arguments, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert all(name in shown.out + shown.err for name in COMMANDS)


def test_help_and_version(capsys):
    assert main(["--help"]) == 0 and "usage: headledger COMMAND" in capsys.readouterr().out
    assert main(["--version"]) == 0 and capsys.readouterr().out.startswith("headledger 0.")
    done = subprocess.run(
        [sys.executable, "-m", "engine.commands", "plan", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert "usage: headledger plan" in done.stdout
