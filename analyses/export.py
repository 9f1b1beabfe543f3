"""Results back to the log: ``python -m analyses.export RUN_DIR --format inspect|every-eval-ever|jsonl [--output F]``.

One line of JSON per sample, with its margin and surprisal, statistics of chosen heads, or why it was rejected, under
the id that the log has, so that it joins in the tool that the log came from.
"""

from __future__ import annotations

from engine.interruptions import answer_early_signals, stop_answering

if __name__ == "__main__":
    answer_early_signals()  # before anything else is loaded

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from analyses.exporting.formats import FORMATS
from analyses.exporting.rows import ExportError, Head, measured_rows
from analyses.runs.run import open_tables
from analyses.runs.units import RunError
from engine.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_STOPPED,
    check_names,
    print_anything,
    printable,
    reason_of,
)

_HEAD = re.compile(r"[Ll]?(\d+)(?:[.:]|[Hh])(\d+)")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m analyses.export") -> int:
    """Run the command line, called ``prog`` in its help; return its exit code."""
    print_anything()
    stop_answering()
    options = _parser(prog).parse_args(arguments)
    try:
        check_names(filter(None, (options.run_dir, options.output)))
        return _export(options)
    except ExportError as error:
        print(printable(str(error)), file=sys.stderr)
        return EXIT_CONFIG
    except RunError as error:
        print(printable(str(error)), file=sys.stderr)
        return EXIT_INPUT
    except OSError as error:
        print(f"{printable(f'{error.filename}: ') if error.filename else ''}{reason_of(error)}.", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("Interrupted: nothing was exported.", file=sys.stderr)
        return EXIT_STOPPED


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Results for the log they are of.")
    parser.add_argument("run_dir", type=Path, help="run directory")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="whose form the lines have")
    parser.add_argument("--output", metavar="PATH", help="a file; without it, the lines are printed")
    parser.add_argument("--heads", nargs="*", default=[], metavar="L.H", help="heads whose statistics are added: 3.7")
    parser.add_argument("--statistics", nargs="*", default=[], metavar="NAME", help="of these heads; all by default")
    parser.add_argument("--query-group", default="decision", metavar="NAME", help="whose rows they are of")
    parser.add_argument("--partial", action="store_true", help="what is committed of an unfinished run")
    return parser


def _export(options: argparse.Namespace) -> int:
    run = open_tables(options.run_dir, partial=options.partial)
    heads = [_head(text) for text in options.heads]
    make = FORMATS[options.format]
    rows = measured_rows(run, heads, options.statistics, options.query_group)
    lines = [json.dumps(make(row, run), ensure_ascii=False) for row in rows]
    if options.output is None:
        print("\n".join(map(printable, lines)))
        return EXIT_DONE
    Path(options.output).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(printable(f"{len(lines):,} line(s) in {options.output}."))
    return EXIT_DONE


def _head(text: str) -> Head:
    match = _HEAD.fullmatch(text)
    if match is None:
        raise ExportError(f"--heads: {text!r} is no head; write layer and head, such as 3.7.")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())
