"""Which charts a report has, in its order."""

from __future__ import annotations

from collections.abc import Callable

from analyses.analysis_tables import AnalysisTables
from analyses.figure_parts import Figure
from analyses.figures_of_causes import causal_figures
from analyses.figures_of_groups import decision_top_tokens_figure, key_group_figure, layer_profile_figure
from analyses.figures_of_heads import (
    difference_map_figure,
    head_map_figure,
    head_type_map_figure,
    head_types_by_layer_figure,
    volcano_figure,
)


def make_figures(tables: AnalysisTables) -> tuple[list[Figure], dict[str, str]]:
    """Return the charts in the order of the report, and for each that is absent its name and the reason."""
    makers: dict[str, Callable[[AnalysisTables], Figure | str]] = {
        "key_group_weight": lambda given: key_group_figure(given, "mass"),
        "key_group_lift": lambda given: key_group_figure(given, "lift"),
        "head_map": head_map_figure,
        "difference_map": difference_map_figure,
        "volcano": volcano_figure,
        "layer_profile": layer_profile_figure,
        "head_type_map": head_type_map_figure,
        "head_types_by_layer": head_types_by_layer_figure,
        "decision_top_tokens": decision_top_tokens_figure,
    }
    made = {name: maker(tables) for name, maker in makers.items()} | causal_figures(tables)
    figures = [figure for figure in made.values() if isinstance(figure, Figure)]
    return figures, {name: reason for name, reason in made.items() if isinstance(reason, str)}
