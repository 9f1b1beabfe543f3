"""Accuracy of recorded directions with intervals that resample whole companies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

LABELS = ("increase", "decrease")
RESAMPLES = 4000
SEED = 7


def company_counts(companies: Sequence[int], actual: Sequence[str], said: Sequence[str]) -> np.ndarray:
    """``[companies, 2 labels, (rows, hits)]``; anything but the right label word is a miss."""
    index = {company: i for i, company in enumerate(sorted(set(companies)))}
    counts = np.zeros((len(index), 2, 2))
    for company, label, answer in zip(companies, actual, said, strict=True):
        counts[index[company], LABELS.index(label)] += (1, answer == label)
    return counts


def scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and balanced accuracy of counts summed over companies, ``[..., 2, 2]``."""
    rows, hits = counts[..., 0], counts[..., 1]
    accuracy = hits.sum(-1) / rows.sum(-1)
    return accuracy, (hits / rows).mean(-1)


def evaluate(companies: Sequence[int], actual: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """Both scores with 95 % percentile intervals of a seeded bootstrap over companies."""
    counts = company_counts(companies, actual, said)
    rng = np.random.default_rng(SEED)
    draws = rng.integers(len(counts), size=(RESAMPLES, len(counts)))
    accuracy, balanced = scores(counts.sum(0))
    spread = scores(counts[draws].sum(1))
    low_high = [[round(float(q), 4) for q in np.nanquantile(s, [0.025, 0.975])] for s in spread]
    return {
        "rows": len(actual),
        "companies": len(counts),
        "accuracy": round(float(accuracy), 4),
        "accuracy_interval": low_high[0],
        "balanced_accuracy": round(float(balanced), 4),
        "balanced_accuracy_interval": low_high[1],
        "said_increase": sum(answer == "increase" for answer in said),
        "said_decrease": sum(answer == "decrease" for answer in said),
        "unreadable": sum(answer not in LABELS for answer in said),
    }
