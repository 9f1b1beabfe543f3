"""A config for a file: ``python -m engine.init FILE [--model NAME] [--join FILE] [--output config.yaml]``.

Looks at a file of predictions, a log of an evaluation, or a folder of them, writes a short commented config that runs,
and prints what was taken for what.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from engine.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_STOPPED,
    ConfigError,
    UserError,
    check_names,
    print_anything,
    printable,
    reason_of,
)
from engine.interruptions import stop_answering

_WIDTH = 24


def main(arguments: Sequence[str] | None = None, prog: str = "python -m engine.init") -> int:
    """Run the command line, called ``prog`` in its help, and return its exit code."""
    print_anything()
    stop_answering()
    options = _parser(prog).parse_args(arguments)
    try:
        check_names([options.file, options.output, *options.join])
        return _write(options, prog.replace("init", "run"))
    except UserError as error:
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        where = printable(f"{error.filename}: ") if error.filename else ""
        print(f"{where}{reason_of(error)}.", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return EXIT_STOPPED


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Write a config for a file.")
    parser.add_argument("file", metavar="FILE", help="predictions or a log: a file, a pattern or a folder")
    parser.add_argument("--model", metavar="NAME", help="the model that answered: a folder, or a name on the hub")
    parser.add_argument(
        "--join",
        metavar="FILE",
        action="append",
        default=[],
        help="a file with prompts, labels or scores of the rows, in place of those near it; may stand several times",
    )
    parser.add_argument("--output", metavar="PATH", default="config.yaml", help="where the config is written")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    return parser


def _write(options: argparse.Namespace, run_command: str) -> int:
    from engine.drafting.config_tree import config_text
    from engine.drafting.draft import UNKNOWN_MODEL, drafted
    from engine.inputs.predictions import scan_predictions
    from engine.inputs.sample_reader import SampleReader

    output = Path(options.output)
    if output.exists() and not options.overwrite:
        raise ConfigError(f"{output}: exists already. Give --overwrite, or another place with --output.")
    name = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in Path(options.file).stem).strip("-")
    draft = drafted(options.file, _choose, model=options.model, name=name or "run", joined=options.join)
    for key, what in draft.notes:
        print(printable(f"  {key:<{_WIDTH}} {what}"))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(config_text(draft), encoding="utf-8")
    print(printable(f"Wrote {output}."))
    config = draft.config
    scan = scan_predictions(config, SampleReader(config))
    reasons = Counter(reject.reason for reject in scan.rejects)
    print(f"  {'rows':<{_WIDTH}} {scan.num_rows:,}")
    print(f"  {'samples to measure':<{_WIDTH}} {len(scan.chosen):,}")
    for reason, count in reasons.most_common():
        first = next(reject for reject in scan.rejects if reject.reason == reason)
        print(
            printable(f"  {'rejects, ' + reason:<{_WIDTH}} {count:,}   such as {first.sample_id}: {first.detail[:150]}")
        )
    lacking = " Set model.path first." if config.model.path == UNKNOWN_MODEL else ""
    print(printable(f"Next:{lacking} {run_command} {output} --stage plan"))
    return EXIT_DONE


def _choose(question: str, options: Sequence[str]) -> str:
    """Ask which of several readings is meant; without a terminal, take the first and say so."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        others = ", ".join(options[1:])
        print(printable(f"  {question} Took {options[0]!r}, the first; others: {others}."))
        return options[0]
    print(printable(question))
    for number, option in enumerate(options, start=1):
        print(printable(f"  {number}  {option}"))
    answer = input(f"1 to {len(options)} [1]: ").strip()
    return options[int(answer) - 1] if answer.isdecimal() and 1 <= int(answer) <= len(options) else options[0]


if __name__ == "__main__":
    sys.exit(main())
