"""Company-years as statements, and the jittered copies that the demo model is trained on.

Jittered copies are invented figures: a training company's statement with other sizes, other growth and
noise. They are labelled by the scorecard of ``data/scorecard.py``, never by a true outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data.prompts import ROW_NAMES, Statement, periods

STATEMENTS = Path(__file__).resolve().parent / "statements.parquet"
#: Figures that the answers read; every shortened table keeps them.
NEEDED = ("receivables", "sales", "operating_income", "net_income", "eps")


@dataclass(frozen=True)
class Sample:
    """One company-year: what the prompt shows (one or two periods) and what came next."""

    company_id: int
    year: int
    split: str
    label: str | None
    statement: Statement


def load_samples(path: Path = STATEMENTS) -> list[Sample]:
    """Every company-year with known EPS, once: two-period where the year before has its EPS too."""
    frame = pl.read_parquet(path).filter(pl.col("eps").is_not_null())
    rows: dict[tuple[int, int], dict[str, Any]] = {
        (row["company_id"], row["fiscal_year"]): row for row in frame.iter_rows(named=True)
    }
    samples = []
    for (company, year), row in sorted(rows.items()):
        prior = rows.get((company, year - 1))
        columns = [row] if prior is None else [prior, row]
        statement = {item: tuple(column[item] for column in columns) for item in ROW_NAMES}
        samples.append(Sample(company, year, row["split"], row["label"], statement))
    return samples


def labelled(samples: Sequence[Sample], split: str, count: int | None = None) -> list[Sample]:
    """Select samples of a split whose outcome is known, optionally with `count` periods only."""
    found = [s for s in samples if s.split == split and s.label is not None]
    return [s for s in found if count is None or periods(s.statement) == count]


def latest_period(statement: Statement) -> Statement:
    """Make the one-period statement: only the latest column."""
    return {item: values[-1:] for item, values in statement.items()}


def jitter(statement: Statement, rng: np.random.Generator) -> Statement:
    """Invent a copy: another company size, other growth rates, noise on every figure.

    Net income and EPS move together, as they do in reports; their signs flip now and then because
    losses are rare and the model must read them.
    """
    count = periods(statement)
    money, per_share = np.exp(rng.normal(0.0, 0.6)), np.exp(rng.normal(0.0, 0.4))
    earnings = np.exp(rng.normal(0.0, 0.12, size=count))
    flip = np.where(rng.random(count) < 0.03, -1.0, 1.0)
    copy: dict[str, tuple[float, ...]] = {}
    for item, values in statement.items():
        noise = np.exp(rng.normal(0.0, 0.2)) * np.exp(rng.normal(0.0, 0.04, size=count))
        scale = money * noise
        if item in ("net_income", "eps"):
            noise = earnings * flip * np.exp(rng.normal(0.0, 0.02, size=count))
            scale = (per_share if item == "eps" else money) * noise
        copy[item] = tuple(float(v) for v in np.asarray(values) * scale)
    return copy


def shorten(statement: Statement, rng: np.random.Generator) -> Statement:
    """Keep the needed rows and a few of the others."""
    extra = [item for item in statement if item not in NEEDED]
    kept = {*NEEDED, *rng.choice(extra, size=int(rng.integers(0, 4)), replace=False)}
    return {item: values for item, values in statement.items() if item in kept}
