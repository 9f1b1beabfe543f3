import re

import pytest

from engine.errors import InputError
from tests.fixtures.record_files import FLAT, csv_text, read, save, values


@pytest.mark.parametrize("delimiter", ",;\t|")
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_csv_dialects(tmp_path, delimiter, line_end, limits):
    text = "\ufeff" + csv_text(FLAT, delimiter=delimiter, lineterminator=line_end) + line_end
    assert values(read(save(tmp_path, text, "p.csv"), limits=limits)) == FLAT


def test_csv_rows_that_cannot_be_read(tmp_path, limits):
    rows = [
        b"id,year,text",
        b"1,2,3",
        b"1,2",
        b"1,2,3,4",
        b"",
        b"4,5,\xff",
        b'7,8,"a"b',
        b"9,9,9",
        b'5" x,"",""""',
        b"\0,2,3",
    ]
    found = read(save(tmp_path, b"\n".join(rows), "p.csv"), limits=limits)
    assert [record.problem.partition(":")[0] for record in found] == [
        "",
        "Row 2 has another number of fields than the header",
        "Row 3 has another number of fields than the header",
        "Row 4 is not UTF-8 text",
        "Row 5 is not valid CSV",
        "",
        "",
        "",
    ]
    assert found[6].values == {"id": '5" x', "year": "", "text": '"'} and found[7].values["id"] == "\0"


@pytest.mark.parametrize("lost", range(2 * len(FLAT)))
def test_csv_with_a_lost_quote_loses_no_other_row(tmp_path, lost, limits):
    text = csv_text(FLAT)
    quotes = [match.start() for match in re.finditer(r'(?<=\d,)"|"(?=,2001)', text)]
    path = save(tmp_path, text[: quotes[lost]] + text[quotes[lost] + 1 :], "p.csv")
    found = read(path, limits=limits)
    good = [record.values for record in found if not record.problem]
    assert good == FLAT[: lost // 2] + FLAT[lost // 2 + 1 :]
    assert any(record.problem for record in found)


def test_csv_cut_off_inside_of_quotes(tmp_path, limits):
    found = read(save(tmp_path, csv_text(FLAT)[:-10], "p.csv"), limits=limits)
    assert values(found) == [*FLAT[:-1], None] and "Row 6 is not valid CSV" in found[-1].problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a,b,a\n1,2,3\n", "columns of its header are named 'a'"),
        (b"\xff,b\n1,2\n", "header is not UTF-8"),
        (b'a,"b\n1,2\n', "its header"),
    ],
    ids=["one name twice", "not UTF-8", "open quote"],
)
def test_csv_headers_that_cannot_be_used(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(save(tmp_path, text, "p.csv"))


def test_csv_with_a_header_only(tmp_path):
    assert read(save(tmp_path, "a,b\n", "p.csv")) == []
