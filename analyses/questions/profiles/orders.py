"""Whether one kind of word, one layer or one token really gets the most: what a ranking in a sentence rests on.

Kinds of words are ranked by weight and by lift, layers by the weight on the vocabulary and by relative entropy, tokens
by weight, all for the decision row and averaged over heads. ``inference.orders`` compares every two of them within
samples; p is adjusted by Holm over all pairs, and for the number of rankings of the same things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.inference.orders import compare_pairs
from analyses.questions.profiles.tables import ATTENTION_ORDERS

METHOD = "paired differences within samples: CR2 by cluster and signed normal scores, the larger p; Holm over all pairs"

MAX_MEMBERS = 64
"""Of more things than this only the highest and the lowest halves of so many are ranked."""


@dataclass(frozen=True)
class Ranking:
    """Things that were measured in the same samples.

    Attributes
    ----------
    order
        ``words``, ``layers`` or ``tokens``: the family.
    statistic
        By what they are ranked.
    members
        Their names.
    values
        ``[samples, members]``, NaN where unknown.
    """

    order: str
    statistic: str
    members: tuple[str, ...]
    values: np.ndarray


def attention_orders(rankings: list[Ranking], query_group: str, cluster: np.ndarray) -> pl.DataFrame:
    """Return one row per ranking and member; columns as in ``ATTENTION_ORDERS``."""
    counts = {order: sum(one.order == order for one in rankings) for order in {one.order for one in rankings}}
    parts = [ATTENTION_ORDERS.empty()]
    for ranking in rankings:
        means = np.array([_mean(column) for column in ranking.values.T])
        known = np.flatnonzero(~np.isnan(means))
        ordered = known[np.argsort(-means[known], kind="stable")]
        if len(ordered) > MAX_MEMBERS:
            ordered = np.concatenate([ordered[: MAX_MEMBERS // 2], ordered[-MAX_MEMBERS // 2 :]])
        if len(ordered) < 2:
            continue
        pvalue = np.minimum(compare_pairs(ranking.values[:, ordered], cluster).adjusted() * counts[ranking.order], 1)
        has = ~np.isnan(ranking.values[:, ordered])
        parts.append(
            pl.DataFrame(
                {
                    "order": ranking.order,
                    "query_group": query_group,
                    "statistic": ranking.statistic,
                    "member": [ranking.members[slot] for slot in ordered],
                    "mean": means[ordered],
                    "pvalue_highest": [None, *pvalue[0, 1:]],
                    "pvalue_lowest": [*pvalue[-1, :-1], None],
                    "num_samples": has.sum(axis=0),
                    "num_clusters": [len(np.unique(cluster[rows])) for rows in has.T],
                    "method": METHOD,
                },
                schema=ATTENTION_ORDERS.schema,
            ).with_columns(pl.col("pvalue_highest", "pvalue_lowest").fill_nan(None))
        )
    return pl.concat(parts)


def _mean(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else float("nan")


def order_family(order: str) -> str:
    """Return the name of the family of a kind of ranking."""
    return f"order of {order}"


@dataclass(frozen=True)
class Ends:
    """What stands at the two ends of a ranking, each with whatever does not differ from it; highest first.

    ``is_tested`` says that every pair with the highest or the lowest could be compared; without that nothing is ranked.
    ``is_alike`` says that the highest does not differ from the lowest: nothing is ranked either.
    """

    highest: tuple[str, ...]
    lowest: tuple[str, ...]
    is_tested: bool
    is_alike: bool
    pvalue: float | None


def ends(table: pl.DataFrame, order: str, statistic: str, level: float) -> Ends | None:
    """Return the ends of a ranking at a level; None where there is none."""
    rows = table.filter((pl.col("order") == order) & (pl.col("statistic") == statistic))
    if len(rows) < 2:
        return None
    highest = rows.filter(pl.col("pvalue_highest").is_null() | (pl.col("pvalue_highest") > level))["member"].to_list()
    lowest = rows.filter(pl.col("pvalue_lowest").is_null() | (pl.col("pvalue_lowest") > level))["member"].to_list()
    is_tested = rows["pvalue_highest"][1:].is_not_null().all() and rows["pvalue_lowest"][:-1].is_not_null().all()
    pvalue = rows["pvalue_highest"][-1]
    return Ends(tuple(highest), tuple(reversed(lowest)), is_tested, pvalue is None or pvalue > level, pvalue)


def smallest_of_orders(table: pl.DataFrame) -> Mapping[str, float]:
    """Return the smallest p of each kind of ranking, by the name of its family."""
    found: dict[str, float] = {}
    for (order,), rows in table.group_by("order", maintain_order=True):
        pvalues = rows.select(pl.min_horizontal("pvalue_highest", "pvalue_lowest")).to_series().drop_nulls().to_list()
        found[order_family(str(order))] = min(pvalues, default=float("nan"))
    return found
