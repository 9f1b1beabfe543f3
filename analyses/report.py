"""Tests, charts and a report from the tables of a run: ``python -m analyses.report RUN_DIR [RUN_DIR ...]``."""

from __future__ import annotations

from engine.interruptions import answer_early_signals, stop_answering

if __name__ == "__main__":
    answer_early_signals()  # before anything else is loaded

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_STOPPED,
    LocaleError,
    check_names,
    is_ascii_locale,
    name_in,
    print_anything,
    printable,
)


def _distinct(run_dirs: Sequence[Path]) -> list[Path]:
    """Return each run once, in order; a run is not compared with itself."""
    given: dict[Path, Path] = {}
    for path in run_dirs:
        if path.resolve() in given:
            print(f"{path}: given twice; a run is analysed once and not compared with itself.", file=sys.stderr)
        given.setdefault(path.resolve(), path)
    return list(given.values())


def main(arguments: Sequence[str] | None = None, prog: str = "python -m analyses.report") -> int:
    """Run the command line, called ``prog`` in its help; return its exit code."""
    print_anything()
    parser = argparse.ArgumentParser(prog=prog, description="Tests, charts and a report.")
    parser.add_argument("run_dir", nargs="+", type=Path, help="run directory; several are compared as well")
    parser.add_argument("--partial", action="store_true", help="analyse what is committed of an unfinished run")
    parser.add_argument(
        "--transfer", type=Path, metavar="RUN_DIR", help="another run, on which probes trained on each run are judged"
    )
    options = parser.parse_args(arguments)
    try:
        stop_answering()
        return _analysed(options.run_dir, partial=options.partial, transfer=options.transfer)
    except KeyboardInterrupt:
        print("Interrupted: the analysis was stopped and nothing was replaced; start it again.", file=sys.stderr)
        return EXIT_STOPPED


def _analysed(given: Sequence[Path], *, partial: bool, transfer: Path | None = None) -> int:
    """Analyse the runs and return the exit code."""
    # Loaded inside of main: Ctrl-C may come meanwhile.
    from analyses.comparing.page import write_comparison
    from analyses.reporting.terminal import analysis_bar, print_summary
    from analyses.reporting.write import STEPS, analyze
    from analyses.runs.units import RunError
    from analyses.settings.analysis import SettingsError

    try:
        check_names(given if transfer is None else [*given, transfer])
        run_dirs = _distinct(given)
        results = []
        for path in run_dirs:
            with analysis_bar(STEPS) as watch:
                results.append(analyze(path, partial=partial, transfer=transfer, watch=watch))
        for result in results:
            if result.partial:
                print(printable(f"{result.directory.parent}: {result.partial}"), file=sys.stderr)
            print_summary(result.facts, result.headlines, result.report)
            print(f"{result.report}  ({result.seconds:.1f} s)")
        if len(results) > 1:
            print(write_comparison(run_dirs, partial=partial))
    except (RunError, SettingsError) as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return EXIT_CONFIG if isinstance(error, SettingsError) else EXIT_INPUT
    except LocaleError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if isinstance(error, UnicodeError) and is_ascii_locale():
            print(f"error: {LocaleError(name_in(error))}", file=sys.stderr)
            return EXIT_CONFIG
        failure = f"error: the analysis failed, nothing was replaced: {type(error).__name__}: {error}"
        print(printable(failure), file=sys.stderr)
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    raise SystemExit(main())
