"""Build ``data/statements.parquet`` from the CSV of annual-report figures.

Money is stored in billions of US dollars, earnings per share in US dollars. Companies become integers
(``company_id``, 1000 + alphabetical rank of the ticker); tickers and prices are not kept. Every
imperfection of the source has its column or its count here; ``data/README.md`` lists them and
``tests/unit/repository/test_data.py`` checks the numbers.

Usage: ``python data/build_statements.py [CSV] [--output data/statements.parquet]``
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
DEFAULT_CSV = HERE.parent.parent / "shared" / "data" / "sp500_fundamentals.csv"
DEFAULT_OUTPUT = HERE / "statements.parquet"

FIRST_COMPANY_ID = 1000
SPLIT_SEED = "headledger-split-1"
#: Shares of the companies. About 38 % held out gives the >= 250 two-period company-years that the
#: demo's predictions need; the development companies serve every choice made while training.
SPLIT_SHARES = (("heldout", 0.39), ("development", 0.11), ("train", 0.50))
#: A year that ends in January belongs to the year before; 52/53-week years may end in the first days
#: of February. 45 days is the middle of the gap in the data between such ends and true February ends.
JANUARY_RULE_DAYS = 45
BILLION = 1e9

#: Column of the CSV -> standardised item (billions of dollars).
ITEMS: dict[str, str] = {
    "Total Assets": "total_assets",
    "Total Current Assets": "current_assets",
    "Cash and Cash Equivalents": "cash",
    "Short-Term Investments": "short_term_investments",
    "Net Receivables": "receivables",
    "Inventory": "inventories",
    "Other Current Assets": "other_current_assets",
    "Fixed Assets": "property_plant_equipment",
    "Long-Term Investments": "long_term_investments",
    "Goodwill": "goodwill",
    "Intangible Assets": "intangible_assets",
    "Other Assets": "other_assets",
    "Total Liabilities": "total_liabilities",
    "Total Current Liabilities": "current_liabilities",
    "Short-Term Debt / Current Portion of Long-Term Debt": "short_term_debt",
    "Accounts Payable": "accounts_payable",
    "Other Current Liabilities": "other_current_liabilities",
    "Long-Term Debt": "long_term_debt",
    "Other Liabilities": "other_liabilities",
    "Minority Interest": "noncontrolling_interest",
    "Common Stocks": "common_stock",
    "Retained Earnings": "retained_earnings",
    "Treasury Stock": "treasury_stock",
    "Total Equity": "total_equity",
    "Total Liabilities & Equity": "total_liabilities_and_equity",
    "Total Revenue": "sales",
    "Cost of Revenue": "cost_of_goods_sold",
    "Gross Profit": "gross_profit",
    "Research and Development": "research_and_development",
    "Sales, General and Admin.": "selling_general_administrative",
    "Operating Income": "operating_income",
    "Earnings Before Interest and Tax": "earnings_before_interest_tax",
    "Interest Expense": "interest_expense",
    "Earnings Before Tax": "pretax_income",
    "Income Tax": "income_taxes",
    "Net Income": "net_income",
    "Net Income Applicable to Common Shareholders": "net_income_common",
}

SCHEMA = pa.schema(
    [
        pa.field("company_id", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("fiscal_year", pa.int16(), nullable=False),
        pa.field("period_end", pa.date32(), nullable=False),
        pa.field("for_year", pa.int16()),
        pa.field("rounded_figures", pa.int16(), nullable=False),
        *[pa.field(name, pa.float64(), nullable=False) for name in ITEMS.values()],
        pa.field("shares", pa.float64()),
        pa.field("eps", pa.float64()),
        pa.field("has_prior_year", pa.bool_(), nullable=False),
        pa.field("days_to_next_period", pa.int32()),
        pa.field("next_eps", pa.float64()),
        pa.field("label", pa.string()),
    ],
    metadata={
        "unit": "billions of US dollars; eps and next_eps in US dollars; shares in billions",
        "label": "increase / decrease: next fiscal year's EPS against this year's; null if unknown or equal",
        "split_seed": SPLIT_SEED,
    },
)


def split_of(ticker: str) -> str:
    """Split of a company: a seeded hash of its ticker, so that it depends on nothing else."""
    digest = hashlib.sha256(f"{SPLIT_SEED}:{ticker}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in SPLIT_SHARES:
        if position < share:
            return name
        position -= share
    return SPLIT_SHARES[-1][0]


def read_csv(path: Path) -> pl.DataFrame:
    """Read the CSV as text, so that a rounded figure such as 1.07E+11 can still be recognised."""
    raw = pl.read_csv(path, infer_schema=False)
    money = list(ITEMS)
    rounded = pl.sum_horizontal([pl.col(c).str.contains(r"E\+", literal=False) for c in money])
    return raw.select(
        pl.col("Ticker Symbol").alias("ticker"),
        pl.col("Period Ending").str.to_date("%m/%d/%Y").alias("period_end"),
        pl.col("For Year").cast(pl.Int16).alias("for_year"),
        rounded.cast(pl.Int16).alias("rounded_figures"),
        *[(pl.col(c).cast(pl.Float64) / BILLION).alias(name) for c, name in ITEMS.items()],
        (pl.col("Estimated Shares Outstanding").cast(pl.Float64) / BILLION).alias("shares"),
        pl.col("Earnings Per Share").cast(pl.Float64).alias("eps"),
    )


def add_years_and_labels(raw: pl.DataFrame) -> pl.DataFrame:
    """Add company id, split, fiscal year and what the following year's report says.

    The fiscal year always comes from the period end: ``For Year`` is missing in 173 rows, counts January
    year ends both ways, and is plainly wrong in others (1215); it is kept as ``for_year`` for comparison.
    Equal EPS in two years is neither an increase nor a decrease: the label is null.
    """
    tickers = raw["ticker"].unique().sort()
    ids = {ticker: FIRST_COMPANY_ID + rank for rank, ticker in enumerate(tickers)}
    splits = {ticker: split_of(ticker) for ticker in tickers}
    frame = raw.with_columns(
        pl.col("ticker").replace_strict(ids, return_dtype=pl.Int32).alias("company_id"),
        pl.col("ticker").replace_strict(splits, return_dtype=pl.String).alias("split"),
        (pl.col("period_end") - pl.duration(days=JANUARY_RULE_DAYS)).dt.year().cast(pl.Int16).alias("fiscal_year"),
    ).sort("company_id", "fiscal_year")
    duplicated = frame.select("company_id", "fiscal_year").is_duplicated().sum()
    if duplicated:
        raise ValueError(f"{duplicated} rows share a company and fiscal year: the year rule is wrong here")
    nxt = frame.select(
        "company_id",
        pl.col("fiscal_year") - 1,
        pl.col("eps").alias("next_eps"),
        pl.col("period_end").alias("next_end"),
    )
    prior = frame.select("company_id", pl.col("fiscal_year") + 1, pl.lit(True).alias("has_prior_year"))
    frame = frame.join(nxt, on=["company_id", "fiscal_year"], how="left")
    frame = frame.join(prior, on=["company_id", "fiscal_year"], how="left")
    known = pl.col("eps").is_not_null() & pl.col("next_eps").is_not_null()
    label = (
        pl.when(known & (pl.col("next_eps") > pl.col("eps")))
        .then(pl.lit("increase"))
        .when(known & (pl.col("next_eps") < pl.col("eps")))
        .then(pl.lit("decrease"))
    )
    return frame.with_columns(
        pl.col("has_prior_year").fill_null(False),
        (pl.col("next_end") - pl.col("period_end")).dt.total_days().cast(pl.Int32).alias("days_to_next_period"),
        pl.when(known).then("next_eps").alias("next_eps"),
        label.alias("label"),
    ).sort("company_id", "fiscal_year")


def count_rounded_cells(path: Path) -> int:
    """Cells of the whole CSV that are written like 1.07E+11 (three significant digits)."""
    return len(re.findall(r"E\+\d+", path.read_text()))


def counts(frame: pl.DataFrame) -> dict[str, int]:
    """Every count that ``data/README.md`` quotes, from the table alone (keys in snake case)."""
    known = frame.filter(pl.col("next_eps").is_not_null())
    two = known.filter(pl.col("has_prior_year"))
    disagrees = frame.filter(pl.col("for_year") != pl.col("fiscal_year"))
    january = frame["period_end"].dt.year() != frame["fiscal_year"]
    end_year = disagrees["period_end"].dt.year()
    share_ratio = frame.sort("company_id", "fiscal_year").with_columns(
        (pl.col("shares").shift(-1).over("company_id") / pl.col("shares")).alias("ratio")
    )
    split_like = share_ratio.filter(
        pl.col("next_eps").is_not_null() & ((pl.col("ratio") > 1.45) | (pl.col("ratio") < 0.65))
    )
    found: dict[str, Any] = {
        "company_years": frame.height,
        "companies": frame["company_id"].n_unique(),
        "eps_missing": frame["eps"].null_count(),
        "for_year_missing": frame["for_year"].null_count(),
        "for_year_differs": disagrees.height,
        "for_year_differs_january_end_year": (disagrees["for_year"] == end_year).sum(),
        "for_year_differs_wrong": (disagrees["for_year"] != end_year).sum(),
        "january_years": int(january.sum()),
        "before_2012": (frame["fiscal_year"] < 2012).sum(),
        "rows_with_rounded_figures": (frame["rounded_figures"] > 0).sum(),
        "rounded_figures_kept_items": int(frame["rounded_figures"].sum()),
        "next_eps_known": known.height,
        "next_eps_increase": (known["label"] == "increase").sum(),
        "next_eps_decrease": (known["label"] == "decrease").sum(),
        "next_eps_equal": known["label"].null_count(),
        "next_period_irregular": (known["days_to_next_period"] > 380).sum(),
        "split_like_share_change": split_like.height,
        "two_period_known": two.height,
        "two_period_companies": two["company_id"].n_unique(),
        "two_period_labelled": two["label"].count(),
        "eps_sign_differs_from_net_income": frame.filter(pl.col("eps") * pl.col("net_income") < 0).height,
        "no_current_assets": (frame["current_assets"] == 0).sum(),
    }
    return {name: int(value) for name, value in found.items()}


def main() -> None:
    """Write the parquet file and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("csv", nargs="?", type=Path, default=DEFAULT_CSV, help="sp500_fundamentals.csv")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    args = parser.parse_args()
    frame = add_years_and_labels(read_csv(args.csv))
    table = frame.select(SCHEMA.names).to_arrow().cast(SCHEMA)
    partial = args.output.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(args.output)
    for name, value in counts(frame).items():
        print(f"{name:36s} {value}")
    print(f"{'rounded_cells_whole_csv':36s} {count_rounded_cells(args.csv)}")
    per_split = frame.group_by("split").agg(
        pl.col("company_id").n_unique().alias("companies"),
        pl.len().alias("company_years"),
        pl.col("label").count().alias("labelled"),
        (pl.col("label").is_not_null() & pl.col("has_prior_year")).sum().alias("two_period"),
    )
    print(per_split.sort("split"))


if __name__ == "__main__":
    main()
