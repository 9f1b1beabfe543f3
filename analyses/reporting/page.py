"""``report.html``: one page with every chart, its scripts and data embedded once, that opens offline."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2
import polars as pl

from analyses.charts.files import as_json
from analyses.charts.themes import THEMES
from analyses.design import style_sheet
from analyses.questions.answers import Answers
from analyses.questions.chapters import Chapter, Part
from analyses.reporting.chapters import EXPLORER, absent_parts, chapters, parts
from analyses.reporting.content import ReportContent
from analyses.reporting.findings import CAVEAT, level_lines
from analyses.reporting.references import bibtex
from analyses.reporting.story import PICTURE
from analyses.reporting.text import partial_line
from analyses.wording import visible_token

COUNTS = ("num_a", "num_b", "num_samples", "num_clusters", "is_replicated")
"""Columns that the page shows wherever a table has them."""

COLUMNS_SHOWN, ROWS_SHOWN = 14, 25
"""Most columns and rows of a table that the page shows; the Parquet file has all."""


def environment() -> jinja2.Environment:
    """Return the environment of the templates: every value is escaped."""
    made = jinja2.Environment(loader=jinja2.PackageLoader("analyses.reporting"), autoescape=True, trim_blocks=True)
    made.filters["number"] = shown_number
    made.globals["design"] = style_sheet()
    return made


def render_page(answers: Answers, content: ReportContent, bundle: str) -> str:
    """Return the page: what the report says, with excerpts of the tables below the charts.

    Parameters
    ----------
    answers, content
        What it says.
    bundle
        The scripts that draw its charts; empty where there are none, or they could not be made.
    """
    own = [part.name for part in parts().values() if part.has_table]
    names = dict.fromkeys([name for figure in content.figures for name in figure.tables] + own)
    specifications = {figure.name: as_json(figure.specification) for figure in content.figures}
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            facts=content.facts,
            title=dict(content.facts)["Run"],
            theme=answers.style.theme,
            partial=partial_line(answers.run),
            accuracy=answers["accuracy"].to_dicts(),
            confusion=_confusion_grid(answers["confusion"]),
            rejects=answers["reject_counts"].to_dicts(),
            decision_tokens=[
                row | {"decision_token": visible_token(row["decision_token"], 60)}
                for row in answers["decision_tokens"].head(10).to_dicts()
            ],
            story=content.story,
            picture=content.figure(PICTURE),
            caveat=CAVEAT,
            methods=content.methods,
            levels=level_lines(answers, content.sentences),
            bibtex=bibtex(),
            chapters=[_chapter(chapter, listed, content) for chapter, listed in chapters()],
            missing=content.absent,
            excerpts={name: excerpt(answers[name]) for name in names},
            themes=as_json(THEMES),
            specifications=specifications,
            atlas=as_json(content.atlas) if content.atlas else "",
            explorer=as_json(content.explorer) if content.explorer else "",
            reasons=[(sample["id"], sample["reasons"]) for sample in content.explorer["samples"]]
            if content.explorer
            else [],
            bundle=bundle,
        )
    )


def _chapter(chapter: Chapter, listed: Sequence[Part], content: ReportContent) -> dict[str, object]:
    """Return heading, question, parts (name, title, figure or None, sentences, tables) and what is absent."""
    sections = []
    for part in listed:
        figure = content.figure(part.name)
        if figure is None and not part.has_table and not (part.name == EXPLORER and content.explorer):
            continue
        title, lines = content.part(part.name)
        shown = figure.tables if figure else (part.name,) if part.has_table else ()
        sections.append({"name": part.name, "title": title, "figure": figure, "sentences": lines, "tables": shown})
    # A part without a chart that has sentences of its own is not absent: they say what there is to say.
    present = {section["name"] for section in sections}
    left = {name: reason for name, reason in content.absent.items() if name not in present}
    heading = {"name": chapter.name, "title": chapter.title, "question": chapter.question}
    return {**heading, "parts": sections, "absent": absent_parts(listed, left)}


def excerpt(frame: pl.DataFrame) -> dict[str, object]:
    """Return the first rows of a table, the smallest p first where it has one: its first columns, and its counts."""
    ordered = frame.sort("pvalue", nulls_last=True) if "pvalue" in frame.columns else frame
    head = ordered.head(ROWS_SHOWN).drop("method", "note", strict=False)
    names = [name for slot, name in enumerate(head.columns) if slot < COLUMNS_SHOWN or name in COUNTS]
    return {"columns": names, "rows": head.select(names).rows(), "num_rows": len(frame)}


def _confusion_grid(confusion: pl.DataFrame) -> dict[str, object]:
    predicted = sorted(confusion["predicted_label"].unique())
    actual = sorted(confusion["actual_label"].unique())
    counts = {(row["actual_label"], row["predicted_label"]): row for row in confusion.to_dicts()}
    rows: list[tuple[str, Sequence[object]]] = [
        (label, [counts.get((label, other)) for other in predicted]) for label in actual
    ]
    return {"predicted": predicted, "rows": rows}


def shown_number(value: object) -> str:
    """Return a table's value as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
