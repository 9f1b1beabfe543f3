"""Charts in a cell of a notebook: each one shows, also where it is not the cell's last line."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def shows_itself(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function's chart be shown where a line of a cell makes it and does nothing with it.

    IPython shows the last line of a cell only; a chart that another line returns would be made for nobody. One that is
    named, passed on or returned is shown by whoever has it.
    """

    @functools.wraps(function)
    def wrapped(*arguments: P.args, **options: P.kwargs) -> R:
        chart = function(*arguments, **options)
        shell = _shell()
        if shell is not None and is_discarded(sys._getframe(1)):
            shell.display.display(chart)
        return chart

    return wrapped


def _shell() -> Any:
    """Return IPython when this process is a kernel or a terminal of it; None elsewhere, without loading it."""
    module = sys.modules.get("IPython")
    return module if module is not None and module.get_ipython() is not None else None


def is_discarded(frame: FrameType) -> bool:
    """Whether the call that a frame is at is a statement of its own: what it returns is dropped at once."""
    later = (step for step in dis.get_instructions(frame.f_code) if step.offset > frame.f_lasti)
    return next((step.opname for step in later), "") == "POP_TOP"
