"""CSV of any size → records: rows are cut from the bytes one by one, then parsed by ``csv``.

A row ends at a line end outside of quotes. Where a quote was lost, what follows is quoted as well; a row that then
makes no sense ends where the lines that follow are rows again.

What is promised of a damaged table:

* A row with another number of fields than the header, with bytes that are no UTF-8, with something behind a closing
  quote, or larger than ``Limits.row_bytes`` costs itself: it is a record with its problem, named by its place, and all
  rows before and behind it are read as they stand.
* A row that lost a quote costs itself, and the lines of its text that are left over become records with problems too:
  the rows begin again where three whole rows follow (or all that are left in the file), the first of which has numbers
  where all rows before had some, and no quote inside an unquoted field. In a table of one column, whose every line
  would look like a row, all up to the next quote is lost.
* A header that cannot be used, and quotes so damaged that the next row is not found within four times the limit, are
  refused in a sentence.
* No more than one row within the limit, and what is looked at behind a damaged one, is held.

Why no library reads the table. ``csv`` parses each row, but does not say at which byte it began: on a lost quote it
swallows lines up to the next quote, gives the row behind it up (298 of 300 rows where 299 are whole), and makes rows of
the text in between without a word. ``pyarrow.csv`` lets only rows of a wrong number of fields be passed over: one byte
that is no UTF-8, or a field that is larger than a block, ends the file.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from engine.errors import InputError
from engine.inputs.readers.encodings import why_not_utf8
from engine.inputs.readers.reader import OnBytes, Reader
from engine.inputs.readers.record import Limits, Record, too_large
from engine.inputs.readers.text_source import TextSource

_DELIMITERS = ",;\t|"
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BLANK = re.compile(rb"[\r\n]*+")
_COMPACT_BYTES = 2**20  # what lies before a row is dropped from the buffer in pieces of this size
_ROWS_AFTER_DAMAGE = 3  # so many good rows in a row are no prose that looks like a row by chance
_LEARNT_ROWS = 100
_NUMBER = re.compile(r"\s*[-+]?[\d.,]*\d\s*")
_QUOTE = b'"'[0]
_QUOTED = re.compile(r'"(?:[^"]|"")*+"')
_SEPARATOR_LINE = re.compile(rb'"?sep=([^"\r\n\x80-\xff])"?[ \t,;]*', re.IGNORECASE)


class _State(Enum):
    FIELD_START = 1
    PLAIN = 2
    QUOTED = 3


class CsvReader(Reader):
    """Tables with a header, in any of the usual delimiters."""

    suffixes = (".csv", ".tsv")

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield the rows below the header."""
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            source.first_byte()
            is_tsv = ".tsv" in (suffix.lower() for suffix in file.suffixes[-2:])
            yield from CsvRecords(source, limits.row_bytes, prefers_tab=is_tsv)


class CsvRecords:
    """The records of a CSV file, one per row below its header, to be iterated once.

    Parameters
    ----------
    source
        The file's bytes.
    limit
        How many bytes a row may have; longer ones are passed over without being held.
    prefers_tab
        Whether tabs separate fields wherever the header has one. Otherwise it is what a first line ``sep=;`` says, as
        spreadsheets write it, or the one of ``, ; tab |`` that the header has most of outside of quotes.
    """

    def __init__(self, source: TextSource, limit: int, *, prefers_tab: bool = False):
        self.source = source
        self.limit = limit
        self._prefers_tab = prefers_tab
        self._delimiter = ","
        self._separators = re.compile(b"")
        self._columns: list[str] = []
        self._numbers: set[str] | None = None  # columns with numbers in all rows learnt from
        self._buffer = b""
        self._is_file_end = False

    def __iter__(self) -> Iterator[Record]:
        """Yield the rows.

        Raises
        ------
        InputError
            When the header cannot be used, or quotes are so damaged that the next row cannot be told.
        """
        csv.field_size_limit(2**31 - 1)
        start, number, is_after_damage = self._read_header(), 0, False
        while True:
            if start > _COMPACT_BYTES:
                self._buffer, start = self._buffer[start:], 0
            end, state, is_ended = self._row_end(start)
            raw = self._buffer[start:end]
            if not raw:
                return
            if not raw.strip(b"\r\n"):
                start = self._behind_blank_lines(end)
                continue
            number += 1
            name = f"Row {number}"
            if is_ended or len(raw) <= self.limit:
                record, is_damaged = self._parsed(raw, name)
            else:  # parsed, it would take four times its bytes
                record, is_damaged = too_large(name, len(raw), self.limit), state is _State.QUOTED
            if is_after_damage and not is_damaged and self._is_rest(record, raw):
                problem = f"{name} follows one that is damaged and looks like the rest of its text, not like a row."
                record, is_damaged = Record({}, problem), True
            is_after_damage = is_damaged
            if is_damaged and (resumed := self._next_row_inside(start, end, name)):
                record, end, is_after_damage = self._parsed(self._buffer[start:resumed], name)[0], resumed, False
            elif len(raw) > self.limit:
                size = len(raw)
                if not is_ended:
                    size, end = self._pass_over(end, state, size)
                record, is_after_damage = too_large(name, size, self.limit), False
            if number <= _LEARNT_ROWS and record.values:
                self._numbers = _number_columns(record) & (
                    set(self._columns) if self._numbers is None else self._numbers
                )
            yield record
            start = end

    def _read_header(self) -> int:
        """Learn delimiter and columns; return where the first row begins."""
        file = self.source.file
        start, line = self._first_line(0)
        stated = _SEPARATOR_LINE.fullmatch(line)
        if stated:
            start, line = self._first_line(start + len(line))
            self._delimiter = stated[1].decode()
        else:
            text = _QUOTED.sub("", line.decode(errors="replace"))
            is_tabbed = self._prefers_tab and "\t" in text
            self._delimiter = "\t" if is_tabbed else max(_DELIMITERS, key=text.count)
        self._separators = re.compile(b"[\r\n" + re.escape(self._delimiter.encode()) + b"]")
        end, _, _ = self._row_end(start)
        raw = self._buffer[start:end]
        if len(raw) > self.limit:
            raise InputError(f"{file}: is not a readable CSV file: its header has more than {self.limit:,} bytes.")
        try:
            self._columns = next(csv.reader([raw.decode()], strict=True, delimiter=self._delimiter))
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: its header is not UTF-8 text: {why_not_utf8(raw, error.start)}") from None
        except csv.Error as error:
            raise InputError(f"{file}: is not a readable CSV file: its header: {error}. Mend the first line.") from None
        if self._columns.count("") > 1:  # what a spreadsheet leaves behind its last column
            self._columns = [name or f"column {place}" for place, name in enumerate(self._columns, start=1)]
        repeated = [repr(name) for name, count in Counter(self._columns).items() if count > 1]
        if repeated:
            raise InputError(
                f"{file}: several columns of its header are named {', '.join(repeated[:5])}; which of them is meant "
                f"cannot be told. Give every column a name of its own."
            )
        return end

    def _first_line(self, start: int) -> tuple[int, bytes]:
        """Return where the first line behind a place begins that is not empty, and the line."""
        start = self._behind_blank_lines(start)
        while not (match := _LINE_END.search(self._buffer, start)) and len(self._buffer) <= self.limit:
            if not self._more():
                break
        return start, self._buffer[start : match.start()] if match else self._buffer[start:]

    def _behind_blank_lines(self, start: int) -> int:
        """Return where the first line behind a place begins that is not empty; of the others none is held."""
        while (start := _blank_end(self._buffer, start)) == len(self._buffer) and not self._is_file_end:
            self._buffer, start = b"", 0
            self._more()
        return start

    def _more(self) -> bool:
        chunk = self.source.read()
        self._buffer += chunk
        self._is_file_end = not chunk
        return bool(chunk)

    def _row_end(self, start: int) -> tuple[int, _State, bool]:
        """Return where a row ends (or was given up beyond the limit), in which state, and whether it really ends."""
        position, state = start, _State.FIELD_START
        while True:
            position, state, is_ended = self._scan_buffer(position, state)
            if is_ended or position - start > self.limit or self._is_file_end:
                return position, state, is_ended
            self._more()

    def _scan_buffer(self, position: int, state: _State) -> tuple[int, _State, bool]:
        buffer, size = self._buffer, len(self._buffer)
        while position < size:
            if state is _State.FIELD_START:
                is_quote = buffer[position] == _QUOTE
                state = _State.QUOTED if is_quote else _State.PLAIN
                position += is_quote
            elif state is _State.QUOTED:
                position = buffer.find(b'"', position)
                if position < 0:
                    return size, state, False
                if position + 1 == size and not self._is_file_end:
                    return position, state, False  # the next byte says whether it is one of a pair
                is_pair = buffer[position + 1 : position + 2] == b'"'
                state = _State.QUOTED if is_pair else _State.PLAIN
                position += 1 + is_pair
            else:
                match = self._separators.search(buffer, position)
                if match is None:
                    return size, state, False
                position = match.end()
                if match[0] in b"\r\n":  # a pair leaves an empty line, which is none
                    return position, state, True
                state = _State.FIELD_START
        return position, state, False

    def _parsed(self, raw: bytes, name: str) -> tuple[Record, bool]:
        """Return the record of a row, and whether its quotes or fields are damaged."""
        text = raw.decode(errors="surrogateescape")
        try:
            fields = next(csv.reader([text], strict=True, delimiter=self._delimiter))
        except csv.Error as error:
            return Record({}, f"{name} is not valid CSV: {error}."), True
        if len(fields) != len(self._columns):
            found = f"{len(fields)} field(s), the header {len(self._columns)}"
            return Record({}, f"{name} has another number of fields than the header: {found}."), True
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            return Record({}, f"{name} is not UTF-8 text: {why_not_utf8(raw, error.start)}"), False
        return Record(dict(zip(self._columns, fields, strict=True))), False

    def _next_row_inside(self, start: int, end: int, name: str) -> int:
        """Return where inside a damaged row of several lines the rows begin again; 0 for nowhere."""
        if len(self._columns) < 2:
            return 0  # every line would look like a row
        budget = 4 * self.limit
        for line_end in _LINE_END.finditer(self._buffer[start:end].rstrip(b"\r\n")):
            resumed = start + line_end.end()
            are_rows, looked_at = self._are_rows(resumed)
            if are_rows:
                return resumed
            budget -= looked_at
            if budget < 0:
                raise InputError(
                    f"{self.source.file}: is not a readable CSV file: {name.lower()} has a quote that is not closed, "
                    f"and where the next row begins cannot be told. Mend this row, or export the table anew."
                )
        return 0

    def _are_rows(self, start: int) -> tuple[bool, int]:
        """Return whether whole rows begin at a place, up to the file's end or enough of them; and how far was read.

        The rest of a damaged text can look like a row as well; but it has quotes where rows have none, or no number
        where other rows have one.
        """
        position = start
        rows: list[Record] = []
        while len(rows) < _ROWS_AFTER_DAMAGE:
            end, _, is_ended = self._row_end(position)
            raw = self._buffer[position:end]
            if raw.strip(b"\r\n"):
                record, is_damaged = self._parsed(raw, "")
                is_first_odd = not rows and self._has_stray_quote(raw)
                if not (is_ended or self._is_file_end) or is_damaged or is_first_odd:
                    return False, end - start
                rows.append(record)
            position = end
            if position - start > 4 * self.limit:
                return False, position - start
            if self._is_file_end and end == len(self._buffer):
                break
        numbers = self._numbers
        if numbers is None:
            numbers = set(self._columns).intersection(*map(_number_columns, rows[1:])) if rows[1:] else set()
        return bool(rows) and (bool(rows[0].problem) or numbers <= _number_columns(rows[0])), position - start

    def _is_rest(self, record: Record, raw: bytes) -> bool:
        """Return whether what parses as a row is rather the rest of a damaged text before it."""
        if self._numbers:
            return not record.problem and not self._numbers <= _number_columns(record)
        return self._has_stray_quote(raw)

    def _has_stray_quote(self, raw: bytes) -> bool:
        """Return whether a field that is not quoted has a quote in it."""
        fields = re.compile(rb"(?:\A|(?<=" + re.escape(self._delimiter.encode()) + rb'))"(?:[^"]|"")*+"')
        return b'"' in fields.sub(b"", raw)

    def _pass_over(self, position: int, state: _State, size: int) -> tuple[int, int]:
        """Go to the end of a row that is too large, holding none of it; return its size and where it ends."""
        while True:
            self._buffer = self._buffer[position:]
            if not self._more() and not self._buffer:
                return size, 0
            position, state, is_ended = self._scan_buffer(0, state)
            size += position
            if is_ended or (self._is_file_end and position == len(self._buffer)):
                return size, position


def _blank_end(buffer: bytes, start: int) -> int:
    match = _BLANK.match(buffer, start)
    assert match is not None, "no line end at all is a match too"
    return match.end()


def _number_columns(record: Record) -> set[str]:
    return {name for name, text in record.values.items() if isinstance(text, str) and _NUMBER.fullmatch(text)}
