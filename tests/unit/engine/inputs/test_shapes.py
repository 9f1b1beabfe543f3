"""The shapes in which spreadsheets, data frames and other programs write records, and what they do to them."""

import gzip
import json
import random

import pytest

from engine.errors import InputError
from engine.inputs.advice import advice_on
from engine.inputs.readers.record import Limits
from engine.inputs.selection import as_number
from engine.run import main
from tests.fixtures.predictions import records
from tests.fixtures.record_files import csv_text, lines, read, save, values

ROWS = [{"id": f"F{i}", "prompt": f'Will it {{rise}} "{i}"?\n}}\n{{', "response": "up"} for i in range(5)]
FLAT = [{"id": str(i), "prompt": f'a\nb "c" {i}; d, e', "response": "up"} for i in range(4)]


@pytest.mark.parametrize("name", ["p.jsonl", "p.ndjson", "p.json", "p.json.gz"])
@pytest.mark.parametrize(
    "written",
    [
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        "\r\n".join(json.dumps(row, indent=1) for row in ROWS) + "\r\n",
        "\n\n".join(json.dumps(row, indent=0) for row in ROWS),
        "".join(map(json.dumps, ROWS)),
        " ".join(map(json.dumps, ROWS)) + "\n",
        ",\n".join(json.dumps(row, indent=2) for row in ROWS),
        ",\n".join(map(json.dumps, ROWS)),
        ",\r\n".join(map(json.dumps, ROWS)) + ",\r\n",
        "\n".join(json.dumps(row, indent="\t") for row in ROWS),
    ],
    ids=[
        "indented",
        "windows",
        "apart",
        "one-line",
        "blanks",
        "commas",
        "lines with commas",
        "windows with commas",
        "tabs",
    ],
)
def test_objects_one_after_another(tmp_path, name, written, limits):
    content = gzip.compress(written.encode(), mtime=0) if name.endswith(".gz") else written
    assert values(read(save(tmp_path, content, name), limits=limits)) == ROWS


def test_a_damaged_object_over_several_lines_costs_itself(tmp_path, limits):
    written = [json.dumps(row, indent=2) for row in ROWS]
    rng = random.Random(2)
    for damage in (lambda text: text.replace('"', "", 1), lambda text: text[:-9] + "}", lambda text: text[:20] + "}"):
        place = rng.randrange(1, 5)
        damaged = [*written[:place], damage(written[place]), *written[place + 1 :]]
        found = read(save(tmp_path, "\n".join(damaged), "p.jsonl"), limits=limits)
        assert [record.values for record in found if not record.problem] == ROWS[:place] + ROWS[place + 1 :]
        assert found[place].problem.startswith(f"Object {place + 1} is not valid JSON")


@pytest.mark.parametrize("chunk", [100, 5000])
def test_an_object_that_is_too_large_is_passed_over(tmp_path, chunk):
    rows = [ROWS[0], {"id": "big", "prompt": "x" * 50_000}, ROWS[2]]
    limits = Limits(row_bytes=1000, chunk_bytes=chunk)
    found = read(save(tmp_path, "\n".join(json.dumps(row, indent=2) for row in rows), "p.jsonl"), limits=limits)
    assert values(found) == [ROWS[0], None, ROWS[2]] and found[1].reason == "row_too_large"
    found = read(save(tmp_path, "".join(map(json.dumps, ROWS * 30)), "q.jsonl"), limits=limits)
    assert values(found) == ROWS * 30


def frame(orient):
    columns = list(ROWS[0])
    index = [str(place) for place in range(len(ROWS))]
    by_column = {name: {key: row[name] for key, row in zip(index, ROWS, strict=True)} for name in columns}
    return {
        "columns": by_column,
        "index": dict(zip(index, ROWS, strict=True)),
        "split": {"columns": columns, "index": list(range(5)), "data": [list(row.values()) for row in ROWS]},
        "records": ROWS,
        "table": {"schema": {"fields": [{"name": "id"}], "primaryKey": ["index"]}, "data": ROWS},
    }[orient]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table"])
def test_data_frames_in_every_orient(tmp_path, orient, indent):
    assert values(read(save(tmp_path, json.dumps(frame(orient), indent=indent)))) == ROWS


def test_lists_of_values_have_no_names(tmp_path):
    path = save(tmp_path, json.dumps([list(row.values()) for row in ROWS]))
    with pytest.raises(InputError, match=r"list of 5 lists, whose values have no names.*orient='records'"):
        read(path)
    assert values(read(save(tmp_path, json.dumps([["a"], ROWS[0]]), "q.json"))) == [None, ROWS[0]]


NAMED = [{"prompt": row["prompt"], "response": "up"} for row in ROWS]


@pytest.mark.parametrize(
    "tree",
    [
        {row["id"]: named for row, named in zip(ROWS, NAMED, strict=True)},
        {"predictions": {row["id"]: named for row, named in zip(ROWS, NAMED, strict=True)}, "model": "m"},
        {"prompt": {r["id"]: r["prompt"] for r in ROWS}, "response": {r["id"]: r["response"] for r in ROWS}},
        {
            "columns": ["prompt", "response"],
            "index": ["F0", "F1", "F2", "F3", "F4"],
            "data": [[*r.values()] for r in NAMED],
        },
    ],
    ids=["by-id", "by-id-inside", "columns-by-id", "split-by-id"],
)
def test_what_records_are_called_is_their_id(tmp_path, tree):
    assert values(read(save(tmp_path, json.dumps(tree, indent=1)))) == ROWS


def test_an_object_of_records_with_one_that_is_none(tmp_path):
    found = read(save(tmp_path, json.dumps({"F0": NAMED[0], "F1": "failed"})))
    assert found[0].values == ROWS[0] and found[1].problem == "Item 'F1' is str, not an object."


def test_one_record_alone(tmp_path):
    assert values(read(save(tmp_path, json.dumps(ROWS[0], indent=2)))) == [ROWS[0]]
    chat = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "up"}], "year": 2000}
    assert values(read(save(tmp_path, json.dumps(chat, indent=2)))) == [chat]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"a": {"x": 1}, "b": {"y": 2}}',
            "records or columns cannot be told by their names .'a', 'b'; inside: 'x', 'y'",
        ),
        ('{"F0": {"prompt": "a"}, "F0": {"prompt": "b"}}', "'F0' stand several times"),
        ('{"a": [1], "b": [2]}', "2 lists inside .'a', 'b'.*orient='records'"),
        ('{"error": "rate limit"}', "0 lists inside"),
        ('{"columns": ["a", "a"], "data": []}', "no table"),
    ],
    ids=["names", "repeated", "lists", "nothing", "columns"],
)
def test_objects_that_cannot_be_told(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        read(save(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;;;;;"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_line_that_names_the_delimiter_is_no_header(tmp_path, first, mark, line_end, limits):
    text = mark + first + line_end + csv_text(FLAT, delimiter=";", lineterminator=line_end)
    assert values(read(save(tmp_path, text, "p.csv"), limits=limits)) == FLAT


@pytest.mark.parametrize("delimiter", list(",;\t|:^~"))
def test_the_delimiter_that_is_named_counts(tmp_path, delimiter):
    text = f"sep={delimiter}\n" + csv_text(FLAT, delimiter=delimiter)
    assert values(read(save(tmp_path, text, "p.csv"))) == FLAT


def test_signs_inside_quoted_names_are_no_delimiters(tmp_path):
    text = '"id";"prompt, with, many, commas"\n1;2\n'
    assert values(read(save(tmp_path, text, "p.csv"))) == [{"id": "1", "prompt, with, many, commas": "2"}]


def test_a_tsv_without_tabs_is_read_by_its_delimiter(tmp_path):
    assert values(read(save(tmp_path, csv_text(FLAT, delimiter=";"), "p.tsv"))) == FLAT


def test_blank_columns_that_a_spreadsheet_leaves_behind(tmp_path):
    assert values(read(save(tmp_path, "id;prompt;;\n1;q;;\n", "p.csv"))) == [
        {"id": "1", "prompt": "q", "column 3": "", "column 4": ""}
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,85", 0.85),
        ("-3,5", -3.5),
        ("0,123", 0.123),
        ("1.234,5", 1234.5),
        ("12345,678", 12345.678),
        ("1,234,567", 1234567.0),
        ("1,234.5", 1234.5),
        ("1,234", None),
        ("1.5", 1.5),
        ("1,2,3", None),
        ("", None),
    ],
)
def test_decimal_commas_where_they_can_be_nothing_else(text, number):
    assert as_number(text) == number


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.json"])
def test_windows_1252_is_named_with_its_remedy(tmp_path, name):
    rows = [{"id": "1", "prompt": "fine"}, {"id": "2", "prompt": "café"}]
    text = {"p.csv": csv_text(rows), "p.jsonl": "\n".join(json.dumps(r, ensure_ascii=False) for r in rows)}
    content = text.get(name, json.dumps(rows, ensure_ascii=False)).encode("cp1252")
    found = read(save(tmp_path, content, name))
    assert found[0].values == rows[0]
    assert "(0xe9) cannot be decoded: it is not UTF-8; it could be Windows-1252 ('café" in found[1].problem
    assert "iconv -f WINDOWS-1252 -t UTF-8" in found[1].problem
    with pytest.raises(InputError, match=r"header is not UTF-8 text.*it could be Windows-1252 \('numéro"):
        read(save(tmp_path, "numéro,b\n1,2\n".encode("latin-1"), "h.csv"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("p.xlsx", "is a spreadsheet: save the sheet as CSV UTF-8"),
        ("p.ODS", "is a spreadsheet"),
        ("p.zip", "is an archive: unpack it"),
        ("p.tar.gz", "is an archive"),
        ("p.pkl", "holds Python objects"),
        ("p.sqlite", "is a database"),
    ],
)
def test_files_of_another_kind_are_named_with_their_remedy(tmp_path, name, words):
    path = save(tmp_path, "x", name)
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=words):
        read(tmp_path)


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"PK\x03\x04", "a zip archive or a spreadsheet.*CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old kind .xls"),
        (b"SQLite format 3\0", "a database"),
        (b"PAR1\x15\x04\x15\x10", "a Parquet table.*set predictions.format to parquet"),
        (b"ARROW1\0\0", "an Arrow table"),
    ],
    ids=["zip", "xls", "sqlite", "parquet", "arrow"],
)
@pytest.mark.parametrize("name", ["p.csv", "p.json", "p.jsonl"])
def test_files_whose_content_is_of_another_kind(tmp_path, magic, words, name):
    with pytest.raises(InputError, match=words):
        read(save(tmp_path, magic + b"\0" * 100, name))


def test_cells_that_a_spreadsheet_cut_are_counted_in_the_plan(config_file, tmp_path):
    rows = records(6)
    field = "full_model_response"
    rows[1][field] = (rows[1][field] * 200)[:32_767]
    rows[4][field] = (rows[4][field] * 200)[:32_768]
    path = save(tmp_path, lines(rows), "p.jsonl")
    main([str(config_file), f"predictions.path={path}", "--stage", "plan"])
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    (warning,) = [warning for warning in plan["warnings"] if "Excel" in warning]
    assert warning.startswith("1 row(s), such as ") and "cut off" in warning


def test_rows_that_are_no_utf8_are_counted_in_the_plan(config_file, tmp_path):
    rows = [json.dumps(row, ensure_ascii=False).encode() for row in records(6)]
    path = save(tmp_path, b"\n".join([*rows, b'{"prompt": "caf\xe9"}']), "p.jsonl")
    main([str(config_file), f"predictions.path={path}", "--stage", "plan"])
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    assert any("1 row(s), such as row-7, are no UTF-8 text" in warning for warning in plan["warnings"])


@pytest.mark.parametrize(
    ("reasons", "sentence"),
    [
        (["unreadable_row"], "Mend the file, or set predictions.format where another format is meant."),
        (["missing_field"], "Check predictions.fields and prompt.source."),
        (["filtered"], "Check predictions.filter."),
        (["no_label"], "Check predictions.fields, decision.labels and decision.field."),
        (
            ["row_too_large", "filtered"],
            "Leave out of the rows what is no part of prompt or answer. Check predictions.filter.",
        ),
        (["template_refuses"], ""),
        ([], ""),
    ],
    ids=str,
)
def test_advice_is_for_the_reasons_that_were_met(reasons, sentence):
    assert advice_on(reasons) == sentence


def test_damaged_lines_get_no_advice_on_labels(config_file, tmp_path, capsys):
    path = save(tmp_path, "{broken\n{broken\n", "p.jsonl")
    assert main([str(config_file), f"predictions.path={path}", "--stage", "plan"]) == 3
    message = capsys.readouterr().err
    assert "2 unreadable_row" in message and "decision.labels" not in message and "predictions.fields" not in message
