"""Figures of what goes with certainty and the like."""

from __future__ import annotations

import polars as pl

from analyses import wording
from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.correlations.sentences import is_found
from analyses.questions.figure import Absent, Figure, rounded, sample_line

NUM_STRONGEST = 12
"""Correlations drawn of each target."""

_TARGETS = {
    "certainty": "how certain the model says it is",
    "probability": "the probability it gives its answer",
    "magnitude": "the magnitude it names",
    "year": "the year",
}
"""What a target is, in words; any other column goes by its name."""


def correlations_figure(answers: Answers) -> Figure | Absent:
    """Draw what goes with certainty, probability, magnitude and year, or say why not."""
    tested = answers["correlations"].drop_nulls(["rho", "pvalue"]).sort("pvalue")
    if tested.is_empty():
        notes = answers["correlations"]["note"].drop_nulls()
        return Absent(
            "correlations",
            f"Nothing could be correlated: {notes[0]}." if len(notes) else "analysis.correlations is empty.",
        )
    targets = {name: str(name).replace("_", " ") for name in tested["target"].unique(maintain_order=True)}
    order = [name for name in answers.settings.correlations if name in targets]
    targets = {name: targets[name] for name in dict.fromkeys([*order, *targets])}
    chart = intervals.correlations(
        rounded(_strongest(answers, tested)),
        answers.style,
        targets=targets,
        subtitle=f"the {NUM_STRONGEST} smallest p of each; {answers.intervals}, {sample_line(answers)}",
    )
    guide = (
        "Each line is a head (layer.head) and a statistic whose values rise (right) or fall (left) with "
        f"{' or '.join(_TARGETS.get(str(name), shown) for name, shown in targets.items())}. These are the strongest of "
        "many, so read the colour: only what is significant after adjustment over all heads is a finding."
    )
    return Figure("correlations", "Confident and uncertain answers", guide, specification(chart), ("correlations",))


def _strongest(answers: Answers, tested: pl.DataFrame) -> pl.DataFrame:
    """Return what the chart draws: of each target the first correlations of ``tested``, which are its smallest p."""
    strongest = tested.group_by("target", maintain_order=True).head(NUM_STRONGEST)
    names = [
        f"{row['layer']}.{row['head']} {wording.statistic_label(row['statistic']).lower()} "
        f"({wording.query_group_label(row['query_group'])})"
        for row in strongest.iter_rows(named=True)
    ]
    return strongest.select(
        "target",
        "layer",
        "head",
        "rho",
        "ci_low",
        "ci_high",
        "pvalue_adjusted",
        "num_samples",
        shown=pl.Series(names),
        verdict=pl.when(is_found(answers)).then(pl.lit("significant")).otherwise(pl.lit("not significant")),
        order=pl.int_range(pl.len()).over("target"),
    ).select("target", "shown", pl.exclude("target", "shown"))
