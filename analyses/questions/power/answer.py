"""How large a difference between the groups must be for this many samples and clusters to show it.

The quoted test regresses a statistic on the group and what else differs (``inference.adjusted.effects``). With q the
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
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import polars as pl

from analyses.cores import in_order
from analyses.inference.adjusted.detectable import POWER as USUAL_POWER
from analyses.inference.adjusted.detectable import Detectable, detectable
from analyses.questions.comparisons import Comparison, comparisons_of, model_samples
from analyses.questions.families import declared_families
from analyses.questions.power.tables import POWER
from analyses.questions.rare_key_groups import rare_statistics
from analyses.runs.key_groups import declared_statistics
from analyses.runs.run import Run
from analyses.runs.values import statistics_apart
from analyses.settings.analysis import AnalysisSettings
from analyses.wording import count_text

METHOD = "noncentral t of the adjusted model, CR2 degrees of freedom, compound symmetry within clusters"


def power(run: Run, settings: AnalysisSettings, wanted: float = USUAL_POWER) -> pl.DataFrame:
    """Return the smallest detectable differences of each comparison, query group and statistic.

    Parameters
    ----------
    wanted
        Power: the chance of finding a difference of that size.

    Returns
    -------
    DataFrame
        Columns as in ``POWER``; medians over heads. A comparison that cannot be made has one row with a note.
    """
    rows = [row for comparison in comparisons_of(run, settings) for row in _rows(run, settings, comparison, wanted)]
    return pl.DataFrame(rows, schema=POWER.schema).with_columns(pl.col(pl.Float64).fill_nan(None))


def _rows(
    run: Run, settings: AnalysisSettings, comparison: Comparison, wanted: float
) -> Iterator[Mapping[str, object]]:
    counts = {"num_a": int(comparison.is_a.sum()), "num_b": int(comparison.is_b.sum())}
    base = {"comparison": comparison.name, "alpha": settings.alpha, "power": wanted, "method": METHOD}
    statistics = declared_statistics(run)
    families = declared_families(settings.families, run.query_groups, statistics)
    num_heads = run.num_layers * run.num_heads
    if comparison.problem or not families or not num_heads:
        yield base | counts | {"note": comparison.problem or "the run has no statistic to test"}
        return
    untested = rare_statistics(run, comparison)
    tested = Counter(name for (_, statistic), name in families.items() if statistic not in untested)
    sizes = {name: num_heads * number for name, number in tested.items()}
    samples = model_samples(run, settings, comparison)

    def row(query_group: str, statistic: str, of_everyone: np.ndarray) -> Mapping[str, object]:
        family = families[query_group, statistic]
        if statistic in untested:
            place = {"query_group": query_group, "statistic": statistic, "family": family}
            return base | counts | place | {"note": untested[statistic]}
        is_member = comparison.is_member
        measured = of_everyone if is_member.all() else of_everyone[is_member]
        exists = ~np.isnan(measured).all(axis=0)
        values = (measured if exists.all() else measured[:, exists]).astype(np.float64)
        level = settings.alpha / sizes[family]
        effects = detectable(values, samples, settings.alpha, level, wanted)
        keys = {"query_group": query_group, "statistic": statistic, "num_heads": values.shape[1]}
        keys |= {"family": family, "family_size": sizes[family], "alpha_family": level}
        return base | counts | keys | _medians(effects)

    yield from in_order(partial(row, *one) for one in statistics_apart(run, statistics))


def _medians(effects: Detectable) -> dict[str, object]:
    def median(values: np.ndarray) -> float:
        return float(np.nanmedian(values)) if (~np.isnan(values)).any() else float("nan")

    names = ("standard_deviation", "intraclass_correlation", "design_effect", "degrees_of_freedom")
    row: dict[str, object] = {name: median(getattr(effects, name)) for name in names}
    in_unit = effects.standard_deviation / effects.correction
    for end in ("", "_family"):
        sizes = getattr(effects, f"effect_size{end}")
        row[f"smallest_effect_size{end}"] = median(sizes)
        row[f"smallest_difference{end}"] = median(sizes * in_unit)
    for name in ("num_a", "num_b", "num_clusters"):
        row[name] = int(np.median(getattr(effects, name))) if len(effects.note) else 0
    notes = [note for note in effects.note if note]
    missing = f"{count_text(len(notes), 'head')}: {notes[0]}" if notes else None
    return row | {"note": missing if len(effects.note) else "no head has a value"}
