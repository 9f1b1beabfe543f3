"""Train the sentiment model: tokenizer, fresh reviews of the training products, float16 weights.

Usage: ``python -m data.sentiment.train [--output data/sentiment/model]`` (one core; data/README.md has the time).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from data.sentiment.reviews import SEED, training_reviews
from data.sentiment.tokenizer import train_tokenizer
from data.small_llama import CONTEXT, THREADS, Batch, encode, padded, trained
from data.train_demo_model import save

HERE = Path(__file__).resolve().parent
VOCABULARY_SIZE = 1000
TOKENIZER_REVIEWS = 2000
STEPS = 1000
BATCH = 32
#: Batches whose reviews are sorted by length together, so that little is padded.
POOL = 10


def batches(tokenizer: Any, steps: int) -> Iterator[Batch]:
    """Yield padded ids and targets ``[batch, length]``, every review once."""
    coded = [encode(tokenizer, review) for review in training_reviews(steps * BATCH)]
    shuffle = torch.Generator().manual_seed(SEED)
    for start in range(0, len(coded), POOL * BATCH):
        pool = sorted(coded[start : start + POOL * BATCH], key=lambda pair: len(pair[0]))
        for number in torch.randperm(len(pool) // BATCH, generator=shuffle).tolist():
            yield padded(tokenizer, pool[number * BATCH : (number + 1) * BATCH])


def main() -> None:
    """Train the tokenizer and the model, and save both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    corpus = [t for r in training_reviews(TOKENIZER_REVIEWS) for t in ("user\n\n", r.prompt, "assistant\n\n", r.answer)]
    tokenizer = train_tokenizer(corpus, VOCABULARY_SIZE, CONTEXT)
    model, record = trained(
        tokenizer, batches(tokenizer, args.steps), args.steps, SEED, {"reviews": args.steps * BATCH}
    )
    save(model, tokenizer, args.output, record)


if __name__ == "__main__":
    main()
