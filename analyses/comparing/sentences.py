"""What the page of compared runs says, each sentence with its claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from analyses.comparing.analysed_runs import PLAIN_NOUNS, CountedNouns
from analyses.comparing.answer import RunComparison
from analyses.comparing.common_samples import EQUIVALENT, is_changed
from analyses.questions.claims import Claim, Sentence, direction_of
from analyses.wording import count_text, interval_name, p_text, percent_text


def sentences(compared: RunComparison, alpha: float, nouns: CountedNouns = PLAIN_NOUNS) -> list[Sentence]:
    """Say of each other run how answers, heads, types and findings compare with those of the first."""
    lines = []
    for row in compared.pairs.to_dicts():
        names = f"{row['run']} and {row['other_run']}"
        lines.append(_named(names, _answers(row, alpha, nouns)))
        if row["is_same_shape"]:
            lines.append(_named(names, _heads(row, compared)))
        if row["note"]:
            lines.append(Sentence(f"{names}: {row['note']}."))
    return lines


def _named(names: str, sentence: Sentence) -> Sentence:
    claims = (replace(claim, subject=names, chapter="compared_runs") for claim in sentence.claims)
    return Sentence(f"{names}: {sentence}", *claims)


def _answers(row: dict[str, Any], alpha: float, nouns: CountedNouns) -> Sentence:
    if not row["num_samples"]:
        return Sentence("they share no sample (no common sample_id); their columns stand side by side, not tested.")
    text = f"{count_text(row['num_samples'], nouns.sample)} in common"
    if row["share_same_answer"] is not None:
        text += f", of which {percent_text(row['share_same_answer'])} get the same answer"
    if row["accuracy"] is None:
        return Sentence(f"{text}; no common sample has a known true label in both.")
    text += f"; right are {percent_text(row['accuracy'])} and {percent_text(row['accuracy_other'])}"
    if row["ci_low"] is None:
        return Sentence(f"{text}; no interval: the difference is the same everywhere, or clusters are too few.")
    is_finding = row["pvalue"] is not None and row["pvalue"] <= row["level_answers"]
    ends = [f"{100 * row[name]:+.1f}" for name in ("difference", "ci_low", "ci_high")]
    text += (
        f", a paired difference of {ends[0]} points ({interval_name(alpha)} {ends[1]} to {ends[2]}, "
        f"{p_text(row['pvalue'])}, {count_text(row['num_clusters'], nouns.cluster)}): "
        f"{'one is right more often' if is_finding else 'that one is right more often is not shown'}."
    )
    claim = Claim(
        "change",
        "answers of runs",
        "",
        is_finding,
        direction_of(row["difference"]),
        value=row["difference"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=row["pvalue"],
        level=row["level_answers"],
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    return Sentence(text, claim)


def _heads(row: dict[str, Any], compared: RunComparison) -> Sentence:
    rhos = compared.heads.filter(pl.col("other_run") == row["other_run"])["rho"].drop_nulls()
    parts, claims = [], []
    if len(rhos):
        parts.append(f"statistics rank the heads alike with rho {rhos.median():+.2f} (median over {len(rhos):,})")
    if row["share_same_type"] is not None:
        parts.append(f"{percent_text(row['share_same_type'])} of the heads have the same type")
    if row["num_tests"]:
        parts.append(
            f"of {count_text(row['num_tests'], 'test')} in both, {row['num_significant']:,} and "
            f"{row['num_significant_other']:,} are significant, {row['num_agreeing']:,} in both with the same sign"
        )
    if row["num_changed"] is not None and not row["num_tested"]:
        changes = compared.changes.filter(pl.col("other_run") == row["other_run"])["difference"]
        parts.append(
            "no change of a head could be tested in the common samples (it is the same in all of them, or clusters are "
            f"too few); {int((changes == 0).sum()):,} of {len(changes):,} are exactly 0"
        )
    elif row["num_changed"] is not None:
        claims.append(_change_claim(row))
        parts.append(_changes(row, compared.changes.filter(pl.col("other_run") == row["other_run"])))
    return Sentence(f"{'; '.join(parts)}." if parts else "no statistic is in both.", *claims)


def _changes(row: dict[str, Any], changes: pl.DataFrame) -> str:
    """Say how many statistics of heads changed, how many did not, and of how many neither is known."""
    small = changes.filter(is_changed(row["level_changes"]) & pl.col("is_unchanged").fill_null(False)).height
    untested = changes.filter(pl.col("pvalue").is_null())["difference"]
    bound = f"{EQUIVALENT:g} standard deviations between samples"
    parts = [
        f"{row['num_changed']:,} of {row['num_tested']:,} tested statistics of heads changed significantly in the "
        f"common samples, on ranks too (level {row['level_changes']:.2g})"
    ]
    if small:
        parts[0] += f", {small:,} of them by less than {bound}"
    parts.append(f"{row['num_unchanged']:,} are unchanged, each to within {bound}")
    if row["num_tested"] > row["num_changed"] + row["num_unchanged"]:
        parts.append("of the others neither is shown")
    if len(untested):
        parts.append(
            f"{len(untested):,} more could not be tested (the same change in all samples, or clusters are too few), "
            f"{int((untested == 0).sum()):,} of them exactly 0"
        )
    return "; ".join(parts)


def _change_claim(row: dict[str, Any]) -> Claim:
    return Claim(
        "change",
        "changes of heads",
        "",
        row["num_changed"] > 0,
        "other" if row["num_changed"] else "",
        level=row["level_changes"],
        count=row["num_changed"],
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
