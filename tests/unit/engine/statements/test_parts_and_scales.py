"""Parts of a year that end together, East Asian scales, and columns of signs or shares under each period."""

from __future__ import annotations

from textwrap import dedent

import pytest

from engine.statements.parser import parse_statement, unread_figures


def table(header, *rows):
    lines = [header, "|".join(["---"] * (header.count("|") + 1)), *rows]
    return "\n".join(f"| {line} |" for line in lines)


def values(text):
    (found,) = parse_statement(text).tables
    shown = {column.index: column.label for column in found.columns if column.order is not None}
    read = {label: [] for label in shown.values()}
    for item in found.items:
        for cell in item.cells:
            if cell.column in shown:
                read[shown[cell.column]].append(cell.value)
    return read


@pytest.mark.parametrize(
    ("header", "periods"),
    [
        ("Item | Q3 2023 | 9M 2023 | Q3 2022 | 9M 2022", [["Q3 2023", "9M 2023"], ["Q3 2022", "9M 2022"]]),
        ("Item | 9M 2023 | Q3 2023", [["9M 2023", "Q3 2023"]]),
        ("Item | Q2 2023 | H1 2023 | Q2 2022 | H1 2022", [["Q2 2023", "H1 2023"], ["Q2 2022", "H1 2022"]]),
        ("Item | Q1 2023 | H1 2023", [["H1 2023"], ["Q1 2023"]]),
        ("Item | Q3 2023 | H2 2023", [["H2 2023"], ["Q3 2023"]]),
        ("Item | Q3 2023 | YTD 2023 | Q3 2022", [["Q3 2023", "YTD 2023"], ["Q3 2022"]]),
        ("Item | H1 2023 | 6M 2023", [["H1 2023", "6M 2023"]]),
        ("Item | Q4 2023 | FY2023", [["FY2023"], ["Q4 2023"]]),
        ("Item | H1 2023 | H2 2023", [["H2 2023"], ["H1 2023"]]),
        ("Item | 9M 2023 | 9M 2022", [["9M 2023"], ["9M 2022"]]),
    ],
    ids=lambda value: value.replace(" | ", ",").replace(" ", "-") if isinstance(value, str) else "",
)
def test_parts_of_a_year_that_end_together_are_one_period(header, periods):
    width = header.count("|")
    (found,) = parse_statement(table(header, "Sales" + " | 10" * width, "Profit" + " | 3" * width)).tables
    assert [[column.label for column in columns] for columns in found.periods()] == periods


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12.5亿", 12.5e8),
        ("12.5亿元", 12.5e8),
        ("-0.8亿", -0.8e8),
        ("5000万元", 5e7),
        ("(150)万", -1.5e6),
        ("1,250億円", 1250e8),
        ("△15億円", -15e8),
        ("980百万円", 980e6),
        ("2兆円", 2e12),
        ("3.2万亿", 3.2e12),
        ("1,250억원", 1250e8),
        ("302조원", 302e12),
        ("980만", 980e4),
    ],
)
def test_east_asian_scales(cell, value):
    read = values(table("Item | 2023 | 2022", f"Sales | {cell} | 8"))
    assert read["2023"] == [pytest.approx(value)] and read["2022"] == [8.0]


def test_amounts_and_shares_under_each_year_set_with_blanks():
    text = dedent("""\
                              2023              2022
                         Amount     %      Amount     %
            Net sales    10,988   100.0     5,899   100.0
            Costs         7,000    63.7
            Net income      632     5.8       287     4.9
        """)
    (found,) = parse_statement(text).tables
    read = [[cell.value for item in found.items for cell in item.cells if cell.column == place] for place in range(4)]
    assert read == [[10988, 7000, 632], [100, 63.7, 5.8], [5899, 287], [100, 4.9]]
    assert [[column.index for column in columns] for columns in found.periods()] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("rows", "newer", "older"),
    [
        (["Sales\t$\t10\t$\t8", "Costs\t\t7\t\t6"], [10, 7], [8, 6]),
        (["Sales\t$\t10\t$\t8", "Costs\t7\t6"], [10, 7], [8, 6]),
        (["Sales\t$\t10\t$\t8", "Other\t\t\t$\t5"], [10], [8, 5]),
        (["Sales\t$\t10\t$\t8", "Loss\t$\t(3\t)\t$\t(2\t)"], [10, -3], [8, -2]),
    ],
    ids=["one row without signs", "shorter rows", "no figure for the newer year", "brackets"],
)
def test_currency_cells_between_tabs_under_a_short_header(rows, newer, older):
    text = "\n".join(["Item\t2023\t2022", *rows])
    assert values(text) == {"2023": newer, "2022": older}
    assert not unread_figures(parse_statement(text))
