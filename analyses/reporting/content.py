"""What a report says, before it becomes a page, a text or files: charts, sentences, data of the interactive parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyses.questions.answers import Answers
from analyses.questions.figure import Figure
from analyses.questions.overview.facts import run_facts
from analyses.questions.sample_choice import RULE
from analyses.reporting.chapters import EXPLORER, make_figures, parts
from analyses.reporting.findings import findings, method_lines
from analyses.reporting.interactive.atlas import atlas_content, panel_figures
from analyses.reporting.interactive.explorer import explorer_content, sample_flow_figure
from analyses.reporting.story import Story, story, summary_figure


@dataclass(frozen=True)
class ReportContent:
    """The report's content.

    Attributes
    ----------
    facts
        What was run, as (what, value) in reading order.
    figures
        Every chart, those of the head panel and of the sample explorer last.
    absent
        Name of each part that is not there, and why.
    sentences
        Findings by the name of the part they belong to.
    methods
        What was tested and how.
    story
        The top of the report.
    atlas, explorer
        Data of the head panel and of the sample explorer, JSON-ready; None where ``absent`` says why.
    """

    facts: Sequence[tuple[str, str]]
    figures: Sequence[Figure]
    absent: Mapping[str, str]
    sentences: Mapping[str, list[str]]
    methods: Sequence[str]
    story: Story
    atlas: Mapping[str, object] | None
    explorer: Mapping[str, Any] | None

    def figure(self, name: str) -> Figure | None:
        """Return a chart by name, or None."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def part(self, name: str) -> tuple[str, list[str]]:
        """Return the heading of a part of a chapter, and its sentences, if it has any."""
        figure = self.figure(name)
        return figure.title if figure else parts()[name].title, list(self.sentences.get(name, ()))


def report_content(answers: Answers) -> ReportContent:
    """Turn the tables into charts, sentences and data."""
    figures, absent = make_figures(answers)
    picture = summary_figure(answers)
    figures += [picture] if picture else []
    sentences = findings(answers)
    atlas = atlas_content(answers)
    if atlas is not None:
        figures += panel_figures(answers, atlas)
    explorer = explorer_content(answers)
    if isinstance(explorer, str):
        absent[EXPLORER] = explorer
        explorer = None
    else:
        flow = sample_flow_figure(answers, explorer)
        figures += [flow] if flow else []
        sentences[EXPLORER] = [RULE, *_chosen(explorer)]
    return ReportContent(
        facts=run_facts(answers.run, answers.settings),
        figures=figures,
        absent=absent,
        sentences=sentences,
        methods=method_lines(answers),
        story=story(answers),
        atlas=atlas,
        explorer=explorer,
    )


def _chosen(explorer: Mapping[str, Any]) -> list[str]:
    lines = [f"Sample {sample['id']}: {'; '.join(sample['reasons'])}." for sample in explorer["samples"]]
    return [*lines, *explorer["absent"]]
