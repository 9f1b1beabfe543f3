"""Which tests run over which lines of some files, and what each test costs.

Lines that a fixture of a module or a session runs belong to every test that has it, not to the first one alone; what
functions remember is forgotten before every test, so that the second one runs their lines too.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest


class Cost(NamedTuple):
    """What a test takes in CPU seconds while its lines are noted: alone, and beside what it shares with others."""

    own: float
    shared: dict[str, float]


class Coverage:
    """A pytest plugin that notes lines and costs.

    Parameters
    ----------
    files
        Absolute names of the files whose lines are noted.
    """

    def __init__(self, files: Collection[str]) -> None:
        self._files = frozenset(files)
        self._lines: defaultdict[str, set[str]] = defaultdict(set)
        self._costs: defaultdict[str, float] = defaultdict(float)
        self._shared: defaultdict[str, list[str]] = defaultdict(list)
        self._owners = [""]
        self._since = 0.0
        self._remembered: list[functools._lru_cache_wrapper] = []
        self._num_modules = 0

    def tests(self) -> dict[str, list[str]]:
        """Return the tests that run over each line, by ``file:line``."""
        users: defaultdict[str, set[str]] = defaultdict(set)
        for test, fixtures in self._shared.items():
            for fixture in fixtures:
                users[fixture].add(test)
        return {
            place: sorted(set().union(*(users.get(owner, {owner}) for owner in owners)))
            for place, owners in self._lines.items()
        }

    def costs(self) -> dict[str, Cost]:
        """Return what each test takes."""
        return {
            test: Cost(self._costs[test], {fixture: self._costs[fixture] for fixture in fixtures})
            for test, fixtures in self._shared.items()
        }

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note what runs from a test's first fixture to its last."""
        self._forget()
        self._shared[item.nodeid] = [
            _fixture_name(definitions[-1], item)
            for definitions in item._fixtureinfo.name2fixturedefs.values()  # pyright: ignore[reportAttributeAccessIssue]
            if definitions[-1].scope != "function"
        ]
        self._owners, self._since = [item.nodeid], _cpu_seconds()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        yield
        sys.settrace(None)
        threading.settrace(None)  # pyright: ignore[reportArgumentType]
        self._charge()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """Charge a fixture that tests share with what it runs."""
        if fixturedef.scope == "function":
            yield
            return
        self._charge()
        self._owners.append(_fixture_name(fixturedef, request._pyfuncitem))
        yield
        self._charge()
        self._owners.pop()

    def _charge(self) -> None:
        now = _cpu_seconds()
        self._costs[self._owners[-1]] += now - self._since
        self._since = now

    def _forget(self) -> None:
        if len(sys.modules) != self._num_modules:
            self._num_modules = len(sys.modules)
            self._remembered = [
                each
                for each in gc.get_objects()
                if type(each) is functools._lru_cache_wrapper  # some objects warn whoever asks isinstance
                and str(getattr(each, "__module__", "")).startswith(("engine", "analyses"))
            ]
        for each in self._remembered:
            each.cache_clear()

    def _trace(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in self._files:
            return None
        self._note(code, frame.f_lineno)

        def line(frame: FrameType, event: str, _argument: Any) -> Any:
            if event == "line":
                self._note(code, frame.f_lineno)
            return line

        return line

    def _note(self, code: CodeType, line: int) -> None:
        self._lines[f"{code.co_filename}:{line}"].add(self._owners[-1])


def _cpu_seconds() -> float:
    """Return what this process and those that it has waited for took."""
    return sum(os.times()[:4])


def _fixture_name(definition: Any, item: Any) -> str:
    """Return one name for one making of a fixture that tests share."""
    where = item.nodeid.partition("::")[0] if definition.scope != "session" else ""
    if definition.scope == "class":
        where = item.nodeid.rpartition("::")[0]
    callspec = getattr(item, "callspec", None)
    value = callspec.indices.get(definition.argname, "") if callspec else ""
    return f"fixture {where}:{definition.argname}:{value}"
