"""Layouts of one and the same statement, and where its figures belong."""

import time
from itertools import pairwise
from textwrap import dedent

import pytest

from engine.statements.parser import (
    SPAN_KINDS,
    empty_periods,
    group_spans,
    named_item_spans,
    parse_statement,
    period_spans,
    statement_span,
)


def groups(text):
    statement = parse_statement(text)
    for kind in SPAN_KINDS:
        spans = group_spans(statement, kind)
        assert all(left[1] <= right[0] for left, right in pairwise(spans)), kind
        assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans), kind
    return {kind: [text[start:end] for start, end in group_spans(statement, kind)] for kind in SPAN_KINDS}


APART = {
    "dollar-cells": """\
        |  | 2023 |  | 2022 |  |
        |---|---|---|---|---|
        | Net sales | $ | 10,988 | $ | 5,899 |
        | Cost of sales |  | 7,000 |  | 4,100 |
        | Net income | $ | 632 | $ | 287 |""",
    "header-over-figures": """\
        |  |  | 2023 |  | 2022 |
        |---|---|---|---|---|
        | Net sales | $ | 10,988 | $ | 5,899 |
        | Cost of sales |  | 7,000 |  | 4,100 |
        | Net income | $ | 632 | $ | 287 |""",
    "signs-without-header-cells": """\
        | Item | 2023 | 2022 |
        |---|---|---|
        | Net sales | $ | 10,988 | $ | 5,899 |
        | Cost of sales | 7,000 | 4,100 |
        | Net income | $ | 632 | $ | 287 |""",
    "three-cells-each": """\
        |  | 2023 |  |  | 2022 |  |  |
        |---|---|---|---|---|---|---|
        | Net sales | $ | 10,988 |  | $ | 5,899 |  |
        | Cost of sales |  | 7,000 |  |  | 4,100 |  |
        | Net income | $ | 632 |  | $ | 287 |  |""",
    "spacers": """\
        |  |  | 2023 |  |  | 2022 |
        | Net sales | US$ | 10,988 |  | US$ | 5,899 |
        | Cost of sales |  | 7,000 |  |  | 4,100 |
        | Net income | US$ | 632 |  | US$ | 287 |""",
    "currency-codes": """\
        |  | 2023 |  | 2022 |  |
        | Net sales | USD | 10,988 | USD | 5,899 |
        | Cost of sales | USD | 7,000 | USD | 4,100 |
        | Net income | USD | 632 | USD | 287 |""",
    "units-row": """\
        |  | 2023 |  | 2022 |  |
        | (in millions) |  |  |  |  |
        | Net sales | € | 10,988 | € | 5,899 |
        | Cost of sales | € | 7,000 | € | 4,100 |
        | Net income | € | 632 | € | 287 |""",
    "footnotes": """\
        |  | 2023 |  | 2022 |  |
        | Net sales | 10,988 | (1) | 5,899 |  |
        | Cost of sales | 7,000 |  | 4,100 | (2) |
        | Net income | 632 | * | 287 |  |""",
    "emphasis": """\
        |  | **2023** |  | **2022** |  |
        |---|---|---|---|---|
        | **Net sales** | **$** | **10,988** | **$** | **5,899** |
        | Cost of sales |  | 7,000 |  | 4,100 |
        | *Net income* | *$* | *632* | *$* | *287* |""",
    "signs-behind": """\
        |  |  | 2023 |  | 2022 |
        | Net sales | 10,988 | m | 5,899 | m |
        | Cost of sales | 7,000 | m | 4,100 | m |
        | Net income | 632 | m | 287 | m |""",
    "data-frame": """\
        |    | Item          |   2023 |   2022 |
        |---:|:--------------|-------:|-------:|
        |  0 | Net sales     | 10,988 |  5,899 |
        |  1 | Cost of sales |  7,000 |  4,100 |
        |  2 | Net income    |    632 |    287 |""",
    "tabs": "Item\t2023\t2022\nNet sales\t10,988\t5,899\nCost of sales\t7,000\t4,100\nNet income\t632\t287",
    "tabs-with-signs": (
        "\t2023\t\t2022\t\nNet sales\t$\t10,988\t$\t5,899\nCost of sales\t\t7,000\t\t4,100\nNet income\t$\t632\t$\t287"
    ),
    "tabs-and-heads": (
        "\t2023\t2022\nIncome statement\nNet sales\t10,988\t5,899\nCost of sales\t7,000\t4,100\nNet income\t632\t287"
    ),
    "blanks": """\
                             2023       2022
        Net sales          10,988      5,899
        Cost of sales       7,000      4,100
        Net income            632        287""",
    "filing": """\
                                          Year ended December 31,
                                          -----------------------
                                              2023          2022
                                          ----------    ----------
        Net sales ....................... $   10,988    $    5,899
        Cost of sales ...................      7,000         4,100
                                          ----------    ----------
        Net income ...................... $      632    $      287
                                          ==========    ==========""",
    "tagged-filing": """\
        <TABLE>
        <CAPTION>
        (in millions)                  2023         2022
                                     --------     --------
        <S>                          <C>          <C>
        Net sales                    $  10,988    $  5,899

        Cost of sales                   7,000        4,100
        Net income                   $     632    $    287
        </TABLE>""",
    "to-string": """\
                    Item   2023   2022
        0      Net sales 10,988  5,899
        1  Cost of sales  7,000  4,100
        2     Net income    632    287""",
    "one-blank": """\
        (in millions) 2023 2022
        Net sales $ 10,988 $ 5,899
        Cost of sales 7,000 4,100
        Net income $ 632 $ 287""",
    "html": """\
        <table><tr><th></th><th>2023</th><th>2022</th></tr>
        <tr><td>Net sales</td><td>10,988</td><td>5,899</td></tr>
        <tr><td>Cost of sales</td><td>7,000</td><td>4,100</td></tr>
        <tr><td>Net income</td><td>632</td><td>287</td></tr></table>""",
    "edgar": """\
        <TABLE border="0">
        <tr><td style="width:1%"></td><td></td><td></td><td></td><td></td><td></td><td></td></tr>
        <tr><td>&nbsp;</td><td colspan="3"><b>2023</b></td><td colspan="3"><b>2022</b></td></tr>
        <tr><td><p>Net sales</p><td>$</td><td>10,988</td><td>&#160;</td><td>$</td><td>5,899</td><td></td></tr>
        <tr><td>Cost&nbsp;of&nbsp;sales<td></td><td>7,000<sup>1</sup></td><td></td><td></td><td>4,100</td><td></td></tr>
        <tr><td>Net income</td><td>$</td><td>632</td><td></td><td>$</td><td>287</td><td></td></tr></TABLE>""",
    "html-without-ends": """\
        <table><thead><tr><th rowspan=2>Item<th colspan=2>Year ended<tr><th>2023<th>2022</thead>
        <tr><td>Net sales<td>10,988<td>5,899
        <tr><td>Cost of sales<td>7,000<td>4,100
        <tr><td>Net income<td>632<td>287""",
}


@pytest.mark.parametrize("layout", APART, ids=APART)
def test_figures_stand_under_their_period(layout):
    text = f"Read the statement.\n\n{dedent(APART[layout])}\n\nWill EPS increase or decrease?"
    found = groups(text)
    found = {kind: [piece.strip("*") for piece in pieces] for kind, pieces in found.items()}
    assert found["current_period"] == ["2023", "10,988", "7,000", "632"]
    assert found["prior_period"] == ["2022", "5,899", "4,100", "287"]
    assert found["earlier_period"] == []
    labels = [label.replace("&nbsp;", " ") for label in found["line_item"] if label != "Income statement"]
    assert labels == ["Net sales", "Cost of sales", "Net income"]
    statement = parse_statement(text)
    assert "Cost of sales" in named_item_spans(statement)
    assert [text[slice(*span)].strip("*") for span in period_spans(statement)["2022"]] == [
        "2022",
        "5,899",
        "4,100",
        "287",
    ]
    assert empty_periods(statement) == []
    start, end = statement_span(text) or (0, 0)
    assert "10,988" in text[start:end] and "287" in text[start:end] and "Will EPS" not in text[start:end]


@pytest.mark.parametrize(
    "text",
    [
        "| | 2023 | | | 2022 | | |\n|-|-|-|-|-|-|-|\n| Loss | $ | (632 | ) | $ | (287 | ) |\n| Sales | | 5 | | | 6 | |",
        "| | 2023 | | | 2022 | | |\n|-|-|-|-|-|-|-|\n| Loss | ( | 632 | ) | ( | 287 | ) |\n| Sales | | 5 | | | 6 | |",
        "<table><tr><td></td><td colspan=3>2023</td><td colspan=3>2022</td></tr><tr><td>Loss</td><td>$</td><td>(632"
        "</td><td>)</td><td>$</td><td>(287</td><td>)</td></tr><tr><td>Sales<td><td>5<td><td><td>6<td></table>",
        "          2023      2022\nLoss     $ (632)  $ (287)\nSales         5        6",
    ],
    ids=["closing-apart", "both-apart", "html", "blanks"],
)
def test_brackets_in_cells_of_their_own_are_signs(text):
    (table,) = parse_statement(text).tables
    assert [[cell.value for cell in item.cells if cell.value is not None] for item in table.items] == [
        [-632.0, -287.0],
        [5.0, 6.0],
    ]
    assert len(groups(text)["current_period"]) == 3 == len(groups(text)["prior_period"])


def test_per_cent_behind_figures_goes_with_them():
    text = "| | | 2023 | | 2022 |\n|-|-|-|-|-|\n| Margin | 12.5 | % | 11.0 | % |\n| Tax rate | 21 | % | 25 | % |"
    assert groups(text)["current_period"] == ["2023", "12.5", "21"]
    assert groups(text)["prior_period"] == ["2022", "11.0", "25"]


def test_a_value_that_is_not_there_leaves_others_in_their_columns():
    text = dedent("""\
                              2023      2022      2021
        Net sales           10,988     5,899     4,100
        Impairment                       312
        Other                  (17)                 25
        """)
    (table,) = parse_statement(text).tables
    assert [{cell.column: cell.value for cell in item.cells} for item in table.items] == [
        {0: 10988.0, 1: 5899.0, 2: 4100.0},
        {1: 312.0},
        {0: -17.0, 2: 25.0},
    ]


@pytest.mark.parametrize(
    ("heads", "current", "prior"),
    [
        (["TTM", "FY2023", "FY2022"], "TTM", "FY2023"),
        (["2022", "2023", "LTM"], "LTM", "2023"),
        (["2023", "TTM 9/23", "2022"], "TTM 9/23", "2023"),
        (["LTM-1", "2023", "LTM"], "LTM", "LTM-1"),
        (["2023", "Trailing 4 Quarters"], "Trailing 4 Quarters", "2023"),
        (["MRQ-1", "MRQ"], "MRQ", "MRQ-1"),
        (["FY2022", "LTM Sep-23"], "LTM Sep-23", "FY2022"),
        (["Trailing Twelve Months", "2023"], "Trailing Twelve Months", "2023"),
        (["2023", "Rolling 12 months"], "Rolling 12 months", "2023"),
        (["2021", "2022", "Last 12M"], "Last 12M", "2022"),
        (["Q1 2022", "Q2 2022", "Q3 2022", "Q4 2022", "FY2022"], "FY2022", "Q4 2022"),
        (["2022", "Q1 2022"], "2022", "Q1 2022"),
        (["1H23", "2H22"], "1H23", "2H22"),
        (["Q3'22", "Q4'22"], "Q4'22", "Q3'22"),
        (["Dec-22", "Sep-22"], "Dec-22", "Sep-22"),
        (["31.12.2022", "30.09.2022"], "31.12.2022", "30.09.2022"),
        (["2021/22", "2022/23"], "2022/23", "2021/22"),
        (["FY21/22", "FY22/23"], "FY22/23", "FY21/22"),
        (["2022 (restated)", "2023"], "2023", "2022 (restated)"),
        (["2023 (1)", "2022 (1)"], "2023 (1)", "2022 (1)"),
        (["2023A", "2024E"], "2024E", "2023A"),
        (["9M 2023", "6M 2023"], "9M 2023", "6M 2023"),
        (["Geschäftsjahr 2022", "Geschäftsjahr 2021"], "Geschäftsjahr 2022", "Geschäftsjahr 2021"),
        (["31. Dezember 2022", "30. Juni 2022"], "31. Dezember 2022", "30. Juni 2022"),
        (["31 décembre 2022", "30 juin 2022"], "31 décembre 2022", "30 juin 2022"),
        (["30 de junio de 2023", "31 de marzo de 2023"], "30 de junio de 2023", "31 de marzo de 2023"),
        (["N", "N-1"], "N", "N-1"),
        (["3T22", "4T22"], "4T22", "3T22"),
        (["2022年度", "2021年度"], "2022年度", "2021年度"),
        (["2022年3月31日", "2021年3月31日"], "2022年3月31日", "2021年3月31日"),
        (["令和4年", "平成30年"], "令和4年", "平成30年"),
        (["2023年上半年", "2022年下半年"], "2023年上半年", "2022年下半年"),
        (["本期金额", "上期金额"], "本期金额", "上期金额"),
        (["当期", "前期"], "当期", "前期"),
        (["당기", "전기"], "당기", "전기"),
        (["31 декабря 2022 г.", "30 сентября 2022 г."], "31 декабря 2022 г.", "30 сентября 2022 г."),
        (["Berichtsjahr", "Vorjahr"], "Berichtsjahr", "Vorjahr"),
        (["YTD", "2022"], "YTD", "2022"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_periods_in_many_words(heads, current, prior):
    figures = [str(100 + place) for place in range(len(heads))]
    text = f"| Item | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}\n| Revenue | {' | '.join(figures)} |"
    by_head = dict(zip(heads, figures, strict=True))
    assert set(groups(text)["current_period"]) == {current, by_head[current]}
    assert set(groups(text)["prior_period"]) == {prior, by_head[prior]}


def test_n_alone_counts_observations():
    (table,) = parse_statement("| Variable | N | Mean |\n|---|---|---|\n| Sales | 120 | 3.5 |").tables
    assert table.current is None


def test_periods_in_two_header_rows_are_told_together():
    text = "| | 2023 | | 2022 | |\n| | Q1 | Q2 | Q1 | Q2 |\n|-|-|-|-|-|\n| Sales | 4 | 3 | 2 | 1 |"
    (table,) = parse_statement(text).tables
    assert [(column.label, column.order) for column in table.columns] == [
        ("2023 Q1", 2023.0),
        ("2023 Q2", 2023.25),
        ("2022 Q1", 2022.0),
        ("2022 Q2", 2022.25),
    ]
    assert groups(text)["current_period"] == ["Q2", "3"] and groups(text)["prior_period"] == ["Q1", "4"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("| Item | 2023 | 2022 |\n| Sales | | 5 |\n| Costs | - | 4 |", ["2023"]),
        ("| Item | 2023 | 2022 |\n| Sales | n/a | n/a |\n| Costs | x | y |\n\n| A | t |\n| b | 1 |", []),
        ("| Item | 2023 | 2022 | 2023 plan |\n| Sales | | 5 | 6 |", []),
        ("| Item | 2023 | 2022 |\n| Sales | 6 | 5 |\n\n| Item | 2023 | 2022 |\n| Costs | | 5 |", ["2023"]),
    ],
    ids=["empty-column", "no-table", "one-of-two-columns-of-a-period", "second-table"],
)
def test_a_period_without_figures_is_named(text, labels):
    assert empty_periods(parse_statement(text)) == labels


@pytest.mark.parametrize(
    "text",
    [
        "In 2022 sales rose.  In 2023 they fell.  Costs were 5.\nWhat follows?  12  13",
        "def f(x):\n\treturn 2022\n\tx = 3",
        "1.\tFirst point\n2.\tSecond point with 5 %",
        "<p>2023</p><b>5</b> a < b and c > d <tr",
        "Years: 2022 2023\nCompare them.\nThen answer in 2 words.",
        "  2023    2022\n\nWill EPS increase?",
        "Item,2023,2022\nSales,10,5",
    ],
    ids=["prose", "code", "list", "markup", "sentence", "header-alone", "commas"],
)
def test_what_only_looks_like_a_table_is_none(text):
    assert parse_statement(text).tables == ()
    assert statement_span(text) is None


def test_two_spans_of_months_to_one_day_are_one_period():
    text = dedent("""\
                                  Three Months Ended       Six Months Ended
                                       June 30,                June 30,
                                  ------------------      ------------------
                                   2023        2022        2023        2022
                                  ------      ------      ------      ------
        Net sales                 $1,234      $1,100      $2,400      $2,200
        Operating expenses:
          Cost of sales              800         700       1,500       1,400
        Net income (loss)         $ (234)     $  210      $  510      $  420
        """)
    found = groups(text)
    assert found["current_period"] == ["2023", "2023", "$1,234", "$2,400", "800", "1,500", "$ (234)", "510"]
    assert found["line_item"] == ["Net sales", "Operating expenses:", "Cost of sales", "Net income (loss)"]
    assert found["header"] == ["June 30,", "June 30,", "2023", "2022", "2023", "2022"]


def test_a_column_of_notes_is_no_period():
    text = "Income statement\nEUR million Notes 2023 2022\nRevenue 3 10,988 5,899\nCosts 4 (7,000) (4,100)\nEnd."
    assert groups(text)["current_period"] == ["2023", "10,988", "(7,000)"]


def test_prose_behind_a_table_is_not_part_of_it():
    text = dedent("""\
        Balance sheet:
        Item                2023      2022
        Assets
        Cash                  10         9

        Debt                   4         3

        Sales rose by 5 in 2023, and that was more than the 4 of the year before it.
        Answer with 1 word.
        """)
    (table,) = parse_statement(text).tables
    assert [item.name for item in table.items] == ["Assets", "Cash", "Debt"]
    assert text[table.start : table.end].endswith("3")


def test_html_names_and_cells_are_those_of_the_text():
    text = "<table><tr><td>Item<td>2023</tr><tr><td>R&amp;D <i>net</i><td>&#40;1&nbsp;234&#41;</tr></table>"
    (table,) = parse_statement(text).tables
    (item,) = table.items
    assert (item.name, item.cells[0].value) == ("R&D net", -1234.0)
    assert text[item.cells[0].start : item.cells[0].end] == item.cells[0].text == "&#40;1&nbsp;234&#41;"


def test_tables_inside_cells_are_tables_of_their_own():
    text = (
        "<table><tr><td><table><tr><td>A<td>2023<tr><td>x<td>1</table></td></tr><tr><td>B<td>2022<tr><td>y<td>2</table>"
    )
    first, second = parse_statement(text).tables
    assert ([item.name for item in first.items], [item.name for item in second.items]) == (["x"], ["y"])
    assert first.end <= second.start


@pytest.mark.parametrize(
    "text",
    [
        "<table><tr>" + "<td colspan=9999>" * 20_000,
        "<table>" * 40_000,
        "<table>" + "<tr><td>2023<td rowspan=900>1" * 4_000,
        "<tr><td>" + "&amp;" * 100_000,
        "2023  2022\n" * 8_000,
        "2023  2022\n" + "Sales  5  6\n" * 8_000,
        "2023  2022\n" + "Sales\n\n" * 20_000,
        "a\t2023\n" * 30_000,
        "x " * 200_000 + "2023 2022",
        "<sup>" * 60_000,
        "<!-- <table>" * 20_000 + "<tr><td>",
        "| " + "$ | " * 2_000 + "\n" + "| a " + "| (1 | ) " * 1_000 + "|\n",
    ],
    ids=range(12),
)
def test_time_is_linear(text):
    started = time.process_time()
    parse_statement(text)
    statement_span(text)
    assert time.process_time() - started < 15
