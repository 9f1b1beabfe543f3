"""The test this project quotes: a group difference adjusted for what else differs, with errors clustered by company.

"Incorrect" also means "said the other label" and "longer or shorter". So each statistic is regressed by ordinary
least squares on the group, the effect-coded predicted label, their interaction and covariates, and samples of one
cluster may be correlated. Labels are centred at their sample mean, which makes the coefficient of the group the
average marginal effect over the samples at hand. A label of which one group has fewer than ``MIN_CELL`` samples gets no
interaction: a difference within so few samples cannot be estimated, so it is taken to equal that of the other labels.

Errors are CR2 (Bell and McCaffrey 2002) with Satterthwaite's degrees of freedom: the usual CR1 errors with clusters - 1
degrees of freedom are far too small when one group is small, however many clusters there are (Imbens and Kolesar 2016,
Pustejovsky and Tipton 2018). With an orthonormal basis Q of the model and its last column q the group's own part, the
score of cluster g is q_gᵀ (I - H_gg)^(-1/2) e_g with H_gg = Q_g Q_gᵀ, which is c_gᵀ Q_gᵀ e_g with the short vector
c_g = (I - Q_gᵀ Q_g)^(-1/2) (0, …, 0, 1)ᵀ. So a design costs one small matrix root per cluster, and each test a product.

Family-wise error over all tests is controlled by max-T (Westfall and Young 1993): residuals of the model without the
group (Freedman and Lane 1983) are multiplied by one random sign per cluster, the same signs for every test (Cameron,
Gelbach and Miller 2008), and every test is studentised again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from analyses.significance import cluster_sums, constant_columns, missing_patterns

RANK_TOLERANCE = 1e-8
"""A column whose part outside the other columns is shorter than this share of it is collinear."""

PERMUTATION_BLOCK = 256
"""Tests per matrix product of max-T; keeps a block of 1,000 sign flips near 20 MB."""

MIN_CELL = 5
"""Samples that each group must have of a label for the difference within that label to be estimated on its own."""

MIN_DEGREES_OF_FREEDOM = 4.0
"""Fewer Satterthwaite degrees of freedom give no p-value (Pustejovsky and Tipton 2018: unreliable below 4)."""

INSEPARABLE = "which cannot be told from the groups"
"""How ``method`` marks a term that was left out because it is collinear with the group."""

LABEL = "predicted_label"

Errors = Literal["CR2", "CR1"]


@dataclass(frozen=True)
class Samples:
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

    def take(self, rows: np.ndarray) -> Samples:
        """Return the chosen samples; cluster codes stay as they are."""
        labels = None if self.labels is None else self.labels[rows]
        covariates = {name: column[rows] for name, column in self.covariates.items()}
        return Samples(self.is_a[rows], self.cluster[rows], labels, covariates, self.names)


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


def cells(samples: Samples) -> list[Cell]:
    """Return every group x predicted label, the smallest first; empty when labels are left out."""
    if samples.labels is None:
        return []
    texts = samples.labels.astype(str)
    found = [
        Cell(name, str(label), int((rows & (texts == label)).sum()))
        for label in np.unique(texts)
        for name, rows in zip(samples.names, (samples.is_a, ~samples.is_a), strict=True)
    ]
    return sorted(found, key=lambda cell: cell.num_samples)


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


def build_design(samples: Samples) -> Design | None:
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
    kept, names, left_out = [np.ones_like(group)], ["1", "group"], []
    for name, columns in terms.items():
        fitting = [column for column in columns.T if _adds_rank([*kept, group], column)]
        if columns.shape[1] and len(fitting) == columns.shape[1] and _is_independent([*kept, group, *fitting]):
            kept.extend(fitting)
            names.append(name)
        elif not np.ptp(columns, axis=0).any():
            left_out.append(f"{name} (constant)")
        else:
            left_out.append(f"{name} ({INSEPARABLE if _is_independent([*kept, *columns.T]) else 'collinear'})")
    if small and LABEL in names:
        labels = ", ".join(sorted({f'"{cell.label}"' for cell in small}))
        left_out.append(f"interaction of {labels} ({'; '.join(map(str, small))})")
    basis, triangle = np.linalg.qr(np.column_stack([*kept, group]))
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


def _adds_rank(kept: list[np.ndarray], column: np.ndarray) -> bool:
    basis = np.linalg.qr(np.column_stack(kept))[0]
    outside = column - basis @ (basis.T @ column)
    return bool(np.linalg.norm(outside) > RANK_TOLERANCE * max(np.linalg.norm(column), np.finfo(float).tiny))


def _is_independent(columns: list[np.ndarray]) -> bool:
    matrix = np.column_stack(columns)
    matrix = matrix / np.linalg.norm(matrix, axis=0)
    return int(np.linalg.matrix_rank(matrix, tol=RANK_TOLERANCE)) == matrix.shape[1]


@dataclass(frozen=True)
class AdjustedEffects:
    """Average marginal effects of the group; each array ``[tests]``, NaN where undefined.

    Attributes
    ----------
    effect, standard_error, ci_low, ci_high
        In the statistic's unit, a minus b.
    statistic, pvalue
        effect / standard_error and its two-sided p by Student's t.
    degrees_of_freedom
        Of that t: Satterthwaite's with CR2 errors, clusters - 1 with CR1.
    num_clusters
        Clusters with a value.
    method
        The model in words, with the terms that had to be dropped.
    note
        Why a p-value is missing, else an empty string.
    """

    effect: np.ndarray
    standard_error: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    statistic: np.ndarray
    pvalue: np.ndarray
    degrees_of_freedom: np.ndarray
    num_clusters: np.ndarray
    method: np.ndarray
    note: np.ndarray


def adjusted_effects(
    values: np.ndarray, samples: Samples, confidence: float = 0.95, errors: Errors = "CR2"
) -> AdjustedEffects:
    """Estimate the adjusted difference between the groups for every test.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value; such samples are left out of that test only.
    samples
        Group, cluster, predicted label and covariates.
    confidence
        Coverage of the interval.
    errors
        ``CR2`` with Satterthwaite's degrees of freedom, or ``CR1`` with clusters - 1 as in statsmodels'
        ``OLS(...).fit(cov_type="cluster")``: for comparison only, it finds too much when groups are small.

    Returns
    -------
    AdjustedEffects
        The difference is given wherever the groups vary; its interval and p only where they can be trusted.
    """
    result = _empty_effects(values.shape[1])
    for rows, columns in missing_patterns(values):
        chosen = samples.take(rows)
        num_clusters = len(np.unique(chosen.cluster))
        result.num_clusters[columns] = num_clusters
        design = build_design(chosen)
        reason = _why_untestable(chosen, design, num_clusters)
        if design is None or reason:
            result.note[columns] = reason
            continue
        robust = cluster_errors(design, np.unique(chosen.cluster, return_inverse=True)[1], errors)
        result.method[columns] = _describe(design, errors)
        result.degrees_of_freedom[columns] = robust.degrees_of_freedom
        _fill_effects(result, _part_of(values, rows, columns), columns, design, robust, confidence)
        reason = _why_unreliable(chosen, robust)
        if reason:
            untold = columns[result.note[columns] == ""]
            for name in ("standard_error", "ci_low", "ci_high", "statistic", "pvalue"):
                getattr(result, name)[untold] = np.nan
            result.note[untold] = reason
    return result


def _part_of(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return ``values[rows][:, columns]``, without a copy where that is everything."""
    return values if rows.all() and len(columns) == values.shape[1] else values[rows][:, columns]


def _empty_effects(num_tests: int) -> AdjustedEffects:
    def missing() -> np.ndarray:
        return np.full(num_tests, np.nan)

    return AdjustedEffects(
        effect=missing(),
        standard_error=missing(),
        ci_low=missing(),
        ci_high=missing(),
        statistic=missing(),
        pvalue=missing(),
        degrees_of_freedom=missing(),
        num_clusters=np.zeros(num_tests, np.int64),
        method=np.full(num_tests, "", dtype=object),
        note=np.full(num_tests, "", dtype=object),
    )


def _why_untestable(samples: Samples, design: Design | None, num_clusters: int) -> str:
    if len(samples.is_a) == 0:
        return "no sample has a value"
    if design is None:
        return "only one group has values"
    if min(samples.is_a.sum(), (~samples.is_a).sum()) < 2:
        return "a group has fewer than two samples"
    if num_clusters < 2:
        return "fewer than two clusters"
    if design.basis.shape[0] <= design.basis.shape[1]:
        return "no more samples than terms in the model"
    return ""


def _why_unreliable(samples: Samples, robust: ClusterErrors) -> str:
    """Say why no p-value can be given although a difference can, naming the smallest cell."""
    if robust.degrees_of_freedom >= MIN_DEGREES_OF_FREEDOM:
        return ""
    smallest = min(
        [
            Cell(name, "", int(rows.sum()))
            for name, rows in zip(samples.names, (samples.is_a, ~samples.is_a), strict=True)
        ],
        key=lambda cell: cell.num_samples,
    )
    counted = [str(cell) for cell in cells(samples) if cell.num_samples < MIN_CELL]
    cell = "; ".join(counted) or f'{smallest.num_samples} in group "{smallest.group}"'
    if np.isnan(robust.degrees_of_freedom):
        return f"one cluster alone decides a part of the difference ({cell})"
    return f"too few samples to carry the difference: {robust.degrees_of_freedom:.1f} degrees of freedom ({cell})"


def _describe(design: Design, errors: Errors) -> str:
    freedom = {"CR2": "Satterthwaite", "CR1": "clusters - 1"}[errors]
    text = f"OLS on {' + '.join(design.terms[1:])}; {errors} by cluster, t({freedom})"
    return f"{text}; left out: {', '.join(design.left_out)}" if design.left_out else text


@dataclass(frozen=True)
class ClusterErrors:
    """What clustered errors need to know of a design, the same for every test on it.

    Attributes
    ----------
    codes
        ``[samples]`` clusters 0..clusters-1.
    weights
        ``[samples]``: the score of a cluster is the sum of weight x residual over its samples.
    overlap
        ``[clusters, columns]``: sums of weight x basis over the samples of a cluster.
    degrees_of_freedom
        Of Student's t; NaN when a cluster that weighs in the contrast is fitted exactly.
    """

    codes: np.ndarray
    weights: np.ndarray
    overlap: np.ndarray
    degrees_of_freedom: float


EXACT_FIT = 1e-8
"""An eigenvalue of I - H_gg below this means that the model fits a combination of this cluster's samples exactly."""


def cluster_errors(design: Design, codes: np.ndarray, errors: Errors = "CR2") -> ClusterErrors:
    """Return the weights of CR2 (or CR1) scores of the group's effect and their degrees of freedom."""
    basis = design.basis
    num_samples, num_columns = basis.shape
    num_clusters = int(codes.max()) + 1
    if errors == "CR1":
        correction = num_clusters / (num_clusters - 1) * (num_samples - 1) / (num_samples - num_columns)
        weights = np.sqrt(correction) * basis[:, -1]
        return ClusterErrors(codes, weights, cluster_sums(weights[:, None] * basis, codes), num_clusters - 1)
    products = cluster_sums((basis[:, :, None] * basis[:, None, :]).reshape(num_samples, -1), codes)
    shares, axes = np.linalg.eigh(products.reshape(num_clusters, num_columns, num_columns))
    remaining = 1 - shares
    is_exact = remaining < EXACT_FIT
    decides_alone = bool((is_exact & (axes[:, -1, :] ** 2 > EXACT_FIT)).any())
    root = np.where(is_exact, 0.0, 1 / np.sqrt(np.where(is_exact, 1.0, remaining)))
    short = np.einsum("gij,gj->gi", axes, root * axes[:, -1, :])
    weights = (basis * short[codes]).sum(axis=1)
    overlap = cluster_sums(weights[:, None] * basis, codes)
    # Scores of independent errors have the covariance diag(own) - overlap overlapᵀ (Satterthwaite's approximation).
    own = np.bincount(codes, weights**2, num_clusters)
    lengths = (overlap**2).sum(axis=1)
    trace = own.sum() - lengths.sum()
    squares = (own**2).sum() - 2 * (own * lengths).sum() + ((overlap.T @ overlap) ** 2).sum()
    freedom = float("nan") if decides_alone or squares <= 0 else float(trace**2 / squares)
    return ClusterErrors(codes, weights, overlap, freedom)


def _fill_effects(
    result: AdjustedEffects,
    values: np.ndarray,
    columns: np.ndarray,
    design: Design,
    robust: ClusterErrors,
    confidence: float,
) -> None:
    loadings = design.basis.T @ values
    residuals = values - design.basis @ loadings
    scores = cluster_sums(robust.weights[:, None] * residuals, robust.codes)
    effect = loadings[-1] / design.scale
    error = np.sqrt((scores**2).sum(axis=0)) / design.scale
    constant = constant_columns(values)
    flat = ~constant & (np.abs(residuals).max(axis=0) <= 1e-12 * np.abs(values).max(axis=0))
    result.effect[columns] = np.where(constant, 0.0, effect)
    result.note[columns[constant]] = "the statistic is constant"
    result.note[columns[flat]] = "nothing varies beyond the model's terms"
    usable = ~constant & ~flat & (error > 0)
    columns, effect, error = columns[usable], effect[usable], error[usable]
    statistic = effect / error
    reach = stats.t.ppf(0.5 + confidence / 2, robust.degrees_of_freedom) * error
    result.standard_error[columns], result.statistic[columns] = error, statistic
    result.ci_low[columns], result.ci_high[columns] = effect - reach, effect + reach
    result.pvalue[columns] = 2 * stats.t.sf(np.abs(statistic), robust.degrees_of_freedom)


def random_signs(num_permutations: int, num_clusters: int, seed: int) -> np.ndarray:
    """Return ``[permutations, clusters]`` of -1 and 1, each with probability one half."""
    return np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(num_permutations, num_clusters))


def permutation_maxima(values: np.ndarray, samples: Samples, signs: np.ndarray, errors: Errors = "CR2") -> np.ndarray:
    """Return the largest |T*| over the tests under each set of signs.

    With an orthonormal basis Q of the model (its last column q the group's own part), weights t of the scores,
    residuals e of the model without the group and signs s, both T*'s numerator qᵀ(s·e) and its clustered error are
    linear or quadratic in the signs: with U_g = Σ_{i∈g} t_i e_i, w = Qᵀ(s·e) and D_g = Σ_{i∈g} t_i Q_i, the score of
    cluster g is s_g U_g - D_g w. So a block of tests needs only products of the signs with sums over clusters.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    samples
        As for ``adjusted_effects``; cluster codes index the columns of ``signs``.
    signs
        ``[permutations, clusters]`` as from ``random_signs``; the same array for every part of a family.
    errors
        As for ``adjusted_effects``; tests that it refuses do not count.

    Returns
    -------
    ndarray
        ``[permutations]``; 0 where nothing could be tested. The maximum over a family that is processed in parts is
        the elementwise maximum of the parts' results.
    """
    maxima = np.zeros(len(signs))
    for rows, columns in missing_patterns(values):
        chosen = samples.take(rows)
        present, codes = np.unique(chosen.cluster, return_inverse=True)
        design = build_design(chosen)
        if design is None or _why_untestable(chosen, design, len(present)):
            continue
        robust = cluster_errors(design, codes, errors)
        if _why_unreliable(chosen, robust):
            continue
        part = _part_of(values, rows, columns)
        part = part[:, ~constant_columns(part)]
        for start in range(0, part.shape[1], PERMUTATION_BLOCK):
            block = part[:, start : start + PERMUTATION_BLOCK]
            maxima = np.maximum(maxima, _block_maxima(block, design, robust, signs[:, present]))
    return maxima


def _block_maxima(values: np.ndarray, design: Design, robust: ClusterErrors, signs: np.ndarray) -> np.ndarray:
    basis, num_columns, num_tests = design.basis, design.basis.shape[1], values.shape[1]
    nuisance, overlap = basis[:, :-1], robust.overlap
    residuals = values - nuisance @ (nuisance.T @ values)
    # Scores divided by their size: T* has no unit, and squares of small masses stay far from underflow.
    residuals = residuals / np.maximum(np.abs(residuals).max(axis=0), np.finfo(np.float64).tiny)
    sums = np.stack([cluster_sums(column[:, None] * residuals, robust.codes) for column in basis.T])
    scores = cluster_sums(robust.weights[:, None] * residuals, robust.codes)
    crossed = scores[None] * overlap.T[:, :, None]
    stacked = np.concatenate([sums, crossed]).transpose(1, 0, 2).reshape(signs.shape[1], -1)
    products = (signs @ stacked).reshape(len(signs), 2 * num_columns, num_tests)
    loadings, cross = products[:, :num_columns], products[:, num_columns:]
    quadratic = (overlap.T @ overlap) @ loadings
    variance = (scores**2).sum(axis=0) + ((quadratic - 2 * cross) * loadings).sum(axis=1)
    floor = 1e-12 * (scores**2).sum(axis=0)
    varies = variance > floor
    statistic = np.where(varies, np.abs(loadings[:, -1]) / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    return statistic.max(axis=1)


def max_t_pvalues(statistic: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    """Return (1 + number of maxima at least |statistic|) / (permutations + 1); NaN stays NaN."""
    ordered = np.sort(maxima)
    exceeding = len(ordered) - np.searchsorted(ordered, np.abs(statistic) * (1 - 1e-12), side="left")
    return np.where(np.isnan(statistic), np.nan, (1 + exceeding) / (len(ordered) + 1))
