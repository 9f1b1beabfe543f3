"""Figures of how attention develops over layers: statistics, and what goes to which part of the text."""

from __future__ import annotations

import polars as pl

from analyses import charts_details, charts_groups, wording
from analyses.analysis_tables import AnalysisTables
from analyses.attention_profiles import EVERYONE
from analyses.charts_parts import specification
from analyses.figure_parts import (
    Figure,
    drawn_groups,
    first_choice,
    interval_name,
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


def layer_profile_figure(tables: AnalysisTables) -> Figure | str:
    """Draw statistics from layer to layer, or say why not."""
    if reason := missing_heads(tables):
        return reason
    known = set(tables.layer_profiles["statistic"])
    vocabulary = [
        f"mass_{name}" for name in (tables.vocabulary, "number", "statement", "reasoning", "response") if name
    ]
    panels = [name for name in (*vocabulary[:2], *PROFILE_PANELS, *vocabulary[2:]) if name in known][:6]
    panels = panels or sorted(known)[:6]
    groups, rows = drawn_groups(tables, tables.layer_profiles)
    chart = charts_groups.layer_profile(
        rounded(rows.filter(pl.col("statistic").is_in(panels)).sort("layer")),
        tables.look,
        panels={name: (wording.statistic_label(name), wording.statistic_unit(name)) for name in panels},
        groups=groups,
        query_groups=row_menu(tables),
        start=first_choice(tables)[0],
        subtitle=f"mean over heads and samples with {interval_name(tables)}, {sample_line(tables)}",
    )
    guide = (
        "Each panel follows one statistic from the first layer to the last, averaged over a layer's heads. Bands are "
        f"{interval_name(tables)} over samples, allowing for several samples of one {tables.cluster_noun}. Whether "
        "bands overlap decides nothing; the tests of group differences do. Panels have their own vertical scales."
    )
    return Figure("layer_profile", "From layer to layer", guide, specification(chart), ("layer_profiles",))


def segment_flow_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the share of attention that goes to each part of the text, layer by layer, or say why not."""
    rows = tables.layer_profiles.filter(
        (pl.col("group") == EVERYONE) & pl.col("statistic").is_in([f"{MASS_PREFIX}{name}" for name in SEGMENTS])
    ).with_columns(segment=pl.col("statistic").str.strip_prefix(MASS_PREFIX))
    present = [name for name in SEGMENTS if name in set(rows["segment"])]
    if len(present) < 2:
        return "The run has no key groups for the parts of the text (statement, instruction, response …)."
    names = {name: wording.key_group_label(name) for name in present}
    if "reasoning" in present and "response" in present:
        names["response"] = "the rest of the answer"
    frame = _disjoint(rows, present)
    told = names | {REST: REST}
    panels = row_menu(tables)
    frame = frame.select(
        "layer", "share", "ci_low", "ci_high",
        rows=pl.col("query_group").replace(panels),
        segment=pl.col("segment").replace(told),
        order=pl.col("segment").replace_strict({name: slot for slot, name in enumerate(told)}, return_dtype=pl.Int32),
    )  # fmt: skip
    chart = charts_details.segment_flow(
        rounded(frame), tables.look, segments=told, panels=list(panels.values()),
        subtitle=f"mean over heads and samples, {sample_line(tables)}",
    )  # fmt: skip
    guide = (
        "Each bar is a layer, its parts are where the attention goes: from the statement to the reasoning to the "
        "answer. Answer tokens include the reasoning, so their panel says how much the model reads the statement while "
        "it writes; the decision token's says what it reads when it decides. Hover for intervals over samples."
    )
    title = "Where attention flows: statement, reasoning, answer"
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
