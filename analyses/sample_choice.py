"""Which samples the report shows in full, by rules that are written down; ties go to the sample that comes first.

A sample's profile is every declared statistic of its decision rows, averaged over heads. Profiles are standardised over
all samples; a sample's distance is the root mean square of its profile minus the mean profile of the samples that it
stands for (the right ones, or the wrong ones). The smallest distance is the most typical, the largest the most extreme.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.run_tables import RunTables

MAX_CHOSEN = 8
"""Samples shown in full at most."""

MAX_KEPT = 3
"""Of them, those shown because their decision rows were kept head by head."""

RULE = (
    "Chosen by rule: of the right and of the wrong predictions the most typical one and the most extreme one (smallest "
    "and largest distance from the mean of the group, over all statistics of the decision row), the wrong answer with "
    "the largest lead, the closest call, and samples whose decision rows were kept head by head."
)


@dataclass(frozen=True)
class ChosenSample:
    """One sample and every reason why it is shown."""

    sample_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ShownSamples:
    """The samples that the report shows, at most ``MAX_CHOSEN``, each once; and why a rule chose none, in sentences."""

    chosen: tuple[ChosenSample, ...]
    absent: tuple[str, ...]

    def table(self) -> pl.DataFrame:
        """Return ``sample_id, reasons``."""
        rows = [(sample.sample_id, "; ".join(sample.reasons)) for sample in self.chosen]
        return pl.DataFrame(rows, schema={"sample_id": pl.String, "reasons": pl.String}, orient="row")


def choose_samples(tables: RunTables, profiles: np.ndarray) -> ShownSamples:
    """Choose the samples to show.

    Parameters
    ----------
    tables
        The run.
    profiles
        ``[samples, statistics]`` as in ``head_details.HeadDetails``.
    """
    is_correct = tables.samples["is_correct"]
    right = is_correct.fill_null(False).to_numpy().astype(bool)
    wrong = is_correct.is_not_null().to_numpy() & ~right
    groups = {"right": right, "wrong": wrong} if right.any() or wrong.any() else {"": np.ones(len(right), dtype=bool)}
    standard = _standardised(profiles)
    lead = np.abs(tables.samples["logit_difference"].cast(pl.Float64).fill_null(float("nan")).to_numpy())
    wanted: list[tuple[str, int | None]] = []
    for end in ("typical", "extreme"):
        for name, rows in groups.items():
            text = f"the most {end} {f'{name} ' if name else ''}prediction"
            wanted.append((text, _by_distance(standard, rows, end == "extreme")))
    wanted.append(("the wrong answer with the largest lead", _largest(lead, wrong)))
    wanted.append(("the closest call", _largest(-lead, np.ones(len(lead), dtype=bool))))
    wanted += [("kept head by head", row) for row in _kept(tables)]
    reasons: dict[int, list[str]] = {}
    for text, row in wanted:
        if row is not None and (row in reasons or len(reasons) < MAX_CHOSEN):
            reasons.setdefault(row, []).append(text)
    ids = tables.samples["sample_id"]
    chosen = tuple(ChosenSample(ids[row], tuple(texts)) for row, texts in reasons.items())
    return ShownSamples(chosen, tuple(_absent(groups, lead)))


def _absent(groups: Mapping[str, np.ndarray], lead: np.ndarray) -> list[str]:
    if "" in groups:
        return ["No sample has a known true label, so none is called right or wrong."]
    told = [f"The run has no {name} prediction to show." for name, rows in groups.items() if not rows.any()]
    if np.isnan(lead).all():
        told.append("No logit difference was measured, so no closest call can be named.")
    return told


def _standardised(profiles: np.ndarray) -> np.ndarray:
    """Return profiles in standard deviations; statistics that do not vary, or that nobody has, become 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = ~np.isnan(profiles)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, profiles, 0).sum(axis=0) / count
        centred = np.where(known, profiles - mean, 0)
        deviation = np.sqrt((centred**2).sum(axis=0) / count)
        return np.where(deviation > 0, centred / deviation, 0)


def _by_distance(standard: np.ndarray, rows: np.ndarray, is_largest: bool) -> int | None:
    if not rows.any():
        return None
    centred = standard - standard[rows].mean(axis=0)
    distance = np.sqrt((centred**2).sum(axis=1))
    return _largest(distance if is_largest else -distance, rows)


def _largest(values: np.ndarray, rows: np.ndarray) -> int | None:
    allowed = np.where(rows & ~np.isnan(values), values, -np.inf)
    return int(allowed.argmax()) if len(allowed) and np.isfinite(allowed.max()) else None


def _kept(tables: RunTables) -> list[int]:
    table = tables.tables.get("decision_head_rows")
    if table is None:
        return []
    ids = table.select("sample_id").unique().collect()["sample_id"].to_list()
    return sorted(tables.rows_of[name] for name in ids if name in tables.rows_of)[:MAX_KEPT]
