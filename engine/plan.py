"""Fixed, deterministic work units and the packed batches inside them; estimates of memory and disk.

Everything here depends on inputs and config only, never on free memory or on the machine, so that the same run is cut
the same way everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    units = []
    for number, start in enumerate(range(0, len(samples), samples_per_shard)):
        part = samples[start : start + samples_per_shard]
        units.append(Unit(f"measure-{number:05d}", pack(part, tokens_per_batch, regime)))
    return units


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
    if wanted is None:
        return
    for kind, values, number in (("layer", wanted.layers, facts.num_layers), ("head", wanted.heads, facts.num_heads)):
        for index, value in enumerate(values):
            if number is not None and not 0 <= value < number:
                raise ConfigError(
                    f"statistics.patterns.{kind}s[{index}]: {kind} {value} is outside 0..{number - 1} for this model "
                    f"({number} {kind}s)."
                )


def check_vocabulary(facts: ModelFacts, samples: Sequence[EncodedSample]) -> None:
    """Refuse a tokenizer whose ids the model does not know.

    Raises
    ------
    ConfigError
        Naming the largest id and the model's vocabulary.
    """
    largest = max(int(sample.input_ids.max()) for sample in samples)
    if facts.vocab_size is not None and largest >= facts.vocab_size:
        raise ConfigError(
            f"model.tokenizer: the tokenizer gives token id {largest}, but the model knows ids 0.."
            f"{facts.vocab_size - 1}; tokenizer and model do not belong together."
        )


def check_kept_samples(config: Config, samples: Sequence[EncodedSample]) -> None:
    """Refuse rows and patterns of unknown samples, and patterns above their byte limit.

    Raises
    ------
    ConfigError
        Naming the sample, or the bytes needed and allowed.
    """
    lengths = {sample.sample_id: sample.num_tokens for sample in samples}
    rows, wanted = config.statistics.decision_rows, config.statistics.patterns
    for key, named in (
        ("decision_rows", rows if isinstance(rows, list) else []),
        ("patterns.samples", wanted.samples if wanted else []),
    ):
        for index, sample_id in enumerate(named):
            if sample_id not in lengths:
                raise ConfigError(f"statistics.{key}[{index}]: no sample {sample_id!r} will be measured.")
    if wanted is None:
        return
    num_patterns = len(set(wanted.layers)) * len(set(wanted.heads))
    needed = sum(lengths[s] * (lengths[s] + 1) for s in set(wanted.samples)) * num_patterns
    if needed > wanted.max_bytes:
        raise ConfigError(
            f"statistics.patterns: these patterns take {needed:,} bytes, max_bytes allows {wanted.max_bytes:,}: "
            f"name fewer samples, layers or heads, or raise statistics.patterns.max_bytes."
        )


def plan_summary(
    config: Config, units: Sequence[Unit], rejects: Sequence[Reject], num_rows: int, facts: ModelFacts
) -> dict[str, Any]:
    """Return what ``plan.json`` holds."""
    samples = [sample for unit in units for batch in unit.batches for sample in batch]
    num_tokens = sum(sample.num_tokens for sample in samples)
    largest = max((sum(s.num_tokens for s in batch) for unit in units for batch in unit.batches), default=0)
    num_groups = len(samples[0].key_groups) if samples else 0
    return {
        "num_rows": num_rows,
        "num_samples": len(samples),
        "num_rejects": len(rejects),
        "rejects_by_reason": dict(Counter(reject.reason for reject in rejects).most_common()),
        "samples_by_label_source": dict(Counter(str(s.metadata["label_source"]) for s in samples).most_common()),
        "samples_by_predicted_label": dict(Counter(str(s.metadata["predicted_label"]) for s in samples).most_common()),
        "samples_by_flag": dict(Counter(str(f) for s in samples for f in _flags(s)).most_common()),
        "num_decision_positions": len(samples),
        "num_tokens": num_tokens,
        "max_sample_tokens": max((sample.num_tokens for sample in samples), default=0),
        "num_shards": len(units),
        "num_batches": sum(len(unit.batches) for unit in units),
        "predicted_memory_bytes": _memory(facts, largest, num_groups),
        "predicted_disk_bytes": _disk(config, facts, samples, num_groups),
        "model": {
            "num_layers": facts.num_layers,
            "num_heads": facts.num_heads,
            "num_parameters": facts.num_parameters,
            "max_tokens": facts.max_tokens,
            "dtype": facts.dtype,
        },
    }


def _flags(sample: EncodedSample) -> list[object]:
    flags = sample.metadata.get("flags")
    return flags if isinstance(flags, list) else []


def _memory(facts: ModelFacts, largest_batch: int, num_groups: int) -> int | None:
    """Return predicted device memory of a replica: weights, a layer's activations, a layer's riders."""
    if facts.num_parameters is None or facts.hidden_size is None or facts.num_heads is None:
        return None
    size = _BYTES.get(facts.dtype, 4)
    activations = largest_batch * facts.hidden_size * 12 * size
    riders = largest_batch * (4 * facts.hidden_size + facts.num_heads * (num_groups + 1)) * 4
    return facts.num_parameters * size + activations + riders


def _disk(config: Config, facts: ModelFacts, samples: Sequence[EncodedSample], num_groups: int) -> int | None:
    """Return predicted bytes of all tables, from a float32 per statistic and what zstd left in measured runs."""
    if facts.num_layers is None or facts.num_heads is None:
        return None
    num_heads = facts.num_layers * facts.num_heads
    statistics = num_heads * len(config.statistics.query_groups) * (12 + num_groups) * 4
    per_sample = statistics + num_heads * config.statistics.top_keys * 9
    return len(samples) * per_sample + sum(sample.num_tokens for sample in samples) * 20
