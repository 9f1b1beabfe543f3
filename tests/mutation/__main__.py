"""A seeded draw of mutants, each against the tests that run over its line: how many are noticed, and which are not.

Work goes on in a copy of the repository, so that the checkout stays as it is. A mutant is killed when a test fails, or
when its tests take longer than ``--seconds``. ``equivalent.txt`` lists those that no test can tell from the original.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy  # noqa: F401
import polars  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pytest
import torch  # noqa: F401
import transformers  # noqa: F401

from tests.fixtures.places import ROOT
from tests.mutation.mutants import Mutant, drawn

ROOMS = {
    "storage": (("engine/storage",), ("tests/unit/engine/storage", "tests/unit/engine/machine")),
    "machine": (("engine/machine/atomic_files.py", "engine/machine/lease.py"), ("tests/unit/engine/machine",)),
    "labels": (
        ("engine/inputs/answers",),
        ("tests/unit/engine/inputs/answers", "tests/unit/engine/inputs/test_labels.py"),
    ),
    "masking": (("engine/attention/backends/blocked.py", "engine/attention/row_statistics.py"), ("tests/oracles",)),
    "inference": (("analyses/inference",), ("tests/property/test_inference.py", "tests/oracles")),
    "causes": (("engine/causal", "engine/interventions"), ("tests/causal", "tests/unit/engine/causal")),
    "runs": (("analyses/runs",), ("tests/unit/analyses/runs",)),
}
"""Name → the files, and the tests that answer for them."""
_COPIED = ("engine", "analyses", "tests", "config", "data", "pyproject.toml", "launch", "Makefile", "README.md", "docs")
_PRELOADED = "ignore::pytest.PytestAssertRewriteWarning"
"""Plugins that came with the libraries are loaded before pytest could rewrite them."""
_MOST_TESTS = 40
"""Tests of one mutant; of more that run over its line, the first ones by name."""


def main() -> int:
    """Run the command line; exit 1 where too few mutants of a room are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--rooms", default="storage", help=f"comma-separated, of {', '.join(ROOMS)}")
    parser.add_argument("--count", type=int, default=50, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="for the tests of one mutant")
    parser.add_argument("--minutes", type=float, default=240, help="for all of them")
    parser.add_argument("--least", type=float, default=95, help="per cent of a room's mutants that must be killed")
    options = parser.parse_args()
    deadline = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="headledger-mutation-") as folder:
        copy = Path(folder) / "copy"
        for name in _COPIED:
            _copy(ROOT / name, copy / name)
        shares = [
            _run_room(copy, room, options.count, options.seed, options.seconds, deadline)
            for room in options.rooms.split(",")
        ]
    return 1 if min(shares) < options.least else 0


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _run_room(copy: Path, room: str, count: int, seed: int, seconds: float, deadline: float) -> float:
    """Try the mutants of a room, print those that survive, and return how many per cent were killed."""
    folders, tests = ROOMS[room]
    paths = [path for name in folders for path in _files(copy, name)]
    covered = _covered(copy, paths, tests)
    equivalent = _equivalent()
    results: Counter[str] = Counter()
    num_survivors = 0
    for mutant in drawn(copy, paths, count, seed):
        if time.monotonic() > deadline:
            results["not tried: time is up"] += 1
            continue
        known = _tests_over(covered, copy / mutant.path, mutant.line)
        verdict = _verdict(copy, mutant, known[:_MOST_TESTS], seconds) if known else "no test runs over it"
        if verdict in ("survived", "no test runs over it") and _key(mutant) in equivalent:
            verdict = "equivalent"
        results[verdict] += 1
        if verdict in ("survived", "no test runs over it"):
            num_survivors += 1
            print(f"{verdict}: {mutant}", flush=True)
    tried = sum(results.values()) - results["not tried: time is up"] - results["equivalent"]
    share = 100 * (tried - num_survivors) / max(tried, 1)
    counted = ", ".join(f"{verdict} {count}" for verdict, count in sorted(results.items()))
    print(f"{room}: {share:.1f} % of {tried} mutants killed ({counted})", flush=True)
    return share


def _files(copy: Path, name: str) -> list[str]:
    place = copy / name
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [file.relative_to(copy).as_posix() for file in files if file.stat().st_size]


def _covered(copy: Path, paths: list[str], tests: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the tests that run over each line, by ``file:line``."""
    lines = copy.parent / "lines.json"
    environment = {"MUTATION_LINES": str(lines), "MUTATION_FILES": "\n".join(str(copy / path) for path in paths)}
    done = _pytest(copy, ["-p", "tests.mutation.covered", *tests], 3600, environment)
    if done is None or done.code:
        raise SystemExit(f"{', '.join(tests)}: fail without any mutant:\n{done.said if done else 'too slow'}")
    return json.loads(lines.read_text(encoding="utf-8"))


def _tests_over(covered: Mapping[str, list[str]], file: Path, line: int) -> list[str]:
    """Return the tests that run over a line; of one that runs when the file is loaded, all that run over the file."""
    whole = {test for place, tests in covered.items() if place.rpartition(":")[0] == str(file) for test in tests}
    return covered.get(f"{file}:{line}") or sorted(whole)


def _verdict(copy: Path, mutant: Mutant, tests: list[str], seconds: float) -> str:
    file = copy / mutant.path
    whole = file.read_text(encoding="utf-8")
    file.write_text(mutant.source, encoding="utf-8")
    try:
        done = _pytest(copy, ["-x", *tests], seconds, {})
    finally:
        file.write_text(whole, encoding="utf-8")
    if done is None:
        return "killed by time"
    return "survived" if done.code == 0 else "killed"


class _Outcome(NamedTuple):
    """Exit code of a test run, and the end of what it printed."""

    code: int
    said: str


def _pytest(copy: Path, arguments: list[str], seconds: float, environment: dict[str, str]) -> _Outcome | None:
    """Run tests in the copy; None where they take too long.

    They run in a fork of this process, in which the large libraries are loaded already: most tests of one mutant take
    less time than loading these.
    """
    printed = copy.parent / "printed.txt"
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(copy)
        os.environ.update({"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", **environment})
        sys.dont_write_bytecode = True
        sys.path[:] = [str(copy), *(place for place in sys.path if place not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.partition(".")[0] in ("engine", "analyses", "tests")]:
            del sys.modules[name]
        descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = 3
        try:
            code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-W", _PRELOADED, *arguments]))
        finally:
            sys.stdout.flush()
            os._exit(code)
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _Outcome(os.waitstatus_to_exitcode(status), printed.read_text(errors="replace")[-3000:])
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.05)


def _key(mutant: Mutant) -> str:
    return f"{mutant.path}: {mutant.kind}: {mutant.before} -> {mutant.after}"


def _equivalent() -> set[str]:
    """Return the mutants that behave as the original does; a line's reason follows behind ``#``."""
    lines = (Path(__file__).parent / "equivalent.txt").read_text(encoding="utf-8").splitlines()
    return {line.partition("  # ")[0].strip() for line in lines if line.strip() and not line.startswith("#")}


if __name__ == "__main__":
    sys.exit(main())
