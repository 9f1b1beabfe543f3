"""A live view of runs on this machine: ``python -m analyses.view RUN_DIR [RUN_DIR ...] [--partial]``.

All samples, one sample, one head, SQL, two samples or two runs side by side; it reads the runs' Parquet files, answers
on 127.0.0.1 to the link that it prints, and sends nothing anywhere.
"""

from __future__ import annotations

from engine.interruptions import answer_early_signals, stop_answering

if __name__ == "__main__":
    answer_early_signals()  # before anything else is loaded

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from engine.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INPUT,
    LocaleError,
    check_names,
    print_anything,
    printable,
    reason_of,
)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m analyses.view") -> int:
    """Run the command line, called ``prog`` in its help; return its exit code."""
    print_anything()
    parser = argparse.ArgumentParser(prog=prog, description="A live view of runs.")
    parser.add_argument("run_dir", nargs="+", type=Path, help="run directory; several stand side by side")
    parser.add_argument("--partial", action="store_true", help="open a run that is still measuring")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; by default one that is free")
    parser.add_argument("--browser", action="store_true", help="open the link in a browser")
    options = parser.parse_args(arguments)
    if not 0 <= options.port < 2**16:
        parser.error(f"--port {options.port}: allowed are 0 (one that is free) to 65535")
    stop_answering()
    try:
        return _serve(options)
    except KeyboardInterrupt:
        return EXIT_DONE


def _serve(options: argparse.Namespace) -> int:
    # Loaded inside of main: Ctrl-C may come meanwhile.
    from analyses.runs.units import RunError
    from analyses.settings.analysis import SettingsError
    from analyses.viewing.pages import Pages
    from analyses.viewing.server import ViewServer
    from analyses.viewing.source import open_viewed

    def opened() -> Pages:
        return Pages(open_viewed(options.run_dir, partial=options.partial))

    try:
        check_names(options.run_dir)
        server = ViewServer(opened(), options.port, read_again=opened)
    except RunError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return EXIT_INPUT
    except (LocaleError, SettingsError) as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return EXIT_CONFIG
    except OSError as error:
        print(
            f"error: --port {options.port}: {reason_of(error)}. Leave it out to get one that is free.", file=sys.stderr
        )
        return EXIT_FAILED
    print(f"{server.link}\nOpen this link in a browser on this machine; Ctrl-C ends the view.", flush=True)
    if options.browser:
        webbrowser.open(server.link)
    with server:
        server.serve_forever()
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
