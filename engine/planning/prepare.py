"""Predictions → encoded samples → units on disk.

One unit is held at a time, so that a file of any size is planned in the memory of a small one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.config import Config
from engine.config.causes.method import RunFacts
from engine.encoding.conversations import sample_reader
from engine.encoding.encoded_files import read_batches, write_batches
from engine.encoding.encoder import Encoder
from engine.encoding.groups.random_groups import empty_censuses, with_random_groups
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.random_vocabulary import WordCensus
from engine.encoding.sequences.chat_template import pin_date, template_warnings
from engine.encoding.tokenizer import load_tokenizer
from engine.errors import InputError
from engine.inputs.files import input_files, total_bytes
from engine.inputs.predictions import Scan, iter_samples, scan_predictions
from engine.inputs.sample_reader import SampleReader
from engine.model.facts import ModelFacts
from engine.planning.caveats import plan_warnings
from engine.planning.checks import check_kept_samples, check_layers, check_vocabulary, kept_samples
from engine.planning.progress import PlanProgress
from engine.planning.tally import PlanTally
from engine.planning.units import iter_units
from engine.samples import SEGMENTS, Answer, EncodedSample, Reject, RowRejected
from engine.storage.plan_records import Plan, PlannedUnit


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan whose encoded units lie in a folder: names and ids of units, rejects, and what ``plan.json`` holds."""

    units: list[PlannedUnit]
    rejects: list[Reject]
    plan: Plan


def prepare_plan(
    config: Config, facts: ModelFacts, folder: Path, answers: Mapping[str, Answer] | None = None
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

    Raises
    ------
    ConfigError, InputError
        When config or predictions cannot be used.
    """
    check_layers(config, facts)
    groups = TokenGroups.from_config(config)
    tokenizer = load_tokenizer(config)
    pin_date(config, tokenizer)
    reader = sample_reader(config, answers, tokenizer)
    encoder = Encoder(config, tokenizer, groups, facts.max_tokens)
    tally = PlanTally(config, facts, {sample_id for _, sample_id in kept_samples(config)})
    censuses = empty_censuses(groups, config.statistics.random_groups)
    files = input_files(config.predictions.path, config.predictions.format)
    with PlanProgress() as progress:
        progress.start("read", total_bytes(files))
        scan = scan_predictions(config, reader, progress.rows)
        rejects = list(scan.rejects)
        progress.start("encoded", len(scan.chosen))
        samples = _encoded(config, encoder, reader, scan, rejects, progress)
        cluster = config.cluster
        for unit in iter_units(
            _counted(samples, censuses), cluster.samples_per_shard, cluster.tokens_per_batch, facts.rope_regime
        ):
            check_vocabulary(facts, unit)
            tally.add(unit)
            write_batches(folder / f"{unit.name}.parquet", unit.batches)
        _refuse_nothing(config, tally, rejects, len(scan.rejects))
        check_kept_samples(config, tally.lengths)
        drawn = with_random_groups(groups, censuses, num_random=config.statistics.random_groups, seed=config.run.seed)
        config.causal.check(RunFacts(key_groups=drawn.names))
        if censuses:
            progress.start("drawn random vocabularies for", tally.num_samples)
            _add_drawn_groups(folder, tally, groups, drawn, progress)
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
    warnings = [*plan_warnings(config, plan, scan), *template_warnings(config, encoder.chat_template, num_rendered)]
    return PreparedPlan(tally.units, rejects, replace(plan, warnings=warnings))


def _encoded(
    config: Config, encoder: Encoder, reader: SampleReader, scan: Scan, rejects: list[Reject], progress: PlanProgress
) -> Iterator[EncodedSample]:
    """Yield the chosen samples encoded; those that cannot be join the rejects."""
    for number, sample in enumerate(iter_samples(config, reader, scan), start=1):
        try:
            yield encoder.encode(sample)
        except RowRejected as rejected:
            rejects.append(Reject(sample.sample_id, rejected.stage, rejected.reason, str(rejected)))
        progress.samples(number)


def _counted(samples: Iterator[EncodedSample], censuses: Mapping[str, WordCensus]) -> Iterator[EncodedSample]:
    """Pass samples on, counting their words for random vocabularies."""
    for sample in samples:
        if censuses:
            text = _without_template(sample)
            for census in censuses.values():
                census.add(text)
        yield sample


def _without_template(sample: EncodedSample) -> str:
    """Return the sample's text with the chat template's own characters blanked: its words are no candidates."""
    text = list(sample.text)
    for position in np.flatnonzero(sample.segments == SEGMENTS.index("template")):
        start, end = int(sample.char_starts[position]), int(sample.char_ends[position])
        text[start:end] = " " * (end - start)
    return "".join(text)


def _add_drawn_groups(
    folder: Path, tally: PlanTally, groups: TokenGroups, drawn: TokenGroups, progress: PlanProgress
) -> None:
    """Give the encoded units the random groups, which can only be drawn once every text was seen."""
    names = [name for name in drawn.names if drawn.key_groups[name] != groups.key_groups.get(name)]
    done = 0
    for unit in tally.units:
        path = folder / f"{unit.name}.parquet"
        batches = [[drawn.with_drawn_groups(sample, names) for sample in batch] for batch in read_batches(path)]
        write_batches(path, batches)
        done += len(unit.sample_ids)
        progress.samples(done)


def _refuse_nothing(config: Config, tally: PlanTally, rejects: list[Reject], num_before: int) -> None:
    if not tally.num_samples and len(rejects) > num_before:
        first = rejects[num_before]
        raise InputError(
            f"{config.predictions.path}: no sample can be measured; of {len(rejects)} rejects, the first that had a "
            f"label is {first.sample_id}: {first.reason}: {first.detail}"
        )
