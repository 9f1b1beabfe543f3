"""JSON Lines: one record per line; or objects one after another that take several lines each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.inputs.readers.json_files.json_objects import holds_objects, object_records
from engine.inputs.readers.json_files.json_text import parsed_record
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, Record, too_large
from engine.inputs.readers.text_source import BYTE_ORDER_MARK, SPACE, TextSource

_TEXT = re.compile(rb"[^ \t\r\n][^\n]*")
"""A line from its first sign on."""


class JsonLinesReader(Reader):
    """One JSON object per line, blank lines aside; or objects that are spread over lines, or share one."""

    suffixes = (".json", ".jsonl", ".ndjson")

    def recognises(self, head: FileHead) -> bool:
        """Whether it is lines rather than one JSON value: whatever the suffix says, where the content is clear."""
        if head.suffix == ".json":
            return head.first_byte() == b"{" and (_begins_with_lines(head) or holds_objects(head))
        return head.first_byte() != b"[" or _begins_with_lines(head)

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield one record per line or object; those that are too long are passed over without being held."""
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            source.first_byte()
            read = object_records if _is_spread(FileHead(file, limits)) else _line_records
            yield from read(source, limits.row_bytes)


def _is_spread(head: FileHead) -> bool:
    """Whether objects do not keep to lines: the first line is the beginning of one, or holds two."""
    if holds_objects(head):
        return True
    first, after = head.lines()
    return first[:1] == b"{" and first[-1:] in b"{,:" and after[:1] in (b'"', b"}")


def _begins_with_lines(head: FileHead) -> bool:
    """Whether the first line is a JSON value of its own and others follow."""
    first, after = head.lines()
    if not after:
        return False
    if first.removesuffix(b",")[-1:] == b"}" and after[:1] == b"{":
        return True  # two objects with nothing between them, even if the first one is damaged
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _line_records(source: TextSource, limit: int) -> Iterator[Record]:
    line_number, rest = 0, b""
    while chunk := source.read():
        whole, end, rest = (rest + chunk).rpartition(b"\n")
        lines, counted = whole + end, 0
        for text in _TEXT.finditer(lines):  # blank lines by the million cost nothing
            start = lines.rfind(b"\n", 0, text.start()) + 1
            line_number += lines.count(b"\n", counted, start)
            counted = start
            line, name = lines[start : text.end()], f"Line {line_number + 1}"
            yield too_large(name, len(line), limit) if len(line) > limit else parsed_record(_object_of(line), name)
        line_number += lines.count(b"\n", counted)
        if len(rest) > limit:
            line_number += 1
            yield too_large(f"Line {line_number}", _skip_line(source, len(rest)), limit)
            rest = b""
    if rest.strip(SPACE):
        record = parsed_record(_object_of(rest), f"Line {line_number + 1}")
        hint = " It is the last line and has no line end: the file may be cut off." if record.problem else ""
        yield replace(record, problem=record.problem + hint)


def _object_of(line: bytes) -> bytes:
    """Return a line without a byte order mark, and without the comma that some put behind its object."""
    line = line.removeprefix(BYTE_ORDER_MARK)
    bare = line.rstrip(SPACE)
    return bare[:-1] if bare.endswith(b"},") else line


def _skip_line(source: TextSource, size: int) -> int:
    """Read up to the next line end; return the whole line's size, of which some bytes were read before."""
    while chunk := source.read():
        line, end, after = chunk.partition(b"\n")
        size += len(line)
        if end:
            source.put_back(after)
            break
    return size
