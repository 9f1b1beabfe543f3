"""Which samples the report shows in full, by rules that are written down; ties go to the sample that comes first.

A sample's profile is every declared statistic of its decision rows, averaged over heads. Profiles are standardised over
all samples; a sample's distance is the root mean square of its profile minus the mean profile of the samples that it
stands for (the right ones, or the wrong ones). The smallest distance is the most typical, the largest the most extreme.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from analyses.runs.run import Run

MAX_CHOSEN = 8
"""Samples shown in full at most."""

MAX_KEPT = 3
"""Of them, those shown because their decision rows were kept head by head."""

RULE = (
    "Chosen by rule: of the right and of the wrong predictions the most typical one and the most extreme one (smallest "
    "and largest distance from the mean of the group, over all statistics of the decision row), the wrong answer with "
    "the largest lead, the closest call, and samples whose decision rows were kept head by head."
)


_BETWEEN = "; "
"""Between the reasons of one sample."""


def choose_samples(run: Run, profiles: np.ndarray) -> pl.DataFrame:
    """Return ``sample_id, reasons`` of the samples to show: at most ``MAX_CHOSEN``, each once.

    Parameters
    ----------
    run
        The run.
    profiles
        ``[samples, statistics]`` as in ``heads.details.HeadDetails``.
    """
    groups, standard, lead = _groups(run), _standardised(profiles), _leads(run)
    wrong = groups.get("wrong", np.zeros(len(lead), dtype=bool))
    wanted: list[tuple[str, int | None]] = []
    for end in ("typical", "extreme"):
        for name, rows in groups.items():
            text = f"the most {end} {f'{name} ' if name else ''}prediction"
            wanted.append((text, _by_distance(standard, rows, end == "extreme")))
    wanted.append(("the wrong answer with the largest lead", _largest(lead, wrong)))
    wanted.append(("the closest call", _largest(-lead, np.ones(len(lead), dtype=bool))))
    wanted += [("kept head by head", row) for row in _kept(run)]
    reasons: dict[int, list[str]] = {}
    for text, row in wanted:
        if row is not None and (row in reasons or len(reasons) < MAX_CHOSEN):
            reasons.setdefault(row, []).append(text)
    ids = run.samples["sample_id"]
    chosen = [(ids[row], _BETWEEN.join(texts)) for row, texts in reasons.items()]
    return pl.DataFrame(chosen, schema={"sample_id": pl.String, "reasons": pl.String}, orient="row")


def reasons_of(shown: pl.DataFrame) -> dict[str, list[str]]:
    """Return every reason why a sample is shown, by its id, from a table of ``choose_samples``."""
    return {name: text.split(_BETWEEN) for name, text in shown.select("sample_id", "reasons").iter_rows()}


def _groups(run: Run) -> Mapping[str, np.ndarray]:
    """Return ``[samples]`` booleans of right and of wrong predictions; of all where no true label is known."""
    is_correct = run.samples["is_correct"]
    right = is_correct.fill_null(False).to_numpy().astype(bool)
    wrong = is_correct.is_not_null().to_numpy() & ~right
    known = right.any() or wrong.any()
    return {"right": right, "wrong": wrong} if known else {"": np.ones(len(right), dtype=bool)}


def _leads(run: Run) -> np.ndarray:
    """Return ``[samples]``, the size of the logit difference; NaN where it was not measured."""
    return np.abs(run.samples["logit_difference"].cast(pl.Float64).fill_null(float("nan")).to_numpy())


def why_none(run: Run) -> list[str]:
    """Return why a rule chose no sample, in sentences."""
    groups, lead = _groups(run), _leads(run)
    if "" in groups:
        return ["No sample has a known true label, so none is called right or wrong."]
    reasons = [f"The run has no {name} prediction to show." for name, rows in groups.items() if not rows.any()]
    if np.isnan(lead).all():
        reasons.append("No logit difference was measured, so no closest call can be named.")
    return reasons


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


def _kept(run: Run) -> list[int]:
    table = run.tables.get("decision_head_rows")
    if table is None:
        return []
    ids = table.select("sample_id").unique().collect()["sample_id"].to_list()
    return sorted(run.rows_of[name] for name in ids if name in run.rows_of)[:MAX_KEPT]
