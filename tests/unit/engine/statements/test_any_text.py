"""Statements for any text: what parses holds, what was rendered is read, and time is linear."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.statements.parser import (
    SPAN_KINDS,
    group_spans,
    named_item_spans,
    parse_statement,
    period_spans,
    statement_span,
)
from engine.statements.printed_periods import period_order
from tests.fixtures.statements import check, label_of, parsed


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("|||-:\n\r \t\\1972.,()%tQ*a—+é")), max_size=200) | st.text(max_size=100))
def test_any_text_parses(text):
    check(text)
    statement_span(text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "| A | 1971 | t |",
                "| x | 1 | (2) |",
                "---",
                "|--|--|",
                "a|b",
                "1|2",
                "",
                "|y|n/a|",
                "| | m |",
                "1: \r",
                "|",
            ]
        ),
        max_size=12,
    )
)
def test_any_lines_parse(lines):
    check("\n".join(lines))


NAMES = st.from_regex(r"[A-Z][a-z]{1,8}( [a-z]{2,8}){0,2}( \([a-z]{3,6}\))?", fullmatch=True).filter(
    lambda name: period_order(name) is None and name.lower() not in ("n/a", "na")
)
VALUES = st.one_of(st.none(), st.decimals(-999999, 999999, places=3), st.integers(2200, 99999))


@st.composite
def tables(draw):
    columns = draw(st.lists(st.integers(1900, 2099), min_size=1, max_size=4, unique=True))
    names = draw(st.lists(NAMES, min_size=1, max_size=6))
    rows = [[draw(VALUES) for _ in columns] for _ in names]
    rows[0][0] = rows[0][0] or 1
    return columns, names, rows


def printed(value, style):
    if value is None:
        return ""
    if style == "brackets":
        return f"({-value:,})" if value < 0 else f"{value:,}"
    return str(value).replace("-", "−" if style == "signs" else "-")


@settings(max_examples=200, deadline=None)
@given(tables(), st.sampled_from(["users", "markdown", "bare"]), st.sampled_from(["plain", "signs", "brackets"]))
def test_what_was_rendered_is_read(table, layout, style):
    columns, names, rows = table
    cells = [
        ["Account Items", *map(str, columns)],
        *([n, *(printed(v, style) for v in r)] for n, r in zip(names, rows, strict=True)),
    ]
    cells = [[f"{row[0]:<30}", *row[1:]] for row in cells]
    lines = [" | ".join(row) if layout == "bare" else f"| {' | '.join(row)} |" for row in cells]
    rule = "-" * 60 if layout == "users" else "|".join(["---"] * len(cells[0]))
    text = "\n".join(["Below:", *([rule] if layout == "users" else [""]), lines[0], rule, *lines[1:], "", "End | 1"])
    statement = check(text)
    ((labels, items),) = parsed(text)
    assert labels == [str(column) for column in columns]
    assert items == [
        (name, {column: float(value) for column, value in enumerate(row) if value is not None})
        for name, row in zip(names, rows, strict=True)
    ]
    newest = sorted(columns, reverse=True)
    (found,) = statement.tables
    assert label_of(found.current) == str(newest[0])
    assert [column.label for column in [found.prior, *found.earlier] if column] == [str(year) for year in newest[1:]]


OLD_PATTERNS = (
    re.compile(r"[^\n]*:[ \t]*\r?\n(?:[ \t]*-{3,}[ \t]*\r?\n)?\Z"),
    re.compile(r"[ \t]*-{3,}[ \t]*\r?\n\Z"),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(["|", "a", ":", "-", "---", " ", "\t", "\n", "\r\n", "|a|1|\n", "a:\n"]), max_size=25))
def test_the_span_is_what_searching_all_of_the_text_finds(parts):
    text = "".join(parts)
    rows = list(re.finditer(r"^[ \t]*\|.*\|[ \t]*\r?$", text, re.MULTILINE))
    span = statement_span(text)
    if len(rows) < 2:
        tables = parse_statement(text).tables
        assert (span is None) == (not tables)
    elif span is None:
        raise AssertionError
    else:
        found = [match.start() for pattern in OLD_PATTERNS if (match := pattern.search(text, 0, rows[0].start()))]
        assert span[0] == (found[0] if found else rows[0].start())
        after = re.match(r"\r?\n[ \t]*-{3,}[ \t]*", text[rows[-1].end() :])
        assert span[1] == rows[-1].end() + (after.end() if after else 0)


@pytest.mark.parametrize(
    "text",
    [
        "|" * 150_000,
        "| a " * 50_000 + "|",
        "|x|1971|\n|y|1|\n" * 7_500,
        "| " + "a" * 75_000 + " |1971|\n" + "|b|c|\n" * 10_000,
        "|Y|" + "a|" * 30_000 + "\n" + "|1971|1|\n" * 7_500,
        "|Y|" + "|" * 50_000 + "\n" + "||m|\n" * 15_000,
        "-----x" * 25_000 + "\n|a|1|\n|b|2|",
        ":" * 150_000 + "x\n|a|1|\n|b|2|",
        "| A | t |\n" + "| x | 1 |\n" * 12_500,
        "1" * 150_000 + "|" + "1," * 50_000 + "\n--|--\n" + "1 " * 50_000 + "|3",
    ],
    ids=range(10),
)
def test_time_is_linear(text):
    started = time.process_time()
    statement = parse_statement(text)
    for kind in SPAN_KINDS:
        group_spans(statement, kind)
    named_item_spans(statement)
    period_spans(statement)
    statement_span(text)
    # A quadratic step takes minutes; the slowest of these takes half a second.
    assert time.process_time() - started < 8
