"""The design of the adjusted model: which terms it has and their orthonormal basis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyses.inference.columns import VALUES_AT_ONCE

RANK_TOLERANCE = 1e-8
"""A column whose part outside the other columns is shorter than this share of it is collinear."""

MIN_CELL = 5
"""Samples that each group must have of a label for the difference within that label to be estimated on its own."""

INSEPARABLE = "which cannot be told from the groups"
"""How ``method`` marks a term that was left out because it is collinear with the group."""

LABEL = "predicted_label"


@dataclass(frozen=True)
class ModelSamples:
    """What the model knows of each sample.

    Attributes
    ----------
    is_a
        ``[samples]`` booleans, the group.
    cluster
        ``[samples]`` codes 0..clusters-1.
    labels
        ``[samples]`` predicted labels (any strings), or None to leave the label out.
    covariates
        Name to ``[samples]`` numbers without NaN.
    names
        Groups a and b in words, for notes.
    """

    is_a: np.ndarray
    cluster: np.ndarray
    labels: np.ndarray | None
    covariates: Mapping[str, np.ndarray]
    names: tuple[str, str] = ("group a", "group b")
    prepared: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)
    """Designs that were made of these samples, kept by ``adjusted.effects.prepare``."""

    def take(self, rows: np.ndarray) -> ModelSamples:
        """Return the chosen samples; cluster codes stay as they are."""
        labels = None if self.labels is None else self.labels[rows]
        covariates = {name: column[rows] for name, column in self.covariates.items()}
        return ModelSamples(self.is_a[rows], self.cluster[rows], labels, covariates, self.names)


@dataclass(frozen=True)
class Cell:
    """How many samples of one group have one predicted label."""

    group: str
    label: str
    num_samples: int

    def __str__(self) -> str:
        """Return it in words."""
        count = "no sample" if self.num_samples == 0 else f"{self.num_samples} sample{'s' * (self.num_samples > 1)}"
        return f'{count} in group "{self.group}" predicted "{self.label}"'


def cells(samples: ModelSamples) -> list[Cell]:
    """Return every group x predicted label, the smallest first; empty when labels are left out."""
    if samples.labels is None:
        return []
    texts = samples.labels.astype(str)
    groups = [
        Cell(name, str(label), int((rows & (texts == label)).sum()))
        for label in np.unique(texts)
        for name, rows in zip(samples.names, (samples.is_a, ~samples.is_a), strict=True)
    ]
    return sorted(groups, key=lambda cell: cell.num_samples)


@dataclass(frozen=True)
class Design:
    """An orthonormal basis of the model's columns.

    Attributes
    ----------
    basis
        ``[samples, columns]`` orthonormal; the last column is the group's part outside all other terms.
    scale
        Length of that part: effect = basis[:, -1]ᵀ y / scale.
    terms
        Names of the terms in the model.
    left_out
        What is not in the model and why, in words.
    """

    basis: np.ndarray
    scale: float
    terms: tuple[str, ...]
    left_out: tuple[str, ...]


def null_residuals(values: np.ndarray, design: Design, factor: np.ndarray | None = None) -> np.ndarray:
    """Return what the model without the group, the last column of its basis, leaves of ``[samples, tests]``.

    With ``factor``, ``[tests]``, it is multiplied with that and in float32.
    """
    result = np.empty(values.shape, dtype=np.float64 if factor is None else np.float32)
    for rows, residuals in null_residual_blocks(values, design):
        result[rows] = residuals if factor is None else residuals * factor
    return result


def null_residual_blocks(values: np.ndarray, design: Design) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield ``null_residuals`` some rows at a time; the next block is written over the one before."""
    nuisance = design.basis[:, :-1]
    loadings = nuisance.T @ values
    step = max(1, VALUES_AT_ONCE // max(values.shape[1], 1))
    held = np.empty((min(step, len(values)), values.shape[1]))
    for start in range(0, len(values), step):
        rows = slice(start, min(start + step, len(values)))
        residuals = held[: rows.stop - start]
        np.matmul(nuisance[rows], loadings, out=residuals)
        np.subtract(values[rows], residuals, out=residuals)
        yield rows, residuals


def build_design(samples: ModelSamples) -> Design | None:
    """Return the model's design, or None when the group itself does not vary.

    Terms that are constant, or collinear with the group and the terms before them, are left out: when every sample of
    one label is right and every sample of the other wrong, the label cannot be told from the group, and the label goes.
    """
    group = samples.is_a.astype(np.float64)
    if len(group) == 0 or group.min() == group.max():
        return None
    terms: dict[str, np.ndarray] = {name: column[:, None] for name, column in samples.covariates.items()}
    small = [cell for cell in cells(samples) if cell.num_samples < MIN_CELL]
    if samples.labels is not None:
        texts = samples.labels.astype(str)
        levels = np.unique(texts)
        terms[LABEL] = _effect_coded(texts, levels)
        own = levels[~np.isin(levels, [cell.label for cell in small])]
        if len(own) > 1:
            terms[f"group:{LABEL}"] = _effect_coded(texts, own) * group[:, None]
    independent, names, left_out = [np.ones_like(group)], ["1", "group"], []
    for name, columns in terms.items():
        fitting = [column for column in columns.T if _adds_rank([*independent, group], column)]
        if columns.shape[1] and len(fitting) == columns.shape[1] and _is_independent([*independent, group, *fitting]):
            independent.extend(fitting)
            names.append(name)
        elif not np.ptp(columns, axis=0).any():
            left_out.append(f"{name} (constant)")
        else:
            left_out.append(f"{name} ({INSEPARABLE if _is_independent([*independent, *columns.T]) else 'collinear'})")
    if small and LABEL in names:
        labels = ", ".join(sorted({f'"{cell.label}"' for cell in small}))
        left_out.append(f"interaction of {labels} ({'; '.join(map(str, small))})")
    # The group comes last, so that its column of the basis is what no other term explains; QR leaves the sign open.
    basis, triangle = np.linalg.qr(np.column_stack([*independent, group]))
    scale = float(triangle[-1, -1])
    basis[:, -1] *= np.sign(scale)
    return Design(basis, abs(scale), tuple(names), tuple(left_out))


def _effect_coded(labels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return sum-to-zero columns ``[samples, levels - 1]``, centred over the samples of these levels, 0 for others."""
    is_known = np.isin(labels, levels)
    columns = np.zeros((len(labels), max(len(levels) - 1, 0)))
    for slot, level in enumerate(levels[:-1]):
        columns[labels == level, slot] = 1.0
        columns[labels == levels[-1], slot] = -1.0
    if is_known.any():
        columns[is_known] -= columns[is_known].mean(axis=0)
    return columns


def _adds_rank(independent: list[np.ndarray], column: np.ndarray) -> bool:
    basis = np.linalg.qr(np.column_stack(independent))[0]
    outside = column - basis @ (basis.T @ column)
    return bool(np.linalg.norm(outside) > RANK_TOLERANCE * max(np.linalg.norm(column), np.finfo(float).tiny))


def _is_independent(columns: list[np.ndarray]) -> bool:
    matrix = np.column_stack(columns)
    matrix = matrix / np.linalg.norm(matrix, axis=0)
    return int(np.linalg.matrix_rank(matrix, tol=RANK_TOLERANCE)) == matrix.shape[1]
