"""The plan stage: a new plan becomes the run's only once it is complete."""

from __future__ import annotations

import shutil
import sys

from engine.config import Config
from engine.errors import RunFailedError, printable
from engine.inputs.records import refuse_unreadable
from engine.samples import Answer
from engine.schema import layout
from engine.stages.options import RunOptions
from engine.storage.fingerprints import Fingerprints
from engine.storage.planned.plan import Plan
from engine.storage.run_directory import RunDirectory


def show_estimate(config: Config, run_dir: RunDirectory, plan: Plan, fingerprint: str) -> None:
    """Print what the plan takes on the cluster that a run would find now, and keep it in the run directory."""
    from engine.executors.executor import executor_of
    from engine.planning.estimate import estimate
    from engine.planning.estimate_text import estimate_lines, estimate_warnings
    from engine.planning.rates import rate_of_replica

    executor = executor_of(config)
    warnings: list[str] = []
    try:
        nodes = executor.nodes()
    except RunFailedError as error:
        nodes, warnings = [], [str(error)]
    rate = rate_of_replica(config, fingerprint, plan.model.dtype, nodes)
    free_disk = shutil.disk_usage(run_dir.root).free
    needs = estimate(config, plan, nodes, rate, free_disk, is_local=executor.is_local)
    warnings += estimate_warnings(config, plan, nodes, needs, is_local=executor.is_local)
    if executor.caveat and not needs.num_replicas:
        warnings.append(executor.caveat)
    lines = [*estimate_lines(config, needs, executor.place), *(f"Warning: {warning}" for warning in warnings)]
    print(printable("\n".join(lines)), flush=True)
    run_dir.write_json(layout.ESTIMATE, needs.to_json() | {"warnings": warnings})


def plan_anew(config: Config, run_dir: RunDirectory, options: RunOptions, current: Fingerprints) -> None:
    """Plan, and only once that worked set an earlier run aside and let the plan become the run's.

    Files are read several times for it; all of them must be those that were fingerprinted before and still are.
    """
    refuse_unreadable(config.predictions.path, config.predictions.format)
    from engine.model.facts import read_model_facts
    from engine.planning.plan_text import plan_lines
    from engine.planning.prepare import prepare_plan

    needs_model = options.stage != "plan"
    facts, warning = read_model_facts(config, needs_model=needs_model)
    if warning:
        print(printable(f"Warning: {warning}"), file=sys.stderr)
    from engine.measuring.checking.coverage import left_out
    from engine.measuring.checking.rehearsal import rehearse

    caveats = rehearse(config, needs_model=needs_model)
    if config.causal.is_on and facts.num_layers is not None:
        from engine.causal.coverage import refuse_uncovered

        refuse_uncovered(config)
    answers: dict[str, Answer] = {}
    generates = config.generation.enabled and options.stage != "plan"  # a dry run loads no weights
    if generates:
        from engine.stages.generate import generate_answers

        _set_earlier_run_aside(run_dir, options)
        answers = generate_answers(config, run_dir, current)
    with run_dir.plan.folder_beside() as folder:
        prepared = prepare_plan(config, facts, folder, answers, [*caveats, *left_out(config)])
        current.refuse_changes(current.stamps, consequence="Nothing was planned.")
        if not generates:
            _set_earlier_run_aside(run_dir, options)
        run_dir.adopt_plan(folder, prepared.units, prepared.rejects, prepared.plan)
    run_dir.write_text(layout.PLAN_TEXT, printable("\n".join([*plan_lines(prepared.plan), ""])))


def _set_earlier_run_aside(run_dir: RunDirectory, options: RunOptions) -> None:
    if run_dir.ledger.has_commits() or (options.fresh and run_dir.root.exists()):
        print(f"The earlier run was set aside as {run_dir.set_aside()}.")
