"""What an analysis may choose: groups, levels, families, thresholds.

The same names and defaults as the ``analysis`` section of the config (``visualization`` has a module of its own). A
run made by the engine carries them resolved in ``run.yaml``; for a run directory written by somebody else the defaults
below hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analyses.decodability_settings import DecodabilitySettings
from analyses.hypothesis_definitions import read_hypotheses
from analyses.setting_checks import (
    SettingsError,
    as_mapping,
    as_tuple,
    check_families,
    check_groups,
    check_strata,
    group_column,
    is_count,
    is_number,
    known_keys,
    refuse_column,
    require,
    require_column,
    require_known,
    stratum_column,
)
from analyses.visualization_settings import VisualizationSettings
from engine.schema import samples_schema

CORRECTIONS = ("fdr_bh", "fdr_by", "holm", "bonferroni")
TARGETS = ("certainty", "probability", "magnitude", "year")
"""What statistics are correlated with unless the config says otherwise; any number in ``samples`` may be named."""

HEAD_TYPE_THRESHOLDS: dict[str, float] = {
    "self_attention_diagonal": 0.4,
    "causal_previous_token": 0.4,
    "beginning_mass": 0.5,
    "vocabulary_lift": 1.5,
    "prediction_mass": 0.5,
    "prediction_lift": 1.5,
    "focused_entropy": 0.35,
    "distributed_entropy": 0.75,
}
"""Thresholds of the head types; ``analyses.head_types`` says what each is compared with."""

DERIVED_COLUMNS = ("label_probability", "certainty_level", "magnitude_level")
"""Columns of samples that follow from others (``analyses.derived_columns``); usable wherever a column is."""

WILD_BOOTSTRAP = "wild_bootstrap"
ERROR_KINDS = ("auto", "cr1", "cr2", WILD_BOOTSTRAP)

MIN_BOOTSTRAP = 99
"""Draws that a wild bootstrap needs for p-values below 0.05 to exist at all."""

_COLUMNS = {entry.name: str(entry.type) for entry in samples_schema([])}
_LISTS = {name for name, kind in _COLUMNS.items() if kind.startswith("list")}
_TEXTS = {name for name, kind in _COLUMNS.items() if "string" in kind} | _LISTS | {"is_correct"}
"""Columns of the contract that are no number; other columns are looked at when the analysis reads them."""

LOG_PREFIX = "log_"
"""``log_<column>`` is the natural logarithm of a column of ``samples``, as a covariate."""


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
        The columns that ``samples`` has, or will have; ``DERIVED_COLUMNS`` come on top.

    Raises
    ------
    SettingsError
        For an unknown key or an impossible value, and for a column in ``groups``, ``covariates``, ``strata`` or
        ``cluster_by`` that is neither in ``sample_columns`` nor derived from one of them.
    """
    sample_columns = list(dict.fromkeys([*sample_columns, *DERIVED_COLUMNS]))
    settings = AnalysisSettings.from_mapping(analysis)
    VisualizationSettings.from_mapping(visualization)
    for slot, group in enumerate(settings.groups):
        _check_group_column(group, f"analysis.groups[{slot}]", sample_columns)
    _check_answers(settings, sample_columns)
    numbers = [name for name in sample_columns if name not in _TEXTS]
    for slot, name in enumerate(settings.covariates):
        path = f"analysis.covariates[{slot}]"
        column = name if name in sample_columns else name.removeprefix(LOG_PREFIX)
        if column not in sample_columns:
            refuse_column(name, path, [*numbers, *(f"{LOG_PREFIX}{known}" for known in numbers)])
        if column not in numbers:
            raise SettingsError(f"{path}: {column!r} is not a number; numbers are {', '.join(numbers)}")
    # The default strata are columns of every run; only what somebody wrote can be wrong.
    for slot, stratum in enumerate(settings.strata if (analysis or {}).get("strata") else ()):
        path = f"analysis.strata[{slot}]" + (".column" if isinstance(stratum, Mapping) else "")
        require_column(stratum_column(stratum), path, sample_columns)
        if stratum_column(stratum) in _LISTS:
            raise SettingsError(f"{path}: {stratum_column(stratum)!r} is a list, and samples cannot be cut by it")
    require_column(settings.cluster_by, "analysis.cluster_by", sample_columns)


def _check_group_column(group: str | Mapping[str, Any], path: str, sample_columns: Sequence[str]) -> None:
    column = group_column(group)
    where = f"{path}.column" if isinstance(group, Mapping) and group.get("column") else path
    require_column(column, where, sample_columns)
    if column in _LISTS:
        raise SettingsError(f"{where}: {column!r} is a list, and samples cannot be grouped by it")


def _check_answers(settings: AnalysisSettings, sample_columns: Sequence[str]) -> None:
    """Refuse columns that correlations, predictions and hypotheses name; a default may be missing and is told of."""
    for slot, name in enumerate(settings.correlations):
        path = f"analysis.correlations[{slot}]"
        if name in TARGETS:
            continue
        if name not in sample_columns:
            refuse_column(name, path, [*TARGETS, *(known for known in sample_columns if known not in _LISTS)])
        if name in _LISTS:
            raise SettingsError(f"{path}: {name!r} is a list, and nothing can be correlated with it")
    for slot, target in enumerate(settings.predicted.targets if settings.predicted else ()):
        if target not in DecodabilitySettings.targets:
            _check_group_column(target, f"analysis.decodability.targets[{slot}]", sample_columns)
    for slot, entry in enumerate(settings.hypotheses or ()):
        group = entry.get("group") if isinstance(entry, Mapping) else None
        if group is not None:
            _check_group_column(group, f"analysis.hypotheses[{slot}].group", sample_columns)


@dataclass(frozen=True)
class AnalysisSettings:
    """The ``analysis`` section of the config.

    Attributes
    ----------
    groups
        Comparisons: a column of ``samples`` (``analyses.comparisons`` says which groups each kind of column makes), or
        a mapping ``{name, column, a, b}`` with the values that form the groups a and b.
    alpha
        Level of the adjusted p-values; intervals cover ``1 - alpha``.
    families
        Tests that are adjusted together, each ``{name, statistics, query_groups}`` with shell patterns; a test is in
        the first that it fits, and in ``rest`` when it fits none. Empty: all tests of a comparison are one family.
    correction
        Adjustment over each family: one of ``CORRECTIONS``.
    errors
        ``cr2`` with Satterthwaite's degrees of freedom, right for many clusters and for few; ``auto`` is the same.
        ``cr1`` with clusters - 1, as most software has it: too small where a group is small. ``wild_bootstrap``: p and
        interval from the wild cluster bootstrap-t with ``permutations`` draws, for few clusters.
    permutations
        Sign flips of max-T (Westfall-Young), of the cluster mass along layers and of the wild bootstrap; 0 leaves their
        p null.
    cluster_by
        Column of ``samples`` whose rows are correlated within one value.
    covariates
        Columns of ``samples`` to adjust for; ``log_<column>`` takes the natural logarithm.
    confirmation_fraction
        Share of clusters kept for confirmation; 0 leaves ``is_replicated`` null.
    strata
        Columns of ``samples`` whose parts findings are looked for in separately: each value of words and of few whole
        numbers, thirds of other numbers; ``{column, parts}`` cuts into as many parts.
    correlations
        What statistics are correlated with: ``probability`` (the model's own), or columns of ``samples`` that hold
        numbers or words with an order. Empty: nothing.
    decodability
        What is predicted from the heads, and how (``analyses.decodability_settings``); None, or false in a config:
        nothing.
    hypotheses
        Questions as ``analyses.hypothesis_definitions`` reads them; None: every named one.
    head_types
        Thresholds by name; names that are not given keep their default.
    """

    groups: tuple[str | Mapping[str, Any], ...] = ("is_correct",)
    alpha: float = 0.05
    families: tuple[Mapping[str, Any], ...] = ()
    correction: str = "fdr_bh"
    errors: str = "auto"
    permutations: int = 1000
    cluster_by: str = "cluster"
    covariates: tuple[str, ...] = ("log_num_tokens",)
    confirmation_fraction: float = 0.3
    strata: tuple[str | Mapping[str, Any], ...] = ("year", "num_prompt_tokens")
    correlations: tuple[str, ...] = TARGETS
    decodability: Mapping[str, Any] | None = field(default_factory=dict)
    hypotheses: tuple[str | Mapping[str, Any], ...] | None = None
    head_types: Mapping[str, float] = field(default_factory=lambda: dict(HEAD_TYPE_THRESHOLDS))

    def __post_init__(self) -> None:
        is_level = is_number(self.alpha) and 0 < self.alpha < 1
        require(is_level, "analysis.alpha", self.alpha, "a number between 0 and 1")
        require_known(self.correction, "analysis.correction", CORRECTIONS)
        require(is_count(self.permutations), "analysis.permutations", self.permutations, "a whole number from 0")
        is_share = is_number(self.confirmation_fraction) and 0 <= self.confirmation_fraction < 1
        require(is_share, "analysis.confirmation_fraction", self.confirmation_fraction, "at least 0 and below 1")
        require(isinstance(self.cluster_by, str), "analysis.cluster_by", self.cluster_by, "a column of samples")
        for slot, name in enumerate(self.covariates):
            require(isinstance(name, str), f"analysis.covariates[{slot}]", name, "a column of samples")
        require_known(self.errors, "analysis.errors", ERROR_KINDS)
        if self.errors == WILD_BOOTSTRAP:
            enough = f"at least {MIN_BOOTSTRAP} with analysis.errors: {WILD_BOOTSTRAP}"
            require(self.permutations >= MIN_BOOTSTRAP, "analysis.permutations", self.permutations, enough)
        check_groups(self.groups)
        check_families(self.families)
        check_strata(self.strata)
        for slot, name in enumerate(self.correlations):
            require(isinstance(name, str), f"analysis.correlations[{slot}]", name, "a column of samples")
        if self.predicted:
            check_groups(self.predicted.targets, "analysis.decodability.targets")
        for slot, hypothesis in enumerate(read_hypotheses(self.hypotheses)):
            if hypothesis.group is not None:
                check_groups((hypothesis.group,), f"analysis.hypotheses[{slot}].group")
        for name, value in self.head_types.items():
            require_known(name, "analysis.head_types", tuple(HEAD_TYPE_THRESHOLDS), "key")
            require(is_number(value), f"analysis.head_types.{name}", value, "a number")

    @property
    def predicted(self) -> DecodabilitySettings | None:
        """What ``decodability`` says; None when it is turned off."""
        return None if self.decodability is None else DecodabilitySettings.from_mapping(self.decodability)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> AnalysisSettings:
        """Return the settings of a config section; keys that are absent or null keep their default."""
        given = known_keys(cls, values, "analysis")
        for name in ("groups", "covariates", "families", "strata", "correlations", "hypotheses"):
            if name in given:
                given[name] = as_tuple(given[name], f"analysis.{name}")
        if "head_types" in given:
            given["head_types"] = HEAD_TYPE_THRESHOLDS | as_mapping(given["head_types"], "analysis.head_types")
        if values and "decodability" in values:
            # Null is no default here: it turns the prediction off, as false does.
            chosen = values["decodability"]
            is_off = chosen is None or chosen is False
            given["decodability"] = None if is_off else as_mapping(chosen, "analysis.decodability")
        return cls(**given)
