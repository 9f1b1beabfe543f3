"""Figures of how attention develops over layers: statistics, and what goes to which part of the text."""

from __future__ import annotations

import polars as pl

from analyses import wording
from analyses.charts import layers
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.comparisons import EVERYONE
from analyses.questions.figure import (
    Absent,
    Figure,
    drawn_groups,
    first_choice,
    missing_heads,
    rounded,
    row_menu,
    sample_line,
)
from engine.schema import MASS_PREFIX

PROFILE_PANELS = ("entropy_normalized", "first_token", "previous_token", "max_weight")

SEGMENTS = ("system", "history", "statement", "instruction", "reasoning", "response")
"""Parts of the text in its order; together with the template between them they make up the text."""

REST = "the template between them"


def layer_profile_figure(answers: Answers) -> Figure | Absent:
    """Draw statistics from layer to layer, or say why not."""
    if reason := missing_heads(answers):
        return Absent("layer_profile", reason)
    known = set(answers["layer_profiles"]["statistic"])
    vocabulary = [
        f"mass_{name}" for name in (answers.vocabulary, "number", "statement", "reasoning", "response") if name
    ]
    panels = [name for name in (*vocabulary[:2], *PROFILE_PANELS, *vocabulary[2:]) if name in known][:6]
    panels = panels or sorted(known)[:6]
    groups, rows = drawn_groups(answers, answers["layer_profiles"])
    chart = layers.layer_profile(
        rounded(rows.filter(pl.col("statistic").is_in(panels)).sort("layer")),
        answers.style,
        panels={name: (wording.statistic_label(name), wording.statistic_unit(name)) for name in panels},
        groups=groups,
        query_groups=row_menu(answers),
        start=first_choice(answers)[0],
        subtitle=f"mean over heads and samples with {answers.intervals}, {sample_line(answers)}",
    )
    guide = (
        "Each panel follows one statistic from the first layer to the last, averaged over a layer's heads. Bands are "
        f"{answers.intervals} over samples, allowing for several samples of one {answers.cluster_noun}. Whether "
        "bands overlap decides nothing; the tests of group differences do. Panels have their own vertical scales."
    )
    return Figure("layer_profile", "From layer to layer", guide, specification(chart), ("layer_profiles",))


def segment_flow_figure(answers: Answers) -> Figure | Absent:
    """Draw the share of attention that goes to each part of the text, layer by layer, or say why not."""
    rows = (
        answers["layer_profiles"]
        .filter(
            (pl.col("group") == EVERYONE) & pl.col("statistic").is_in([f"{MASS_PREFIX}{name}" for name in SEGMENTS])
        )
        .with_columns(segment=pl.col("statistic").str.strip_prefix(MASS_PREFIX))
    )
    present = [name for name in SEGMENTS if name in set(rows["segment"])]
    if len(present) < 2:
        return Absent("segment_flow", "The run has no key groups for the parts of the text (instruction, response …).")
    names = {name: wording.key_group_label(name) for name in present}
    if "reasoning" in present and "response" in present:
        names["response"] = "the rest of the answer"
    frame = _disjoint(rows, present)
    labels = names | {REST: REST}
    panels = row_menu(answers)
    frame = frame.select(
        "layer",
        "share",
        "ci_low",
        "ci_high",
        rows=pl.col("query_group").replace(panels),
        segment=pl.col("segment").replace(labels),
        order=pl.col("segment").replace_strict({name: slot for slot, name in enumerate(labels)}, return_dtype=pl.Int32),
    )
    chart = layers.segment_flow(
        rounded(frame),
        answers.style,
        segments=labels,
        panels=list(panels.values()),
        subtitle=f"mean over heads and samples, {sample_line(answers)}",
    )
    read = wording.statement_noun() if "statement" in present else "prompt"
    guide = (
        f"Each bar is a layer, its parts are where the attention goes: from the {read} to the reasoning to the "
        f"answer. Answer tokens include the reasoning, so their panel says how much the model reads the {read} while "
        "it writes; the decision token's says what it reads when it decides. Hover for intervals over samples."
    )
    title = f"Where attention flows: {read}, reasoning, answer"
    return Figure("segment_flow", title, guide, specification(chart), ("layer_profiles",))


def _disjoint(rows: pl.DataFrame, present: list[str]) -> pl.DataFrame:
    """Return the share of each part, the answer without its reasoning, and what is left for the template."""
    keys = ["query_group", "layer"]
    if "reasoning" in present and "response" in present:
        reasoning = rows.filter(pl.col("segment") == "reasoning").select(*keys, inner="mean")
        rows = rows.join(reasoning, on=keys, how="left", maintain_order="left")
        is_answer = pl.col("segment") == "response"
        less = pl.when(is_answer).then((pl.col("mean") - pl.col("inner")).clip(0)).otherwise("mean")
        none = pl.lit(None, dtype=pl.Float64)
        ends = [pl.when(~is_answer).then(name).otherwise(none).alias(name) for name in ("ci_low", "ci_high")]
        rows = rows.with_columns(less.alias("mean"), *ends)
    parts = rows.select(*keys, "segment", "ci_low", "ci_high", share="mean")
    rest = parts.group_by(keys, maintain_order=True).agg(share=(1 - pl.col("share").sum()).clip(0))
    nothing = [pl.lit(None, dtype=pl.Float64).alias(name) for name in ("ci_low", "ci_high")]
    rest = rest.with_columns(*nothing, segment=pl.lit(REST)).select(parts.columns)
    return pl.concat([parts, rest]).drop_nulls("share")
