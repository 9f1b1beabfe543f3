"""A JSON list of any size → records: its items are cut from the bytes one by one, then parsed by ``json``.

Items end where the brackets outside of strings are closed. Where an item is damaged so that this count goes wrong (a
lost quote turns all later strings inside out), the cut goes on at the next place that can only begin another item.

What is promised of a damaged list:

* An item that Python's ``json`` cannot read, that is no object, is no UTF-8, holds half a surrogate pair, is nested too
  deeply or is larger than ``Limits.row_bytes`` costs itself: it is a record with its problem, named by its place, and
  all items before and behind it are read as they stand.
* So does an item with a quote, bracket or comma too few or too many, provided that another item follows which begins
  with a brace and a first key that some item read so far has. Text of the damaged item that looks just like that is
  taken for an item.
* A list that ends in the middle, or behind which something follows, is refused in a sentence that says how many items
  were whole.
* No more than one item within the limit, and one chunk, is held.

Why no library reads it. ``ijson`` (3.6, yajl) was tried on the damage of ``tests/unit/engine/inputs/test_json.py``:
its first error ends the file, for no byte offset is given from which to go on; NaN and Infinity, which Python and
pandas write, a comma behind the last item, and one byte that is no UTF-8 are such errors; a value is handed out whole,
so that an item of any size is held before its size can be seen; 20,000 nested brackets take it 3 s and 200,000 more
than a minute; and it needs twice the time (5.4 s of CPU time against 2.5 s per 100 MB of the users' records). ``json``
itself, which does read the items, knows no streams; ``pyarrow.json`` reads JSON Lines only, and one bad line ends the
file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum

from engine.errors import InputError
from engine.inputs.readers.json_files.json_text import parsed_record
from engine.inputs.readers.record import Record, too_large
from engine.inputs.readers.text_source import SPACE, TextSource

_OUTSIDE = re.compile(rb'[",\[\]{}]')
_INSIDE = re.compile(rb'["\[\]{}]')
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_FIRST_KEY = re.compile(rb'\s*\{\s*("(?:[^"\\]|\\.)*+")\s*:', re.DOTALL)
_BARE_KEY = re.compile(rb'\s*[^\s{\["]?\s*"(?:[^"\\]|\\.)*+"\s*:', re.DOTALL)
_ANY_KEY = rb'"[^"\\]*+"'
_MAX_KEYS = 100
_TAIL_BYTES = 4096  # more than the start of an item up to its first colon takes
# What text cut off inside of a literal or a number can end with, where the parser does not go on.
_LITERALS = (b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity", b".", b"e+", b"e-", b"E+", b"E-")
_QUOTE, _COMMA, _BACKSLASH = b'",\\'


class _Stop(Enum):
    """Where looking for an item's end stopped."""

    COMMA = "at the comma after it"
    LIST_END = "at the list's closing bracket"
    MISMATCH = "at a bracket that closes another than was opened"
    TOO_LARGE = "beyond the limit"
    FILE_END = "at the end of the file"


class ListRecords:
    """The records of a JSON list, to be iterated once.

    Parameters
    ----------
    source
        The file's bytes, of which the first that is not blank is the list's bracket.
    limit
        How many bytes an item may have; longer ones are passed over without being held.
    """

    def __init__(self, source: TextSource, limit: int):
        self.source = source
        self.limit = limit
        self._number = 0  # of the item being read
        self._buffer = b""
        self._start = 0  # of the item, in the buffer
        self._position = 0  # up to where the item was looked at, in the buffer
        self._dropped = 0  # bytes of the item that are no longer in the buffer
        self._open = bytearray()  # the brackets open inside the item
        self._in_string = False
        self._keys: set[str] = set()  # with which the items read so far begin

    def __iter__(self) -> Iterator[Record]:
        """Yield the items.

        Raises
        ------
        InputError
            When the list ends in the middle, or is followed by something else.
        """
        while not self._buffer.strip(SPACE):
            self._buffer = self.source.read()
        self._begin_item(self._buffer.index(b"[") + 1)
        is_end = False
        while not is_end:
            self._number += 1
            stop = self._scan()
            if stop is _Stop.COMMA and _BARE_KEY.match(self._buffer, self._start):
                self._open += b"{"  # it was lost: the item ends where it would be closed
                stop = self._scan()
            if stop in (_Stop.COMMA, _Stop.LIST_END):
                raw = self._buffer[self._start : self._position - 1]
                if stop is _Stop.LIST_END and not raw.strip(SPACE):
                    self._number -= 1  # an empty list, or a comma after the last item
                    break
                record, is_end = self._whole_item(raw, stop)
            elif stop is _Stop.TOO_LARGE and _damage(self._buffer[self._start :], is_open=True) is None:
                record, is_end = self._pass_over()
            else:
                record, is_end = self._recover(stop)
            if record.values and len(self._keys) < _MAX_KEYS:
                self._keys.add(next(iter(record.values)))
            yield record
        self._refuse_more()

    def _begin_item(self, start: int) -> None:
        self._start = self._position = start
        self._dropped = 0
        self._open.clear()
        self._in_string = False

    def _record(self, raw: bytes) -> Record:
        if len(raw) > self.limit:
            return too_large(f"Item {self._number}", len(raw), self.limit)
        return parsed_record(raw, f"Item {self._number}")

    def _more(self, keep: int) -> bool:
        """Read on, keeping the buffer from an index on; False at the end of the file."""
        chunk = self.source.read()
        self._dropped += max(keep - self._start, 0)
        self._start = max(self._start - keep, 0)
        self._position -= keep
        self._buffer = self._buffer[keep:] + chunk
        return bool(chunk)

    def _scan(self, is_held: bool = True) -> _Stop:
        """Move the position beyond the end of the item; unless it is held, its bytes are dropped on the way."""
        while (stop := self._scan_buffer()) is None:
            self._position = keep = len(self._buffer)
            if is_held:
                if self._position - self._start > self.limit:
                    return _Stop.TOO_LARGE
                keep = self._start
            elif (keep - len(self._buffer.rstrip(b"\\"))) % 2:
                keep -= 1  # this backslash escapes what comes next
            if not self._more(keep):
                return _Stop.FILE_END
        return stop

    def _scan_buffer(self) -> _Stop | None:
        """Move the position through the buffer; None when the item goes on beyond it."""
        buffer, position, opened = self._buffer, self._position, self._open
        while True:
            if self._in_string:
                position = buffer.find(b'"', position)
                if position < 0:
                    return None
                before = position
                while before > 0 and buffer[before - 1] == _BACKSLASH:
                    before -= 1
                self._in_string = (position - before) % 2 == 1
                position += 1
                continue
            match = (_INSIDE if opened else _OUTSIDE).search(buffer, position)
            if match is None:
                return None
            position = match.end()
            byte = buffer[position - 1]
            if byte == _QUOTE:
                self._in_string = True
            elif byte in b"[{":
                opened.append(byte)
            elif opened and byte - 2 == opened[-1]:  # in ASCII a bracket stands two before the one that closes it
                opened.pop()
            else:
                self._position = position
                if opened or byte == b"}"[0]:
                    return _Stop.MISMATCH
                return _Stop.COMMA if byte == _COMMA else _Stop.LIST_END

    def _whole_item(self, raw: bytes, stop: _Stop) -> tuple[Record, bool]:
        """Return the record of an item that has an end, and whether the list ends there."""
        record = self._record(raw)
        if record.problem and _damage(raw) is not None:
            nested = _nested_objects(raw)
            for cut in self._item_starts(self._start):
                if cut < self._position and cut - self._start not in nested:  # the count made it a part of this item
                    return self._cut_at(cut), False
        self._begin_item(self._position)
        return record, stop is _Stop.LIST_END

    def _pass_over(self) -> tuple[Record, bool]:
        """Go to the end of an item that is too large; return its record and whether the list ends there."""
        stop = self._scan(is_held=False)
        if stop is _Stop.MISMATCH:
            return self._search()
        if stop is _Stop.FILE_END:
            raise self._truncated()
        record = too_large(f"Item {self._number}", self._dropped + self._position - 1 - self._start, self.limit)
        self._begin_item(self._position)
        return record, stop is _Stop.LIST_END

    def _recover(self, stop: _Stop) -> tuple[Record, bool]:
        """Go from an item without an end to the next one; return its record and whether the list ends there."""
        raw = self._buffer[self._start :]
        damage = _damage(raw, is_open=True)
        if damage is None:
            if stop is not _Stop.MISMATCH:
                raise self._truncated()
            damage = self._position - self._start
        nested = _nested_objects(raw[:damage])
        for cut in self._item_starts(self._start):
            if cut - self._start not in nested:
                return self._cut_at(cut), False
        self._position = max(len(self._buffer) - _TAIL_BYTES, self._start)
        return self._search()

    def _search(self) -> tuple[Record, bool]:
        """Read on from the position to the next item; return the damaged item's record and whether the list ends."""
        while True:
            for cut in self._item_starts(self._position):
                return self._cut_at(cut), False
            end = len(self._buffer)
            self._position = max(end - _TAIL_BYTES, self._position)
            is_held = self._dropped + end - self._start <= self.limit
            if not self._more(self._start if is_held else self._position):
                break
        end = len(self._buffer.rstrip(SPACE)) - 1
        if self._buffer[max(end, 0) : end + 1] != b"]":
            raise self._truncated()
        record = self._cut_at(end)
        self._begin_item(len(self._buffer))
        return record, True

    def _cut_at(self, end: int) -> Record:
        """Return the record of the damaged item up to an index of the buffer, where the next one begins."""
        if self._dropped:
            record = too_large(f"Item {self._number}", self._dropped + end - self._start, self.limit)
        else:
            record = self._record(self._buffer[self._start : end])
        self._begin_item(end)
        return record

    def _item_starts(self, position: int) -> Iterator[int]:
        """Yield where in the buffer an object begins as items do, and not as the value of a key or the first in a list.

        Items begin with a brace and a first key that other items, or this one, have.
        """
        keys = {json.dumps(key, ensure_ascii=is_ascii).encode() for key in self._keys for is_ascii in (True, False)}
        own = _FIRST_KEY.match(self._buffer, self._start)
        if own and not self._dropped:
            keys.add(own[1])
        pattern = b"|".join(map(re.escape, sorted(keys))) or _ANY_KEY
        for match in re.compile(rb"\{\s*(?:" + pattern + rb")\s*:").finditer(self._buffer, position):
            before = match.start() - 1
            while before >= self._start and self._buffer[before] in SPACE:
                before -= 1
            if before >= self._start and self._buffer[before] not in b":[":
                yield match.start()

    def _truncated(self) -> InputError:
        return InputError(
            f"{self.source.file}: is not valid JSON: the list ends in the middle of item {self._number}, after "
            f"{self._number - 1} whole item(s); the file was cut off while it was written or copied, or a quote or "
            f"bracket is missing there. Copy it again in full, or mend its end (or write JSON Lines, of which a cut "
            f"costs one row only)."
        )

    def _refuse_more(self) -> None:
        """Raise InputError when something follows the list."""
        after = self._buffer[self._position :]
        while not after.strip(SPACE):
            after = self.source.read()
            if not after:
                return
        rest = after.lstrip(SPACE)
        raise InputError(
            f"{self.source.file}: is not valid JSON: the list ends after {self._number} item(s), but at byte "
            f"{self.source.consumed - len(rest)} more follows: {rest[:40].decode(errors='replace')!r}. Join several "
            f"lists to one, or mend the bracket; for lists in lines set predictions.format to jsonl."
        )


def _damage(raw: bytes, is_open: bool = False) -> int | None:
    """Return at which byte some JSON text is malformed; None when it is not, or only because an open end is missing."""
    try:
        json.loads(raw.decode("latin-1"))  # one character per byte, and the syntax is all ASCII
    except json.JSONDecodeError as error:
        rest = raw[error.pos :].rstrip(SPACE)
        is_cut = error.msg.startswith("Unterminated string") or any(text.startswith(rest) for text in _LITERALS)
        is_cut = is_cut or ("escape" in error.msg and len(rest) < len("\\u1234"))
        return None if is_open and is_cut else error.pos
    except (RecursionError, ValueError):  # well-formed as far as it was read
        return None
    return None


def _nested_objects(raw: bytes) -> set[int]:
    """Return where the objects inside an item begin, by its brackets outside of strings."""
    found, depth = set(), 0
    for token in _TOKENS.finditer(raw):
        bracket = token[0]
        if bracket in (b"{", b"["):
            if depth and bracket == b"{":
                found.add(token.start())
            depth += 1
        elif bracket in (b"}", b"]"):
            depth -= 1
    return found
