"""What goes with certainty and the like, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, direction_of
from analyses.questions.correlations.answer import CHECKS
from analyses.questions.families import EVERYTHING, claim_pvalue, family_name
from analyses.wording import count_text, interval_name, p_text, query_group_label, statistic_label

NUM_STRONGEST = 3
"""Heads told of as sentences per target, each by its strongest correlation; the table holds all."""

_WORDS = {
    "certainty": "stated certainty",
    "probability": "the model's own probability of its answer",
    "magnitude": "stated magnitude",
}


def correlation_family(target: str, family: str) -> str:
    """Return the name of the family of a target's correlations."""
    return family_name(f"correlation with {target}", family)


def correlation_sentences(
    table: pl.DataFrame,
    alpha: float = 0.05,
    levels: Mapping[str, float] | None = None,
    held: Mapping[str, str] | None = None,
) -> list[str]:
    """Say per target how many heads go with it, and the strongest of them.

    ``levels`` are those of the families, alpha where none is given; intervals cover 1 - alpha. ``held`` says per target
    what was held fixed in a second fit.
    """
    lines: list[str] = []
    for (name,), rows in table.group_by("target", maintain_order=True):
        words = _WORDS.get(str(name), str(name).replace("_", " "))
        tested = rows.drop_nulls("pvalue")
        if tested.is_empty():
            notes = rows["note"].drop_nulls()
            lines.append(f"Correlation with {words}: not tested: {notes[0] if len(notes) else 'no value'}.")
            continue
        families = {str(one): correlation_family(str(name), str(one)) for one in tested["family"].unique()}
        level_of = {one: (levels or {}).get(family, alpha) for one, family in families.items()}
        level = pl.col("family").replace_strict(level_of, return_dtype=pl.Float64)
        significant = tested.filter((claim_pvalue(CHECKS, 1) <= level).fill_null(False)).sort("pvalue")
        largest = tested.select(claim_pvalue(CHECKS, 1).min()).item()
        first = next(iter(families))
        claim = Claim(
            "correlation",
            families[first],
            str(name),
            is_finding=len(significant) > 0,
            pvalue=largest,
            level=level_of[first],
            count=len(significant),
        )
        counts = f"{len(significant):,} of {count_text(len(tested), 'test')}"
        size = f"{tested['num_samples'].max():,} samples of {tested['num_clusters'].max():,} clusters"
        verb = "is" if len(significant) == 1 else "are"
        text = f"Correlation with {words}: {counts} {verb} significant after adjustment, by every check ({size})."
        if significant.is_empty():
            text += " That is no evidence that nothing goes with it, only that this many samples do not show it."
        lines.append(Sentence(text, claim))
        heads = significant.unique(["query_group", "layer", "head"], keep="first", maintain_order=True)
        fixed = (held or {}).get(str(name), "time")
        lines.extend(
            _sentence(row, words, alpha, level_of[row["family"]], fixed) for row in heads.head(NUM_STRONGEST).to_dicts()
        )
    return lines


def _sentence(row: Mapping[str, Any], words: str, alpha: float, level: float, held: str) -> Sentence:
    more = "higher" if row["rho"] > 0 else "lower"
    left = row["rho_partial"]
    adjusted = p_text(row["pvalue_partial_adjusted"])
    partial = "" if left is None else f"; {left:+.2f} among samples alike in the covariates, adjusted {adjusted}"
    if row["rho_fixed"] is not None:
        partial += f"; {row['rho_fixed']:+.2f} with {held} held fixed, adjusted {p_text(row['pvalue_fixed_adjusted'])}"
    size = f"n = {row['num_samples']:,} in {count_text(row['num_clusters'], 'cluster')}"
    statistic = statistic_label(row["statistic"])
    claim = Claim(
        "correlation",
        correlation_family(row["target"], row["family"]),
        f"{row['target']} {row['query_group']} {row['statistic']} {row['layer']}.{row['head']}",
        is_finding=True,
        direction=direction_of(row["rho"]),
        value=row["rho"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=max(row[name] for name in CHECKS if row[name] is not None),
        level=level,
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    text = (
        f"Head {row['layer']}.{row['head']} ({query_group_label(row['query_group'])}): {statistic[0].lower()}"
        f"{statistic[1:]} is {more} where {words} is higher: rho {row['rho']:+.2f} ({interval_name(alpha)} "
        f"{row['ci_low']:+.2f} to {row['ci_high']:+.2f}, adjusted {p_text(row['pvalue_adjusted'])}{partial}; {size})."
    )
    return Sentence(text, claim)


def is_found(answers: Answers) -> pl.Expr:
    """Return whether a correlation passes every check at the level of its family."""
    name = pl.concat_str(pl.lit("correlation with "), "target") + pl.when(pl.col("family") == EVERYTHING).then(
        pl.lit("")
    ).otherwise(pl.lit(", ") + pl.col("family"))
    level = name.replace_strict(dict(answers.levels), default=answers.settings.alpha, return_dtype=pl.Float64)
    return (claim_pvalue(CHECKS, 1) <= level).fill_null(False)
