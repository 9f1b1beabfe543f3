"""What attention goes to over layers and words, in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, direction_of, held_text
from analyses.questions.comparisons import EVERYONE
from analyses.questions.figure import NUM_STRONGEST
from analyses.questions.method_text import held_names
from analyses.questions.profiles.orders import Ends, ends, order_family
from analyses.wording import (
    count_text,
    difference_text,
    interval_name,
    key_group_label,
    p_text,
    percent_text,
    query_group_label,
    statistic_label,
    value_text,
    visible_token,
)

WORDS_FAMILY = "kinds of words between the groups"

UNRANKED = "which is more could not be tested: clusters too few or too unequal, or the same difference in every sample"
"""Why nothing is ranked, and nothing called about the same."""


def key_group_sentences(answers: Answers, measure: str) -> list[str]:
    """Return which kinds of words get the most and the least attention."""
    rows = answers["key_group_attention"].filter(
        (pl.col("measure") == measure) & pl.col("kind").is_in(["union", "category"])
    )
    if rows.is_empty():
        return []
    query_group = "decision" if "decision" in rows["query_group"] else rows["query_group"][0]
    here = rows.filter((pl.col("group") == EVERYONE) & (pl.col("query_group") == query_group)).drop_nulls("mean")
    sentences: list[str] = []
    shown = {row["key_group"]: row for row in here.filter(pl.col("kind") == "category").to_dicts()}
    family = order_family("words")
    ranked = ends(answers["attention_orders"], "words", measure, answers.level(family))
    if ranked is not None and query_group == answers.decision_group:
        most = shown[ranked.highest[0]]
        text = (
            f"Attention of the {query_group_label(query_group)}, averaged over heads: "
            f"{_most_and_least(measure, shown, ranked, answers.mean_interval)} (n = {most['num_samples']:,}, "
            f"{count_text(most['num_clusters'], 'cluster')})."
        )
        sentences.append(Sentence(text, _order_claim(answers, family, f"{query_group} {measure}", ranked, most)))
    return [*sentences, *_differing_words(answers, measure, rows)]


def _differing_words(answers: Answers, measure: str, rows: pl.DataFrame) -> list[str]:
    """Return which kinds of words are looked at differently in the two groups that are compared first."""
    compared = rows.filter(pl.col("group") == EVERYONE).drop_nulls("pvalue")
    if compared.is_empty() or answers.comparison is None:
        return []
    sentences: list[str] = []
    level, words_level = interval_name(answers.settings.alpha), answers.level(WORDS_FAMILY)
    significant = compared.filter(pl.col("pvalue_claim") <= words_level).sort("pvalue")
    labels = f"{answers.comparison.label_a} and {answers.comparison.label_b}"
    if significant.is_empty():
        smallest = compared.select(pl.col("pvalue_claim").min()).item()
        text = (
            f"No kind of word differs significantly between {labels} samples when heads are averaged (smallest "
            f"adjusted {held_text(smallest, words_level, answers.settings.alpha)})."
        )
        claim = Claim("difference", WORDS_FAMILY, measure, is_finding=False, pvalue=smallest, level=words_level)
        sentences.append(Sentence(text, claim))
    for row in significant.head(NUM_STRONGEST).to_dicts():
        parts = ("difference", "difference_ci_low", "difference_ci_high", "difference_fixed")
        limits = [_measured(measure, row[name]) for name in parts]
        fixed = (
            ""
            if row["difference_fixed"] is None
            else f", with {held_names(answers, answers.comparison.column)} held fixed {limits[3]}"
        )
        text = (
            f"{key_group_label(row['key_group']).capitalize()} ({query_group_label(row['query_group'])}): {labels} "
            f"samples differ by {limits[0]} ({level} {limits[1]} to {limits[2]}{fixed}, adjusted "
            f"{p_text(row['pvalue_claim'])})."
        )
        claim = Claim(
            "difference",
            WORDS_FAMILY,
            f"{row['query_group']} {measure}_{row['key_group']}",
            is_finding=True,
            direction=direction_of(row["difference"]),
            value=row["difference"],
            ci_low=row["difference_ci_low"],
            ci_high=row["difference_ci_high"],
            pvalue=row["pvalue_claim"],
            level=words_level,
            num_samples=row["num_samples"],
            num_clusters=row["num_clusters"],
        )
        sentences.append(Sentence(text, claim))
    return sentences


def _order_claim(answers: Answers, family: str, subject: str, ranked: Ends, row: Mapping[str, Any]) -> Claim:
    return Claim(
        "order",
        family,
        subject,
        is_finding=ranked.is_tested and not ranked.is_alike,
        pvalue=ranked.pvalue,
        level=answers.level(family),
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )


def _most_and_least(measure: str, shown: Mapping[str, Mapping[str, Any]], ranked: Ends, name: str) -> str:
    as_text = percent_text if measure == "mass" else _times
    most, least = shown[ranked.highest[0]], shown[ranked.lowest[0]]
    unit = "" if measure == "mass" else " times what uniform attention would give"
    low, high = as_text(least["mean"]), as_text(most["mean"])
    if not ranked.is_tested:
        return f"the kinds of the vocabulary get {low} to {high}{unit}; {UNRANKED}"
    if ranked.is_alike:
        return f"the kinds of the vocabulary get about the same, {low} to {high}{unit}"
    interval = f"{name} {as_text(most['ci_low'])} to {as_text(most['ci_high'])}"
    names = [_with_equals(end, key_group_label) for end in (ranked.highest, ranked.lowest)]
    if measure == "mass":
        return f"of the vocabulary, {names[0]} get the most ({high}, {interval}) and {names[1]} the least ({low})"
    return (
        f"of the vocabulary, {names[0]} get {high} times what uniform attention would give ({interval}), the most, and "
        f"{names[1]} {low} times, the least"
    )


def _with_equals(names: Sequence[str], label: Callable[[str], str]) -> str:
    """Return the first name, with those that do not differ from it: "profit terms (about the same: revenue terms)"."""
    others = ", ".join(label(name) for name in names[1:])
    return f"{label(names[0])} (about the same: {others})" if others else label(names[0])


def _times(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _measured(measure: str, value: float | None) -> str:
    if measure == "mass":
        return difference_text("mass_", value)
    return "unknown" if value is None else f"{value:+.2f} times uniform"


def layer_sentences(answers: Answers) -> list[str]:
    """Return at which depth attention turns to what."""
    vocabulary = f"mass_{answers.vocabulary}"
    rows = answers["layer_profiles"].filter(
        (pl.col("group") == EVERYONE) & (pl.col("query_group") == answers.decision_group)
    )
    sentences: list[str] = []
    for name in (vocabulary, "entropy_normalized"):
        ordered = rows.filter(pl.col("statistic") == name).drop_nulls("mean").sort("mean", descending=True)
        if len(ordered) < 2:
            continue
        family = order_family("layers")
        ranked = ends(answers["attention_orders"], "layers", name, answers.level(family))
        if ranked is None:
            continue
        rows_of = {str(row["layer"]): row for row in ordered.to_dicts()}
        high, low = rows_of[ranked.highest[0]], rows_of[ranked.lowest[0]]
        means = value_text(name, high["mean"]), value_text(name, low["mean"])
        start = f"{statistic_label(name)} ({query_group_label(answers.decision_group)})"
        if not ranked.is_tested:
            text = f"{start} is {means[1]} to {means[0]}, by layer; {UNRANKED}; n = {high['num_samples']:,}."
        elif ranked.is_alike:
            text = f"{start} is about the same in all layers ({means[1]} to {means[0]}); n = {high['num_samples']:,}."
        else:
            limits = f"{value_text(name, high['ci_low'])} to {value_text(name, high['ci_high'])}"
            interval = f"{answers.mean_interval} {limits}"
            places = [_with_equals(end, str) for end in (ranked.highest, ranked.lowest)]
            text = (
                f"{start} is highest in layer {places[0]} ({means[0]}, {interval}) and lowest in layer {places[1]} "
                f"({means[1]}); n = {high['num_samples']:,}."
            )
        claim = _order_claim(answers, family, f"{answers.decision_group} {name}", ranked, high)
        sentences.append(Sentence(text, claim))
    return sentences


def top_token_sentences(answers: Answers) -> list[str]:
    """Return which tokens the decision looks at most."""
    tokens = answers.get("decision_top_tokens")
    if tokens is None:
        return []
    rows = tokens.filter(pl.col("group") == EVERYONE).sort("rank").head(3).to_dicts()
    lines = [
        f"“{visible_token(row['token'])}” {percent_text(row['mean'])} "
        f"({answers.mean_interval} {percent_text(row['ci_low'])} to {percent_text(row['ci_high'])})"
        for row in rows
    ]
    size = f"n = {rows[0]['num_samples']:,} samples"
    family = order_family("tokens")
    ranked = ends(answers["attention_orders"], "tokens", "mass", answers.level(family))
    if ranked is None or not ranked.is_tested:
        return [f"Kept among the heaviest: {', '.join(lines)}; {size}."]
    claim = _order_claim(answers, family, "decision_top_tokens", ranked, rows[0])
    if len(ranked.highest) == 1:
        return [Sentence(f"Heaviest on average: {', '.join(lines)}; {size}.", claim)]
    same = ", ".join(f"“{visible_token(name)}”" for name in ranked.highest[1:4])
    text = f"Among the heaviest on average: {', '.join(lines)}; no heavier than {same}, as far as {size} can tell."
    return [Sentence(text, claim)]
