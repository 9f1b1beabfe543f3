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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from analyses.comparing.analysed_runs import AnalysedRun, shape_of
from analyses.comparing.common_samples import answers_compared, changes_of_heads, is_changed
from analyses.comparing.tables import COMPARED_CHANGES, COMPARED_HEADS, COMPARED_PAIRS
from analyses.comparing.type_rows import type_rows, why_unequal
from analyses.questions.claims import shared_levels
from analyses.questions.comparisons import EVERYONE
from analyses.questions.families import is_significant
from analyses.questions.overview.answer import accuracy
from analyses.runs.key_groups import declared_statistics

_TEST_KEYS = ("comparison", "query_group", "statistic", "layer", "head")


@dataclass(frozen=True)
class RunComparison:
    """What was compared: a frame per table; ``comparing.tables`` has their columns."""

    runs: pl.DataFrame
    layers: pl.DataFrame
    heads: pl.DataFrame
    pairs: pl.DataFrame
    changes: pl.DataFrame


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
            changed = is_changed(pair["level_changes"])
            pair["num_changed"] = changes.filter(changed).height
            pair["num_unchanged"] = changes.filter(pl.col("is_unchanged").fill_null(False) & ~changed).height


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
        "num_replicated": tests.filter(is_significant() & pl.col("is_replicated").fill_null(False)).height,
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
    pair |= answers_compared(first, other)
    heads, changes = COMPARED_HEADS.empty(), COMPARED_CHANGES.empty()
    notes = []
    if is_same:
        heads = _heads(first, other, names)
        pair |= _findings(first, other)
    else:
        shapes = " and ".join(f"{layers} x {heads}" for layers, heads in map(shape_of, (first, other)))
        notes.append(f"heads are not the same ({shapes}), so only layers are compared, by relative depth")
    if is_same and pair["num_samples"] > 1:
        changes = changes_of_heads(first, other, names)
        pair["num_tested"] = changes["pvalue_adjusted"].count()
    elif pair["num_samples"] <= 1:
        shared = "only one sample" if pair["num_samples"] else "no samples"
        notes.append(f"{shared} of the same id, so no change of a sample can be tested")
    return {**pair, "note": "; ".join(notes) or None}, heads, changes


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
