"""Predictions → encoded samples → units on disk.

One unit is held at a time, so that a file of any size is planned in the memory of a small one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.config import Config
from engine.config.causes.method import RunFacts
from engine.encoding.groups.random_groups import with_random_groups
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.sequences.chat_template import pin_date, template_warnings
from engine.encoding.tokenizer import load_tokenizer
from engine.errors import InputError
from engine.inputs.files import input_files, total_bytes
from engine.inputs.predictions import chosen_records, scan_predictions
from engine.model.facts import ModelFacts
from engine.planning.caveats import plan_warnings
from engine.planning.checks import check_kept_samples, check_layers, check_vocabulary, kept_samples
from engine.planning.planned_samples import PlannedSample
from engine.planning.progress import PlanProgress
from engine.planning.rows.helpers import Helpers, num_processes
from engine.planning.rows.row_work import RowWork, RowWorkers, ThisProcess
from engine.planning.tally import PlanTally, may_share
from engine.planning.units import iter_units
from engine.samples import Answer, Reject
from engine.storage.planned.plan import Plan
from engine.storage.planned.units import PlannedUnit


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan whose encoded units lie in a folder: names and ids of units, rejects, and what ``plan.json`` holds."""

    units: list[PlannedUnit]
    rejects: list[Reject]
    plan: Plan


def prepare_plan(
    config: Config,
    facts: ModelFacts,
    folder: Path,
    answers: Mapping[str, Answer] | None = None,
    caveats: Sequence[str] = (),
) -> PreparedPlan:
    """Read, encode and cut the predictions.

    Parameters
    ----------
    config
        The run's config.
    facts
        What is known of the model.
    folder
        Where the encoded units are written; the caller moves it into the run directory.
    answers
        Generated answers by sample id.
    caveats
        What is known of the model beforehand, which the plan's warnings begin with.

    Raises
    ------
    ConfigError, InputError
        When config or predictions cannot be used.
    """
    check_layers(config, facts)
    groups = TokenGroups.from_config(config)
    tokenizer = load_tokenizer(config)
    pin_date(config, tokenizer)
    work = RowWork(config, facts.max_tokens, answers, tokenizer, groups)
    tally = PlanTally(config, facts, {sample_id for _, sample_id in kept_samples(config)})
    censuses = work.empty_censuses()
    files = input_files(config.predictions.path, config.predictions.format)
    with PlanProgress() as progress, row_workers(work, facts.max_tokens, total_bytes(files), answers) as workers:
        progress.start("read", total_bytes(files))
        scan = scan_predictions(config, work.reader, progress.rows, workers.scanned)
        rejects = list(scan.rejects)
        progress.start("encoded", len(scan.chosen))
        samples = _encoded(workers.encoded(chosen_records(config, scan), censuses), rejects, progress)
        cluster, shares = config.cluster, may_share(config, facts)
        size, budget = cluster.samples_per_shard, cluster.tokens_per_batch
        for unit in iter_units(samples, size, budget, facts.rope_regime, shares=shares):
            check_vocabulary(facts, unit)
            tally.add(unit)
            workers.write(folder / f"{unit.name}.parquet", unit.batches)
        workers.finish()
        _refuse_nothing(config, tally, rejects, len(scan.rejects))
        check_kept_samples(config, tally.lengths)
        drawn = with_random_groups(groups, censuses, num_random=config.statistics.random_groups, seed=config.run.seed)
        config.causal.check(RunFacts(key_groups=drawn.names))
        if censuses:
            progress.start("drawn random vocabularies for", tally.num_samples)
            _add_drawn_groups(folder, tally, groups, drawn, workers, progress)
    plan = tally.plan(
        scan,
        rejects,
        files=[str(file) for file in files],
        key_groups=drawn.names,
        random_vocabularies={
            name: drawn.vocabulary[name]
            for name in drawn.names
            if name not in groups.vocabulary and name in drawn.vocabulary
        },
    )
    num_rendered = plan.samples_by_sequence_source.get("template", 0)
    warnings = [
        *caveats,
        *plan_warnings(config, plan, scan),
        *template_warnings(config, work.encoder.chat_template, num_rendered),
    ]
    return PreparedPlan(tally.units, rejects, replace(plan, warnings=warnings))


@contextmanager
def row_workers(
    work: RowWork, max_tokens: int | None, num_bytes: int, answers: Mapping[str, Answer] | None
) -> Iterator[RowWorkers]:
    """Give who does the work of a plan of files of so many bytes: this process, or several."""
    size = num_processes(work.config, num_bytes)
    if size == 1:
        yield ThisProcess(work)
        return
    with Helpers(work, max_tokens, size, answers) as helpers:
        yield helpers


def _encoded(
    rows: Iterable[PlannedSample | Reject], rejects: list[Reject], progress: PlanProgress
) -> Iterator[PlannedSample]:
    """Yield the samples that could be encoded; the others join the rejects."""
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Reject):
            rejects.append(row)
        else:
            yield row
        progress.samples(number)


def _add_drawn_groups(
    folder: Path,
    tally: PlanTally,
    groups: TokenGroups,
    drawn: TokenGroups,
    workers: RowWorkers,
    progress: PlanProgress,
) -> None:
    """Give the encoded units the random groups, which can only be drawn once every text was seen."""
    names = [name for name in drawn.names if drawn.key_groups[name] != groups.key_groups.get(name)]
    done = 0
    paths = [folder / f"{unit.name}.parquet" for unit in tally.units]
    for unit, _path in zip(tally.units, workers.draw(paths, drawn, names), strict=True):
        done += len(unit.sample_ids)
        progress.samples(done)


def _refuse_nothing(config: Config, tally: PlanTally, rejects: list[Reject], num_before: int) -> None:
    if not tally.num_samples and len(rejects) > num_before:
        first = rejects[num_before]
        raise InputError(
            f"{config.predictions.path}: no sample can be measured; of {len(rejects)} rejects, the first that had a "
            f"label is {first.sample_id}: {first.reason}: {first.detail}"
        )
