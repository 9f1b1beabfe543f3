"""Which heads differ between groups of samples, in plain sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analyses.inference.adjusted.design import INSEPARABLE, LABEL, Cell, ModelSamples, cells
from analyses.questions.answers import Answers
from analyses.questions.claims import PRIMARY, Claim, Sentence, direction_of
from analyses.questions.comparisons import Comparison
from analyses.questions.families import claim_pvalue, is_certain
from analyses.questions.figure import NUM_STRONGEST
from analyses.questions.method_text import held_names, unknown_text
from analyses.runs.labels import labels_of
from analyses.wording import (
    count_text,
    difference_text,
    key_group_label,
    p_text,
    query_group_label,
    statistic_label,
    value_text,
)
from engine.schema import MASS_PREFIX

FEW_SAMPLES = 20
"""A group, or a number of clusters, below this is too small to say much; the report says so."""


def difference_sentences(answers: Answers) -> list[str]:
    """Say which heads differ between the groups of each comparison, or that none does."""
    if not answers.comparisons:
        return ["No comparison is configured (analysis.groups is empty)."]
    sentences: list[str] = []
    for comparison in answers.comparisons:
        if comparison.problem:
            sentences.append(comparison.problem)
            continue
        tested = answers.tests_of(comparison.name).drop_nulls("pvalue")
        level = answers.level(heads_family(answers, comparison.name))
        significant = tested.filter(pl.col("pvalue_adjusted") <= level)
        # Bootstrap p-values tie, t hardly ever does.
        size = (pl.col("difference") / pl.col("standard_error")).abs()
        significant = significant.sort(~is_certain(level), "pvalue", -size, nulls_last=True)
        sentences.append(_verdict(answers, comparison.name, tested, significant))
        sentences.extend(_size_warning(answers, comparison))
        labels = comparison.label_a, comparison.label_b
        counted = significant.with_columns(others=pl.len().over("query_group", "layer", "head") - 1)
        strongest = counted.unique(["query_group", "layer", "head"], keep="first", maintain_order=True)
        sentences.extend(difference_sentence(answers, row, labels) for row in strongest.head(NUM_STRONGEST).to_dicts())
    return sentences


def heads_family(answers: Answers, name: str) -> str:
    """Return the family of a comparison's tests of heads: the first comparison's are the primary one."""
    return PRIMARY if answers.comparison is not None and answers.comparison.name == name else f"heads, {name}"


def _verdict(answers: Answers, name: str, tested: pl.DataFrame, significant: pl.DataFrame) -> Sentence:
    """Say how many tests are significant by every check, as a claim on all of them."""
    family = heads_family(answers, name)
    alpha = answers.level(family)
    certain = tested.filter(is_certain(alpha))
    claim = Claim(
        "difference",
        family,
        name,
        is_finding=len(certain) > 0,
        pvalue=tested.select(claim_pvalue().min()).item() if len(tested) else None,
        level=alpha,
        count=len(certain),
    )
    text = _verdict_text(answers, name, tested, significant, alpha)
    return Sentence(text, claim) if len(tested) else Sentence(text)


def _verdict_text(answers: Answers, name: str, tested: pl.DataFrame, significant: pl.DataFrame, alpha: float) -> str:
    correction, at = _CORRECTIONS[answers.settings.correction], f"{alpha:.2g}"
    checks = "on ranks too, and by max-T" if tested["pvalue_max_t"].is_not_null().any() else "on ranks too"
    is_held = tested["pvalue_fixed"].is_not_null().any()
    also = f", with {_held_in(answers, name)} held fixed as well" if is_held else ""
    drift = "" if is_held or not (why := unknown_text(answers)) else f" {why}: a drift can do that too."
    if tested.is_empty():
        notes = answers.tests_of(name)["note"].drop_nulls().value_counts(sort=True)["note"]
        why = f": {notes[0]}" if len(notes) else ""
        return f"Comparison {name}: no test could be made{why}. The notes in group_differences say why for each."
    if significant.is_empty():
        best = tested.sort("pvalue_adjusted", "pvalue").row(0, named=True)
        return (
            f"Comparison {name}: none of {count_text(len(tested), 'test')} is significant (adjusted by {correction} "
            f"at {at}). The smallest adjusted p is {best['pvalue_adjusted']:.2g} (head {best['layer']}."
            f"{best['head']}, {statistic_label(best['statistic']).lower()}). That is no evidence that nothing differs, "
            "only that this many samples do not show it."
        )
    certain = significant.filter(is_certain(alpha))
    strongest = f" Below, the strongest per head, at most {NUM_STRONGEST}." if len(significant) > 1 else ""
    if certain.is_empty():
        return (
            f"Comparison {name}: {len(significant):,} of {count_text(len(tested), 'test')} "
            f"{'passes' if len(significant) == 1 else 'pass'} {correction} at {at}, but not {checks}{also}. A few "
            "large values can do that when a group is small, or a drift in time: a hint, no finding; "
            f"{_replication_text(significant)}.{drift}{strongest}"
        )
    weaker = len(significant) - len(certain)
    hints = f" Another {weaker:,} {'passes' if weaker == 1 else 'pass'} {correction} alone, a hint." if weaker else ""
    return (
        f"Comparison {name}: {len(certain):,} of {count_text(len(tested), 'test')} "
        f"{'is' if len(certain) == 1 else 'are'} significant (adjusted by {correction} at {at}, {checks}){also}; "
        f"{_replication_text(certain)}.{drift}{hints}{strongest}"
    )


def _replication_text(significant: pl.DataFrame) -> str:
    if not significant["is_replicated"].is_not_null().any():
        return "replication was not tested"
    number = int(significant["is_replicated"].fill_null(False).sum())
    return f"{number:,} of them also {'replicates' if number == 1 else 'replicate'} on clusters kept apart"


_CORRECTIONS = {
    "fdr_bh": "Benjamini-Hochberg",
    "fdr_by": "Benjamini-Yekutieli",
    "holm": "Holm",
    "bonferroni": "Bonferroni",
}


def _size_warning(answers: Answers, comparison: Comparison) -> list[str]:
    """Warn of few samples where it matters: in a group, in a group of one predicted label, in the clusters, in t."""
    tested = answers.tests_of(comparison.name).drop_nulls("pvalue")
    if tested.is_empty():
        return []
    most = tested.select(pl.max("num_a", "num_b", "num_clusters")).row(0)
    freedom = tested["degrees_of_freedom"].max()
    sizes = [
        (most[0], f'{count_text(most[0], "sample")} in group "{comparison.label_a}"'),
        (most[1], f'{count_text(most[1], "sample")} in group "{comparison.label_b}"'),
        (most[2], count_text(most[2], "cluster")),
    ]
    if isinstance(freedom, float):
        sizes.append((freedom, f"{freedom:.1f} degrees of freedom"))
    if f" + {LABEL}" in tested["method"][0]:
        sizes.extend((cell.num_samples, str(cell)) for cell in _cells(answers, comparison)[:1])
    few = [text for size, text in sizes if size < FEW_SAMPLES]
    if not few:
        return []
    return [
        f"Beware of small numbers: {'; '.join(few)}. With so few, p-values and intervals are rough and only very large "
        "differences can show."
    ]


def _cells(answers: Answers, comparison: Comparison) -> list[Cell]:
    member = comparison.is_member
    labels = labels_of(answers.run, "predicted_label").to_numpy()[member]
    names = comparison.label_a, comparison.label_b
    return cells(ModelSamples(comparison.is_a[member], np.zeros(len(labels), np.int64), labels, {}, names))


def _is_inseparable(method: str | None) -> bool:
    return f"{LABEL} ({INSEPARABLE})" in (method or "")


def difference_sentence(answers: Answers, row: dict[str, Any], labels: tuple[str, str]) -> Sentence:
    """Say one row of ``group_differences`` in words; ``others`` counts further findings on the same head and rows."""
    name, confidence = row["statistic"], f"{100 * (1 - answers.settings.alpha):g} %"
    family = heads_family(answers, row["comparison"])
    level = answers.level(family)
    replicated = _replicated_text(row)
    others = f" It also differs in {count_text(row['others'], 'other statistic')}." if row.get("others") else ""
    max_t = "" if row["pvalue_max_t"] is None else f", max-T {p_text(row['pvalue_max_t'])}"
    checks = {
        "max-T": row["pvalue_max_t"],
        "ranks": row["pvalue_ranks_adjusted"],
        "pooled variance": row["pvalue_pooled_adjusted"],
        "exchanged clusters": row["pvalue_exchange"],
        f"{_held_in(answers, row['comparison'])} held fixed": row["pvalue_fixed_adjusted"],
    }
    failed = [check for check, pvalue in checks.items() if pvalue is not None and pvalue > level]
    if failed:
        max_t += f": significant by {_CORRECTIONS[answers.settings.correction]} alone, not by {' or '.join(failed)}"
    adjusted = "difference (not adjusted for the label)" if _is_inseparable(row["method"]) else "adjusted difference"
    is_label = set(labels) <= set(answers.run.samples["predicted_label"])
    is_confounded = _is_inseparable(row["method"]) and not is_label
    caution = f" {labels[0].capitalize()} and {labels[1]} {_CONFOUNDED}" if is_confounded else ""
    claim = Claim(
        "difference",
        family,
        f"{row['comparison']} {row['query_group']} {name} {row['layer']}.{row['head']}",
        is_finding=not failed and (row["pvalue_adjusted"] or 0.0) <= level,
        direction=direction_of(row["difference"]),
        value=row["difference"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=max(filter(None, [row["pvalue_adjusted"], *checks.values()]), default=None),
        level=level,
        num_samples=row["num_a"] + row["num_b"],
        num_clusters=row["num_clusters"],
    )
    text = (
        f"Head {row['layer']}.{row['head']} ({query_group_label(row['query_group'])}){_lift_text(row, confidence)}: "
        f"{statistic_label(name).lower()} is {value_text(name, row['mean_a'])} in {labels[0]} and "
        f"{value_text(name, row['mean_b'])} in {labels[1]} samples; {adjusted} "
        f"{difference_text(name, row['difference'])} ({_interval_name(row, confidence)} "
        f"{difference_text(name, row['ci_low'])} to {difference_text(name, row['ci_high'])}, unadjusted Hedges g "
        f"{row['effect_size']:+.2f}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}{max_t}{_fixed_text(answers, row)}; n = {row['num_a']:,} and "
        f"{row['num_b']:,} in {count_text(row['num_clusters'], 'cluster')}; replicated: {replicated}).{caution}{others}"
    )
    return Sentence(text, claim)


def _interval_name(row: dict[str, Any], confidence: str) -> str:
    """Return "95 % interval", or that it is approximate where values are too skewed for it to cover as often."""
    return f"approximate {confidence} interval" if row.get("is_approximate") else f"{confidence} interval"


def _replicated_text(row: dict[str, Any]) -> str:
    """Return whether a finding replicates; "no" alone would also mean that nobody could find it on fewer clusters."""
    if row["is_replicated"] is None:
        return "not tested"
    if row["is_replicated"]:
        return "yes"
    if row.get("is_discovered") is False:
        return "not found among the clusters kept for discovery"
    return "no"


def _held_in(answers: Answers, name: str) -> str:
    """Return the columns that were held fixed in a second fit of a comparison, in words."""
    return held_names(answers, next((one.column for one in answers.comparisons if one.name == name), ""))


def _fixed_text(answers: Answers, row: dict[str, Any]) -> str:
    """Return the difference with time, or whatever is configured, held fixed."""
    if row["pvalue_fixed"] is None:
        return ""
    difference = difference_text(row["statistic"], row["difference_fixed"])
    names, pvalue = _held_in(answers, row["comparison"]), p_text(row["pvalue_fixed_adjusted"])
    return f"; with {names} held fixed {difference}, adjusted {pvalue}"


_CONFOUNDED = "cannot be told from the predicted label here: the difference may be that of the label."


def _lift_text(row: dict[str, Any], confidence: str) -> str:
    """Return how often the head looks at the words in question, over uniform attention; empty where unknown."""
    if row.get("lift") is None or row.get("lift_ci_low") is None:
        return ""
    return (
        f" looks at {key_group_label(row['statistic'].removeprefix(MASS_PREFIX))} {row['lift']:.2f} times as often as "
        f"uniform attention would ({confidence} interval {row['lift_ci_low']:.2f} to {row['lift_ci_high']:.2f})"
    )
