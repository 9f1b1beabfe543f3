"""Greedy answers of the demo model, and prompts as token ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from data.prompts import messages, question
from data.samples import Sample

MAX_NEW_TOKENS = 320
BATCH = 48


def prompt_ids(tokenizer: Any, user: str) -> list[int]:
    """Token ids of the chat prompt, up to and including the line that opens the assistant's turn."""
    text = tokenizer.apply_chat_template(messages(user), tokenize=False, add_generation_prompt=True)
    return list(tokenizer.encode(text, add_special_tokens=False))


@torch.inference_mode()
def greedy(model: Any, prompts: torch.Tensor, end_id: int, limit: int) -> list[list[int]]:
    """Greedy continuation of equally long prompts, ``[batch, length]``, each up to and with `end_id`."""
    answers: list[list[int]] = [[] for _ in prompts]
    finished = torch.zeros(len(prompts), dtype=torch.bool)
    step, cache = prompts, DynamicCache(config=model.config)
    for _ in range(limit):
        # The cache by its place, for its name changes: past_key_values was renamed to cache within transformers 5.
        output = model(step, None, None, cache, use_cache=True, logits_to_keep=1)
        chosen = output.logits[:, -1].argmax(-1)
        for i in (~finished).nonzero().flatten().tolist():
            answers[i].append(int(chosen[i]))
        finished |= chosen == end_id
        if finished.all():
            break
        step = chosen[:, None]
    return answers


def answer_ids(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> list[list[int]]:
    """Greedy answers in the order of `samples`. Only equally long prompts share a batch: no padding."""
    groups: dict[int, list[int]] = defaultdict(list)
    prompts = [prompt_ids(tokenizer, question(sample.statement)) for sample in samples]
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    answers: list[list[int]] = [[] for _ in samples]
    for members in groups.values():
        for start in range(0, len(members), BATCH):
            batch = members[start : start + BATCH]
            ids = torch.tensor([prompts[i] for i in batch])
            found = greedy(model, ids, tokenizer.eos_token_id, MAX_NEW_TOKENS)
            for index, answer in zip(batch, found, strict=True):
                answers[index] = answer
    return answers


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text without special tokens, nothing tidied."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
