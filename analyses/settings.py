"""What an analysis may choose: groups, levels, thresholds, chart formats.

The same names and defaults as the ``analysis`` and ``visualization`` sections of the config. A run made by the engine
carries them resolved in ``run.yaml``; for a run directory written by somebody else the defaults below hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

CORRECTIONS = ("fdr_bh", "fdr_by", "holm", "bonferroni")
FORMATS = ("html", "png", "svg", "pdf", "json")
THEMES = ("light", "dark")

HEAD_TYPE_THRESHOLDS: dict[str, float] = {
    "self_attention_diagonal": 0.4,
    "causal_previous_token": 0.4,
    "beginning_mass": 0.5,
    "financial_lift": 1.5,
    "prediction_mass": 0.5,
    "prediction_lift": 1.5,
    "focused_entropy": 0.35,
    "distributed_entropy": 0.75,
}
"""Thresholds of the head types; ``analyses.head_types`` says what each is compared with."""


class SettingsError(ValueError):
    """A setting in ``run.yaml`` has a value that no analysis can use."""


@dataclass(frozen=True)
class AnalysisSettings:
    """The ``analysis`` section of the config.

    Attributes
    ----------
    groups
        Comparisons: a column of ``samples`` (true against false, or the upper against the lower half of a number), or
        a mapping ``{name, column, a, b}`` with the values that form the groups a and b.
    alpha
        Level of the adjusted p-values; intervals cover ``1 - alpha``.
    correction
        Adjustment over the declared family: one of ``CORRECTIONS``.
    permutations
        Sign flips of max-T (Westfall-Young); 0 leaves ``pvalue_max_t`` null.
    cluster_by
        Column of ``samples`` whose rows are correlated within one value.
    covariates
        Columns of ``samples`` to adjust for; ``log_<column>`` takes the natural logarithm.
    confirmation_fraction
        Share of clusters kept for confirmation; 0 leaves ``is_replicated`` null.
    head_types
        Thresholds by name; names that are not given keep their default.
    """

    groups: tuple[str | Mapping[str, Any], ...] = ("is_correct",)
    alpha: float = 0.05
    correction: str = "fdr_bh"
    permutations: int = 1000
    cluster_by: str = "cluster"
    covariates: tuple[str, ...] = ("log_num_tokens",)
    confirmation_fraction: float = 0.3
    head_types: Mapping[str, float] = field(default_factory=lambda: dict(HEAD_TYPE_THRESHOLDS))

    def __post_init__(self) -> None:
        _require(0 < self.alpha < 1, "analysis.alpha", self.alpha, "a number between 0 and 1")
        _require(self.correction in CORRECTIONS, "analysis.correction", self.correction, ", ".join(CORRECTIONS))
        _require(self.permutations >= 0, "analysis.permutations", self.permutations, "0 or more")
        is_share = 0 <= self.confirmation_fraction < 1
        _require(is_share, "analysis.confirmation_fraction", self.confirmation_fraction, "at least 0 and below 1")
        unknown = sorted(set(self.head_types) - set(HEAD_TYPE_THRESHOLDS))
        _require(not unknown, "analysis.head_types", ", ".join(unknown), ", ".join(HEAD_TYPE_THRESHOLDS))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> AnalysisSettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = _known(cls, values)
        for name in ("groups", "covariates"):
            if name in given:
                given[name] = tuple(given[name])
        if "head_types" in given:
            given["head_types"] = HEAD_TYPE_THRESHOLDS | dict(given["head_types"])
        return cls(**given)


@dataclass(frozen=True)
class VisualizationSettings:
    """The ``visualization`` section of the config.

    Attributes
    ----------
    formats
        File formats of each chart, out of ``FORMATS``; ``json`` is the Vega-Lite specification.
    theme
        ``light`` or ``dark``: the exported files, and what the report shows first.
    color_schemes
        ``sequential``, ``diverging`` and ``categorical`` each name a Vega scheme; ``okabe_ito`` are the colours of
        Okabe and Ito (2008). The defaults can be told apart with the common forms of colour blindness.
    figure_sizes
        ``width`` and ``height`` in pixels of a chart's plotting area.
    max_tokens
        Most tokens a chart or table of tokens shows.
    """

    formats: tuple[str, ...] = ("html", "png", "svg", "pdf")
    theme: str = "light"
    color_schemes: Mapping[str, str] = field(
        default_factory=lambda: {
            "sequential": "viridis",
            "diverging": "blueorange",
            "categorical": "okabe_ito",
        }
    )
    figure_sizes: Mapping[str, int] = field(default_factory=lambda: {"width": 640, "height": 360})
    max_tokens: int = 60

    def __post_init__(self) -> None:
        unknown = sorted(set(self.formats) - set(FORMATS))
        _require(not unknown, "visualization.formats", ", ".join(unknown), ", ".join(FORMATS))
        _require(self.theme in THEMES, "visualization.theme", self.theme, ", ".join(THEMES))
        _require(self.max_tokens > 0, "visualization.max_tokens", self.max_tokens, "1 or more")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> VisualizationSettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = _known(cls, values)
        defaults = cls()
        if "formats" in given:
            given["formats"] = tuple(given["formats"])
        for name in ("color_schemes", "figure_sizes"):
            if name in given:
                given[name] = dict(getattr(defaults, name)) | dict(given[name])
        return cls(**given)


_Settings = TypeVar("_Settings", AnalysisSettings, VisualizationSettings)


def _known(cls: type[_Settings], values: Mapping[str, Any] | None) -> dict[str, Any]:
    names = {entry.name for entry in fields(cls)}
    return {name: value for name, value in (values or {}).items() if name in names and value is not None}


def _require(is_fine: bool, path: str, value: object, allowed: str) -> None:
    if not is_fine:
        raise SettingsError(f"{path}: {value!r} is not allowed; allowed: {allowed}")
