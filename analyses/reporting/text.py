"""The text report."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from analyses.questions.answers import Answers
from analyses.reporting.chapters import absent_parts, chapters
from analyses.reporting.content import ReportContent
from analyses.reporting.findings import CAVEAT, level_lines
from analyses.reporting.references import bibtex
from analyses.runs.run import Run
from analyses.wording import count_text, percent_text
from engine.errors import printable


def text_report(answers: Answers, content: ReportContent) -> str:
    """Return ``analysis_summary_report.txt``: the page's content without its charts, in the page's order."""
    blocks = [_heading("Headledger: attention of every head behind recorded predictions", "=")]
    if partial := partial_line(answers.run):
        blocks.append(_wrap(partial))
    told = content.story
    blocks += [_heading("In short", "-"), _wrap(told.question), _wrap(told.answer)]
    blocks.append("\n".join(_wrap(f"* {tile.label}: {tile.figure}. {tile.beside}") for tile in told.tiles))
    blocks.append("\n".join(_wrap(f"* {line}") for line in told.lines))
    blocks.append(_wrap(f"Keep in mind. {CAVEAT}"))
    blocks.append(_heading("What was run", "-"))
    blocks.append("\n".join(_wrap(f"{name}: {value}") for name, value in content.facts))
    blocks += _listed("How well the model did", accuracy_lines(answers))
    blocks += _listed("What counts as a finding", level_lines(answers, content.sentences))
    for chapter, listed in chapters():
        blocks.append(_wrap(f"=== {chapter.title}: {chapter.question}"))
        sections = {part.name: content.part(part.name) for part in listed}
        for title, lines in sections.values():
            blocks += _listed(title, lines) if lines else []
        silent = {name: reason for name, reason in content.absent.items() if name in sections and not sections[name][1]}
        blocks += [_wrap(f"{title}: not in this report. {reason}") for title, reason in absent_parts(listed, silent)]
    blocks += _listed("Methods", content.methods)
    blocks += [_heading("References (BibTeX)", "-"), bibtex()]
    return printable("\n\n".join(blocks) + "\n")


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [_heading(title, "-"), "\n".join(_wrap(f"* {line}") for line in lines)]


def partial_line(run: Run) -> str | None:
    """Return what is missing from a partial run, with the number of shards and samples; None for a whole run."""
    if not run.is_partial:
        return None
    text = "PARTIAL RUN: "
    if not run.is_finished:
        text += "it is not finished. These are the shards committed so far; numbers will change. "
    if run.left_out:
        text += f"{run.left_out}. "
    return f"{text}Analysed: {count_text(len(run.samples), 'sample')}."


def accuracy_lines(answers: Answers) -> list[str]:
    """Return accuracy, confusion and rejects as lines of text."""
    measures, rejects = answers["accuracy"].to_dicts(), answers["reject_counts"].to_dicts()
    if not any(row["num_samples"] for row in measures):
        lines = ["accuracy: unknown, no sample has a known true label"]
    else:
        lines = [
            f"{row['measure']}: {percent_text(row['value'])} (interval {percent_text(row['ci_low'])} to "
            f"{percent_text(row['ci_high'])}, {row['method']}; n = {row['num_samples']:,})"
            for row in measures
        ]
    counted = "actual {actual_label}, predicted {predicted_label}: {num_samples:,}"
    lines.extend(counted.format(**row) for row in answers["confusion"].to_dicts())
    lines.extend("rejected at {stage}, {reason}: {num_samples:,}".format(**row) for row in rejects)
    return lines if rejects else [*lines, "rejected: none"]


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"


def _wrap(text: str) -> str:
    return textwrap.fill(text, 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
