"""Whether heads foretell errors, at the top of the report: beside the margin alone, and one line per target."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.chapters import Headline, Tile
from analyses.questions.claims import Claim, claims_of, held_text
from analyses.questions.decodability.answer import HEADS
from analyses.questions.decodability.sentences import FAMILY, decodability_sentences
from analyses.wording import plural, resampled_name

_LINK = "decodability"
_ERRORS, _MARGIN = "is_correct", "margin"


def _claims(answers: Answers, rows: pl.DataFrame) -> list[Claim]:
    """Return what the report's sentence on a target claims: that heads tell something, and against the best baseline.

    ``rows``: those of ``decodability`` of one target.
    """
    lines = decodability_sentences(rows, answers.settings.alpha, level=answers.level(FAMILY))
    return [claim for line in lines for claim in claims_of(line)]


def decodability_headlines(answers: Answers) -> list[Headline]:
    """Return one line per target that could be predicted."""
    lines = []
    for _, rows in answers["decodability"].group_by("target", maintain_order=True):
        heads = rows.filter(model=HEADS).row(0, named=True)
        claims = _claims(answers, rows)
        if heads["auroc"] is None or not claims:
            continue
        tells = "tell" if claims[0].is_finding else "are not shown to tell"
        best = rows.filter(model=heads["best_baseline"]) if heads["best_baseline"] else rows.clear()
        beside = f"; {best['model'][0]} without heads: {best['auroc'][0]:.2f}" if len(best) else ""
        text = (
            f"On unseen {plural(answers.cluster_noun)}, heads {tells} {heads['label_a']} from "
            f"{heads['label_b']} (AUROC {heads['auroc']:.2f}, 0.5 is chance, "
            f"{_tested(answers, heads)}{beside})."
        )
        lines.append(Headline(text, _LINK, pvalue=claims[0].pvalue, is_finding=claims[0].is_finding))
    return lines


def _tested(answers: Answers, heads: dict[str, Any]) -> str:
    """Return the p that the claim rests on, or that there is none."""
    pvalue = heads["pvalue_controls_adjusted"]
    if pvalue is None:
        return "too few controls for a test"
    return held_text(pvalue, answers.level(FAMILY), answers.settings.alpha)


def decodability_tiles(answers: Answers) -> list[Tile]:
    """Return how well heads foretell errors, against the margin alone."""
    label, rows = "Heads foretell errors", answers["decodability"].filter(target=_ERRORS)
    heads = rows.filter(model=HEADS)
    if heads.is_empty() or heads["auroc"][0] is None:
        turned_off = answers.settings.predicted is None
        why = "Prediction is turned off (analysis.decodability)." if turned_off else "Errors could not be predicted."
        if len(heads) and heads["note"][0]:
            why = f"Errors could not be predicted: {heads['note'][0]}."
        return [Tile(label, "not tested", why, _LINK, "whether heads foretell errors was not tested", is_further=True)]
    row = heads.row(0, named=True)
    claims = _claims(answers, rows)
    knows, is_better = claims[0].is_finding, any(one.is_finding and one.direction == "higher" for one in claims[1:])
    is_worse = any(one.is_finding and one.direction == "lower" for one in claims[1:])
    name = resampled_name(answers.settings.alpha)
    interval = f"{name} {row['ci_low']:.2f} to {row['ci_high']:.2f}"
    beside = f"AUROC on unseen {plural(answers.cluster_noun)}, 0.5 is chance ({interval})."
    margin = rows.filter(model=_MARGIN)
    against = ""
    if len(margin) and margin["auroc"][0] is not None:
        beside = f"{beside} Margin alone: {margin['auroc'][0]:.2f}."
        against = f" against {margin['auroc'][0]:.2f} by margin alone"
    verdict = "heads foretell errors" if knows else "heads are not shown to foretell errors"
    compared = (
        "better than anything without heads" if is_better else "worse than what needs no head" if is_worse else ""
    )
    more = f", {compared or 'and not shown to beat what needs no head'}" if knows or is_worse else ""
    clause = f"{verdict} (AUROC {row['auroc']:.2f}{against}){more}"
    return [Tile(label, f"AUROC {row['auroc']:.2f}", beside, _LINK, clause, knows, is_further=True)]
