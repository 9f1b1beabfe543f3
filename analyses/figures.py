"""Which charts a report has, and its chapters in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analyses.analysis_tables import AnalysisTables
from analyses.figure_parts import Figure
from analyses.figures_of_answers import correlations_figure, decodability_figure
from analyses.figures_of_causes import causal_figures
from analyses.figures_of_differences import difference_map_figure, replication_figure, volcano_figure
from analyses.figures_of_groups import decision_top_tokens_figure, figures_figure, key_group_figure
from analyses.figures_of_heads import head_map_figure, head_type_map_figure, head_types_by_layer_figure
from analyses.figures_of_layers import layer_profile_figure, segment_flow_figure

ATLAS, EXPLORER = "head_map", "explorer"
"""Parts of the page beside plain charts: the chart with the head panel, and the sample explorer."""


@dataclass(frozen=True)
class Chapter:
    """One question of the reader.

    Attributes
    ----------
    name, title, question
        Anchor, heading, and what is asked.
    parts
        Names of charts, of tables in ``findings.ANSWERS``, or ``EXPLORER``, in order.
    """

    name: str
    title: str
    question: str
    parts: tuple[str, ...]


CHAPTERS = (
    Chapter(
        "heads",
        "Heads",
        "What does each head do, do heads specialise, and which differ between right and wrong predictions?",
        (ATLAS, "difference_map", "volcano", "replication", "head_type_map", "head_types_by_layer"),
    ),
    Chapter(
        "words",
        "Words and figures",
        "Which words, numbers and periods do heads look at, in right and in wrong predictions?",
        ("key_group_weight", "key_group_lift", "figures_lift", "decision_top_tokens"),
    ),
    Chapter(
        "layers",
        "Layers and flow",
        "How does attention develop from layer to layer, and how does it flow from the statement to the answer?",
        ("layer_profile", "segment_flow"),
    ),
    Chapter("samples", "Real samples", "What does this look like in single predictions?", (EXPLORER,)),
    Chapter(
        "errors",
        "Errors and certainty",
        "What characterises errors, do the heads know of them, and what goes with confident answers?",
        ("decodability", "correlations", "hypotheses"),
    ),
    Chapter(
        "causes",
        "Causes",
        "Does any of it matter for the answer?",
        ("causal_map", "causal_ranking", "knockout_curves", "head_agreement", "head_screening"),
    ),
    Chapter("trust", "How far to trust this", "What could this many samples show at all?", ("power",)),
)


def make_figures(tables: AnalysisTables) -> tuple[list[Figure], dict[str, str]]:
    """Return the charts in the order of the report, and for each that is absent its name and the reason."""
    makers: dict[str, Callable[[AnalysisTables], Figure | str]] = {
        ATLAS: head_map_figure,
        "difference_map": difference_map_figure,
        "volcano": volcano_figure,
        "replication": replication_figure,
        "head_type_map": head_type_map_figure,
        "head_types_by_layer": head_types_by_layer_figure,
        "key_group_weight": lambda given: key_group_figure(given, "mass"),
        "key_group_lift": lambda given: key_group_figure(given, "lift"),
        "figures_lift": figures_figure,
        "decision_top_tokens": decision_top_tokens_figure,
        "layer_profile": layer_profile_figure,
        "segment_flow": segment_flow_figure,
        "decodability": decodability_figure,
        "correlations": correlations_figure,
    }
    made = {name: maker(tables) for name, maker in makers.items()} | causal_figures(tables)
    figures = [figure for figure in made.values() if isinstance(figure, Figure)]
    return figures, {name: reason for name, reason in made.items() if isinstance(reason, str)}


TITLES: Mapping[str, str] = {
    ATLAS: "Head atlas",
    "difference_map": "Where groups of samples differ",
    "volcano": "Effect against evidence",
    "replication": "Do differences hold on samples that they were not found on?",
    "head_type_map": "What kind of head each one is",
    "head_types_by_layer": "Head types over layers",
    "key_group_weight": "Which words heads look at",
    "key_group_lift": "Which words heads look at more than chance would have it",
    "figures_lift": "Numbers, periods and magnitudes",
    "decision_top_tokens": "What the model looks at when it decides",
    "layer_profile": "From layer to layer",
    "segment_flow": "Where attention flows: statement, reasoning, answer",
    EXPLORER: "Sample explorer",
    "decodability": "Do the heads know?",
    "correlations": "Confident and uncertain answers",
    "causal_map": "Which heads cause the answer",
    "causal_ranking": "The strongest interventions",
    "knockout_curves": "Where the answer is read",
    "head_agreement": "Do attention, gradients and ablation agree?",
    "head_screening": "Does the gradient foretell the ablation?",
}
"""Headings of parts that are absent, so that a section can say why."""


def absent_parts(chapter: Chapter, absent: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return heading and reason of each part that a chapter lacks."""
    return [(TITLES[name], absent[name]) for name in chapter.parts if name in absent]
