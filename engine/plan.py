"""Fixed, deterministic work units and the packed batches inside them; the estimate of time, memory and disk.

How a run is cut depends on inputs and config only, never on free memory or on the machine, so that it is the same
everywhere. Only ``estimate`` looks at a cluster, and only to tell a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from engine.causal_settings import AmplificationSection, CausalSection
from engine.config import Config
from engine.machine import Node
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
    num_body_parameters: int | None = None
    intermediate_size: int | None = None
    head_dim: int | None = None

    def rope_regime(self, num_tokens: int) -> object:
        """Return what the rotary frequencies of a sequence depend on beside the position.

        ``longrope`` has one set of frequencies up to the original context and another beyond it; ``dynamic`` has one
        per length beyond it. Both look at the longest position of the whole packed row, so only sequences of one
        regime may share it.
        """
        if self.rope_original is None or num_tokens <= self.rope_original:
            return 0
        return num_tokens if self.rope_kind == "dynamic" else 1


class PlanTally:
    """Counts what a plan wants to say of its samples, one unit at a time.

    Parameters
    ----------
    config
        The run's config.
    facts
        What is known of the model.
    kept
        Ids of samples whose lengths are remembered.
    """

    def __init__(self, config: Config, facts: ModelFacts, kept: Collection[str] = ()):
        self.config, self.facts, self.kept = config, facts, frozenset(kept)
        self.units: list[dict[str, Any]] = []
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
        self.lengths: dict[str, int] = {}
        self.num_samples = self.num_tokens = self.num_batches = 0
        self.max_sample_tokens = self.max_batch_tokens = self.num_pairs = 0
        self.num_spans = self.num_with_statement = self.num_with_periods = 0

    def add(self, unit: Unit) -> None:
        """Count a unit."""
        self.units.append({"name": unit.name, "sample_ids": unit.sample_ids})
        self.num_batches += len(unit.batches)
        for batch in unit.batches:
            self.max_batch_tokens = max(self.max_batch_tokens, sum(sample.num_tokens for sample in batch))
            for sample in batch:
                self._add_sample(sample)

    def _add_sample(self, sample: EncodedSample) -> None:
        self.num_samples += 1
        self.num_tokens += sample.num_tokens
        self.max_sample_tokens = max(self.max_sample_tokens, sample.num_tokens)
        self.num_pairs += sample.num_tokens * (sample.num_tokens + 1) // 2
        if sample.sample_id in self.kept:
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
        memory = MemoryNeed.of(facts, len(key_groups), self.config.model.device)
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
            "max_batch_tokens": self.max_batch_tokens,
            "predicted_memory_bytes": memory.of_batch(self.max_batch_tokens) if memory else None,
            "predicted_weight_bytes": memory.weights if memory else None,
            "predicted_bytes_per_token": memory.per_token if memory else None,
            "predicted_flop": self._flop(len(key_groups)),
            "predicted_disk_bytes": self._disk(len(key_groups)),
            "model": {
                "num_layers": facts.num_layers,
                "num_heads": facts.num_heads,
                "num_parameters": facts.num_parameters,
                "max_tokens": facts.max_tokens,
                "dtype": facts.dtype,
            },
        }

    def _flop(self, num_groups: int) -> dict[str, float] | None:
        """Return the arithmetic of measuring all samples once and of explaining them, and the weights looked at."""
        facts, causal = self.facts, self.config.causal
        forward = forward_flop(facts, self.num_tokens, self.num_pairs)
        if forward is None or facts.num_layers is None or facts.num_heads is None:
            return None
        share = min(1.0, (causal.max_samples or self.num_samples) / max(self.num_samples, 1))
        forwards = _causal_forwards(causal, facts.num_layers, facts.num_heads, num_groups)
        pairs = float(facts.num_layers * facts.num_heads * self.num_pairs)
        return {"measure": forward, "causal": forward * share * forwards, "pairs": pairs}

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


def forward_flop(facts: ModelFacts, num_tokens: int, num_pairs: int) -> float | None:
    """Return the multiplications and additions of plain forwards; None where the model is not known.

    Parameters
    ----------
    facts
        What is known of the model; all experts of a mixture count, though only some work.
    num_tokens
        Tokens of all samples.
    num_pairs
        Pairs of a row and a key that it sees, of all samples.
    """
    if facts.num_body_parameters is None or facts.num_layers is None or facts.num_heads is None:
        return None
    by_weights = 2.0 * facts.num_body_parameters * num_tokens
    return by_weights + 4.0 * facts.num_layers * facts.num_heads * (facts.head_dim or 0) * num_pairs


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a replica needs of its device, in bytes: weights, room to work in, and so much per token of a batch."""

    weights: int
    per_token: int
    workspace: int

    @classmethod
    def of(cls, facts: ModelFacts, num_groups: int, device: str) -> MemoryNeed | None:
        """Return the need of a model on a device; None where it is not known."""
        if facts.num_parameters is None or facts.hidden_size is None or facts.num_heads is None:
            return None
        size = _BYTES.get(facts.dtype, 4)
        # A layer at a time: residual stream, norms, queries, keys, values and output; gate, up and their product.
        activations = (6 * facts.hidden_size + 3 * (facts.intermediate_size or 4 * facts.hidden_size)) * size
        riders = (4 * facts.hidden_size + facts.num_heads * (num_groups + 1)) * 4
        # Blocks of scores, which are larger on GPUs, and what CUDA keeps for itself.
        workspace = 2**30 if device in ("cuda", "mps") else 64 * 2**20
        return cls(facts.num_parameters * size, activations + riders, workspace)

    def of_batch(self, num_tokens: int) -> int:
        """Return the need with a batch of so many tokens."""
        return self.weights + self.workspace + self.per_token * num_tokens


_ALL_ROWS, _ONE_ROW, _BACKWARD = 0.51, 0.009, 3.0
"""Plain forwards that an ablation of a head costs, in all rows or in the decision row, and a gradient (causal.md)."""


def _causal_forwards(causal: CausalSection, num_layers: int, num_heads: int, num_groups: int) -> float:
    """Return how many plain forwards explaining a sample costs."""
    if not causal.is_on:
        return 0.0
    forwards = 1.0
    if causal.num_screened or causal.needs_means:
        forwards += 1.0 + (_BACKWARD if causal.num_screened else 0.0)
    if causal.attribution is not None or causal.attention_gradient is not None or causal.patching is not None:
        forwards += _BACKWARD
    forwards += 0.0 if causal.patching is None else 1.0
    for part in (causal.ablation, causal.amplification):
        if part is None:
            continue
        heads = part.heads
        number = num_layers * num_heads if heads == "all" else len(heads) if isinstance(heads, list) else 2 * heads.top
        number = 1 if part.unit == "set" else number if part.unit == "head" else min(number, num_layers)
        factors = len(part.factors) if isinstance(part, AmplificationSection) else 1
        forwards += number * factors * (_ALL_ROWS if part.rows == "all" else _ONE_ROW)
    if causal.knockout is not None:
        number = num_layers * (len(causal.knockout.key_groups) or num_groups)
        forwards += number * (_ONE_ROW if causal.knockout.rows == "decision" else _ALL_ROWS)
    return forwards


@dataclass(frozen=True, slots=True)
class Rate:
    """What a replica does a second, in FLOP, and how that is known."""

    flop_per_second: float
    basis: str
    seconds_per_pair: float = 0.0
    """What statistics take beside, per layer, head and pair of a row and a key that it sees."""


def estimate(
    config: Config, summary: Mapping[str, Any], nodes: Sequence[Node], rate: Rate | None, free_disk: int
) -> dict[str, Any]:
    """Return what a plan will take on a cluster: replicas, hours, memory and disk.

    Parameters
    ----------
    config
        The run's config.
    summary
        What ``plan.json`` holds.
    nodes
        What the cluster's nodes offer; none where it is not known.
    rate
        What a replica does a second, or None where nobody knows.
    free_disk
        Free bytes where the run directory will be.
    """
    settings = config.cluster
    room = sum(node.room(config) for node in nodes)
    room = min(room, 1) if settings.mode == "inline" else room
    wanted = 1 if settings.mode == "inline" else settings.replicas or room
    replicas = min(wanted, room, summary["num_shards"])
    flop = summary.get("predicted_flop")
    replica_hours = None
    if flop is not None and rate is not None:
        seconds = (flop["measure"] + flop["causal"]) / rate.flop_per_second + flop["pairs"] * rate.seconds_per_pair
        replica_hours = seconds / 3600
    return {
        "num_nodes": len(nodes),
        "num_cpus": sum(node.num_cpus for node in nodes),
        "num_gpus": sum(node.num_gpus for node in nodes),
        "accelerators": sorted({kind for node in nodes for kind in node.accelerators}),
        "num_replicas": replicas,
        "num_replicas_wanted": wanted,
        "num_replicas_placeable": room,
        "replica_hours": replica_hours,
        "gpu_hours": None if replica_hours is None else replica_hours * settings.gpus_per_replica,
        "hours": None if replica_hours is None or not replicas else replica_hours / replicas,
        "basis": rate.basis if rate is not None else None,
        "memory_bytes": summary["predicted_memory_bytes"],
        "memory_bytes_offered": _memory_offered(config, nodes),
        "disk_bytes": summary["predicted_disk_bytes"],
        "disk_bytes_free": free_disk,
    }


def _memory_offered(config: Config, nodes: Sequence[Node]) -> int | None:
    """Return the memory that the replica which gets least has for itself, on its GPUs or else of its node."""
    share = config.cluster.gpus_per_replica
    offers = []
    for node in nodes:
        room = min(node.room(config), 1) if config.cluster.mode == "inline" else node.room(config)
        if room and share and config.model.device in ("auto", "cuda"):
            offers.append(None if node.gpu_memory_bytes is None else int(node.gpu_memory_bytes * share))
        elif room:
            wanted = min(room, config.cluster.replicas or room)
            offers.append(None if node.memory_bytes is None else node.memory_bytes // wanted)
    known = [offer for offer in offers if offer is not None]
    return min(known) if known else None
