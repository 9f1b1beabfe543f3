"""Head statistics as features of the held-out prediction."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from analyses.runs.key_groups import declared_statistics
from analyses.runs.run import Run
from analyses.runs.values import statistic_blocks
from analyses.settings.decodability import DecodabilitySettings
from analyses.wording import statistic_label
from engine.schema import MASS_PREFIX

USUAL_STATISTICS = ("entropy_normalized", "first_token", "max_weight", "mean_relative_distance")
USUAL_KEY_GROUPS = ("number", "statement")


@dataclass(frozen=True)
class HeadFeatures:
    """Head statistics as features: ``values`` ``[samples, features]``, their ``names``, or why there are none."""

    values: np.ndarray
    names: list[str]
    problem: str = ""


def head_features(run: Run, choices: DecodabilitySettings) -> HeadFeatures:
    """Return the statistics of every head for one query group, or why there are none."""
    if choices.query_group not in run.query_groups:
        known = ", ".join(run.query_groups)
        problem = f"this run has no query group {choices.query_group!r}; it has {known}"
        return HeadFeatures(np.zeros((len(run.samples), 0)), [], problem)
    statistics = choices.statistics
    if statistics is None:
        groups = [name for name in (run.vocabulary, *USUAL_KEY_GROUPS) if name]
        usual = [*USUAL_STATISTICS, *(f"{MASS_PREFIX}{name}" for name in groups)]
        statistics = tuple(name for name in usual if name in declared_statistics(run))
    unknown = [name for name in statistics if name not in run.statistics]
    if unknown:
        problem = f"this run has no statistic {unknown[0]!r}; it has {', '.join(run.statistics)}"
        return HeadFeatures(np.zeros((len(run.samples), 0)), [], problem)
    places, blocks, names = places_of(run), [], []
    for present, block in statistic_blocks(run, choices.query_group, statistics):
        blocks.append(block.reshape(len(block), -1))
        names.extend(f"{place} {statistic_label(name).lower()}" for name in present for place in places)
    values = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(run.samples), 0))
    return HeadFeatures(values, names, "" if names else "there is no statistic to predict from")


def places_of(run: Run) -> list[str]:
    """Return every head's name, "layer.head"."""
    return [f"{place // run.num_heads}.{place % run.num_heads}" for place in range(run.num_layers * run.num_heads)]


def why_flat(values: np.ndarray) -> str:
    """Say that no column of ``[samples, features]`` varies, or return the empty string."""
    known = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        # A column without any value is as flat as a constant one.
        warnings.simplefilter("ignore", RuntimeWarning)
        spread = np.nanmax(known, axis=0) - np.nanmin(known, axis=0)
    return "" if (spread > 0).any() else "no head statistic varies between samples"
