"""What ``questions.decodability.answer`` may be told; on its own, so that reading a config loads no scikit-learn."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from analyses.settings.columns import Groups, Settings, Whole

DEFAULT_TARGETS = ("is_correct", "actual_label")
DEFAULT_QUERY_GROUP = "decision"


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
    folds: Whole = Field(default=5, ge=3)
    """Outer folds."""
    repeats: Whole = Field(default=3, ge=1)
    """How often the clusters are dealt anew."""
    permutations: Whole = Field(default=39, ge=0)
    """Controls with permuted labels; 0 leaves the p-value null."""
    screened: Whole = Field(default=50, ge=1)
    """Features that enter a fit."""
