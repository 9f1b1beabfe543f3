"""The command line and composition root: each stage is one line, in order.

``python -m engine.run CONFIG [section.key=value ...] [--stage all|plan|collect|analyze|verify]``
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyses.settings import SettingsError, check_settings
from engine.atomic_files import reason_of
from engine.config import Config
from engine.config_file import load_config, translation_lines
from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_STOPPED, ConfigError, RunFailedError, UserError
from engine.lease import RunLease
from engine.samples import Answer
from engine.schema import samples_schema
from engine.stopping import stop_signals
from engine.store import RunStore
from engine.verification import verify

STAGES = ("all", "plan", "collect", "analyze", "verify")
_DEBUG_SAMPLES = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO if options.debug else logging.ERROR, format="%(name)s: %(message)s")
    _quiet_libraries(options.debug)
    try:
        with stop_signals():
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
        print(f"{where}{reason_of(error)}. Nothing that was committed is lost; mend this and start again, or "
              f"choose another run.output.", file=sys.stderr)  # fmt: skip
        return EXIT_FAILED
    except KeyboardInterrupt as interrupt:
        name = str(interrupt) or "Interrupted"
        print(f"{name}: stopped at once; committed units are kept, the same command continues.", file=sys.stderr)
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
    parser.add_argument("--debug", action="store_true", help="4 samples, inline, verbose, with tracebacks")
    parser.add_argument("--fresh", action="store_true", help="set an existing run directory aside and start anew")
    return parser


def _run(options: argparse.Namespace) -> int:
    config, expected = _config(options)
    run_stages(config, expected, Choices(options.stage, options.debug, options.fresh))
    return EXIT_DONE


@dataclass(frozen=True, slots=True)
class Choices:
    """Which stages of a run, and how: what the command line says beside the config."""

    stage: str = "all"
    debug: bool = False
    fresh: bool = False


def run_stages(config: Config, expected: dict[str, Any], options: Choices) -> RunStore:
    """Bring a run as far as asked for, and return its directory.

    Parameters
    ----------
    config
        The run's config.
    expected
        Fingerprints that a ``run.yaml`` recorded; empty otherwise.
    options
        Stages and how.

    Raises
    ------
    UserError
        Whatever the user can mend; nothing is published then.
    """
    if options.stage in ("all", "plan", "collect"):
        _refuse_impossible_output(config)
    store = _store(config, options.debug)
    if options.fresh and options.stage in ("analyze", "verify"):
        raise ConfigError(
            f"--fresh starts a new measurement, which --stage {options.stage} does not; leave one of them."
        )
    if options.stage in ("all", "plan", "collect"):
        with RunLease(store.root) as lease:
            _measure(config, store, expected, options, lease)
    if options.stage == "verify":
        print(f"{store.root}: verified, {_described(verify(store))}.")
    if options.stage in ("all", "analyze"):
        _analyze(config, store)
    return store


def _refuse_impossible_output(config: Config) -> None:
    """Refuse an output folder that is a file, lies in one, or lies where none can be made."""
    try:
        Path(config.run.output).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"run.output: {config.run.output!r} is no folder and cannot be made one ({error.strerror}). Give a folder "
            f"that you may write to."
        ) from None


def _store(config: Config, is_debug: bool) -> RunStore:
    """Return the run directory; a debug run never mixes with a real one of the same name."""
    store = RunStore(Path(config.run.output) / config.run.name)
    earlier = store.read_run_yaml()
    if is_debug and earlier and not earlier.get("debug") and store.has_commits():
        config.run.name += "-debug"
        return RunStore(Path(config.run.output) / config.run.name)
    return store


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
    for line in translation_lines(paths[0]):
        print(line)
    config, expected = load_config(paths[0], overrides)
    if options.debug:
        config.predictions.max_samples = min(config.predictions.max_samples or _DEBUG_SAMPLES, _DEBUG_SAMPLES)
        config.cluster.mode = "inline"
    return config, expected


def _measure(config: Config, store: RunStore, expected: dict[str, Any], options: Choices, lease: RunLease) -> None:
    from engine.collect import collect
    from engine.identity import checked_fingerprints, write_run_yaml
    from engine.plan_text import plan_lines
    from engine.run_summary import run_lines

    started = time.perf_counter()
    was_debug = bool((store.read_run_yaml() or {}).get("debug")) and not options.debug
    continues = store.has_commits() and not options.fresh and not was_debug and store.read_json("plan.json") is not None
    found = checked_fingerprints(config, store, expected, continues)
    if continues and (problems := store.damage_of_plan()):
        raise RunFailedError(
            f"{store.root}: {'; '.join(problems)}. What was planned is no longer known for certain; bring the file "
            f"back from a copy, or start anew with --fresh, which sets this run directory aside and deletes nothing."
        )
    if not continues:
        _plan_anew(config, store, options)
        write_run_yaml(config, store, found, {"plan_seconds": time.perf_counter() - started}, options.debug)
    plan = store.read_json("plan.json")
    print("\n".join(plan_lines(plan)), flush=True)
    if options.stage == "plan":
        _estimate(config, store, plan, found["model"])
        print(f"The plan is in {store.root}.")
        return
    started = time.perf_counter()
    summary = collect(config, store, plan["key_groups"])
    lease.check()
    if not store.is_published():
        write_run_yaml(config, store, found, {"collect_seconds": time.perf_counter() - started}, options.debug)
        store.publish(summary)
    print("\n".join(run_lines(store)))
    print(f"Measured and verified: {_described(summary)}, in {store.root}.", flush=True)


def _estimate(config: Config, store: RunStore, plan: dict[str, Any], fingerprint: str) -> None:
    """Say what the plan takes on the cluster that a run would find now."""
    from engine.machine import this_machine
    from engine.plan import estimate
    from engine.plan_text import estimate_lines, estimate_warnings
    from engine.rates import rate_of_replica
    from engine.ray_process import cluster_nodes

    address = (os.environ.get("RAY_ADDRESS") or None) if config.cluster.mode == "auto" else None
    warnings: list[str] = []
    try:
        nodes = [this_machine()] if address is None else cluster_nodes(address)
    except RunFailedError as error:
        nodes, warnings = [], [str(error)]
    rate = rate_of_replica(config, fingerprint, plan["model"]["dtype"], nodes)
    found = estimate(config, plan, nodes, rate, shutil.disk_usage(store.root).free)
    warnings += estimate_warnings(config, plan, nodes, found)
    if address is None and config.cluster.mode == "auto" and not found["num_replicas"]:
        warnings.append("This machine was looked at, for RAY_ADDRESS names no cluster; a login node says little.")
    where = "this machine" if address is None else f"Ray at {address}"
    lines = [*estimate_lines(config, found, where), *(f"Warning: {warning}" for warning in warnings)]
    print("\n".join(lines), flush=True)
    store.write_json("plan/estimate.json", found | {"warnings": warnings})


def _plan_anew(config: Config, store: RunStore, options: Choices) -> None:
    """Plan, and only once that worked set an earlier run aside and let the plan become the run's."""
    from engine.model_facts import read_model_facts
    from engine.plan_text import plan_lines
    from engine.planning import prepare_plan

    facts, warning = read_model_facts(config, needs_model=options.stage != "plan")
    if warning:
        print(f"Warning: {warning}", file=sys.stderr)
    answers: dict[str, Answer] = {}
    generates = config.generation.enabled and options.stage != "plan"  # a dry run loads no weights
    if generates:
        from engine.generated import generate_answers

        _set_earlier_run_aside(store, options)
        answers = generate_answers(config, store)
    with store.planning_folder() as folder:
        prepared = prepare_plan(config, facts, folder, answers)
        columns = samples_schema(prepared.summary["key_groups"], config.predictions.keep).names
        try:
            check_settings(config.analysis.model_dump(), config.visualization.model_dump(), columns)
        except SettingsError as error:
            raise ConfigError(f"{error}.") from None
        if not generates:
            _set_earlier_run_aside(store, options)
        store.adopt_plan(folder, prepared.units, prepared.rejects, prepared.summary)
    store.write_text("plan/plan.txt", "\n".join([*plan_lines(prepared.summary), ""]))


def _set_earlier_run_aside(store: RunStore, options: Choices) -> None:
    if store.has_commits() or (options.fresh and store.root.exists()):
        print(f"The earlier run was set aside as {store.set_aside()}.")


def _described(summary: dict[str, int]) -> str:
    measured = f"{summary['samples']} samples and {summary['rejects']} rejects in {summary['units']} units"
    if "causal_units" not in summary:
        return measured
    rejects = f" and {summary['causal_rejects']} rejects" if summary["causal_rejects"] else ""
    return f"{measured}; {summary['causal_samples']} samples{rejects} explained in {summary['causal_units']} units"


def _analyze(config: Config, store: RunStore) -> None:
    from analyses.report import analyze
    from analyses.terminal import print_summary
    from engine.identity import adopt_analysis_settings

    if not store.is_published():
        raise RunFailedError(f"{store.root}: holds no finished measurement (_SUCCESS is missing); run --stage collect.")
    adopt_analysis_settings(config, store)
    try:
        result = analyze(store.root)
    except SettingsError as error:
        raise ConfigError(f"{error}.") from None
    except Exception as error:
        raise RunFailedError(
            f"{store.root}: the analysis failed: {' '.join(str(error).split()) or type(error).__name__} The "
            f"measurement is complete and kept; mend this and run --stage analyze."
        ) from error
    print_summary(result.facts, result.headlines, result.report, partial=result.partial)
    print(f"Report: {result.report}")


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
