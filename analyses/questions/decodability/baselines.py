"""What can be told of a prediction without looking at a head: length, answer, margin, covariates and counts."""

from __future__ import annotations

import numpy as np

from analyses.questions.comparisons import Comparison
from analyses.runs.key_groups import of_kind
from analyses.runs.labels import labels_of
from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.settings.analysis import LOG_PREFIX, AnalysisSettings
from engine.schema import COUNT_PREFIX, KEPT_PREFIX

"""Columns of ``samples`` that hold numbers of the records, such as accounting ratios."""

TOGETHER = "all baselines"


def baselines(run: Run, settings: AnalysisSettings, comparison: Comparison) -> dict[str, np.ndarray]:
    """Return the features of every baseline, ``[samples, features]``, NaN where unknown.

    ``length``: log tokens. ``answer``: which label the model said. ``margin``: the logit difference and its size, the
    surprisal of the label's token, the probability of two labels. ``covariates``: those of the config, every number
    ``field_…`` of the records (accounting ratios) and the token counts of the key groups. ``all baselines``: these
    together. One without a value that varies is left out, as are answer and margin where they are what is predicted.
    """
    samples = run.samples
    difference = numbers_of(samples["logit_difference"])
    labels = labels_of(run, "predicted_label")
    sets = {
        "length": [np.log(np.maximum(numbers_of(samples["num_tokens"]), 1))],
        "answer": [
            (labels == label).fill_null(False).to_numpy().astype(np.float64)
            for label in labels.drop_nulls().unique(maintain_order=True)
        ],
        "margin": [
            np.abs(difference),
            difference,
            numbers_of(samples["label_surprisal"]),
            numbers_of(samples["contrast_probability"]),
        ],
        "covariates": _covariates(run, settings),
    }
    if comparison.name == "predicted_label":
        del sets["answer"], sets["margin"]
    result: dict[str, np.ndarray] = {}
    for name, columns in sets.items():
        varying = [column for column in columns if _varies(column[comparison.is_member])]
        if varying:
            result[name] = np.column_stack(varying)
    if len(result) > 1:
        result[TOGETHER] = np.column_stack(list(result.values()))
    return result


def _varies(column: np.ndarray) -> bool:
    return len(np.unique(column[np.isfinite(column)])) > 1


def _covariates(run: Run, settings: AnalysisSettings) -> list[np.ndarray]:
    """Return configured covariates, numbers of the records and token counts, without those of random vocabularies."""
    samples = run.samples
    random = {f"{COUNT_PREFIX}{name}" for name in of_kind(run, "random")}
    names = [name for name in samples.columns if name.startswith((KEPT_PREFIX, COUNT_PREFIX)) and name not in random]
    columns = {name: numbers_of(samples[name]) for name in names if samples[name].dtype.is_numeric()}
    for name in settings.covariates:
        column = name if name in samples.columns else name.removeprefix(LOG_PREFIX)
        if column in samples.columns and samples[column].dtype.is_numeric():
            values = numbers_of(samples[column])
            columns[name] = values if name == column else np.log(np.where(values > 0, values, np.nan))
    return list(columns.values())
