"""Families: which tests are adjusted together, declared in the config before any value is looked at.

``analysis.families`` is a list of ``{name, statistics, query_groups}`` with shell patterns (``mass_*``). A test belongs
to the first family that it fits; what fits none forms the family ``rest``. Without families all tests of a comparison
are one. Each family's error rate is controlled on its own, so a claim over several families is a claim per family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from analyses.settings import SettingsError
from analyses.significance import adjust_pvalues

EVERYTHING = "every test"
REST = "rest"

ASSUMPTIONS = {
    "fdr_bh": "Benjamini-Hochberg: false discovery rate, if p-values are independent or positively dependent",
    "fdr_by": "Benjamini-Yekutieli: false discovery rate under any dependence",
    "holm": "Holm: family-wise error under any dependence",
    "bonferroni": "Bonferroni: family-wise error under any dependence",
}
"""What each adjustment controls, and when."""


def declared_families(
    families: Sequence[Mapping[str, Any]], query_groups: Sequence[str], statistics: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Return the family of every (query group, statistic).

    Raises
    ------
    SettingsError
        When no test fits a declared family.
    """
    found: dict[tuple[str, str], str] = {}
    fitting: set[str] = set()
    for query_group in query_groups:
        for statistic in statistics:
            fits = [str(family["name"]) for family in families if _fits(family, query_group, statistic)]
            fitting.update(fits)
            found[query_group, statistic] = fits[0] if fits else REST if families else EVERYTHING
    for slot, family in enumerate(families):
        if found and family["name"] not in fitting:
            raise SettingsError(
                f"analysis.families[{slot}]: no test fits family {family['name']!r}; statistics are "
                f"{', '.join(statistics)}; query groups are {', '.join(query_groups)}"
            )
    return found


def _fits(family: Mapping[str, Any], query_group: str, statistic: str) -> bool:
    fits = ((family.get("statistics"), statistic), (family.get("query_groups"), query_group))
    return all(patterns is None or any(fnmatchcase(name, str(one)) for one in patterns) for patterns, name in fits)


def adjust_within(pvalues: np.ndarray, family: np.ndarray, correction: str) -> np.ndarray:
    """Return p adjusted within each family; arguments as for ``adjust_pvalues``, ``family`` names ``[tests]``."""
    adjusted = np.full(pvalues.shape, np.nan)
    for name in dict.fromkeys(family.tolist()):
        rows = family == name
        adjusted[rows] = adjust_pvalues(pvalues[rows], correction)
    return adjusted


def family_sizes(pvalues: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Return how many tests with a p-value the family of each test has."""
    tested = ~np.isnan(pvalues)
    sizes = {name: int((tested & (family == name)).sum()) for name in dict.fromkeys(family.tolist())}
    return np.array([sizes[name] for name in family.tolist()], dtype=np.int64)
