"""Which samples are compared with which: an entry of ``analysis.groups`` becomes two groups of samples.

A column of ``samples`` (those of ``analyses.derived_columns`` included) makes groups like this:

========================================= ===============================================================
``is_correct``, any true/false column     true against false: correct against incorrect
``predicted_label``, ``actual_label``     the two labels; of more than two, the pair in ``decision.contrast``
``certainty``, ``magnitude``, any words   the highest against the lowest word present, where all words are on one
                                          scale (``derived_columns.SCALES``): High against Low
``label_probability``                     confident (above its median) against uncertain
``year``, any number                      above its median against the rest
========================================= ===============================================================

A mapping ``{name, column, a, b}`` names the values of both groups and works for every column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analyses.derived_columns import ordered_levels
from analyses.design import Samples
from analyses.queries import cluster_codes
from analyses.run_tables import RunTables
from analyses.setting_checks import SettingsError, group_column, group_name
from analyses.settings import LOG_PREFIX, AnalysisSettings


@dataclass(frozen=True)
class Comparison:
    """Two groups of samples.

    Attributes
    ----------
    name
        The comparison's name in the tables.
    label_a, label_b
        The groups in words.
    is_a, is_b
        ``[samples]`` booleans.
    problem
        Why it cannot be tested, in a sentence; empty when it can.
    """

    name: str
    label_a: str
    label_b: str
    is_a: np.ndarray
    is_b: np.ndarray
    problem: str = ""

    @property
    def is_member(self) -> np.ndarray:
        """Samples in either group."""
        return self.is_a | self.is_b


_HALVES = {"label_probability": ("confident", "uncertain")}
"""Names of the upper and the lower half of a number, where "above its median" is not what one says."""


def resolve_comparison(
    samples: pl.DataFrame, group: str | Mapping[str, Any], contrast: tuple[str, ...] = ()
) -> Comparison:
    """Return the two groups that an entry of ``analysis.groups`` means.

    Parameters
    ----------
    samples
        The run's samples.
    group
        A column, or a mapping ``{name, column, a, b}``.
    contrast
        ``decision.contrast``: the two labels that are compared where a column holds more.

    Raises
    ------
    SettingsError
        When the column is not in ``samples``, is a list, or is text of more than two values on no scale and a and b are
        not given.
    """
    definition: Mapping[str, Any] = {"column": group} if isinstance(group, str) else group
    name, column = group_name(group), group_column(group)
    if column not in samples.columns:
        raise SettingsError(
            f"analysis.groups: {column!r} is no column of samples; columns: {', '.join(samples.columns)}."
        )
    values = samples[column]
    if values.dtype.is_nested():
        raise SettingsError(f"analysis.groups: {column!r} is a list, and samples cannot be grouped by it.")
    if "a" in definition and "b" in definition:
        is_a, label_a = _is_one_of(values, definition["a"])
        is_b, label_b = _is_one_of(values, definition["b"])
    elif values.dtype == pl.Boolean:
        is_a, is_b = values.fill_null(False).to_numpy(), (~values).fill_null(False).to_numpy()
        label_a, label_b = ("correct", "incorrect") if column == "is_correct" else (f"{column}", f"not {column}")
    elif values.dtype.is_numeric():
        is_a, is_b, label_a, label_b = _halves(column, values.cast(pl.Float64).fill_nan(None))
    else:
        high, low = _two_values(column, values, contrast)
        is_a, label_a = _is_one_of(values, high)
        is_b, label_b = _is_one_of(values, low)
    problem = _why_not_comparable(name, (label_a, int(is_a.sum())), (label_b, int((is_b & ~is_a).sum())))
    return Comparison(name, label_a, label_b, is_a, is_b & ~is_a, problem)


def _halves(column: str, values: pl.Series) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Cut a number at its median, with the median itself on the side that makes the halves more alike."""
    median = values.median()
    above, below = (values > median).fill_null(False), (values < median).fill_null(False)
    middle = (values == median).fill_null(False)
    is_upper = below.sum() > above.sum()
    is_a, is_b = (above | middle, below) if is_upper else (above, below | middle)
    words = f"{column} from its median", f"{column} below its median"
    words = words if is_upper else (f"{column} above its median", f"{column} up to its median")
    label_a, label_b = _HALVES.get(column, words)
    return is_a.to_numpy(), is_b.to_numpy(), label_a, label_b


def _two_values(column: str, values: pl.Series, contrast: tuple[str, ...]) -> tuple[object, object]:
    levels = sorted(values.drop_nulls().unique().to_list())
    scale = ordered_levels(values)
    if scale and len(scale) > 1:
        return scale[-1], scale[0]
    if len(levels) <= 2:
        return (levels[-1] if levels else [], levels[0] if len(levels) == 2 else [])
    if len(contrast) == 2 and set(contrast) <= set(map(str, levels)):
        return contrast
    raise SettingsError(
        f"analysis.groups: {column!r} has {len(levels)} values ({', '.join(map(str, levels[:8]))}, …); "
        "write a mapping {name, column, a, b} that says which of them to compare."
    )


def _is_one_of(values: pl.Series, wanted: object) -> tuple[np.ndarray, str]:
    listed = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    texts = [str(item).strip().lower() for item in listed]
    cleaned = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    return cleaned.is_in(texts).fill_null(False).to_numpy(), " or ".join(texts) or "the other value"


def _why_not_comparable(name: str, a: tuple[str, int], b: tuple[str, int]) -> str:
    counts = f"{a[1]} {a[0]} and {b[1]} {b[0]}"
    if a[1] >= 2 and b[1] >= 2:
        return ""
    return f"Comparison {name}: there are {counts} samples, and each group needs at least two. Nothing was tested."


def comparisons_of(tables: RunTables, settings: AnalysisSettings) -> list[Comparison]:
    """Return every comparison that is configured, those that cannot be tested with their reason."""
    decision = tables.section("decision").get("contrast")
    contrast = tuple(map(str, decision)) if isinstance(decision, list | tuple) else ()
    return [resolve_comparison(tables.samples, group, contrast) for group in settings.groups]


def model_samples(tables: RunTables, settings: AnalysisSettings, comparison: Comparison) -> Samples:
    """Return what the adjusted model knows of the samples in either group, in the order of ``tables.samples``."""
    member = comparison.is_member
    labels = tables.samples["predicted_label"].fill_null("unknown").to_numpy()[member]
    covariates = {name: _covariate(tables, name)[member] for name in settings.covariates}
    cluster = np.unique(cluster_codes(tables, settings.cluster_by)[member], return_inverse=True)[1]
    names = comparison.label_a, comparison.label_b
    return Samples(comparison.is_a[member], cluster, labels, covariates, names)


def _covariate(tables: RunTables, name: str) -> np.ndarray:
    """Return a numeric column; missing values take the mean, so that no sample is lost to a covariate."""
    columns = tables.samples.columns
    column = name if name in columns else name.removeprefix(LOG_PREFIX)
    if column not in columns or not tables.samples[column].dtype.is_numeric():
        raise SettingsError(
            f"{tables.run_dir}: analysis.covariates names {name!r}, but {column!r} is no numeric column of samples; "
            f"columns: {', '.join(columns)}."
        )
    values = tables.samples[column].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    if name not in columns:
        values = np.log(np.where(values > 0, values, np.nan))
    known = np.isfinite(values)
    values[~known] = values[known].mean() if known.any() else 0.0
    return values
