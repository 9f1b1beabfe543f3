"""One model on one device: encoded samples → Arrow tables. Knows no Ray and no run directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pyarrow as pa
import torch

from engine.attention.interface import UnsupportedModelError
from engine.attention.reductions import sequence_layout
from engine.attribution import check_norms
from engine.causal import Explainer
from engine.config import Config
from engine.decoder import Decoder
from engine.device_faults import Watch, fault_of, free_memory, ignore, peak_memory_bytes, reset_peak_memory
from engine.errors import ConfigError, RunFailedError
from engine.generation import Generator
from engine.interventions import HeadEdit, Knockout, heads_edited
from engine.lent_models import lent_model
from engine.probe import Probe, decision_logits
from engine.samples import Answer, EncodedSample, Prompt, Reject
from engine.tables import Measured, unit_tables
from engine.tokenizer import chat_template, load_tokenizer
from engine.tolerances import tolerance

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class UnitResult:
    """What a replica found out about one unit."""

    tables: dict[str, pa.Table]
    rejects: list[Reject]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _UnitProgress:
    """What is found out of a unit while it is measured."""

    watch: Watch
    measured: list[Measured] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    divided: list[str] = field(default_factory=list)
    smallest_budget: int | None = None

    def add(self, found: Sequence[Measured]) -> None:
        """Keep what is sound and reject what is not."""
        for sample in found:
            fault = sample.fault()
            if fault is None:
                self.measured.append(sample)
            else:
                self.rejects.append(Reject(sample.encoded.sample_id, "measure", *fault))

    def divide(self, batch: Sequence[EncodedSample], halves: Sequence[Sequence[EncodedSample]]) -> None:
        """Note that a batch was measured in parts: its numbers may differ in the last bits."""
        self.divided += [sample.sample_id for sample in batch if sample.sample_id not in self.divided]
        largest = max(sum(sample.num_tokens for sample in half) for half in halves)
        self.smallest_budget = min(largest, self.smallest_budget or largest)


def _halves(batch: Sequence[EncodedSample]) -> tuple[Sequence[EncodedSample], Sequence[EncodedSample]]:
    """Cut a batch of at least two samples where half of its tokens lie on either side, as nearly as samples allow."""
    total = sum(sample.num_tokens for sample in batch)
    before = list(accumulate(sample.num_tokens for sample in batch))[:-1]
    cut = 1 + min(range(len(before)), key=lambda index: abs(2 * before[index] - total))
    return batch[:cut], batch[cut:]


def select_device(name: str) -> torch.device:
    """Return the configured device; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ConfigError
        When the named device is not there.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        present = ", ".join(kind for kind, there in available.items() if there)
        raise ConfigError(f"model.device: {name!r} is not available on this machine; available: {present}.")
    return torch.device(name)


def load_model(config: Config, device: torch.device) -> Any:
    """Load the configured model for inference, or take the one that is lent, as it is.

    Raises
    ------
    ConfigError
        When it cannot be loaded, for instance because the folder holds no weights.
    """
    lent = lent_model()
    if lent is not None:
        return lent.model
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # a run has its own
    settings = config.model
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            settings.path,
            revision=settings.revision,
            dtype=settings.dtype if settings.dtype == "auto" else getattr(torch, settings.dtype),
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=None if settings.allow_pickle else True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises many types here
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise ConfigError(
            f"model.path: the model {settings.path!r} could not be loaded: {reason} The folder must hold config.json "
            f"and weights (model.safetensors), or name a model on the hub that this machine can reach or has cached."
        ) from None
    model, loading = loaded
    absent = sorted({*map(str, loading.get("missing_keys", ())), *map(str, loading.get("mismatched_keys", ()))})
    if absent:
        raise ConfigError(
            f"model.path: the weights in {settings.path!r} lack {len(absent)} tensor(s) that the model needs, such as "
            f"{', '.join(absent[:3])}; they would be random numbers. Complete the checkpoint."
        )
    return model.to(device).eval()


class Replica:
    """Measures units with one copy of the model.

    Parameters
    ----------
    config
        The run's config.
    """

    def __init__(self, config: Config):
        torch.set_num_threads(config.cluster.cpus_per_replica)
        self.config = config
        self.device = select_device(config.model.device)
        started = time.perf_counter()
        self.model = load_model(config, self.device)
        self.device = self.model.device
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
        """Measure a unit.

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
        UnitResult
            Tables in sample order of the batches, rejects with reasons, and the checks' figures.

        Raises
        ------
        DeviceLost
            When a sample left the device unusable for this process.
        """
        started = time.perf_counter()
        reset_peak_memory(self.device)
        progress = _UnitProgress(watch)
        for batch in batches:
            if len(batch) > 1 and any(sample.sample_id in isolated for sample in batch):
                progress.divided += [sample.sample_id for sample in batch]
                for sample in batch:
                    self._measure_batch([sample], progress)
            else:
                self._measure_batch(batch, progress)
        watch([])
        measured, num_tokens = progress.measured, sum(sample.num_tokens for batch in batches for sample in batch)
        seconds = time.perf_counter() - started
        tables = unit_tables(measured, key_groups, self.config.statistics, self.config.predictions.keep)
        facts = {
            "device": _device_name(self.device),
            "dtype": self.dtype,
            "measure_seconds": seconds,
            "load_seconds": self.load_seconds,
            "num_tokens": num_tokens,
            "tokens_per_second": num_tokens / max(seconds, 1e-9),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "divided_sample_ids": progress.divided,
            "smallest_token_budget": progress.smallest_budget,
            "logit_deviation": self.logit_deviation,
            "max_row_sum_error": max((sample.row_sum_error() for sample in measured), default=0.0),
            "max_future_mass": max((sample.future_mass() for sample in measured), default=0.0),
            "num_layers": self.probe.geometry.num_layers,
            "num_heads": self.probe.geometry.num_heads,
        }
        return UnitResult(tables, progress.rejects, facts)

    @property
    def explainer(self) -> Explainer:
        """What explains samples with this model; only where the config's ``causal`` section asks for it."""
        assert self._explainer is not None
        return self._explainer

    def _made_explainer(self) -> Explainer:
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

    def _measure_batch(self, batch: Sequence[EncodedSample], progress: _UnitProgress) -> None:
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
            progress.add(found)
            return
        # Outside of the handler: the exception's frames hold the tensors of the forward that did not fit.
        free_memory(self.device)
        if len(batch) == 1:
            progress.rejects.append(Reject(batch[0].sample_id, "measure", *fault))
            return
        logger.warning("a batch of %d samples failed (%s: %s), measuring its halves", len(batch), *fault)
        halves = _halves(batch)
        progress.divide(batch, halves)
        for half in halves:
            self._measure_batch(half, progress)

    def _forward(self, batch: Sequence[EncodedSample]) -> list[Measured]:
        layouts, start = [], 0
        for sample in batch:
            layouts.append(sequence_layout(sample, start, self.device, self._pattern_heads(sample.sample_id)))
            start += sample.num_tokens
        input_ids = torch.cat([layout.token_ids for layout in layouts])
        found = self.probe.measure(input_ids, layouts)
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


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
