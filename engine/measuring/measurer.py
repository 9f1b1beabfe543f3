"""Packed batches of samples → what a unit's tables are made of: forward passes and halving."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from engine.attention.layout import SequenceLayout, packed_ids, sequence_layout
from engine.config import Config
from engine.encoded_samples import EncodedSample
from engine.errors import ConfigError, RunFailedError, UnsupportedModelError
from engine.machine.devices import (
    Watch,
    fault_of,
    free_memory,
    ignore,
    peak_memory_bytes,
    reset_peak_memory,
    wait_for_copies,
)
from engine.measuring.checking.checker import Checker
from engine.measuring.contrasts import Decode
from engine.measuring.fetching.retrieval import retrieval_target
from engine.measuring.measured import Measured
from engine.measuring.probe import Probe
from engine.measuring.tables.attributions import num_attributed, targets_of, why_unsummed
from engine.measuring.tables.reading import received_rows
from engine.measuring.tables.unit import unit_tables
from engine.measuring.unit_results import UnitProgress, UnitResult, halves_of
from engine.model.placement import compute_devices, input_device
from engine.samples import Reject
from engine.shared_prefixes import Placement, placements, shared_prefixes
from engine.tolerances import tolerated

logger = logging.getLogger(__name__)


class Measurer:
    """Measures units with one model; one that fails on a batch measures its halves.

    Parameters
    ----------
    model
        In inference state.
    config
        The run's config.
    decode
        Names tokens that are no label's.

    Attributes
    ----------
    load_seconds
        How long whoever loaded the model took, for the facts of units.
    checker
        Makes the check before measuring.

    Raises
    ------
    ConfigError
        When the model's attention is not covered, or its backend cannot run here.
    """

    def __init__(self, model: PreTrainedModel, config: Config, decode: Decode | None = None):
        self.model, self.config, self.decode = model, config, decode
        self.device, self.devices = input_device(model), compute_devices(model)
        statistics = config.statistics
        try:
            self.probe = Probe(
                model,
                statistics.norm_weighted,
                statistics.rollout,
                config.model.attention,
                statistics.query_groups == ["decision"],
                None if statistics.attribution is None else statistics.attribution.top_tokens,
                statistics.contribution,
                statistics.retrieval,
            )
        except UnsupportedModelError as error:
            raise ConfigError(f"model.path: {config.model.path!r}: {error}.") from None
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.load_seconds = 0.0
        self.checker = Checker(model, self.probe, config.model.path)
        if self.probe.why_unattributed:
            logger.warning("statistics.attribution is left out: %s", self.probe.why_unattributed)
        if self.probe.why_uncopied:
            logger.warning("statistics.retrieval: copy scores are left out: %s", self.probe.why_uncopied)

    def forward_passes(
        self,
        batches: Sequence[Sequence[EncodedSample]],
        key_groups: Sequence[str],
        watch: Watch = ignore,
        isolated: Collection[str] = (),
    ) -> Callable[[], UnitResult]:
        """Do the part of measuring that needs the model, and return the rest.

        Parameters
        ----------
        batches
            The unit's packed batches.
        key_groups
            Names of the key groups, for the schema of empty tables.
        watch
            Told which samples are in flight.
        isolated
            Samples that are measured alone, and their neighbours in the batch too.

        Returns
        -------
        callable
            Checks what was found and builds the tables, from numbers that lie on the host: it may run beside the
            next unit's forward passes.

        Raises
        ------
        DeviceLost
            When a sample left the device unusable for this process.
        """
        started = time.perf_counter()
        reset_peak_memory(self.devices)
        self.probe.backend.fallback_layers.clear()
        progress = UnitProgress(watch)
        self.checker.check([sample for batch in batches for sample in batch], isolated, progress)
        rejected = {reject.sample_id for reject in progress.rejects}
        measurable = [[sample for sample in batch if sample.sample_id not in rejected] for batch in batches]
        self._check_shared(measurable, isolated, progress)
        for batch in (part for whole in measurable for part in self._within_budget(whole)):
            if len(batch) > 1 and any(sample.sample_id in isolated for sample in batch):
                progress.divided += [sample.sample_id for sample in batch]
                for sample in batch:
                    self._measure_batch([sample], progress)
            else:
                self._measure_batch(batch, progress)
        watch([])
        num_tokens = sum(sample.num_tokens for batch in batches for sample in batch)
        facts = self._facts(progress, num_tokens, time.perf_counter() - started)
        return functools.partial(self._unit_result, progress, key_groups, facts)

    @property
    def _shares(self) -> bool:
        """Whether samples of a batch share the rows that they begin with."""
        found = self.checker.found
        refused = found is not None and found.is_shared is False
        return self.config.cluster.share_prefixes and self.probe.is_packed and not refused

    def _check_shared(
        self, batches: Sequence[Sequence[EncodedSample]], isolated: Collection[str], progress: UnitProgress
    ) -> None:
        """Check the shared form on a pair of samples that share rows, before the first of them are measured."""
        for batch in batches if self._shares else []:
            sound = [sample for sample in batch if sample.sample_id not in isolated]
            shared = shared_prefixes([sample.input_ids for sample in sound])
            pairs = [(one.number, sound[one.source], sound[own]) for own, one in enumerate(shared) if one is not None]
            if pairs:
                # One that has rows of its own behind the shared ones, if any does.
                _, first, second = max(pairs, key=lambda pair: (pair[0] < pair[2].num_tokens, pair[0]))
                progress.watch([first.sample_id, second.sample_id])
                self.checker.check_shared(first, second)
                return

    def _within_budget(self, batch: Sequence[EncodedSample]) -> list[Sequence[EncodedSample]]:
        """Return a planned batch, cut where it would only fit if its samples shared rows, and they do not."""
        budget = self.config.cluster.tokens_per_batch
        if not batch or self._shares or sum(sample.num_tokens for sample in batch) <= budget:
            return [batch] if batch else []
        parts: list[list[EncodedSample]] = [[]]
        room = budget
        for sample in batch:
            if parts[-1] and sample.num_tokens > room:
                parts.append([])
                room = budget
            parts[-1].append(sample)
            room -= sample.num_tokens
        return list(parts)

    def _num_computed(self, batch: Sequence[EncodedSample]) -> int:
        """Return how many rows a batch has."""
        return sum(sample.num_tokens for sample in batch) - self._num_shared(batch)

    def _num_shared(self, batch: Sequence[EncodedSample]) -> int:
        """Return how many tokens of a batch are rows of other samples of it."""
        if not self._shares:
            return 0
        return sum(one.number for one in shared_prefixes([sample.input_ids for sample in batch]) if one is not None)

    def _facts(self, progress: UnitProgress, num_tokens: int, seconds: float) -> dict[str, Any]:
        return {
            "device": device_name(self.devices),
            "attention": self.probe.backend.method,
            "dtype": self.dtype,
            "measure_seconds": seconds,
            "load_seconds": self.load_seconds,
            "num_tokens": num_tokens,
            "tokens_per_second": num_tokens / max(seconds, 1e-9),
            "peak_memory_bytes": peak_memory_bytes(self.devices),
            "divided_sample_ids": progress.divided,
            "smallest_token_budget": progress.smallest_budget,
            "logit_deviation": None if self.checker.found is None else self.checker.found.logit_deviation,
            "is_packed": self.probe.is_packed,
            "num_shared_tokens": progress.num_shared,
            "why_unshared": "" if self.checker.found is None else self.checker.found.why_unshared,
            "fallback_layers": {name: list(layers) for name, layers in self.probe.backend.fallback_layers.items()},
            "num_layers": self.probe.geometry.num_layers,
            "num_heads": self.probe.geometry.num_heads,
            "why_uncopied": self.probe.why_uncopied,
        }

    def _unit_result(self, progress: UnitProgress, key_groups: Sequence[str], facts: dict[str, Any]) -> UnitResult:
        sound = progress.sound()
        settings, kept = self.config.statistics, self.config.predictions.keep
        tables = unit_tables(sound, key_groups, settings, kept, self.decode, tolerated(self.dtype))
        facts |= {
            "num_attributed": num_attributed(tables),
            "why_unattributed": self.probe.why_unattributed or why_unsummed(sound, self.dtype),
            "max_row_sum_error": max((sample.row_sum_error() for sample in sound), default=0.0),
            "max_future_mass": max((sample.future_mass() for sample in sound), default=0.0),
        }
        return UnitResult(tables, progress.rejects, facts)

    def _measure_batch(self, batch: Sequence[EncodedSample], progress: UnitProgress) -> None:
        """Measure a batch; when it fails, measure its halves, down to the one sample that is at fault."""
        progress.watch([sample.sample_id for sample in batch])
        try:
            measured = self._forward(batch)
        except UnsupportedModelError as error:
            raise RunFailedError(f"model.path: {self.config.model.path!r}: {error}.") from None
        except ConfigError:
            raise
        except Exception as error:  # whatever a sample does to the model is that sample's fault, not its neighbours'
            fault = fault_of(error, "measurement_failed", f"sample(s) {', '.join(s.sample_id for s in batch[:3])}")
        else:
            progress.measured += measured
            progress.num_shared += self._num_shared(batch)
            return
        # Outside of the handler: the exception's frames hold the tensors of the forward that did not fit.
        free_memory(self.device)
        if len(batch) == 1:
            progress.rejects.append(Reject(batch[0].sample_id, "measure", *fault))
            return
        logger.warning("a batch of %d samples failed (%s: %s), measuring its halves", len(batch), *fault)
        halves = halves_of(batch)
        progress.divide(batch, max(self._num_computed(half) for half in halves))
        for half in halves:
            self._measure_batch(half, progress)

    def _forward(self, batch: Sequence[EncodedSample]) -> list[Measured]:
        measured = self._measured(batch)
        beside = [sample.companion for sample in batch if sample.companion is not None]
        companions = {companion.encoded.sample_id: companion for companion in self._measured(beside)} if beside else {}
        return [
            sample.with_companion(companions[sample.encoded.sample_id])
            if sample.encoded.sample_id in companions
            else sample
            for sample in measured
        ]

    def _measured(self, batch: Sequence[EncodedSample]) -> list[Measured]:
        places = placements([sample.input_ids for sample in batch], shares=self._shares)
        layouts = [self._layout(sample, place) for sample, place in zip(batch, places, strict=True)]
        input_ids = packed_ids(layouts)
        targets = [
            [] if self.probe.attributor is None else targets_of(sample, layout)
            for sample, layout in zip(batch, layouts, strict=True)
        ]
        retrieved = []
        if self.config.statistics.retrieval:
            retrieved = [retrieval_target(sample, layout) for sample, layout in zip(batch, layouts, strict=True)]
        measurements = [
            measurement.on_host()
            for measurement in self.probe.measure(input_ids, layouts, targets=targets, retrieved=retrieved)
        ]
        wait_for_copies(self.devices)
        return [Measured(sample, measurement) for sample, measurement in zip(batch, measurements, strict=True)]

    def _layout(self, sample: EncodedSample, place: Placement) -> SequenceLayout:
        heads = self._pattern_heads(sample.sample_id)
        settings = self.config.statistics
        asked = None if settings.received is None else received_rows(sample, settings.received)
        return sequence_layout(
            sample, place.start, self.device, heads, settings.reading_focus, asked, prefix=place.prefix
        )

    def _pattern_heads(self, sample_id: str) -> dict[int, tuple[int, ...]]:
        wanted = self.config.statistics.patterns
        if wanted is None or sample_id not in wanted.samples:
            return {}
        return {layer: tuple(sorted(set(wanted.heads))) for layer in wanted.layers}


def device_name(devices: Sequence[torch.device]) -> str:
    """Return what the devices are, in words."""
    names = [torch.cuda.get_device_name(device) if device.type == "cuda" else device.type for device in devices]
    return " + ".join(names)
