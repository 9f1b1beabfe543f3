"""Rows, and how they are saved and read back, for the tests of record files."""

import bz2
import csv
import gzip
import io
import json
import lzma

import pyarrow as pa

from engine.records import read_records

ROWS = [{"id": index, "text": f'line\n"quoted, {{[\\" ä {index}', "list": [{"id": 1}, {"id": 2}]} for index in range(5)]
FLAT = [{"id": str(index), "text": f'a\nb "c" {index}, d', "year": "2001"} for index in range(6)]
COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


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
