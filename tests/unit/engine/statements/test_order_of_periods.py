"""Which period of a table is the newest: words beside dates, other spellings, headers not understood."""

from __future__ import annotations

import pytest

from engine.samples import Message
from engine.statements.parser import figures_without_sign, parse_statement, unordered_periods


def table_of(*heads, corner="Item"):
    rule = "|---" * (len(heads) + 1) + "|"
    rows = [f"| {name} | " + " | ".join(f"{size + place}" for place in range(len(heads))) for name, size in ROWS]
    return f"| {corner} | {' | '.join(heads)} |\n{rule}\n" + "\n".join(f"{row} |" for row in rows)


ROWS = (("Sales", 100), ("Costs", 50))


def ranks(text):
    """Return the columns of the only table by period, newest first; none where that is not known."""
    (table,) = parse_statement(text).tables
    return [[column.label for column in columns] for columns in table.ordered_periods()]


NEWEST_FIRST = [
    # A word for the prior period is older than the date beside it.
    *[
        [date, word]
        for date in ("2023", "Dec 31, 2023", "FY2023")
        for word in ("Prior Year", "Last year", "PY", "Prior")
    ],
    ["31.12.2023", "Vorjahr"],
    ["31.12.2023 TEUR", "Vorjahr TEUR"],
    ["2023 Actual", "Prior Year Actual"],
    ["2023", "Exercice précédent"],
    ["2023年度", "前年度"],
    ["2023年12月31日", "上年末"],
    ["2023", "N-1"],
    ["2023", "Ejercicio anterior"],
    ["Q3 2023", "Prior Quarter", "Year Ago"],
    ["Q3 2023", "Q2 2023", "Year Ago"],
    ["Current", "2023", "2022"],
    # Words that mean the current period beside one for the prior one.
    ["Geschäftsjahr", "Vorjahr"],
    ["lfd. Jahr", "Vorjahr"],
    ["Ist", "Vorjahr"],
    ["Exercice", "Exercice précédent"],
    ["Exercice N", "Exercice N-1"],
    ["31/12/N", "31/12/N-1"],
    ["今期", "前期"],
    ["年末余额", "年初余额"],
    ["Actual", "Prior Year"],
    ["Actual", "Anterior"],
    ["FY", "FY-1", "FY-2"],
    ["Y0", "Y-1", "Y-2"],
    ["Y", "Y-1"],
    ["End of year", "Beginning of year"],
    ["Cari Dönem", "Önceki Dönem"],
    ["Lopend jaar", "Vorig jaar"],
    ["चालू वर्ष", "पिछला वर्ष"],
    ["Current Quarter", "Prior Quarter", "Year-ago Quarter"],
    # Dates and parts of years.
    ["Dec-31-2023", "Dec-31-2022"],
    ["Mar-31-2024", "Dec-31-2023"],
    ["12 months Sep-30-2023", "12 months Sep-30-2022"],
    ["Dec-31-23", "Dec-31-22"],
    ["Dec 31 '23", "Dec 31 '22"],
    ["9/2023", "6/2023"],
    ["3/2024", "12/2023", "9/2023"],
    ["2023.12", "2023.09"],
    ["20231231", "20221231"],
    ["III кв. 2023", "II кв. 2023"],
    ["2023年三季报", "2023年中报", "2023年一季报"],
    ["2023年1-9月", "2023年1-6月"],
    ["3er Trim. 2023", "2do Trim. 2023"],
    ["4to trimestre 2023", "3er trimestre 2023"],
    ["3Ç23", "2Ç23"],
    ["23년 3분기", "23년 2분기"],
]


@pytest.mark.parametrize("heads", NEWEST_FIRST, ids="-".join)
def test_the_newest_period_is_known_in_either_direction(heads):
    assert ranks(table_of(*heads)) == [[head] for head in heads]
    assert ranks(table_of(*reversed(heads))) == [[head] for head in heads]
    assert not unordered_periods(parse_statement(table_of(*heads)))


@pytest.mark.parametrize(
    "heads",
    [
        ["Actual", "2022"],
        ["Wirtschaftsperiode", "Vorjahr"],
        ["Foo", "Prior Year"],
        ["2022", "Forecast"],
        ["FY22", "Mar 24"],
        ["FY0", "FY1"],
        ["第55期", "第54期"],
        ["Q3 2023", "Q2 2023", "Prior"],
        ["Q3 2023", "Q2 2023", "t-1"],
    ],
    ids="-".join,
)
def test_no_period_is_the_newest_beside_a_header_that_is_not_understood(heads):
    from engine.encoding.structure import unordered_header

    text = table_of(*heads)
    (table,) = parse_statement(text).tables
    assert (table.ordered_periods(), table.current, table.prior, table.earlier) == ([], None, None, ())
    assert unordered_periods(parse_statement(text)) == heads
    assert unordered_header([Message("user", text)]) in heads and not unordered_header([Message("system", text)])


@pytest.mark.parametrize(
    ("newest", "before"),
    [
        ("LFY", "LFY-1"),
        ("LFY", "LFY -1"),
        ("LFQ", "LFQ-1"),
        ("LQ", "LQ-1"),
        ("LFY", "PFY"),
        ("CY", "PY"),
        ("CY", "CY-1"),
        ("CFY", "PFY"),
        ("MRY", "PY"),
        ("MRQ", "MRQ-1"),
        ("MRFY", "MRFY-1"),
        ("T", "T-1"),
        ("T0", "T-1"),
        ("FY", "FY-1"),
        ("FY0", "FY−1"),
        ("P0", "P-1"),
        ("Yr", "Yr-1"),
        ("Current", "Prior"),
        ("Curr.", "Prev."),
        ("Curr", "Prev"),
        ("YTD", "YTD-1"),
        ("CYTD", "PYTD"),
        ("PY", "PY-1"),
        ("PY", "PPY"),
        ("LFY-1", "LFY-2"),
    ],
    ids="-".join,
)
def test_short_names_of_the_current_period_and_the_one_before(newest, before):
    for heads in ((newest, before), (before, newest)):
        assert ranks(table_of(*heads)) == [[newest], [before]]
        assert not unordered_periods(parse_statement(table_of(*heads)))


@pytest.mark.parametrize(
    "heads", [["CFY", "LFY"], ["XFY", "XFY-1"], ["FY1", "FY2"], ["LQ", "PQ"], ["FY", "FY(-1)"]], ids="-".join
)
def test_short_names_that_are_not_understood_are_named(heads):
    from engine.encoding.structure import unordered_header

    assert unordered_header([Message("user", table_of(*heads))]) in heads


@pytest.mark.parametrize(
    "other", ["Change", "% of sales", "Note", "Growth YoY", "CAGR 2021-2023", "Veränderung", "Segment", "增减", "Avg."]
)
def test_columns_of_no_period_leave_the_order_known(other):
    text = table_of("2023", "2022", other)
    assert ranks(text) == [["2023"], ["2022"]] and not unordered_periods(parse_statement(text))


def test_budget_and_actual_are_current_beside_the_prior_year():
    assert ranks(table_of("Actual", "Budget", "Prior Year")) == [["Actual", "Budget"], ["Prior Year"]]
    assert ranks(table_of("2023", "2022", "Prior year")) == [["2023"], ["2022", "Prior year"]]


SALES = (
    "Sales              100         90           300         280\n"
    "Costs               60         55           180         170"
)
QUARTERS = {
    "two lines above": (
        "                Three Months Ended        Nine Months Ended\n"
        "                   September 30,            September 30,\n"
        "                 2023       2022          2023        2022"
    ),
    "one line above": (
        "           Three Months Ended September 30,  Nine Months Ended September 30,\n"
        "                 2023       2022          2023        2022"
    ),
    "rules between": (
        "                Three Months Ended        Nine Months Ended\n"
        "                ------------------      ---------------------\n"
        "                 2023       2022          2023        2022"
    ),
}


@pytest.mark.parametrize("head", sorted(QUARTERS))
def test_groups_of_columns_set_with_blanks(head):
    assert ranks(f"{QUARTERS[head]}\n{SALES}") == [["2023", "2023"], ["2022", "2022"]]


def test_years_over_quarters_set_with_blanks():
    head = (
        "                     2023                      2022\n                  Q3         Q2            Q3          Q2"
    )
    assert ranks(f"{head}\n{SALES}") == [["2023 Q3"], ["2023 Q2"], ["2022 Q3"], ["2022 Q2"]]


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ("Geschäftsjahr", "Vorjahr", [["Geschäftsjahr"], ["Vorjahr"]]),
        ("Actual", "Prior Year", [["Actual"], ["Prior Year"]]),
        ("Forecast", "2022", []),
        ("2023", "Prior Year", [["2023"], ["Prior Year"]]),
    ],
)
def test_a_first_header_set_with_blanks_is_no_corner(first, second, order):
    text = f"{'':20}{first:>15}{second:>15}\n{'Sales':20}{100:>15}{90:>15}\n{'Costs':20}{50:>15}{40:>15}\n"
    assert ranks(text) == order
    (table,) = parse_statement(text).tables
    assert [[cell.value for cell in item.cells] for item in table.items] == [[100.0, 90.0], [50.0, 40.0]]
    assert ranks(text.replace(" " * 20, f"{'in millions':20}", 1)) == order


def test_groups_of_unequal_width():
    text = (
        "                   Three Months Ended         Nine Months Ended       Year Ended\n"
        "                     September 30,              September 30,        December 31,\n"
        "                    2023       2022           2023       2022            2022\n"
        "Sales                100         90            300        280             390\n"
        "Costs                 60         55            180        170             230\n"
    )
    assert [len(columns) for columns in parse_statement(text).tables[0].periods()] == [2, 1, 2]


@pytest.mark.parametrize(("corner", "first"), [("#", 1), ("No.", 1), ("", 0), ("序号", 1)])
def test_numbers_of_rows_name_no_line_item(corner, first):
    rows = f"| {first} | Sales | 10 | 9 |\n| {first + 1} | Costs | 7 | 6 |"
    text = f"| {corner} | Item | 2023 | 2022 |\n|---|---|---|---|\n{rows}"
    (table,) = parse_statement(text).tables
    assert [item.name for item in table.items] == ["Sales", "Costs"]
    assert [cell.value for item in table.items for cell in item.cells] == [10.0, 9.0, 7.0, 6.0]


def test_figures_marked_debit_or_credit_are_said():
    def said(*cells):
        rows = "\n".join(f"| Row | {cell} |" for cell in cells)
        return figures_without_sign(parse_statement(f"| Item | 2023 |\n|---|---|\n{rows}"))

    assert said("632DR", "632 CR", "$ 7 Dr.", "5") == ["632DR", "632 CR", "$ 7 Dr."]
    assert said("632 CR", "7") == ["632 CR"] and not said("₹ 632 Cr", "₹ 7 Cr") and not said("632", "(5)")
