"""What an analysis may choose: groups, levels, thresholds, chart formats.

The same names and defaults as the ``analysis`` and ``visualization`` sections of the config. A run made by the engine
carries them resolved in ``run.yaml``; for a run directory written by somebody else the defaults below hold.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, TypeVar

from analyses.color_schemes import BASE_NAMES, SCHEMES
from engine.schema import samples_schema

CORRECTIONS = ("fdr_bh", "fdr_by", "holm", "bonferroni")
FORMATS = ("html", "png", "svg", "pdf", "json")
THEMES = ("light", "dark")
COLOR_KINDS = ("sequential", "diverging", "categorical")
SIDES = ("width", "height")

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


GROUP_KEYS = ("name", "column", "a", "b")
"""What a mapping in ``analysis.groups`` may hold."""

LOG_PREFIX = "log_"
"""``log_<column>`` is the natural logarithm of a column of ``samples``, as a covariate."""

FIGURE_SIZE_RANGE = (50, 10_000)


class SettingsError(ValueError):
    """A setting of ``analysis`` or ``visualization`` cannot be used; the message names its path and what is known."""


def check_settings(
    analysis: Mapping[str, Any], visualization: Mapping[str, Any], sample_columns: Sequence[str]
) -> None:
    """Refuse whatever an analysis would refuse, before anything is measured. Reads no table.

    What depends on the values of a column (a text column with more than two values and no ``a`` and ``b``) is refused
    by the analysis itself.

    Parameters
    ----------
    analysis, visualization
        The sections of the config.
    sample_columns
        The columns that ``samples`` has, or will have.

    Raises
    ------
    SettingsError
        For an unknown key or an impossible value, and for a column in ``groups``, ``covariates`` or ``cluster_by``
        that is neither in ``sample_columns`` nor derived from one of them.
    """
    settings = AnalysisSettings.from_mapping(analysis)
    VisualizationSettings.from_mapping(visualization)
    for slot, group in enumerate(settings.groups):
        path = f"analysis.groups[{slot}]"
        column = group_column(group)
        where = f"{path}.column" if isinstance(group, Mapping) and group.get("column") else path
        _require_column(column, where, sample_columns)
        if column in _LISTS:
            raise SettingsError(f"{where}: {column!r} is a list, and samples cannot be grouped by it")
    numbers = [name for name in sample_columns if name not in _TEXTS]
    for slot, name in enumerate(settings.covariates):
        path = f"analysis.covariates[{slot}]"
        column = name if name in sample_columns else name.removeprefix(LOG_PREFIX)
        if column not in sample_columns:
            _refuse_column(name, path, [*numbers, *(f"{LOG_PREFIX}{known}" for known in numbers)])
        if column not in numbers:
            raise SettingsError(f"{path}: {column!r} is not a number; numbers are {', '.join(numbers)}")
    _require_column(settings.cluster_by, "analysis.cluster_by", sample_columns)


def group_column(group: str | Mapping[str, Any]) -> str:
    """Return the column of ``samples`` that an entry of ``analysis.groups`` reads."""
    return group if isinstance(group, str) else str(group.get("column") or group.get("name"))


def group_name(group: str | Mapping[str, Any]) -> str:
    """Return the name of the comparison that an entry of ``analysis.groups`` makes."""
    return group if isinstance(group, str) else str(group.get("name") or group.get("column"))


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
        is_level = _is_number(self.alpha) and 0 < self.alpha < 1
        _require(is_level, "analysis.alpha", self.alpha, "a number between 0 and 1")
        _require_known(self.correction, "analysis.correction", CORRECTIONS)
        _require(_is_count(self.permutations), "analysis.permutations", self.permutations, "a whole number from 0")
        is_share = _is_number(self.confirmation_fraction) and 0 <= self.confirmation_fraction < 1
        _require(is_share, "analysis.confirmation_fraction", self.confirmation_fraction, "at least 0 and below 1")
        _require(isinstance(self.cluster_by, str), "analysis.cluster_by", self.cluster_by, "a column of samples")
        for slot, name in enumerate(self.covariates):
            _require(isinstance(name, str), f"analysis.covariates[{slot}]", name, "a column of samples")
        _check_groups(self.groups)
        for name, value in self.head_types.items():
            _require_known(name, "analysis.head_types", tuple(HEAD_TYPE_THRESHOLDS), "key")
            _require(_is_number(value), f"analysis.head_types.{name}", value, "a number")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> AnalysisSettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = _known(cls, values, "analysis")
        for name in ("groups", "covariates"):
            if name in given:
                given[name] = _as_tuple(given[name], f"analysis.{name}")
        if "head_types" in given:
            given["head_types"] = HEAD_TYPE_THRESHOLDS | _as_mapping(given["head_types"], "analysis.head_types")
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
        for slot, name in enumerate(self.formats):
            _require_known(name, f"visualization.formats[{slot}]", FORMATS)
        _require_known(self.theme, "visualization.theme", THEMES)
        for kind, name in self.color_schemes.items():
            _require_known(kind, "visualization.color_schemes", COLOR_KINDS, "key")
            if not (isinstance(name, str) and name in SCHEMES):
                _require_known(name, f"visualization.color_schemes.{kind}", BASE_NAMES, "colour scheme")
        low, high = FIGURE_SIZE_RANGE
        for side, size in self.figure_sizes.items():
            _require_known(side, "visualization.figure_sizes", SIDES, "key")
            is_size = _is_count(size) and low <= size <= high
            _require(is_size, f"visualization.figure_sizes.{side}", size, f"whole pixels from {low} to {high}")
        is_count = _is_count(self.max_tokens) and self.max_tokens > 0
        _require(is_count, "visualization.max_tokens", self.max_tokens, "a whole number from 1")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> VisualizationSettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = _known(cls, values, "visualization")
        defaults = cls()
        if "formats" in given:
            given["formats"] = _as_tuple(given["formats"], "visualization.formats")
        for name in ("color_schemes", "figure_sizes"):
            if name in given:
                given[name] = dict(getattr(defaults, name)) | _as_mapping(given[name], f"visualization.{name}")
        return cls(**given)


_Settings = TypeVar("_Settings", AnalysisSettings, VisualizationSettings)


def _known(cls: type[_Settings], values: object, section: str) -> dict[str, Any]:
    given = _as_mapping({} if values is None else values, section)
    names = tuple(entry.name for entry in fields(cls))
    for name in given:
        _require_known(name, section, names, "key")
    return {name: value for name, value in given.items() if value is not None}


def _check_groups(groups: Sequence[object]) -> None:
    names: set[str] = set()
    for slot, group in enumerate(groups):
        path = f"analysis.groups[{slot}]"
        if not isinstance(group, str | Mapping):
            raise SettingsError(f"{path}: {group!r} is neither a column nor a mapping {{{', '.join(GROUP_KEYS)}}}")
        if isinstance(group, Mapping):
            for key in group:
                _require_known(key, path, GROUP_KEYS, "key")
            for key in ("name", "column"):
                _require(isinstance(group.get(key), str | None), f"{path}.{key}", group.get(key), "text")
            if not (group.get("column") or group.get("name")):
                raise SettingsError(f"{path}: 'column' is missing; a mapping has {', '.join(GROUP_KEYS)}")
            if ("a" in group) != ("b" in group):
                raise SettingsError(f"{path}: give both a and b, the values of the two groups, or neither")
        name = group_name(group)
        if name in names:
            raise SettingsError(f"{path}: there is another comparison called {name!r}; give one of them another name")
        names.add(name)


_COLUMNS = {entry.name: str(entry.type) for entry in samples_schema([])}
_LISTS = {name for name, kind in _COLUMNS.items() if kind.startswith("list")}
_TEXTS = {name for name, kind in _COLUMNS.items() if "string" in kind} | _LISTS | {"is_correct"}
"""Columns of the contract that are no number; other columns are looked at when the analysis reads them."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _as_tuple(value: object, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{path}: {value!r} is not a list")
    return tuple(value)


def _as_mapping(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{path}: {value!r} is not a mapping of names to values")
    return dict(value)


def _require(is_fine: bool, path: str, value: object, allowed: str) -> None:
    if not is_fine:
        raise SettingsError(f"{path}: {value!r} is not allowed; allowed: {allowed}")


def _require_known(value: object, path: str, known: Collection[str], what: str = "value") -> None:
    if value not in known:
        raise SettingsError(
            f"{path}: {value!r} is an unknown {what}{_nearest(value, known)}; known are {', '.join(known)}"
        )


def _require_column(column: str, path: str, columns: Sequence[str]) -> None:
    if column not in columns:
        _refuse_column(column, path, columns)


def _refuse_column(column: str, path: str, columns: Sequence[str]) -> NoReturn:
    nearest = _nearest(column, columns)
    raise SettingsError(f"{path}: {column!r} is not a column of samples{nearest}; known are {', '.join(columns)}")


def _nearest(value: object, known: Collection[str]) -> str:
    close = difflib.get_close_matches(str(value), list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
