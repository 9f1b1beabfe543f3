"""Which rows head types come from, and whether those of two runs may stand side by side.

A type is a name for statistics of certain rows by certain thresholds (``questions.heads.head_types``). A run that
measured all tokens and one that measured the decision token alone give the same names to different things; so do runs
with other thresholds. Their types are not compared.
"""

from __future__ import annotations

from analyses.comparing.analysed_runs import AnalysedRun
from analyses.questions.heads.scores import rows_of
from analyses.wording import query_group_label


def type_rows(run: AnalysedRun) -> str:
    """Return whose rows the run's head types come from, in words."""
    rows = rows_of(run.opened, "all")
    return query_group_label(rows) if rows else "no rows"


def why_unequal(first: AnalysedRun, other: AnalysedRun) -> str:
    """Return why the types of two runs cannot stand side by side, in a sentence; empty where they can."""
    rows = type_rows(first), type_rows(other)
    if rows[0] != rows[1]:
        return (
            f"Head types come from {rows[0]} in {first.name} and from {rows[1]} in {other.name}: the same names mean "
            "different things, and they are not set side by side"
        )
    has_decision = [rows_of(run.opened, "decision") is not None for run in (first, other)]
    if has_decision[0] != has_decision[1]:
        without = other if has_decision[0] else first
        return (
            f"{without.name} did not measure the decision token, so that no head of it can be of type prediction: head "
            "types are not set side by side"
        )
    if first.settings.head_types != other.settings.head_types:
        return (
            f"Head types of {first.name} and {other.name} have other thresholds (analysis.head_types), and are not set "
            "side by side"
        )
    return ""
