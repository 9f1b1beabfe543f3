"""What ``analyses.decodability`` may be told; on its own, so that reading a config loads no scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from analyses.setting_checks import SettingsError


@dataclass(frozen=True)
class DecodabilitySettings:
    """The ``analysis.decodability`` section of the config.

    Attributes
    ----------
    targets
        What is predicted: entries as in ``analysis.groups``.
    query_group
        Whose attention is used.
    statistics
        Statistics of the heads; None takes entropy, weight on the first token, largest weight, distance, and the
        attention to the vocabulary, to numbers and to the statement, as far as the run has them.
    folds, repeats
        Outer folds (from 3), and how often the clusters are dealt anew.
    permutations
        Controls with permuted labels; 0 leaves the p-value null.
    screened
        Features that enter a fit.
    """

    targets: tuple[str | Mapping[str, Any], ...] = ("is_correct", "actual_label")
    query_group: str = "decision"
    statistics: tuple[str, ...] | None = None
    folds: int = 5
    repeats: int = 3
    permutations: int = 39
    screened: int = 50

    def __post_init__(self) -> None:
        for name, lowest in (("folds", 3), ("repeats", 1), ("permutations", 0), ("screened", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise SettingsError(
                    f"analysis.decodability.{name}: {value!r} is not allowed; allowed: a whole number from {lowest}"
                )
        if not isinstance(self.query_group, str):
            raise SettingsError(f"analysis.decodability.query_group: {self.query_group!r} is not a name")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> DecodabilitySettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = {name: value for name, value in dict(values or {}).items() if value is not None}
        known = [entry.name for entry in fields(cls)]
        for name in given:
            if name not in known:
                raise SettingsError(f"analysis.decodability: {name!r} is an unknown key; known are {', '.join(known)}")
        for name in ("targets", "statistics"):
            if name in given and not isinstance(given[name], list | tuple):
                raise SettingsError(f"analysis.decodability.{name}: {given[name]!r} is not a list")
            if name in given:
                given[name] = tuple(given[name])
        return cls(**given)
