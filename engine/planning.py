"""The plan stage: predictions → encoded samples → units on disk, and what a person wants to know of them.

One unit is held at a time, so that a file of any size is planned in the memory of a small one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import Config
from engine.encoded_units import read_batches, write_batches
from engine.encoding import Encoder
from engine.errors import InputError
from engine.plan import ModelFacts, PlanTally, iter_units
from engine.plan_checks import check_kept_samples, check_knockout, check_layers, check_vocabulary, kept_samples
from engine.predictions import Scan, iter_samples, scan_predictions
from engine.progress import PlanProgress
from engine.random_vocabulary import WordCensus, mean_overlap
from engine.records import ignored_files, input_files, total_bytes
from engine.rows import RowReader
from engine.samples import SEGMENTS, Answer, EncodedSample, Reject, RowRejected
from engine.token_groups import TokenGroups
from engine.tokenizer import chat_template, load_tokenizer, transcript_layouts
from engine.transcripts import TranscriptReader

_MAX_OVERLAP = 0.5
"""Share of words that random vocabularies may have in common before the plan warns."""


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan whose encoded units lie in a folder: names and ids of units, rejects, and what ``plan.json`` holds."""

    units: list[dict[str, Any]]
    rejects: list[Reject]
    summary: dict[str, Any]


def row_reader(config: Config, answers: Mapping[str, Answer] | None = None, tokenizer: Any = None) -> RowReader:
    """Return the reader of a config's rows, which knows the tokenizer's chat template."""
    tokenizer = tokenizer or load_tokenizer(config)
    layouts = transcript_layouts(tokenizer, chat_template(config, tokenizer))
    return RowReader(config, TranscriptReader(layouts), answers)


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
    reader = row_reader(config, answers, tokenizer)
    encoder = Encoder(config, tokenizer, groups, facts.max_tokens)
    tally = PlanTally(config, facts, {sample_id for _, sample_id in kept_samples(config)})
    censuses = groups.censuses(config.statistics.random_groups)
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
        drawn = groups.with_random_groups(censuses, config.statistics.random_groups, config.run.seed)
        check_knockout(config, drawn.names)
        if censuses:
            progress.start("drawn random vocabularies for", tally.num_samples)
            _add_drawn_groups(folder, tally, groups, drawn, progress)
    summary = tally.summary(rejects, scan.num_rows, drawn.names)
    summary |= {
        "files": [str(file) for file in files],
        "selection": scan.selection,
        "examples_of_rejects": _examples(rejects),
        "key_groups": list(drawn.names),
        "is_causal": config.causal.is_on,
        "random_vocabularies": {n: drawn.vocabulary[n] for n in drawn.names if n not in groups.vocabulary
                                and n in drawn.vocabulary},
    }  # fmt: skip
    summary["warnings"] = plan_warnings(config, summary)
    return PreparedPlan(tally.units, rejects, summary)


def _encoded(
    config: Config, encoder: Encoder, reader: RowReader, scan: Scan, rejects: list[Reject], progress: PlanProgress
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
        path = folder / f"{unit['name']}.parquet"
        batches = [[drawn.with_drawn_groups(sample, names) for sample in batch] for batch in read_batches(path)]
        write_batches(path, batches)
        done += len(unit["sample_ids"])
        progress.samples(done)


def _refuse_nothing(config: Config, tally: PlanTally, rejects: list[Reject], num_before: int) -> None:
    if not tally.num_samples and len(rejects) > num_before:
        first = rejects[num_before]
        raise InputError(
            f"{config.predictions.path}: no sample can be measured; of {len(rejects)} rejects, the first that had a "
            f"label is {first.sample_id}: {first.reason}: {first.detail}"
        )


def _examples(rejects: list[Reject]) -> dict[str, str]:
    """Return the first reject of each reason, for the plan."""
    found: dict[str, str] = {}
    for reject in rejects:
        found.setdefault(reject.reason, f"{reject.sample_id}: {reject.detail}")
    return found


def plan_warnings(config: Config, summary: Mapping[str, Any]) -> list[str]:
    """Return sentences about what the samples cannot show, though they can be measured."""
    warnings = []
    number = summary["num_samples"]
    correct = set(summary["samples_by_is_correct"]) - {"None"}
    if not number:
        return [f"None of {summary['num_rows']} rows can be measured yet."]
    if len(correct) == 1:
        word = "right" if correct == {"True"} else "wrong"
        warnings.append(f"All {number} predictions are {word}: correct and incorrect cannot be compared.")
    elif not correct:
        warnings.append("No row has a known actual label: correct and incorrect cannot be compared.")
    third = [label for label in config.decision.labels if label not in config.decision.contrast]
    if third:
        first, second = config.decision.contrast
        warnings.append(
            f"decision.labels names {len(config.decision.labels)} labels: logit_difference and all causal numbers "
            f"compare {first!r} with {second!r} alone, in samples that say {' or '.join(map(repr, third))} too. Choose "
            f"the pair with decision.contrast."
        )
    for column, what in (("predicted_label", "predict"), ("actual_label", "turned out")):
        labels = set(summary[f"samples_by_{column}"])
        if len(labels) == 1 and "None" not in labels:
            warnings.append(f"All {number} rows {what} {labels.pop()!r}: this label cannot be told from correctness.")
    if summary["empty_key_groups"]:
        warnings.append(f"No sample has a token of the key group(s) {', '.join(summary['empty_key_groups'])}.")
    shared = mean_overlap(list(summary["random_vocabularies"].values()))
    if shared > _MAX_OVERLAP:
        warnings.append(
            f"The {len(summary['random_vocabularies'])} random vocabularies share {shared:.0%} of their words: the "
            f"texts hold too few other words, so that the null of head types has too little spread."
        )
    differing = summary["samples_by_flag"].get("prompt_differs", 0)
    if differing:
        warnings.append(
            f"In {differing} sample(s) the chat template makes another prompt of the recorded parts than the "
            f"transcript says, such as a system part of its own (flag prompt_differs): the model did not see "
            f"exactly this prompt."
        )
    ignored = ignored_files(config.predictions.path)
    if ignored:
        shown = ", ".join(file.name for file in ignored[:5])
        warnings.append(f"{len(ignored)} file(s) of {config.predictions.path} have no known suffix and were not read: "
                        f"{shown}.")  # fmt: skip
    return warnings
