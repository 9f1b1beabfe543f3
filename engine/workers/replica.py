"""One model on one device or spread over several, and what it can do. Knows no Ray and no run directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch

from engine.causal.explainer import Explainer
from engine.config import Config
from engine.encoding.sequences.tokens import prompt_ids
from engine.encoding.tokenizer import chat_template, load_tokenizer
from engine.errors import ConfigError, UnsupportedModelError
from engine.generation.generator import Generator
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.knockouts import Knockout
from engine.machine.devices import Watch, ignore
from engine.measuring.measurer import Measurer
from engine.model.decoder import Decoder
from engine.model.loading import load_model, select_device
from engine.samples import Answer, Prompt


class Replica:
    """One copy of the model and its tokenizer, and what works with them.

    Parameters
    ----------
    config
        The run's config.

    Attributes
    ----------
    measurer
        Measures units.

    Raises
    ------
    ConfigError
        When the config asks for what the model or this machine cannot do.
    """

    def __init__(self, config: Config):
        torch.set_num_threads(config.cluster.cpus_per_replica)
        self.config = config
        started = time.perf_counter()
        self.model = load_model(config, select_device(config.model.device))
        self.measurer = Measurer(self.model, config, self._token_text)
        self._explainer = self._made_explainer() if config.causal.is_on else None
        self.measurer.load_seconds = time.perf_counter() - started

    @cached_property
    def generator(self) -> Generator:
        """What answers prompts with this model, by its own attention."""
        return Generator(self.model, self._tokenizer, self.config.generation, self._prompt_tokens())

    @property
    def explainer(self) -> Explainer:
        """What explains samples with this model; only where the config's ``causal`` section asks for it."""
        assert self._explainer is not None
        return self._explainer

    def _made_explainer(self) -> Explainer:
        if self.measurer.device.type == "mps":
            raise ConfigError(
                "causal: Apple's GPUs know no float64, in which causes are added up; set model.device=cpu, or leave "
                "the causal section out."
            )
        causal = self.config.causal
        tokenize = self._prompt_tokens() if causal.uses_tokenizer else None
        try:
            decoder = Decoder(self.model, allows_headless=True)
            explainer = Explainer(decoder, causal, self.config.cluster.tokens_per_batch, tokenize, self._token_text)
            explainer.check_model()
            return explainer
        except UnsupportedModelError as error:
            raise ConfigError(f"causal: {self.config.model.path!r}: {error}.") from None

    def _prompt_tokens(self) -> Callable[[str], list[int]]:
        """Return the tokenisation of rendered prompts, which is that of the encoder."""
        return partial(prompt_ids, self._tokenizer, adds_beginning=self._adds_beginning)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.config)

    def _token_text(self, token_id: int) -> str:
        return self._tokenizer.decode([token_id])

    @property
    def _adds_beginning(self) -> bool:
        """Whether prompts may lack the tokens that begin a text; a chat template writes them."""
        return chat_template(self.config, self._tokenizer) is None

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
        if not edits:
            return self.generator.answers(prompts, watch, isolated, knockouts)
        with heads_edited(Decoder(self.model, allows_headless=True), edits):
            return self.generator.answers(prompts, watch, isolated, knockouts)
