"""The stages of a run, in order: plan, generate, collect, analyze, verify."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from engine.config import Config
from engine.encoding.sequences.chat_template import set_pinned_date
from engine.errors import ConfigError, printable
from engine.inputs.formats import check_format
from engine.machine.lease import RunLease
from engine.stages.analyze import analyze_run
from engine.stages.options import RunOptions
from engine.stages.plan import plan_anew, show_estimate
from engine.stages.settings import check_analysis
from engine.storage.records import RunCounts
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import refuse_damaged_plan, verify


def run_stages(config: Config, expected: Mapping[str, str], options: RunOptions) -> RunDirectory:
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
    check_format(config.predictions.format)
    if options.measures:
        check_analysis(config)
        _refuse_impossible_output(config)
    run_dir = _run_directory(config, options)
    if options.fresh and not options.measures:
        raise ConfigError(
            f"--fresh starts a new measurement, which --stage {options.stage} does not; leave one of them."
        )
    if options.measures:
        with RunLease(run_dir.root) as lease:
            _measure(config, run_dir, expected, options, lease)
    if options.stage == "verify":
        print(f"{run_dir.root}: verified, {_described(verify(run_dir))}.")
    if options.stage in ("all", "analyze"):
        analyze_run(config, run_dir)
    return run_dir


def _refuse_impossible_output(config: Config) -> None:
    """Refuse an output folder that is a file, lies in one, or lies where none can be made."""
    try:
        Path(config.run.output).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"run.output: {config.run.output!r} is no folder and cannot be made one ({error.strerror}). Give a folder "
            f"that you may write to."
        ) from None


def _run_directory(config: Config, options: RunOptions) -> RunDirectory:
    """Return the run directory; a debug run never mixes with a real one of the same name."""
    run_dir = RunDirectory(Path(config.run.output) / config.run.name)
    earlier = run_dir.read_run_yaml()
    if options.debug and earlier and not earlier.get("debug") and run_dir.ledger.has_commits():
        config.run.name += "-debug"
        run_dir = RunDirectory(Path(config.run.output) / config.run.name)
        earlier = run_dir.read_run_yaml()
    if earlier and not options.fresh and config.prompt.date is None:
        day = earlier["config"].get("prompt", {}).get("date")
        if day:
            set_pinned_date(config, day)  # a run that goes on prints the day that it began with
    return run_dir


def _measure(
    config: Config, run_dir: RunDirectory, expected: Mapping[str, str], options: RunOptions, lease: RunLease
) -> None:
    """Plan where nothing is planned, collect what is missing, and publish what is verified."""
    from engine.planning.plan_text import plan_lines
    from engine.storage.fingerprints import LOADED
    from engine.storage.identity import checked_fingerprints, write_run_yaml
    from engine.storage.merging import settle
    from engine.storage.summary import run_lines

    started = time.perf_counter()
    settle(run_dir.ledger)
    continues = _goes_on(run_dir, options)
    current = checked_fingerprints(config, run_dir, expected, continues=continues)
    if continues:
        refuse_damaged_plan(run_dir)
    else:
        plan_anew(config, run_dir, options, current)
        timings = {"plan_seconds": time.perf_counter() - started}
        write_run_yaml(config, run_dir, current.values, timings, is_debug=options.debug)
    current.write(run_dir.root)
    plan = run_dir.plan.read()
    assert plan is not None, "what goes on has a plan, and what does not was planned above"
    print(printable("\n".join(plan_lines(plan))), flush=True)
    if options.stage == "plan":
        show_estimate(config, run_dir, plan, current.values["model"])
        print(f"The plan is in {run_dir.root}.")
        return
    from engine.stages.collect import collect
    from engine.stages.compact import compact, compacts

    started = time.perf_counter()
    counts = collect(config, run_dir, plan.key_groups)
    lease.check()
    merges = compacts(config, run_dir)
    if merges:
        run_dir.withdraw()
    if not run_dir.is_published():
        current.refuse_changes(
            LOADED, consequence="Committed units are kept and nothing was published: they may be of either."
        )
        if merges and compact(run_dir, lease):
            counts = verify(run_dir)
        timings = {"collect_seconds": time.perf_counter() - started}
        write_run_yaml(config, run_dir, current.values, timings, is_debug=options.debug)
        run_dir.publish(counts)
    print(printable("\n".join(run_lines(run_dir))))
    print(f"Measured and verified: {_described(counts)}, in {run_dir.root}.", flush=True)


def _goes_on(run_dir: RunDirectory, options: RunOptions) -> bool:
    """Whether committed units of the directory are gone on with."""
    was_debug = bool((run_dir.read_run_yaml() or {}).get("debug")) and not options.debug
    has_begun = run_dir.ledger.has_commits() and not options.fresh and not was_debug
    return has_begun and run_dir.plan.read() is not None


def _described(counts: RunCounts) -> str:
    measured = f"{counts['samples']} samples and {counts['rejects']} rejects in {counts['units']} units"
    num_rejects = counts.get("causal_rejects")
    if num_rejects is None:
        return measured
    rejects = f" and {num_rejects} rejects" if num_rejects else ""
    explained = f"{counts.get('causal_samples')} samples{rejects} explained in {counts.get('causal_units')} units"
    return f"{measured}; {explained}"
