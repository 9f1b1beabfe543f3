"""The command line and composition root: each stage is one line, in order.

``python -m engine.run CONFIG [section.key=value ...] [--stage all|plan|collect|analyze|verify]``
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.config import Config, load_config
from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_STOPPED, ConfigError, RunFailedError, UserError
from engine.lease import RunLease
from engine.store import RunStore

STAGES = ("all", "plan", "collect", "analyze", "verify")
_DEBUG_SAMPLES = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO if options.debug else logging.ERROR, format="%(name)s: %(message)s")
    _quiet_libraries(options.debug)
    try:
        return _run(options)
    except UserError as error:
        if options.debug:
            logging.exception("stopped")
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if options.debug:
            logging.exception("stopped")
        where = f"{error.filename}: " if error.filename else ""
        print(f"{where}{error.strerror or error}. Nothing that was committed is lost; mend this and start again, or "
              f"choose another run.output.", file=sys.stderr)  # fmt: skip
        return EXIT_FAILED
    except ValueError as error:
        if options.debug or type(error).__module__.split(".")[0] != "analyses":
            raise
        print(f"{error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("Interrupted; committed units are kept, the same command continues.", file=sys.stderr)
        return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.run",
        description="Measure what every attention head looks at behind recorded predictions, test it and report it.",
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="YAML config, or a finished run's run.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the config's")
    parser.add_argument("--config", dest="config_option", metavar="PATH", help="the same as CONFIG")
    parser.add_argument("--predictions", metavar="PATH", help="the same as predictions.path=PATH")
    parser.add_argument("--max-samples", "--max_samples", type=int, metavar="N", help="predictions.max_samples=N")
    parser.add_argument("--stage", choices=STAGES, default="all", help="plan is a dry run that loads no weights")
    parser.add_argument("--debug", action="store_true", help="4 samples, inline, verbose, in a run of its own")
    parser.add_argument("--fresh", action="store_true", help="set an existing run directory aside and start anew")
    return parser


def _run(options: argparse.Namespace) -> int:
    config, expected = _config(options)
    store = RunStore(Path(config.run.output) / config.run.name)
    if options.fresh and store.root.exists():
        print(f"The earlier run was set aside as {store.set_aside()}.")
    if options.stage in ("all", "plan", "collect"):
        store.root.mkdir(parents=True, exist_ok=True)
        with RunLease(store.root):
            _measure(config, store, expected, options.stage)
    if options.stage == "verify":
        print(f"{store.root}: verified, {_described(store.verify())}.")
    if options.stage in ("all", "analyze"):
        _analyze(store)
    return EXIT_DONE


def _config(options: argparse.Namespace) -> tuple[Config, dict[str, Any]]:
    paths = [path for path in (options.config, options.config_option) if path]
    overrides = list(options.overrides)
    if len(paths) == 2 and "=" in paths[0]:
        overrides.insert(0, paths.pop(0))
    if len(paths) != 1:
        raise ConfigError("Give one config file: python -m engine.run config/demo.yaml [section.key=value ...].")
    if options.predictions:
        overrides.append(f"predictions.path={options.predictions}")
    if options.max_samples is not None:
        overrides.append(f"predictions.max_samples={options.max_samples}")
    config, expected = load_config(paths[0], overrides)
    if options.debug:
        config.predictions.max_samples = min(config.predictions.max_samples or _DEBUG_SAMPLES, _DEBUG_SAMPLES)
        config.cluster.mode = "inline"
        config.run.name += "-debug"
    return config, expected


def _measure(config: Config, store: RunStore, expected: dict[str, Any], stage: str) -> None:
    from engine.collect import collect
    from engine.identity import checked_fingerprints, write_run_yaml
    from engine.model_facts import read_model_facts
    from engine.planning import make_plan, plan_lines

    started = time.perf_counter()
    found = checked_fingerprints(config, store, expected)
    plan = store.read_json("plan.json")
    if not store.has_commits() or plan is None:
        facts, warning = read_model_facts(config, needs_model=stage != "plan")
        plan = make_plan(config, store, facts)
        write_run_yaml(config, store, found, {"plan_seconds": time.perf_counter() - started})
        if warning:
            print(f"Warning: {warning}", file=sys.stderr)
    print("\n".join(plan_lines(plan)), flush=True)
    if stage == "plan":
        print(f"The plan is in {store.root}.")
        return
    with _stopping_at_shards(store):
        started = time.perf_counter()
        summary = collect(config, store, plan["key_groups"])
    write_run_yaml(config, store, found, {"collect_seconds": time.perf_counter() - started})
    print(f"Measured and verified: {_described(summary)}, in {store.root}.", flush=True)


def _described(summary: dict[str, int]) -> str:
    return f"{summary['samples']} samples and {summary['rejects']} rejects in {summary['units']} units"


@contextmanager
def _stopping_at_shards(store: RunStore) -> Iterator[None]:
    """Turn SIGTERM, SIGUSR1 and SIGINT into a request to stop at the next shard boundary."""
    store.clear_stop()
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def stop(number: int, _frame: object) -> None:
        print(f"{signal.Signals(number).name}: finishing the current shards, then stopping.", file=sys.stderr)
        store.request_stop()

    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        store.clear_stop()


def _analyze(store: RunStore) -> None:
    from analyses.report import analyze

    if not store.is_published():
        raise RunFailedError(f"{store.root}: holds no finished measurement (_SUCCESS is missing); run --stage collect.")
    result = analyze(store.root)
    print(f"Report: {result.report}")


def _quiet_libraries(debug: bool) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if debug:
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    sys.exit(main())
