"""An analysis on a terminal: a bar while it works, then what was run, what came out, where the report is.

Plain lines elsewhere, and no bar.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from engine.errors import printable

SHOWN = ("Run", "Model", "Samples", "Independent units", "Heads", "Charts")
"""Facts printed on a terminal; the report has all."""


@contextmanager
def analysis_bar(steps: Sequence[str], stream: TextIO | None = None) -> Iterator[Callable[[str], None]]:
    """Show a bar over the steps of an analysis on a terminal; yield what is to be told of each as it is begun.

    Parameters
    ----------
    steps
        All that will be told, in order.
    stream
        Where to show it; standard error by default.
    """
    out: TextIO = stream or sys.stderr
    if not out.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("analysing"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(file=out), transient=True) as bar:
        task = bar.add_task("", total=len(steps))

        def told(step: str) -> None:
            bar.update(task, description=step.replace("_", " "), completed=steps.index(step) if step in steps else 0)

        yield told


def print_summary(
    facts: Sequence[tuple[str, str]],
    headlines: Sequence[str],
    report: Path,
    *,
    partial: str = "",
    stream: TextIO | None = None,
) -> None:
    """Print the summary: a table and the findings in a frame on a terminal, the same as plain lines elsewhere.

    Parameters
    ----------
    facts
        What was run, as (what, value): ``ReportContent.facts``.
    headlines
        The report in short.
    report
        The page.
    partial
        What is missing from the run; empty for a whole run.
    stream
        Where to print; standard output by default.
    """
    out: TextIO = stream or sys.stdout
    shown = [(name, printable(value)) for name, value in facts if name in SHOWN]
    headlines, partial = [printable(line) for line in headlines], printable(partial)
    if out.isatty():
        _print_frame(shown, headlines, report, partial, out)
        return
    lines = [*(f"  {name}: {value}" for name, value in shown), *(f"  * {line}" for line in headlines)]
    print("\n".join(([partial] if partial else []) + lines), file=out)


def _print_frame(
    facts: Sequence[tuple[str, str]], headlines: Sequence[str], report: Path, partial: str, out: TextIO
) -> None:
    """Print facts and headlines in a frame, as wide as the terminal. Text is ``Text``: no name is read as markup."""
    from rich import box
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(value))
    short = Table(box=None, show_header=False, pad_edge=False)
    short.add_column(style="bold cyan", width=1)
    short.add_column(overflow="fold")
    for line in headlines:
        short.add_row("•", Text(line))
    warning = [Text(partial, style="bold yellow")] if partial else []
    parts = [*warning, table, Text(), short]
    console.print(
        Panel(
            Group(*parts),
            title="Headledger",
            title_align="left",
            box=box.ROUNDED,
            border_style="cyan",
            subtitle=Text(str(report), style="dim"),
            subtitle_align="left",
        )
    )
