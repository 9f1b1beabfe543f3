import json
import re
from textwrap import dedent

import pytest

from engine.statements.parser import (
    Statement,
    group_spans,
    named_item_spans,
    parse_statement,
    period_spans,
    statement_span,
)
from tests.fixtures.places import ROOT, SHARED, needs_shared
from tests.fixtures.statements import check, cut, groups, label_of, parsed

USERS = dedent("""\
    Below is the Balance Sheet:
    ----------------------------------------
    | Account Items          | 1971 | 1972 |
    ----------------------------------------
    | Total Asset            | 29.330 | 19.907 |
    | Debt  in Liabilities   | 0.000 | -2.857 |
    ----------------------------------------


    Below is the Income Statement:
    ----------------------------------------
    | Account Items          | 1970 | 1971 | 1972 |
    ----------------------------------------
    | Sales (net)            | 45.335 | 47.033 | 34.362 |
    | Total Asset            | 1.000 | 2.000 | 3.000 |
    ----------------------------------------
    """)


def test_the_users_layout():
    statement = check(USERS)
    balance, income = statement.tables
    assert cut(USERS, [(balance.start, balance.end)])[0].splitlines()[::3] == [
        "| Account Items          | 1971 | 1972 |",
        "| Debt  in Liabilities   | 0.000 | -2.857 |",
    ]
    assert (label_of(balance.current), label_of(balance.prior), balance.earlier) == ("1972", "1971", ())
    assert [column.order for column in income.columns] == [1970.0, 1971.0, 1972.0]
    debt = balance.items[1]
    assert USERS[debt.row_start : debt.row_end] == "| Debt  in Liabilities   | 0.000 | -2.857 |"
    assert (USERS[debt.start : debt.end], debt.name) == ("Debt  in Liabilities", "Debt in Liabilities")
    assert [(cell.text, cell.value, cell.column) for cell in debt.cells] == [("0.000", 0.0, 0), ("-2.857", -2.857, 1)]
    assert groups(USERS) == {
        "line_item": ["Total Asset", "Debt  in Liabilities", "Sales (net)", "Total Asset"],
        "cell": ["29.330", "19.907", "0.000", "-2.857", "45.335", "47.033", "34.362", "1.000", "2.000", "3.000"],
        "header": ["Account Items", "1971", "1972", "Account Items", "1970", "1971", "1972"],
        "current_period": ["1972", "19.907", "-2.857", "1972", "34.362", "3.000"],
        "prior_period": ["1971", "29.330", "0.000", "1971", "47.033", "2.000"],
        "earlier_period": ["1970", "45.335", "1.000"],
        # The medians are 19.907, which is in neither group, and (3 + 34.362) / 2.
        "magnitude_large": ["29.330", "45.335", "47.033", "34.362"],
        "magnitude_small": ["-2.857", "1.000", "2.000", "3.000"],
    }
    assert {name: cut(USERS, spans) for name, spans in named_item_spans(statement).items()} == {
        "Total Asset": ["Total Asset", "29.330", "19.907"],
        "Debt in Liabilities": ["Debt  in Liabilities", "0.000", "-2.857"],
        "Sales (net)": ["Sales (net)", "45.335", "47.033", "34.362"],
        "Total Asset (2)": ["Total Asset", "1.000", "2.000", "3.000"],
    }
    assert {label: cut(USERS, spans) for label, spans in period_spans(statement).items()} == {
        "1971": ["1971", "29.330", "0.000", "1971", "47.033", "2.000"],
        "1972": ["1972", "19.907", "-2.857", "1972", "34.362", "3.000"],
        "1970": ["1970", "45.335", "1.000"],
    }


def test_a_third_row_of_a_name_and_a_row_named_like_a_second():
    text = "| A | t |\n| X | 1 |\n| X (2) | 2 |\n| X | 3 |\n| X | 4 |"
    assert {name: cut(text, spans)[1] for name, spans in named_item_spans(parse_statement(text)).items()} == {
        "X": "1",
        "X (2)": "2",
        "X (3)": "3",
        "X (4)": "4",
    }


@pytest.mark.parametrize(
    "text",
    [
        "| Item | 2012 | 2011 |\n|---|---:|:---:|\n| Cash | 1,234.5 | (7) |\n| Debt | 3 | - |",
        "Item | 2012 | 2011\n--- | ---: | ---\nCash | 1,234.5 | (7)\nDebt | 3 | —",
        "Item|2012|2011\r\n-|-|-\r\nCash|1,234.5|(7)\r\nDebt|3|n/a\r\n",
        "|\tItem\t|\t2012\t|\t2011\t|\n|\tCash\t|\t$ 1,234.5\t|\t−7\t|\n  | Debt | 3 |  |",
        "| | 2012 | 2011 |\n|---|---|---|\n| | USD m | USD m |\n| **Cash** | **1,234.5** | -7 |\n| Debt | 3 |",
        "+--+--+--+\n| A | 2012 | 2011 |\n+==+==+==+\n| Cash | 1,234.5 | -7 |\n+--+--+--+\n| Debt | 3 | |\n+--+--+--+",
        "       | 2012    | 2011\n-------+---------+-----\n Cash  | 1,234.5 | -7\n Debt  | 3 |",
        "| 2012 | 2011 |\n|---|---|\n| Cash | 1,234.5 | -7 |\n| Debt | 3 | |",
        "| Balance sheet |\n| (in millions) | 2012 | 2011 |\n| Cash | 1.234,5 | (7) |\n| Debt | 3 | |",
        "| Item | 2012 | 2011 | |\n| Cash | 1 234.5 | (7) | |\n| | | |\n| Debt | 3 | ",
    ],
)
def test_layouts_of_one_table(text):
    check(text)
    ((labels, items),) = parsed(text)
    values = [(name, {column: value for column, value in cells.items() if value is not None}) for name, cells in items]
    assert labels == ["2012", "2011"]
    assert values == [("Cash", {0: 1234.5, 1: -7.0}), ("Debt", {0: 3.0})]


def test_units_captions_and_second_header_rows_are_header():
    text = "| Balance |\n| Items | Current Year | Prior Year |\n|-|-|-|\n| (in millions) | $ | $ |\n| Cash | 3 | 4 |"
    assert groups(text)["header"] == ["Balance", "Items", "Current Year", "Prior Year", "(in millions)", "$", "$"]
    assert groups(text)["line_item"] == ["Cash"]
    assert groups(text)["current_period"] == ["Current Year", "3"]


def test_sections_ragged_rows_escaped_pipes_and_unicode():
    text = dedent("""\
        | Posten | 2012 | 2011 | Note |
        |---|---|---|---|
        | Vermögen 资产 | | | |
        | Bank \\| Kasse | 1 | n/a | see 3 |
        | Long | 2 | 3 | 4 | 5 |
        | Short | 6 |
        """)
    check(text)
    assert parsed(text) == [
        (
            ["2012", "2011", "Note"],
            [
                ("Vermögen 资产", {}),
                ("Bank | Kasse", {0: 1.0, 1: None, 2: None}),
                ("Long", {0: 2.0, 1: 3.0, 2: 4.0, 3: 5.0}),
                ("Short", {0: 6.0}),
            ],
        )
    ]
    assert groups(text)["line_item"] == ["Vermögen 资产", "Bank \\| Kasse", "Long", "Short"]
    assert groups(text)["cell"] == ["1", "2", "3", "4", "5", "6"]
    assert groups(text)["current_period"] == ["2012", "1", "2", "6"]


@pytest.mark.parametrize(
    "text",
    [
        "| A | 1971 | 1972 |\n| x | 1 | 2 |\n| a | 1970 | 1975 |\n| y | 3 | 4 |",
        "| A | t-1 | t |\n| x | 1 | 2 |\n| B | t-2 | t-1 |\n| y | 3 | 4 |",
        "| A | 1971 | 1972 |\n|--|--|--|\n| x | 1 | 2 |\n| B | low | high |\n|--|--|--|\n| y | 3 | 4 |",
        "---\n| A | 1971 | 1972 |\n---\n| w | 5 | 6 |\n| x | 1 | 2 |\n---\n| B | p | 1970 |\n---\n| y | 3 | 4 |\n---",
        "---\n| A | 1971 | 1972 |\n---\n| x | 1 | 2 |\n---\n---\n| B | 1960 | 1970 |\n---\n| y | 3 | 4 |\n---",
        "| A | 1971 | 1972 |\n| x | 1 | 2 |\n| B | 1972 | 1973 |\n| y | 3 | 4 |",
        "A | 1971 | 1972\n--|--|--\nx | 1 | 2\nB | 1980 | 1990\n--|--|--\ny | 3 | 4",
        "| A | 1971 | 1972 |\n| x | 1 | 2 |\n\n| B | p | q |\n| y | 3 | 4 |",
        "| A | 1971 | 1972 |\n| x | 1 | 2 |\nand\n| B | p | q |\n| y | 3 | 4 |",
    ],
)
def test_a_new_header_begins_a_new_table(text):
    check(text)
    first, second = parse_statement(text).tables
    assert first.items[-1].name == "x"
    assert [item.name for item in second.items] == ["y"]
    assert [cell.value for cell in second.items[0].cells] == [3.0, 4.0]


def test_figures_that_look_like_years_are_no_header():
    text = "| A | 1971 | 1972 |\n| x | 1 | 2 |\n| Employees | 1950 | 1985 |\n| Auditor | KPMG | EY |\n| y | 3 | 4 |"
    ((_, items),) = parsed(text)
    assert items[1:3] == [("Employees", {0: 1950.0, 1: 1985.0}), ("Auditor", {0: None, 1: None})]


def test_columns_in_any_order_and_without_periods():
    text = "| A | 2010 | 2012 | Change | 2009 | 2011 | 2012 plan |\n| x | 1 | 2 | 3 | 4 | 5 | 6 |"
    (table,) = check(text).tables
    assert (label_of(table.current), label_of(table.prior)) == ("2012", "2011")
    assert [column.label for column in table.earlier] == ["2010", "2009"]
    assert groups(text)["current_period"] == ["2012", "2012 plan", "2", "6"]
    assert groups(text)["earlier_period"] == ["2010", "2009", "1", "4"]
    text = "| Ratio | Value | Grade |\n| Margin | 12% | fair |"
    (table,) = check(text).tables
    assert (table.current, table.prior, table.earlier) == (None, None, ())
    assert groups(text)["line_item"] == ["Margin"]
    assert groups(text)["cell"] == ["12%"]
    assert groups(text)["current_period"] == [] == groups(text)["prior_period"] == groups(text)["earlier_period"]
    assert period_spans(parse_statement(text)) == {}


def test_transposed():
    text = "| Year | Sales | Net  Income |\n|---|---|---|\n| FY2011 | 3.5 | (1) |\n| FY2012 | 4.5 | - |\n"
    check(text)
    assert parsed(text) == [(["FY2011", "FY2012"], [("Sales", {0: 3.5, 1: 4.5}), ("Net Income", {0: -1.0, 1: None})])]
    assert groups(text) == {
        "line_item": ["Sales", "Net  Income"],
        "cell": ["3.5", "(1)", "4.5"],
        "header": ["Year", "FY2011", "FY2012"],
        "current_period": ["FY2012", "4.5"],
        "prior_period": ["FY2011", "3.5", "(1)"],
        "earlier_period": [],
        "magnitude_large": ["4.5"],
        "magnitude_small": ["(1)"],
    }
    assert cut(text, named_item_spans(parse_statement(text))["Sales"]) == ["Sales", "3.5", "4.5"]
    # Labels that only mention a year are line items.
    assert parsed("| | Amount |\n| Notes due 2015 | 3 |\n| Notes due 2016 | 4 |")[0][0] == ["Amount"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a | b",
        "a | b\nc | 1",
        "| a | b |",
        "| Item | 2012 |",
        "| Item | 2012 |\n| Auditor | KPMG |",
        "| Sales | 6.205 | 6.494 | rose |\n| Income | 0.657 | 0.660 | rose |",
        "| Item | 2012 |\n\n| Cash | 3 |",
        "------\n|||||\n------",
        "Sales rose | 3 %, as |x| > 2 | or so.",
    ],
)
def test_no_table(text):
    assert check(text) == Statement(())


def test_a_decimal_comma_anywhere_decides_for_the_table():
    assert parsed("| A | t-1 | t |\n| x | 1,234 | 5.678 |\n| y | 0,5 | 7 |")[0][1][0] == ("x", {0: 1.234, 1: 5678.0})
    assert parsed("| A | t-1 | t |\n| x | 1,234 | 5.678 |\n| y | 0.5 | 7 |")[0][1][0] == ("x", {0: 1234.0, 1: 5.678})


@pytest.mark.parametrize(
    "text",
    [
        "| Item | 1972.0 | 1971.0 |\n| Sales | 3 | 4 |",
        "| Item | 1972 | 1971\n| Sales | 3 | 4",
        "Item | 1972 | 1971\n--|--|--\nSales | 3 | 4",
    ],
)
def test_float_years_and_missing_outer_pipes(text):
    check(text)
    ((labels, items),) = parsed(text)
    assert [label.removesuffix(".0") for label in labels] == ["1972", "1971"]
    assert items == [("Sales", {0: 3.0, 1: 4.0})]
    assert groups(text)["prior_period"][1:] == ["4"]
    prompt = f"Balance sheet:\n{text}\n\nWill it rise?"
    assert prompt[slice(*statement_span(prompt) or (0, 0))] == f"Balance sheet:\n{text}"


def test_unknown_kind():
    with pytest.raises(ValueError, match="'cells' is no kind of span in a statement: expected one of line_item, cell"):
        group_spans(parse_statement(USERS), "cells")


@needs_shared
def test_the_users_record():
    for record in json.loads((SHARED / "data" / "predictions_checkpoint_sample.json").read_text()):
        text = record["full_model_response"]
        statement = check(text)
        compare_with_lines(text, statement)
        balance, income = statement.tables[:2]
        assert [column.label for column in income.columns][-2:] == [column.label for column in balance.columns]
        assert text[slice(*group_spans(statement, "header")[0])] == "Account Items"


def test_every_statement_of_the_demo():
    for record in json.loads((ROOT / "data" / "predictions_demo.json").read_text()):
        text = record["full_model_response"]
        statement = check(text)
        assert len(statement.tables) == 2
        assert all(len(table.items) == 8 and label_of(table.current) == "t" for table in statement.tables)
        compare_with_lines(text.partition("\nassistant\n")[0], statement)


def compare_with_lines(prompt, statement):
    """In the users' layout a simple pattern per line reads the same rows."""
    rows = [line.strip("| ").split("|") for line in re.findall(r"^\|.*\|$", prompt, re.MULTILINE)]
    expected = [(row[0].strip(), [float(cell) for cell in row[1:]]) for row in rows if "Account Items" not in row[0]]
    items = [item for table in statement.tables for item in table.items]
    assert [(item.name, [cell.value for cell in item.cells]) for item in items] == expected
