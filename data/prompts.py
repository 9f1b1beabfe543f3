"""Prompts in the users' format: anonymous tables, then the question, then a JSON answer form.

A *statement* here is a mapping from item to a tuple of numbers, oldest first: two numbers make a
two-period table (``t-1``, ``t``), one number a one-period table (``t``). Money is in billions of US
dollars, earnings per share in US dollars; both are printed with three decimals, as in the users' record.
The question is the users' own, shortened so that a small model's context holds prompt and answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SYSTEM_PROMPT = "You are a helpful assistant."

#: Rows of the two tables: item of ``statements.parquet`` -> the name printed.
BALANCE_SHEET_ROWS: dict[str, str] = {
    "total_assets": "Total Asset",
    "cash": "Cash and Short-Term Investments",
    "receivables": "Receivables",
    "inventories": "Inventories",
    "property_plant_equipment": "Property, Plant, and Equipment (Net)",
    "total_liabilities": "Total Liabilities",
    "long_term_debt": "Long-term Debt",
    "total_equity": "Shareholders' Equity",
}
INCOME_STATEMENT_ROWS: dict[str, str] = {
    "sales": "Sales (net)",
    "cost_of_goods_sold": "Cost of Goods Sold",
    "operating_income": "Operating Income After Depreciation",
    "interest_expense": "Interest and Related Expense",
    "pretax_income": "Pretax Income",
    "income_taxes": "Income Taxes",
    "net_income": "Net Income (Loss)",
    "eps": "Earnings per Share",
}
ROW_NAMES: dict[str, str] = {**BALANCE_SHEET_ROWS, **INCOME_STATEMENT_ROWS}

NAME_WIDTH = 38
RULE = "-" * 60

INTRODUCTION = (
    "Based on the following financial statements, assess whether EPS will increase or decrease in the next year:"
)
QUESTION = """Solve this problem step by step:
1. Analyze the Balance Sheet.
2. Analyze the Income Statement, including Year-over-Year changes.
3. Financial Ratio Analysis for the most recent period.
4. EPS Prediction for Next Year: after your reasoning, return the results in the EXACT JSON format below. \
The JSON block must be the VERY LAST part of your response.
```json
{
  "direction_of_eps_change": "<Increase/Decrease>",
  "magnitude_of_change": "<Slight/Moderate/Significant>",
  "certainty_of_assessment": "<High/Medium/Low>",
  "reason": "<Concise explanation>"
}
```"""

Statement = Mapping[str, Sequence[float]]


def number(value: float) -> str:
    """Three decimals; a negative value that rounds to zero prints as 0.000."""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text


def periods(statement: Statement) -> int:
    """1 or 2: the number of columns, which every item of the statement must share."""
    lengths = {len(values) for values in statement.values()}
    if lengths not in ({1}, {2}):
        raise ValueError(f"a statement has one or two numbers for every item, got lengths {sorted(lengths)}")
    return lengths.pop()


def row(statement: Statement, item: str) -> str:
    """One row of a table, padded as the users' tables are."""
    values = " | ".join(number(value) for value in statement[item])
    return f"| {ROW_NAMES[item]:<{NAME_WIDTH}} | {values} |"


def table(statement: Statement, rows: Mapping[str, str]) -> str:
    """One table: a header, then the rows that the statement has, in the order of `rows`."""
    columns = " | ".join(("t-1", "t")[-periods(statement) :])
    lines = [RULE, f"| {'Account Items':<{NAME_WIDTH}} | {columns} |", RULE]
    lines += [row(statement, item) for item in rows if item in statement]
    lines.append(RULE)
    return "\n".join(lines)


def question(statement: Statement) -> str:
    """Write the user's message: introduction, both tables, the step-by-step question with the JSON form."""
    return "\n".join(
        [
            INTRODUCTION,
            "",
            "Below is the Balance Sheet:",
            table(statement, BALANCE_SHEET_ROWS),
            "",
            "Below is the Income Statement:",
            table(statement, INCOME_STATEMENT_ROWS),
            "",
            QUESTION,
            "",
        ]
    )


def messages(user: str) -> list[dict[str, str]]:
    """Chat messages of one prompt."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": user}]
