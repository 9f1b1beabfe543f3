"""Figures of causes: prepares each chart's frame from the causal tables and says how to read it."""

from __future__ import annotations

import polars as pl

from analyses import wording
from analyses.charts import heads as charts_heads
from analyses.charts import intervals, layers, scatter
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.causes.sentences import NONE, effect_family
from analyses.questions.causes.values import KEYS, MEASURED, has_causes
from analyses.questions.causes.wording import cause_label, measure_label, part_label
from analyses.questions.families import MEAN_CHECKS, is_certain
from analyses.questions.figure import Absent, Figure, rounded

NUM_RANKED = 20
"""Effects drawn in the ranking: those with the largest mean of the kind that intervenes."""

_PAIRS = (("mass", "ablation"), ("head_gradient", "ablation"), ("mass", "head_gradient"), ("norm_mass", "ablation"))
_CHOSEN = {"top": "chosen by attribution", "random": "random, same layers", "all": "other ablated heads"}


def causal_figures(answers: Answers) -> list[Figure | Absent]:
    """Return the charts of causes; a run without causes has one reason for all."""
    if not has_causes(answers.run):
        return [Absent("causal_map", NONE)]
    makers = (_map_figure, _ranking_figure, _knockout_figure, _agreement_figure, _screening_figure)
    return [maker(answers) for maker in makers]


def _labelled(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``cause`` and ``shown``: what was done, and to which part."""
    rows = frame.select(*KEYS).to_dicts()
    return frame.with_columns(
        cause=pl.Series([cause_label(row) for row in rows], dtype=pl.String),
        shown=pl.Series([part_label(row) for row in rows], dtype=pl.String),
    )


def _with_flips(answers: Answers, lead: pl.DataFrame) -> pl.DataFrame:
    flips = (
        answers["causal_effects"]
        .filter(pl.col("measure") == "flip")
        .select(*KEYS, flips=pl.col("mean"), flips_low=pl.col("ci_low"), flips_high=pl.col("ci_high"))
    )
    return lead.join(flips, on=list(KEYS), how="left", nulls_equal=True, maintain_order="left")


def _lead_text(answers: Answers) -> str:
    return (
        f"The lead is that of the side which the model favours in the contrast, {answers.contrast}: its logit minus "
        "the "
        f"other side's, at the decision."
    )


def _lead(answers: Answers) -> pl.DataFrame:
    return answers["causal_effects"].filter(pl.col("measure") == "lead")


def _lead_by_head(answers: Answers) -> pl.DataFrame:
    return _lead(answers).filter(pl.col("head").is_not_null()).drop_nulls("mean")


def _size_line(frame: pl.DataFrame) -> str:
    samples, clusters = frame.select(pl.max("num_samples", "num_clusters").fill_null(0)).row(0)
    return f"n = {wording.count_text(samples, 'sample')} in {wording.count_text(clusters, 'cluster')}"


def _map_figure(answers: Answers) -> Figure | Absent:
    heads = _labelled(_lead_by_head(answers))
    if heads.is_empty():
        return Absent("causal_map", "No cause was measured head by head.")
    levels = {str(kind): answers.level(effect_family(str(kind))) for kind in heads["kind"].unique()}
    level = pl.col("kind").replace_strict(levels, return_dtype=pl.Float64)
    frame = _with_flips(answers, heads).with_columns(
        is_certain=is_certain(level, MEAN_CHECKS), limit=pl.col("mean").abs().max().over("cause")
    )
    causes = frame["cause"].unique(maintain_order=True).to_list()
    chart = charts_heads.causal_map(
        rounded(
            frame.select(
                "cause", "layer", "head", "mean", "ci_low", "ci_high", "limit", "flips", "pvalue_adjusted", "is_certain"
            )
        ),
        answers.style,
        causes={name: f"{name[0].upper()}{name[1:]}" for name in causes},
        start=causes[0],
        subtitle=[
            f"mean change of the answer's lead; {answers.contrast}; {_size_line(heads)}",
            "● significant by every check",
        ],
    )
    guide = (
        f"{_lead_text(answers)} Blue or orange says what the chosen cause does to it: of an intervention, a negative "
        "change means "
        "that the head supports the model's answers; of an attribution, a positive one does. Colours are shares of the "
        "cause's largest effect; hover for nats, intervals and the answers that turn."
    )
    return Figure("causal_map", "Which heads cause the answer", guide, specification(chart), ("causal_effects",))


def _ranking_figure(answers: Answers) -> Figure | Absent:
    measured = _lead(answers).filter(pl.col("kind").is_in(MEASURED) & (pl.col("kind") != "knockout")).drop_nulls("mean")
    if measured.is_empty():
        return Absent("causal_ranking", "Nothing was ablated or amplified.")
    ranked = _labelled(measured).sort(pl.col("mean").abs(), descending=True).head(NUM_RANKED)
    several = ranked["cause"].n_unique() > 1
    shown = pl.format("{}: {}", "shown", "cause") if several else pl.col("shown")
    everyone = ranked.select(
        shown=shown, group=pl.lit("all"), mean="mean", ci_low="ci_low", ci_high="ci_high", num_samples="num_samples"
    )
    both = ranked.select(*KEYS, shown=shown).join(
        answers["causal_differences"].filter(pl.col("measure") == "lead"),
        on=list(KEYS),
        how="inner",
        nulls_equal=True,
        maintain_order="left",
    )
    parts = [everyone]
    for group, mean, number in (("correct", "mean_a", "num_a"), ("incorrect", "mean_b", "num_b")):
        none = pl.lit(None, dtype=pl.Float64)
        parts.append(
            both.select(
                "shown", group=pl.lit(group), mean=mean, ci_low=none, ci_high=none, num_samples=number
            ).drop_nulls("mean")
        )
    frame = pl.concat(parts, how="vertical_relaxed")
    groups = [name for name in ("all", "correct", "incorrect") if name in set(frame["group"])]
    cause = "" if several else f"{ranked['cause'][0]}; "
    chart = intervals.causal_ranking(
        rounded(frame),
        answers.style,
        groups=groups,
        subtitle=f"{cause}{answers.contrast}; {answers.intervals}, {_size_line(ranked)}",
    )
    guide = (
        f"{_lead_text(answers)} The {len(ranked)} largest effects of interventions, with the interval over samples, "
        "and beside them "
        "the means in right and in wrong predictions. Largest of many is a selection: read the adjusted p in the table."
    )
    return Figure(
        "causal_ranking",
        "The strongest interventions",
        guide,
        specification(chart),
        ("causal_effects", "causal_differences"),
    )


def _knockout_figure(answers: Answers) -> Figure | Absent:
    lead = _lead(answers).filter(pl.col("kind") == "knockout").drop_nulls("mean")
    if lead.is_empty():
        return Absent("knockout_curves", "No attention was knocked out.")
    named = {name: wording.key_group_label(name) for name in lead["key_group"].unique(maintain_order=True)}
    frame = _with_flips(answers, lead).with_columns(
        middle=(pl.col("first_layer") + pl.col("last_layer")) / 2,
        window=pl.format("{} to {}", "first_layer", "last_layer"),
        key_group=pl.col("key_group").replace(named),
    )
    columns = (
        "middle",
        "window",
        "key_group",
        "mean",
        "ci_low",
        "ci_high",
        "flips",
        "flips_low",
        "flips_high",
        "pvalue_adjusted",
    )
    row = lead.row(0, named=True)
    width = lead.select((pl.col("last_layer") - pl.col("first_layer")).max()).item() + 1
    chart = layers.knockout_curves(
        rounded(frame.select(columns).sort("middle")),
        answers.style,
        groups=list(named.values()),
        subtitle=(
            f"{row['rows']} rows, windows of {wording.count_text(width, 'layer')}; {answers.contrast}; "
            f"{_size_line(lead)}"
        ),
    )
    guide = (
        f"{_lead_text(answers)} In a window of layers the {row['rows']} rows cannot see the tokens of a group; the "
        "curve is what "
        "that does to the lead, the lower panel how many answers turn. Where it leaves 0 the model reads these tokens "
        "in those layers; where it stays at 0 it does not need to, or has the information elsewhere."
    )
    return Figure("knockout_curves", "Where the answer is read", guide, specification(chart), ("causal_effects",))


def _agreement_figure(answers: Answers) -> Figure | Absent:
    agreement = answers["head_agreement"]
    pairs = {
        (one, other): f"{measure_label(one, answers.vocabulary)} and {measure_label(other, answers.vocabulary)}"
        for one, other in _PAIRS
    }
    parts = [
        agreement.filter((pl.col("measure_a") == one) & (pl.col("measure_b") == other)).with_columns(pair=pl.lit(name))
        for (one, other), name in pairs.items()
    ]
    frame = pl.concat(parts).drop_nulls("rho").select("pair", "layer", "rho", "ci_low", "ci_high", "num_heads")
    if frame.filter(pl.col("layer").is_not_null()).is_empty():
        return Absent("head_agreement", "Fewer than two measures of heads, or too few heads in a layer, to compare.")
    shown = [name for name in pairs.values() if name in set(frame["pair"])]
    chart = layers.agreement_by_layer(
        rounded(frame),
        answers.style,
        pairs=shown,
        subtitle=f"{answers.resampled_intervals}; {_size_line(agreement)}",
    )
    guide = (
        "Each point is Spearman's rank correlation over the heads of a layer between two ways of saying how much a "
        "head has to do with the answer; dashed lines are over all heads. Near 1 attention (or the gradient) picks out "
        "the heads that matter, near 0 it does not. Intervals say how far that depends on the samples; a layer of few "
        "heads moves a lot."
    )
    title = "Do attention, gradients and ablation agree?"
    return Figure("head_agreement", title, guide, specification(chart), ("head_agreement",))


def _screening_figure(answers: Answers) -> Figure | Absent:
    lead = _lead_by_head(answers)
    ablated = lead.filter((pl.col("kind") == "ablation") & (pl.col("unit") == "head"))
    gradient = lead.filter(pl.col("kind") == "head_gradient").select("layer", "head", predicted=-pl.col("mean"))
    frame = _labelled(ablated).join(gradient, on=["layer", "head"])
    if frame.is_empty():
        return Absent(
            "head_screening",
            "Forecast and ablation are compared where causal.attribution and causal.ablation are both on.",
        )
    screened = answers.run.causal_plan.get("screened", {})
    group = {(int(layer), int(head)): name for name in ("random", "top") for layer, head in screened.get(name, ())}
    labels = _CHOSEN if group else {"all": "ablated heads"}
    names = [labels[group.get((layer, head), "all")] for layer, head in frame.select("layer", "head").iter_rows()]
    drawn = frame.select("shown", "predicted", "ci_low", "ci_high", measured="mean", heads=pl.Series(names))
    groups = [name for name in labels.values() if name in set(names)]
    ends = pl.col("predicted", "measured", "ci_low", "ci_high").abs().max()
    reach = float(drawn.select(pl.max_horizontal(ends)).item())
    cause = frame["cause"][0]
    chart = scatter.screening(
        rounded(drawn),
        answers.style,
        groups=groups,
        reach=reach or 1.0,
        subtitle=f"{cause}; {answers.contrast}; {_size_line(ablated)}",
    )
    guide = (
        f"The lead is of {answers.contrast}. The head gradient foretells, to first order, what removing a head does "
        "to the lead. On the dashed line it is "
        "right. Far from it the model compensates or the effect is not linear: then only the ablation counts."
    )
    title = "Does the gradient foretell the ablation?"
    return Figure("head_screening", title, guide, specification(chart), ("head_screening", "causal_effects"))
