"""How large a difference between the groups must be for this many samples and clusters to show it.

The quoted test regresses a statistic on the group and what else differs (``analyses.adjusted_model``). With q the
group's part outside the other terms, of length 1, and ``scale`` its length before, the difference is qᵀy / scale. If
samples of one cluster correlate by the intraclass correlation r, and s is the standard deviation within the groups,

    Var(difference) = s² [(1 - r) + r Σ_g (Σ_{i in g} q_i)²] / scale²

which without other terms is s² [(1 - r)(1/n_a + 1/n_b) + r Σ_g (n_ga/n_a - n_gb/n_b)²] (Moulton 1990, Review of
Economics and Statistics 72: 334-338; Hedges 2007, Journal of Educational and Behavioral Statistics 32: 341-370). The
bracket is the design effect: above 1 when whole clusters are right or wrong, below 1 when each has some of both. The
smallest detectable difference is the one whose two-sided t-test at ``alpha`` with Satterthwaite's f degrees of freedom
has the wanted power by the noncentral t distribution (Cohen 1988, section 2.2; Bloom 1995, Evaluation Review 19:
547-556, writes it as (t_{1-alpha/2} + t_{power}) x standard error). Also at alpha over the number of tests of the
declared family: what one head among all must show, by Bonferroni.

r and s are estimated for every head from the samples at hand; the table has their medians over the heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from analyses.comparisons import Comparison, comparisons_of, model_samples
from analyses.detectable_effects import POWER, Detectable, detectable
from analyses.families import declared_families
from analyses.key_groups import declared_statistics
from analyses.queries import value_blocks
from analyses.rare_key_groups import rare_statistics
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.wording import count_text, difference_text, query_group_label, statistic_label

LARGE_G = 0.8
"""Cohen's large effect: groups that show nothing smaller are too small to say anything."""

METHOD = "noncentral t of the adjusted model, CR2 degrees of freedom, compound symmetry within clusters"

SCHEMA: dict[str, Any] = {
    "comparison": pl.String,
    "query_group": pl.String,
    "statistic": pl.String,
    "num_heads": pl.Int32,
    "family": pl.String,
    "family_size": pl.Int32,
    "num_a": pl.Int32,
    "num_b": pl.Int32,
    "num_clusters": pl.Int32,
    "degrees_of_freedom": pl.Float64,
    "standard_deviation": pl.Float64,
    "intraclass_correlation": pl.Float64,
    "design_effect": pl.Float64,
    "smallest_effect_size": pl.Float64,
    "smallest_difference": pl.Float64,
    "smallest_effect_size_family": pl.Float64,
    "smallest_difference_family": pl.Float64,
    "alpha": pl.Float64,
    "alpha_family": pl.Float64,
    "power": pl.Float64,
    "method": pl.String,
    "note": pl.String,
}


def power(tables: RunTables, settings: AnalysisSettings, wanted: float = POWER) -> pl.DataFrame:
    """Return the smallest detectable differences of each comparison, query group and statistic.

    Parameters
    ----------
    wanted
        Power: the chance of finding a difference of that size.

    Returns
    -------
    DataFrame
        Columns as in ``SCHEMA``; medians over heads. A comparison that cannot be made has one row with a note.
    """
    rows = [
        row for comparison in comparisons_of(tables, settings) for row in _rows(tables, settings, comparison, wanted)
    ]
    return pl.DataFrame(rows, schema=SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def _rows(
    tables: RunTables, settings: AnalysisSettings, comparison: Comparison, wanted: float
) -> Iterator[dict[str, Any]]:
    counts = {"num_a": int(comparison.is_a.sum()), "num_b": int(comparison.is_b.sum())}
    base = {"comparison": comparison.name, "alpha": settings.alpha, "power": wanted, "method": METHOD}
    statistics = declared_statistics(tables)
    families = declared_families(settings.families, tables.query_groups, statistics)
    num_heads = tables.num_layers * tables.num_heads
    if comparison.problem or not families or not num_heads:
        yield base | counts | {"note": comparison.problem or "the run has no statistic to test"}
        return
    untested = rare_statistics(tables, comparison)
    tested = Counter(name for (_, statistic), name in families.items() if statistic not in untested)
    sizes = {name: num_heads * number for name, number in tested.items()}
    samples = model_samples(tables, settings, comparison)
    for block in value_blocks(tables, statistics):
        for group, query_group in enumerate(block.query_groups):
            for slot, statistic in enumerate(block.statistics):
                values = block.values[comparison.is_member, group, slot].astype(np.float64)
                values = values[:, ~np.isnan(values).all(axis=0)]
                family = families[query_group, statistic]
                if statistic in untested:
                    place = {"query_group": query_group, "statistic": statistic, "family": family}
                    yield base | counts | place | {"note": untested[statistic]}
                    continue
                level = settings.alpha / sizes[family]
                found = detectable(values, samples, settings.alpha, level, wanted)
                keys = {"query_group": query_group, "statistic": statistic, "num_heads": values.shape[1]}
                keys |= {"family": family, "family_size": sizes[family], "alpha_family": level}
                yield base | counts | keys | _medians(found)


def _medians(found: Detectable) -> dict[str, Any]:
    def median(values: np.ndarray) -> float:
        return float(np.nanmedian(values)) if (~np.isnan(values)).any() else float("nan")

    names = ("standard_deviation", "intraclass_correlation", "design_effect", "degrees_of_freedom")
    row: dict[str, Any] = {name: median(getattr(found, name)) for name in names}
    in_unit = found.standard_deviation / found.correction
    for end in ("", "_family"):
        sizes = getattr(found, f"effect_size{end}")
        row[f"smallest_effect_size{end}"] = median(sizes)
        row[f"smallest_difference{end}"] = median(sizes * in_unit)
    for name in ("num_a", "num_b", "num_clusters"):
        row[name] = int(np.median(getattr(found, name))) if len(found.note) else 0
    notes = [note for note in found.note if note]
    missing = f"{count_text(len(notes), 'head')}: {notes[0]}" if notes else None
    return row | {"note": missing if len(found.note) else "no head has a value"}


def sentences(table: pl.DataFrame, shown: tuple[str, str] | None = None) -> list[str]:
    """Say per comparison what its groups could show, with a warning where that is nearly nothing.

    Parameters
    ----------
    table
        Columns as in ``SCHEMA``.
    shown
        Query group and statistic whose sizes are told, that which the report shows first; without it, or where it was
        not tested, the one of the median size.
    """
    told: list[str] = []
    for (name,), rows in table.group_by("comparison", maintain_order=True):
        known = rows.drop_nulls("smallest_effect_size").sort("smallest_effect_size", "statistic", "query_group")
        if known.is_empty():
            note = next(iter(rows["note"].drop_nulls()), "no value")
            told.append(f"Power of {name}: no difference of any size could be found. {note.removesuffix('.')}.")
            continue
        is_first = (pl.col("query_group") == shown[0]) & (pl.col("statistic") == shown[1]) if shown else pl.lit(False)
        first = known.filter(is_first)
        row = first.row(0, named=True) if len(first) else known.row(len(known) // 2, named=True)
        least, most = known.select(pl.min("smallest_effect_size"), most=pl.max("smallest_effect_size")).row(0)
        one, family = row["smallest_effect_size"], row["smallest_effect_size_family"]
        sizes = f"{row['num_a']:,} and {row['num_b']:,} samples of {count_text(row['num_clusters'], 'cluster')}"
        told.append(
            f"Power of {name}: {sizes} show a difference of g = {one:.2f} with {100 * row['power']:.0f} % chance where "
            f"a single head is asked about, and of g = {family:.2f} where it is one of "
            f"{count_text(row['family_size'], 'test')} (Bonferroni). These are for "
            f"{statistic_label(row['statistic']).lower()} ({query_group_label(row['query_group'])}), "
            f"{'the statistic shown first' if len(first) else 'a statistic of middling size'}, where they are "
            f"{_unsigned(row, '')} and {_unsigned(row, '_family')}; of the statistics a single head's g lies between "
            f"{least:.2f} and {most:.2f}. Smaller differences may be there and not show."
        )
        told.extend(_warnings(str(name), one, family))
    return told


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
