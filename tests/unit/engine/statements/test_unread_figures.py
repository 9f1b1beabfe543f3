"""Figures with what stands beside them in a cell, and those that are not read."""

import pytest

from engine.statements.parser import group_spans, parse_statement, unread_figures
from engine.statements.printed_numbers import decimal_sign, parse_value

FIGURES = {
    "△1,100": -1100.0,
    "▲500": -500.0,
    "▼ 3": -3.0,
    "HK$1,200": 1200.0,
    "(HK$1,200)": -1200.0,
    "R$ 7": 7.0,
    "C$ 8": 8.0,
    "A$9": 9.0,
    "NT$ 1.5": 1.5,
    "Rs. 5": 5.0,
    "-Rs. 5": -5.0,
    "kr 6": 6.0,
    "6 kr.": 6.0,
    "12 zł": 12.0,
    "₩1,000": 1000.0,
    "12.5c": 12.5,
    "(12.5c)": -12.5,
    "5p": 5.0,
    "CR 12": 12.0,
    "12 DR": 12.0,
    "110(a)": 110.0,
    "110[^2]": 110.0,
    "(110)[1]": -110.0,
    "12 (3)": 12.0,
    "3.5% (b)": 3.5,
    "~~5~~": 5.0,
    "2 crore": 2e7,
}


@pytest.mark.parametrize("text", FIGURES)
def test_figures_with_what_stands_beside_them(text):
    assert parse_value(text) == FIGURES[text]
    assert unread_figures(parse_statement(f"| | 2023 | 2022 |\n|---|---|---|\n| Sales | {text} | 1 |\n")) == []


@pytest.mark.parametrize(
    "text", ["2023(1)", "2023 (a)", "2022p", "2022c", "HK$ 2022", "Series 5", "abc", "Q1", "c", "kr", "1a2"]
)
def test_years_with_marks_and_words_are_no_figures(text):
    assert parse_value(text) is None


@pytest.mark.parametrize(
    ("cells", "sign"),
    [
        (["12.345", "11.000", "500", "400"], ","),
        (["1.234.567", "500.000"], ","),
        (["12.345", "500", "1,25"], ","),
        (["12.345", "500", "0.25"], "."),
        (["12.345", "1250"], "."),
        (["12.345", "1,250"], "."),
        (["1.250", "1.100"], "."),
        (["1.250", "1"], "."),
    ],
)
def test_points_group_thousands_where_nothing_else_decides(cells, sign):
    assert decimal_sign(cells) == sign


TWO_ROWS = {
    "markdown": "| | 2023 | | 2022 | |\n|---|---|---|---|---|\n"
    "| | Group | Parent | Group | Parent |\n| Sales | 100 | 40 | 90 | 30 |\n",
    "html": "<table><tr><th></th><th colspan=2>2023</th><th colspan=2>2022</th></tr>"
    "<tr><th></th><th>Group</th><th>Parent</th><th>Group</th><th>Parent</th></tr>"
    "<tr><td>Sales</td><td>100</td><td>40</td><td>90</td><td>30</td></tr></table>",
}


@pytest.mark.parametrize("name", TWO_ROWS)
def test_a_period_heads_all_columns_below_it(name):
    text = TWO_ROWS[name]
    statement = parse_statement(text)
    said = {kind: [text[a:b] for a, b in group_spans(statement, kind)] for kind in ("current_period", "prior_period")}
    assert said == {"current_period": ["2023", "100", "40"], "prior_period": ["2022", "90", "30"]}
    assert unread_figures(statement) == []


@pytest.mark.parametrize(
    ("row", "unread"),
    [
        ("| Sales | 1–2 | 4 |", ["1–2"]),
        ("| Sales | approx 3 to 4 | 4 |", ["approx 3 to 4"]),
        ("| Sales | 3 | 4 | 5 |", ["5"]),
        ("| Sales | see note 5 | n/a |\n| Costs | 1 | 2 |", []),
        ("| Sales | — | n/a |\n| Costs | 1 | 2 |", []),
    ],
    ids=["range", "words", "no header", "reference", "missing"],
)
def test_what_is_not_read_is_named(row, unread):
    assert unread_figures(parse_statement(f"| | 2023 | 2022 |\n|---|---|---|\n| Other | 7 | 8 |\n{row}\n")) == unread


def test_columns_that_are_no_periods_are_not_asked_for_figures():
    text = "| | Terms | 2023 |\n|---|---|---|\n| Debt | 5y at 3–4 | 7 |\n"
    assert unread_figures(parse_statement(text)) == []
    assert unread_figures(parse_statement("| | Low | High |\n|---|---|---|\n| Debt | 1–2 | 7 |\n")) == []
