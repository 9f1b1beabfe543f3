"""What ``questions.decodability.answer`` may be told; on its own, so that reading a config loads no scikit-learn."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from analyses.settings.columns import Groups, Settings, Whole

DEFAULT_TARGETS = ("is_correct", "actual_label")
DEFAULT_QUERY_GROUP = "decision"
Preset = Literal["entropy", "lookback", "received", "masses", "usual"]


class DecodabilitySettings(Settings):
    """The ``analysis.decodability`` section of the config."""

    path: ClassVar[str] = "analysis.decodability"
    targets: Groups = DEFAULT_TARGETS
    """What is predicted: entries as in ``analysis.groups``."""
    query_group: str = DEFAULT_QUERY_GROUP
    """Whose attention is used."""
    statistics: tuple[str, ...] | None = None
    """Statistics of the heads; None takes entropy, weight on the first token, largest weight, distance, and the
    attention to the vocabulary, to numbers and to the statement, as far as the run has them."""
    presets: tuple[Preset, ...] = ()
    """Probes of one kind of statistic each, beside the one above: entropy (Rényi-2 of every head), lookback (share of
    attention that goes to the prompt), received (what the first token and the keys that receive most receive; needs
    statistics.received), masses (attention to every key group), usual (those of ``statistics``: null). Example:
    [entropy, masses]."""
    preset_query_groups: tuple[str, ...] = Field(default=("prompt", "thinking", "decision"), min_length=1)
    """Whose attention these probes use, one after the other; groups that the run lacks are said. Those of prompt and
    thinking answer whether heads can tell before the answer is written."""
    folds: Whole = Field(default=5, ge=3)
    """Outer folds."""
    repeats: Whole = Field(default=3, ge=1)
    """How often the clusters are dealt anew."""
    permutations: Whole = Field(default=39, ge=0)
    """Controls with permuted labels; 0 leaves the p-value null."""
    screened: Whole = Field(default=50, ge=1)
    """Features that enter a fit."""

    @field_validator("presets", "preset_query_groups")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for name in value if value.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} stands there twice; allowed: each once")
        return value
