"""Published numbers, computed by SciPy and statsmodels alone: ``python -m tests.golden.statsmodels_numbers``.

Nothing of ``analyses`` is imported, so the suite compares three: what was published, what these libraries say, and what
``analyses`` says. Grunfeld's investment data (statsmodels ships them) are eleven firms of twenty years; the group is
"capital above its median", the covariates are the firm's value and the year, errors are clustered by firm.
"""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

SLEEP = np.array(
    [[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]]
)
"""Student's sleep data, R's ``datasets::sleep``: extra hours of sleep in two groups of ten."""

FIVE = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
"""Five p-values to adjust."""


def grunfeld() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return invest, group, covariates ``[rows, 2]`` and firm."""
    data = sm.datasets.grunfeld.load_pandas().data
    group = (data["capital"] > data["capital"].median()).to_numpy()
    firm = np.unique(data["firm"].to_numpy(), return_inverse=True)[1]
    return data["invest"].to_numpy(), group, data[["value", "year"]].to_numpy(), firm


def grunfeld_numbers() -> tuple[float, ...]:
    """Return effect, clustered error, p and interval of the group."""
    invest, group, covariates, firm = grunfeld()
    columns = np.column_stack([np.ones(len(invest)), covariates, group])
    fit = sm.OLS(invest, columns).fit(cov_type="cluster", cov_kwds={"groups": firm}, use_t=True)
    low, high = fit.conf_int()[-1]
    return tuple(float(value) for value in (fit.params[-1], fit.bse[-1], fit.pvalues[-1], low, high))


def numbers() -> dict[str, tuple[float, ...]]:
    """Return every published number that SciPy or statsmodels can compute, by name."""
    ranked = stats.mannwhitneyu(*SLEEP, method="asymptotic")
    return {
        "sleep, Welch": (float(stats.ttest_ind(*SLEEP, equal_var=False).pvalue),),
        "sleep, Mann-Whitney": (float(ranked.statistic), float(ranked.pvalue)),
        "Newcombe, 81 of 263": tuple(proportion_confint(81, 263, method="wilson")),
        "Grunfeld, clustered": grunfeld_numbers(),
    } | {
        f"five p, {name}": tuple(map(float, multipletests(FIVE, method=name)[1]))
        for name in ("holm", "fdr_by", "fdr_bh", "bonferroni")
    }


def main() -> None:
    """Print them with all their digits."""
    for name, values in numbers().items():
        print(f"{name}: {', '.join(map(repr, values))}")


if __name__ == "__main__":
    main()
