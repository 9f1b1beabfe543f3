"""Do the heads know: how well head statistics predict, for companies never seen, whether an answer is right.

One row per target and model: the held-out AUROC (0.5 is chance, 1 is certainty) of a sparse logistic model on the
heads' statistics, beside models that know no head: the statement's length, the model's own margin, what it answered,
configured covariates and counts, and all of these together. What heads tell beyond the best of these is the number to
quote. The procedure is that of ``inference.held_out.scores``: nested, cluster-grouped, every choice inside the
training folds.

* Intervals draw whole clusters with replacement and judge the same held-out scores again (1,000 times, percentiles).
  They hold for these fitted models; how much another training sample would change them is not in them. The best
  baseline is chosen on the same samples, which favours it: the heads' lead is rather too small than too large.
* A model that knows nothing lands a little below 0.5: of what a fold has more, its training folds have less. The
  control shows where chance lies.
* The control does all of it again on labels exchanged between clusters of like size, which leaves labels as alike
  within a cluster as they were. p = (1 + #{control >= heads}) / (controls + 1), one-sided. A control is one repeat and
  the heads' number the mean of several, which spreads less: p errs to the safe side. Adjusted over the targets. So few
  controls cannot give a small p, so ``pvalue_controls`` takes them as normal: t = (heads - mean) / (s (1 + 1/c)^½) with
  c - 1 degrees of freedom. That heads know something is said only where both hold.
* What another training sample would change is seen in the controls: where they spread more than the redrawn clusters,
  the heads' interval is widened to their spread, or it would exclude 0.5 too often where heads know nothing.
* ``difference_pvalue`` is that of the difference over its bootstrap error, times the number of baselines, the best of
  which was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.held_out.features import Features
from analyses.inference.held_out.folds import cluster_counts, permute_labels
from analyses.inference.held_out.scores import HeldOut, bootstrap_auroc, held_out_scores
from analyses.inference.multiplicity import adjust_pvalues
from analyses.questions.comparisons import Comparison, comparisons_of
from analyses.questions.decodability.baselines import baselines
from analyses.questions.decodability.features import HeadFeatures, head_features, why_flat
from analyses.questions.decodability.tables import DECODABILITY
from analyses.runs.clusters import cluster_codes
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.columns import Group, SettingsError, group_name
from analyses.settings.decodability import DecodabilitySettings
from analyses.wording import count_text

MIN_CLASS = 10
"""Samples that each class must have; fewer cannot be dealt into folds that say anything."""

MIN_CLUSTERS = 10
"""Clusters that there must be, and three for each fold."""

RESAMPLES = 1000
"""Bootstrap draws of clusters per interval."""

MAX_SAMPLES = 4000
"""Samples that are used at most, whole clusters drawn by the run's seed: more hardly move the number, but take long."""

MIN_CONTROLS = 10
"""Fewer controls cannot tell how much they spread."""

HEADS, CONTROL = "heads", "heads, labels permuted"


def decodability(run: Run, settings: AnalysisSettings, choices: DecodabilitySettings | None = None) -> pl.DataFrame:
    """Predict each target from the heads and from what needs no head.

    Returns
    -------
    DataFrame
        Columns as in ``DECODABILITY``: per target the heads, each baseline and the control; ``difference`` is the
        heads' AUROC minus that of the best baseline. A target that cannot be predicted has one row whose note says why.
    """
    choices = choices or DecodabilitySettings()
    heads = head_features(run, choices)
    cluster = cluster_codes(run, settings.cluster_by)
    rows: list[dict[str, object]] = []
    for target in choices.targets:
        rows.extend(_predict(run, settings, choices, target, heads, cluster))
    table = pl.DataFrame(rows, schema=DECODABILITY.schema)
    # One test per target: the heads'. The other models have no p.
    raw = table["pvalue"].fill_null(float("nan")).to_numpy()
    adjusted = pl.Series("pvalue_adjusted", adjust_pvalues(raw, settings.correction), dtype=pl.Float64)
    controls = table["pvalue_controls"].fill_null(float("nan")).to_numpy()
    again = adjust_pvalues(controls, settings.correction)
    table = table.with_columns(pl.Series("pvalue_controls_adjusted", again, dtype=pl.Float64))
    return table.with_columns(adjusted).with_columns(pl.col(pl.Float64).fill_nan(None))


def _predict(
    run: Run,
    settings: AnalysisSettings,
    choices: DecodabilitySettings,
    target: str | Group,
    heads: HeadFeatures,
    cluster: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the rows of one target."""
    row: dict[str, Any] = {"target": group_name(target), "model": HEADS}
    try:
        comparison = comparisons_of(run, settings.model_copy(update={"groups": (target,)}))[0]
    except SettingsError as error:
        return [row | {"note": str(error).removesuffix(".")}]
    member, note = drawn_samples(comparison.is_member, cluster, run.seed)
    is_a, cluster = comparison.is_a[member], cluster[member]
    row |= {"label_a": comparison.label_a, "label_b": comparison.label_b, "note": note or None}
    row |= {"num_samples": len(is_a), "num_a": int(is_a.sum()), "num_b": int((~is_a).sum())}
    row["num_clusters"] = len(np.unique(cluster))
    row["method"] = (
        f"L1 logistic, {choices.folds}-fold nested CV by {settings.cluster_by}, "
        f"{count_text(choices.repeats, 'repeat')}; {RESAMPLES:,} cluster bootstraps"
    )
    problem = heads.problem or why_not(comparison, row, choices.folds) or why_flat(heads.values[member])
    if problem:
        return [row | {"note": problem}]
    values = {HEADS: heads.values} | baselines(run, settings, comparison)
    models = {name: Features.of(columns[member]) for name, columns in values.items()}
    rows = {
        name: row | judged
        for name, judged in _judge(models, is_a, cluster, heads, settings.alpha, choices, run.seed).items()
    }
    if choices.permutations:
        controls = control_aurocs(models[HEADS], is_a, cluster, choices, run.seed)
        above = sum(control >= rows[HEADS]["auroc"] for control in controls)
        rows[HEADS]["pvalue"] = (1 + above) / (len(controls) + 1)
        rows[HEADS] |= beside_controls(rows[HEADS], controls, settings.alpha)
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
        held_out = repeated_scores(features, is_a, cluster, choices, choices.repeats, [seed, 3])
        value, drawn[name] = bootstrap_auroc(held_out, is_a, counts)
        low, high = percentiles(drawn[name], alpha)
        rows[name] = {"model": name, "auroc": value, "ci_low": low, "ci_high": high, "num_used": held_out.num_used}
        rows[name]["num_features"] = features.num_features
        if name == HEADS:
            rows[name]["most_used"] = most_used(heads.names, held_out.share_used)
    others = [name for name in rows if name != HEADS]
    if others:
        best = max(others, key=lambda name: rows[name]["auroc"])
        low, high = percentiles(drawn[HEADS] - drawn[best], alpha)
        rows[HEADS] |= {"best_baseline": best, "difference": rows[HEADS]["auroc"] - rows[best]["auroc"]}
        rows[HEADS] |= {"difference_ci_low": low, "difference_ci_high": high}
        spread = float(np.nanstd(drawn[HEADS] - drawn[best]))
        if spread > 0:
            pvalue = 2 * float(stats.norm.sf(abs(rows[HEADS]["difference"]) / spread))
            rows[HEADS]["difference_pvalue"] = min(1.0, pvalue * len(others))
    return rows


def beside_controls(row: Mapping[str, Any], controls: Sequence[float], alpha: float) -> dict[str, float]:
    """Return the p among controls taken as normal, and the interval no narrower than their spread."""
    number, value = len(controls), row["auroc"]
    if number < MIN_CONTROLS:
        return {}
    spread = float(np.std(controls, ddof=1)) * np.sqrt(1 + 1 / number)
    if not spread > 0:
        return {}
    reach = float(stats.t.ppf(1 - alpha / 2, number - 1)) * spread
    return {
        "pvalue_controls": float(stats.t.sf((value - np.mean(controls)) / spread, number - 1)),
        "ci_low": max(0.0, min(row["ci_low"], value - reach)),
        "ci_high": min(1.0, max(row["ci_high"], value + reach)),
    }


def repeated_scores(
    features: Features,
    is_a: np.ndarray,
    cluster: np.ndarray,
    choices: DecodabilitySettings,
    repeats: int,
    seed: list[int],
) -> HeldOut:
    """Return held-out scores as the settings have them."""
    return held_out_scores(
        features,
        is_a,
        cluster,
        num_folds=choices.folds,
        repeats=repeats,
        num_screened=choices.screened,
        seed=seed,
    )


def control_aurocs(
    features: Features, is_a: np.ndarray, cluster: np.ndarray, choices: DecodabilitySettings, seed: int
) -> list[float]:
    """Return the AUROC of each control: one repeat of everything on permuted labels."""
    aurocs: list[float] = []
    for number in range(choices.permutations):
        labels = permute_labels(is_a, cluster, np.random.default_rng([seed, 4, number]))
        scores = repeated_scores(features, labels, cluster, choices, 1, [seed, 5, number])
        aurocs.append(bootstrap_auroc(scores, labels, np.zeros((0, len(labels))))[0])
    return aurocs


def drawn_samples(is_member: np.ndarray, cluster: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Return which samples are used: all members, or whole clusters up to ``MAX_SAMPLES``, and a note on that."""
    num_members = int(is_member.sum())
    if num_members <= MAX_SAMPLES:
        return is_member, ""
    order = np.random.default_rng([seed, 6]).permutation(int(cluster.max()) + 1)
    sizes = np.bincount(cluster[is_member], minlength=len(order))[order]
    # A cluster that does not fit is passed over, not the end: one giant cluster must not keep all others out. What is
    # larger than half of the limit is left to the end, when nothing else is there to fill it.
    chosen: list[int] = []
    total = 0
    pairs = zip(order.tolist(), sizes.tolist(), strict=True)
    for code, size in sorted(pairs, key=lambda one: one[1] > MAX_SAMPLES // 2):
        if total + size <= MAX_SAMPLES:
            chosen.append(code)
            total += size
    drawn = is_member & np.isin(cluster, chosen)
    return drawn, f"{int(drawn.sum()):,} of {num_members:,} samples used, whole clusters drawn at random"


def why_not(comparison: Comparison, row: Mapping[str, Any], folds: int) -> str:
    """Say why a target cannot be predicted: too few samples of a class, or clusters; empty where it can."""
    if comparison.problem:
        return comparison.problem.removesuffix(".")
    for label, count in ((row["label_a"], row["num_a"]), (row["label_b"], row["num_b"])):
        if count < MIN_CLASS:
            return f"{count_text(count, 'sample')} of class {label!r}; held-out prediction needs {MIN_CLASS} of each"
    needed = max(MIN_CLUSTERS, 3 * folds)
    if row["num_clusters"] < needed:
        return f"{count_text(row['num_clusters'], 'cluster')}; {folds} folds that share none need {needed}"
    return ""


def _control_row(row: Mapping[str, object], controls: Sequence[float], heads: HeadFeatures) -> dict[str, object]:
    low, high = np.quantile(controls, [0.025, 0.975])
    note = f"mean of {count_text(len(controls), 'control')}; the interval holds 95 % of them"
    values = {"auroc": float(np.mean(controls)), "ci_low": float(low), "ci_high": float(high)}
    return dict(row) | values | {"model": CONTROL, "num_features": len(heads.names), "note": note}


def percentiles(drawn: np.ndarray, alpha: float) -> tuple[float, float]:
    """Return the interval that holds 1 - alpha of what was drawn; NaN without any."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def most_used(names: Sequence[str], share: np.ndarray) -> str | None:
    """Return the features that most outer fits use, at most five, each with its share."""
    order = np.argsort(-share, kind="stable")[:5]
    return "; ".join(f"{names[slot]} ({100 * share[slot]:.0f} %)" for slot in order if share[slot] >= 0.5) or None
