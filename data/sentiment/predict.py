"""Let the sentiment model answer: ``predictions.jsonl`` and ``report.json`` beside this file.

The predictions are the model's own greedy answers on reviews of the held-out products; nothing is edited or left out.
The report measures the saved (float16) weights, in float32.

Usage: ``python -m data.sentiment.predict [--model data/sentiment/model]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.sentiment.reviews import LABELS, Review, heldout_reviews, read_answer
from data.small_llama import THREADS, accuracy, answers

HERE = Path(__file__).resolve().parent
MAX_NEW_TOKENS = 80


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


def score(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the share of right answers with the 95 % interval of a seeded bootstrap over products."""
    return accuracy(records, "reviews", "product", lambda row: row["predicted"] == row["gold"])


def measure(reviews: Sequence[Review], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return accuracy overall, by construction and by how clear the review is, and two simple rules to compare with."""

    def where(keep: Callable[[Review], bool]) -> dict[str, Any]:
        return score([row for review, row in zip(reviews, records, strict=True) if keep(review)])

    def rule(sign: Callable[[Review], int]) -> dict[str, Any]:
        said = [{**row, "predicted": LABELS.get(sign(review))} for review, row in zip(reviews, records, strict=True)]
        return score(said)

    names = sorted({name for review in reviews for name in review.constructions})
    return {
        "products": len({row["product"] for row in records}),
        "heldout": score(records),
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
    records = [
        record(r, answer) for r, answer in zip(reviews, answers(model, tokenizer, reviews, MAX_NEW_TOKENS), strict=True)
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in records]
    (args.output / "predictions.jsonl").write_text("".join(lines))
    report = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer), **measure(reviews, records)}
    report["training"] = json.loads((args.model / "training_log.json").read_text())
    (args.output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "training"}, indent=1))


if __name__ == "__main__":
    main()
