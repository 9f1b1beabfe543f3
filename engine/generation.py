"""Answers of a model to prompts: greedy, or sampled with a seed per sample; batching and decoding are the library's."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import torch

from engine.config import GenerationSection
from engine.decoder import Decoder
from engine.device_faults import Watch, ignore
from engine.dispatched import input_device
from engine.generation_knockouts import keys_hidden_in_steps
from engine.interventions import Knockout
from engine.samples import Answer, Prompt


class Generator:
    """Generates answers with one model.

    Parameters
    ----------
    model
        A causal language model in inference state.
    tokenizer
        Its tokenizer.
    settings
        The config's section.
    adds_special_tokens
        Whether the tokenizer adds its special tokens to a prompt; not where a chat template wrote them.
    max_tokens
        The model's context, or None.
    """

    def __init__(
        self, model: Any, tokenizer: Any, settings: GenerationSection, adds_special_tokens: bool, max_tokens: int | None
    ):
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.adds_special_tokens, self.max_tokens = adds_special_tokens, max_tokens
        ends = model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self.ends = [] if ends is None else ends if isinstance(ends, list) else [ends]

    def answers(
        self,
        prompts: Sequence[Prompt],
        watch: Watch = ignore,
        isolated: Collection[str] = (),
        knockouts: Mapping[str, Sequence[Knockout]] | None = None,
    ) -> list[Answer]:
        """Return an answer to each prompt, in their order; an empty one where the prompt fills the context.

        ``knockouts`` hide keys from rows of the samples named, prompt and answer alike; positions are those of the
        prompt's tokens, and rows go on into the answer. A decision row is not known before it is written: with
        ``first_row`` at the prompt's last token, all rows that predict the answer are kept from the keys.

        Prompts of similar length share a batch of ``generation.batch_size``. Which ones do depends on ``prompts`` only;
        a sampled answer depends on the seed and its own sample's id, so that neighbours change at most rounding.
        ``watch`` is told which are in flight; those in ``isolated`` are answered alone.
        """
        coded = [
            list(self.tokenizer(prompt.text, add_special_tokens=self.adds_special_tokens, verbose=False)["input_ids"])
            for prompt in prompts
        ]
        limit = self.settings.max_new_tokens
        rooms = [limit if self.max_tokens is None else min(limit, self.max_tokens - len(ids)) for ids in coded]
        found = {
            index: Answer(prompts[index].sample_id, "", 0, True)
            for index, ids in enumerate(coded)
            if rooms[index] < 1 or not ids
        }
        # Only prompts with the same room share a batch, so that no answer is cut short for a neighbour's sake.
        order = sorted(set(range(len(prompts))) - set(found), key=lambda i: (-rooms[i], -len(coded[i]), i))
        for room, same_room in groupby(order, key=lambda index: rooms[index]):
            fitting = list(same_room)
            for start in range(0, len(fitting), self.settings.batch_size):
                part = fitting[start : start + self.settings.batch_size]
                is_alone = any(prompts[i].sample_id in isolated for i in part)
                for members in [[i] for i in part] if is_alone else [part]:
                    names = [prompts[i].sample_id for i in members]
                    watch(names)
                    texts = self._batch(names, [coded[i] for i in members], room, knockouts or {})
                    found.update(zip(members, texts, strict=True))
        watch([])
        return [found[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def _batch(
        self, sample_ids: Sequence[str], coded: Sequence[list[int]], room: int, knockouts: Mapping[str, Any]
    ) -> list[Answer]:
        from transformers import GenerationConfig, LogitsProcessorList

        longest, device = max(map(len, coded)), input_device(self.model)
        pad = self.ends[0] if self.ends else 0
        input_ids = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in coded], device=device)
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in coded], device=device)
        settings = self.settings
        processors = LogitsProcessorList(
            [SeededSampling(sample_ids, settings.seed, settings.temperature, settings.top_p)]
            if settings.do_sample
            else []
        )
        # A config of its own: the model's may ask for sampling or penalties that nobody chose here.
        wanted = GenerationConfig(
            max_new_tokens=room, do_sample=False, num_beams=1, pad_token_id=pad, eos_token_id=self.ends or None
        )
        own = [tuple(knockouts.get(name, ())) for name in sample_ids]
        paddings = [longest - len(ids) for ids in coded]
        hidden = keys_hidden_in_steps(Decoder(self.model), own, paddings) if any(own) else nullcontext()
        kept = self.model.generation_config
        self.model.generation_config = wanted
        try:
            with hidden:
                output = self.model.generate(
                    input_ids=input_ids, attention_mask=mask, generation_config=wanted, logits_processor=processors
                )
        finally:
            self.model.generation_config = kept
        return [self._answer(name, row[longest:].tolist()) for name, row in zip(sample_ids, output, strict=True)]

    def _answer(self, sample_id: str, ids: list[int]) -> Answer:
        end = next((index for index, token in enumerate(ids) if token in self.ends), None)
        kept = ids[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Answer(sample_id, text, len(kept), end is None)


class SeededSampling:
    """Turns greedy search into sampling whose draws belong to a sample, not to its place in a batch.

    The largest of ``log p + g`` with standard Gumbel ``g`` is a draw from ``p`` (Gumbel 1954; Maddison et al. 2014);
    each sample has a generator of its own, seeded by ``generation.seed`` and its id.
    """

    def __init__(self, sample_ids: Sequence[str], seed: int, temperature: float, top_p: float):
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self.warpers: list[Any] = [TemperatureLogitsWarper(temperature)] if temperature != 1 else []
        if top_p < 1:
            self.warpers.append(TopPLogitsWarper(top_p))
        self.generators = [torch.Generator().manual_seed(_seed(seed, sample_id)) for sample_id in sample_ids]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores whose largest entry is the drawn token, ``[batch, vocabulary]``."""
        scores = scores.float()
        for warper in self.warpers:
            scores = warper(input_ids, scores)
        uniform = torch.stack(
            [torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64) for generator in self.generators]
        )
        gumbel = -torch.log(-torch.log(uniform.clamp(min=torch.finfo(torch.float64).tiny)))
        return torch.log_softmax(scores, dim=-1) + gumbel.to(scores)


def _seed(seed: int, sample_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()[:7], "big")
