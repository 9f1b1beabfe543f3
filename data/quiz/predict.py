"""Let the quiz model answer: ``predictions.jsonl`` and ``report.json`` beside this file.

The predictions are the model's own greedy answers on the held-out rounds; nothing is edited or left out. The report
measures the saved (float16) weights, in float32.

Usage: ``python -m data.quiz.predict [--model data/quiz/model]``
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.generation import decode, greedy
from data.quiz.questions import LETTERS, Question, heldout_questions
from data.sentiment.tokenizer import prompt_text

HERE = Path(__file__).resolve().parent
MAX_NEW_TOKENS = 90
THREADS = 1
RESAMPLES = 4000
SEED = 7


def answers(model: Any, tokenizer: Any, questions: Sequence[Question]) -> list[str]:
    """Return greedy answers in the order of `questions`. Only equally long prompts share a batch: no padding."""
    prompts = [tokenizer.encode(prompt_text(tokenizer, q.prompt), add_special_tokens=False) for q in questions]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    texts = [""] * len(questions)
    for members in groups.values():
        found = greedy(model, torch.tensor([prompts[i] for i in members]), tokenizer.eos_token_id, MAX_NEW_TOKENS)
        for index, ids in zip(members, found, strict=True):
            texts[index] = decode(tokenizer, ids)
    return texts


def read_letter(question: Question, answer: str) -> str | None:
    """Return the letter of the choice that an answer's last line names; None where it names none."""
    found = re.search(r"Answer: (\w+)\s*\Z", answer)
    word = found.group(1) if found else None
    return LETTERS[question.choices.index(word)] if word in question.choices else None


def record(number: int, question: Question, answer: str) -> dict[str, Any]:
    """Return one prediction as it is written to the file."""
    return {
        "id": f"{question.round}-{number}",
        "round": question.round,
        "choices": list(question.choices),
        "target": question.target,
        "score": "C" if read_letter(question, answer) == LETTERS[question.target] else "I",
        "prompt": question.prompt,
        "response": answer,
    }


def accuracy(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the share of right answers with the 95 % interval of a seeded bootstrap over rounds."""
    by_round: dict[str, list[bool]] = defaultdict(list)
    for row in records:
        by_round[row["round"]].append(row["score"] == "C")
    counts = np.array([(len(hits), sum(hits)) for hits in by_round.values()])
    draws = np.random.default_rng(SEED).integers(len(counts), size=(RESAMPLES, len(counts)))
    resampled = counts[draws].sum(1)
    low, high = np.quantile(resampled[:, 1] / resampled[:, 0], [0.025, 0.975])
    return {
        "questions": len(records),
        "right": int(counts[:, 1].sum()),
        "accuracy": round(float(counts[:, 1].sum() / counts[:, 0].sum()), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
    }


def measure(questions: Sequence[Question], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return accuracy overall, by the kind of question and by how rare the right word is."""

    def where(keep: Callable[[Question], bool]) -> dict[str, Any]:
        return accuracy([row for question, row in zip(questions, records, strict=True) if keep(question)])

    letters = [read_letter(question, row["response"]) for question, row in zip(questions, records, strict=True)]
    return {
        "rounds": len({row["round"] for row in records}),
        "heldout": accuracy(records),
        "unreadable": letters.count(None),
        "said": {letter: letters.count(letter) for letter in LETTERS},
        "targets": {letter: sum(q.target == place for q in questions) for place, letter in enumerate(LETTERS)},
        "same_thoughts": sum(
            row["response"].split("\n")[0] == question.answer.split("\n")[0]
            for question, row in zip(questions, records, strict=True)
        ),
        "by": {
            "is": where(lambda question: not question.is_negated),
            "is not": where(lambda question: question.is_negated),
            "the four usual words of a kind": where(lambda question: question.rank < 4),
            "the six rare words": where(lambda question: question.rank >= 4),
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
    questions = heldout_questions()
    said = answers(model, tokenizer, questions)
    records = [record(n, q, answer) for n, (q, answer) in enumerate(zip(questions, said, strict=True))]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in records]
    (args.output / "predictions.jsonl").write_text("".join(lines))
    report = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer), **measure(questions, records)}
    report["training"] = json.loads((args.model / "training_log.json").read_text())
    (args.output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "training"}, indent=1))


if __name__ == "__main__":
    main()
