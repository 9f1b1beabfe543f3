"""Which heads fetch what is written, in plain sentences."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answer_table import AnswerTable
from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, difference_claim, held_text
from analyses.questions.retrieval.tables import EVIDENCE_HEADS, RETRIEVAL_DIFFERENCES, RETRIEVAL_HEADS
from analyses.questions.retrieval.values import PROMPT, has_evidence, is_measured
from analyses.wording import count_text, interval_name, p_text, percent_text, query_group_label, signed_text

Row = dict[str, Any]
"""A row of a table, by column."""

HEADS_FAMILY, DIFFERENCES_FAMILY = "retrieval heads", "retrieval, right against wrong"

LEAST = 0.1
"""Score from which Wu et al. (2024) call a head a retrieval head."""

NUM_NAMED = 5
"""Heads told of; the tables hold all."""


def part(answers: Answers, table: AnswerTable) -> pl.DataFrame:
    """Return a table; empty where nothing was measured for it."""
    found = answers.get(table.name)
    return table.empty() if found is None else found


def found_heads(answers: Answers) -> pl.DataFrame:
    """Return the heads that fetch from the prompt or from evidence, the highest score first."""
    table = part(answers, RETRIEVAL_HEADS).drop_nulls("pvalue_adjusted")
    is_found = (pl.col("pvalue_adjusted") <= answers.level(HEADS_FAMILY)) & (pl.col("lead") > 0)
    return table.filter(is_found & (pl.col("score") >= LEAST)).sort(
        "score", "layer", "head", descending=[True, False, False]
    )


def found_differences(answers: Answers) -> pl.DataFrame:
    """Return what differs between right and wrong predictions, the largest difference first."""
    table = part(answers, RETRIEVAL_DIFFERENCES).drop_nulls("pvalue_claim")
    return table.filter(pl.col("pvalue_claim") <= answers.level(DIFFERENCES_FAMILY)).sort(
        -pl.col("difference").abs(), "layer", "head"
    )


def retrieval_sentences(answers: Answers) -> list[str]:
    """Say which heads fetch, by name and value, whether wrong answers differ, and who reads the evidence."""
    lines = [*_heads(answers), *_differences(answers)] if is_measured(answers.run) else []
    return [*lines, *_readers(answers)] if has_evidence(answers.run) else lines


def _heads(answers: Answers) -> list[str]:
    table, certain = part(answers, RETRIEVAL_HEADS), found_heads(answers)
    tested = table.drop_nulls("pvalue_adjusted")
    if tested.is_empty():
        return ["Whether heads fetch more often than by chance takes samples of five clusters."]
    least = tested["pvalue_adjusted"].min()
    claim = Claim(
        "retrieval",
        HEADS_FAMILY,
        "heads that fetch",
        is_finding=len(certain) > 0,
        pvalue=least if certain.is_empty() else certain["pvalue_adjusted"].max(),  # pyright: ignore[reportArgumentType]
        level=answers.level(HEADS_FAMILY),
        count=max(len(certain), 1),
    )
    what = (
        f"by the largest weight on a token of the prompt that is written next, in at least {percent_text(LEAST)} of "
        f"the rows and more often than by chance"
    )
    heads = count_text(tested.select("layer", "head").n_unique(), "head")
    if certain.is_empty():
        best = tested.sort("score", descending=True).row(0, named=True)
        text = (
            f"None of {heads} is shown to fetch what is written, {what} (highest score "
            f"{percent_text(best['score'])}, head {best['layer']}.{best['head']}, by chance "
            f"{percent_text(best['chance'])})."
        )
        return [Sentence(text, claim)]
    number = certain.select("layer", "head").n_unique()
    verb = "fetches" if number == 1 else "fetch"
    lines = [Sentence(f"{number:,} of {heads} {verb} what is written, {what}.", claim)]
    return [*lines, *(_head(answers, row) for row in certain.head(NUM_NAMED).iter_rows(named=True))]


def _head(answers: Answers, row: Row) -> Sentence:
    name = f"{row['layer']}.{row['head']}"
    source = "prompt" if row["source"] == PROMPT else "evidence"
    claim = Claim(
        "retrieval",
        HEADS_FAMILY,
        f"{row['source']} {name}",
        is_finding=True,
        direction="higher",
        value=row["lead"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=row["pvalue_adjusted"],
        level=answers.level(HEADS_FAMILY),
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    copies = (
        "" if row["copy_score"] is None else f", copy score {signed_text(row['copy_score'], 2)} standard deviations"
    )
    text = (
        f"Head {name} fetches from the {source} in {percent_text(row['score'])} of the rows (by chance "
        f"{percent_text(row['chance'])}; {percent_text(row['copyable'])} of what is written stands there{copies})."
    )
    return Sentence(text, claim)


def _differences(answers: Answers) -> list[str]:
    table = part(answers, RETRIEVAL_DIFFERENCES)
    tested = table.drop_nulls("pvalue_claim")
    if tested.is_empty():
        notes = table["note"].drop_nulls().unique().sort().to_list()
        return [f"Right and wrong predictions could not be compared: {notes[0] if notes else 'it takes both kinds'}."]
    level, certain = answers.level(DIFFERENCES_FAMILY), found_differences(answers)
    least = float(tested["pvalue_claim"].min())  # pyright: ignore[reportArgumentType]
    claim = Claim(
        "retrieval difference",
        DIFFERENCES_FAMILY,
        "is_correct",
        is_finding=len(certain) > 0,
        pvalue=least,
        level=level,
        count=max(len(certain), 1),
    )
    if certain.is_empty():
        text = (
            f"No head is shown to fetch more in right or in wrong predictions ({count_text(len(tested), 'test')}, "
            f"smallest adjusted {held_text(least, level, answers.settings.alpha)}). That is no evidence that none does."
        )
        return [Sentence(text, claim)]
    verb = "differs" if len(certain) == 1 else "differ"
    lines = [
        Sentence(
            f"{len(certain):,} of {count_text(len(tested), 'retrieval score')} {verb} between right and wrong "
            f"predictions by every check.",
            claim,
        )
    ]
    return [*lines, *(_difference(answers, row) for row in certain.head(NUM_NAMED).iter_rows(named=True))]


def _difference(answers: Answers, row: Row) -> Sentence:
    name = f"{row['layer']}.{row['head']}"
    subject = f"is_correct {row['source']} {name}"
    claim = difference_claim(
        "retrieval difference", DIFFERENCES_FAMILY, subject, row, answers.level(DIFFERENCES_FAMILY)
    )
    text = (
        f"Head {name} fetches from the {row['source']} in {percent_text(row['mean_b'])} of the rows of wrong answers "
        f"and {percent_text(row['mean_a'])} of right ones (adjusted difference {100 * row['difference']:+.1f} points, "
        f"{interval_name(answers.settings.alpha)} {100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f}, "
        f"{p_text(row['pvalue_claim'])})."
    )
    return Sentence(text, claim)


def _readers(answers: Answers) -> list[str]:
    """Name the heads that look at evidence most, by query group: what is, not what was tested."""
    table = part(answers, EVIDENCE_HEADS)
    if table.is_empty():
        return ["No sample's record names evidence, so that nobody can be said to read it."]
    lines = []
    for (group,), rows in table.group_by("query_group", maintain_order=True):
        best = rows.drop_nulls("qr_score").sort("qr_score", descending=True).head(3)
        if best.is_empty():
            continue
        named = ", ".join(
            f"{row['layer']}.{row['head']} ({percent_text(row['qr_score'])}"
            + ("" if row["lift"] is None else f", {row['lift']:.3g} times uniform")
            + ")"
            for row in best.iter_rows(named=True)
        )
        lines.append(f"QRscore, the attention to evidence by {query_group_label(str(group))}: highest in {named}.")
    return lines
