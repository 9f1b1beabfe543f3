"""Families: which tests are adjusted together, declared in the config before any value is looked at; what passes.

``analysis.families`` is a list of ``{name, statistics, query_groups}`` with shell patterns (``mass_*``). A test belongs
to the first family that it fits; what fits none forms the family ``rest``. Without families all tests of a comparison
are one. Each family's error rate is controlled on its own, so a claim over several families is a claim per family.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

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
