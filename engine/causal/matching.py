"""Which right prediction is matched with each wrong one.

The right one says what the wrong one should have said, where that is known, or else something else than it said. It is
of the same cluster, or from anywhere, as the config asks; among those that fit, the nearest in the size of the margin
and in length, each in standard deviations over all samples; of equally near ones, the first by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine.config.causes.method import Matching
from engine.storage.plan_records import Partner

COLUMNS = (
    "sample_id",
    "cluster",
    "is_correct",
    "actual_label",
    "predicted_label",
    "logit_difference",
    "num_tokens",
)
"""Columns of ``samples`` that matching looks at."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A measured sample as matching sees it; ``place`` is its standardised margin size and length."""

    partner: Partner
    row: dict[str, object]
    place: np.ndarray

    def is_known(self, name: str) -> bool:
        return self.row[name] is not None


def matches(samples: pa.Table, sources: Mapping[str, str], matching: Matching) -> dict[str, Partner]:
    """Return the match of every wrong prediction that has one, by its sample id.

    Parameters
    ----------
    samples
        All measured samples, with ``COLUMNS``.
    sources
        The measure unit of each, by sample id.
    matching
        Where matches come from.
    """
    everyone = _candidates(samples, sources)
    right = [one for one in everyone if one.row["is_correct"]]
    found: dict[str, Partner] = {}
    for wrong in everyone:
        if wrong.row["is_correct"] is not False:
            continue
        fitting = [one for one in right if _fits(wrong, one)]
        same = [one for one in fitting if wrong.is_known("cluster") and one.row["cluster"] == wrong.row["cluster"]]
        pool = same if matching == "cluster" or (same and matching != "nearest") else fitting
        if pool:
            nearest = min(pool, key=lambda one: (float(np.square(one.place - wrong.place).sum()), one.row["sample_id"]))
            found[wrong.partner.sample_id] = nearest.partner
    return found


def _candidates(samples: pa.Table, sources: Mapping[str, str]) -> list[_Candidate]:
    rows = [row for row in samples.select(COLUMNS).to_pylist() if row["logit_difference"] is not None]
    if not rows:
        return []
    places = np.array([[abs(row["logit_difference"]), np.log(row["num_tokens"])] for row in rows])
    spread = places.std(axis=0)
    places = (places - places.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return [
        _Candidate(Partner(sources[row["sample_id"]], row["sample_id"]), row, place)
        for row, place in zip(rows, places, strict=True)
    ]


def _fits(wrong: _Candidate, right: _Candidate) -> bool:
    """Whether a right prediction says what a wrong one should have said, as far as that is known."""
    if wrong.is_known("actual_label"):
        return right.row["predicted_label"] == wrong.row["actual_label"]
    return right.row["predicted_label"] != wrong.row["predicted_label"]
