import gzip
import json
import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.inputs.readers.record import Limits
from tests.fixtures.predictions import records
from tests.fixtures.record_files import COMPRESS, FLAT, ROWS, csv_text, lines, read, save, values

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\{}[],:\n\r'), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXT, JSON, max_size=4), max_size=6)
FIXTURES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


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
    limits = Limits(chunk_bytes=chunk)
    assert values(read(save(folder, as_list, f"p.json{suffix}"), limits=limits)) == rows
    if rows:
        assert values(read(save(folder, as_lines, f"p.jsonl{suffix}"), limits=limits)) == rows
    small = read(save(folder, as_list, f"p.json{suffix}"), limits=replace(limits, row_bytes=limit))
    assert len(small) == len(rows)
    assert all(
        record.values == row or record.reason == "row_too_large" for record, row in zip(small, rows, strict=True)
    )


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6), st.sampled_from(",;|\t"), st.integers(1, 40))
@FIXTURES
def test_what_was_written_as_csv_is_read(tmp_path_factory, cells, delimiter, chunk):
    rows = [dict(zip("abc", row, strict=True)) for row in cells]
    path = save(tmp_path_factory.mktemp("p"), csv_text(rows, delimiter=delimiter), "p.csv")
    assert values(read(path, limits=Limits(chunk_bytes=chunk))) == rows


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
        data = bytearray(gzip.compress(data, mtime=0)) if name.endswith(".gz") else data
    for _ in range(num_bytes):
        data[rng.randrange(len(data))] = rng.choice(b'"\\{}[],:\n \xff\0a1')
    if is_cut:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    try:
        found = read(path, limits=Limits(limit, rng.choice([3, 50, 2**20])))
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
    try:
        found = values(read(path, limits=Limits(chunk_bytes=chunk)))
    except InputError as error:
        assert "not valid JSON" in str(error)
        return
    assert len(found) >= 7 and found[:which] == rows[:which] and found[-(6 - which) :] == rows[which + 1 :]
