"""Train the quiz model: tokenizer, fresh rounds of questions, float16 weights.

Usage: ``python -m data.quiz.train [--output data/quiz/model]`` (one core; data/README.md has the time).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from data.quiz.questions import KINDS, SEED, training_questions
from data.sentiment.tokenizer import train_tokenizer
from data.small_llama import CONTEXT, THREADS, Batch, encode, padded, trained
from data.train_demo_model import save

HERE = Path(__file__).resolve().parent
VOCABULARY_SIZE = 800
TOKENIZER_QUESTIONS = 1000
WORD_REPEATS = 100
STEPS = 320
BATCH = 32


def batches(tokenizer: Any, steps: int) -> Iterator[Batch]:
    """Yield padded ids and targets ``[batch, length]``, every question once."""
    coded = [encode(tokenizer, question) for question in training_questions(steps * BATCH)]
    shuffle = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(coded), generator=shuffle).tolist()
    for start in range(0, len(order), BATCH):
        yield padded(tokenizer, [coded[index] for index in order[start : start + BATCH]])


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
    model, record = trained(
        tokenizer, batches(tokenizer, args.steps), args.steps, SEED, {"questions": args.steps * BATCH}
    )
    save(model, tokenizer, args.output, record)


if __name__ == "__main__":
    main()
