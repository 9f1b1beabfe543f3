"""Second header rows with a label of their own, tables without labels, drawn boxes, and layouts that are not read."""

from __future__ import annotations

import pytest

from engine.samples import Message
from engine.statements.layouts.unread import unread_layout
from engine.statements.parser import parse_statement, statement_span, unread_figures

RULE = "|---|---|---|"
BODY = "| Sales | 10 | 8 |\n| Costs | 7 | 6 |"


@pytest.mark.parametrize(
    "second",
    [
        "| (audited) | Restated | Reported |",
        "| Line item | audited | unaudited |",
        "| Status | Actual | Actual |",
        "| Item | USD m | USD m |",
        "| Posten | geprüft | ungeprüft |",
        "| Basis | non-GAAP | (GAAP) |",
    ],
)
@pytest.mark.parametrize("corner", ["", "Item"])
def test_a_second_header_with_a_label_is_no_line_item(second, corner):
    (table,) = parse_statement(f"| {corner} | 2023 | 2022 |\n{RULE}\n{second}\n{BODY}").tables
    assert [item.name for item in table.items] == ["Sales", "Costs"]
    assert table.current is not None and table.current.label == "2023"
    text = f"| {corner} | 2023 | 2022 |\n{RULE}\n{second}\n{BODY}"
    assert {cell.strip() for cell in second.strip("|").split("|")} < {text[slice(*span)] for span in table.header}


@pytest.mark.parametrize("row", ["| Auditor | KPMG | EY |", "| Sales | 10 | n/a |", "| Outlook | planned | good |"])
def test_a_row_of_words_is_a_line_item(row):
    (table,) = parse_statement(f"| Item | 2023 | 2022 |\n{RULE}\n{row}\n{BODY}").tables
    assert len(table.items) == 3


def test_figures_alone_under_periods_have_no_label():
    (table,) = parse_statement("| 2023 | 2022 |\n|---|---|\n| 10 | 8 |\n| 7 | 6 |").tables
    assert [(cell.value, table.columns[cell.column].label) for item in table.items for cell in item.cells] == [
        (10.0, "2023"),
        (8.0, "2022"),
        (7.0, "2023"),
        (6.0, "2022"),
    ]
    (table,) = parse_statement("| Year | Sales |\n|---|---|\n| 2023 | 10 |\n| 2022 | 8 |").tables
    assert [column.label for column in table.columns] == ["2023", "2022"]  # rows that are periods


DRAWN = (
    "┌───────┬──────┬──────┐\n│ Item  │ 2023 │ 2022 │\n├───────┼──────┼──────┤\n│ Sales │ 10   │ (8)  │\n"
    "└───────┴──────┴──────┘"
)
POLARS = (
    "shape: (1, 3)\n┌───────┬──────┬──────┐\n"
    "│ Item  ┆ 2023 ┆ 2022 │\n│ ---   ┆ ---  ┆ ---  │\n│ str   ┆ i64  ┆ i64  │\n"
    "╞═══════╪══════╪══════╡\n│ Sales ┆ 10   ┆ (8)  │\n└───────┴──────┴──────┘"
)


@pytest.mark.parametrize("text", [DRAWN, POLARS, DRAWN.replace("│", "║")], ids=["box", "polars", "double"])
def test_boxes_that_are_drawn_around_cells_are_pipes(text):
    statement = parse_statement(text)
    (table,) = statement.tables
    assert [(cell.text, cell.value) for item in table.items for cell in item.cells] == [("10", 10.0), ("(8)", -8.0)]
    assert table.current is not None and text[table.current.start : table.current.end] == "2023"
    assert not unread_figures(statement)
    span = statement_span(text)
    assert span is not None and "Item" in text[slice(*span)] and "Sales" in text[slice(*span)]


UNREAD = {
    "CSV": "Item,2023,2022\nSales,10988,5899\n",
    "CSV quoted": '"Item";"2023";"2022"\n"Sales";"10.988";"5.899"\n',
    "JSON": '{"2023": {"Sales": 10988, "Costs": 7000}, "2022": {"Sales": 5899}}',
    "JSON rows": '```json\n[{"year": 2023, "sales": 10, "costs": 7}, {"year": 2022, "sales": 8}]\n```',
    "LaTeX": "\\begin{tabular}{lrr}\nItem & 2023 & 2022 \\\\\nSales & 10,988 & 5,899 \\\\\n\\end{tabular}",
    "lines": "Sales: $10,988\nCosts: (7,000)\n- Net income = 632\n",
}


@pytest.mark.parametrize("layout", sorted(UNREAD))
def test_layouts_that_are_not_read_are_told(layout):
    from engine.encoding.structure import has_unread_table

    text = f"Read the statement.\n\n{UNREAD[layout]}\n\nWill EPS increase or decrease?"
    assert not parse_statement(text).tables and unread_layout(text, []) == layout.split()[0]
    beside = f"| Item | 2023 | 2022 |\n{RULE}\n{BODY}\n\n"
    assert has_unread_table([Message("user", beside + text)]) and not has_unread_table([Message("system", text)])
    assert not has_unread_table([Message("user", beside + "Will EPS increase or decrease?")])


@pytest.mark.parametrize(
    "text",
    [
        'Answer as {"direction": "increase", "confidence": 0.8}.',
        'Reply with {"direction": "x", "p": 0.1, "q": 0.2, "r": 0.3}',
        "Company: A\nYear: 2023\nSector: Retail",
        "Sales rose in 2023, 2022 and 2021, by 5, 6 and 7.\nCosts, wages, 5",
        "Item\t2023\t2022\nSales\t10\t8\nCosts\t7\t6",
    ],
)
def test_other_text_is_no_table(text):
    assert unread_layout(text, [(table.start, table.end) for table in parse_statement(text).tables]) is None
