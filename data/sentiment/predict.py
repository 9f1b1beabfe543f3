"""Let the sentiment model answer: ``predictions.jsonl`` and ``report.json`` beside this file.

The predictions are the model's own greedy answers on reviews of the held-out products; nothing is edited or left out.
The report measures the saved (float16) weights, in float32.

Usage: ``python -m data.sentiment.predict [--model data/sentiment/model]``
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.generation import decode, greedy
from data.sentiment.reviews import LABELS, Review, heldout_reviews, read_answer
from data.sentiment.tokenizer import prompt_text

HERE = Path(__file__).resolve().parent
MAX_NEW_TOKENS = 80
THREADS = 1
RESAMPLES = 4000
SEED = 7


def answers(model: Any, tokenizer: Any, reviews: Sequence[Review]) -> list[str]:
    """Return greedy answers in the order of `reviews`. Only equally long prompts share a batch: no padding."""
    prompts = [tokenizer.encode(prompt_text(tokenizer, r.prompt), add_special_tokens=False) for r in reviews]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    texts = [""] * len(reviews)
    for members in groups.values():
        found = greedy(model, torch.tensor([prompts[i] for i in members]), tokenizer.eos_token_id, MAX_NEW_TOKENS)
        for index, ids in zip(members, found, strict=True):
            texts[index] = decode(tokenizer, ids)
    return texts


def record(review: Review, answer: str) -> dict[str, Any]:
    """Return one prediction as it is written to the file."""
    said = read_answer(answer)
    return {
        "id": review.review_id,
        "product": review.product.name,
        "gold": review.label,
        "predicted": said["sentiment"],
        "confidence": said["confidence"],
        "prompt": review.prompt,
        "response": answer,
    }


def accuracy(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the share of right answers with the 95 % interval of a seeded bootstrap over products."""
    by_product: dict[str, list[bool]] = defaultdict(list)
    for row in records:
        by_product[row["product"]].append(row["predicted"] == row["gold"])
    counts = np.array([(len(hits), sum(hits)) for hits in by_product.values()])
    draws = np.random.default_rng(SEED).integers(len(counts), size=(RESAMPLES, len(counts)))
    resampled = counts[draws].sum(1)
    low, high = np.quantile(resampled[:, 1] / resampled[:, 0], [0.025, 0.975])
    return {
        "reviews": len(records),
        "right": int(counts[:, 1].sum()),
        "accuracy": round(float(counts[:, 1].sum() / counts[:, 0].sum()), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
    }


def measure(reviews: Sequence[Review], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return accuracy overall, by construction and by how clear the review is, and two simple rules to compare with."""

    def where(keep: Callable[[Review], bool]) -> dict[str, Any]:
        return accuracy([row for review, row in zip(reviews, records, strict=True) if keep(review)])

    def rule(sign: Callable[[Review], int]) -> dict[str, Any]:
        said = [{**row, "predicted": LABELS.get(sign(review))} for review, row in zip(reviews, records, strict=True)]
        return accuracy(said)

    names = sorted({name for review in reviews for name in review.constructions})
    return {
        "products": len({row["product"] for row in records}),
        "heldout": accuracy(records),
        "gold_positive": sum(row["gold"] == "positive" for row in records),
        "said_positive": sum(row["predicted"] == "positive" for row in records),
        "unreadable": sum(row["predicted"] not in LABELS.values() for row in records),
        "same_quotes": sum(
            row["response"].split("\n")[0] == review.answer.split("\n")[0]
            for review, row in zip(reviews, records, strict=True)
        ),
        "rules": {
            "last opinion": rule(lambda review: review.opinions[-1].sign),
            "more praise than complaints": rule(lambda review: int(np.sign(sum(o.sign for o in review.opinions)))),
        },
        "with": {name: where(lambda review, name=name: name in review.constructions) for name in names},
        "by_sum": {
            name: where(lambda review, low=low, high=high: low <= abs(review.score) <= high)
            for name, low, high in (("1 or 2", 1, 2), ("3 to 5", 3, 5), ("6 or more", 6, 99))
        },
    }


def main() -> None:
    """Answer, record, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the two files")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    reviews = heldout_reviews()
    records = [record(r, answer) for r, answer in zip(reviews, answers(model, tokenizer, reviews), strict=True)]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in records]
    (args.output / "predictions.jsonl").write_text("".join(lines))
    report = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer), **measure(reviews, records)}
    report["training"] = json.loads((args.model / "training_log.json").read_text())
    (args.output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "training"}, indent=1))


if __name__ == "__main__":
    main()
