import json
import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import Config
from engine.errors import InputError
from engine.inputs.predictions import read_predictions
from engine.inputs.readers.record import Limits
from engine.inputs.records import read_records
from tests.fixtures.predictions import records
from tests.fixtures.record_files import FLAT, ROWS, csv_text, lines, read, save, values


def test_json_that_is_shaped_otherwise(tmp_path, limits):
    for text in (
        json.dumps({"predictions": ROWS, "count": 5}),
        json.dumps({"count": 5, "predictions": ROWS}, indent=2),
        lines(ROWS),
        "\n\n" + lines(ROWS).replace("\n", "\r\n\r\n"),
        "\ufeff" + json.dumps(ROWS, indent=1) + "\n\n",
        json.dumps(ROWS)[:-1] + ",\n]",
    ):
        assert values(read(save(tmp_path, text), limits=limits)) == ROWS, text
    for text in (json.dumps(ROWS), json.dumps(ROWS, indent=2), "\n[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]"):
        assert values(read(save(tmp_path, text, "p.jsonl"), limits=limits)) == ROWS, text


def test_a_first_line_that_is_damaged_does_not_make_lines_a_list(tmp_path):
    text = '{"id": nope}\n' + lines(ROWS)
    assert values(read(save(tmp_path, text))) == [None, *ROWS]


def test_a_stated_format_is_obeyed(tmp_path):
    with pytest.raises(InputError, match=r"not valid JSON.*set predictions\.format to jsonl"):
        read(save(tmp_path, lines(ROWS)), "json")
    assert values(read(save(tmp_path, json.dumps(ROWS, indent=1)[:17]), "jsonl")) == [None, None, None]
    assert values(read(save(tmp_path, csv_text(FLAT)), "csv")) == FLAT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "one object with 0 lists"),
        ('{"a": [], "b": []}', "one object with 2 lists"),
        ('{"a": [1', "not valid JSON"),
        ("3", "must hold a list"),
        ("nope", "not valid JSON"),
        ("[] []", "after 0 item.*'\\[\\]'"),
        ('[{"a": 1}] x', "after 1 item.*'x'"),
        ("[", "ends in the middle of item 1, after 0 whole"),
        ('[{"a": 1}, {"a": 2}', "ends in the middle of item 2, after 1 whole"),
        ('[{"a": 1}, {"a": 2},', "ends in the middle of item 3, after 2 whole"),
        ('[{"a": 1}, {"a": "2', "ends in the middle of item 2, after 1 whole"),
    ],
)
def test_json_that_is_broken_as_a_whole(tmp_path, text, words, limits):
    with pytest.raises(InputError, match=words):
        read(save(tmp_path, text), limits=limits)


def test_numbers_that_only_python_writes(tmp_path):
    (record,) = read(save(tmp_path, '[{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999}]'))
    assert str(record.values) == "{'a': nan, 'b': inf, 'c': -inf, 'd': inf}"


BAD_ITEMS = {
    "not JSON": (b'{"id": nope}', "not valid JSON"),
    "quotes not escaped": (b'{"id": 1, "text": "a "b" c"}', "not valid JSON"),
    "brackets in damaged text": (b'{"id": 1, "text": "a "b] {" c"}', "not valid JSON"),
    "one quote too few": (b'{"id": 1, "text: "a"}', "not valid JSON"),
    "one quote too many": (b'{"id": 1, "text": "a"b"}', "not valid JSON"),
    "the last quote lost": (b'{"id": 1, "text": "a}', "not valid JSON"),
    "the last quote escaped": (b'{"id": 1, "text": "a\\"}', "not valid JSON"),
    "no closing brace": (b'{"id": 1, "text": "a"', "not valid JSON"),
    "no opening brace": (b'"id": 1, "text": "a"}', "not valid JSON"),
    "a list not closed": (b'{"id": 1, "list": [1, 2}', "not valid JSON"),
    "a list not opened": (b'{"id": 1, "list": 1, 2]}', "not valid JSON"),
    "no UTF-8": (b'{"id": 1, "text": "a\xff"}', "not UTF-8"),
    "an encoded surrogate": (b'{"id": 1, "text": "\xed\xa0\x80"}', "not UTF-8"),
    "a lone surrogate": (b'{"id": 1, "text": ["\\ud83d"]}', "\\ud83d, half of a surrogate pair"),
    "a surrogate as a key": (b'{"id": 1, "\\uDE00": 1}', "half of a surrogate pair"),
    "deep": (b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "digits": (b'{"id": ' + b"7" * 5000 + b"}", "too many digits"),
    "NUL": (b'{"id": "a\0b"}', "not valid JSON"),
    "a list": (b"[1, 2]", "is list, not an object"),
    "a number": (b"17", "is int, not an object"),
    "a text": (b'"{\\"id\\": 1}"', "is str, not an object"),
}


@pytest.mark.parametrize("name", BAD_ITEMS)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_bad_item_keeps_its_neighbours(tmp_path, name, indent, limits):
    if name == "deep" and limits.chunk_bytes < 64:
        return  # a minute, and nothing new
    bad, words = BAD_ITEMS[name]
    good = [json.dumps(row, indent=indent).encode() for row in ROWS]
    for place in range(1, 6):
        path = save(tmp_path, b"[" + b", ".join([*good[:place], bad, *good[place:]]) + b"]")
        if place == 5 and name.startswith("the last quote"):
            with pytest.raises(InputError, match="ends in the middle"):
                read(path, limits=limits)
            continue
        found = read(path, limits=limits)
        assert values(found) == [*ROWS[:place], None, *ROWS[place:]]
        assert words in found[place].problem and found[place].problem.startswith(f"Item {place + 1} ")
    path = save(tmp_path, b"\n".join([*good_lines()[:2], bad, *good_lines()[2:]]), "p.jsonl")
    found = read(path, limits=limits)
    assert values(found) == [*ROWS[:2], None, *ROWS[2:]]
    assert words in found[2].problem and found[2].problem.startswith("Line 3 ")


def good_lines():
    return [json.dumps(row).encode() for row in ROWS]


def test_two_bad_items_and_a_missing_comma(tmp_path, limits):
    texts = [json.dumps(row) for row in ROWS]
    broken = '{"id": 1, "text: "a"}'
    found = read(save(tmp_path, f"[{texts[0]}, {broken}, {texts[1]}, {broken}, {texts[2]}]"), limits=limits)
    assert values(found) == [ROWS[0], None, ROWS[1], None, ROWS[2]]
    assert values(read(save(tmp_path, f"[{texts[0]} {texts[1]}, {texts[2]}]"), limits=limits)) == ROWS[:3]


def test_pairs_of_surrogates_and_escapes_are_text(tmp_path):
    row = {"id": 1, "text": "😀 \\ud83d \0 \u2028"}
    assert values(read(save(tmp_path, json.dumps([row])))) == [row]
    assert values(read(save(tmp_path, json.dumps(row, ensure_ascii=False), "p.jsonl"))) == [row]
    assert values(read(save(tmp_path, json.dumps({"rows": [row, {"id": "\ud800"}, "text"]})))) == [row, None, None]


def test_the_last_line_cut_off(tmp_path, limits):
    found = read(save(tmp_path, lines(ROWS)[:-9], "p.jsonl"), limits=limits)
    assert values(found) == [*ROWS[:4], None] and "may be cut off" in found[-1].problem
    assert values(read(save(tmp_path, lines(ROWS)[:-1], "p.jsonl"), limits=limits)) == ROWS
    assert values(read(save(tmp_path, lines(ROWS).encode() + b"\0" * 100, "p.jsonl"), limits=limits)) == [*ROWS, None]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_other_encodings_are_refused(tmp_path, encoding, kind, limits):
    text = csv_text(FLAT) if kind == "csv" else json.dumps(FLAT)
    with pytest.raises(InputError, match="only UTF-8 is read"):
        read(save(tmp_path, text.encode(encoding), f"p.{kind}"), limits=limits)


# --- large rows


@pytest.mark.parametrize("place", [0, 1, 4])
def test_rows_that_are_too_large(tmp_path, place, limits):
    limits = replace(limits, row_bytes=300)
    huge = {"id": "9", "text": 'x "y"\n\\ {[' * 400, "year": "1"}
    rows = [*FLAT[:place], huge, *FLAT[place:]]
    parquet = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    paths = [
        save(tmp_path, json.dumps(rows)),
        save(tmp_path, json.dumps(rows, indent=3), "q.json"),
        save(tmp_path, json.dumps({"rows": rows}), "r.json"),
        save(tmp_path, lines(rows), "p.jsonl"),
        save(tmp_path, csv_text(rows), "p.csv"),
        parquet,
    ]
    for path in paths:
        found = read(path, limits=limits)
        assert values(found) == [*FLAT[:place], None, *FLAT[place:]], path
        assert found[place].reason == "row_too_large" and "300 bytes" in found[place].problem
        (size,) = (int(text.replace(",", "")) for text in re.findall(r"is ([\d,]+) bytes", found[place].problem))
        assert 4000 < size < 9000


def test_one_endless_line(tmp_path):
    limits = Limits(row_bytes=1000)
    for name in ("p.jsonl", "p.csv"):
        content = b"a,b\n" * (name == "p.csv") + b"x" * 50_000
        (row,) = read(save(tmp_path, content, name), limits=limits)
        assert row.reason == "row_too_large" and "50,000 bytes" in row.problem
    with pytest.raises(InputError, match="its header has more than"):
        read(save(tmp_path, b"x" * 50_000, "p.csv"), limits=limits)
    with pytest.raises(InputError, match="ends in the middle of item 1"):
        read(save(tmp_path, b'["' + b"x" * 50_000), limits=limits)


def test_a_lost_quote_is_no_large_row(tmp_path, limits):
    limits = replace(limits, row_bytes=600)
    broken = '{"id": 1, "text: "a"}'
    texts = [json.dumps(row) for row in ROWS * 20]
    found = read(save(tmp_path, "[" + ", ".join([texts[0], broken, *texts[1:]]) + "]"), limits=limits)
    assert values(found) == [ROWS[0], None, *(ROWS * 20)[1:]]
    table = csv_text(FLAT * 20).replace('0,"a', "0,a", 1)
    found = read(save(tmp_path, table, "p.csv"), limits=limits)
    assert values(found)[-119:] == (FLAT * 20)[1:] and found[0].problem


@pytest.mark.parametrize(
    ("name", "text", "repeated"),
    [
        ("a.jsonl", '{"a": 1, "b": 2, "a": 3}\n{"a": 1}\n', [("a",), ()]),
        ("a.json", '[{"a": {"x": 1, "x": 2}}, {"a": {"x": 1}}]', [("x",), ()]),
        ("a.json", '{"rows": [{"a": [{"x": 1, "x": 2}], "c": 1, "c": 1}, {"a": 4}]}', [("x", "c"), ()]),
    ],
    ids=["lines", "list", "list in an object"],
)
def test_keys_that_stand_twice_in_a_row_are_remembered(tmp_path, name, text, repeated):
    (tmp_path / name).write_text(text)
    assert [record.repeated_keys for record in read_records(str(tmp_path / name))] == repeated


def test_rows_with_keys_that_stand_twice_are_flagged(tmp_path):
    first, second = map(json.dumps, records(2))
    (tmp_path / "p.jsonl").write_text(f'{first[:-1]}, "year": 1999}}\n{second}\n')
    config = Config.model_validate({"predictions": {"path": str(tmp_path / "p.jsonl")}, "model": {"path": "x"}})
    flags = [sample.flags for sample in read_predictions(config).samples]
    assert ["repeated_keys" in found for found in flags] == [True, False]
