"""What pushed the answers, right and wrong ones, in plain sentences."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.attributions.values import FIRST, KEY_GROUP, WHOLE_HEAD, attributed, first_side
from analyses.questions.claims import Claim, Sentence, difference_claim, held_text
from analyses.wording import count_text, interval_name, key_group_label, p_text, signed_text

Row = dict[str, Any]
"""A row of the table, by column."""

FAMILY = "attributions"
"""All attributions are one family of tests."""

NUM_STRONGEST = 5
"""Heads told of, each by its strongest difference; the table holds all."""

NONE = "Nothing was attributed in this run: statistics.attribution is off, samples have no contrast, or the model has"
NONE += " parts that are not known (why_unattributed in the manifests of shards)."

_PERIODS = {"current_period": "current period", "prior_period": "prior period"}


def attribution_sentences(answers: Answers) -> list[str]:
    """Say which heads carry something else in wrong predictions, the strongest by name and value."""
    known = attributed(answers.run)
    if not known.any():
        return [NONE]
    table = answers["attribution_differences"]
    tested = table.drop_nulls("pvalue_claim")
    level = answers.level(FAMILY)
    certain = found(tested, level)
    missing = f" {count_text(int((~known).sum()), 'sample')} could not be attributed." if not known.all() else ""
    if tested.is_empty():
        notes = table["note"].drop_nulls().unique().sort().to_list()
        why = "; ".join(notes[:2]) or "it takes right and wrong predictions"
        return [f"Attributions of right and wrong predictions could not be compared: {why}.{missing}"]
    claim = Claim(
        "attribution",
        FAMILY,
        "is_correct",
        is_finding=len(certain) > 0,
        pvalue=tested["pvalue_claim"].min(),  # pyright: ignore[reportArgumentType]
        level=level,
        count=len(certain),
    )
    if certain.is_empty():
        least = held_text(claim.pvalue, level, answers.settings.alpha)
        text = (
            f"None of {count_text(len(tested), 'attribution')} differs between right and wrong predictions by every "
            f"check (smallest adjusted {least}; {answers.contrast}). That is no evidence that nothing pushes wrong "
            f"answers, only that this many samples do not show it.{missing}"
        )
        return [Sentence(text, claim)]
    verb = "differs" if len(certain) == 1 else "differ"
    text = (
        f"{len(certain):,} of {count_text(len(tested), 'attribution')} {verb} between right and wrong predictions by "
        f"every check ({answers.contrast}). An attribution is what keys add to the margin directly through a head; "
        f"what later layers make of it is not in it.{missing}"
    )
    strongest = certain.unique(["layer", "head"], keep="first", maintain_order=True).head(NUM_STRONGEST)
    return [Sentence(text, claim), *(_sentence(answers, row, level) for row in strongest.iter_rows(named=True))]


def found(tested: pl.DataFrame, level: float) -> pl.DataFrame:
    """Return the findings, the largest difference first; what names its keys before what is a whole head's."""
    certain = tested.filter(pl.col("pvalue_claim") <= level)
    return certain.sort(pl.col("kind") == WHOLE_HEAD, -pl.col("difference").abs(), "layer", "head", "keys", "measure")


def _sentence(answers: Answers, row: Row, level: float) -> Sentence:
    name = interval_name(answers.settings.alpha)
    subject = f"is_correct {row['measure']} {row['kind']} {row['keys']} {row['period']} {row['layer']}.{row['head']}"
    claim = difference_claim("attribution", FAMILY, subject, row, level)
    text = (
        f"Head {row['layer']}.{row['head']} carries {keys_text(row)} towards {towards_text(answers, row)}: "
        f"{signed_text(row['mean_b'], 2)} nats in wrong answers, {signed_text(row['mean_a'], 2)} in right ones "
        f"(adjusted difference, right minus wrong, {signed_text(row['difference'], 2)} nats, {name} "
        f"{signed_text(row['ci_low'], 2)} to {signed_text(row['ci_high'], 2)}, adjusted "
        f"{p_text(row['pvalue_claim'])} by every check; n = {row['num_b']:,} and {row['num_a']:,} in "
        f"{count_text(row['num_clusters'], 'cluster')})."
    )
    return Sentence(text, claim)


def keys_text(row: Row) -> str:
    """Name the keys: "the prior period's Net income", "numbers", "all that it reads"."""
    if row["kind"] == WHOLE_HEAD:
        return "all that it reads"
    if row["kind"] == KEY_GROUP:
        return key_group_label(row["keys"])
    return f"{row['keys']} of the {_PERIODS[row['period']]}" if row["period"] else f"{row['keys']}"


def towards_text(answers: Answers, row: Row) -> str:
    """Name the side: the contrast's first label, or the answer given."""
    return str(first_side(answers.run)) if row["measure"] == FIRST else "the answer given"
