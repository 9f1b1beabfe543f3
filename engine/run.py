"""The command line: arguments, exit codes, quiet libraries; what happens then is in ``engine.stages``.

``python -m engine.run CONFIG [section.key=value ...] [--stage all|plan|collect|analyze|verify]``
"""

from __future__ import annotations

from engine.interruptions import answer_early_signals, stop_answering

if __name__ == "__main__":
    answer_early_signals()  # before anything else is loaded

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_STOPPED,
    ConfigError,
    LocaleError,
    UserError,
    check_names,
    is_ascii_locale,
    name_in,
    print_anything,
    printable,
    reason_of,
)
from engine.executors.stopping import stop_signals
from engine.stages import STAGES, RunOptions

if TYPE_CHECKING:
    from engine.config import Config

_DEBUG_SAMPLES = 4


def main(arguments: Sequence[str] | None = None, prog: str = "python -m engine.run") -> int:
    """Run the command line, called ``prog`` in its help, and return its exit code."""
    print_anything()
    options = _parser(prog).parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO if options.debug else logging.ERROR, format="%(name)s: %(message)s")
    _quiet_libraries(options.debug)
    try:
        stop_answering()
        with stop_signals():
            return _run(options)
    except UserError as error:
        if options.debug:
            logging.exception("stopped")
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except UnicodeError as error:
        if options.debug or not is_ascii_locale():
            raise
        print(LocaleError(name_in(error)), file=sys.stderr)
        return LocaleError.exit_code
    except OSError as error:
        if options.debug:
            logging.exception("stopped")
        where = printable(f"{error.filename}: ") if error.filename else ""
        print(
            f"{where}{reason_of(error)}. Nothing that was committed is lost; mend this and start again, or "
            f"choose another run.output.",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except KeyboardInterrupt as interrupt:
        name = str(interrupt) or "Interrupted"
        print(f"{name}: stopped at once; committed units are kept, the same command continues.", file=sys.stderr)
        return EXIT_STOPPED


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure what every attention head looks at behind recorded predictions, test it and report it.",
    )
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="YAML config, a finished run's run.yaml, or the name of an example: demo",
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the config's")
    parser.add_argument("--config", dest="config_option", metavar="PATH", help="the same as CONFIG")
    parser.add_argument("--predictions", metavar="PATH", help="the same as predictions.path=PATH")
    parser.add_argument("--max-samples", "--max_samples", type=int, metavar="N", help="predictions.max_samples=N")
    parser.add_argument("--stage", choices=STAGES, default="all", help="plan is a dry run that loads no weights")
    parser.add_argument("--debug", action="store_true", help="inline, verbose, 4 samples unless told")
    parser.add_argument("--fresh", action="store_true", help="set an existing run directory aside and start anew")
    return parser


def _run(options: argparse.Namespace) -> int:
    config, expected = _config(options)
    from engine.stages import run_stages  # loaded when there is something to run: --help and mistakes answer at once

    run_stages(config, expected, RunOptions(stage=options.stage, debug=options.debug, fresh=options.fresh))
    return EXIT_DONE


def _config(options: argparse.Namespace) -> tuple[Config, dict[str, str]]:
    from engine.config import load_config, translation_lines

    check_names(filter(None, (options.config, options.config_option, options.predictions, *options.overrides)))
    paths = [path for path in (options.config, options.config_option) if path]
    overrides = list(options.overrides)
    if len(paths) == 2 and "=" in paths[0]:
        overrides.insert(0, paths.pop(0))
    if len(paths) != 1:
        raise ConfigError(
            "Give one config file, or the name of an example: python -m engine.run demo [section.key=value ...]."
        )
    if options.predictions:
        overrides.append(f"predictions.path={options.predictions}")
    if options.max_samples is not None:
        overrides.append(f"predictions.max_samples={options.max_samples}")
    if options.debug:
        overrides.append("cluster.mode=inline")
    for line in translation_lines(paths[0]):
        print(printable(line))
    config, expected = load_config(paths[0], overrides)
    vocabulary = config.vocabulary if isinstance(config.vocabulary, str) else ""
    model, adapter = config.model, config.model.adapter
    names = [config.run.output, config.run.name, config.predictions.path, vocabulary, model.path]
    check_names([*names, model.tokenizer or "", "" if adapter is None else adapter.path])
    if options.debug and not any(text.partition("=")[0].strip() == "predictions.max_samples" for text in overrides):
        config.predictions.max_samples = min(config.predictions.max_samples or _DEBUG_SAMPLES, _DEBUG_SAMPLES)
    return config, expected


def _quiet_libraries(debug: bool) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if debug:
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "critical")
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
