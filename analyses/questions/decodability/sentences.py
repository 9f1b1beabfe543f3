"""How well heads predict, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyses.questions.claims import Claim, Sentence, direction_of, held_text
from analyses.questions.decodability.answer import CONTROL, HEADS
from analyses.wording import count_text, p_text, resampled_name

FAMILY = "held-out prediction"


def decodability_sentences(
    table: pl.DataFrame, alpha: float = 0.05, num_controls: int | None = None, level: float | None = None
) -> list[str]:
    """Say per target how well the heads predict it, beside the best of what needs no head and the control.

    ``num_controls``: how many times labels were permuted, which bounds p from below. ``level``: that of the claims,
    alpha by default.
    """
    level = level or alpha
    lines: list[str] = []
    for (_, label_a, label_b), rows in table.group_by("target", "label_a", "label_b", maintain_order=True):
        question = f"Do the heads tell {label_a} from {label_b}?"
        heads = rows.filter(pl.col("model") == HEADS).row(0, named=True)
        if heads["auroc"] is None:
            lines.append(f"{question} Not tested: {heads['note'] or 'no value'}.")
            continue
        size = f"{heads['num_a']:,} and {heads['num_b']:,} samples of {count_text(heads['num_clusters'], 'cluster')}"
        pvalue = heads["pvalue_controls_adjusted"]
        knows = None if pvalue is None else pvalue <= level and heads["pvalue"] <= alpha
        claim = Claim(
            "prediction",
            FAMILY,
            str(heads["target"]),
            is_finding=bool(knows),
            value=heads["auroc"],
            ci_low=heads["ci_low"],
            ci_high=heads["ci_high"],
            pvalue=pvalue,
            level=level,
            num_samples=heads["num_samples"],
            num_clusters=heads["num_clusters"],
        )
        beside, compared = _beside_baseline(rows, heads, alpha, level, bool(knows))
        text = (
            f"{question} {_KNOWS[knows]} For clusters never seen, a sparse model of {heads['num_features']:,} head "
            f"statistics has AUROC {_with_interval(heads, alpha)}, where 0.5 is chance ({size})"
            f"{_beside_control(rows, heads, num_controls)}. {beside}"
        )
        lines.append(Sentence(text, claim, *compared))
    return lines


_KNOWS = {
    True: "They tell something.",
    False: "It is not shown.",
    None: "It was not tested against controls.",
}


def _with_interval(row: Mapping[str, object], alpha: float) -> str:
    return f"{row['auroc']:.2f} ({resampled_name(alpha)} {row['ci_low']:.2f} to {row['ci_high']:.2f})"


def _beside_control(rows: pl.DataFrame, heads: Mapping[str, Any], num_controls: int | None) -> str:
    control = rows.filter(pl.col("model") == CONTROL)
    if control.is_empty():
        return ""
    row = control.row(0, named=True)
    spread = f"95 % of them from {row['ci_low']:.2f} to {row['ci_high']:.2f}"
    mean, pvalue = f"{row['auroc']:.2f}", p_text(heads["pvalue_adjusted"])
    if heads["pvalue_controls_adjusted"] is not None:
        pvalue += f", taken as normal {p_text(heads['pvalue_controls_adjusted'])}"
    least = f"{1 / (num_controls + 1):.2g}" if num_controls else ""
    floor = f" ({num_controls} permutations: before adjustment p is at least {least})" if least else ""
    return f"; with labels permuted {mean} on average ({spread}), adjusted {pvalue}{floor}"


def _beside_baseline(
    rows: pl.DataFrame, heads: Mapping[str, Any], alpha: float, level: float, knows: bool
) -> tuple[str, list[Claim]]:
    if heads["best_baseline"] is None:
        return "There is no baseline to compare with.", []
    best = rows.filter(pl.col("model") == heads["best_baseline"]).row(0, named=True)
    low, high = heads["difference_ci_low"], heads["difference_ci_high"]
    # Two claims are made of each target, so this one counts twice.
    pvalue = None if heads["difference_pvalue"] is None else min(1.0, 2 * heads["difference_pvalue"])
    is_decided = pvalue is not None and pvalue <= level
    if is_decided and low > 0 and knows:
        verdict = "the heads tell more than it does"
    elif is_decided and high < 0 and best["ci_low"] > 0.5:
        verdict = "the heads tell less than it does"
    else:
        verdict = "it is not decided which tells more"
        if pvalue is not None and low * high > 0:
            # An interval beside 0 would seem to decide it.
            verdict += f" ({held_text(pvalue, level, alpha)}, as one of two claims)"
    claim = Claim(
        "prediction",
        FAMILY,
        f"{heads['target']} heads minus {best['model']}",
        is_finding="not decided" not in verdict,
        direction=direction_of(heads["difference"]),
        value=heads["difference"],
        ci_low=low,
        ci_high=high,
        pvalue=pvalue,
        level=level,
    )
    text = (
        f"The best of what needs no head ({best['model']}) has {_with_interval(best, alpha)}; the difference is "
        f"{heads['difference']:+.2f} ({resampled_name(alpha)} {low:+.2f} to {high:+.2f}): {verdict}."
    )
    return text, [claim]
