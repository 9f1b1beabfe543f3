"""Which hypotheses hold, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, direction_of
from analyses.questions.hypotheses.answer import CANNOT, NOT_DECIDED, NOT_UNDERSTOOD, SHARE
from analyses.questions.method_text import held_names
from analyses.settings.columns import group_column
from analyses.settings.hypotheses import read_hypotheses
from analyses.wording import count_text, interval_name, p_text, points_text, signed_text

FAMILY = "hypotheses"


def hypothesis_sentences(answers: Answers) -> list[str]:
    """Tell of each hypothesis; those that this run's samples cannot test share one sentence."""
    is_untestable = pl.col("verdict") == CANNOT
    untestable = answers["hypotheses"].filter(is_untestable)
    alpha, level = answers.settings.alpha, answers.level(FAMILY)
    groups = {one.name: one.group for one in read_hypotheses(answers.settings.hypotheses) if one.group is not None}
    lines: list[str] = []
    for row in answers["hypotheses"].filter(~is_untestable).iter_slices(1):
        group = groups.get(row["hypothesis"][0])
        held = held_names(answers, "" if group is None else group_column(group))
        lines += verdict_sentences(row, alpha, level=level, held=held)
    if len(untestable) < 2:
        return lines + verdict_sentences(untestable, answers.settings.alpha)
    named = "; ".join(
        f"“{text or name}” ({note or 'no reason known'})"
        for name, text, note in untestable.select("hypothesis", "text", "note").iter_rows()
    )
    return [*lines, f"{count_text(len(untestable), 'hypothesis')} cannot be tested here: {named}."]


def verdict_sentences(
    table: pl.DataFrame, alpha: float = 0.05, *, level: float | None = None, held: str = "time"
) -> list[str]:
    """Say of each hypothesis what was tested, what came out, and why nothing did.

    ``level`` is that of the verdicts (alpha by default), ``held`` what was held fixed in a second fit.
    """
    return [Sentence(_sentence(row, alpha, held), *_claim(row, level or alpha)) for row in table.to_dicts()]


def _claim(row: Mapping[str, Any], level: float) -> list[Claim]:
    if row["verdict"] in (CANNOT, NOT_UNDERSTOOD):
        return []
    return [
        Claim(
            "hypothesis",
            FAMILY,
            row["hypothesis"],
            is_finding=row["verdict"] != NOT_DECIDED,
            direction=direction_of(row["effect"]),
            value=row["effect"],
            ci_low=row["ci_low"],
            ci_high=row["ci_high"],
            pvalue=row["pvalue_claim"],
            level=level,
            num_samples=row["num_samples"],
            num_clusters=row["num_clusters"],
        )
    ]


def _sentence(row: Mapping[str, Any], alpha: float, held: str) -> str:
    start = f"Hypothesis “{row['text'] or row['hypothesis']}”: {row['verdict']}."
    if row["verdict"] in (CANNOT, NOT_UNDERSTOOD):
        return f"{start} {_capital((row['note'] or 'no reason known').removeprefix(f'{NOT_UNDERSTOOD}. '))}."
    scale = 100 if row["unit"].startswith(SHARE) else 1
    unit = row["unit"].replace(SHARE, "percentage points")
    effect = f"{signed_text(scale * row['effect'], 3)} {unit}"
    interval = (
        f"{interval_name(alpha)} {signed_text(scale * row['ci_low'], 3)} to {signed_text(scale * row['ci_high'], 3)}"
    )
    if row["unit"].startswith("log-odds"):
        low, high = np.exp(row["ci_low"]), np.exp(row["ci_high"])
        each = " per layer" if "per layer" in row["unit"] else ""
        interval += f"; the odds are {np.exp(row['effect']):.2f} times as high{each}, {low:.2f} to {high:.2f}"
    ending = {"two-sided": "other than 0"}.get(row["direction"], f"{row['direction']} than 0")
    if row["pvalue_fixed"] is not None:
        interval += (
            f"; with {held} held fixed {signed_text(scale * row['effect_fixed'], 3)}, {p_text(row['pvalue_fixed'])}"
        )
    size = f"{count_text(row['num_samples'], 'sample')} of {count_text(row['num_clusters'], 'cluster')}"
    note = f" {_capital(row['note'])}." if row["note"] else ""
    note = f"{_on_the_chart(row)}{note}"
    undecided = (
        " This many samples do not show it; that is no evidence against it." if row["verdict"] == NOT_DECIDED else ""
    )
    return (
        f"{start} Tested: {row['tested_as']}, expected {ending}. It is {effect} ({interval}; {size}; adjusted "
        f"{p_text(row['pvalue_adjusted'])}, on ranks {p_text(row['pvalue_ranks_adjusted'])}).{undecided}{note}"
    )


def _on_the_chart(row: Mapping[str, Any]) -> str:
    """Say what a chart of shares of attention shows of it, and which layers disagree."""
    text = ""
    if row.get("effect_share") is not None and not row["unit"].startswith(SHARE):
        each = " per layer" if "per layer" in row["unit"] else ""
        text = f" As a share of attention it is {points_text(row['effect_share'])} points{each}"
        if row["share_ci_low"] is not None:
            text += f" ({points_text(row['share_ci_low'])} to {points_text(row['share_ci_high'])})"
        text += "."
    halves = row.get("effect_halves")
    if halves is not None and halves * row["effect"] < 0:
        shown = signed_text(halves, 3) if row.get("effect_share") is None else f"{points_text(halves)} points"
        text += f" Yet the later half of the layers minus the earlier half is {shown}."
    if row.get("num_layers_other"):
        text += (
            f" Layers disagree: {row['num_layers_same']} with an interval on that side of 0, "
            f"{row['num_layers_other']} on the other."
        )
    return text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".")
