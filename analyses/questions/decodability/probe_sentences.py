"""What probes of each preset tell, in plain sentences, and whether heads tell before the answer is written."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.claims import Claim, Sentence, held_text
from analyses.questions.decodability.answer import HEADS
from analyses.questions.decodability.figures import heads_beside_others
from analyses.questions.decodability.presets import BEFORE, preset_label
from analyses.questions.decodability.probes import TOGETHER
from analyses.questions.figure import Absent, Figure, sample_line
from analyses.wording import count_text, percent_text, query_group_label, resampled_name

Row = dict[str, Any]
"""A row of the table, by column."""

FAMILY = "probes by preset"

_KNOWN_LATER = ("length", "margin", "surprisal", TOGETHER)
"""Models without heads that take what the answer says."""


def tested_probes(answers: Answers) -> pl.DataFrame:
    """Return the probes that were held against controls; empty without presets."""
    table = answers.get("probes")
    if table is None:
        return pl.DataFrame(schema={"pvalue_adjusted": pl.Float64})
    return table.filter(pl.col("model") == HEADS).drop_nulls("pvalue_adjusted")


def probe_sentences(answers: Answers) -> list[str]:
    """Say per target whether heads tell before the answer is written, then what each probe tells."""
    table = answers.get("probes")
    if table is None:
        return []
    lines: list[str] = []
    for _, rows in table.group_by("target", maintain_order=True):
        heads = rows.filter(pl.col("model") == HEADS)
        if heads["preset"].null_count() == len(heads):
            row = heads.row(0, named=True)
            lines.append(f"Probes of {row['target']} could not be made: {row['note']}.")
            continue
        lines += [_before(answers, rows), *(_probe(answers, row) for row in heads.iter_rows(named=True))]
        lines.append(_without_heads(rows))
    return lines


def _knows(answers: Answers, row: Row) -> bool:
    pvalue = row["pvalue_adjusted"]
    return pvalue is not None and pvalue <= answers.level(FAMILY) and row["pvalue"] <= answers.settings.alpha


def _before(answers: Answers, rows: pl.DataFrame) -> str:
    """Answer from the rows of prompt and thought alone whether heads can tell before the answer is written."""
    first = rows.row(0, named=True)
    question = f"Can the heads tell {first['label_a']} from {first['label_b']} before the answer is written?"
    early = rows.filter((pl.col("model") == HEADS) & pl.col("query_group").is_in(BEFORE))
    judged = early.drop_nulls("auroc")
    if judged.is_empty():
        notes = early["note"].drop_nulls().unique(maintain_order=True).to_list()
        why = "; ".join(notes) or "no probe is of the rows of the prompt or the thought"
        return f"{question} Not tested: {why}."
    tested = judged.drop_nulls("pvalue_adjusted")
    if tested.is_empty():
        return f"{question} It was not tested against controls."
    best = tested.sort("pvalue_adjusted", -pl.col("auroc")).row(0, named=True)
    knows = _knows(answers, best)
    claim = Claim(
        "prediction",
        FAMILY,
        f"{first['target']} before the answer",
        is_finding=knows,
        value=best["auroc"],
        ci_low=best["ci_low"],
        ci_high=best["ci_high"],
        pvalue=best["pvalue_adjusted"],
        level=answers.level(FAMILY),
        num_samples=best["num_samples"],
        num_clusters=best["num_clusters"],
    )
    verdict = "They tell something" if knows else "It is not shown"
    number = "" if len(tested) == 1 else f", the surest of {count_text(len(tested), 'probe')} of rows before the answer"
    beside = _listed(rows.filter(pl.col("model") == "prompt length"))
    later = _listed(rows.filter(pl.col("model").is_in(_KNOWN_LATER)))
    text = (
        f"{question} {verdict}: {_named(best)} by {query_group_label(best['query_group'])} has {_auroc(answers, best)}"
        f"{number}. Known by then without heads: {beside or 'nothing that varies'}; known once the answer is written: "
        f"{later}; {percent_text(best['share'])} are {first['label_a']}."
    )
    return Sentence(text, claim)


def _probe(answers: Answers, row: Row) -> str:
    where = f"{_named(row)[0].upper()}{_named(row)[1:]} by {query_group_label(row['query_group'])}"
    if row["auroc"] is None:
        return f"{where}: not tested, {row['note'] or 'no value'}."
    knows = _knows(answers, row)
    claim = Claim(
        "prediction",
        FAMILY,
        f"{row['target']} {row['query_group']} {row['preset']}",
        is_finding=knows,
        value=row["auroc"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        pvalue=row["pvalue_adjusted"],
        level=answers.level(FAMILY),
        num_samples=row["num_samples"],
        num_clusters=row["num_clusters"],
    )
    gain = 1 - row["brier"] / row["base_brier"] if row["base_brier"] else 0.0
    slope = "" if row["slope"] is None else f"slope {row['slope']:.2f} (1 is calibrated), "
    name = resampled_name(answers.settings.alpha)
    text = (
        f"{where}: {'tells something' if knows else 'not shown to tell'}, {_auroc(answers, row)}; {slope}squared error "
        f"{100 * abs(gain):.0f} % {'below' if gain >= 0 else 'above'} that of the base rate; {row['difference']:+.2f} "
        f"against {row['best_baseline']} ({name} {row['difference_ci_low']:+.2f} to {row['difference_ci_high']:+.2f})."
    )
    return Sentence(text, claim)


def _named(row: Row) -> str:
    return f"a probe of {preset_label(row['preset'])}"


def _auroc(answers: Answers, row: Row) -> str:
    interval = f"{resampled_name(answers.settings.alpha)} {row['ci_low']:.2f} to {row['ci_high']:.2f}"
    pvalue = row["pvalue_adjusted"]
    adjusted = held_text(pvalue, answers.level(FAMILY), answers.settings.alpha)
    return f"AUROC {row['auroc']:.2f} ({interval}{'' if pvalue is None else f', adjusted {adjusted}'})"


def _listed(rows: pl.DataFrame) -> str:
    return ", ".join(f"{row['model']} {row['auroc']:.2f}" for row in rows.iter_rows(named=True))


def _without_heads(rows: pl.DataFrame) -> str:
    others = rows.filter(pl.col("model") != HEADS)
    first = rows.row(0, named=True)
    return (
        f"What needs no head, judged alike: {_listed(others)}; {percent_text(first['share'])} of "
        f"{count_text(first['num_samples'], 'sample')} are {first['label_a']}."
    )


def probes_figure(answers: Answers) -> list[Figure | Absent]:
    """Draw the probes side by side; nothing without presets."""
    table = answers.get("probes")
    if table is None:
        return []
    models = table.drop_nulls("auroc")
    if models.is_empty():
        why = table["note"].drop_nulls()
        return [Absent("probes", f"No probe could be made: {why[0] if len(why) else 'no target has two groups'}.")]
    is_heads = pl.col("model") == HEADS
    several = models["target"].n_unique() > 1
    named = pl.when(is_heads).then(pl.format("{}, {} rows", "preset", "query_group")).otherwise(pl.col("model"))
    shown = pl.format("{}: {}", pl.col("target").str.replace_all("_", " "), named) if several else named
    drawn = heads_beside_others(answers, models, shown, sample_line(answers))
    guide = (
        "Each probe predicts from one kind of head statistic, of one set of rows. Rows of the prompt and of the "
        "thought lie before the answer: what they tell was there before it was written."
    )
    return [Figure("probes", "What kind of attention tells, and when?", guide, drawn, ("probes",))]
