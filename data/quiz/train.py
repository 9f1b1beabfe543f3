"""Train the quiz model: tokenizer, fresh rounds of questions, float16 weights.

Usage: ``python -m data.quiz.train [--output data/quiz/model]`` (one core; data/README.md has the time).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM

from data.quiz.questions import KINDS, SEED, Question, training_questions
from data.sentiment.tokenizer import BEGIN, END, PAD, prompt_text, train_tokenizer
from data.train_demo_model import IGNORED, Phase, learning_rate, save

HERE = Path(__file__).resolve().parent
#: One: matrices of this size gain little from a second core.
THREADS = 1
CONTEXT = 512
VOCABULARY_SIZE = 800
TOKENIZER_QUESTIONS = 1000
WORD_REPEATS = 100
STEPS = 550
BATCH = 32
SCHEDULE = Phase((), 3e-3, 3e-5)


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


def encode(tokenizer: Any, question: Question) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and targets, shifted by one position; the prompt carries no loss."""
    prompt = tokenizer.encode(prompt_text(tokenizer, question.prompt), add_special_tokens=False)
    answer = [*tokenizer.encode(question.answer, add_special_tokens=False), int(tokenizer.eos_token_id)]
    whole = torch.tensor([*prompt, *answer])
    targets = torch.tensor([*[IGNORED] * len(prompt), *answer])
    return whole[:-1], targets[1:]


def batches(tokenizer: Any, steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield padded ids and targets ``[batch, length]``, every question once."""
    coded = [encode(tokenizer, question) for question in training_questions(steps * BATCH)]
    pad_id = int(tokenizer.pad_token_id)
    shuffle = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(coded), generator=shuffle).tolist()
    for start in range(0, len(order), BATCH):
        chosen = [coded[index] for index in order[start : start + BATCH]]
        ids = pad_sequence([pair[0] for pair in chosen], batch_first=True, padding_value=pad_id)
        yield ids, pad_sequence([pair[1] for pair in chosen], batch_first=True, padding_value=IGNORED)


def loss_of(model: Any, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (nats) over the answers' tokens; padding on the right sees nothing of itself."""
    wanted = targets != IGNORED
    hidden = model.model(input_ids=ids).last_hidden_state
    return functional.cross_entropy(model.lm_head(hidden[wanted]), targets[wanted])


def train(model: Any, tokenizer: Any, steps: int) -> list[dict[str, Any]]:
    """Teacher-forced training; returns a log of mean losses (nats per answer token)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=SCHEDULE.peak, betas=(0.9, 0.98), weight_decay=0.01)
    log: list[dict[str, Any]] = []
    losses: list[float] = []
    started, tokens = time.monotonic(), 0
    for step, (ids, targets) in enumerate(batches(tokenizer, steps), start=1):
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


def main() -> None:
    """Train the tokenizer and the model, and save both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    questions = training_questions(TOKENIZER_QUESTIONS)
    corpus = [text for q in questions for text in ("user\n\n", q.prompt, "assistant\n\n", q.answer)]
    # Every word often enough to become one token: no answer is made of pieces of several words.
    corpus += [f") {word}\nThe {word}" * WORD_REPEATS for words in KINDS.values() for word in words]
    tokenizer = train_tokenizer(corpus, VOCABULARY_SIZE, CONTEXT)
    model = make_model(tokenizer)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens in the vocabulary", flush=True)
    started, used = time.monotonic(), time.process_time()
    log = train(model, tokenizer, args.steps)
    record = {
        "seed": SEED,
        "threads": THREADS,
        "torch": torch.__version__,
        "questions": args.steps * BATCH,
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "log": log,
    }
    save(model, tokenizer, args.output, record)


if __name__ == "__main__":
    main()
