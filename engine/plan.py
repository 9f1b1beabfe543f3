"""Fixed, deterministic work units and the packed batches inside them; estimates of memory and disk.

Everything here depends on inputs and config only, never on free memory or on the machine, so that the same run is cut
the same way everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from engine.config import Config
from engine.errors import ConfigError
from engine.samples import EncodedSample, Reject

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


Regime = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work: its name and its packed batches."""

    name: str
    batches: list[list[EncodedSample]]

    @property
    def sample_ids(self) -> list[str]:
        """Ids in batch order."""
        return [sample.sample_id for batch in self.batches for sample in batch]


def measure_units(
    samples: Sequence[EncodedSample], samples_per_shard: int, tokens_per_batch: int, regime: Regime | None = None
) -> list[Unit]:
    """Cut samples, in file order, into units, and pack each unit's samples into batches.

    Parameters
    ----------
    samples
        All encoded samples.
    samples_per_shard
        Samples of a unit; the last may hold fewer.
    tokens_per_batch
        Tokens of a packed batch at most; a sample longer than that gets a batch of its own.
    regime
        Which samples may share a batch, by their length; all of them when None.
    """
    return list(iter_units(samples, samples_per_shard, tokens_per_batch, regime))


def iter_units(
    samples: Iterable[EncodedSample], samples_per_shard: int, tokens_per_batch: int, regime: Regime | None = None
) -> Iterator[Unit]:
    """Yield the units of ``measure_units`` one by one, holding the samples of one unit only."""
    rest = iter(samples)
    for number in count():
        part = list(islice(rest, samples_per_shard))
        if not part:
            return
        yield Unit(f"measure-{number:05d}", pack(part, tokens_per_batch, regime))


def pack(
    samples: Sequence[EncodedSample], tokens_per_batch: int, regime: Regime | None = None
) -> list[list[EncodedSample]]:
    """Pack samples first-fit, the longest first; equal lengths keep their order."""
    batches: list[list[EncodedSample]] = []
    free: list[tuple[int, object]] = []
    for sample in sorted(samples, key=lambda sample: -sample.num_tokens):
        kind = regime(sample.num_tokens) if regime else None
        fits = (i for i, (room, other) in enumerate(free) if room >= sample.num_tokens and other == kind)
        fitting = next(fits, None)
        if fitting is None:
            batches.append([])
            free.append((tokens_per_batch, kind))
            fitting = len(batches) - 1
        batches[fitting].append(sample)
        free[fitting] = (free[fitting][0] - sample.num_tokens, kind)
    return batches


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a plan knows of a model without its weights; None where the model's config could not be read."""

    num_layers: int | None = None
    num_heads: int | None = None
    num_parameters: int | None = None
    max_tokens: int | None = None
    hidden_size: int | None = None
    dtype: str = "float32"
    vocab_size: int | None = None
    rope_kind: str | None = None
    rope_original: int | None = None

    def rope_regime(self, num_tokens: int) -> object:
        """Return what the rotary frequencies of a sequence depend on beside the position.

        ``longrope`` has one set of frequencies up to the original context and another beyond it; ``dynamic`` has one
        per length beyond it. Both look at the longest position of the whole packed row, so only sequences of one
        regime may share it.
        """
        if self.rope_original is None or num_tokens <= self.rope_original:
            return 0
        return num_tokens if self.rope_kind == "dynamic" else 1


def check_layers(config: Config, facts: ModelFacts) -> None:
    """Refuse layers and heads that the model does not have.

    Raises
    ------
    ConfigError
        Naming the config path, the value and the allowed range.
    """
    wanted = config.statistics.patterns
    named = [] if wanted is None else [
        *((f"statistics.patterns.layers[{index}]", "layer", value) for index, value in enumerate(wanted.layers)),
        *((f"statistics.patterns.heads[{index}]", "head", value) for index, value in enumerate(wanted.heads)),
    ]  # fmt: skip
    for key, heads in config.causal.listed_heads():
        for index, pair in enumerate(heads):
            named += [(f"{key}[{index}]", kind, value) for kind, value in zip(("layer", "head"), pair, strict=True)]
    for key, kind, value in named:
        number = facts.num_layers if kind == "layer" else facts.num_heads
        if number is not None and not 0 <= value < number:
            raise ConfigError(
                f"{key}: {kind} {value} is outside 0..{number - 1} for this model ({number} {kind}s)."
            )


def check_knockout(config: Config, key_groups: Sequence[str]) -> None:
    """Refuse to knock out key groups that the run does not have.

    Raises
    ------
    ConfigError
        Naming the config path and the key groups there are.
    """
    wanted = config.causal.knockout.key_groups if config.causal.knockout is not None else []
    for index, name in enumerate(wanted):
        if name not in key_groups:
            raise ConfigError(
                f"causal.knockout.key_groups[{index}]: {name!r} is no key group of this run; there are "
                f"{', '.join(key_groups)}."
            )


def check_vocabulary(facts: ModelFacts, sample: EncodedSample) -> None:
    """Refuse a tokenizer whose ids the model does not know.

    Raises
    ------
    ConfigError
        Naming the id and the model's vocabulary.
    """
    largest = int(sample.input_ids.max())
    if facts.vocab_size is not None and largest >= facts.vocab_size:
        raise ConfigError(
            f"model.tokenizer: the tokenizer gives token id {largest}, but the model knows ids 0.."
            f"{facts.vocab_size - 1}; tokenizer and model do not belong together."
        )


def kept_samples(config: Config) -> list[tuple[str, str]]:
    """Return config key and sample id of every sample that the config names to be kept in more detail."""
    rows, patterns = config.statistics.decision_rows, config.statistics.patterns
    named = {
        "decision_rows": rows if isinstance(rows, list) else [],
        "patterns.samples": patterns.samples if patterns else [],
    }
    return [
        (f"statistics.{key}[{index}]", sample_id) for key, ids in named.items() for index, sample_id in enumerate(ids)
    ]


def check_kept_samples(config: Config, lengths: Mapping[str, int]) -> None:
    """Refuse rows and patterns of unknown samples, and patterns above their byte limit.

    Parameters
    ----------
    config
        The run's config.
    lengths
        Tokens of each sample that the config names, by id; absent where it will not be measured.

    Raises
    ------
    ConfigError
        Naming the sample, or the bytes needed and allowed.
    """
    for key, sample_id in kept_samples(config):
        if sample_id not in lengths:
            raise ConfigError(f"{key}: no sample {sample_id!r} will be measured.")
    wanted = config.statistics.patterns
    if wanted is None:
        return
    num_patterns = len(set(wanted.layers)) * len(set(wanted.heads))
    needed = sum(lengths[s] * (lengths[s] + 1) for s in set(wanted.samples)) * num_patterns
    if needed > wanted.max_bytes:
        raise ConfigError(
            f"statistics.patterns: these patterns take {needed:,} bytes, max_bytes allows {wanted.max_bytes:,}: "
            f"name fewer samples, layers or heads, or raise statistics.patterns.max_bytes."
        )


class PlanTally:
    """Counts what a plan wants to say of its samples, one unit at a time.

    Parameters
    ----------
    config
        The run's config.
    facts
        What is known of the model.
    """

    def __init__(self, config: Config, facts: ModelFacts):
        self.config, self.facts = config, facts
        self.units: list[dict[str, Any]] = []
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
        self.lengths: dict[str, int] = {}
        self.num_samples = self.num_tokens = self.num_batches = 0
        self.max_sample_tokens = self.max_batch_tokens = 0
        self.num_spans = self.num_with_statement = self.num_with_periods = 0
        self._kept = {sample_id for _, sample_id in kept_samples(config)}

    def add(self, unit: Unit) -> None:
        """Count a unit."""
        self.units.append({"name": unit.name, "sample_ids": unit.sample_ids})
        self.num_batches += len(unit.batches)
        for batch in unit.batches:
            self.max_batch_tokens = max(self.max_batch_tokens, sum(sample.num_tokens for sample in batch))
            for sample in batch:
                check_vocabulary(self.facts, sample)
                self._add_sample(sample)

    def _add_sample(self, sample: EncodedSample) -> None:
        self.num_samples += 1
        self.num_tokens += sample.num_tokens
        self.max_sample_tokens = max(self.max_sample_tokens, sample.num_tokens)
        if sample.sample_id in self._kept:
            self.lengths[sample.sample_id] = sample.num_tokens
        for name in ("label_source", "predicted_label", "actual_label", "is_correct"):
            self.counts[name][str(sample.metadata[name])] += 1
        flags = sample.metadata.get("flags")
        self.counts["flag"].update(map(str, flags if isinstance(flags, list) else []))
        kinds = {span.kind for span in sample.spans}
        self.num_spans += len(sample.spans)
        self.num_with_statement += "line_item" in kinds
        self.num_with_periods += "period" in kinds
        self.counts["empty_key_group"].update(name for name, found in sample.key_groups.items() if not len(found))

    def summary(self, rejects: Sequence[Reject], num_rows: int, key_groups: Sequence[str]) -> dict[str, Any]:
        """Return what ``plan.json`` holds of samples, rejects, sizes and the model."""
        by = {name: dict(counter.most_common()) for name, counter in self.counts.items()}
        facts = self.facts
        return {
            "num_rows": num_rows,
            "num_samples": self.num_samples,
            "num_rejects": len(rejects),
            "rejects_by_reason": dict(Counter(reject.reason for reject in rejects).most_common()),
            "samples_by_label_source": by["label_source"],
            "samples_by_predicted_label": by["predicted_label"],
            "samples_by_actual_label": by["actual_label"],
            "samples_by_is_correct": by["is_correct"],
            "samples_by_flag": by["flag"],
            "num_decision_positions": self.num_samples,
            "num_samples_with_statement": self.num_with_statement,
            "num_samples_with_periods": self.num_with_periods,
            "empty_key_groups": [name for name in key_groups if by["empty_key_group"].get(name) == self.num_samples],
            "num_tokens": self.num_tokens,
            "max_sample_tokens": self.max_sample_tokens,
            "num_shards": len(self.units),
            "num_batches": self.num_batches,
            "predicted_memory_bytes": _memory(facts, self.max_batch_tokens, len(key_groups)),
            "predicted_disk_bytes": self._disk(len(key_groups)),
            "model": {
                "num_layers": facts.num_layers,
                "num_heads": facts.num_heads,
                "num_parameters": facts.num_parameters,
                "max_tokens": facts.max_tokens,
                "dtype": facts.dtype,
            },
        }

    def _disk(self, num_groups: int) -> int | None:
        """Return predicted bytes of all tables, from a float32 per statistic and what zstd left in measured runs."""
        facts, settings = self.facts, self.config.statistics
        if facts.num_layers is None or facts.num_heads is None:
            return None
        num_heads = facts.num_layers * facts.num_heads
        statistics = num_heads * len(settings.query_groups) * (12 + num_groups) * 4
        per_sample = statistics + num_heads * settings.top_keys * 9
        return self.num_samples * per_sample + self.num_tokens * 20 + self.num_spans * num_heads * 4


_COUNTED = ("label_source", "predicted_label", "actual_label", "is_correct", "flag", "empty_key_group")


def _memory(facts: ModelFacts, largest_batch: int, num_groups: int) -> int | None:
    """Return predicted device memory of a replica: weights, a layer's activations, a layer's riders."""
    if facts.num_parameters is None or facts.hidden_size is None or facts.num_heads is None:
        return None
    size = _BYTES.get(facts.dtype, 4)
    activations = largest_batch * facts.hidden_size * 12 * size
    riders = largest_batch * (4 * facts.hidden_size + facts.num_heads * (num_groups + 1)) * 4
    return facts.num_parameters * size + activations + riders
