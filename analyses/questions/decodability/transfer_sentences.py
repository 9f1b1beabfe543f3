"""How well probes of this run tell in another one, in plain sentences."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, held_text
from analyses.questions.decodability.answer import HEADS
from analyses.questions.decodability.presets import BEFORE, preset_label
from analyses.wording import count_text, percent_text, query_group_label, resampled_name

Row = dict[str, Any]
"""A row of the table, by column."""

FAMILY = "transfer to another run"


def transfer_claims(table: pl.DataFrame) -> pl.DataFrame:
    """Return the heads' rows with their p over all of them (Bonferroni)."""
    tested = table.filter(pl.col("model") == HEADS).drop_nulls("pvalue")
    return tested.with_columns(pvalue_claim=(pl.col("pvalue") * max(len(tested), 1)).clip(upper_bound=1.0))


def transfer_sentences(answers: Answers) -> list[str]:
    """Say per target and query group how the heads fare in the other run, beside what needs no head."""
    table = answers.get("transfer")
    if table is None:
        return []
    claimed = {
        (row["target"], row["query_group"], row["preset"]): row["pvalue_claim"]
        for row in transfer_claims(table).iter_rows(named=True)
    }
    level, lines = answers.level(FAMILY), []
    for row in table.filter(pl.col("model") == HEADS).iter_rows(named=True):
        question = f"Do heads trained here tell {row['label_a']} from {row['label_b']} in {row['other_run']}"
        rows = query_group_label(row["query_group"])
        if row["preset"] is not None:
            rows = f"{preset_label(row['preset'])} of {rows}"
        if row["auroc"] is None:
            lines.append(f"{question}, by {rows}? Not tested: {row['note'] or 'no value'}.")
            continue
        pvalue = claimed.get((row["target"], row["query_group"], row["preset"]))
        knows = pvalue is not None and pvalue <= level
        claim = Claim(
            "prediction",
            FAMILY,
            " ".join(filter(None, (row["target"], row["query_group"], row["preset"], "in", row["other_run"]))),
            is_finding=knows,
            value=row["auroc"],
            ci_low=row["ci_low"],
            ci_high=row["ci_high"],
            pvalue=pvalue,
            level=level,
            num_samples=row["num_judged"],
            num_clusters=row["num_judged_clusters"],
        )
        verdict = "They tell something" if knows else "It is not shown"
        interval = f"{resampled_name(answers.settings.alpha)} {row['ci_low']:.2f} to {row['ci_high']:.2f}"
        size = f"{row['num_judged']:,} samples of {count_text(row['num_judged_clusters'], 'cluster')}"
        auroc = f"AUROC {row['auroc']:.2f} ({interval}, {held_text(pvalue, level, answers.settings.alpha)}; {size})"
        text = (
            f"{_asked(question, row, rows)} {verdict}: {auroc}, {_calibration(row)}{_beside(table, row)}{_shared(row)}"
        )
        lines.append(Sentence(text, claim))
    return lines


def _asked(question: str, row: Row, rows: str) -> str:
    if row["query_group"] in BEFORE:
        return f"Can they before the answer is written ({rows})?"
    return f"{question}, by {rows}?"


def _calibration(row: Row) -> str:
    gain = 1 - row["brier"] / row["base_brier"] if row["base_brier"] else 0.0
    slope = "" if row["slope"] is None else f"slope {row['slope']:.2f} (1 is calibrated), "
    mean, share = percent_text(row["share_judged"] + row["gap"]), percent_text(row["share_judged"])
    size = f"{100 * abs(gain):.0f} % {'below' if gain >= 0 else 'above'}"
    return (
        f"{slope}mean prediction {mean} where {share} are {row['label_a']}, squared error {size} that of the base rate "
        f"of this run ({percent_text(row['share_training'])})"
    )


def _beside(table: pl.DataFrame, row: Row) -> str:
    others = table.filter((pl.col("target") == row["target"]) & (pl.col("model") != HEADS)).drop_nulls("auroc")
    listed = ", ".join(f"{one['model']} {one['auroc']:.2f}" for one in others.iter_rows(named=True))
    return f". What needs no head, trained alike: {listed}." if listed else "."


def _shared(row: Row) -> str:
    number = row["num_shared_clusters"]
    if not number:
        return ""
    are = "is" if number == 1 else "are"
    return f" {count_text(number, 'cluster')} {are} in both runs and judged by models that were trained without them."
