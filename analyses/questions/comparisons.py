"""Which samples are compared with which: an entry of ``analysis.groups`` becomes two groups of samples.

A column of ``samples`` (those of ``runs.derived_columns`` included) makes groups like this:

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

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from analyses.inference.adjusted.design import ModelSamples
from analyses.runs.clusters import cluster_codes
from analyses.runs.derived_columns import ordered_levels
from analyses.runs.labels import labels_of
from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.settings.analysis import LOG_PREFIX, AnalysisSettings
from analyses.settings.columns import Group, SettingsError, group_column, group_name

_HALVES = {"label_probability": ("confident", "uncertain")}
"""Names of the upper and the lower half of a number, where "above its median" is not what one says."""


EVERYONE = "all samples"


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
    column
        The column of ``samples`` that makes the groups.
    """

    name: str
    label_a: str
    label_b: str
    is_a: np.ndarray
    is_b: np.ndarray
    problem: str = ""
    column: str = ""

    @property
    def is_member(self) -> np.ndarray:
        """Samples in either group."""
        return self.is_a | self.is_b


def resolve_comparison(samples: pl.DataFrame, group: str | Group, contrast: tuple[str, ...] = ()) -> Comparison:
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
    name, column = group_name(group), group_column(group)
    if column not in samples.columns:
        raise SettingsError(
            f"analysis.groups: {column!r} is no column of samples; columns: {', '.join(samples.columns)}."
        )
    values = samples[column]
    if values.dtype.is_nested():
        raise SettingsError(f"analysis.groups: {column!r} is a list, and samples cannot be grouped by it.")
    if isinstance(group, Group) and group.a is not None:
        is_a, label_a = _is_one_of(values, group.a)
        is_b, label_b = _is_one_of(values, group.b)
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
    return Comparison(name, label_a, label_b, is_a, is_b & ~is_a, problem, column)


def _halves(column: str, values: pl.Series) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Cut a number at its median, with the median itself on the side that makes the halves more alike."""
    median = values.median()
    if median is None:  # unknown for every sample
        nobody = np.zeros(len(values), dtype=bool)
        return nobody, nobody, f"{column} above its median", f"{column} up to its median"
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


def comparisons_of(run: Run, settings: AnalysisSettings) -> list[Comparison]:
    """Return every comparison that is configured, those that cannot be tested with their reason."""
    decision = run.section("decision").get("contrast")
    contrast = tuple(map(str, decision)) if isinstance(decision, list | tuple) else ()
    return [resolve_comparison(run.samples, group, contrast) for group in settings.groups]


def right_against_wrong(run: Run, settings: AnalysisSettings) -> Comparison:
    """Return the comparison of right with wrong predictions, whatever ``analysis.groups`` names."""
    return comparisons_of(run, settings.model_copy(update={"groups": ("is_correct",)}))[0]


def model_samples(run: Run, settings: AnalysisSettings, comparison: Comparison) -> ModelSamples:
    """Return what the adjusted model knows of the samples in either group, in the order of ``run.samples``."""
    member = comparison.is_member
    labels = labels_of(run, "predicted_label").to_numpy()[member]
    covariates = {name: _covariate(run, name)[member] for name in settings.covariates}
    cluster = np.unique(cluster_codes(run, settings.cluster_by)[member], return_inverse=True)[1]
    names = comparison.label_a, comparison.label_b
    return ModelSamples(comparison.is_a[member], cluster, labels, covariates, names)


def fixed_samples(run: Run, settings: AnalysisSettings, comparison: Comparison) -> ModelSamples | None:
    """Return ``model_samples`` with ``analysis.held_fixed`` among the covariates; None where nothing is to be added.

    A column that makes the groups itself is left out, as is one that is the same in all of these samples.
    """
    member = comparison.is_member
    added: dict[str, np.ndarray] = {}
    for name in settings.held_fixed:
        if name != comparison.column and name in run.samples.columns:
            added |= held_columns(run.samples[name].filter(pl.Series(member)), name)
    if not added:
        return None
    model = model_samples(run, settings, comparison)
    return replace(model, covariates={**model.covariates, **added}, prepared={})


MAX_HELD = 12
"""Words with more values than this cannot be held fixed one by one."""


def held_columns(values: pl.Series, name: str) -> dict[str, np.ndarray]:
    """Return what enters a model to hold a column fixed, ``[samples]`` each; nothing where it does not vary.

    Numbers enter standardised, with their square from three values on, unknown ones at the mean; words one by one.
    """
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        numbers = numbers_of(values)
        known = np.isfinite(numbers)
        spread = float(numbers[known].std()) if known.any() else 0.0
        if not spread > 0:
            return {}
        scaled = np.where(known, (numbers - numbers[known].mean()) / spread, 0.0)
        squared = {f"{name} squared": scaled**2} if len(np.unique(scaled)) > 2 else {}
        return {name: scaled} | squared
    if values.dtype.is_nested():
        raise SettingsError(f"analysis.held_fixed: {name!r} is a list, and it cannot be held fixed.")
    texts = values.cast(pl.String).fill_null("unknown")
    levels = texts.unique().sort().to_list()
    if len(levels) > MAX_HELD:
        raise SettingsError(
            f"analysis.held_fixed: {name!r} has {len(levels)} values; words are held fixed one by one, at most "
            f"{MAX_HELD}. Name a number, or a column of fewer words."
        )
    return {f"{name} {level}": (texts == level).to_numpy().astype(np.float64) for level in levels[1:]}


def _covariate(run: Run, name: str) -> np.ndarray:
    """Return a numeric column; missing values take the mean, so that no sample is lost to a covariate."""
    columns = run.samples.columns
    column = name if name in columns else name.removeprefix(LOG_PREFIX)
    if column not in columns or not run.samples[column].dtype.is_numeric():
        raise SettingsError(
            f"{run.run_dir}: analysis.covariates names {name!r}, but {column!r} is no numeric column of samples; "
            f"columns: {', '.join(columns)}."
        )
    values = run.samples[column].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    if name not in columns:
        values = np.log(np.where(values > 0, values, np.nan))
    known = np.isfinite(values)
    values[~known] = values[known].mean() if known.any() else 0.0
    return values


def groups_of(run: Run, comparison: Comparison | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield all samples, and groups a and b of a comparison, as (label, ``[samples]`` booleans)."""
    yield EVERYONE, np.ones(len(run.samples), dtype=bool)
    if comparison is not None:
        for label, rows in ((comparison.label_a, comparison.is_a), (comparison.label_b, comparison.is_b)):
            if rows.any():
                yield label, rows
