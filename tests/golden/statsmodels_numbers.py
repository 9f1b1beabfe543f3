"""Prints the constants of ``test_analyses_published_numbers.GRUNFELD``: ``python -m tests.golden.statsmodels_numbers``.

Grunfeld's investment data (statsmodels ships them), eleven firms of twenty years. The group is "capital above its
median", the covariates are the firm's value and the year; errors are clustered by firm. Written with statsmodels 0.14.
"""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm


def grunfeld() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return invest, group, covariates ``[rows, 2]`` and firm."""
    data = sm.datasets.grunfeld.load_pandas().data
    group = (data["capital"] > data["capital"].median()).to_numpy()
    firm = np.unique(data["firm"].to_numpy(), return_inverse=True)[1]
    return data["invest"].to_numpy(), group, data[["value", "year"]].to_numpy(), firm


def main() -> None:
    """Print effect, clustered error, p and interval of the group."""
    invest, group, covariates, firm = grunfeld()
    columns = np.column_stack([np.ones(len(invest)), covariates, group])
    fit = sm.OLS(invest, columns).fit(cov_type="cluster", cov_kwds={"groups": firm}, use_t=True)
    low, high = fit.conf_int()[-1]
    for value in (fit.params[-1], fit.bse[-1], fit.pvalues[-1], low, high):
        print(repr(float(value)))


if __name__ == "__main__":
    main()
