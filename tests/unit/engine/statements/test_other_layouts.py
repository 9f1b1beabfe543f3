"""Layouts, digits and headers that users bring beside those of the other tests, and what is said of those not read."""

from __future__ import annotations

from textwrap import dedent

import pytest

from engine.statements.layouts.unread import unread_layout
from engine.statements.parser import group_spans, parse_statement, unordered_periods, unread_figures


def periods(text):
    statement = parse_statement(text)
    return [
        [text[start:end] for start, end in group_spans(statement, kind)] for kind in ("current_period", "prior_period")
    ]


def unread(text):
    return unread_layout(text, [(table.start, table.end) for table in parse_statement(text).tables])


@pytest.mark.parametrize(
    ("text", "current", "prior"),
    [
        (
            "| 項目 | ２０２２年 | ２０２１年 |\n|---|---|---|\n| 売上 | １，２３４ | （１，１００） |",
            "１，２３４",
            "（１，１００）",
        ),
        ("| البند | ٢٠٢٢ | ٢٠٢١ |\n|---|---|---|\n| الإيرادات | ١٬٢٣٤٫٥ | ١٬١٠٠ |", "١٬٢٣٤٫٥", "١٬١٠٠"),
        ("| मद | २०२२ | २०२१ |\n|---|---|---|\n| आय | १,२३४ | १,१०० |", "१,२३४", "१,१००"),
    ],
    ids=["full-width", "arabic", "devanagari"],
)
def test_digits_of_other_scripts_are_figures(text, current, prior):
    assert [found[1:] for found in periods(text)] == [[current], [prior]]
    (table,) = parse_statement(text).tables
    assert abs(table.items[0].cells[1].value or 0.0) == 1100.0
    assert table.columns[0].label in text and table.items[0].name in text


def test_rows_between_bare_pipes_count_under_periods_alone():
    text = "Metric | FY2021A | FY2022A | YoY change\nRevenue | 100 | 110 | 10%\nEPS | 1.0 | 1.1 | 10%"
    assert periods(text) == [["FY2022A", "110", "1.1"], ["FY2021A", "100", "1.0"]]
    assert not parse_statement("Home | Reports 2022 | Contact\nSee you in 2023 | 5 | 7").tables


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("Q3<br>2022", "Q2<br/>2022"),
        ("Q2E 2022", "Q1A 2022"),
        ("31 Dec 21", "31 Dec 20"),
        ("31 Dec '21", "30 Jun '21"),
        ("YE22", "YE21"),
    ],
)
def test_headers_are_told_apart(newer, older):
    text = f"| Item | {newer} | {older} |\n|---|---|---|\n| Sales | 10 | 20 |"
    assert periods(text) == [[newer, "10"], [older, "20"]]


@pytest.mark.parametrize("heads", [("W1 2022", "W2 2022"), ("Week 31 2022", "Week 32 2022"), ("P03 FY22", "P04 FY22")])
def test_headers_that_differ_in_an_unread_number_alone_have_no_known_order(heads):
    text = f"| Item | {heads[0]} | {heads[1]} |\n|---|---|---|\n| Sales | 10 | 20 |"
    assert periods(text) == [[], []] and unordered_periods(parse_statement(text)) == [*heads]


@pytest.mark.parametrize("heads", [("2022 (1)", "2022 (2)"), ("FY22", "FY2022"), ("2022 plan", "2022")])
def test_headers_of_one_period_stay_one(heads):
    text = f"| Item | {heads[0]} | {heads[1]} |\n|---|---|---|\n| Sales | 10 | 20 |"
    assert not unordered_periods(parse_statement(text)) and periods(text)[0][:2] == [*heads]


def test_numbers_of_entities_are_no_digits():
    text = "<table><tr><th></th><th>2022</th></tr><tr><td>Debt</td><td>&#8212;</td></tr><tr><td>Cash<td>5</table>"
    assert unread_figures(parse_statement(text)) == []


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ('{| class="wikitable"\n! Item !! 2022 !! 2021\n|-\n| Revenue || 100 || 90\n|}', "MediaWiki"),
        ("{'Revenue': {2022: 100, 2021: 90}, 'EPS': {2022: 1.0, 2021: 0.9}}", "JSON"),
        ("revenue:\n  2022: 100\n  2021: 90\neps:\n  2022: 1.0\n  2021: 0.9", "lines"),
        ("FY2022:\n- Revenue: 100\n- EPS: 1.0\nFY2021:\n- Revenue: 90\n- EPS: 0.9", "lines"),
        ("            Revenue  NetIncome\n2021-12-31     1100        -10\n2022-12-31     1200         20", "lines"),
        ("      Revenue  Net   EPS\nYear\n2020     1100  -10 -0.10\n2021     1200   20  0.20", "lines"),
        ("Statement of 2022\nRevenue            100\nNet income          10\nEPS               1.25", "lines"),
        ("We expect sales of 5 in 2022.\nWill EPS increase or decrease?", None),
        ("1. Read it.\n2. Answer at 12:30.\n3. Give 5 reasons.", None),
    ],
)
def test_layouts_that_are_not_read_are_told(text, layout):
    assert unread(dedent(text)) == layout and not parse_statement(text).tables
