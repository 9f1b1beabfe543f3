"""What the margins of a run compare, in words."""

from __future__ import annotations

from analyses.runs.run import Run

_RULES = {
    "said_vs_best_other": "the said label against the likeliest other",
    "said_vs_actual": "the said label against the actual one, or in right answers the likeliest other",
    "said_vs_runner_up": "the said token against the likeliest other token",
}
_SHOWN = 3


def contrast_text(run: Run) -> str:
    """Return the contrast of a run's margins: "increase against decrease", or a rule with the pairs that it found."""
    named = run.section("decision").get("contrast")
    column = run.samples["contrast"].drop_nulls() if "contrast" in run.samples.columns else None
    pairs = [] if column is None else column.value_counts(sort=True)["contrast"].to_list()
    if isinstance(named, list | tuple) and (not pairs or pairs == ["|".join(map(str, named))]):
        return f"{named[0]} against {named[1]}"
    rule = _RULES.get(str(named), _RULES["said_vs_best_other"])
    shown = ", ".join(sorted(pairs)) if len(pairs) <= _SHOWN else f"{', '.join(pairs[:_SHOWN])} and others"
    return f"{rule} ({shown})" if pairs else rule
