"""What is counted while a plan is made: samples, rejects, tokens, label sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from engine.config import Config
from engine.inputs.predictions import Scan
from engine.model.facts import ModelFacts
from engine.model.limits import FORWARDS_OF_CHECK, regime
from engine.planning.estimate import MemoryNeed, forward_flop
from engine.planning.planned_samples import PlannedSample
from engine.planning.units import Unit
from engine.samples import FLAG_NAMES, Reject
from engine.schema import FEWEST_SENTENCES, LOOKBACK_STATISTICS, MOST_SENTENCES, SENTENCES_APART
from engine.shared_prefixes import beginning, shared_prefixes
from engine.storage.planned.plan import LabelValues, Plan, PlannedModel, PredictedFlop, Selection
from engine.storage.planned.units import PlannedUnit

_MOST_NAMED = 20
"""Flags that say of what (a header that is not understood) that are counted at most."""


class PlanTally:
    """Counts what a plan wants to say of its samples, one unit at a time.

    Parameters
    ----------
    config
        The run's config.
    facts
        What is known of the model.
    named
        Ids of samples whose lengths are remembered.
    """

    def __init__(self, config: Config, facts: ModelFacts, named: Collection[str] = ()):
        self.config, self.facts, self.named = config, facts, frozenset(named)
        self.units: list[PlannedUnit] = []
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
        self.lengths: dict[str, int] = {}
        self.num_samples = self.num_tokens = self.num_batches = 0
        self.num_prefixes_again, self._beginnings = 0, set[bytes]()
        self.num_shared_tokens = self.num_shared_pairs = self.num_sharing_samples = self.num_shareable_tokens = 0
        self.max_sample_tokens = self.max_batch_tokens = self.num_pairs = 0
        self.longest_of_regime: dict[tuple[int, ...], int] = {}
        self.num_written_pairs = self.num_answer_pairs = self.num_without_answer = self.num_without_sentences = (
            self.num_sentence_pairs
        ) = 0
        self.num_spans = self.num_with_statement = self.num_with_periods = self.num_with_thought = 0

    def add(self, unit: Unit[PlannedSample]) -> None:
        """Count a unit."""
        self.units.append(PlannedUnit(unit.name, unit.sample_ids))
        self.num_batches += len(unit.batches)
        begun = {beginning(sample.input_ids) for batch in unit.batches for sample in batch} - {None}
        self.num_prefixes_again += len(begun & self._beginnings)
        self._beginnings |= begun
        for batch in unit.batches:
            shared = self._add_shared(batch)
            self.max_batch_tokens = max(self.max_batch_tokens, sum(sample.num_tokens for sample in batch) - shared)
            for sample in batch:
                self._add_sample(sample)

    def _is_counted(self, flag: str) -> bool:
        """Whether a flag is counted: every one as such, and the first few that say of what."""
        counts = self.counts["flag"]
        return FLAG_NAMES not in flag or flag in counts or sum(FLAG_NAMES in one for one in counts) < _MOST_NAMED

    def _add_shared(self, batch: Sequence[PlannedSample]) -> int:
        """Count the tokens that samples of a batch begin with like others of it; return those computed once."""
        numbers = [one.number for one in shared_prefixes([sample.input_ids for sample in batch]) if one is not None]
        self.num_shareable_tokens += sum(numbers)
        if not may_share(self.config, self.facts):
            return 0
        self.num_shared_tokens += sum(numbers)
        self.num_sharing_samples += len(numbers)
        self.num_shared_pairs += sum(map(_pairs, numbers))
        return sum(numbers)

    def _add_sample(self, sample: PlannedSample) -> None:
        self.num_samples += 1
        self.num_tokens += sample.num_tokens
        self.max_sample_tokens = max(self.max_sample_tokens, sample.num_tokens)
        self.num_pairs += _pairs(sample.num_tokens)
        self.num_written_pairs += sample.num_written_pairs
        self._add_reading(sample)
        beyond = regime(sample.num_tokens, self.facts.limits)
        self.longest_of_regime[beyond] = max(sample.num_tokens, self.longest_of_regime.get(beyond, 0))
        if sample.sample_id in self.named:
            self.lengths[sample.sample_id] = sample.num_tokens
        for name in ("label_source", "predicted_label", "actual_label", "is_correct"):
            value = getattr(sample, name)
            is_free = name in ("predicted_label", "actual_label") and sample.is_free
            self.counts[name][FREE if is_free and value is not None else str(value)] += 1
        self.counts["sequence_source"][sample.sequence_source] += 1
        self.num_with_thought += sample.has_thought
        self.counts["flag"].update(flag for flag in sample.flags if self._is_counted(flag))
        self.num_spans += sample.num_spans
        self.num_with_statement += "line_item" in sample.span_kinds
        self.num_with_periods += "period" in sample.span_kinds
        self.counts["empty_key_group"].update(sample.empty_key_groups)

    def _add_reading(self, sample: PlannedSample) -> None:
        """Count what reading and receiving take and lack of a sample, as far as they are asked for."""
        settings = self.config.statistics
        if settings.reading_focus:
            self.num_answer_pairs += sample.num_answer_pairs
            self.num_without_answer += not sample.num_answer_pairs
        if settings.received is not None and settings.received.sentences is not None:
            number = sample.num_sentences[settings.received.sentences]
            self.num_without_sentences += not SENTENCES_APART + FEWEST_SENTENCES <= number <= MOST_SENTENCES
            self.num_sentence_pairs += number * (number + 1) // 2 if number <= MOST_SENTENCES else 0

    def plan(
        self,
        scan: Scan,
        rejects: Sequence[Reject],
        *,
        files: Sequence[str],
        key_groups: Sequence[str],
        random_vocabularies: Mapping[str, list[str]],
    ) -> Plan:
        """Return the plan, but for its warnings and checksums.

        Parameters
        ----------
        scan
            What was read of the predictions.
        rejects
            All rows and samples that were turned away.
        files
            The predictions' files.
        key_groups
            Names of the key groups, random ones included.
        random_vocabularies
            Words of every key group that was drawn, by its name.
        """
        by = {name: dict(counter.most_common()) for name, counter in self.counts.items()}
        facts, num_groups = self.facts, len(key_groups)
        memory = MemoryNeed.of(facts, num_groups, self.config.model.device)
        return Plan(
            num_rows=scan.num_rows,
            num_samples=self.num_samples,
            num_rejects=len(rejects),
            rejects_by_reason=dict(Counter(reject.reason for reject in rejects).most_common()),
            samples_by_label_source=by["label_source"],
            samples_by_predicted_label=by["predicted_label"],
            samples_by_actual_label=by["actual_label"],
            samples_by_is_correct=by["is_correct"],
            samples_by_flag=by["flag"],
            samples_by_sequence_source=by["sequence_source"],
            num_samples_with_thought=self.num_with_thought,
            num_decision_positions=self.num_samples,
            num_samples_with_statement=self.num_with_statement,
            num_samples_with_periods=self.num_with_periods,
            empty_key_groups=[name for name in key_groups if by["empty_key_group"].get(name) == self.num_samples],
            num_tokens=self.num_tokens,
            max_sample_tokens=self.max_sample_tokens,
            num_shards=len(self.units),
            num_batches=self.num_batches,
            max_batch_tokens=self.max_batch_tokens,
            num_shared_tokens=self.num_shared_tokens,
            num_sharing_samples=self.num_sharing_samples,
            num_prefixes_again=self.num_prefixes_again if may_share(self.config, self.facts) else 0,
            why_unshared=self._why_unshared(),
            predicted_memory_bytes=memory.of_batch(self.max_batch_tokens) if memory else None,
            predicted_weight_bytes=memory.weights if memory else None,
            predicted_bytes_per_token=memory.per_token if memory else None,
            predicted_flop=self._flop(num_groups),
            predicted_disk_bytes=self._disk(num_groups),
            predicted_reading_bytes=self._reading_bytes(num_groups),
            num_samples_without_answer=self.num_without_answer,
            num_samples_without_sentences=self.num_without_sentences,
            model=PlannedModel(
                facts.num_layers,
                facts.num_heads,
                facts.num_parameters,
                facts.max_tokens,
                facts.dtype,
                facts.quantisation,
                list(facts.headless_layers),
            ),
            files=list(files),
            selection=cast(Selection, scan.selection),
            examples_of_rejects=_examples(rejects),
            key_groups=list(key_groups),
            is_causal=self.config.causal.is_on,
            random_vocabularies=dict(random_vocabularies),
            label_values={name: cast(LabelValues, values.as_json()) for name, values in scan.label_values.items()},
            answers_by_language=dict(scan.languages.most_common()),
            num_rows_split=scan.num_split,
            num_answers_apart=scan.num_answers_apart,
        )

    def _why_unshared(self) -> str:
        """Return why tokens that samples begin with alike are computed for each; empty where they are not."""
        if self.num_shared_tokens or not self.num_shareable_tokens:
            return ""
        number = f"{self.num_shareable_tokens:,} tokens that samples of a batch begin with alike are computed for each"
        if not self.config.cluster.share_prefixes:
            return f"{number}: cluster.share_prefixes is false"
        return f"{number}: state, convolutions or positions of this model's layers pass from sample to sample in a row"

    def _flop(self, num_groups: int) -> PredictedFlop | None:
        """Return the arithmetic of measuring all samples once and of explaining them, and the weights looked at."""
        facts, causal = self.facts, self.config.causal
        forward = forward_flop(facts, self.num_tokens, self.num_pairs)
        shared = forward_flop(facts, self.num_shared_tokens, self.num_shared_pairs)
        if forward is None or shared is None or facts.num_layers is None or facts.num_heads is None:
            return None
        share = min(1.0, (causal.max_samples or self.num_samples) / max(self.num_samples, 1))
        forwards = causal.forwards(num_layers=facts.num_layers, num_heads=facts.num_heads, num_groups=num_groups)
        computed = self.num_pairs - self.num_shared_pairs
        pairs = float((facts.num_layers_with_heads or 0) * facts.num_heads * computed)
        check = sum(forward_flop(facts, length, _pairs(length)) or 0.0 for length in self.longest_of_regime.values())
        reading, fetching = self._reading_flop(num_groups), self._fetching_flop()
        return PredictedFlop(
            forward - shared + reading + fetching,
            forward * share * forwards,
            pairs,
            FORWARDS_OF_CHECK * check,
            reading,
            fetching,
        )

    def _fetching_flop(self) -> float:
        """Return about the arithmetic of retrieval: scores of the rows that were written, and copy scores.

        A copy score takes what a token writes, by a row of the output head, and the vocabulary's spread in each head,
        which is worked out once (``measuring.fetching.copying``). Prompts may be as long as samples.
        """
        facts = self.facts
        if not self.config.statistics.retrieval:
            return 0.0
        heads, layers = float(facts.num_heads or 0), facts.num_layers_with_heads or 0
        width, size, vocabulary = facts.head_dim or 0, facts.hidden_size or 0, facts.vocab_size or 0
        scored = 2.0 * heads * width * self.num_written_pairs
        copied = 2.0 * heads * width * (size + width + 1) * self.num_tokens
        once = 2.0 * heads * width * size * (size + width)
        return layers * (scored + copied + once) + 2.0 * vocabulary * size**2

    def _reading_flop(self, num_groups: int) -> float:
        """Return the arithmetic of reading patterns a second time: scores, and products with key groups."""
        facts, settings = self.facts, self.config.statistics
        heads = float((facts.num_layers_with_heads or 0) * (facts.num_heads or 0))
        scored = 0 if settings.received is None else self.num_pairs
        scored = scored or self.num_answer_pairs
        return heads * (2.0 * (facts.head_dim or 0) * scored + 6.0 * num_groups * self.num_answer_pairs)

    def _disk(self, num_groups: int) -> int | None:
        """Return predicted bytes of all tables, from a float32 per statistic and what zstd left in measured runs."""
        facts, settings = self.facts, self.config.statistics
        if facts.num_layers is None or facts.num_heads is None:
            return None
        num_heads = (facts.num_layers_with_heads or 0) * facts.num_heads
        statistics = num_heads * len(settings.query_groups) * (12 + num_groups) * 4
        per_sample, per_span = statistics + num_heads * settings.top_keys * 9, 4.0
        if settings.attribution is not None:
            columns = 1 + num_groups * (2 if settings.contribution else 1)
            per_sample += num_heads * (columns * 4 + settings.attribution.top_tokens * 2 * 9)
            per_span += 4.0  # a line item stands there with its figures of either period, rounded
        if settings.retrieval:
            per_sample += num_heads * 10
        reading = self._reading_bytes(num_groups) or 0
        by_span = self.num_spans * num_heads * per_span
        return int(self.num_samples * per_sample + self.num_tokens * 20 + by_span) + reading

    def _reading_bytes(self, num_groups: int) -> int | None:
        """Return predicted bytes of the tables of reading and receiving; None where nothing is known of the model."""
        facts, settings = self.facts, self.config.statistics
        if facts.num_layers is None or facts.num_heads is None:
            return None
        num_heads, total = (facts.num_layers_with_heads or 0) * facts.num_heads, 0
        if settings.reading_focus:
            lookbacks = len(LOOKBACK_STATISTICS) * len(settings.query_groups)
            read = self.num_samples - self.num_without_answer
            total += num_heads * 4 * (3 * num_groups * read + lookbacks * self.num_samples)
        if settings.received is not None:
            total += num_heads * self.num_samples * (settings.received.top * 9 + 9) + self.num_sentence_pairs * 9
        return total


def may_share(config: Config, facts: ModelFacts) -> bool:
    """Whether samples of a batch share the rows of what they begin with, as far as config and model tell."""
    return config.cluster.share_prefixes and facts.is_packable


def _pairs(num_tokens: int) -> int:
    """Return the pairs of a row and a key up to it."""
    return num_tokens * (num_tokens + 1) // 2


_COUNTED = (
    "label_source",
    "predicted_label",
    "actual_label",
    "is_correct",
    "flag",
    "sequence_source",
    "empty_key_group",
)
FREE = "free answer"
"""What stands for answers that are no label of a list."""


def _examples(rejects: Sequence[Reject]) -> dict[str, str]:
    """Return id and detail of the first reject of each reason."""
    examples: dict[str, str] = {}
    for reject in rejects:
        examples.setdefault(reject.reason, f"{reject.sample_id}: {reject.detail}")
    return examples
