"""What heads, layers and key groups do to the answer: mean effects with clustered intervals, and right against wrong.

Each number of ``questions.causes.values`` is averaged over samples. The error is CR2 by cluster with Satterthwaite's
degrees of freedom (``inference.adjusted.coefficients``); a second p is that of signed normal scores of the ranks, so
that no large effect in one sample decides; max-T turns all samples of a cluster round together (one random sign per
cluster, the same for every test), which holds where effects lie alike about 0 if there is no effect. p is adjusted
within a family: all causes of one kind and measure. A rate of flips is no difference from 0 and gets an interval
alone. Where the state of another sample is put into a sample (matched patching), clusters that lend to each other, or
borrow from the same one, are one.

``differences`` compares right with wrong predictions by the adjusted model of ``inference.adjusted.effects``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from analyses.inference.adjusted.checks import check_differences, why_too_few
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.adjusted.max_t import max_t_pvalues, random_signs
from analyses.inference.adjusted.tested_means import largest_flipped, tested_means
from analyses.inference.clustered_means import clustered_share
from analyses.inference.joined_clusters import joined_clusters
from analyses.inference.multiplicity import adjust_within, family_sizes
from analyses.inference.unadjusted import compare_groups
from analyses.questions.causes.tables import CAUSAL_DIFFERENCES, CAUSAL_EFFECTS
from analyses.questions.causes.values import CausalBlock, causal_blocks
from analyses.questions.comparisons import Comparison, fixed_samples, model_samples, right_against_wrong
from analyses.runs.clusters import cluster_codes
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings

RATE_METHOD = "share of samples; Wilson, effective number by CR2"
WILSON_METHOD = "share of samples; Wilson, clusters as trials"


def causal_effects(run: Run, settings: AnalysisSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Average every cause over samples, and compare right with wrong predictions.

    Returns
    -------
    tuple of DataFrame and DataFrame
        Columns as in ``CAUSAL_EFFECTS`` and ``CAUSAL_DIFFERENCES``; empty without causal tables.
    """
    cluster = cluster_codes(run, settings.cluster_by)
    maxima: dict[str, np.ndarray] = {}
    comparison = right_against_wrong(run, settings)
    effects, differences = [], []
    for block in causal_blocks(run):
        joint = cluster if block.others is None else joined_clusters(cluster, block.others)
        signs = random_signs(settings.permutations, int(joint.max(initial=-1)) + 1, run.seed)
        for measure, values in block.measures.items():
            family = f"{block.keys['kind'][0]}: {measure}"
            rate = measure == "flip"
            estimates = _rates(values, joint, settings.alpha) if rate else tested_means(values, joint, settings.alpha)
            effects.append(_frame(block, measure, family, estimates, CAUSAL_EFFECTS.schema))
            if not rate and len(signs):
                largest = largest_flipped(values, joint, signs)
                maxima[family] = np.maximum(maxima.get(family, 0.0), largest)
            if measure not in ("change", "restored"):
                differences += _compared(run, settings, comparison, block, measure, family, values)
    schema = CAUSAL_DIFFERENCES.schema
    joined = _joined(differences, schema)
    worst = joined["worst"].fill_null(float("nan")).to_numpy() if "worst" in joined.columns else np.zeros(0)
    claim = adjust_within(worst, joined["family"].to_numpy(), settings.correction)
    joined = joined.with_columns(pl.Series("pvalue_claim", claim, dtype=pl.Float64))
    compared = _adjusted(joined, ("pvalue",), settings.correction, schema)
    return _effects_table(effects, maxima, settings.correction), compared


def _rates(values: np.ndarray, cluster: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Give the share of samples with Wilson's interval for as many samples as the clusters amount to."""
    result = tested_means(values, cluster, alpha)
    result["method"][:] = RATE_METHOD
    for name in ("pvalue", "pvalue_ranks", "statistic", "effect_size"):
        result[name][:] = np.nan
    for slot in np.flatnonzero(result["num_samples"] > 0):
        known = ~np.isnan(values[:, slot])
        share = clustered_share(values[known, slot], cluster[known], 1 - alpha)
        result["ci_low"][slot], result["ci_high"][slot] = share.ci_low, share.ci_high
        # Clusters that are all alike have no error, which is no certainty.
        if "trials" in share.method:
            result["method"][slot], result["note"][slot] = WILSON_METHOD, ""
    return result


def _compared(
    run: Run,
    settings: AnalysisSettings,
    comparison: Comparison,
    block: CausalBlock,
    measure: str,
    family: str,
    values: np.ndarray,
) -> list[pl.DataFrame]:
    """Compare right with wrong predictions among the samples that have a value; nothing without both."""
    if comparison.problem:
        return []
    inside = values[comparison.is_member]
    is_a = comparison.is_a[comparison.is_member]
    plain = compare_groups(inside, is_a)
    model = model_samples(run, settings, comparison)
    adjusted = adjusted_effects(inside, model, 1 - settings.alpha)
    checks = check_differences(inside, adjusted, model, fixed_samples(run, settings, comparison))
    piled = why_too_few(inside, is_a)
    columns = {
        "mean_a": plain.mean_a,
        "mean_b": plain.mean_b,
        "difference": adjusted.effect,
        "ci_low": adjusted.ci_low,
        "ci_high": adjusted.ci_high,
        "effect_size": plain.effect_size,
        "pvalue": adjusted.pvalue,
        "degrees_of_freedom": adjusted.degrees_of_freedom,
        "num_a": plain.num_a,
        "num_b": plain.num_b,
        "num_clusters": adjusted.num_clusters,
        "method": adjusted.method,
        "note": np.where(piled == "", adjusted.note, piled),
        "worst": np.where(piled == "", checks.worst, np.nan),
    }
    return [_frame(block, measure, family, columns, CAUSAL_DIFFERENCES.schema)]


def _frame(
    block: CausalBlock,
    measure: str,
    family: str,
    estimates: dict[str, np.ndarray],
    schema: Mapping[str, type[pl.DataType]],
) -> pl.DataFrame:
    named = block.keys.with_columns(measure=pl.lit(measure), family=pl.lit(family))
    numbers = pl.DataFrame(
        {name: pl.Series(values.tolist(), dtype=schema.get(name, pl.Float64)) for name, values in estimates.items()}
    )
    return pl.concat([named, numbers], how="horizontal")


def _effects_table(frames: list[pl.DataFrame], maxima: dict[str, np.ndarray], correction: str) -> pl.DataFrame:
    schema = CAUSAL_EFFECTS.schema | {"statistic": pl.Float64}
    table = _joined(frames, schema)
    max_t = np.full(len(table), np.nan)
    family, statistic = table["family"].to_numpy(), table["statistic"].fill_null(float("nan")).to_numpy()
    for name, largest in maxima.items():
        rows = family == name
        max_t[rows] = max_t_pvalues(statistic[rows], largest)
    table = table.with_columns(pvalue_max_t=pl.Series(max_t, dtype=pl.Float64))
    return _adjusted(table, ("pvalue", "pvalue_ranks"), correction, CAUSAL_EFFECTS.schema)


def _joined(frames: list[pl.DataFrame], schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=schema), *frames], how="diagonal_relaxed")


def _adjusted(
    table: pl.DataFrame, names: tuple[str, ...], correction: str, schema: Mapping[str, type[pl.DataType]]
) -> pl.DataFrame:
    """Adjust p-values within their families and bring the columns into order; NaN becomes null."""
    family = table["family"].to_numpy()
    for name in names:
        raw = table[name].fill_null(float("nan")).to_numpy()
        adjusted = pl.Series(adjust_within(raw, family, correction), dtype=pl.Float64)
        table = table.with_columns(adjusted.alias(f"{name}_adjusted"))
    sizes = family_sizes(table["pvalue"].fill_null(float("nan")).to_numpy(), family)
    return (
        table.with_columns(pl.Series("family_size", sizes, dtype=pl.Int32), pl.col("note").replace("", None))
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )
