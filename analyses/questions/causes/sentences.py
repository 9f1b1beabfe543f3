"""What interventions and gradients found, in sentences with n, interval, adjusted p and agreement with attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyses.inference.adjusted.tested_means import SAME_EVERYWHERE
from analyses.questions.answers import Answers
from analyses.questions.causes.values import KEYS, MEASURED, has_causes
from analyses.questions.causes.wording import cause_label, measure_label, nats_text, part_label
from analyses.questions.claims import Claim, Sentence, direction_of, held_text
from analyses.questions.families import MEAN_CHECKS, claim_pvalue, is_certain
from analyses.wording import count_text, interval_name, p_text, percent_text, resampled_name

SMALLEST = 1e-4
"""Nats below which a constant effect is rounding."""

NUM_STRONGEST = 3
"""Parts told of as sentences per kind of cause; the table holds all."""

NONE = "No cause was measured in this run; docs/causal.md says how to ask for attributions, ablations and knockouts."


def causal_sentences(answers: Answers) -> dict[str, list[str]]:
    """Return sentences by the name of the chart they belong to."""
    if not has_causes(answers.run):
        return {}
    effects = answers["causal_effects"].filter(pl.col("measure") == "lead")
    heads = effects.filter(pl.col("kind") != "knockout")
    return {
        "causal_map": [line for kind in heads["kind"].unique(maintain_order=True) for line in _kind(answers, kind)],
        "knockout_curves": _kind(answers, "knockout") if len(heads) < len(effects) else [],
        "head_agreement": _agreement(answers),
        "head_screening": _screening(answers),
    }


def effect_family(kind: str) -> str:
    """Return the name of the family of one kind of cause."""
    return f"effects of {kind.replace('_', ' ')}"


def contrast_family(kind: str) -> str:
    """Return the name of the family of right against wrong predictions in one kind of cause."""
    return f"right and wrong under {kind.replace('_', ' ')}"


def _kind(answers: Answers, kind: str) -> list[str]:
    alpha = answers.level(effect_family(kind))
    rows = answers["causal_effects"].filter((pl.col("measure") == "lead") & (pl.col("kind") == kind))
    tested = rows.drop_nulls("pvalue")
    what = kind.replace("_", " ").replace("dla", "direct attribution").capitalize()
    constant = constant_text(rows)
    if tested.is_empty():
        notes = rows["note"].drop_nulls().unique().sort().to_list()
        return [f"{what}: no effect could be tested ({'; '.join(notes[:2]) or 'no value'}).{constant}"]
    certain = tested.filter(is_certain(alpha, MEAN_CHECKS)).sort("pvalue")
    claim = Claim(
        "effect",
        effect_family(kind),
        kind,
        is_finding=len(certain) > 0,
        pvalue=tested.select(claim_pvalue(MEAN_CHECKS).min()).item(),
        level=alpha,
        count=len(certain),
    )
    if certain.is_empty():
        least = held_text(claim.pvalue, alpha, answers.settings.alpha)
        text = (
            f"{what}: none of {count_text(len(tested), 'effect')} on the lead of the answer, {answers.contrast}, is "
            f"significant by every check (smallest adjusted {least}). That is no evidence that none matters, only "
            "that this many samples "
            f"do not show it.{constant}"
        )
        return [Sentence(text, claim)]
    verb = "is" if len(certain) == 1 else "are"
    text = (
        f"{what}: {len(certain):,} of {count_text(len(tested), 'effect')} on the lead of the answer, "
        f"{answers.contrast}, {verb} "
        f"significant after adjustment, on ranks too, and by max-T where it was computed. Below, the largest.{constant}"
    )
    lines: list[str] = [Sentence(text, claim)]
    largest = certain.sort(pl.col("mean").abs(), descending=True).head(NUM_STRONGEST)
    return lines + [_sentence(answers, row) for row in largest.iter_rows(named=True)]


def constant_text(rows: pl.DataFrame) -> str:
    """Return a sentence on the largest effect that is the same in every sample: without an error, so without a test."""
    same = rows.filter((pl.col("note") == SAME_EVERYWHERE) & (pl.col("mean").abs() > SMALLEST))
    if same.is_empty():
        return ""
    row = same.sort(pl.col("mean").abs(), descending=True).row(0, named=True)
    return f" Without an error, so without a p-value: {part_label(row)}, {cause_label(row)}, {nats_text(row['mean'])}."


def _sentence(answers: Answers, row: dict[str, Any]) -> str:
    name = interval_name(answers.settings.alpha)
    interval = f"{name} {nats_text(row['ci_low'])} to {nats_text(row['ci_high'])}"
    max_t = "" if row["pvalue_max_t"] is None else f", max-T {p_text(row['pvalue_max_t'])}"
    size = f"{answers.contrast}; n = {row['num_samples']:,} in {count_text(row['num_clusters'], 'cluster')}"
    start = part_label(row)
    if row["kind"] in MEASURED:
        said = f"changes the lead of the label that the model favours by {nats_text(row['mean'])}"
    else:
        said = f"is worth {nats_text(row['mean'])} of the lead of the label that the model favours"
    contrast, compared = _right_and_wrong(answers, row)
    text = (
        f"{start[0].upper()}{start[1:]}: {cause_label(row)} {said} ({interval}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}{max_t}; {size}){_flips(answers, row, name)}"
        f"{_restored(answers, row, name)}.{contrast}"
    )
    family = effect_family(row["kind"])
    claim = Claim(
        "effect",
        family,
        f"{row['kind']} {start}",
        is_finding=True,
        direction=direction_of(row["mean"]),
        value=row["mean"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=max(row[check] for check in MEAN_CHECKS if row[check] is not None),
        level=answers.level(family),
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    return Sentence(text, claim, *compared)


def _same(table: pl.DataFrame, row: dict[str, object], measure: str) -> dict[str, Any] | None:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(row[name])) for name in KEYS)
    matches = table.filter(same & (pl.col("measure") == measure))
    return matches.row(0, named=True) if len(matches) else None


def _flips(answers: Answers, row: dict[str, Any], name: str) -> str:
    flips = _same(answers["causal_effects"], row, "flip")
    if flips is None or flips["mean"] is None:
        return ""
    return (
        f" and turns {percent_text(flips['mean'])} of the answers ({name} {percent_text(flips['ci_low'])} to "
        f"{percent_text(flips['ci_high'])})"
    )


def _restored(answers: Answers, row: dict[str, Any], name: str) -> str:
    restored = _same(answers["causal_effects"], row, "restored")
    if restored is None or restored["mean"] is None or restored["ci_low"] is None:
        return ""
    return (
        f", which is {percent_text(restored['mean'])} of the way to the right prediction's margin ({name} "
        f"{percent_text(restored['ci_low'])} to {percent_text(restored['ci_high'])})"
    )


def _right_and_wrong(answers: Answers, row: dict[str, Any]) -> tuple[str, list[Claim]]:
    compared = _same(answers["causal_differences"], row, "lead")
    if compared is None or compared["pvalue_claim"] is None:
        return "", []
    family = contrast_family(row["kind"])
    level = answers.level(family)
    is_finding = compared["pvalue_claim"] <= level
    verdict = "differ" if is_finding else "do not differ significantly"
    claim = Claim(
        "contrast",
        family,
        f"{row['kind']} {part_label(row)}",
        is_finding=is_finding,
        direction=direction_of(compared["difference"]),
        value=compared["difference"],
        ci_low=compared["ci_low"],
        ci_high=compared["ci_high"],
        pvalue=compared["pvalue_claim"],
        level=level,
    )
    text = (
        f" Right ({nats_text(compared['mean_a'])}) and wrong predictions ({nats_text(compared['mean_b'])}) {verdict} "
        f"(adjusted {held_text(compared['pvalue_claim'], level, answers.settings.alpha)})."
    )
    return text, [claim]


def _agreement(answers: Answers) -> list[str]:
    overall = answers["head_agreement"].filter(pl.col("layer").is_null())
    name = resampled_name(answers.settings.alpha)
    lines = []
    for one, other in (("mass", "ablation"), ("mass", "head_gradient"), ("head_gradient", "ablation")):
        row = overall.filter((pl.col("measure_a") == one) & (pl.col("measure_b") == other))
        if row.is_empty() or row["rho"][0] is None:
            continue
        words = [measure_label(part, answers.vocabulary) for part in (one, other)]
        values = row.row(0, named=True)
        ends = "" if values["ci_low"] is None else f" ({name} {values['ci_low']:+.2f} to {values['ci_high']:+.2f})"
        lines.append(
            f"{words[0][0].upper()}{words[0][1:]} and the size of {words[1]} rank the "
            f"{count_text(values['num_heads'], 'head')} with rho {values['rho']:+.2f}{ends}{_ceiling(values)}; "
            f"n = {values['num_samples']:,} in {count_text(values['num_clusters'], 'cluster')}."
        )
    if lines:
        lines.append("Near 0, looking somewhere says nothing about mattering; near 1, the two pick out the same heads.")
    return lines


def _ceiling(row: Mapping[str, Any]) -> str:
    """Say what noise takes from a rank correlation, where it takes much."""
    ceiling = row["rho_ceiling"]
    return "" if ceiling is None or ceiling > 0.9 else f", where noise would leave {ceiling:.2f} of a perfect agreement"


def _screening(answers: Answers) -> list[str]:
    names = {"top": "heads chosen by attribution", "random": "random heads of the same layers", "all": "ablated heads"}
    lines = []
    for row in answers["head_screening"].iter_rows(named=True):
        if row["slope"] is None:
            lines.append(f"{row['num_heads']} {names[row['heads']]}: {row['note'] or 'too few to compare'}.")
            continue
        rho = "unknown" if row["rho"] is None else f"{row['rho']:+.2f}"
        ends = (
            ""
            if row["slope_ci_low"] is None
            else f" ({resampled_name(answers.settings.alpha)} {row['slope_ci_low']:.2f} to {row['slope_ci_high']:.2f})"
        )
        lines.append(
            f"{row['num_heads']} {names[row['heads']]}: ablating one changes the lead by {row['mean_size']:.3g} nats "
            f"in size on average; per nat that its gradient foretells, by {row['slope']:.2f}{ends}; rank correlation "
            f"{rho}{_ceiling(row)} ({answers.contrast}; here the lead of the label that is favoured without the head, "
            "so that noise counts for nothing, in the chart of the one that the model favours)."
        )
    return lines


def cause_text(answers: Answers, layer: int, head: int) -> str:
    """Say beside a claim on a head what intervening on it does, or that it was not measured."""
    if not has_causes(answers.run):
        return " Causal effect: not measured."
    rows = (
        answers["causal_effects"]
        .filter(
            (pl.col("measure") == "lead")
            & (pl.col("layer") == layer)
            & (pl.col("head") == head)
            & pl.col("kind").is_in(["ablation", "head_gradient"])
        )
        .sort("kind")
    )
    if rows.is_empty() or rows["mean"][0] is None:
        return " Causal effect: not measured for this head."
    row = rows.row(0, named=True)
    ends = "" if row["ci_low"] is None else f" ({nats_text(row['ci_low'])} to {nats_text(row['ci_high'])})"
    verb = "moves the answer's lead by" if row["kind"] == "ablation" else "foretells, without ablation,"
    return (
        f" Causal effect: {cause_label(row)} {verb} {nats_text(row['mean'])}{ends}, {answers.contrast}."
        f"{_layer_agreement(answers, layer)}"
    )


def _layer_agreement(answers: Answers, layer: int) -> str:
    rows = (
        answers["head_agreement"]
        .filter(
            (pl.col("measure_a") == "mass")
            & pl.col("measure_b").is_in(["ablation", "head_gradient"])
            & (pl.col("layer") == layer)
        )
        .drop_nulls("rho")
        .sort("measure_b")
    )
    if rows.is_empty():
        return ""
    row = rows.row(0, named=True)
    other = measure_label(row["measure_b"], answers.vocabulary)
    return f" In its layer attention and {other} agree with rho {row['rho']:+.2f}."
