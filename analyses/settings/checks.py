"""Names in the settings that a run must have: columns of ``samples``, statistics, query groups. Reads no table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NoReturn

from analyses.settings.analysis import DERIVED_COLUMNS, HELD_FIXED, LOG_PREFIX, TARGETS, AnalysisSettings
from analyses.settings.columns import Group, SettingsError, Stratum, group_column, stratum_column
from analyses.settings.decodability import DEFAULT_QUERY_GROUP, DEFAULT_TARGETS
from analyses.settings.hypotheses import HypothesisEntry
from engine.schema import samples_schema
from engine.sections import did_you_mean

_COLUMNS = {entry.name: str(entry.type) for entry in samples_schema([])}
_LISTS = {name for name, kind in _COLUMNS.items() if kind.startswith("list")}
_TEXTS = {name for name, kind in _COLUMNS.items() if "string" in kind} | _LISTS | {"is_correct"}
"""Columns of the contract that are no number; other columns are looked at when the analysis reads them."""


def check_columns(settings: AnalysisSettings, sample_columns: Sequence[str], texts: Collection[str] = ()) -> None:
    """Refuse columns that ``samples`` does not have, or that are of a kind that cannot be used so.

    What depends on the values of a column (a text column with more than two values and no ``a`` and ``b``) is refused
    by the analysis itself.

    Parameters
    ----------
    settings
        The analysis.
    sample_columns
        The columns that ``samples`` has, or will have; ``DERIVED_COLUMNS`` come on top.
    texts
        Those of them that hold words, beside the contract's own.

    Raises
    ------
    SettingsError
        For a column in ``groups``, ``covariates``, ``held_fixed``, ``strata``, ``correlations``, ``cluster_by``, the
        targets of ``decodability`` or the groups of ``hypotheses``.
    """
    columns = list(dict.fromkeys([*sample_columns, *DERIVED_COLUMNS]))
    numbers = [name for name in columns if name not in _TEXTS and name not in texts]
    for slot, group in enumerate(settings.groups):
        _check_group(group, f"analysis.groups[{slot}]", columns)
    for slot, name in enumerate(settings.covariates):
        _check_covariate(name, f"analysis.covariates[{slot}]", columns, numbers)
    for slot, name in enumerate(settings.held_fixed):
        if name not in HELD_FIXED:  # the default is written into run.yaml of runs that do not have it
            _check_column(name, f"analysis.held_fixed[{slot}]", columns, "it cannot be held fixed")
    # The default strata are columns of every run; only what somebody wrote can be wrong.
    for slot, stratum in enumerate(settings.strata if "strata" in settings.model_fields_set else ()):
        path = f"analysis.strata[{slot}]" + (".column" if isinstance(stratum, Stratum) else "")
        _check_column(stratum_column(stratum), path, columns, "samples cannot be cut by it")
    for slot, name in enumerate(settings.correlations):
        if name not in TARGETS:  # of those, what is missing is told of in the report
            path, usable = f"analysis.correlations[{slot}]", [*TARGETS, *columns]
            _check_column(name, path, usable, "nothing can be correlated with it")
    for slot, target in enumerate(settings.predicted.targets if settings.predicted else ()):
        if target not in DEFAULT_TARGETS:
            _check_group(target, f"analysis.decodability.targets[{slot}]", columns)
    for slot, entry in enumerate(settings.hypotheses or ()):
        if isinstance(entry, HypothesisEntry) and entry.group is not None:
            _check_group(entry.group, f"analysis.hypotheses[{slot}].group", columns)
    _check_column(settings.cluster_by, "analysis.cluster_by", columns, "samples cannot be clustered by it")


def check_statistics(settings: AnalysisSettings, statistics: Sequence[str], query_groups: Sequence[str]) -> None:
    """Refuse statistics and query groups that a run does not have.

    Parameters
    ----------
    settings
        The analysis.
    statistics, query_groups
        Those that the run has, or will have.

    Raises
    ------
    SettingsError
        For a name in ``decodability``, and for a family that no test fits.
    """
    if settings.predicted is not None:
        path = "analysis.decodability"
        if settings.predicted.query_group != DEFAULT_QUERY_GROUP:
            _require_known(settings.predicted.query_group, f"{path}.query_group", query_groups, "query group")
        for slot, name in enumerate(settings.predicted.statistics or ()):
            _require_known(name, f"{path}.statistics[{slot}]", statistics, "statistic")
    for slot, family in enumerate(settings.families):
        if not any(family.fits(query_group, name) for query_group in query_groups for name in statistics):
            raise SettingsError(
                f"analysis.families[{slot}]: no test fits family {family.name!r}; statistics are "
                f"{', '.join(statistics)}; query groups are {', '.join(query_groups)}"
            )


def _check_group(group: str | Group, path: str, columns: Sequence[str]) -> None:
    where = f"{path}.column" if isinstance(group, Group) and group.column else path
    _check_column(group_column(group), where, columns, "samples cannot be grouped by it")


def _check_covariate(name: str, path: str, columns: Sequence[str], numbers: Sequence[str]) -> None:
    column = name if name in columns else name.removeprefix(LOG_PREFIX)
    if column not in columns:
        _refuse_column(name, path, [*numbers, *(f"{LOG_PREFIX}{known}" for known in numbers)])
    if column not in numbers:
        raise SettingsError(f"{path}: {column!r} is not a number; numbers are {', '.join(numbers)}")


def _check_column(column: str, path: str, columns: Sequence[str], why_no_list: str) -> None:
    if column not in columns:
        _refuse_column(column, path, columns)
    if column in _LISTS:
        raise SettingsError(f"{path}: {column!r} is a list, and {why_no_list}")


def _refuse_column(column: str, path: str, columns: Sequence[str]) -> NoReturn:
    near = did_you_mean(column, columns)
    raise SettingsError(f"{path}: {column!r} is not a column of samples{near}; known are {', '.join(columns)}")


def _require_known(value: str, path: str, known: Collection[str], what: str) -> None:
    if value not in known:
        near = did_you_mean(value, known)
        raise SettingsError(f"{path}: {value!r} is an unknown {what}{near}; known are {', '.join(known)}")
