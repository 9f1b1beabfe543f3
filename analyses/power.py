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
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import optimize, special, stats

from analyses.adjusted_model import why_unreliable, why_untestable
from analyses.cluster_errors import cluster_errors
from analyses.comparisons import Comparison, comparisons_of, model_samples
from analyses.design import Samples, build_design
from analyses.families import declared_families
from analyses.key_groups import declared_statistics
from analyses.queries import value_blocks
from analyses.rare_key_groups import rare_statistics
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import cluster_sums, constant_columns, missing_patterns
from analyses.wording import count_text, difference_text, statistic_label

POWER = 0.8
"""Chance of finding a difference of the smallest detectable size: Cohen's (1988) convention."""

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


@dataclass(frozen=True)
class Detectable:
    """What a test can find; arrays ``[tests]``, NaN where undefined.

    Attributes
    ----------
    standard_deviation
        Within the groups, pooled.
    intraclass_correlation
        0..1; a negative estimate counts as 0.
    design_effect
        Variance of the difference over that of independent samples.
    effect_size, effect_size_family
        Smallest detectable Hedges g at alpha, and at alpha over the family.
    degrees_of_freedom, num_a, num_b, num_clusters
        Of each test.
    note
        Why nothing can be detected, else empty.
    """

    standard_deviation: np.ndarray
    intraclass_correlation: np.ndarray
    design_effect: np.ndarray
    effect_size: np.ndarray
    effect_size_family: np.ndarray
    degrees_of_freedom: np.ndarray
    num_a: np.ndarray
    num_b: np.ndarray
    num_clusters: np.ndarray
    note: np.ndarray

    @property
    def correction(self) -> np.ndarray:
        """What turns a difference in standard deviations into Hedges g (Hedges 1981, equation 6e)."""
        half = np.maximum(self.num_a + self.num_b - 2, 2) / 2
        return np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half)


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


def detectable(
    values: np.ndarray, samples: Samples, alpha: float = 0.05, alpha_family: float | None = None, wanted: float = POWER
) -> Detectable:
    """Return what the adjusted model can find in each column of ``values``.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    samples
        As for ``adjusted_effects``.
    alpha, alpha_family
        Two-sided levels: of one test, and of one test of the family.
    wanted
        Power.
    """
    result = _undetectable(values.shape[1])
    for rows, columns in missing_patterns(values):
        chosen = samples.take(rows)
        result.num_a[columns], result.num_b[columns] = int(chosen.is_a.sum()), int((~chosen.is_a).sum())
        codes = np.unique(chosen.cluster, return_inverse=True)[1]
        result.num_clusters[columns] = codes.max(initial=-1) + 1
        design = build_design(chosen)
        reason = why_untestable(chosen, design, int(codes.max(initial=-1)) + 1)
        if design is None or reason:
            result.note[columns] = reason
            continue
        robust = cluster_errors(design, codes)
        result.degrees_of_freedom[columns] = robust.degrees_of_freedom
        if reason := why_unreliable(chosen, robust):
            result.note[columns] = reason
            continue
        part = values[np.ix_(rows, columns)]
        deviation, correlation = within_groups(part, chosen.is_a, codes)
        result.note[columns[np.isnan(deviation)]] = "the statistic is constant"
        sums = cluster_sums(design.basis[:, -1], codes)
        effect = (1 - correlation) + correlation * float((sums**2).sum())
        result.standard_deviation[columns], result.intraclass_correlation[columns] = deviation, correlation
        result.design_effect[columns] = effect
        error = np.sqrt(effect) / design.scale * result.correction[columns]
        for name, level in (("effect_size", alpha), ("effect_size_family", alpha_family or alpha)):
            getattr(result, name)[columns] = error * noncentrality(level, wanted, robust.degrees_of_freedom)
    return result


def _undetectable(num_tests: int) -> Detectable:
    def missing() -> np.ndarray:
        return np.full(num_tests, np.nan)

    def zero() -> np.ndarray:
        return np.zeros(num_tests, np.int64)

    return Detectable(
        standard_deviation=missing(),
        intraclass_correlation=missing(),
        design_effect=missing(),
        effect_size=missing(),
        effect_size_family=missing(),
        degrees_of_freedom=missing(),
        num_a=zero(),
        num_b=zero(),
        num_clusters=zero(),
        note=np.full(num_tests, "", dtype=object),
    )


def noncentrality(alpha: float, wanted: float, freedom: float) -> float:
    """Return how many standard errors a difference must be for a two-sided t-test to have the wanted power.

    Solves P(|t'_f(d)| > t_{1-alpha/2, f}) = power for d; near (t_{1-alpha/2, f} + t_{power, f}) (Bloom 1995).
    """
    threshold = float(stats.t.isf(alpha / 2, freedom))

    def missed(shift: float) -> float:
        chance = stats.nct.sf(threshold, freedom, shift) + stats.nct.cdf(-threshold, freedom, shift)
        if not np.isfinite(chance):
            # SciPy's noncentral t loses its digits far in the tails; Johnson and Welch's (1940) normal approximation.
            chance = stats.norm.sf((threshold - shift) / np.sqrt(1 + threshold**2 / (2 * freedom)))
        return float(chance) - wanted

    guess = threshold + float(stats.t.ppf(wanted, freedom))
    return float(optimize.root_scalar(missed, bracket=(0.0, 3 * guess + 10)).root)


def within_groups(values: np.ndarray, is_a: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation within the groups and the intraclass correlation, each ``[tests]``.

    The correlation is the analysis-of-variance estimate (Donner 1986, International Statistical Review 54: 67-82) of
    what the groups' means leave: (MSB - MSW) / (MSB + (m - 1) MSW) with m = (n - Σ n_g² / n) / (k - 1); 0 where it is
    negative, or where no cluster has two samples and it cannot be told.

    Parameters
    ----------
    values
        ``[samples, tests]`` without NaN.
    is_a
        ``[samples]`` booleans.
    codes
        ``[samples]`` clusters 0..k-1.
    """
    is_constant = constant_columns(values)
    centred = np.array(values)
    for rows in (is_a, ~is_a):
        centred[rows] -= centred[rows].mean(axis=0)
    num_samples, sizes = len(codes), np.bincount(codes)
    num_clusters = len(sizes)
    total = (centred**2).sum(axis=0)
    deviation = np.sqrt(total / max(num_samples - 2, 1))
    if num_clusters < 2 or num_samples == num_clusters:
        correlation = np.zeros_like(deviation)
    else:
        between = (cluster_sums(centred, codes) ** 2 / sizes[:, None]).sum(axis=0)
        within = (total - between) / (num_samples - num_clusters)
        between = between / (num_clusters - 1)
        usual_size = (num_samples - (sizes**2).sum() / num_samples) / (num_clusters - 1)
        spread = between + (usual_size - 1) * within
        correlation = np.clip((between - within) / np.where(spread > 0, spread, 1.0), 0, 1)
    unknown = is_constant | (deviation == 0)
    return np.where(unknown, np.nan, deviation), np.where(unknown, np.nan, correlation)


def sentences(table: pl.DataFrame) -> list[str]:
    """Say per comparison what its groups could show, with a warning where that is nearly nothing."""
    told: list[str] = []
    for (name,), rows in table.group_by("comparison", maintain_order=True):
        known = rows.drop_nulls("smallest_effect_size").sort("smallest_effect_size", "statistic", "query_group")
        if known.is_empty():
            note = next(iter(rows["note"].drop_nulls()), "no value")
            told.append(f"Power of {name}: no difference of any size could be found. {note.removesuffix('.')}.")
            continue
        row = known.row(len(known) // 2, named=True)
        one, family = row["smallest_effect_size"], row["smallest_effect_size_family"]
        sizes = f"{row['num_a']:,} and {row['num_b']:,} samples of {count_text(row['num_clusters'], 'cluster')}"
        told.append(
            f"Power of {name}: {sizes} show a difference of g = {one:.2f} with {100 * row['power']:.0f} % chance where "
            f"a single head is asked about, and of g = {family:.2f} where it is one of "
            f"{count_text(row['family_size'], 'test')} (Bonferroni). For {statistic_label(row['statistic']).lower()} "
            f"that is {_unsigned(row, '')} and {_unsigned(row, '_family')}. Smaller differences may be there and not "
            "show."
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
