import gzip
import json
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import InputError
from engine.inputs.files import ignored_files, input_files, total_bytes
from engine.inputs.records import read_records
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records
from tests.fixtures.record_files import COMPRESS, FLAT, ROWS, csv_text, lines, read, save, values


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
    path = save(tmp_path, gzip.compress(lines(ROWS).encode(), mtime=0), "p.txt.gz")
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
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \n\r\n  \n"], ids=["nothing", "mark", "space"])
def test_an_empty_file_is_refused_when_it_is_the_only_one(tmp_path, name, content):
    path = save(tmp_path, content, name)
    with pytest.raises(InputError, match="is empty"):
        read(path)
    save(tmp_path, lines(ROWS), "z.jsonl")
    assert values(read(tmp_path)) == ROWS


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kind", ["json", "jsonl", "ndjson", "csv", "tsv"])
def test_every_format_and_compression(tmp_path, kind, suffix, limits):
    text = {"json": json.dumps(FLAT), "csv": csv_text(FLAT), "tsv": csv_text(FLAT, delimiter="\t")}
    data = COMPRESS[suffix](text.get(kind, lines(FLAT)).encode())
    path = save(tmp_path, data, f"p.{kind}{suffix}")
    steps = []
    assert values(read(path, on_bytes=steps.append, limits=limits)) == FLAT
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
        read(save(tmp_path, gzip.compress(b"[]", mtime=0), "p.json"))


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


# --- memory

_MEASURE = """
import resource, sys
from engine.inputs.records import read_records
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
