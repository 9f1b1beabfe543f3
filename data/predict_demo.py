"""Let the demo model answer: ``data/predictions_demo.json`` and ``data/demo_model_report.json``.

The predictions are the model's own greedy answers on the held-out companies' two-period statements, in
the users' format; nothing is edited or left out. The report measures the saved weights, in float32.

Usage: ``python -m data.predict_demo [--model data/demo-model]``
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.answers import read_answer, render_answer
from data.generation import answer_ids, decode, prompt_ids
from data.metrics import evaluate
from data.prompts import periods, question
from data.samples import Sample, labelled, load_samples
from data.scorecard import Scorecard, fit_baseline, fit_scorecard, plain_features

HERE = Path(__file__).resolve().parent
TRAINING = "python -m data.train_demo_model"
#: One: small steps wait for each other more than they gain from a second core.
THREADS = 1


def load_model(folder: Path) -> tuple[Any, Any]:
    """Load the saved (float16) weights in float32, and the tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def record(tokenizer: Any, sample: Sample, answer: Sequence[int]) -> dict[str, Any]:
    """One prediction in the users' format: exactly their nine fields."""
    prompt = prompt_ids(tokenizer, question(sample.statement))
    fields = read_answer(decode(tokenizer, answer))
    return {
        "company_id": sample.company_id,
        "year": sample.year,
        "actual_label": sample.label,
        **fields,
        "is_match": fields["predicted_direction"] == sample.label,
        "full_model_response": decode(tokenizer, [*prompt, *answer]),
    }


def fidelity(teacher: Scorecard, samples: Sequence[Sample], answers: Sequence[str]) -> dict[str, float]:
    """How faithfully the answers read the prompt (shares of lines, all samples together).

    ``figures_copied``: rows whose numbers stand in the answer as in the prompt; ``words_right``: change
    and ratio words that follow from the printed numbers; ``teacher_agreement``: same direction as the
    scorecard on the true words.
    """
    copied, right, agree, rows, words = 0, 0, 0, 0, 0
    for sample, answer in zip(samples, answers, strict=True):
        truth = render_answer(sample.statement, teacher.verdict(sample.statement)).split("\n")
        said = answer.split("\n")
        for i, line in enumerate(truth):
            other = said[i] if i < len(said) else ""
            if line.startswith("|"):
                cells, found = line.split("|"), other.split("|")
                numbers = 2 + periods(sample.statement)
                rows, copied = rows + 1, copied + (found[:numbers] == cells[:numbers])
                if periods(sample.statement) == 2:
                    words, right = words + 1, right + (found[numbers:] == cells[numbers:])
            elif ": " in line and not line.startswith(" "):
                words, right = words + 1, right + (other == line)
        verdict = teacher.verdict(sample.statement).direction.lower()
        agree += read_answer(answer)["predicted_direction"] == verdict
    return {
        "figures_copied": round(copied / rows, 4),
        "words_right": round(right / words, 4),
        "teacher_agreement": round(agree / len(samples), 4),
    }


def baseline_probabilities(training: Sequence[Sample], samples: Sequence[Sample]) -> np.ndarray:
    """Probability of an increase by the logistic regression on the plain figures."""
    statements, labels = [s.statement for s in training], [s.label or "" for s in training]
    models = {count: fit_baseline(statements, labels, count) for count in (1, 2)}
    return np.asarray(
        [models[periods(s.statement)].predict_proba([plain_features(s.statement)])[0, 1] for s in samples]
    )


def compare(
    training: Sequence[Sample], teacher: Scorecard, samples: Sequence[Sample], answers: Sequence[str]
) -> dict[str, Any]:
    """Set the model beside always-increase, the logistic regression and its teacher, on the same rows."""
    companies, actual = [s.company_id for s in samples], [s.label or "" for s in samples]
    chances = baseline_probabilities(training, samples)
    said = {
        "demo_model": [read_answer(answer)["predicted_direction"] for answer in answers],
        "always_increase": ["increase"] * len(samples),
        "logistic_regression": ["increase" if chance > 0.5 else "decrease" for chance in chances],
        "scorecard_teacher": [teacher.verdict(s.statement).direction.lower() for s in samples],
    }
    table: dict[str, Any] = {name: evaluate(companies, actual, words) for name, words in said.items()}
    truth = [label == "increase" for label in actual]
    table["logistic_regression"]["auc"] = round(float(roc_auc_score(truth, chances)), 4)
    table["demo_model"] |= fidelity(teacher, samples, answers)
    return table


def answer_all(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> tuple[list[list[int]], list[str], float]:
    """Greedy answers as ids and as text, and the seconds they took."""
    started = time.monotonic()
    ids = answer_ids(model, tokenizer, samples)
    return ids, [decode(tokenizer, answer) for answer in ids], time.monotonic() - started


def write_json(path: Path, value: Any) -> None:
    """Write a whole file or none."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    partial.replace(path)


def main() -> None:
    """Answer, record, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "demo-model")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the two JSON files")
    parser.add_argument("--splits", nargs="+", default=["heldout", "development", "train"])
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    model, tokenizer = load_model(args.model)
    everything = load_samples()
    training = labelled(everything, "train")
    teacher = fit_scorecard([s.statement for s in training], [s.label or "" for s in training])
    report: dict[str, Any] = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer)}
    for split in args.splits:
        samples = labelled(everything, split)
        ids, texts, seconds = answer_all(model, tokenizer, samples)
        two = [i for i, s in enumerate(samples) if periods(s.statement) == 2]
        report[split] = {
            "two_period": compare(training, teacher, [samples[i] for i in two], [texts[i] for i in two]),
            "all": compare(training, teacher, samples, texts),
            "generation_seconds": round(seconds, 1),
        }
        if split == "heldout":
            records = [record(tokenizer, samples[i], ids[i]) for i in two]
            write_json(args.output / "predictions_demo.json", records)
        print(json.dumps({split: report[split]}, indent=1), flush=True)
    report["training"] = {"command": TRAINING, "machine": "CPU only, 2 cores"}
    report["training"] |= json.loads((args.model / "training_log.json").read_text())
    write_json(args.output / "demo_model_report.json", report)


if __name__ == "__main__":
    main()
