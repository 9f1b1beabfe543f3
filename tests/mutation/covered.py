"""A pytest plugin: which tests run over which lines of some files, written down as JSON.

``python -m pytest -p tests.mutation.covered TESTS`` with ``MUTATION_LINES`` (where to write) and ``MUTATION_FILES``
(which files, one a line) in the environment.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

_FILES = {str(Path(name).resolve()) for name in os.environ.get("MUTATION_FILES", "").splitlines()}
_lines: defaultdict[str, set[str]] = defaultdict(set)
_current = ["(collection)"]


def _trace(frame: FrameType, _event: str, _argument: Any) -> Any:
    name = frame.f_code.co_filename
    if name not in _FILES:
        return None

    def line(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            _lines[f"{name}:{frame.f_lineno}"].add(_current[0])
        return line

    _lines[f"{name}:{frame.f_lineno}"].add(_current[0])
    return line


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Note every line that runs from a test's first fixture to its last."""
    _current[0] = item.nodeid
    threading.settrace(_trace)
    sys.settrace(_trace)
    yield
    sys.settrace(None)
    threading.settrace(None)  # pyright: ignore[reportArgumentType]


def pytest_sessionfinish():
    """Write down what was seen."""
    content = {place: sorted(tests) for place, tests in _lines.items()}
    Path(os.environ["MUTATION_LINES"]).write_text(json.dumps(content), encoding="utf-8")
