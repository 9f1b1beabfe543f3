"""Several runs side by side: other models, fine-tuned checkpoints, other prompt formats.

The first run is compared with each of the others. Layers are compared at the same relative depth, whatever their
number; heads only where both runs have the same layers and heads. Samples of the same id are one prediction under
another model or prompt: there the change of every head is tested, the sample, clustered as in the first run, being the
unit, and a change has to hold on signed normal scores too. That nothing changed is never concluded from a test that
found nothing: a head is called unchanged where the interval of its change (1 - 2 alpha, as two one-sided tests have it)
lies within ``EQUIVALENT`` standard deviations of the first run's values. Answers and changes of all pairs are families
that share one alpha. Without common samples runs stand side by side and nothing is tested, since samples may differ in
everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from scipy import stats

from analyses.comparing.tables import COMPARED_CHANGES, COMPARED_HEADS, COMPARED_PAIRS
from analyses.comparing.type_rows import type_rows, why_unequal
from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.clustered_means import clustered_mean
from analyses.inference.multiplicity import adjust_pvalues
from analyses.inference.ranks import signed_scores
from analyses.questions.claims import shared_levels
from analyses.questions.comparisons import EVERYONE
from analyses.questions.families import is_significant
from analyses.questions.overview.answer import accuracy
from analyses.runs.clusters import cluster_codes
from analyses.runs.key_groups import declared_statistics
from analyses.runs.run import Run, open_tables
from analyses.runs.values import statistic_blocks
from analyses.settings.analysis import AnalysisSettings
from engine.schema import layout

EQUIVALENT = 0.2
"""Change, in standard deviations of the first run's samples, below which two runs count as equal: Cohen's small."""

STATISTICS_AT_ONCE = 8
"""Statistics of one query group that are in memory at once, of both runs."""

_TEST_KEYS = ("comparison", "query_group", "statistic", "layer", "head")


@dataclass(frozen=True)
class AnalysedRun:
    """A run with a name that tells it from the others, opened, and the tables of its analysis."""

    name: str
    directory: Path
    opened: Run
    settings: AnalysisSettings

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of ``analysis/tables``; an earlier version's tests, without a level, have the config's."""
        table = pl.read_parquet(self.directory / layout.ANALYSIS / "tables" / f"{name}.parquet", glob=False)
        is_earlier = name == "group_differences" and "level" not in table.columns
        return table.with_columns(level=pl.lit(self.settings.alpha)) if is_earlier else table


@dataclass(frozen=True)
class RunComparison:
    """What was compared: a frame per table; ``comparing.tables`` has their columns."""

    runs: pl.DataFrame
    layers: pl.DataFrame
    heads: pl.DataFrame
    pairs: pl.DataFrame
    changes: pl.DataFrame


def open_runs(run_dirs: Sequence[Path], *, partial: bool = False) -> list[AnalysedRun]:
    """Open runs that are analysed already; runs whose folders have the same name are named by their paths."""
    names = [path.resolve().name for path in run_dirs]
    opened = []
    for path, name in zip(run_dirs, names, strict=True):
        run = open_tables(path, partial=partial)
        settings = AnalysisSettings.from_mapping(run.config.get("analysis") or {})
        opened.append(AnalysedRun(name if names.count(name) == 1 else str(path), path, run, settings))
    return opened


def compare_runs(runs: Sequence[AnalysedRun]) -> RunComparison:
    """Compare the first run with each of the others."""
    first, others = runs[0], runs[1:]
    pairs = [_compare_pair(first, other) for other in others]
    hold_against_levels(pairs, first.settings.alpha)
    return RunComparison(
        runs=pl.concat([_summary(run) for run in runs], how="diagonal_relaxed"),
        layers=pl.concat([_layers(run) for run in runs]),
        heads=pl.concat([COMPARED_HEADS.empty(), *(heads for _, heads, _ in pairs)]),
        pairs=pl.DataFrame([pair for pair, _, _ in pairs], schema=COMPARED_PAIRS.schema),
        changes=pl.concat([COMPARED_CHANGES.empty(), *(changes for _, _, changes in pairs)]),
    )


def hold_against_levels(pairs: Sequence[tuple[dict[str, Any], pl.DataFrame, pl.DataFrame]], alpha: float) -> None:
    """Give each pair the levels of its two families, and count what passes.

    The answers of each other run and the changes of its heads are families; all of a page share one alpha.
    """
    smallest: dict[str, float] = {}
    for number, (pair, _, changes) in enumerate(pairs):
        known = changes.select(pl.max_horizontal("pvalue_adjusted", "pvalue_ranks_adjusted")).to_series().drop_nulls()
        pvalues = (pair.get("pvalue"), known.min())
        for name, pvalue in zip(("answers", "changes"), pvalues, strict=True):
            smallest[f"{name} {number}"] = float("nan") if pvalue is None else float(cast(float, pvalue))
    levels = shared_levels(smallest, alpha)
    for number, (pair, _, changes) in enumerate(pairs):
        pair["level_answers"], pair["level_changes"] = (levels[f"{name} {number}"] for name in ("answers", "changes"))
        if pair.get("num_tested") is not None:
            pair["num_changed"] = changes.filter(is_changed(pair["level_changes"])).height


def _summary(run: AnalysedRun) -> pl.DataFrame:
    """Return one row: samples, accuracy, tests, findings, head types."""
    right = accuracy(run.opened, run.settings).row(0, named=True)
    tests, types = run.table("group_differences").drop_nulls("pvalue"), run.table("head_types")
    row = {
        "run": run.name,
        "model_path": str(run.opened.section("model").get("path") or "not recorded"),
        "num_samples": right["num_samples"],
        "accuracy": right["value"],
        "accuracy_ci_low": right["ci_low"],
        "accuracy_ci_high": right["ci_high"],
        "num_layers": run.opened.num_layers,
        "num_heads": len(types),
        "num_tests": len(tests),
        "num_significant": tests.filter(is_significant()).height,
        "smallest_pvalue_adjusted": tests["pvalue_adjusted"].min(),
        "num_replicated": int(tests["is_replicated"].fill_null(False).sum()),
        "type_rows": type_rows(run),
    }
    counts = dict(types["head_type"].value_counts().iter_rows())
    return pl.DataFrame([row | {f"share_{name}": count / len(types) for name, count in sorted(counts.items())}])


def _layers(run: AnalysedRun) -> pl.DataFrame:
    last = max(run.opened.num_layers - 1, 1)
    profiles = run.table("layer_profiles").filter(pl.col("group") == EVERYONE).drop("group")
    named = profiles.with_columns(run=pl.lit(run.name), depth=pl.col("layer") / last)
    return named.select("run", "depth", *profiles.columns)


def _compare_pair(first: AnalysedRun, other: AnalysedRun) -> tuple[dict[str, object], pl.DataFrame, pl.DataFrame]:
    names = {"run": first.name, "other_run": other.name}
    is_same = shape_of(first) == shape_of(other)
    pair: dict[str, Any] = names | {"is_same_shape": is_same}
    pair |= _answers(first, other)
    heads, changes = COMPARED_HEADS.empty(), COMPARED_CHANGES.empty()
    notes = []
    if is_same:
        heads = _heads(first, other, names)
        pair |= _findings(first, other)
    else:
        shapes = " and ".join(f"{layers} x {heads}" for layers, heads in map(shape_of, (first, other)))
        notes.append(f"heads are not the same ({shapes}), so only layers are compared, by relative depth")
    if is_same and pair["num_samples"] > 1:
        changes = _changes(first, other, names)
        pair["num_tested"] = changes["pvalue_adjusted"].count()
        pair["num_unchanged"] = int(changes["is_unchanged"].fill_null(False).sum())
    elif pair["num_samples"] <= 1:
        notes.append("no samples of the same id, so no change of a sample can be tested")
    return {**pair, "note": "; ".join(notes) or None}, heads, changes


def is_changed(alpha: float) -> pl.Expr:
    """Say of each row of ``compared_changes`` whether the change holds on values and on ranks."""
    agrees = [pl.col(name) <= alpha for name in ("pvalue_adjusted", "pvalue_ranks_adjusted")]
    return pl.all_horizontal(*agrees).fill_null(False)


def shape_of(run: AnalysedRun) -> tuple[int, int]:
    """Return the number of layers and of heads per layer."""
    return run.opened.num_layers, run.opened.num_heads


def _common(first: AnalysedRun, other: AnalysedRun) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the samples that both runs have, in the first run and in the other."""
    ids = [name for name in first.opened.samples["sample_id"] if name in other.opened.rows_of]
    rows = [np.array([run.opened.rows_of[name] for name in ids], dtype=np.int64) for run in (first, other)]
    return rows[0], rows[1]


def _answers(first: AnalysedRun, other: AnalysedRun) -> dict[str, object]:
    """Return how the answers to common samples compare, with the paired difference of the accuracy."""
    at, at_other = _common(first, other)
    one, two = first.opened.samples[at], other.opened.samples[at_other]
    cluster = cluster_codes(first.opened, first.settings.cluster_by)[at]
    answers = pl.DataFrame({"one": one["predicted_label"], "two": two["predicted_label"]}).drop_nulls()
    right = [frame["is_correct"].cast(pl.Float64).fill_null(float("nan")).to_numpy() for frame in (one, two)]
    known = ~np.isnan(right[0] + right[1])
    numbers: dict[str, object] = {"num_samples": len(at), "num_clusters": len(np.unique(cluster))}
    if len(answers):
        numbers["share_same_answer"] = float((answers["one"] == answers["two"]).to_numpy().mean())
    if known.any():
        numbers |= {"accuracy": float(right[0][known].mean()), "accuracy_other": float(right[1][known].mean())}
        tested = _paired((right[1] - right[0])[known, None], cluster[known], first.settings.alpha)
        numbers |= {name: float(values[0]) if values[0] == values[0] else None for name, values in tested.items()}
    return numbers


def _paired(change: np.ndarray, cluster: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Return mean change, CR2 interval and p per column of ``[samples, tests]`` without NaN."""
    design = design_of([], np.ones(len(change)))
    assert design is not None, "ones are not collinear with nothing"
    nothing = np.full(change.shape[1], np.nan)
    if len(change) < 2:
        mean = change.mean(axis=0) if len(change) else nothing
        return {"difference": mean, "ci_low": nothing, "ci_high": nothing, "pvalue": nothing}
    fit = fit_last(change, design, cluster)
    reach = stats.t.ppf(1 - alpha / 2, fit.degrees_of_freedom) * fit.standard_error
    return {"difference": fit.effect, "ci_low": fit.effect - reach, "ci_high": fit.effect + reach, "pvalue": fit.pvalue}


def _heads(first: AnalysedRun, other: AnalysedRun, names: dict[str, str]) -> pl.DataFrame:
    """Return Spearman's rho over heads between the runs' means, per query group and statistic."""
    keys = ["query_group", "layer", "head"]
    one, two = first.table("head_means"), other.table("head_means")
    shared = [name for name in declared_statistics(first.opened) if name in two.columns]
    joined = one.select(*keys, *shared).join(two.select(*keys, *shared), on=keys, suffix="@other")
    rows = []
    for (query_group,), part in joined.group_by("query_group", maintain_order=True):
        for name in shared:
            known = part.select(name, f"{name}@other").drop_nulls()
            varies = len(known) > 2 and all(known[column].n_unique() > 1 for column in known.columns)
            rho = known.select(pl.corr(name, f"{name}@other", method="spearman")).item() if varies else None
            rows.append(names | {"query_group": query_group, "statistic": name, "rho": rho, "num_heads": len(known)})
    return pl.DataFrame(rows, schema=COMPARED_HEADS.schema)


def _findings(first: AnalysedRun, other: AnalysedRun) -> dict[str, object]:
    """Return how the head types and the tests of the two runs agree."""
    types = first.table("head_types").join(other.table("head_types"), on=["layer", "head"], suffix="_other")
    same = (types["head_type"] == types["head_type_other"]).to_numpy()
    tests = (
        first.table("group_differences")
        .drop_nulls("pvalue")
        .with_columns(is_found=is_significant())
        .join(
            other.table("group_differences").drop_nulls("pvalue").with_columns(is_found=is_significant()),
            on=list(_TEST_KEYS),
            suffix="_other",
        )
    )
    both = pl.col("is_found") & pl.col("is_found_other")
    agrees = both & (pl.col("difference").sign() == pl.col("difference_other").sign())
    effects = tests.drop_nulls(["effect_size_adjusted", "effect_size_adjusted_other"])
    rho = None
    if len(effects) > 2:
        rho = effects.select(pl.corr("effect_size_adjusted", "effect_size_adjusted_other", method="spearman")).item()
    return {
        "share_same_type": float(same.mean()) if len(same) and not why_unequal(first, other) else None,
        "num_tests": len(tests),
        "num_significant": int(tests["is_found"].sum()),
        "num_significant_other": int(tests["is_found_other"].sum()),
        "num_agreeing": int(tests.select(agrees.sum()).item()),
        "rho": rho if rho is None or rho == rho else None,
    }


def _changes(first: AnalysedRun, other: AnalysedRun, names: dict[str, str]) -> pl.DataFrame:
    """Return the change of every head and statistic in the common samples, adjusted over the table."""
    at, at_other = _common(first, other)
    cluster = cluster_codes(first.opened, first.settings.cluster_by)[at]
    places = np.arange(first.opened.num_layers * first.opened.num_heads)
    frames = []
    for query_group, statistic, values, others in _both_values(first, other):
        change = (others[at_other] - values[at]).astype(np.float64)
        whole = ~np.isnan(change).any(axis=0)
        estimate = clustered_mean(change, cluster, 1 - first.settings.alpha)
        columns: dict[str, np.ndarray] = {
            name: getattr(estimate, "mean" if name == "difference" else name).copy()
            for name in ("difference", "ci_low", "ci_high")
        } | {name: np.full(len(places), np.nan) for name in ("pvalue", "pvalue_ranks", "low", "high")}
        if whole.any():
            own = change[:, whole]
            for name, tested in _paired(own, cluster, first.settings.alpha).items():
                columns[name][whole] = tested
            columns["pvalue_ranks"][whole] = _paired(signed_scores(own), cluster, first.settings.alpha)["pvalue"]
            narrower = _paired(own, cluster, 2 * first.settings.alpha)
            columns["low"][whole], columns["high"][whole] = narrower["ci_low"], narrower["ci_high"]
        bound = EQUIVALENT * _spread(values[at].astype(np.float64))
        low, high = columns.pop("low"), columns.pop("high")
        is_unchanged = (low > -bound) & (high < bound)
        unknown = np.isnan(low) | np.isnan(bound)
        counts = {"num_samples": estimate.num_samples, "num_clusters": estimate.num_clusters}
        keys = {"layer": places // first.opened.num_heads, "head": places % first.opened.num_heads}
        frame = pl.DataFrame(keys | columns | counts).with_columns(
            pl.Series("equivalence_bound", bound, dtype=pl.Float64),
            pl.Series("is_unchanged", [None if u else bool(e) for u, e in zip(unknown, is_unchanged, strict=True)]),
            pvalue_ranks_adjusted=pl.lit(None, pl.Float64),
            query_group=pl.lit(query_group),
            statistic=pl.lit(statistic),
            pvalue_adjusted=pl.lit(None, pl.Float64),
            **{name: pl.lit(text) for name, text in names.items()},
        )
        frames.append(frame.filter(pl.col("num_samples") > 0))
    table = pl.concat([COMPARED_CHANGES.empty(), *(COMPARED_CHANGES.declared(frame) for frame in frames)])
    for name in ("pvalue", "pvalue_ranks"):
        adjusted = adjust_pvalues(table[name].fill_null(float("nan")).to_numpy(), first.settings.correction)
        table = table.with_columns(pl.Series(f"{name}_adjusted", adjusted, dtype=pl.Float64))
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))


def _spread(values: np.ndarray) -> np.ndarray:
    """Return each column's standard deviation over the samples that have a value; NaN where nothing varies."""
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(number, 1)
    squares = (np.where(known, values - mean, 0) ** 2).sum(axis=0) / np.maximum(number - 1, 1)
    return np.where((number > 1) & (squares > 0), np.sqrt(squares), np.nan)


def _both_values(first: AnalysedRun, other: AnalysedRun) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield query group, statistic and the values ``[samples, layers * heads]`` of both runs."""
    known = set(declared_statistics(other.opened))
    shared = [name for name in declared_statistics(first.opened) if name in known]
    for query_group in first.opened.query_groups:
        if query_group not in other.opened.query_groups:
            continue
        for start in range(0, len(shared), STATISTICS_AT_ONCE):
            names = shared[start : start + STATISTICS_AT_ONCE]
            (_, one), (_, two) = (
                next(statistic_blocks(run.opened, query_group, names, max_bytes=2**62)) for run in (first, other)
            )
            for slot, name in enumerate(names):
                yield query_group, name, one[:, slot], two[:, slot]
