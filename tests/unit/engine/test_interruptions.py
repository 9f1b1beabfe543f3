"""Stop signals before a command has begun, and a terminal that is closed under it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.fixtures import signals
from tests.fixtures.places import ROOT

WAIT_WHILE_LOADING = """
import runpy, sys
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "argparse":
            print("loading", flush=True)
            sys.stdin.read()
sys.meta_path.insert(0, Slow())
sys.modules.pop("argparse", None)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Holds a command up at the first library that it loads."""


def loading(module, **options):
    """Return a command that has begun to load its libraries and gets no further."""
    command = [sys.executable, "-c", WAIT_WHILE_LOADING, module, "x"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    options.setdefault("preexec_fn", signals.heard)
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes, **options)
    assert process.stdout is not None and process.stdout.readline() == "loading\n"
    return process


@pytest.mark.parametrize("module", ["engine.run", "analyses.report", "analyses.query"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_while_libraries_load_is_a_sentence(module, number):
    process = loading(module)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert errors == f"{number.name}: stopped before anything was begun; start the same command again.\n"


def test_nohup_is_respected():
    process = loading("analyses.query", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.startswith("SIGINT:") and process.returncode == 75


STOP_IN_TERMINAL = """
import signal, sys
from pathlib import Path
from engine.executors.stopping import stop_signals, stopping_at_shards
asked = []
with stop_signals(), stopping_at_shards(lambda: asked.append(1)):
    print("begun", flush=True)
    while not asked:
        signal.pause()
    print("a line that nobody reads", flush=True)
    print("another", file=sys.stderr, flush=True)
Path(sys.argv[1]).write_text("ended in order")
"""


def test_a_closed_terminal_lets_a_run_end_in_order(tmp_path):
    """The shards in flight are finished although nothing can be printed any more."""
    ours, terminal = pty.openpty()
    command = [sys.executable, "-c", STOP_IN_TERMINAL, str(tmp_path / "end")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=signals.heard,
    )
    os.close(terminal)
    assert b"begun" in os.read(ours, 100)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "end").read_text() == "ended in order"
