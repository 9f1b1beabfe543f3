"""Families: which tests are adjusted together, declared in the config before any value is looked at; what passes.

``analysis.families`` is a list of ``{name, statistics, query_groups}`` with shell patterns (``mass_*``). A test belongs
to the first family that it fits; what fits none forms the family ``rest``. Without families all tests of a comparison
are one. Each family's error rate is controlled on its own, so a claim over several families is a claim per family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from analyses.inference.multiplicity import adjust_within, family_sizes
from analyses.settings.analysis import Family, SettingsError

EVERYTHING = "every test"
REST = "rest"


def declared_families(
    families: Sequence[Family], query_groups: Sequence[str], statistics: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Return the family of every (query group, statistic).

    Raises
    ------
    SettingsError
        When no test fits a declared family.
    """
    family_of: dict[tuple[str, str], str] = {}
    fitting: set[str] = set()
    for query_group in query_groups:
        for statistic in statistics:
            fits = [family.name for family in families if family.fits(query_group, statistic)]
            fitting.update(fits)
            family_of[query_group, statistic] = fits[0] if fits else REST if families else EVERYTHING
    for slot, family in enumerate(families):
        if family_of and family.name not in fitting:
            raise SettingsError(
                f"analysis.families[{slot}]: no test fits family {family.name!r}; statistics are "
                f"{', '.join(statistics)}; query groups are {', '.join(query_groups)}"
            )
    return family_of


MEAN_CHECKS = ("pvalue_adjusted", "pvalue_ranks_adjusted", "pvalue_max_t")
"""Adjusted p-values that a mean of ``causal_effects`` has to pass."""

CHECKS = (*MEAN_CHECKS, "pvalue_pooled_adjusted", "pvalue_exchange", "pvalue_fixed_adjusted")
"""Adjusted p-values that a difference of ``group_differences`` has to pass, those that were computed."""


def claim_pvalue(checks: Sequence[str] = CHECKS, required: int = 2) -> pl.Expr:
    """Return the largest of the adjusted p-values of each row, which every check passes at; null without a test.

    Max-T and exchange are missing where nothing was drawn, the fit with columns held fixed where there are none; the
    first ``required`` are missing only where nothing was tested.
    """
    largest = pl.max_horizontal(pl.col(name).fill_nan(None) for name in checks)
    return pl.when(pl.all_horizontal(pl.col(name).is_not_null() for name in checks[:required])).then(largest)


def smallest(pvalues: pl.Series) -> float:
    """Return the smallest p that is known; NaN without any."""
    found = pvalues.fill_nan(None).min()
    return float("nan") if found is None else float(found)  # pyright: ignore[reportArgumentType]


def family_name(*parts: str) -> str:
    """Return the name of a family of tests: "stretches of layers, is_correct"; ``EVERYTHING`` is not worth saying."""
    return ", ".join(part for part in parts if part != EVERYTHING)


def is_certain(alpha: float | pl.Expr, checks: Sequence[str] = CHECKS) -> pl.Expr:
    """Say of each row whether every adjusted p that was computed is at most ``alpha``; false without a p-value."""
    return (claim_pvalue(checks) <= alpha).fill_null(False)


def is_significant() -> pl.Expr:
    """Say of each test of ``group_differences`` whether every adjusted p is at most the test's own ``level``."""
    return is_certain(pl.col("level"))


def beside(keys: pl.DataFrame, columns: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return what tests are about with what came out of them, numbers as Float64 until ``typed``."""
    made = {
        name: pl.Series(part.tolist(), dtype=pl.String if part.dtype.kind in "OU" else pl.Float64)
        for name, part in columns.items()
    }
    return pl.concat([keys, pl.DataFrame(made)], how="horizontal")


def adjusted_as_one(
    table: pl.DataFrame, schema: Mapping[str, type[pl.DataType]], correction: str, names: Mapping[str, str]
) -> pl.DataFrame:
    """Adjust p-values over a table as one family, and give it its columns; NaN becomes null, an empty note too.

    Parameters
    ----------
    names
        Column of raw p-values to that of the adjusted ones; the first of them is ``pvalue``.
    """
    family = np.zeros(len(table), dtype=np.int64)
    for raw, name in names.items():
        values = adjust_within(table[raw].fill_null(float("nan")).to_numpy(), family, correction)
        table = table.with_columns(pl.Series(name, values, dtype=pl.Float64))
    sizes = family_sizes(table["pvalue"].fill_null(float("nan")).to_numpy(), family)
    table = table.with_columns(pl.Series("family_size", sizes, dtype=pl.Int32))
    if "note" in table.columns:
        table = table.with_columns(pl.col("note").replace("", None))
    return typed(table, schema)


def typed(table: pl.DataFrame, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """Return a table's declared columns with their types; NaN becomes null."""
    known = table.with_columns(pl.col(pl.Float64).fill_nan(None))
    return known.select(pl.col(name).cast(kind) for name, kind in schema.items())


CLAIMED = {"pvalue": "pvalue_adjusted", "worst": "pvalue_claim"}
"""Adjusted columns of differences that ``tested_differences`` tests."""
