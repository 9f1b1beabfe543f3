"""Files of predictions that are refused, and ids of their rows."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import InputError
from engine.inputs.predictions import read_predictions
from tests.fixtures.prediction_files import config, write
from tests.fixtures.predictions import records


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.json", "[]", "holds no prediction"),
        ("p.json", "[{", "not valid JSON"),
        ("p.json", '{"a": 1}', "must hold a list"),
        ("p.json", '"text"', "must hold a list"),
        ("p.txt", "[]", "unknown suffix"),
        ("p.parquet", "PAR0", "not a readable Parquet"),
        ("p.json", "\ud800", "not UTF-8"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=words):
        read_predictions(config(path))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_predictions(config(tmp_path / "none.json"))


def test_duplicate_ids_are_refused_by_name(tmp_path):
    rows = records(4)
    with pytest.raises(InputError, match=r"1 sample id\(s\).*'1000-1990'.*company_id and year"):
        read_predictions(config(write(tmp_path, [*rows, rows[0]])))


def test_broken_lines_of_json_lines_are_rejects(tmp_path):
    path = tmp_path / "p.jsonl"
    good = records(2)
    path.write_text(json.dumps(good[0]) + "\n{broken\n" + json.dumps(good[1]) + "\n[1]\n")
    found = read_predictions(config(path))
    assert len(found.samples) == 2 and found.num_rows == 4
    assert [(r.sample_id, r.reason) for r in found.rejects] == [
        ("row-2", "unreadable_row"),
        ("row-4", "unreadable_row"),
    ]


def test_float_ids_and_other_delimiters(tmp_path):
    rows = [{**row, "company_id": float(row["company_id"]), "year": float(row["year"])} for row in records(2)]
    parquet = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    assert [s.sample_id for s in read_predictions(config(parquet)).samples] == ["1000-1990", "1000-1991"]
    table = tmp_path / "p.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)  # a CSV of a frame of floats: "1000.0"
    samples = read_predictions(config(table)).samples
    assert [s.sample_id for s in samples] == ["1000-1990", "1000-1991"]
    assert [(s.cluster, s.year) for s in samples] == [("1000", 1990), ("1000", 1991)]


def test_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(records(2)).encode())
    assert len(read_predictions(config(path)).samples) == 2
