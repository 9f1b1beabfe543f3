"""Let the quiz model answer: ``predictions.jsonl`` and ``report.json`` beside this file.

The predictions are the model's own on the held-out rounds, a greedy thought and the likeliest of the choices behind it;
nothing is edited or left out. The report measures the saved (float16) weights, in float32.

Usage: ``python -m data.quiz.predict [--model data/quiz/model]``
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.quiz.questions import LETTERS, Question, heldout_questions
from data.sentiment.tokenizer import prompt_text
from data.small_llama import THREADS, accuracy, answers

HERE = Path(__file__).resolve().parent
MAX_NEW_TOKENS = 90


def guided_answers(model: Any, tokenizer: Any, questions: Sequence[Question]) -> list[str]:
    """Return answers with a free thought, and one of the choices behind it: that of the largest probability, in whole.

    As evaluation tools do it that guide decoding by a list of choices; a model as small as this one otherwise names a
    word now and then that is none of them.
    """
    free = answers(model, tokenizer, questions, MAX_NEW_TOKENS)
    thoughts = [answer.rpartition("Answer:")[0] + "Answer:" for answer in free]
    return [guided(model, tokenizer, *pair) for pair in zip(questions, thoughts, strict=True)]


@torch.inference_mode()
def guided(model: Any, tokenizer: Any, question: Question, thought: str) -> str:
    """Return a thought with the choice that has the largest probability behind it."""
    before = tokenizer.encode(prompt_text(tokenizer, question.prompt) + thought, add_special_tokens=False)
    scores: dict[str, float] = {}
    for word in question.choices:
        said = [*tokenizer.encode(f" {word}", add_special_tokens=False), int(tokenizer.eos_token_id)]
        logits = model(torch.tensor([[*before, *said]])).logits[0, len(before) - 1 : -1].double()
        scores[word] = float(logits.log_softmax(-1)[torch.arange(len(said)), said].sum())
    return f"{thought} {max(scores, key=scores.__getitem__)}"


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


def score(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the share of right answers with the 95 % interval of a seeded bootstrap over rounds."""
    return accuracy(records, "questions", "round", lambda row: row["score"] == "C")


def measure(questions: Sequence[Question], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return accuracy overall, by the kind of question and by how rare the right word is."""

    def where(keep: Callable[[Question], bool]) -> dict[str, Any]:
        return score([row for question, row in zip(questions, records, strict=True) if keep(question)])

    letters = [read_letter(question, row["response"]) for question, row in zip(questions, records, strict=True)]
    return {
        "rounds": len({row["round"] for row in records}),
        "heldout": score(records),
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
    said = guided_answers(model, tokenizer, questions)
    records = [record(n, q, answer) for n, (q, answer) in enumerate(zip(questions, said, strict=True))]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in records]
    (args.output / "predictions.jsonl").write_text("".join(lines))
    report = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer), **measure(questions, records)}
    report["training"] = json.loads((args.model / "training_log.json").read_text())
    (args.output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "training"}, indent=1))


if __name__ == "__main__":
    main()
