"""One model on one device: encoded samples → Arrow tables. Knows no Ray and no run directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from engine.attention.interface import UnsupportedModelError
from engine.attention.reductions import sequence_layout
from engine.attribution import check_norms
from engine.causal import Explainer
from engine.config import Config
from engine.decoder import Decoder
from engine.device_faults import (
    Watch,
    fault_of,
    free_memory,
    ignore,
    peak_memory_bytes,
    reset_peak_memory,
    wait_for_copies,
)
from engine.dispatched import compute_devices, input_device
from engine.errors import ConfigError, RunFailedError
from engine.generation import Generator
from engine.interventions import HeadEdit, Knockout, heads_edited
from engine.loading import load_model, select_device
from engine.probe import Probe, decision_logits
from engine.samples import Answer, EncodedSample, Prompt, Reject
from engine.tables import Measured, unit_tables
from engine.tokenizer import chat_template, load_tokenizer
from engine.tolerances import tolerance
from engine.unit_results import UnitProgress, UnitResult, halves_of

logger = logging.getLogger(__name__)


class Replica:
    """Measures units with one copy of the model, on one device or spread over several.

    Parameters
    ----------
    config
        The run's config.
    """

    def __init__(self, config: Config):
        torch.set_num_threads(config.cluster.cpus_per_replica)
        self.config = config
        started = time.perf_counter()
        self.model = load_model(config, select_device(config.model.device))
        self.device, self.devices = input_device(self.model), compute_devices(self.model)
        try:
            statistics = config.statistics
            self.probe = Probe(self.model, statistics.norm_weighted, statistics.rollout, config.model.attention)
        except UnsupportedModelError as error:
            raise ConfigError(f"model.path: {config.model.path!r}: {error}.") from None
        self._explainer = self._made_explainer() if config.causal.is_on else None
        self.load_seconds = time.perf_counter() - started
        self.dtype = str(self.model.dtype).removeprefix("torch.")
        self.is_checked = False
        self.logit_deviation: float | None = None

    def measure(
        self,
        batches: Sequence[Sequence[EncodedSample]],
        key_groups: Sequence[str],
        watch: Watch = ignore,
        isolated: Collection[str] = (),
    ) -> UnitResult:
        """Measure a unit; parameters and errors are those of ``forward_passes``.

        Returns
        -------
        UnitResult
            Tables in sample order of the batches, rejects with reasons, and the checks' figures.
        """
        return self.forward_passes(batches, key_groups, watch, isolated)()

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
        progress = UnitProgress(watch)
        for batch in batches:
            if len(batch) > 1 and any(sample.sample_id in isolated for sample in batch):
                progress.divided += [sample.sample_id for sample in batch]
                for sample in batch:
                    self._measure_batch([sample], progress)
            else:
                self._measure_batch(batch, progress)
        watch([])
        num_tokens, seconds = (
            sum(sample.num_tokens for batch in batches for sample in batch),
            time.perf_counter() - started,
        )
        facts = {
            "device": _device_name(self.devices),
            "attention": self.probe.backend.method,
            "dtype": self.dtype,
            "measure_seconds": seconds,
            "load_seconds": self.load_seconds,
            "num_tokens": num_tokens,
            "tokens_per_second": num_tokens / max(seconds, 1e-9),
            "peak_memory_bytes": peak_memory_bytes(self.devices),
            "divided_sample_ids": progress.divided,
            "smallest_token_budget": progress.smallest_budget,
            "logit_deviation": self.logit_deviation,
            "num_layers": self.probe.geometry.num_layers,
            "num_heads": self.probe.geometry.num_heads,
        }
        return lambda: self._unit_result(progress, key_groups, facts)

    def _unit_result(self, progress: UnitProgress, key_groups: Sequence[str], facts: dict[str, Any]) -> UnitResult:
        sound = progress.sound()
        tables = unit_tables(sound, key_groups, self.config.statistics, self.config.predictions.keep)
        facts |= {
            "max_row_sum_error": max((sample.row_sum_error() for sample in sound), default=0.0),
            "max_future_mass": max((sample.future_mass() for sample in sound), default=0.0),
        }
        return UnitResult(tables, progress.rejects, facts)

    @property
    def explainer(self) -> Explainer:
        """What explains samples with this model; only where the config's ``causal`` section asks for it."""
        assert self._explainer is not None
        return self._explainer

    def _made_explainer(self) -> Explainer:
        if self.device.type == "mps":
            raise ConfigError(
                "causal: Apple's GPUs know no float64, in which causes are added up; set model.device=cpu, or leave "
                "the causal section out."
            )
        try:
            decoder = Decoder(self.model)
            if self.config.causal.attribution is not None:
                check_norms(decoder)
        except UnsupportedModelError as error:
            raise ConfigError(f"causal: {self.config.model.path!r}: {error}.") from None
        tokenize = None if self.config.causal.patching is None else self._prompt_tokens()
        return Explainer(decoder, self.config.causal, self.config.cluster.tokens_per_batch, tokenize)

    def _prompt_tokens(self) -> Callable[[str], list[int]]:
        """Return the tokenisation of rendered prompts, which is that of the encoder."""
        tokenizer = load_tokenizer(self.config)
        adds_special_tokens = chat_template(self.config, tokenizer) is None

        def tokenize(prompt: str) -> list[int]:
            return list(tokenizer(prompt, add_special_tokens=adds_special_tokens, verbose=False)["input_ids"])

        return tokenize

    def generate(
        self,
        prompts: Sequence[Prompt],
        edits: Sequence[HeadEdit] = (),
        watch: Watch = ignore,
        isolated: Collection[str] = (),
        knockouts: Mapping[str, Sequence[Knockout]] | None = None,
    ) -> list[Answer]:
        """Return an answer of this model to each prompt, with its own attention.

        Parameters
        ----------
        prompts
            Rendered prompts.
        edits
            Heads that are changed in every step, prompt included.
        watch
            Told which samples are in flight.
        isolated
            Samples that are answered alone.
        knockouts
            Keys that rows of the samples named must not look at, as for ``Generator.answers``.
        """
        tokenizer = load_tokenizer(self.config)
        has_template = chat_template(self.config, tokenizer) is not None
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        generator = Generator(self.model, tokenizer, self.config.generation, not has_template, context)
        if not edits:
            return generator.answers(prompts, watch, isolated, knockouts)
        with heads_edited(Decoder(self.model), edits):
            return generator.answers(prompts, watch, isolated, knockouts)

    def _measure_batch(self, batch: Sequence[EncodedSample], progress: UnitProgress) -> None:
        """Measure a batch; when it fails, measure its halves, down to the one sample that is at fault."""
        if not self.is_checked:
            progress.watch([batch[0].sample_id])
            self._check_against_unprobed(batch[0])
        progress.watch([sample.sample_id for sample in batch])
        try:
            found = self._forward(batch)
        except UnsupportedModelError as error:
            raise RunFailedError(f"model.path: {self.config.model.path!r}: {error}.") from None
        except ConfigError:
            raise
        except Exception as error:  # whatever a sample does to the model is that sample's fault, not its neighbours'
            fault = fault_of(error, "measurement_failed", f"sample(s) {', '.join(s.sample_id for s in batch[:3])}")
        else:
            progress.measured += found
            return
        # Outside of the handler: the exception's frames hold the tensors of the forward that did not fit.
        free_memory(self.device)
        if len(batch) == 1:
            progress.rejects.append(Reject(batch[0].sample_id, "measure", *fault))
            return
        logger.warning("a batch of %d samples failed (%s: %s), measuring its halves", len(batch), *fault)
        halves = halves_of(batch)
        progress.divide(batch, halves)
        for half in halves:
            self._measure_batch(half, progress)

    def _forward(self, batch: Sequence[EncodedSample]) -> list[Measured]:
        layouts, start = [], 0
        for sample in batch:
            layouts.append(sequence_layout(sample, start, self.device, self._pattern_heads(sample.sample_id)))
            start += sample.num_tokens
        input_ids = torch.cat([layout.token_ids for layout in layouts])
        found = [measurement.on_host() for measurement in self.probe.measure(input_ids, layouts)]
        wait_for_copies(self.devices)
        return [Measured(sample, measurement) for sample, measurement in zip(batch, found, strict=True)]

    def _pattern_heads(self, sample_id: str) -> dict[int, tuple[int, ...]]:
        wanted = self.config.statistics.patterns
        if wanted is None or sample_id not in wanted.samples:
            return {}
        return {layer: tuple(sorted(set(wanted.heads))) for layer in wanted.layers}

    def _check_against_unprobed(self, sample: EncodedSample) -> None:
        """Compare the first sample's logits with the model's own attention; refuse to measure when they differ.

        This is what catches any kind of attention that the probe does not reproduce, whatever the model.
        """
        layout = sequence_layout(sample, 0, self.device)
        try:
            plain = decision_logits(self.model, layout.token_ids, [layout])[0]
            probed = self.probe.measure(layout.token_ids, [layout])[0].logits
        except UnsupportedModelError as error:
            raise RunFailedError(f"model.path: {self.config.model.path!r}: {error}.") from None
        except ConfigError:
            raise
        except Exception:  # the sample is at fault; it is rejected by its own forward, the next one is checked
            return
        if not bool(torch.isfinite(plain).all()):
            return
        allowed = tolerance("logits", self.dtype)
        deviation = float((plain - probed).abs().max())
        if not deviation <= allowed.atol + allowed.rtol * float(plain.abs().max()):
            raise RunFailedError(
                f"model.path: with statistics, {self.config.model.path!r} gives logits that differ by {deviation:.3g} "
                f"from its own attention on sample {sample.sample_id!r}; its attention is not covered, and nothing "
                f"was written."
            )
        self.is_checked, self.logit_deviation = True, deviation


def _device_name(devices: Sequence[torch.device]) -> str:
    names = [torch.cuda.get_device_name(device) if device.type == "cuda" else device.type for device in devices]
    return " + ".join(names)
