"""Answers of a model to prompts: greedy, or sampled with a seed per sample; batching and decoding are the library's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import torch

from engine.config import GenerationSection
from engine.generation.continuation import continued, ends_of
from engine.generation.knockouts import keys_hidden_in_steps
from engine.generation.sampling import SeededSampling
from engine.interventions.knockouts import Knockout
from engine.machine.devices import Watch, ignore
from engine.model.decoder import Decoder
from engine.model.placement import input_device
from engine.model.rotary import context_length, rope_settings
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
    tokenize
        Prompt → token ids; by default the tokenizer's, without special tokens: a chat template wrote them.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: GenerationSection,
        tokenize: Callable[[str], list[int]] | None = None,
    ):
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.tokenize = tokenize or self._bare_ids
        self.max_tokens = context_length(model.config)
        ropes = rope_settings(model.config.get_text_config())
        self.unscaled_tokens = min((rope.original for rope in ropes if rope.original is not None), default=None)
        self.ends = ends_of(model, tokenizer)

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
        coded = [self.tokenize(prompt.text) for prompt in prompts]
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
                is_alone = any(self._is_scaled(len(coded[i]) + room) or prompts[i].sample_id in isolated for i in part)
                for members in [[i] for i in part] if is_alone else [part]:
                    names = [prompts[i].sample_id for i in members]
                    watch(names)
                    texts = self._batch(names, [coded[i] for i in members], room, knockouts or {})
                    found.update(zip(members, texts, strict=True))
        watch([])
        return [found[index] for index in range(len(prompts))]

    def _bare_ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _is_scaled(self, num_tokens: int) -> bool:
        """Whether a text is so long that its rotary frequencies depend on its length, and its neighbours' on it."""
        return self.unscaled_tokens is not None and num_tokens > self.unscaled_tokens

    @torch.inference_mode()
    def _batch(
        self,
        sample_ids: Sequence[str],
        coded: Sequence[list[int]],
        room: int,
        knockouts: Mapping[str, Sequence[Knockout]],
    ) -> list[Answer]:
        from transformers import LogitsProcessorList

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
        own = [tuple(knockouts.get(name, ())) for name in sample_ids]
        paddings = [longest - len(ids) for ids in coded]
        hidden = keys_hidden_in_steps(Decoder(self.model), own, paddings) if any(own) else nullcontext()
        with hidden:
            output = continued(self.model, input_ids, mask, max_new_tokens=room, ends=self.ends, processors=processors)
        return [self._answer(name, row[longest:].tolist()) for name, row in zip(sample_ids, output, strict=True)]

    def _answer(self, sample_id: str, ids: list[int]) -> Answer:
        end = next((index for index, token in enumerate(ids) if token in self.ends), None)
        kept = ids[:end]
        # Special tokens stay: some models mark their thoughts with them.
        text = self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return Answer(sample_id, text, len(kept), end is None)
