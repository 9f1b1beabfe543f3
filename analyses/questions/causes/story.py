"""What matters for the answer, at the top of the report: one line per cause, and the tile of the heads that matter."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.causes.sentences import constant_text, effect_family
from analyses.questions.causes.values import KEYS, MATCHED, MEASURED, has_causes
from analyses.questions.causes.wording import cause_label, nats_text, part_label
from analyses.questions.chapters import Headline, Tile
from analyses.questions.claims import held_text
from analyses.questions.families import MEAN_CHECKS, claim_pvalue, is_certain
from analyses.wording import count_text, percent_text, plural

Row = dict[str, Any]

_NOUNS = {"knockout": "window of layers", "attention_gradient": "gradient"}
_PLURALS = {"window of layers": "windows of layers", "set of heads": "sets of heads"}
_PARTS = {"layer": "layer", "kv_group": "KV group", "set": "set of heads"}


def cause_headlines(answers: Answers) -> list[Headline]:
    """Return one line per kind of cause: how many effects are there, and the largest; none without causes."""
    if not has_causes(answers.run):
        return []
    lead = answers["causal_effects"].filter(pl.col("measure") == "lead")
    kinds = lead["kind"].unique(maintain_order=True)
    return [_headline(answers, kind, lead.filter(kind=kind)) for kind in kinds]


def _headline(answers: Answers, kind: str, rows: pl.DataFrame) -> Headline:
    link = "knockout_curves" if kind == "knockout" else "causal_map"
    what = kind.replace("_", " ").replace("dla", "direct attribution").capitalize()
    tested = rows.drop_nulls("pvalue").with_columns(claim=claim_pvalue(MEAN_CHECKS))
    constant = constant_text(rows)
    if tested.is_empty():
        notes = rows["note"].drop_nulls().unique().sort().to_list()
        why = f" ({notes[0]})" if notes and not constant else ""
        return Headline(f"{what}: no effect could be tested{why}.{constant}", link)
    size = f"n = {tested['num_samples'].max():,}"
    certain = tested.filter(is_certain(answers.level(effect_family(kind)), MEAN_CHECKS))
    noun = _noun(tested)
    counted = f"1 {noun}" if len(tested) == 1 else f"{len(tested):,} {_PLURALS.get(noun) or plural(noun)}"
    if certain.is_empty():
        least = tested["claim"].min()
        held = held_text(least, answers.level(effect_family(kind)), answers.settings.alpha)  # pyright: ignore[reportArgumentType]
        text = f"{what}: none of {counted} is shown to move the answer's lead ({size}, at best {held}).{constant}"  # pyright: ignore[reportArgumentType]
        return Headline(text, link, pvalue=least)  # pyright: ignore[reportArgumentType]
    row = certain.sort(pl.col("mean").abs(), descending=True).row(0, named=True)
    verb = "move" if kind in MEASURED else "are worth something of"
    verb = f"{verb}s" if len(certain) == 1 and kind in MEASURED else verb
    text = (
        f"{what}: {len(certain):,} of {counted} {verb} the answer's lead ({size}). Largest is {part_label(row)}: "
        f"{_effect(answers, row)}.{constant}"
    )
    return Headline(text, link, pvalue=certain["claim"].min(), is_finding=True)  # pyright: ignore[reportArgumentType]


def _noun(rows: pl.DataFrame) -> str:
    row = rows.row(0, named=True)
    return _NOUNS.get(row["kind"]) or _PARTS.get(row["unit"] or "", "head")


def _effect(answers: Answers, row: Row) -> str:
    ends = "" if row["ci_low"] is None else f" ({nats_text(row['ci_low'])} to {nats_text(row['ci_high'])})"
    return f"{nats_text(row['mean'])}{ends}{_restored(answers, row)}{_turned(answers, row)}"


def _turned(answers: Answers, row: Row) -> str:
    """Return how many answers turn, where that is known: gradients turn none."""
    share = _share(answers, row, "flip")
    return "" if share is None else f", turning {percent_text(share)} of answers"


def _restored(answers: Answers, row: Row) -> str:
    """Return how far a matched right prediction's part takes a wrong one towards it; nothing of other causes."""
    share = _share(answers, row, "restored")
    return "" if share is None else f", {percent_text(share)} of the way to the right prediction's margin"


def _share(answers: Answers, row: Row, measure: str) -> float | None:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(row[name])) for name in KEYS)
    found = answers["causal_effects"].filter(same & (pl.col("measure") == measure))["mean"]
    return None if found.is_empty() else found[0]


def cause_tiles(answers: Answers) -> list[Tile]:
    """Return how many heads matter by intervention, else by gradient; or that nothing was measured.

    Nothing where no head was tested by itself and edges of a circuit were, which have a tile of their own.
    """
    label, link = "Heads that matter", "causal_map"
    unknown = "which heads matter for the answer was not measured"
    if not has_causes(answers.run):
        beside = "No head was intervened on in this run: attention alone does not show what matters (docs/causal.md)."
        return [Tile(label, "not measured", beside, "causes", unknown)]
    lead = answers["causal_effects"].filter((pl.col("measure") == "lead") & pl.col("head").is_not_null())
    tested = lead.drop_nulls("pvalue")
    for kind in ("ablation", "amplification", MATCHED, "head_gradient", "dla", "patching"):
        rows = tested.filter(kind=kind)
        if len(rows):
            return [_tile(answers, kind, rows, label, link, constant_text(lead.filter(kind=kind)))]
    if answers.get("circuit_edges") is not None:
        return []
    if lead.is_empty():
        return [Tile(label, "not tested", f"No cause was tested head by head.{constant_text(lead)}", link, unknown)]
    notes = lead["note"].drop_nulls().unique().sort().to_list()
    why = "" if constant_text(lead) else f" ({notes[0]})" if notes else ""
    beside = f"No effect of a head could be tested{why}.{constant_text(lead)}"
    return [Tile(label, "not tested", beside, link, "which heads matter for the answer could not be tested")]


def _tile(answers: Answers, kind: str, rows: pl.DataFrame, label: str, link: str, constant: str) -> Tile:
    how = "intervened on" if kind in MEASURED else "looked at by gradients alone, without an intervention"
    how = "put from a right prediction into a wrong one" if kind == MATCHED else how
    certain = rows.filter(is_certain(answers.level(effect_family(kind)), MEAN_CHECKS))
    heads, num = rows.select("layer", "head").n_unique(), _num_heads(certain)
    figure, size = f"{num:,} of {heads:,}", f"n = {rows['num_samples'].max():,}"
    if certain.is_empty():
        beside = f"Heads {how} ({size}); that is no evidence that none matters.{constant}"
        return Tile(label, figure, beside, link, f"none of {count_text(heads, 'head')} {how} is shown to matter")
    row = certain.sort(pl.col("mean").abs(), descending=True).row(0, named=True)
    effect = _effect(answers, row)
    beside = f"Heads {how}. Strongest is {part_label(row)}, {cause_label(row)}: {effect}; {size}.{constant}"
    short = f"{nats_text(row['mean'])}{_restored(answers, row)}{_turned(answers, row)}"
    clause = f"{figure} heads {how} move the answer's lead, most of all {part_label(row)} ({short})"
    return Tile(label, figure, beside, link, clause, True)


def _num_heads(rows: pl.DataFrame) -> int:
    return rows.select("layer", "head").n_unique() if len(rows) else 0


def causal_heads(answers: Answers) -> pl.DataFrame:
    """Return ``layer, head, matters`` of every head whose own effect passes every check: by which cause, how much.

    Interventions are told of where there are any; a head that only gradients point at is not among them.
    """
    schema = {"layer": pl.Int32, "head": pl.Int32, "matters": pl.String}
    if not has_causes(answers.run):
        return pl.DataFrame(schema=schema)
    effects = answers["causal_effects"]
    lead = effects.filter((pl.col("measure") == "lead") & pl.col("head").is_not_null() & pl.col("kind").is_in(MEASURED))
    rows = []
    for (kind,), own in lead.group_by("kind", maintain_order=True):
        certain = own.filter(is_certain(answers.level(effect_family(str(kind))), MEAN_CHECKS))
        rows += [
            (row["layer"], row["head"], f"{cause_label(row)}: {nats_text(row['mean'])}")
            for row in certain.iter_rows(named=True)
        ]
    made = pl.DataFrame(rows, schema=schema, orient="row")
    return made.group_by("layer", "head", maintain_order=True).agg(pl.col("matters").str.join("; "))
