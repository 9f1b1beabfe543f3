import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import records as module
from engine.errors import InputError
from engine.records import ignored_files, input_files, read_records, total_bytes
from tests.conftest import ROOT, records

ROWS = [{"id": index, "text": f'line\n"quoted, {{[\\" ä {index}', "list": [{"id": 1}, {"id": 2}]} for index in range(5)]
FLAT = [{"id": str(index), "text": f'a\nb "c" {index}, d', "year": "2001"} for index in range(6)]
COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.fixture(params=[1, 7, 64, 2**20])
def chunk_bytes(request, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", request.param)
    return request.param


def save(folder, content, name="p.json"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, file_format="auto", **options):
    return list(read_records(str(path), file_format, **options))


def values(found):
    assert [record.number for record in found] == list(range(1, len(found) + 1))
    return [record.values if not record.problem else None for record in found]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def csv_text(rows, **options):
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], **options)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


# --- which files


def test_a_file_a_pattern_or_a_folder(tmp_path):
    for name in ("b.jsonl", "a.json", "c.CSV.gz", "sub/d.jsonl", ".hidden.json", "notes.txt", "x.gz", "p.parquet.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path, "", name)

    def names(path):
        return [str(file.relative_to(tmp_path)) for file in input_files(str(path))]

    assert names(tmp_path / "a.json") == ["a.json"]
    assert names(tmp_path) == ["a.json", "b.jsonl", "c.CSV.gz"]
    assert names(tmp_path / "**/*.jsonl") == ["b.jsonl", "sub/d.jsonl"]
    assert names(tmp_path / "[ab].json*") == ["a.json", "b.jsonl"]
    assert [file.name for file in ignored_files(str(tmp_path))] == ["notes.txt", "p.parquet.gz", "x.gz"]
    assert ignored_files(str(tmp_path / "a.json")) == []


def test_a_name_with_brackets_is_a_name_first(tmp_path):
    path = save(tmp_path, "", "a[1].json")
    assert input_files(str(path)) == [path]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none.json", "no such file"),
        ("*.jsonl", "no file matches"),
        ("empty", "holds no file of predictions.*jsonl"),
        ("p.txt", "unknown suffix '.txt'.*predictions.format"),
        ("p.txt.gz", "unknown suffix '.txt.gz'"),
        ("*.txt", "unknown suffix"),
        ("p.parquet.gz", "decompress it first"),
    ],
)
def test_files_that_are_none(tmp_path, path, words):
    (tmp_path / "empty").mkdir()
    for name in ("p.txt", "p.txt.gz", "p.parquet.gz"):
        save(tmp_path, "x", name)
    with pytest.raises(InputError, match=words) as caught:
        read_records(str(tmp_path / path), "parquet" if "parquet" in path else "auto")  # before the first record
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_a_stated_format_reads_any_suffix(tmp_path):
    path = save(tmp_path, gzip.compress(lines(ROWS).encode()), "p.txt.gz")
    assert values(read(path, "jsonl")) == ROWS


def test_several_files_are_numbered_through_and_say_where_a_record_stands(tmp_path):
    (tmp_path / "sub").mkdir()
    save(tmp_path, json.dumps(ROWS[:2]), "a.json")
    save(tmp_path, "", "b.json")
    save(tmp_path, lines(ROWS[2:3]) + "{broken\n", "c.jsonl")
    save(tmp_path, lines(ROWS[3:]), "sub/d.jsonl")
    found = read(tmp_path / "**/*.json*")
    assert values(found) == [*ROWS[:3], None, *ROWS[3:]]
    assert [record.source for record in found] == ["a.json", "a.json", "c.jsonl", "c.jsonl", *["sub/d.jsonl"] * 2]
    assert found[3].problem.startswith("Line 2 is not valid JSON") and found[3].reason == "unreadable_row"
    assert {record.source for record in read(tmp_path / "a.json")} == {"a.json"}


@pytest.mark.parametrize("name", ["p.json", "p.jsonl", "p.csv"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \n\r\n  \n"])
def test_an_empty_file_is_refused_when_it_is_the_only_one(tmp_path, name, content):
    path = save(tmp_path, content, name)
    with pytest.raises(InputError, match="is empty"):
        read(path)
    save(tmp_path, lines(ROWS), "z.jsonl")
    assert values(read(tmp_path)) == ROWS


# --- formats and compressions


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kind", ["json", "jsonl", "ndjson", "csv", "tsv"])
def test_every_format_and_compression(tmp_path, kind, suffix, chunk_bytes):
    text = {"json": json.dumps(FLAT), "csv": csv_text(FLAT), "tsv": csv_text(FLAT, delimiter="\t")}
    data = COMPRESS[suffix](text.get(kind, lines(FLAT)).encode())
    path = save(tmp_path, data, f"p.{kind}{suffix}")
    steps = []
    assert values(read(path, on_bytes=steps.append)) == FLAT
    assert sum(steps) == total_bytes([path]) == len(data) and min(steps) > 0


def test_several_streams_in_one_compressed_file(tmp_path):
    for suffix, compress in COMPRESS.items():
        data = b"".join(compress(lines([row]).encode()) for row in FLAT)
        assert values(read(save(tmp_path, data, f"p.jsonl{suffix}"))) == FLAT


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix])
def test_damaged_compression_is_an_input_error(tmp_path, suffix):
    rng = random.Random(1)
    text = lines({"id": i, "text": rng.randbytes(40).hex()} for i in range(500)).encode()
    data = COMPRESS[suffix](text)
    for damaged in (data[: len(data) // 2], data[:-6], data[:3], b"no such format at all", text):
        with pytest.raises(InputError, match="damaged or cut off"):
            read(save(tmp_path, damaged, f"p.jsonl{suffix}"))


def test_compressed_data_without_its_suffix(tmp_path):
    with pytest.raises(InputError, match=r"add \.gz to the file's name"):
        read(save(tmp_path, gzip.compress(b"[]"), "p.json"))


def test_parquet(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
    steps = []
    assert values(read(path, on_bytes=steps.append)) == ROWS
    assert sum(steps) == total_bytes([path]) and min(steps) > 0
    data = path.read_bytes()
    for damaged in (data[:-5], data[:50], data[: len(data) // 2], b"", b"PAR1PAR1"):
        with pytest.raises(InputError, match="not a readable Parquet"):
            read(save(tmp_path, damaged, "q.parquet"))


def test_parquet_with_text_that_is_none(tmp_path):
    raw = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary())
    text = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "text": text}), path)
    found = read(path)
    assert values(found) == [{"id": 1, "text": "good"}, None, {"id": 3, "text": "fine"}]
    assert "Row 2 is not UTF-8" in found[1].problem


def test_parquet_with_two_columns_of_one_name(tmp_path):
    path = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(InputError, match="columns are named 'a'"):
        read(path)


# --- JSON shapes


def test_json_that_is_shaped_otherwise(tmp_path, chunk_bytes):
    for text in (
        json.dumps({"predictions": ROWS, "count": 5}),
        json.dumps({"count": 5, "predictions": ROWS}, indent=2),
        lines(ROWS),
        "\n\n" + lines(ROWS).replace("\n", "\r\n\r\n"),
        "\ufeff" + json.dumps(ROWS, indent=1) + "\n\n",
        json.dumps(ROWS)[:-1] + ",\n]",
    ):
        assert values(read(save(tmp_path, text))) == ROWS, text
    for text in (json.dumps(ROWS), json.dumps(ROWS, indent=2), "\n[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]"):
        assert values(read(save(tmp_path, text, "p.jsonl"))) == ROWS, text


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
def test_json_that_is_broken_as_a_whole(tmp_path, text, words, chunk_bytes):
    with pytest.raises(InputError, match=words):
        read(save(tmp_path, text))


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
def test_a_bad_item_keeps_its_neighbours(tmp_path, name, indent, chunk_bytes):
    if name == "deep" and chunk_bytes < 64:
        return  # a minute, and nothing new
    bad, words = BAD_ITEMS[name]
    good = [json.dumps(row, indent=indent).encode() for row in ROWS]
    for place in range(1, 6):
        path = save(tmp_path, b"[" + b", ".join([*good[:place], bad, *good[place:]]) + b"]")
        if place == 5 and name.startswith("the last quote"):
            with pytest.raises(InputError, match="ends in the middle"):
                read(path)
            continue
        found = read(path)
        assert values(found) == [*ROWS[:place], None, *ROWS[place:]]
        assert words in found[place].problem and found[place].problem.startswith(f"Item {place + 1} ")
    path = save(tmp_path, b"\n".join([*good_lines()[:2], bad, *good_lines()[2:]]), "p.jsonl")
    found = read(path)
    assert values(found) == [*ROWS[:2], None, *ROWS[2:]]
    assert words in found[2].problem and found[2].problem.startswith("Line 3 ")


def good_lines():
    return [json.dumps(row).encode() for row in ROWS]


def test_two_bad_items_and_a_missing_comma(tmp_path, chunk_bytes):
    texts = [json.dumps(row) for row in ROWS]
    broken = '{"id": 1, "text: "a"}'
    found = read(save(tmp_path, f"[{texts[0]}, {broken}, {texts[1]}, {broken}, {texts[2]}]"))
    assert values(found) == [ROWS[0], None, ROWS[1], None, ROWS[2]]
    assert values(read(save(tmp_path, f"[{texts[0]} {texts[1]}, {texts[2]}]"))) == ROWS[:3]


def test_pairs_of_surrogates_and_escapes_are_text(tmp_path):
    row = {"id": 1, "text": "😀 \\ud83d \0 \u2028"}
    assert values(read(save(tmp_path, json.dumps([row])))) == [row]
    assert values(read(save(tmp_path, json.dumps(row, ensure_ascii=False), "p.jsonl"))) == [row]
    assert values(read(save(tmp_path, json.dumps({"rows": [row, {"id": "\ud800"}, "text"]})))) == [row, None, None]


def test_the_last_line_cut_off(tmp_path, chunk_bytes):
    found = read(save(tmp_path, lines(ROWS)[:-9], "p.jsonl"))
    assert values(found) == [*ROWS[:4], None] and "may be cut off" in found[-1].problem
    assert values(read(save(tmp_path, lines(ROWS)[:-1], "p.jsonl"))) == ROWS
    assert values(read(save(tmp_path, lines(ROWS).encode() + b"\0" * 100, "p.jsonl"))) == [*ROWS, None]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_other_encodings_are_refused(tmp_path, encoding, kind, chunk_bytes):
    text = csv_text(FLAT) if kind == "csv" else json.dumps(FLAT)
    with pytest.raises(InputError, match="only UTF-8 is read"):
        read(save(tmp_path, text.encode(encoding), f"p.{kind}"))


# --- large rows


@pytest.mark.parametrize("place", [0, 1, 4])
def test_rows_that_are_too_large(tmp_path, monkeypatch, place, chunk_bytes):
    monkeypatch.setattr(module, "MAX_ROW_BYTES", 300)
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
        found = read(path)
        assert values(found) == [*FLAT[:place], None, *FLAT[place:]], path
        assert found[place].reason == "row_too_large" and "300 bytes" in found[place].problem
        (size,) = (int(text.replace(",", "")) for text in re.findall(r"is ([\d,]+) bytes", found[place].problem))
        assert 4000 < size < 9000


def test_one_endless_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROW_BYTES", 1000)
    for name in ("p.jsonl", "p.csv"):
        content = b"a,b\n" * (name == "p.csv") + b"x" * 50_000
        (record,) = read(save(tmp_path, content, name))
        assert record.reason == "row_too_large" and "50,000 bytes" in record.problem
    with pytest.raises(InputError, match="its header has more than"):
        read(save(tmp_path, b"x" * 50_000, "p.csv"))
    with pytest.raises(InputError, match="ends in the middle of item 1"):
        read(save(tmp_path, b'["' + b"x" * 50_000))


def test_a_lost_quote_is_no_large_row(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(module, "MAX_ROW_BYTES", 600)
    broken = '{"id": 1, "text: "a"}'
    texts = [json.dumps(row) for row in ROWS * 20]
    found = read(save(tmp_path, "[" + ", ".join([texts[0], broken, *texts[1:]]) + "]"))
    assert values(found) == [ROWS[0], None, *(ROWS * 20)[1:]]
    table = csv_text(FLAT * 20).replace('0,"a', "0,a", 1)
    found = read(save(tmp_path, table, "p.csv"))
    assert values(found)[-119:] == (FLAT * 20)[1:] and found[0].problem


# --- CSV


@pytest.mark.parametrize("delimiter", ",;\t|")
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_csv_dialects(tmp_path, delimiter, line_end, chunk_bytes):
    text = "\ufeff" + csv_text(FLAT, delimiter=delimiter, lineterminator=line_end) + line_end
    assert values(read(save(tmp_path, text, "p.csv"))) == FLAT


def test_csv_rows_that_cannot_be_read(tmp_path, chunk_bytes):
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
    found = read(save(tmp_path, b"\n".join(rows), "p.csv"))
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
def test_csv_with_a_lost_quote_loses_no_other_row(tmp_path, lost, chunk_bytes):
    text = csv_text(FLAT)
    quotes = [match.start() for match in re.finditer(r'(?<=\d,)"|"(?=,2001)', text)]
    path = save(tmp_path, text[: quotes[lost]] + text[quotes[lost] + 1 :], "p.csv")
    found = read(path)
    good = [record.values for record in found if not record.problem]
    assert good == FLAT[: lost // 2] + FLAT[lost // 2 + 1 :]
    assert any(record.problem for record in found)


def test_csv_cut_off_inside_of_quotes(tmp_path, chunk_bytes):
    found = read(save(tmp_path, csv_text(FLAT)[:-10], "p.csv"))
    assert values(found) == [*FLAT[:-1], None] and "Row 6 is not valid CSV" in found[-1].problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a,b,a\n1,2,3\n", "columns of its header are named 'a'"),
        (b"\xff,b\n1,2\n", "header is not UTF-8"),
        (b'a,"b\n1,2\n', "its header"),
    ],
)
def test_csv_headers_that_cannot_be_used(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(save(tmp_path, text, "p.csv"))


def test_csv_with_a_header_only(tmp_path):
    assert read(save(tmp_path, "a,b\n", "p.csv")) == []


# --- properties

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\{}[],:\n\r'), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXT, JSON, max_size=4), max_size=6)
FIXTURES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    OBJECTS, st.sampled_from([None, 0, 2, "\t"]), st.sampled_from([None, (",", ":"), (" ,\n", " : ")]), st.booleans(),
    st.sampled_from(sorted(COMPRESS)), st.integers(1, 40), st.integers(1, 2000),
)  # fmt: skip
@FIXTURES
def test_what_was_written_is_read(tmp_path_factory, rows, indent, separators, is_ascii, suffix, chunk, limit):
    folder = tmp_path_factory.mktemp("p")
    options = {"separators": separators, "ensure_ascii": is_ascii}
    as_list = COMPRESS[suffix](json.dumps(rows, indent=indent, **options).encode())
    options["separators"] = None
    as_lines = COMPRESS[suffix]("\n".join(json.dumps(row, **options) for row in rows).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        assert values(read(save(folder, as_list, f"p.json{suffix}"))) == rows
        if rows:
            assert values(read(save(folder, as_lines, f"p.jsonl{suffix}"))) == rows
        patch.setattr(module, "MAX_ROW_BYTES", limit)
        small = read(save(folder, as_list, f"p.json{suffix}"))
        assert len(small) == len(rows)
        assert all(
            record.values == row or record.reason == "row_too_large" for record, row in zip(small, rows, strict=True)
        )


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6), st.sampled_from(",;|\t"), st.integers(1, 40))
@FIXTURES
def test_what_was_written_as_csv_is_read(tmp_path_factory, cells, delimiter, chunk):
    rows = [dict(zip("abc", row, strict=True)) for row in cells]
    path = save(tmp_path_factory.mktemp("p"), csv_text(rows, delimiter=delimiter), "p.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        assert values(read(path)) == rows


@given(
    st.integers(0, 2**32), st.sampled_from(["p.json", "q.json", "p.jsonl", "p.csv", "p.parquet", "p.json.gz"]),
    st.integers(1, 3), st.booleans(), st.sampled_from([50, 200, 2**20]),
)  # fmt: skip
@FIXTURES
def test_damage_is_never_a_crash(tmp_path_factory, seed, name, num_bytes, is_cut, limit):
    folder, rng = tmp_path_factory.mktemp("p"), random.Random(seed)
    path = folder / name
    if name == "p.parquet":
        pq.write_table(pa.Table.from_pylist(FLAT), path)
        data = bytearray(path.read_bytes())
    else:
        text = {"p.csv": csv_text(FLAT), "p.jsonl": lines(ROWS), "q.json": json.dumps(ROWS, indent=2)}
        data = bytearray(text.get(name, json.dumps(ROWS)).encode())
        data = bytearray(gzip.compress(data)) if name.endswith(".gz") else data
    for _ in range(num_bytes):
        data[rng.randrange(len(data))] = rng.choice(b'"\\{}[],:\n \xff\0a1')
    if is_cut:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", rng.choice([3, 50, 2**20]))
        patch.setattr(module, "MAX_ROW_BYTES", limit)
        try:
            found = read(path)
        except InputError as error:
            assert len(str(error)) > 40
        else:
            assert all(record.problem or record.values or name == "p.parquet" for record in found)


@given(st.integers(0, 2**32), st.sampled_from([None, 2]), st.sampled_from([3, 50, 2**20]))
@FIXTURES
def test_damage_inside_a_row_costs_no_other_row(tmp_path_factory, seed, indent, chunk):
    rng = random.Random(seed)
    rows = [{"company": index, **row} for index, row in enumerate(records(7, seed % 5))]
    texts = [json.dumps(row, indent=indent).encode() for row in rows]
    which = rng.randrange(1, 6)
    place = rng.randrange(len(texts[which]))
    damaged = bytearray(texts[which])
    damaged[place : place + rng.randrange(2)] = rng.choice(
        [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\n", b"\xff"]
    )
    path = save(
        tmp_path_factory.mktemp("p"), b"[" + b", ".join([*texts[:which], bytes(damaged), *texts[which + 1 :]]) + b"]"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        try:
            found = values(read(path))
        except InputError as error:
            assert "not valid JSON" in str(error)
            return
    assert len(found) >= 7 and found[:which] == rows[:which] and found[-(6 - which) :] == rows[which + 1 :]


# --- memory

_MEASURE = """
import resource, sys
from engine.records import read_records
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
found = sum(1 for record in read_records(sys.argv[1]) if not record.problem)
print(found, peak() - before)
"""


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_memory_stays_small(tmp_path, kind):
    texts = [json.dumps({**row, "full_model_response": row["full_model_response"] * 8}) for row in records(100)]
    opening, between, closing = ("[", ", ", "]") if kind == "json" else ("", "\n", "\n")
    repeats = 150_000_000 // sum(map(len, texts))
    path = tmp_path / f"p.{kind}"
    with path.open("w") as stream:
        stream.write(opening)
        for index in range(repeats):
            stream.write((between if index else "") + between.join(texts))
        stream.write(closing)
    assert path.stat().st_size > 140_000_000
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    found, mebibytes = map(int, done.stdout.split())
    assert found == repeats * 100 and mebibytes < 60
