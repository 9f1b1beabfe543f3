"""Figures of whether labels can be predicted from heads."""

from __future__ import annotations

import polars as pl

from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.decodability.answer import CONTROL, HEADS
from analyses.questions.figure import Absent, Figure, rounded, sample_line


def decodability_figure(answers: Answers) -> Figure | Absent:
    """Draw how well the heads predict each target beside what needs no head, or say why not."""
    models = answers["decodability"].drop_nulls("auroc")
    if answers.settings.predicted is None:
        return Absent("decodability", "Nothing was predicted from the heads: analysis.decodability is turned off.")
    if models.is_empty():
        why = answers["decodability"]["note"].drop_nulls()
        return Absent(
            "decodability",
            f"Nothing could be predicted from the heads: {why[0] if len(why) else 'no target has two groups'}.",
        )
    kind = pl.when(pl.col("model") == HEADS).then(pl.lit("heads")).when(pl.col("model") == CONTROL)
    kind = kind.then(pl.lit("control")).otherwise(pl.lit("no heads"))
    several = models["target"].n_unique() > 1
    model = pl.col("model").str.replace_all("_", " ")
    frame = models.select(
        "target",
        "auroc",
        "ci_low",
        "ci_high",
        "num_samples",
        kind=kind,
        shown=pl.format("{}: {}", pl.col("target").str.replace_all("_", " "), model) if several else model,
    )
    chart = intervals.decodability(
        rounded(frame),
        answers.style,
        kinds=["heads", "no heads", "control"],
        subtitle=f"{answers.resampled_intervals}, {sample_line(answers)}",
    )
    guide = (
        "A sparse model predicts, for samples it has not seen, whether the answer was right (or what else was asked) "
        "from the heads alone. Beside it stand models that need no head, and the heads on exchanged labels (control), "
        "which must lie at 0.5. Only where the heads lie above every model without heads do they know something that "
        "length, answer, margin, covariates and counts do not tell. The AUROC is the chance that a sample of the first "
        "kind is ranked above one of the other. Below 0.5 the model learnt what was the other way round in samples it "
        "had not seen: there was too little to learn from, which is no finding."
    )
    return Figure("decodability", "Do the heads know?", guide, specification(chart), ("decodability",))


def transfer_figures(answers: Answers) -> list[Figure | Absent]:
    """Draw how probes of this run fare in the other one; nothing where none was named."""
    table = answers.get("transfer")
    if table is None:
        return []
    models = table.drop_nulls("auroc")
    if models.is_empty():
        why = table["note"].drop_nulls()
        return [Absent("transfer", f"Nothing could be judged: {why[0] if len(why) else 'no value'}.")]
    what = pl.format("{}, {} rows", pl.col("preset").fill_null("heads"), "query_group")
    rows = pl.when(pl.col("model") == HEADS).then(what).otherwise(pl.col("model"))
    shown = pl.format("{}: {}", pl.col("target").str.replace_all("_", " "), rows)
    judged = models.with_columns(num_samples="num_judged")
    drawn = heads_beside_others(answers, judged, shown, f"judged on {models['other_run'][0]}")
    guide = (
        "Models trained on all samples of this run predict those of the other, which nothing was chosen by. Heads that "
        "lie above every model without heads carry over something that length, margin and surprisal do not tell."
    )
    return [Figure("transfer", "Do they know in another run?", guide, drawn, ("transfer",))]


def heads_beside_others(answers: Answers, models: pl.DataFrame, shown: pl.Expr, on: str) -> dict[str, object]:
    """Draw the AUROC of models from heads in one colour and of those without heads in another.

    Parameters
    ----------
    models
        Rows of ``transfer`` or ``probes`` with an AUROC.
    shown
        What each row is called.
    on
        Which samples it was found on.
    """
    kind = pl.when(pl.col("model") == HEADS).then(pl.lit("heads")).otherwise(pl.lit("no heads"))
    frame = models.select("target", "auroc", "ci_low", "ci_high", "num_samples", kind=kind, shown=shown)
    subtitle = f"{answers.resampled_intervals}, {on}"
    chart = intervals.decodability(rounded(frame), answers.style, kinds=["heads", "no heads"], subtitle=subtitle)
    return specification(chart)
