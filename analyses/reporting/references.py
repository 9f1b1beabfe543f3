"""What a paper's appendix needs beside the methods: versions of what computed, and sources as BibTeX."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

COMPUTED_BY = ("numpy", "scipy", "scikit-learn", "polars")


def versions_line() -> str:
    """Return the versions of the packages that the numbers were computed with."""
    found = []
    for name in COMPUTED_BY:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (unknown)")
    return f"Computed with {', '.join(found)}."


_ENTRIES = (
    (
        "article",
        "bell2002",
        "Bell, Robert M. and McCaffrey, Daniel F.",
        "Bias reduction in standard errors for linear regression with multi-stage samples",
        "Survey Methodology",
        "28",
        "169--181",
        "2002",
    ),
    (
        "article",
        "pustejovsky2018",
        "Pustejovsky, James E. and Tipton, Elizabeth",
        "Small-sample methods for cluster-robust variance estimation and hypothesis testing in fixed effects models",
        "Journal of Business \\& Economic Statistics",
        "36",
        "672--683",
        "2018",
    ),
    (
        "article",
        "freedman1983",
        "Freedman, David and Lane, David",
        "A nonstochastic interpretation of reported significance levels",
        "Journal of Business \\& Economic Statistics",
        "1",
        "292--298",
        "1983",
    ),
    (
        "article",
        "cameron2008",
        "Cameron, A. Colin and Gelbach, Jonah B. and Miller, Douglas L.",
        "Bootstrap-based improvements for inference with clustered errors",
        "Review of Economics and Statistics",
        "90",
        "414--427",
        "2008",
    ),
    (
        "article",
        "moulton1986",
        "Moulton, Brent R.",
        "Random group effects and the precision of regression estimates",
        "Journal of Econometrics",
        "32",
        "385--397",
        "1986",
    ),
    (
        "article",
        "benjamini1995",
        "Benjamini, Yoav and Hochberg, Yosef",
        "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
        "Journal of the Royal Statistical Society B",
        "57",
        "289--300",
        "1995",
    ),
    (
        "article",
        "holm1979",
        "Holm, Sture",
        "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics",
        "6",
        "65--70",
        "1979",
    ),
    (
        "article",
        "maris2007",
        "Maris, Eric and Oostenveld, Robert",
        "Nonparametric statistical testing of EEG- and MEG-data",
        "Journal of Neuroscience Methods",
        "164",
        "177--190",
        "2007",
    ),
    (
        "article",
        "korn1998",
        "Korn, Edward L. and Graubard, Barry I.",
        "Confidence intervals for proportions with small expected number of positive counts estimated from survey data",
        "Survey Methodology",
        "24",
        "193--201",
        "1998",
    ),
    (
        "article",
        "spearman1904",
        "Spearman, Charles",
        "The proof and measurement of association between two things",
        "The American Journal of Psychology",
        "15",
        "72--101",
        "1904",
    ),
    (
        "article",
        "bonett2000",
        "Bonett, Douglas G. and Wright, Thomas A.",
        "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
        "Psychometrika",
        "65",
        "23--28",
        "2000",
    ),
    (
        "article",
        "hedges1981",
        "Hedges, Larry V.",
        "Distribution theory for Glass's estimator of effect size and related estimators",
        "Journal of Educational Statistics",
        "6",
        "107--128",
        "1981",
    ),
)


def bibtex() -> str:
    """Return the sources of the procedures as BibTeX entries."""
    names = ("author", "title", "journal", "volume", "pages", "year")
    entries = []
    for kind, key, *values in _ENTRIES:
        fields = ",\n".join(f"  {name} = {{{value}}}" for name, value in zip(names, values, strict=True))
        entries.append(f"@{kind}{{{key},\n{fields}\n}}")
    book = (
        "@book{westfall1993,\n  author = {Westfall, Peter H. and Young, S. Stanley},\n"
        "  title = {Resampling-Based Multiple Testing},\n  publisher = {Wiley},\n  year = {1993}\n}"
    )
    return "\n\n".join([*entries, book])
