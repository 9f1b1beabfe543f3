"""Where differences between groups are not those of single heads: stretches of layers, predicted labels, strata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, direction_of, held_text
from analyses.questions.differences.layer_clusters import NO_STRETCH
from analyses.questions.families import EVERYTHING, family_name
from analyses.questions.figure import NUM_STRONGEST
from analyses.wording import count_text, difference_text, p_text, query_group_label, statistic_label


def layer_cluster_sentences(answers: Answers) -> list[str]:
    """Say over which neighbouring layers a statistic differs, heads averaged, or that none does."""
    sentences: list[str] = []
    for comparison in answers.comparisons:
        rows = answers["layer_clusters"].filter(pl.col("comparison") == comparison.name)
        tested = rows.drop_nulls("pvalue_adjusted").sort("pvalue_adjusted", "pvalue")
        if rows.is_empty():
            continue
        if not answers.settings.permutations:
            sentences.append(
                f"Comparison {comparison.name}, heads averaged: stretches of layers were not tested, because "
                "analysis.permutations is 0."
            )
            continue
        if tested.is_empty() and NO_STRETCH not in rows["note"]:
            sentences.append(
                f"Comparison {comparison.name}, heads averaged: stretches of layers could not be tested: "
                f"{rows['note'].drop_nulls().first()}."
            )
            continue
        significant = significant_stretches(answers, comparison.name)
        if significant.is_empty():
            least = tested["pvalue_adjusted"][0] if len(tested) else None
            own = _stretch_level(answers, tested.row(0, named=True)) if len(tested) else answers.settings.alpha
            smallest = f" (smallest adjusted {held_text(least, own, answers.settings.alpha)})" if len(tested) else ""
            text = f"Comparison {comparison.name}, heads averaged: no stretch of neighbouring layers differs{smallest}."
            family = stretch_family(comparison.name, tested["family"][0] if len(tested) else EVERYTHING)
            claim = Claim("stretch", family, comparison.name, is_finding=False, pvalue=least, level=own)
            sentences.append(Sentence(text, claim))
        labels = comparison.label_a, comparison.label_b
        sentences.extend(
            _stretch_sentence(row, labels, _stretch_level(answers, row))
            for row in significant.head(NUM_STRONGEST).to_dicts()
        )
    return sentences


def beside_heads(answers: Answers, comparison: str) -> str:
    """Return, for the top of the report, what differs in a comparison that is no single head's; empty without any."""
    stretches, interactions = significant_stretches(answers, comparison), significant_interactions(answers, comparison)
    parts: list[str] = []
    if len(stretches):
        some = (
            "1 stretch of layers differs" if len(stretches) == 1 else f"{len(stretches):,} stretches of layers differ"
        )
        parts.append(f"with heads averaged, {some}")
    if len(interactions):
        parts.append(f"in {count_text(len(interactions), 'test')} the difference depends on what the model said")
    return ", and ".join(parts)


def significant_stretches(answers: Answers, comparison: str) -> pl.DataFrame:
    """Return the rows of ``layer_clusters`` of a comparison that pass at the level of their family, strongest first."""
    rows = answers["layer_clusters"].filter(pl.col("comparison") == comparison).drop_nulls("pvalue_adjusted")
    return _at_own_level(answers, rows, stretch_family, "pvalue_adjusted").sort("pvalue_adjusted", "pvalue")


def significant_interactions(answers: Answers, comparison: str) -> pl.DataFrame:
    """Return the tests of a comparison whose interaction with the predicted label passes, strongest first."""
    rows = answers.tests_of(comparison).drop_nulls("pvalue_interaction")
    passing = _at_own_level(answers, rows, interaction_family, "pvalue_interaction_adjusted")
    return passing.sort("pvalue_interaction")


def _at_own_level(answers: Answers, rows: pl.DataFrame, named: Callable[[str, str], str], pvalue: str) -> pl.DataFrame:
    """Return the rows whose p is at most the level of their family, which ``named`` names."""
    keys = rows.select("comparison", "family").unique(maintain_order=True).rows()
    passing = [
        rows.filter((pl.col("family") == family) & (pl.col(pvalue) <= answers.level(named(comparison, family))))
        for comparison, family in keys
    ]
    return pl.concat(passing) if passing else rows


def _stretch_level(answers: Answers, row: dict[str, Any]) -> float:
    return answers.level(stretch_family(row["comparison"], row["family"]))


def stretch_family(comparison: str, family: str) -> str:
    """Return the name of the family of a comparison's stretches of layers."""
    return family_name(f"stretches of layers, {comparison}", family)


def _stretch_sentence(row: dict[str, Any], labels: tuple[str, str], level: float) -> Sentence:
    first, last, name = row["first_layer"], row["last_layer"], row["statistic"]
    layers = f"layer {first}" if first == last else f"layers {first} to {last}"
    claim = Claim(
        "stretch",
        stretch_family(row["comparison"], row["family"]),
        f"{row['comparison']} {row['query_group']} {name} {first}-{last}",
        is_finding=True,
        direction=direction_of(row["mass"]),
        value=row["difference"],
        pvalue=row["pvalue_adjusted"],
        level=level,
        num_samples=row["num_a"] + row["num_b"],
        num_clusters=row["num_clusters"],
    )
    several = " Some layer of the stretch differs; which ones, this test does not say." if first < last else ""
    text = (
        f"Comparison {row['comparison']}, heads averaged: {statistic_label(name).lower()} "
        f"({query_group_label(row['query_group'])}) is {'higher' if row['mass'] > 0 else 'lower'} in {labels[0]} "
        f"than in {labels[1]} samples over {layers} (cluster mass {row['mass']:+.1f}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}, largest t in layer {row['peak_layer']}, mean difference "
        f"{difference_text(name, row['difference'])}; n = {row['num_a']:,} and {row['num_b']:,} in "
        f"{count_text(row['num_clusters'], 'cluster')}).{several}"
    )
    return Sentence(text, claim)


def interaction_family(comparison: str, family: str) -> str:
    """Return the name of the family of a comparison's interactions with the predicted label."""
    return family_name(f"interaction with the predicted label, {comparison}", family)


def interaction_sentences(answers: Answers) -> list[str]:
    """Say whether the difference between the groups is another for another predicted label, and where most."""
    sentences: list[str] = []
    for comparison in answers.comparisons:
        tested = answers.tests_of(comparison.name).drop_nulls("pvalue_interaction")
        if tested.is_empty():
            continue
        families = tested["family"].unique(maintain_order=True).to_list()
        levels = {one: answers.level(interaction_family(comparison.name, one)) for one in families}
        significant = significant_interactions(answers, comparison.name)
        labels = comparison.label_a, comparison.label_b
        start = f"Comparison {comparison.name}, by predicted label"
        least = tested["pvalue_interaction_adjusted"].min()
        claim = Claim(
            "interaction",
            interaction_family(comparison.name, families[0]),
            comparison.name,
            is_finding=len(significant) > 0,
            pvalue=least if isinstance(least, float) else None,
            level=levels[families[0]],
            count=len(significant),
        )
        if significant.is_empty():
            shown = held_text(claim.pvalue, levels[families[0]], answers.settings.alpha)
            text = (
                f"{start}: in none of {count_text(len(tested), 'test')} does the difference between {labels[0]} and "
                f"{labels[1]} samples depend on what the model said (smallest adjusted {shown})."
            )
            sentences.append(Sentence(text, claim))
            continue
        row = significant.row(0, named=True)
        name, heads = row["statistic"], count_text(len(significant), "test")
        text = (
            f"{start}: in {heads} of {len(tested):,} the difference between {labels[0]} and {labels[1]} samples "
            "depends on what the model said; the difference over all samples hides that. Most of all in head "
            f"{row['layer']}.{row['head']} ({query_group_label(row['query_group'])}), {statistic_label(name).lower()}: "
            f"among samples predicted “{row['interaction_label']}” it lies "
            f"{difference_text(name, abs(row['interaction'])).removeprefix('+')} "
            f"{'above' if row['interaction'] > 0 else 'below'} that among the others, adjusted "
            f"{p_text(row['pvalue_interaction_adjusted'])}."
        )
        sentences.append(Sentence(text, claim))
    return sentences


def stratum_sentences(answers: Answers) -> list[str]:
    """Say of each column of strata how many findings keep their sign in every part, and how many are significant."""
    sentences: list[str] = []
    findings = answers["replication_by_stratum"].filter("is_finding")
    for name, rows in answers["replication_by_stratum"].group_by("comparison", maintain_order=True):
        if not rows["is_finding"].any():
            columns = ", ".join(str(column).replace("_", " ") for column in rows["stratum_column"].unique().sort())
            sentences.append(
                f"Comparison {name[0]}: no finding to look for again within parts of the samples (by {columns}); "
                "replication_by_stratum has the strongest tests."
            )
    keys = ["query_group", "statistic", "layer", "head"]
    for (name, column), rows in findings.group_by("comparison", "stratum_column", maintain_order=True):
        per_finding = rows.group_by(keys).agg(
            keeps=pl.col("keeps_sign").fill_null(False).all(),
            known=pl.col("keeps_sign").is_not_null().all(),
            everywhere=pl.col("is_significant").fill_null(False).all(),
        )
        parts = count_text(rows["stratum"].n_unique(), "part")
        start = f"Comparison {name}, by {str(column).replace('_', ' ')} ({parts})"
        tested = per_finding.filter("known")
        keeping, everywhere = int(tested["keeps"].sum()), int(tested["everywhere"].sum())
        keep, are = "keeps its" if keeping == 1 else "keep their", "is" if everywhere == 1 else "are"
        total = count_text(len(per_finding), "finding")
        if tested.is_empty():
            why = next(iter(rows.filter(pl.col("keeps_sign").is_null())["note"].drop_nulls()), "too few samples")
            sentences.append(f"{start}: none of {total} could be tested in every part ({why}).")
            continue
        those = total if len(tested) == len(per_finding) else f"the {len(tested):,} of {total} tested in every part"
        sentences.append(
            f"{start}: {keeping:,} of {those} {keep} sign in every part, {everywhere:,} {are} significant in every "
            "part. The parts are of the same samples that the findings were made on."
        )
    return sentences
