"""A seeded draw of mutants, and some by hand, each against the tests that run over its line: which are not noticed.

Work goes on in a copy of the repository, so that the checkout stays as it is. A mutant is killed when a test fails, or
when its tests take longer than ``--seconds`` of CPU time, half of which is enough without a mutant. ``equivalent.txt``
lists those that no test can tell from the original. With ``--results`` every judgement is written down, and mutants
that were killed before are not tried again: a pass can be stopped, and survivors tried again with new tests.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fixtures.places import ROOT
from tests.mutation.by_hand import by_hand
from tests.mutation.held import Held, Judgement, Outcome, faulty, forked, verdict_of
from tests.mutation.mutants import Mutant, drawn


class Room(NamedTuple):
    """Files that get faults, the tests that answer for them, and whether to find out which tests run over a line."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    notes_lines: bool = True


ROOMS = {
    "storage": Room(
        ("engine/storage",),
        (
            "tests/unit/engine/storage",
            "tests/unit/engine/machine/test_atomic_files.py",
            "tests/faults/test_identity.py",
        ),
    ),
    "machine": Room(
        ("engine/machine/atomic_files.py", "engine/machine/lease.py"),
        ("tests/unit/engine/machine/test_atomic_files.py", "tests/unit/engine/machine/test_lease.py"),
    ),
    "labels": Room(
        ("engine/inputs/answers",),
        ("tests/unit/engine/inputs/answers", "tests/unit/engine/inputs/test_labels.py"),
        notes_lines=False,
    ),
    "masking": Room(
        (
            "engine/attention/masking.py",
            "engine/attention/visible_keys.py",
            "engine/attention/blocks.py",
            "engine/attention/row_statistics.py",
            "engine/attention/backends/block.py",
            "engine/attention/backends/blocked.py",
        ),
        (
            "tests/oracles/test_blocked.py",
            "tests/oracles/test_matches.py",
            "tests/oracles/test_reading.py",
            "tests/oracles/test_received.py",
            "tests/oracles/test_shared_rows.py",
            "tests/oracles/test_statistics.py",
            "tests/unit/engine/attention",
        ),
    ),
    "inference": Room(
        ("analyses/inference",),
        (
            "tests/property/test_inference.py",
            "tests/golden",
            "tests/oracles/test_checks.py",
            "tests/oracles/test_significance.py",
            "tests/oracles/test_ranked.py",
            "tests/unit/analyses/inference",
            *(
                f"tests/unit/analyses/questions/test_{name}.py"
                for name in ("decodability", "degenerate", "families", "hypotheses", "power", "strata", "transfer")
            ),
        ),
    ),
    "causes": Room(
        ("engine/causal", "engine/interventions"),
        (
            "tests/causal/test_attribution.py",
            "tests/causal/test_causal_runs.py",
            "tests/causal/test_circuits.py",
            "tests/causal/test_interventions.py",
            "tests/causal/test_matched.py",
            "tests/causal/test_patching.py",
            "tests/oracles/test_circuits.py",
            "tests/unit/engine/causal",
        ),
    ),
    "runs": Room(("analyses/runs",), ("tests/unit/analyses/runs",)),
    "reporting": Room((), ("tests/unit/analyses/reporting/test_leftovers.py",)),
}
_COPIED = ("engine", "analyses", "tests", "config", "data", "pyproject.toml", "launch", "Makefile", "README.md", "docs")
_PRELOADED = "ignore::pytest.PytestAssertRewriteWarning"
"""Plugins that came with the libraries are loaded before pytest could rewrite them."""
_LIBRARIES = ("numpy", "polars", "pyarrow.parquet", "torch", "transformers")
"""What most tests load, which takes longer than most of them."""
_LOADING_SECONDS = 30.0
"""CPU seconds that a pytest of its own may take before its first test."""
_UNNOTICED = ("survived", "no test runs over it")


def main() -> int:
    """Run the command line; exit 1 where too few mutants of a room are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--rooms", default="storage", help=f"comma-separated, of {', '.join(ROOMS)}")
    parser.add_argument("--count", type=int, default=50, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="CPU seconds for the tests of one mutant")
    parser.add_argument("--minutes", type=float, default=240, help="for all of them")
    parser.add_argument("--least", type=float, default=95, help="per cent of a room's mutants that must be killed")
    parser.add_argument("--results", type=Path, help="JSON lines of what was found, which a further pass goes on from")
    parser.add_argument("--file", help="only mutants of files whose name holds this")
    options = parser.parse_args()
    deadline = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="headledger-mutation-") as folder:
        copy = Path(folder).resolve() / "copy"
        for name in _COPIED:
            _copy(ROOT / name, copy / name)
        shares = [
            _Pass(copy, name, options.seconds, deadline, options.results).run(
                [
                    mutant
                    for mutant in [
                        *by_hand(copy, name),
                        *drawn(copy, _files(copy, ROOMS[name]), options.count, options.seed),
                    ]
                    if not options.file or options.file in mutant.path
                ]
            )
            for name in options.rooms.split(",")
        ]
    return 1 if min(shares) < options.least else 0


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _files(copy: Path, room: Room) -> list[str]:
    files = [file for name in room.files for file in (sorted((copy / name).rglob("*.py")) or [copy / name])]
    return [file.relative_to(copy).as_posix() for file in files if file.stat().st_size]


class _Pass:
    """The mutants of one room tried one after the other."""

    def __init__(self, copy: Path, room: str, seconds: float, deadline: float, results: Path | None) -> None:
        self._copy, self._room, self._seconds, self._deadline = copy, room, seconds, deadline
        self._results = results
        self._told = copy.parent / "told.jsonl"

    def run(self, mutants: Sequence[Mutant]) -> float:
        """Try them, print those that survive, and return how many per cent were killed."""
        before = self._killed_before()
        verdicts = {_digest(mutant): "killed" for mutant in mutants if _digest(mutant) in before}
        left = [mutant for mutant in mutants if _digest(mutant) not in before]
        self._told.write_text("", encoding="utf-8")
        if left:
            done = forked(self._copy, lambda: self._hold(left), 24 * 3600)
            if done.code:
                raise SystemExit(f"{self._room}: {done.said}")
        judged = {}
        for line in self._told.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            digest = told.pop("digest")
            judged[digest] = Judgement(**told)
        if sum(judgement.verdict == "loads" for judgement in judged.values()) > 2:
            for name in _LIBRARIES:  # once, and not in each fork
                importlib.import_module(name)
        for mutant in left:
            judgement = judged.get(_digest(mutant))
            if judgement and judgement.verdict == "loads" and time.monotonic() < self._deadline:
                judgement = self._loaded_again(mutant, judgement.tests, judgement.seconds)
            verdicts[_digest(mutant)] = self._noted(mutant, judgement)
        return self._summary(list(verdicts.values()))

    def _hold(self, mutants: Sequence[Mutant]) -> int:
        """Hold a session of pytest open for the room's tests."""
        room = ROOMS[self._room]

        def tell(mutant: Mutant, judgement: Judgement) -> None:
            with self._told.open("a", encoding="utf-8") as told:
                told.write(json.dumps({"digest": _digest(mutant), **judgement._asdict()}) + "\n")

        def in_time() -> Iterator[Mutant]:
            for mutant in mutants:
                if time.monotonic() < self._deadline:
                    yield mutant

        paths = list(dict.fromkeys([*_files(self._copy, room), *(mutant.path for mutant in mutants)]))
        held = Held(self._copy, paths, in_time(), self._seconds, tell, () if room.notes_lines else room.tests)
        return _pytest(self._copy, room.tests, [held])

    def _loaded_again(self, mutant: Mutant, tests: list[str], seconds: float) -> Judgement:
        """Try a mutant of what runs while its file is loaded."""
        with faulty(self._copy, mutant):
            limit = seconds + _LOADING_SECONDS
            done: Outcome = forked(self._copy, lambda: _pytest(self._copy, ["-x", *tests], []), limit)
        return Judgement(verdict_of(done), tests, done.seconds, done.said)

    def _noted(self, mutant: Mutant, judgement: Judgement | None) -> str:
        """Write a judgement down, print it where nothing failed, and return the verdict."""
        if judgement is None or judgement.verdict == "loads":
            return "not tried: time is up"
        verdict = judgement.verdict
        if verdict in _UNNOTICED and _key(mutant) in _equivalent():
            verdict = "equivalent"
        if verdict in _UNNOTICED:
            print(f"{verdict}: {mutant}", flush=True)
        if self._results:
            row = {"room": self._room, "mutant": str(mutant), "digest": _digest(mutant), "verdict": verdict}
            rest = {"seconds": round(judgement.seconds, 2), "tests": judgement.tests[:20], "said": judgement.said}
            with self._results.open("a", encoding="utf-8") as results:
                results.write(json.dumps(row | rest) + "\n")
        return verdict

    def _killed_before(self) -> set[str]:
        if not self._results or not self._results.exists():
            return set()
        rows = map(json.loads, self._results.read_text(encoding="utf-8").splitlines())
        return {row["digest"] for row in rows if row["verdict"].startswith("killed")}

    def _summary(self, verdicts: list[str]) -> float:
        results = Counter(verdicts)
        tried = len(verdicts) - results["not tried: time is up"] - results["equivalent"]
        share = 100 * (tried - sum(results[verdict] for verdict in _UNNOTICED)) / max(tried, 1)
        counted = ", ".join(f"{verdict} {count}" for verdict, count in sorted(results.items()))
        print(f"{self._room}: {share:.1f} % of {tried} mutants killed ({counted})", flush=True)
        return share


def _pytest(copy: Path, arguments: Sequence[str], plugins: Sequence[object]) -> int:
    """Run pytest on the copy in this process, a fork in which the large libraries are loaded already."""
    os.chdir(copy)
    os.environ.update({"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"})
    sys.dont_write_bytecode = True
    sys.path[:] = [str(copy), *(place for place in sys.path if place not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("engine", "analyses", "tests")]:
        del sys.modules[name]
    own = ["-q", "-s", "-p", "no:cacheprovider", "-W", _PRELOADED, "--basetemp", str(copy.parent / "temporary")]
    code = int(pytest.main([*own, *arguments], plugins=list(plugins)))
    engine = sys.modules.get("engine")
    if engine is not None and not str(engine.__file__).startswith(str(copy)):
        raise SystemExit(f"another checkout was tested: {engine.__file__}")
    return code


def _digest(mutant: Mutant) -> str:
    return sha256(f"{mutant.path}\n{mutant.source}".encode()).hexdigest()[:16]


def _key(mutant: Mutant) -> str:
    return f"{mutant.path}: {mutant.kind}: {mutant.before} -> {mutant.after}"


def _equivalent() -> set[str]:
    """Return the mutants that behave as the original does; a line's reason follows behind ``#``."""
    lines = (Path(__file__).parent / "equivalent.txt").read_text(encoding="utf-8").splitlines()
    return {line.partition("  # ")[0].strip() for line in lines if line.strip() and not line.startswith("#")}


if __name__ == "__main__":
    sys.exit(main())
