"""Do the heads know: how well head statistics predict, for companies never seen, whether an answer is right.

One row per target and model: the held-out AUROC (0.5 is chance, 1 is certainty) of a sparse logistic model on the
heads' statistics, beside models that know no head: the statement's length, the model's own margin, what it answered,
configured covariates and counts, and all of these together. What heads tell beyond the best of these is the number to
quote. The procedure is that of ``analyses.held_out``: nested, cluster-grouped, every choice inside the training folds.

* Intervals draw whole clusters with replacement and judge the same held-out scores again (1,000 times, percentiles).
  They hold for these fitted models; how much another training sample would change them is not in them. The best
  baseline is chosen on the same samples, which favours it: the heads' lead is rather too small than too large.
* A model that knows nothing lands a little below 0.5: of what a fold has more, its training folds have less. The
  control shows where chance lies.
* The control does all of it again on labels exchanged between clusters of like size, which leaves labels as alike
  within a cluster as they were. p = (1 + #{control >= heads}) / (controls + 1), one-sided. A control is one repeat and
  the heads' number the mean of several, which spreads less: p errs to the safe side. Adjusted over the targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from analyses.comparisons import Comparison, comparisons_of
from analyses.decodability_baselines import baselines
from analyses.decodability_settings import DecodabilitySettings
from analyses.fold_features import Features
from analyses.head_features import HeadFeatures, head_features, why_flat
from analyses.held_out import HeldOut, bootstrap_auroc, held_out_scores
from analyses.queries import cluster_codes
from analyses.run_tables import RunTables
from analyses.setting_checks import SettingsError, group_name
from analyses.settings import AnalysisSettings
from analyses.significance import adjust_pvalues
from analyses.whole_clusters import cluster_counts, permute_labels
from analyses.wording import count_text, interval_name, p_text

MIN_CLASS = 10
"""Samples that each class must have; fewer cannot be dealt into folds that say anything."""

MIN_CLUSTERS = 10
"""Clusters that there must be, and three for each fold."""

RESAMPLES = 1000
"""Bootstrap draws of clusters per interval."""

MAX_SAMPLES = 4000
"""Samples that are used at most, whole clusters drawn by the run's seed: more hardly move the number, but take long."""

HEADS, CONTROL = "heads", "heads, labels permuted"

SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "label_a": pl.String,
    "label_b": pl.String,
    "model": pl.String,
    "auroc": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "best_baseline": pl.String,
    "difference": pl.Float64,
    "difference_ci_low": pl.Float64,
    "difference_ci_high": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "num_samples": pl.Int32,
    "num_a": pl.Int32,
    "num_b": pl.Int32,
    "num_clusters": pl.Int32,
    "num_features": pl.Int32,
    "num_used": pl.Float64,
    "most_used": pl.String,
    "method": pl.String,
    "note": pl.String,
}


def decodability(
    tables: RunTables, settings: AnalysisSettings, choices: DecodabilitySettings | None = None
) -> pl.DataFrame:
    """Predict each target from the heads and from what needs no head.

    Returns
    -------
    DataFrame
        Columns as in ``SCHEMA``: per target the heads, each baseline and the control; ``difference`` is the heads'
        AUROC minus that of the best baseline. A target that cannot be predicted has one row whose note says why.
    """
    choices = choices or DecodabilitySettings()
    heads = head_features(tables, choices)
    cluster = cluster_codes(tables, settings.cluster_by)
    rows: list[dict[str, Any]] = []
    for target in choices.targets:
        rows.extend(_predict(tables, settings, choices, target, heads, cluster))
    table = pl.DataFrame(rows, schema=SCHEMA)
    # One test per target: the heads'. The other models have no p.
    raw = table["pvalue"].fill_null(float("nan")).to_numpy()
    adjusted = pl.Series("pvalue_adjusted", adjust_pvalues(raw, settings.correction), dtype=pl.Float64)
    return table.with_columns(adjusted).with_columns(pl.col(pl.Float64).fill_nan(None))


def _predict(
    tables: RunTables,
    settings: AnalysisSettings,
    choices: DecodabilitySettings,
    target: str | Mapping[str, Any],
    heads: HeadFeatures,
    cluster: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the rows of one target."""
    row: dict[str, Any] = {"target": group_name(target), "model": HEADS}
    try:
        comparison = comparisons_of(tables, replace(settings, groups=(target,)))[0]
    except SettingsError as error:
        return [row | {"note": str(error).removesuffix(".")}]
    member, note = _drawn(comparison.is_member, cluster, tables.seed)
    is_a, cluster = comparison.is_a[member], cluster[member]
    row |= {"label_a": comparison.label_a, "label_b": comparison.label_b, "note": note or None}
    row |= {"num_samples": len(is_a), "num_a": int(is_a.sum()), "num_b": int((~is_a).sum())}
    row["num_clusters"] = len(np.unique(cluster))
    row["method"] = (
        f"L1 logistic, {choices.folds}-fold nested CV by {settings.cluster_by}, "
        f"{count_text(choices.repeats, 'repeat')}; {RESAMPLES:,} cluster bootstraps"
    )
    problem = heads.problem or _why_not(comparison, row, choices.folds) or why_flat(heads.values[member])
    if problem:
        return [row | {"note": problem}]
    values = {HEADS: heads.values} | baselines(tables, settings, comparison)
    models = {name: Features.of(columns[member]) for name, columns in values.items()}
    rows = {
        name: row | found
        for name, found in _judge(models, is_a, cluster, heads, settings.alpha, choices, tables.seed).items()
    }
    if choices.permutations:
        controls = _controls(models[HEADS], is_a, cluster, choices, tables.seed)
        above = sum(control >= rows[HEADS]["auroc"] for control in controls)
        rows[HEADS]["pvalue"] = (1 + above) / (len(controls) + 1)
        rows[CONTROL] = _control_row(row, controls, heads)
    return list(rows.values())


def _judge(
    models: Mapping[str, Features],
    is_a: np.ndarray,
    cluster: np.ndarray,
    heads: HeadFeatures,
    alpha: float,
    choices: DecodabilitySettings,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return, per model, what its row holds beyond counts; the heads' row also has the difference to the best other."""
    counts = cluster_counts(cluster, RESAMPLES, [seed, 2])
    rows: dict[str, dict[str, Any]] = {}
    drawn: dict[str, np.ndarray] = {}
    for name, features in models.items():
        found = _held_out(features, is_a, cluster, choices, choices.repeats, [seed, 3])
        value, drawn[name] = bootstrap_auroc(found, is_a, counts)
        low, high = _interval(drawn[name], alpha)
        rows[name] = {"model": name, "auroc": value, "ci_low": low, "ci_high": high, "num_used": found.num_used}
        rows[name]["num_features"] = features.num_features
        if name == HEADS:
            rows[name]["most_used"] = _most_used(heads.names, found.share_used)
    others = [name for name in rows if name != HEADS]
    if others:
        best = max(others, key=lambda name: rows[name]["auroc"])
        low, high = _interval(drawn[HEADS] - drawn[best], alpha)
        rows[HEADS] |= {"best_baseline": best, "difference": rows[HEADS]["auroc"] - rows[best]["auroc"]}
        rows[HEADS] |= {"difference_ci_low": low, "difference_ci_high": high}
    return rows


def _held_out(
    features: Features,
    is_a: np.ndarray,
    cluster: np.ndarray,
    choices: DecodabilitySettings,
    repeats: int,
    seed: list[int],
) -> HeldOut:
    return held_out_scores(
        features,
        is_a,
        cluster,
        num_folds=choices.folds,
        repeats=repeats,
        num_screened=choices.screened,
        seed=seed,
    )


def _controls(
    features: Features, is_a: np.ndarray, cluster: np.ndarray, choices: DecodabilitySettings, seed: int
) -> list[float]:
    """Return the AUROC of each control: one repeat of everything on permuted labels."""
    found: list[float] = []
    for number in range(choices.permutations):
        labels = permute_labels(is_a, cluster, np.random.default_rng([seed, 4, number]))
        scores = _held_out(features, labels, cluster, choices, 1, [seed, 5, number])
        found.append(bootstrap_auroc(scores, labels, np.zeros((0, len(labels))))[0])
    return found


def _drawn(is_member: np.ndarray, cluster: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Return which samples are used: all members, or whole clusters up to ``MAX_SAMPLES``, and a note on that."""
    num_members = int(is_member.sum())
    if num_members <= MAX_SAMPLES:
        return is_member, ""
    order = np.random.default_rng([seed, 6]).permutation(int(cluster.max()) + 1)
    sizes = np.bincount(cluster[is_member], minlength=len(order))[order]
    chosen = order[np.cumsum(sizes) <= MAX_SAMPLES]
    kept = is_member & np.isin(cluster, chosen)
    return kept, f"{int(kept.sum()):,} of {num_members:,} samples used, whole clusters drawn at random"


def _why_not(comparison: Comparison, row: Mapping[str, Any], folds: int) -> str:
    if comparison.problem:
        return comparison.problem.removesuffix(".")
    for label, count in ((row["label_a"], row["num_a"]), (row["label_b"], row["num_b"])):
        if count < MIN_CLASS:
            return f"{count_text(count, 'sample')} of class {label!r}; held-out prediction needs {MIN_CLASS} of each"
    needed = max(MIN_CLUSTERS, 3 * folds)
    if row["num_clusters"] < needed:
        return f"{count_text(row['num_clusters'], 'cluster')}; {folds} folds that share none need {needed}"
    return ""


def _control_row(row: Mapping[str, Any], controls: Sequence[float], heads: HeadFeatures) -> dict[str, Any]:
    low, high = np.quantile(controls, [0.025, 0.975])
    note = f"mean of {count_text(len(controls), 'control')}; the interval holds 95 % of them"
    values = {"auroc": float(np.mean(controls)), "ci_low": float(low), "ci_high": float(high)}
    return dict(row) | values | {"model": CONTROL, "num_features": len(heads.names), "note": note}


def _interval(drawn: np.ndarray, alpha: float) -> tuple[float, float]:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def _most_used(names: Sequence[str], share: np.ndarray) -> str | None:
    """Return the features that most outer fits use, at most five, each with its share."""
    order = np.argsort(-share, kind="stable")[:5]
    return "; ".join(f"{names[slot]} ({100 * share[slot]:.0f} %)" for slot in order if share[slot] >= 0.5) or None


def sentences(table: pl.DataFrame, alpha: float = 0.05, num_controls: int | None = None) -> list[str]:
    """Say per target how well the heads predict it, beside the best of what needs no head and the control.

    ``num_controls``: how many times labels were permuted, which bounds p from below.
    """
    told: list[str] = []
    for (_, label_a, label_b), rows in table.group_by("target", "label_a", "label_b", maintain_order=True):
        question = f"Do the heads tell {label_a} from {label_b}?"
        heads = rows.filter(pl.col("model") == HEADS).row(0, named=True)
        if heads["auroc"] is None:
            told.append(f"{question} Not tested: {heads['note'] or 'no value'}.")
            continue
        size = f"{heads['num_a']:,} and {heads['num_b']:,} samples of {count_text(heads['num_clusters'], 'cluster')}"
        told.append(
            f"{question} For clusters never seen, a sparse model of {heads['num_features']:,} head statistics has "
            f"AUROC {_with_interval(heads, alpha)}, where 0.5 is chance ({size})"
            f"{_beside_control(rows, heads, num_controls)}. {_beside_baseline(rows, heads, alpha)}"
        )
    return told


def _with_interval(row: Mapping[str, Any], alpha: float) -> str:
    return f"{row['auroc']:.2f} ({interval_name(alpha)} {row['ci_low']:.2f} to {row['ci_high']:.2f})"


def _beside_control(rows: pl.DataFrame, heads: Mapping[str, Any], num_controls: int | None) -> str:
    control = rows.filter(pl.col("model") == CONTROL)
    if control.is_empty():
        return ""
    row = control.row(0, named=True)
    spread = f"95 % of them from {row['ci_low']:.2f} to {row['ci_high']:.2f}"
    mean, pvalue = f"{row['auroc']:.2f}", p_text(heads["pvalue_adjusted"])
    least = f"{1 / (num_controls + 1):.2g}" if num_controls else ""
    floor = f" ({num_controls} permutations: before adjustment p is at least {least})" if least else ""
    return f"; with labels permuted {mean} on average ({spread}), adjusted {pvalue}{floor}"


def _beside_baseline(rows: pl.DataFrame, heads: Mapping[str, Any], alpha: float) -> str:
    if heads["best_baseline"] is None:
        return "There is no baseline to compare with."
    best = rows.filter(pl.col("model") == heads["best_baseline"]).row(0, named=True)
    low, high = heads["difference_ci_low"], heads["difference_ci_high"]
    if low > 0 and heads["ci_low"] > 0.5:
        verdict = "the heads tell more than it does"
    elif high < 0:
        verdict = "the heads tell less than it does"
    else:
        verdict = "it is not decided which tells more"
    return (
        f"The best of what needs no head ({best['model']}) has {_with_interval(best, alpha)}; the difference is "
        f"{heads['difference']:+.2f} ({low:+.2f} to {high:+.2f}): {verdict}."
    )
