"""Charts exported by a process of its own: what draws them (V8) ends its process where memory is short.

V8 reserves tens of gigabytes of addresses when it starts, which ``ulimit -v`` of a batch system forbids; it then dies
by a signal. The analysis goes on without the charts and says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analyses.charts.files import DRAWN, javascript_bundle, vegalite_version, write_chart
from analyses.cores import in_order, num_cores

_MOST_DEATHS = 3
"""Deaths of the process after which the charts that are left are given up."""
_FEWEST_CHARTS, _MOST_PROCESSES = 8, 4
"""Charts that a further process is worth, which takes a second to start, and how many draw at once."""
_BUNDLES: dict[str, str] = {}
"""What a page needs to draw charts, by Vega-Lite's version: it takes two seconds to put together, and a notebook or a
comparison of runs needs it again and again."""


@dataclass(frozen=True)
class ChartFiles:
    """A chart to be written next to ``stem`` in each format."""

    specification: dict[str, object]
    title: str
    stem: Path
    formats: Sequence[str]


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes
    ----------
    bundle
        The scripts that draw charts in a page; empty where there are no charts, or they could not be made.
    undrawn
        Names of the charts whose files could not be made.
    problem
        What happened and what helps, in a sentence; empty where everything was made.
    """

    bundle: str = ""
    undrawn: tuple[str, ...] = ()
    problem: str = ""


def export_charts(charts: Sequence[ChartFiles]) -> Exported:
    """Write all charts, and return what a page needs to draw them.

    Raises
    ------
    RuntimeError
        When a chart cannot be drawn or written for a reason of its own.
    """
    if not charts:
        return Exported()
    version = vegalite_version(charts[0].specification)
    lost, reason = _drawn_apart(charts, version)
    bundle = _BUNDLES.get(version, "")
    for chart in charts:
        if not bundle and "html" in chart.formats:
            lost.add(chart.stem.name)
        _write_here(chart, bundle)
    if not reason:
        return Exported(bundle)
    undrawn = [chart.stem.name for chart in charts if chart.stem.name in lost]
    return Exported(bundle, tuple(undrawn), _problem(reason, len(undrawn), len(charts)))


def _drawn_apart(charts: Sequence[ChartFiles], version: str) -> tuple[set[str], str]:
    """Let other processes do what needs V8: pictures, and once in this process's life the script of a page.

    Returns
    -------
    tuple
        Names of charts whose pictures could not be made, and why, where anything could not be made.
    """
    pictures = [chart for chart in charts if DRAWN & set(chart.formats)]
    tasks = [_task(chart) for chart in pictures]
    with tempfile.TemporaryDirectory(prefix="headledger-charts-") as folder:
        bundle = Path(folder) / "bundle.js"
        if version not in _BUNDLES:
            tasks.insert(0, {"bundle": str(bundle), "version": version, "name": ""})
        several = min(num_cores(), _MOST_PROCESSES, len(pictures) // _FEWEST_CHARTS) or 1
        shares = list(in_order((partial(_drawn, tasks[one::several]) for one in range(several)), several))
        if bundle.exists():
            _BUNDLES[version] = bundle.read_text(encoding="utf-8")
    return {name for names, _ in shares for name in names}, next((reason for _, reason in shares if reason), "")


def _write_here(chart: ChartFiles, bundle: str) -> None:
    """Write what needs nothing that could die, with the error that a process of its own would give."""
    formats = [kind for kind in chart.formats if kind == "json" or (kind == "html" and bundle)]
    try:
        write_chart(chart.specification, chart.title, chart.stem, formats, bundle)
    except Exception as problem:
        raise RuntimeError(_failure(chart.stem.name, problem)) from problem


def _failure(name: str, problem: Exception) -> str:
    return f"{name}: {type(problem).__name__}: {problem}"


def _drawn(tasks: list[dict[str, object]]) -> tuple[list[str], str]:
    """Let processes, one after another, do tasks; return the names of those that were not done, and why."""
    undrawn: list[str] = []
    reason, num_deaths = "", 0
    while tasks and num_deaths < _MOST_DEATHS:
        done, code = _run(tasks)
        tasks = tasks[done:]
        if not tasks:
            break
        num_deaths, reason = num_deaths + 1, _death(code)
        undrawn.append(str(tasks.pop(0)["name"]))
    return undrawn + [str(task["name"]) for task in tasks], reason


def _task(chart: ChartFiles) -> dict[str, object]:
    return {
        "name": chart.stem.name,
        "stem": str(chart.stem.absolute()),
        "specification": chart.specification,
        "title": chart.title,
        "formats": [kind for kind in chart.formats if kind in DRAWN],
    }


def _run(tasks: Sequence[Mapping[str, object]]) -> tuple[int, int]:
    """Let a process do tasks in order; return how many it did, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", "from analyses.charts.export import serve; serve()"],
        input="".join(f"{json.dumps(task)}\n" for task in tasks),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # V8's last words are a stack of its own functions
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
        encoding="utf-8",
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.endswith("}")]
    if failed := next((answer["error"] for answer in answers if answer["error"]), ""):
        raise RuntimeError(failed)
    return len(answers), done.returncode


def _death(code: int) -> str:
    name = signal.Signals(-code).name if -code in set(map(int, signal.Signals)) else f"exit code {code}"
    return f"the process that draws them died ({name})"


def _problem(reason: str, count: int, total: int) -> str:
    limit = _address_limit()
    why = f", where the address space is limited to {limit / 2**30:,.1f} GiB (ulimit -v)" if limit else ""
    what = f"{count} of {total} charts could not be drawn" if count else "The report's charts could not be drawn"
    return (
        f"{what}: {reason}{why}. All numbers are there. What draws charts needs "
        f"tens of GiB of addresses, few of them memory: lift the limit (ulimit -v unlimited) and analyse again."
    )


def _address_limit() -> int:
    try:
        import resource
    except ImportError:  # not on this system
        return 0
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return 0 if limit == resource.RLIM_INFINITY else limit


def serve() -> None:
    """Do the tasks that stand on stdin, one JSON object a line, and answer each with one."""
    for line in sys.stdin.buffer.read().splitlines():
        task = json.loads(line)
        try:
            if "bundle" in task:
                Path(task["bundle"]).write_text(javascript_bundle(task["version"]), encoding="utf-8")
            else:
                write_chart(task["specification"], task["title"], Path(task["stem"]), task["formats"])
            error = ""
        except Exception as problem:
            error = _failure(task["name"], problem)
        print(json.dumps({"error": error}), flush=True)
