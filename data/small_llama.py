"""A small Llama for a domain of its own: built, trained on prompts and answers, asked, and scored.

What the sentiment and the quiz model share; each brings its texts, its tokenizer and its schedule.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM

from data.generation import decode, greedy
from data.sentiment.tokenizer import BEGIN, END, PAD, prompt_text
from data.train_demo_model import IGNORED, Phase, learning_rate

#: One: matrices of this size gain little from a second core.
THREADS = 1
CONTEXT = 512
SCHEDULE = Phase((), 3e-3, 3e-5)
RESAMPLES = 4000
RESAMPLING_SEED = 7

Batch = tuple[torch.Tensor, torch.Tensor]


class Lesson(Protocol):
    """What the model is asked, and what it is taught to say."""

    @property
    def prompt(self) -> str:
        """The user's words."""
        ...

    @property
    def answer(self) -> str:
        """The model's."""
        ...


def make_model(tokenizer: Any) -> LlamaForCausalLM:
    """Make a fresh Llama model with 4 query heads over 2 key-value heads in each of 4 layers."""
    begin_id, end_id, pad_id = (tokenizer.convert_tokens_to_ids(name) for name in (BEGIN, END, PAD))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.08,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=begin_id,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: Any, lesson: Lesson) -> Batch:
    """Return ids and targets, shifted by one position; the prompt carries no loss."""
    prompt = tokenizer.encode(prompt_text(tokenizer, lesson.prompt), add_special_tokens=False)
    answer = [*tokenizer.encode(lesson.answer, add_special_tokens=False), int(tokenizer.eos_token_id)]
    whole = torch.tensor([*prompt, *answer])
    targets = torch.tensor([*[IGNORED] * len(prompt), *answer])
    return whole[:-1], targets[1:]


def padded(tokenizer: Any, chosen: Sequence[Batch]) -> Batch:
    """Return ids and targets ``[batch, length]`` of encoded lessons, padded on the right."""
    ids = pad_sequence([pair[0] for pair in chosen], batch_first=True, padding_value=int(tokenizer.pad_token_id))
    return ids, pad_sequence([pair[1] for pair in chosen], batch_first=True, padding_value=IGNORED)


def loss_of(model: Any, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (nats) over the answers' tokens; padding on the right sees nothing of itself."""
    wanted = targets != IGNORED
    hidden = model.model(input_ids=ids).last_hidden_state
    return functional.cross_entropy(model.lm_head(hidden[wanted]), targets[wanted])


def train(model: Any, batches: Iterable[Batch], steps: int) -> list[dict[str, Any]]:
    """Teacher-forced training; returns a log of mean losses (nats per answer token)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=SCHEDULE.peak, betas=(0.9, 0.98), weight_decay=0.01)
    log: list[dict[str, Any]] = []
    losses: list[float] = []
    started, tokens = time.monotonic(), 0
    for step, (ids, targets) in enumerate(batches, start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(SCHEDULE, step - 1, steps)
        loss = loss_of(model, ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += ids.numel()
        losses.append(loss.item())
        if step % 100 == 0 or step == steps:
            seconds = round(time.monotonic() - started, 1)
            log.append(
                {"step": step, "loss": round(sum(losses) / len(losses), 4), "tokens": tokens, "seconds": seconds}
            )
            losses.clear()
            print(json.dumps(log[-1]), flush=True)
    return log


def trained(
    tokenizer: Any, batches: Iterable[Batch], steps: int, seed: int, lessons: dict[str, int]
) -> tuple[LlamaForCausalLM, dict[str, Any]]:
    """Return a fresh model, trained, and the record of its training.

    Parameters
    ----------
    tokenizer
        Its tokenizer.
    batches
        Padded ids and targets, one for each step.
    steps
        How many there are.
    seed
        Goes into the record.
    lessons
        What it learns from, by name, with how many there are.
    """
    model = make_model(tokenizer)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens in the vocabulary", flush=True)
    started, used = time.monotonic(), time.process_time()
    log = train(model, batches, steps)
    record = {
        "seed": seed,
        "threads": THREADS,
        "torch": torch.__version__,
        **lessons,
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "log": log,
    }
    return model, record


def answers(model: Any, tokenizer: Any, lessons: Sequence[Lesson], limit: int) -> list[str]:
    """Return greedy answers in the order of `lessons`, of at most `limit` tokens.

    Only equally long prompts share a batch: no padding.
    """
    prompts = [tokenizer.encode(prompt_text(tokenizer, lesson.prompt), add_special_tokens=False) for lesson in lessons]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    texts = [""] * len(lessons)
    for members in groups.values():
        found = greedy(model, torch.tensor([prompts[i] for i in members]), tokenizer.eos_token_id, limit)
        for index, ids in zip(members, found, strict=True):
            texts[index] = decode(tokenizer, ids)
    return texts


def accuracy(
    records: Sequence[dict[str, Any]], noun: str, cluster: str, is_right: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the share of right answers with the 95 % interval of a seeded bootstrap over clusters.

    Parameters
    ----------
    records
        The predictions.
    noun
        What they are called in the answer.
    cluster
        The field by which they belong together.
    is_right
        Whether one is right.
    """
    by_cluster: dict[Hashable, list[bool]] = defaultdict(list)
    for row in records:
        by_cluster[row[cluster]].append(is_right(row))
    counts = np.array([(len(hits), sum(hits)) for hits in by_cluster.values()])
    draws = np.random.default_rng(RESAMPLING_SEED).integers(len(counts), size=(RESAMPLES, len(counts)))
    resampled = counts[draws].sum(1)
    low, high = np.quantile(resampled[:, 1] / resampled[:, 0], [0.025, 0.975])
    return {
        noun: len(records),
        "right": int(counts[:, 1].sum()),
        "accuracy": round(float(counts[:, 1].sum() / counts[:, 0].sum()), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
    }
