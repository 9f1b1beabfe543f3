"""The console script ``headledger``: a word for each command line, which stay reachable as ``python -m …``.

``headledger demo`` is ``headledger run demo``: configs that come with the package are named, from any folder.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from engine.errors import EXIT_CONFIG, EXIT_DONE
from engine.interruptions import answer_early_signals


class Command(NamedTuple):
    """A module with ``main(arguments, prog)``, what it does, and what is put around its arguments."""

    package: str
    name: str
    help: str
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module's dotted name."""
        return f"{self.package}.{self.name}"


COMMANDS = {
    "demo": Command("engine", "run", "the whole way with the data that comes with the package", first=("demo",)),
    "init": Command("engine", "init", "write a config for a file of predictions or a log"),
    "plan": Command("engine", "run", "what a run would take and leave out; loads no weights", last=("--stage", "plan")),
    "run": Command("engine", "run", "measure, verify, test and report what a config names"),
    "report": Command("analyses", "report", "tests, charts and a report of one run, or of several side by side"),
    "query": Command("analyses", "query", "SQL over a run's tables"),
    "view": Command("analyses", "view", "look at a run's samples in a browser"),
    "export": Command("analyses", "export", "results in the form of the tool whose log was measured"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return EXIT_DONE if given else EXIT_CONFIG
    if given[0] == "--version":
        from importlib.metadata import version

        print(f"headledger {version('headledger')}")
        return EXIT_DONE
    name, *rest = given
    command = COMMANDS.get(name)
    if command is None:
        print(f"headledger: {name!r} is no command; commands: {', '.join(COMMANDS)}.", file=sys.stderr)
        return EXIT_CONFIG
    answer_early_signals()  # before torch and others are loaded
    return importlib.import_module(command.module).main([*command.first, *rest, *command.last], f"headledger {name}")


def _usage() -> str:
    lines = [f"  {name:<8} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: headledger COMMAND ...   (headledger COMMAND --help says what it takes)", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
