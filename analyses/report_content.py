"""What a report says, before it becomes a page, a text or files: charts, sentences, data of the interactive parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyses.analysis_tables import AnalysisTables
from analyses.atlas import atlas_content, panel_figures
from analyses.explorer import explorer_content, sample_flow_figure
from analyses.figure_parts import Figure
from analyses.figures import EXPLORER, TITLES, make_figures
from analyses.findings import ANSWERS, findings
from analyses.headlines import headlines
from analyses.sample_choice import RULE
from analyses.summaries import Overview


@dataclass(frozen=True)
class ReportContent:
    """The report's content.

    Attributes
    ----------
    figures
        Every chart, those of the head panel and of the sample explorer last.
    absent
        Name of each part that is not there, and why.
    sentences
        Findings by the name of the chart or table they belong to.
    headlines
        The report in short.
    atlas, explorer
        Data of the head panel and of the sample explorer, JSON-ready; None where ``absent`` says why.
    """

    figures: Sequence[Figure]
    absent: Mapping[str, str]
    sentences: Mapping[str, list[str]]
    headlines: Sequence[str]
    atlas: Mapping[str, Any] | None
    explorer: Mapping[str, Any] | None

    def figure(self, name: str) -> Figure | None:
        """Return a chart by name, or None."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def told(self, part: str) -> tuple[str, list[str]]:
        """Return the heading of a part of a chapter, and its sentences, if it has any."""
        figure = self.figure(part)
        title = figure.title if figure else ANSWERS.get(part) or TITLES[part]
        return title, list(self.sentences.get(part, ()))


def report_content(tables: AnalysisTables, overview: Overview) -> ReportContent:
    """Turn the tables into charts, sentences and data."""
    figures, absent = make_figures(tables)
    sentences = dict(findings(tables))
    atlas = atlas_content(tables)
    if atlas is not None:
        figures += panel_figures(tables, atlas)
    explorer = explorer_content(tables)
    if isinstance(explorer, str):
        absent[EXPLORER] = explorer
        explorer = None
    else:
        flow = sample_flow_figure(tables, explorer)
        figures += [flow] if flow else []
        sentences[EXPLORER] = [RULE, *_chosen(explorer)]
    return ReportContent(figures, absent, sentences, headlines(tables, overview, sentences), atlas, explorer)


def _chosen(explorer: Mapping[str, Any]) -> list[str]:
    told = [f"Sample {sample['id']}: {'; '.join(sample['reasons'])}." for sample in explorer["samples"]]
    return [*told, *explorer["absent"]]
