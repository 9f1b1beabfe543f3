"""A session of pytest that has gathered its tests and is held open: every mutant is tried in a fork of it.

Loading the libraries and gathering thousands of tests takes longer than most mutants' tests do.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mutation.covered import Cost, Coverage
from tests.mutation.exchanged import exchange, exchanged, functions_of
from tests.mutation.mutants import Mutant


class Judgement(NamedTuple):
    """What the tests said of a mutant.

    Attributes
    ----------
    verdict
        ``killed``, ``killed by time``, ``survived``, ``no test runs over it``; ``loads`` where the file must be loaded
        again to tell.
    tests
        Which were chosen, in the order in which they run.
    seconds
        CPU seconds; with ``loads``, those that its tests may take.
    said
        The failing test and why.
    """

    verdict: str
    tests: list[str]
    seconds: float
    said: str


class Held:
    """A pytest plugin that tries mutants instead of running the tests once.

    Parameters
    ----------
    copy
        The copy of the repository that is tested.
    paths
        Its files that mutants change, from its root.
    mutants
        What is tried.
    seconds
        CPU seconds that the tests of one mutant may take.
    tell
        Is given every mutant's judgement.
    every
        Where tests lie all of which every mutant is given, for twice the time that they take: less work, where there
        are thousands of milliseconds each, than to find out which of them run over which lines. Empty: find out.
    """

    def __init__(
        self,
        copy: Path,
        paths: Sequence[str],
        mutants: Iterable[Mutant],
        seconds: float,
        tell: Callable[[Mutant, Judgement], None],
        every: Sequence[str] = (),
    ) -> None:
        self._copy, self._mutants, self._seconds, self._tell = copy, mutants, seconds, tell
        self._every = every
        self._files = [str(copy / path) for path in paths]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every mutant."""
        if session.testsfailed:
            raise pytest.UsageError("tests cannot be gathered")
        items = {item.nodeid: item for item in session.items}
        num_killed = 0
        functions = functions_of(self._files)
        chosen = self._choice(session)
        for mutant in self._mutants:
            file = str(self._copy / mutant.path)
            names = chosen.tests_over(file, mutant)
            pairs = exchange(mutant, file)
            if not names:
                self._tell(mutant, Judgement("no test runs over it", [], 0, ""))
                continue
            if pairs is None:
                self._tell(mutant, Judgement("loads", chosen.tests_after_loading(file), self._seconds, ""))
                continue

            def run(names=names, file=file, pairs=pairs) -> int:
                if not exchanged(functions[file], pairs) and _is_loaded(file):
                    return _NOT_FOUND
                return _run(session, [items[name] for name in names])

            with faulty(self._copy, mutant):
                done = forked(self._copy, run, self._seconds)
            if verdict_of(done) == "killed":
                num_killed += 1
                if num_killed % _CONTROLLED == 1:
                    self._control(session, [items[name] for name in names])
            self._tell(mutant, Judgement(verdict_of(done), names, done.seconds, done.said))
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print why a test failed: the session itself would do so at its end, to which no fork comes."""
        if report.failed:
            why = [line for line in report.longreprtext.splitlines() if line.startswith("E  ")]
            print("", f"E   {report.nodeid} ({report.when})", *why, sep="\n", flush=True)

    def _control(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        """Run what has failed with a mutant without it: whatever fails then kills nothing."""
        done = forked(self._copy, lambda: _run(session, items), self._seconds)
        if done.code:
            raise pytest.UsageError(f"chosen tests fail without a mutant:\n{done.said}")

    def _choice(self, session: pytest.Session) -> _Choice | _Every:
        if not self._every:
            tests, costs = self._noted(session)
            return _Choice(tests, costs, self._seconds / 2)
        done = forked(self._copy, lambda: _run(session, session.items, every=True), 7200)
        if done.code:
            raise pytest.UsageError(f"tests fail without any mutant:\n{done.said}")
        self._seconds = max(self._seconds, 2 * done.seconds)
        return _Every([item.nodeid for item in session.items], [*self._every])

    def _noted(self, session: pytest.Session) -> tuple[dict[str, list[str]], dict[str, Cost]]:
        """Return the tests that run over each line, and what each costs."""
        written = self._copy.parent / "lines.json"

        def run() -> int:
            coverage = Coverage(self._files)
            session.config.pluginmanager.register(coverage)
            code = _run(session, session.items, every=True)
            written.write_text(json.dumps([coverage.tests(), coverage.costs()]), encoding="utf-8")
            return code

        done = forked(self._copy, run, 7200)
        if done.code:
            raise pytest.UsageError(f"tests fail without any mutant:\n{done.said}")
        tests, costs = json.loads(written.read_text(encoding="utf-8"))
        return tests, {test: Cost(*cost) for test, cost in costs.items()}


_CONTROLLED = 10
"""The tests of every tenth killed mutant are run without it."""
_NOT_FOUND = 77
"""Exit code of a fork in which the function of a mutant is not found."""
_OWN_FAULT = 78
"""Exit code of a fork that raised: no mutant is killed by a fault of this tool."""
_PR_SET_PDEATHSIG = 1
"""Linux: a fork ends with whoever made it."""


def verdict_of(done: Outcome) -> str:
    """Return what an outcome means."""
    return {None: "killed by time", 0: "survived", _NOT_FOUND: "loads"}.get(done.code, "killed")


@contextmanager
def faulty(copy: Path, mutant: Mutant) -> Iterator[None]:
    """Put a mutant into its file, for the processes that tests start."""
    file = copy / mutant.path
    whole = file.read_text(encoding="utf-8")
    file.write_text(mutant.source, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(whole, encoding="utf-8")


def _is_loaded(file: str) -> bool:
    return any(getattr(module, "__file__", None) == file for module in list(sys.modules.values()))


def _run(session: pytest.Session, items: Sequence[pytest.Item], *, every: bool = False) -> int:
    """Run tests until one fails, or all; 1 where one failed."""
    session.testsfailed = 0
    for place, item in enumerate(items):
        following = items[place + 1] if place + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed and not every:
            break
    return int(session.testsfailed > 0)


class _Choice:
    """Which tests a mutant is given: those over its line, the cheapest first, as many as there is time for."""

    def __init__(self, tests: Mapping[str, list[str]], costs: Mapping[str, Cost], seconds: float) -> None:
        self._tests, self._costs, self._seconds = tests, costs, seconds
        whole: defaultdict[str, set[str]] = defaultdict(set)
        for place, names in tests.items():
            whole[place.rpartition(":")[0]].update(names)
        self._whole = whole

    def tests_over(self, file: str, mutant: Mutant) -> list[str]:
        """Return tests by name; of a line that none runs over, those that run over the file."""
        lines = range(mutant.lines[0], mutant.lines[1] + 1)
        found = self._tests.get(f"{file}:{mutant.line}") or [
            name for line in lines for name in self._tests.get(f"{file}:{line}", ())
        ]
        return self._affordable(set(found) or self._whole[file])

    def tests_after_loading(self, file: str) -> list[str]:
        """Return those that run over the file, then others: who reads a constant runs over none of its lines."""
        return list(dict.fromkeys([*self._affordable(self._whole[file]), *self._affordable(set(self._costs))]))

    def _affordable(self, names: set[str]) -> list[str]:
        def cost(name: str) -> float:
            own, shared = self._costs[name]
            return own + sum(shared.values())

        chosen: list[str] = []
        spent, made = 0.0, set()
        for name in sorted(names, key=lambda name: (cost(name), name)):
            own, shared = self._costs[name]
            new = own + sum(seconds for fixture, seconds in shared.items() if fixture not in made)
            if chosen and spent + new > self._seconds:
                continue
            chosen.append(name)
            spent += new
            made.update(shared)
        first = {name.partition("::")[0]: place for place, name in reversed(list(enumerate(chosen)))}
        return sorted(chosen, key=lambda name: first[name.partition("::")[0]])


class _Every:
    """All tests, for every mutant; by the folders that they lie in where a pytest of its own gathers them."""

    def __init__(self, names: list[str], folders: list[str]) -> None:
        self._names, self._folders = names, folders

    def tests_over(self, _file: str, _mutant: Mutant) -> list[str]:
        return self._names

    def tests_after_loading(self, _file: str) -> list[str]:
        return self._folders


class Outcome(NamedTuple):
    """How a fork ended: its exit code, None where it took too long, its CPU seconds, and the end of what it printed."""

    code: int | None
    seconds: float
    said: str


def forked(copy: Path, work: Callable[[], int], seconds: float) -> Outcome:
    """Do some work in a fork of this process, for some CPU seconds at most; standing still for as long is too long."""
    printed = copy.parent / f"printed-{os.getpid()}.txt"  # a fork may have forks of its own
    child = os.fork()
    if not child:
        os.setsid()
        descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115 - until the end
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            code = work()
        except KeyboardInterrupt:  # of a mutant that meddles with signals
            code = 1
        except BaseException:
            traceback.print_exc()
            code = _OWN_FAULT
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    spent, moved = 0.0, time.monotonic()
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code == _OWN_FAULT:
                raise RuntimeError(f"this tool failed, not a test:\n{_end_of(printed)}")
            return Outcome(code, usage.ru_utime + usage.ru_stime, _end_of(printed))
        if (now := _cpu_seconds(child)) > spent:
            spent, moved = now, time.monotonic()
        if spent > seconds or time.monotonic() - moved > max(seconds, 60):
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Outcome(None, spent, _end_of(printed))
        time.sleep(0.02)


def _end_of(printed: Path) -> str:
    """Return why a test failed, or the last words."""
    text = printed.read_text(errors="replace")
    errors = [line for line in text.splitlines() if line.startswith("E  ")]
    return "\n".join(errors[:6]) or text[-3000:]


def _cpu_seconds(process: int) -> float:
    """Return what a process, and those that it has waited for, took so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
