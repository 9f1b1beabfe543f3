"""``report.html``: one page with every chart, its scripts and data embedded once, that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import polars as pl

from analyses.analysis_tables import AnalysisTables
from analyses.exports import as_json, javascript_bundle, vegalite_version
from analyses.figures import CHAPTERS, EXPLORER, Chapter, absent_parts
from analyses.findings import ANSWERS, CAVEAT
from analyses.methods import method_lines
from analyses.report_content import ReportContent
from analyses.result_files import partial_line
from analyses.summaries import Overview
from analyses.themes import THEMES
from analyses.wording import visible_token

COUNTS = ("num_a", "num_b", "num_samples", "num_clusters", "is_replicated")
"""Columns that the page shows wherever a table has them."""

COLUMNS_SHOWN, ROWS_SHOWN = 14, 25
"""Most columns and rows of a table that the page shows; the Parquet file has all."""


def environment() -> jinja2.Environment:
    """Return the environment of the templates: every value is escaped."""
    made = jinja2.Environment(loader=jinja2.PackageLoader("analyses"), autoescape=True, trim_blocks=True)
    made.filters["number"] = shown_number
    return made


def render_page(
    tables: AnalysisTables, facts: Overview, content: ReportContent, frames: Mapping[str, pl.DataFrame]
) -> str:
    """Return the page.

    Parameters
    ----------
    tables, facts, content
        What the report says.
    frames
        The analysis tables by name, of which excerpts stand below the charts.
    """
    names = dict.fromkeys([name for figure in content.figures for name in figure.tables] + list(ANSWERS))
    specifications = {figure.name: as_json(figure.specification) for figure in content.figures}
    version = vegalite_version(content.figures[0].specification) if content.figures else None
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            facts=facts.facts,
            title=dict(facts.facts)["Run"],
            theme=tables.look.theme,
            partial=partial_line(tables.run),
            accuracy=facts.accuracy.to_dicts(),
            confusion=_confusion_grid(facts.confusion),
            rejects=facts.rejects.to_dicts(),
            decision_tokens=[
                row | {"decision_token": visible_token(row["decision_token"], 60)}
                for row in facts.decision_tokens.head(10).to_dicts()
            ],
            headlines=content.headlines,
            caveat=CAVEAT,
            methods=method_lines(tables),
            chapters=[_chapter(chapter, content) for chapter in CHAPTERS],
            missing=content.absent,
            excerpts={name: excerpt(frames[name]) for name in names},
            themes=as_json(THEMES),
            specifications=specifications,
            atlas=as_json(content.atlas) if content.atlas else "",
            explorer=as_json(content.explorer) if content.explorer else "",
            reasons=[(sample["id"], sample["reasons"]) for sample in content.explorer["samples"]]
            if content.explorer
            else [],
            bundle=javascript_bundle(version) if version else "",
        )
    )


def _chapter(chapter: Chapter, content: ReportContent) -> dict[str, Any]:
    """Return heading, question, parts (name, title, figure or None, sentences, tables) and what is absent."""
    parts = []
    for name in chapter.parts:
        figure = content.figure(name)
        if figure is None and name not in ANSWERS and not (name == EXPLORER and content.explorer):
            continue
        title, told = content.told(name)
        shown = figure.tables if figure else (name,) if name in ANSWERS else ()
        parts.append({"name": name, "title": title, "figure": figure, "sentences": told, "tables": shown})
    # A part without a chart that has sentences of its own is not absent: they say what there is to say.
    told_of = {part["name"] for part in parts}
    left = {name: reason for name, reason in content.absent.items() if name not in told_of}
    absent = absent_parts(chapter, left)
    told = {"name": chapter.name, "title": chapter.title, "question": chapter.question}
    return told | {"parts": parts, "absent": absent}


def excerpt(frame: pl.DataFrame) -> dict[str, Any]:
    """Return the first rows of a table, the smallest p first where it has one: its first columns, and its counts."""
    ordered = frame.sort("pvalue", nulls_last=True) if "pvalue" in frame.columns else frame
    head = ordered.head(ROWS_SHOWN).drop("method", "note", strict=False)
    names = [name for slot, name in enumerate(head.columns) if slot < COLUMNS_SHOWN or name in COUNTS]
    return {"columns": names, "rows": head.select(names).rows(), "num_rows": len(frame)}


def _confusion_grid(confusion: pl.DataFrame) -> dict[str, Any]:
    predicted = sorted(confusion["predicted_label"].unique())
    actual = sorted(confusion["actual_label"].unique())
    counts = {(row["actual_label"], row["predicted_label"]): row for row in confusion.to_dicts()}
    rows: list[tuple[str, Sequence[Any]]] = [
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
