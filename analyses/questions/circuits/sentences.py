"""What circuits found, in sentences: edges by name with both numbers, and what the strongest recover."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.inference.adjusted.tested_means import SAME_EVERYWHERE
from analyses.questions.answers import Answers
from analyses.questions.circuits.answer import NOTHING
from analyses.questions.claims import Claim, Sentence, direction_of, held_text
from analyses.questions.families import MEAN_CHECKS, claim_pvalue, is_certain, smallest
from analyses.wording import count_text, interval_name, key_group_label, p_text, percent_text, signed_text

EDGES_FAMILY = "edges of the circuit"
CURVE_FAMILY = "edges kept against random ones"
CURVE_CHECKS = ("pvalue_adjusted", "pvalue_ranks_adjusted")

NUM_STRONGEST = 5
"""Edges told of as sentences; the table holds all."""

ENOUGH = 0.8
"""Share recovered from which a circuit is called enough; of none that is, the largest is told of."""

_INPUTS = {"q": "queries", "k": "keys", "v": "values"}
_REPLACED = {
    "zero": "nothing",
    "mean": "its head's mean output over the samples (of a key group, the mean value of the sample's own keys)",
    "resample": "what it carries in another sample",
    "matched": "what it carries in a matched right prediction",
    "counterfactual": "what it carries after the edited statement",
}
_HEAD_ABLATION = "effects of ablation"
"""Family of the effects of ablation, by which heads are confirmed."""


def edge_families(answers: Answers) -> dict[str, float]:
    """Return the families of edges and of the curve, with the smallest p that could be claimed."""
    edges, curve = lead_edges(answers), answers.get("circuit_faithfulness")
    found = {}
    if edges["pvalue"].is_not_null().any():
        found[EDGES_FAMILY] = smallest(edges.select(claim_pvalue(MEAN_CHECKS)).to_series())
    if curve is not None and curve["pvalue"].is_not_null().any():
        found[CURVE_FAMILY] = smallest(curve.select(claim_pvalue(CURVE_CHECKS)).to_series())
    return found


def lead_edges(answers: Answers) -> pl.DataFrame:
    """Return the edges by their effect on the lead; empty without a circuit."""
    table = answers.get("circuit_edges")
    return (
        pl.DataFrame({"pvalue": []}, schema={"pvalue": pl.Float64}) if table is None else table.filter(measure="lead")
    )


def certain_edges(answers: Answers, edges: pl.DataFrame) -> pl.DataFrame:
    """Return the edges that pass every check, the largest first."""
    certain = edges.filter(is_certain(answers.level(EDGES_FAMILY), MEAN_CHECKS))
    return certain.sort(pl.col("mean").abs(), descending=True)


def edge_sentences(answers: Answers) -> list[str]:
    """Say which edges path patching confirms, the strongest by name with both numbers."""
    edges = lead_edges(answers)
    tested = edges.drop_nulls("pvalue")
    replaced = _REPLACED[edges["replace"][0]] if len(edges) else ""
    verified = edges.drop_nulls("mean")
    heads = _heads_text(answers, edges)
    if tested.is_empty():
        notes = verified["note"].drop_nulls().unique().sort().to_list()
        why = "; ".join(notes[:2]) or "none was verified (causal.circuit.verified)"
        same = _constant(verified)
        return [f"Edges of the circuit: no effect could be tested ({why}).{same}{heads}"]
    level, certain = answers.level(EDGES_FAMILY), certain_edges(answers, tested)
    claim = Claim(
        "effect",
        EDGES_FAMILY,
        "edges",
        is_finding=len(certain) > 0,
        pvalue=tested.select(claim_pvalue(MEAN_CHECKS).min()).item(),
        level=level,
        count=len(certain),
    )
    counted = count_text(len(verified), "edge")
    if certain.is_empty():
        least = held_text(claim.pvalue, level, answers.settings.alpha)
        text = (
            f"None of {counted} that path patching verified changes the lead of the answer, {answers.contrast}, by "
            f"every check (smallest adjusted {least}). That is no evidence that none matters, only that this "
            f"many samples do not show it.{_constant(verified)}{heads}"
        )
        return [Sentence(text, claim)]
    text = (
        f"{len(certain):,} of {counted} that path patching verified {'changes' if len(certain) == 1 else 'change'} "
        f"the lead of the answer, {answers.contrast}, by every check when "
        f"{'it carries' if len(certain) == 1 else 'each alone carries'} {replaced} instead. {chosen_text(answers)} An "
        "edge is direct: what MLPs and other heads on the way make of it is not in it."
        f"{_overlap(certain)}{_constant(verified)}{heads}"
    )
    return [
        Sentence(text, claim),
        *(_sentence(answers, row, level) for row in certain.head(NUM_STRONGEST).iter_rows(named=True)),
    ]


def chosen_text(answers: Answers) -> str:
    """Say on which samples heads and edges were chosen."""
    edges = lead_edges(answers)
    number = edges["num_choosing"][0] if len(edges) else None
    if number is None:
        return (
            "Heads, edges and their order were chosen on the same samples, so that other samples may show them a "
            "little weaker."
        )
    return (
        f"Heads, edges and their order were chosen on {count_text(number, 'other sample')}, of other clusters; those "
        "that verify had no say in them."
    )


def _overlap(certain: pl.DataFrame) -> str:
    """Return a sentence where several key groups are found into one head: they may be the same tokens."""
    read = certain.drop_nulls("key_group")
    if len(read) == read.select("target_layer", "target_head").n_unique():
        return ""
    return " Key groups overlap: what several hand to one head may be the same tokens, counted once in each."


def _constant(verified: pl.DataFrame) -> str:
    """Return a sentence on the largest effect that is the same in every sample: without an error, so without a test."""
    same = verified.filter((pl.col("note") == SAME_EVERYWHERE) & (pl.col("mean").abs() > 1e-4))
    if same.is_empty():
        return ""
    row = same.sort(pl.col("mean").abs(), descending=True).row(0, named=True)
    return f" Without an error, so without a p-value: {edge_text(row)}, {signed_text(row['mean'], 3)} nats."


def _heads_text(answers: Answers, edges: pl.DataFrame) -> str:
    heads = circuit_heads(edges)
    confirmed = confirmed_heads(answers)
    if confirmed is None:
        return f" Its {count_text(len(heads), 'head')} were not ablated one by one in this run (causal.ablation)."
    number = len(heads & confirmed)
    return f" An ablation confirms {number} of its {count_text(len(heads), 'head')}."


def circuit_heads(edges: pl.DataFrame) -> set[tuple[int, int]]:
    """Return layer and head of the circuit's heads."""
    pairs = [*edges.select("source_layer", "source_head").rows(), *edges.select("target_layer", "target_head").rows()]
    return {(layer, head) for layer, head in pairs if layer is not None}


def confirmed_heads(answers: Answers) -> set[tuple[int, int]] | None:
    """Return the heads whose own ablation passes every check; None where no head was ablated by itself."""
    table = answers.get("causal_effects")
    if table is None:
        return None
    ablated = table.filter(
        (pl.col("kind") == "ablation") & (pl.col("measure") == "lead") & pl.col("head").is_not_null()
    )
    if ablated.is_empty():
        return None
    certain = ablated.filter(is_certain(answers.level(_HEAD_ABLATION), MEAN_CHECKS))
    return {(layer, head) for layer, head in certain.select("layer", "head").rows()}


def _sentence(answers: Answers, row: dict[str, Any], level: float) -> Sentence:
    name = interval_name(answers.settings.alpha)
    claim = Claim(
        "effect",
        EDGES_FAMILY,
        edge_subject(row),
        is_finding=True,
        direction=direction_of(row["mean"]),
        value=row["mean"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=max(row[check] for check in MEAN_CHECKS if row[check] is not None),
        level=level,
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    text = edge_text(row)
    return Sentence(
        f"{text[0].upper()}{text[1:]}: {signed_text(row['mean'], 3)} nats of the lead on real runs ({name} "
        f"{signed_text(row['ci_low'], 3)} to {signed_text(row['ci_high'], 3)}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}), {signed_text(row['linearised'], 3)} by gradients; "
        f"n = {row['num_samples']:,} in {count_text(row['num_clusters'], 'cluster')}.",
        claim,
    )


def edge_subject(row: dict[str, Any]) -> str:
    """Return an edge in the names of the table: "0.5 -> 1.1 v"."""
    source = row["key_group"] or f"{row['source_layer']}.{row['source_head']}"
    target = "logits" if row["target_layer"] is None else f"{row['target_layer']}.{row['target_head']} {row['input']}"
    return f"{source} -> {target}"


def edge_text(row: dict[str, Any]) -> str:
    """Name an edge: "head 0.5 into the values of head 1.1", "line items into the values of head 0.5"."""
    source = f"head {row['source_layer']}.{row['source_head']}"
    if row["key_group"] is not None:
        source = key_group_label(row["key_group"])
    if row["target_layer"] is None:
        return f"{source} to the logits"
    return f"{source} into the {_INPUTS[row['input']]} of head {row['target_layer']}.{row['target_head']}"


def curve_sentences(answers: Answers) -> list[str]:
    """Say how much the strongest edges recover, beside random ones."""
    curve = answers.get("circuit_faithfulness")
    if curve is None or curve.is_empty():
        return [
            f"The edges between the circuit's heads account together for less than {NOTHING:g} nats, or are too few."
        ]
    enough = curve.filter(pl.col("recovered") >= ENOUGH)
    row = (enough if len(enough) else curve.tail(1)).row(0, named=True)
    name, level = interval_name(answers.settings.alpha), answers.level(CURVE_FAMILY)
    pvalue = _largest(row)
    is_finding = pvalue is not None and pvalue <= level and row["difference"] > 0
    claim = Claim(
        "effect",
        CURVE_FAMILY,
        f"{row['num_edges']} edges",
        is_finding=is_finding,
        direction=direction_of(row["difference"]),
        value=row["difference"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=pvalue,
        level=level,
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    verdict = "more than" if is_finding else "not shown to be more than"
    ends = "" if row["recovered_ci_low"] is None else f" ({name} {_percents(row, 'recovered')})"
    held = "" if pvalue is None else f"; adjusted {p_text(pvalue)}"
    others = "" if row["random_ci_low"] is None else f" ({name} {_percents(row, 'random')})"
    text = (
        f"The {count_text(row['num_edges'], 'strongest edge')} of {row['num_all']:,} between the circuit's heads and "
        f"to the logits keep {percent_text(row['recovered'])}{ends} of what all of them account for, "
        f"{row['mean_gap']:.3g} nats of the margin on average; that is {verdict} what as many random edges keep, "
        f"{percent_text(row['random'])}{others}{held}; n = {row['num_samples']:,} in "
        f"{count_text(row['num_clusters'], 'cluster')}. {chosen_text(answers)} MLPs and all other heads "
        "stay as they are, so it is no share "
        "of the whole model."
    )
    return [Sentence(text, claim)]


def _largest(row: dict[str, Any]) -> float | None:
    known = [row[check] for check in CURVE_CHECKS]
    return None if any(value is None for value in known) else max(known)


def _percents(row: dict[str, Any], name: str) -> str:
    return f"{percent_text(row[f'{name}_ci_low'])} to {percent_text(row[f'{name}_ci_high'])}"
