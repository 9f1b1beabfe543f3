"""How small a difference could be seen, in plain sentences."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.wording import count_text, difference_text, query_group_label, statistic_label

LARGE_G = 0.8
"""Cohen's large effect: groups that show nothing smaller are too small to say anything."""


def power_sentences(table: pl.DataFrame, shown: tuple[str, str] | None = None) -> list[str]:
    """Say per comparison what its groups could show, with a warning where that is nearly nothing.

    Parameters
    ----------
    table
        Columns as in ``POWER``.
    shown
        Query group and statistic whose sizes are told, that which the report shows first; without it, or where it was
        not tested, the one of the median size.
    """
    lines: list[str] = []
    for (name,), rows in table.group_by("comparison", maintain_order=True):
        known = rows.drop_nulls("smallest_effect_size").sort("smallest_effect_size", "statistic", "query_group")
        if known.is_empty():
            note = next(iter(rows["note"].drop_nulls()), "no value")
            lines.append(f"Power of {name}: no difference of any size could be found. {note.removesuffix('.')}.")
            continue
        is_first = (pl.col("query_group") == shown[0]) & (pl.col("statistic") == shown[1]) if shown else pl.lit(False)
        first = known.filter(is_first)
        row = first.row(0, named=True) if len(first) else known.row(len(known) // 2, named=True)
        least, most = known.select(pl.min("smallest_effect_size"), most=pl.max("smallest_effect_size")).row(0)
        one, family = row["smallest_effect_size"], row["smallest_effect_size_family"]
        sizes = f"{row['num_a']:,} and {row['num_b']:,} samples of {count_text(row['num_clusters'], 'cluster')}"
        lines.append(
            f"Power of {name}: {sizes} show a difference of g = {one:.2f} with {100 * row['power']:.0f} % chance where "
            f"a single head is asked about, and of g = {family:.2f} where it is one of "
            f"{count_text(row['family_size'], 'test')} (Bonferroni). These are for "
            f"{statistic_label(row['statistic']).lower()} ({query_group_label(row['query_group'])}), "
            f"{'the statistic shown first' if len(first) else 'a statistic of middling size'}, where they are "
            f"{_unsigned(row, '')} and {_unsigned(row, '_family')}; of the statistics a single head's g lies between "
            f"{least:.2f} and {most:.2f}. Smaller differences may be there and not show."
        )
        lines.extend(_warnings(str(name), one, family))
    return lines


def _unsigned(row: dict[str, Any], end: str) -> str:
    return difference_text(row["statistic"], row[f"smallest_difference{end}"]).removeprefix("+")


def _warnings(name: str, one: float, family: float) -> list[str]:
    if one > LARGE_G:
        return [
            f"Warning: the groups of {name} are too small to say anything: even for a single head only differences "
            f"above g = {one:.2f} would show, and {LARGE_G:g} already counts as large. That nothing was found means "
            "nothing."
        ]
    if family > LARGE_G:
        return [
            f"Warning: over all heads the groups of {name} show only very large differences (g above {family:.2f}). "
            "Name few heads and statistics beforehand, or collect more samples."
        ]
    return []
