"""How right and wrong answers read, in plain sentences."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.chapters import Headline
from analyses.questions.claims import Claim, Sentence, difference_claim, held_text
from analyses.wording import count_text, interval_name, key_group_label, p_text, signed_text

Row = dict[str, Any]
"""A row of the table, by column."""

FAMILY = "reading"
"""All measures of reading and receiving are one family of tests."""

NUM_STRONGEST = 5
"""Heads told of, each by its strongest difference; the table holds all."""

LINK = "reading"


def reading_sentences(answers: Answers) -> list[str]:
    """Say which heads read otherwise in wrong predictions; nothing where nothing of it was measured."""
    table = answers.get("reading_differences")
    if table is None:
        return []
    tested = table.drop_nulls("pvalue_claim")
    if tested.is_empty():
        notes = table["note"].drop_nulls().unique().sort().to_list()
        why = "; ".join(notes[:2]) or "it takes right and wrong predictions"
        return [f"How right and wrong answers read could not be compared: {why}."]
    level = answers.level(FAMILY)
    certain = found(tested, level)
    claim = Claim(
        "reading",
        FAMILY,
        "is_correct",
        is_finding=len(certain) > 0,
        pvalue=tested["pvalue_claim"].min(),  # pyright: ignore[reportArgumentType]
        level=level,
        count=len(certain),
    )
    counted = count_text(len(tested), "measure")
    if certain.is_empty():
        least = held_text(claim.pvalue, level, answers.settings.alpha)
        text = (
            f"None of {counted} of reading and receiving differs between right and wrong predictions by every check "
            f"(smallest adjusted {least}). That is no evidence that both read alike, only that this many samples do "
            "not show a difference."
        )
        return [Sentence(text, claim)]
    verb = "differs" if len(certain) == 1 else "differ"
    text = f"{len(certain):,} of {counted} of reading and receiving {verb} between right and wrong predictions."
    strongest = certain.unique(["layer", "head"], keep="first", maintain_order=True).head(NUM_STRONGEST)
    return [Sentence(text, claim), *(_sentence(answers, row, level) for row in strongest.iter_rows(named=True))]


def found(tested: pl.DataFrame, level: float) -> pl.DataFrame:
    """Return the findings, the largest difference in standard deviations first."""
    certain = tested.filter(pl.col("pvalue_claim") <= level)
    return certain.sort(-pl.col("effect_size").abs(), "layer", "head", "measure", "key_group", nulls_last=True)


def reading_headlines(answers: Answers) -> list[Headline]:
    """Return how many measures differ between right and wrong answers, and the largest, if tested."""
    table = answers.get("reading_differences")
    tested = None if table is None else table.drop_nulls("pvalue_claim")
    if tested is None or tested.is_empty():
        return []
    level, least = answers.level(FAMILY), float(tested["pvalue_claim"].min())  # pyright: ignore[reportArgumentType]
    counted, certain = count_text(len(tested), "measure"), found(tested, level)
    if certain.is_empty():
        held = held_text(least, level, answers.settings.alpha)
        text = f"Reading: none of {counted} differs between right and wrong answers (at best {held})."
        return [Headline(text, LINK, pvalue=least)]
    row = certain.row(0, named=True)
    verb = "differs" if len(certain) == 1 else "differ"
    text = (
        f"Reading: {len(certain):,} of {counted} {verb} between right and wrong answers. {measure_text(row)} is "
        f"{row['mean_b']:.3g} in wrong answers, {row['mean_a']:.3g} in right ones."
    )
    return [Headline(text, LINK, pvalue=least, is_finding=True)]


def measure_text(row: Row) -> str:
    """Name a number: "The drift of head 3.1 through line items (tokens per token)"."""
    head, group = f"head {row['layer']}.{row['head']}", row["key_group"] and key_group_label(row["key_group"])
    return {
        "drift": f"The drift of {head} through {group} (tokens per token of the answer)",
        "concentration": f"The concentration of {head} on few tokens of {group} (sum of squared shares)",
        "sink_score": f"The sink score of {head} (mean weight on the first token)",
        "receiver_kurtosis": f"How unevenly sentences receive through {head} (kurtosis)",
    }[row["measure"]]


def _sentence(answers: Answers, row: Row, level: float) -> Sentence:
    subject = f"is_correct {row['measure']} {row['key_group']} {row['layer']}.{row['head']}"
    claim = difference_claim("reading", FAMILY, subject, row, level)
    text = (
        f"{measure_text(row)} is {row['mean_b']:.3g} in wrong answers, {row['mean_a']:.3g} in right ones (adjusted "
        f"difference, right minus wrong, {signed_text(row['difference'], 2)}, {interval_name(answers.settings.alpha)} "
        f"{signed_text(row['ci_low'], 2)} to {signed_text(row['ci_high'], 2)}, adjusted "
        f"{p_text(row['pvalue_claim'])} by every check; n = "
        f"{row['num_b']:,} and {row['num_a']:,} in {count_text(row['num_clusters'], 'cluster')})."
    )
    return Sentence(text, claim)
