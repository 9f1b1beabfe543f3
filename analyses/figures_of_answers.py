"""Figures of what is asked beside the heads' differences: decodability, and what goes with certainty."""

from __future__ import annotations

import polars as pl

from analyses import charts_answers, wording
from analyses.analysis_tables import AnalysisTables
from analyses.charts_parts import specification
from analyses.decodability import CONTROL, HEADS
from analyses.figure_parts import Figure, interval_name, rounded, sample_line

NUM_STRONGEST = 12
"""Correlations drawn of each target."""


def decodability_figure(tables: AnalysisTables) -> Figure | str:
    """Draw how well the heads predict each target beside what needs no head, or say why not."""
    found = tables.decodability.drop_nulls("auroc")
    if tables.settings.predicted is None:
        return "Nothing was predicted from the heads: analysis.decodability is turned off."
    if found.is_empty():
        why = tables.decodability["note"].drop_nulls()
        return f"Nothing could be predicted from the heads: {why[0] if len(why) else 'no target has two groups'}."
    kind = pl.when(pl.col("model") == HEADS).then(pl.lit("heads")).when(pl.col("model") == CONTROL)
    kind = kind.then(pl.lit("control")).otherwise(pl.lit("no heads"))
    several = found["target"].n_unique() > 1
    model = pl.col("model").str.replace_all("_", " ")
    frame = found.select(
        "target", "auroc", "ci_low", "ci_high", "num_samples", kind=kind,
        shown=pl.format("{}: {}", pl.col("target").str.replace_all("_", " "), model) if several else model,
    )  # fmt: skip
    chart = charts_answers.decodability(
        rounded(frame), tables.look, kinds=["heads", "no heads", "control"],
        subtitle=f"{interval_name(tables)}, {sample_line(tables)}",
    )  # fmt: skip
    guide = (
        "A sparse model predicts, for samples it has not seen, whether the answer was right (or what else was asked) "
        "from the heads alone. Beside it stand models that need no head, and the heads on exchanged labels (control), "
        "which must lie at 0.5. Only where the heads lie above every model without heads do they know something that "
        "length, margin or the statement's own figures do not tell."
    )
    return Figure("decodability", "Do the heads know?", guide, specification(chart), ("decodability",))


def correlations_figure(tables: AnalysisTables) -> Figure | str:
    """Draw what goes with certainty, probability, magnitude and year, or say why not."""
    found = tables.correlations.drop_nulls(["rho", "pvalue"]).sort("pvalue")
    if found.is_empty():
        notes = tables.correlations["note"].drop_nulls()
        return f"Nothing could be correlated: {notes[0]}." if len(notes) else "analysis.correlations is empty."
    targets = {name: str(name).replace("_", " ") for name in found["target"].unique(maintain_order=True)}
    order = [name for name in tables.settings.correlations if name in targets]
    targets = {name: targets[name] for name in dict.fromkeys([*order, *targets])}
    strongest = found.group_by("target", maintain_order=True).head(NUM_STRONGEST)
    is_found = (pl.col("pvalue_adjusted") <= tables.settings.alpha).fill_null(False)
    frame = strongest.with_columns(
        shown=pl.Series(
            [
                f"{row['layer']}.{row['head']} {wording.statistic_label(row['statistic']).lower()} "
                f"({wording.query_group_label(row['query_group'])})"
                for row in strongest.iter_rows(named=True)
            ]
        ),
        verdict=pl.when(is_found).then(pl.lit("significant")).otherwise(pl.lit("not significant")),
        order=pl.int_range(pl.len()).over("target"),
    ).select(
        "target", "shown", "layer", "head", "rho", "ci_low", "ci_high", "pvalue_adjusted", "num_samples", "verdict",
        "order",
    )  # fmt: skip
    chart = charts_answers.correlations(
        rounded(frame), tables.look, targets=targets,
        subtitle=f"the {NUM_STRONGEST} smallest p of each; {interval_name(tables)}, {sample_line(tables)}",
    )  # fmt: skip
    guide = (
        "Each line is a head (layer.head) and a statistic whose values rise (right) or fall (left) with how certain "
        "the model says it is, the probability it gives its answer, the magnitude it names, or the year. These are the "
        "strongest of many, so read the colour: only what is significant after adjustment over all heads is a finding."
    )
    return Figure("correlations", "Confident and uncertain answers", guide, specification(chart), ("correlations",))
