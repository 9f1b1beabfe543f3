"""What interventions and gradients found, in sentences with n, interval, adjusted p and agreement with attention."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.analysis_tables import AnalysisTables
from analyses.causal_effects import is_certain
from analyses.causal_values import KEYS, MEASURED, has_causes
from analyses.causal_wording import cause_label, measure_label, nats_text, part_label
from analyses.wording import count_text, interval_name, p_text, percent_text

SMALLEST = 1e-4
"""Nats below which a constant effect is rounding."""

NUM_STRONGEST = 3
"""Parts told of as sentences per kind of cause; the table holds all."""

CAUSAL = ("causal_effects", "causal_differences", "head_agreement", "head_screening")
"""Tables of causes; empty when the run measured none."""

NONE = "No cause was measured in this run; docs/causal.md says how to ask for attributions, ablations and knockouts."


def causal_sentences(tables: AnalysisTables) -> dict[str, list[str]]:
    """Return sentences by the name of the chart they belong to."""
    if not has_causes(tables.run):
        return {}
    found = tables.causal_effects.filter(pl.col("measure") == "lead")
    heads = found.filter(pl.col("kind") != "knockout")
    return {
        "causal_map": [line for kind in heads["kind"].unique(maintain_order=True) for line in _kind(tables, kind)],
        "knockout_curves": _kind(tables, "knockout") if len(heads) < len(found) else [],
        "head_agreement": _agreement(tables),
        "head_screening": _screening(tables),
    }


def _kind(tables: AnalysisTables, kind: str) -> list[str]:
    alpha = tables.settings.alpha
    rows = tables.causal_effects.filter((pl.col("measure") == "lead") & (pl.col("kind") == kind))
    tested = rows.drop_nulls("pvalue")
    what = kind.replace("_", " ").replace("dla", "direct attribution").capitalize()
    constant = _constant(rows)
    if tested.is_empty():
        notes = rows["note"].drop_nulls().unique().sort().to_list()
        return [f"{what}: no effect could be tested ({'; '.join(notes[:2]) or 'no value'}).{constant}"]
    certain = tested.filter(is_certain(alpha)).sort("pvalue")
    if certain.is_empty():
        least = p_text(tested.sort("pvalue_adjusted")["pvalue_adjusted"][0])
        return [
            f"{what}: none of {count_text(len(tested), 'effect')} on the lead of the answer is significant by every "
            f"check (smallest adjusted {least}). That is no evidence that none matters, only that this many samples "
            f"do not show it.{constant}"
        ]
    verb = "is" if len(certain) == 1 else "are"
    lines = [
        f"{what}: {len(certain):,} of {count_text(len(tested), 'effect')} on the lead of the answer {verb} significant "
        f"after adjustment, on ranks too, and by max-T where it was computed. Below, the largest.{constant}"
    ]
    largest = certain.sort(pl.col("mean").abs(), descending=True).head(NUM_STRONGEST)
    return lines + [_sentence(tables, row) for row in largest.iter_rows(named=True)]


def _constant(rows: pl.DataFrame) -> str:
    """Tell of the largest effect that is the same in every sample: it has no error, so no test, but it is there."""
    same = rows.filter(pl.col("pvalue").is_null() & (pl.col("mean").abs() > SMALLEST) & (pl.col("num_clusters") > 1))
    if same.is_empty():
        return ""
    row = same.sort(pl.col("mean").abs(), descending=True).row(0, named=True)
    return f" Without an error, so without a p-value: {part_label(row)}, {cause_label(row)}, {nats_text(row['mean'])}."


def _sentence(tables: AnalysisTables, row: dict[str, Any]) -> str:
    name = interval_name(tables.settings.alpha)
    interval = f"{name} {nats_text(row['ci_low'])} to {nats_text(row['ci_high'])}"
    max_t = "" if row["pvalue_max_t"] is None else f", max-T {p_text(row['pvalue_max_t'])}"
    size = f"n = {row['num_samples']:,} in {count_text(row['num_clusters'], 'cluster')}"
    start = part_label(row)
    if row["kind"] in MEASURED:
        said = f"changes the lead of the label that the model favours by {nats_text(row['mean'])}"
    else:
        said = f"is worth {nats_text(row['mean'])} of the lead of the label that the model favours"
    return (
        f"{start[0].upper()}{start[1:]}: {cause_label(row)} {said} ({interval}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}{max_t}; {size}){_flips(tables, row, name)}.{_right_and_wrong(tables, row)}"
    )


def _same(table: pl.DataFrame, row: dict[str, Any], measure: str) -> dict[str, Any] | None:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(row[name])) for name in KEYS)
    found = table.filter(same & (pl.col("measure") == measure))
    return found.row(0, named=True) if len(found) else None


def _flips(tables: AnalysisTables, row: dict[str, Any], name: str) -> str:
    flips = _same(tables.causal_effects, row, "flip")
    if flips is None or flips["mean"] is None:
        return ""
    return (
        f" and turns {percent_text(flips['mean'])} of the answers ({name} {percent_text(flips['ci_low'])} to "
        f"{percent_text(flips['ci_high'])})"
    )


def _right_and_wrong(tables: AnalysisTables, row: dict[str, Any]) -> str:
    found = _same(tables.causal_differences, row, "lead")
    if found is None or found["pvalue_adjusted"] is None:
        return ""
    verdict = "differ" if found["pvalue_adjusted"] <= tables.settings.alpha else "do not differ significantly"
    return (
        f" Right ({nats_text(found['mean_a'])}) and wrong predictions ({nats_text(found['mean_b'])}) {verdict} "
        f"(adjusted {p_text(found['pvalue_adjusted'])})."
    )


def _agreement(tables: AnalysisTables) -> list[str]:
    found = tables.head_agreement.filter(pl.col("layer").is_null())
    name = interval_name(tables.settings.alpha)
    lines = []
    for one, other in (("mass", "ablation"), ("mass", "head_gradient"), ("head_gradient", "ablation")):
        row = found.filter((pl.col("measure_a") == one) & (pl.col("measure_b") == other))
        if row.is_empty() or row["rho"][0] is None:
            continue
        words = [measure_label(part, tables.vocabulary) for part in (one, other)]
        values = row.row(0, named=True)
        ends = "" if values["ci_low"] is None else f" ({name} {values['ci_low']:+.2f} to {values['ci_high']:+.2f})"
        lines.append(
            f"{words[0][0].upper()}{words[0][1:]} and the size of {words[1]} rank the "
            f"{count_text(values['num_heads'], 'head')} alike with rho {values['rho']:+.2f}{ends}; "
            f"n = {values['num_samples']:,} in {count_text(values['num_clusters'], 'cluster')}."
        )
    if lines:
        lines.append("Near 0, looking somewhere says nothing about mattering; near 1, the two pick out the same heads.")
    return lines


def _screening(tables: AnalysisTables) -> list[str]:
    names = {"top": "heads chosen by attribution", "random": "random heads of the same layers", "all": "ablated heads"}
    lines = []
    for row in tables.head_screening.iter_rows(named=True):
        if row["slope"] is None:
            lines.append(f"{row['num_heads']} {names[row['heads']]}: {row['note'] or 'too few to compare'}.")
            continue
        rho = "unknown" if row["rho"] is None else f"{row['rho']:+.2f}"
        ends = (
            "" if row["slope_ci_low"] is None else f" ({interval_name(tables.settings.alpha)} "
            f"{row['slope_ci_low']:.2f} to {row['slope_ci_high']:.2f})"
        )  # fmt: skip
        lines.append(
            f"{row['num_heads']} {names[row['heads']]}: ablating one changes the lead by {row['mean_size']:.3g} nats "
            f"on average; per nat that its gradient foretells, by {row['slope']:.2f}{ends}; rank correlation {rho}."
        )
    return lines


def cause_text(tables: AnalysisTables, layer: int, head: int) -> str:
    """Say beside a claim on a head what intervening on it does, or that it was not measured."""
    if not has_causes(tables.run):
        return " Causal effect: not measured."
    rows = tables.causal_effects.filter(
        (pl.col("measure") == "lead") & (pl.col("layer") == layer) & (pl.col("head") == head)
        & pl.col("kind").is_in(["ablation", "head_gradient"])
    ).sort("kind")  # fmt: skip
    if rows.is_empty() or rows["mean"][0] is None:
        return " Causal effect: not measured for this head."
    row = rows.row(0, named=True)
    ends = "" if row["ci_low"] is None else f" ({nats_text(row['ci_low'])} to {nats_text(row['ci_high'])})"
    verb = "moves the answer's lead by" if row["kind"] == "ablation" else "foretells, without ablation,"
    return f" Causal effect: {cause_label(row)} {verb} {nats_text(row['mean'])}{ends}.{_layer_agreement(tables, layer)}"


def _layer_agreement(tables: AnalysisTables, layer: int) -> str:
    rows = tables.head_agreement.filter(
        (pl.col("measure_a") == "mass") & pl.col("measure_b").is_in(["ablation", "head_gradient"])
        & (pl.col("layer") == layer)
    ).drop_nulls("rho").sort("measure_b")  # fmt: skip
    if rows.is_empty():
        return ""
    row = rows.row(0, named=True)
    other = measure_label(row["measure_b"], tables.vocabulary)
    return f" In its layer attention and {other} agree with rho {row['rho']:+.2f}."
