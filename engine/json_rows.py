"""JSON Lines → rows, one line at a time; and how any JSON value becomes a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from engine.record_files import Row, TextSource

SPACE = b" \t\r\n"  # what JSON calls blank
_BOM = b"\xef\xbb\xbf"
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_row(raw: bytes, name: str) -> Row:
    """Return the JSON object in some bytes as a row, or the row's problem.

    Parameters
    ----------
    raw
        The bytes of one JSON value.
    name
        What to call the row in its problem, such as ``Line 3``.
    """
    try:
        item = json.loads(raw.decode())
        if SURROGATE.search(raw):
            json.dumps(item, ensure_ascii=False).encode()  # half of a pair cannot be encoded
    except UnicodeDecodeError as error:
        byte = f"its byte {error.start + 1} (0x{raw[error.start]:02x})"
        return Row({}, f"{name} is not UTF-8 text: {byte} cannot be decoded.")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        return Row({}, f"{name} holds {half}, half of a surrogate pair, which is no character.")
    except RecursionError:
        return Row({}, f"{name} is nested too deeply to be read.")
    except json.JSONDecodeError as error:
        return Row({}, f"{name} is not valid JSON: {error}.")
    except ValueError:  # the one other thing that Python refuses
        return Row({}, f"{name} holds a number of too many digits to be read.")
    if isinstance(item, dict):
        return Row(item)
    return Row({}, f"{name} is {type(item).__name__}, not an object.")


def too_large(name: str, size: int, limit: int) -> Row:
    """Return the row that stands for one that is larger than a row may be."""
    problem = f"{name} is {size:,} bytes long; rows of more than {limit:,} bytes are not read."
    return Row({}, problem, "row_too_large")


def line_rows(source: TextSource, limit: int) -> Iterator[Row]:
    """Yield the rows of JSON Lines; blank lines are none.

    Parameters
    ----------
    source
        The file's bytes.
    limit
        How many bytes a line may have; longer ones are passed over without being held.
    """
    line_number, rest = 0, b""
    while chunk := source.read():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            line_number += 1
            if len(line) > limit:
                yield too_large(f"Line {line_number}", len(line), limit)
            elif line.strip(SPACE):
                yield parse_row(line.removeprefix(_BOM), f"Line {line_number}")
        if len(rest) > limit:
            line_number += 1
            yield too_large(f"Line {line_number}", _skip_line(source, len(rest)), limit)
            rest = b""
    if rest.strip(SPACE):
        row = parse_row(rest.removeprefix(_BOM), f"Line {line_number + 1}")
        hint = " It is the last line and has no line end: the file may be cut off." if row.problem else ""
        yield row._replace(problem=row.problem + hint)


def _skip_line(source: TextSource, size: int) -> int:
    """Read up to the next line end; return the whole line's size, of which some bytes were read before."""
    while chunk := source.read():
        line, end, after = chunk.partition(b"\n")
        size += len(line)
        if end:
            source.put_back(after)
            break
    return size
