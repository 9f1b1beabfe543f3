"""Inspect: ``.eval`` archives, with samples in one piece or in chunks, and ``.json`` logs.

Source: ``src/inspect_ai/log/_recorders/eval.py``, ``_recorders/json.py``, ``_recorders/chunked/format.py`` and
``read.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.inputs.readers.evaluations.inspect_samples import LogHeader, attached, sample_record
from engine.inputs.readers.evaluations.json_member import MemberList
from engine.inputs.readers.evaluations.log_records import holds, items_of
from engine.inputs.readers.evaluations.zip_members import MemberError, ZipMembers
from engine.inputs.readers.json_files.json_text import parsed_record
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import EmptyFileError, Limits, Record, too_large
from engine.inputs.readers.text_source import TextSource

_WHOLE = re.compile(r"samples/([^/]+)\.json")
_SHELL = re.compile(r"(samples/[^/]+)/sample\.json")
_PART = re.compile(r"(samples/[^/]+)/(?:messages|attachments)/\d+\.json")
_BESIDE = frozenset(("logs.json", "eval-set.json", "listing.json"))
"""What a set of evaluations, or the viewer, writes into a folder of logs."""
_SAMPLE_LIMITS = 4
"""How many times larger than a row a whole sample may be: most of it are events, which are not kept."""


class InspectReader(Reader):
    """The log of one evaluation of Inspect."""

    suffixes = (".eval", ".json")

    def files_in(self, folder: Path) -> list[Path]:
        """Return the logs of a folder that holds nothing else but what Inspect writes beside them."""
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        logs = [file for file in files if file.suffix.lower() in self.suffixes and file.name not in _BESIDE]
        is_own = bool(logs) and len(logs) == sum(file.name not in _BESIDE for file in files)
        return logs if is_own and len(logs) < len(files) else []

    def recognises(self, head: FileHead) -> bool:
        """Whether it is an archive, or an object with a status and an evaluation."""
        return head.suffix == ".eval" or (head.first_byte() == b"{" and holds(head, "version", "status", "eval"))

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per sample and epoch."""
        if file.suffix.lower() == ".eval":
            if not file.stat().st_size:
                raise EmptyFileError(f"{file}: the file is empty; it must hold the log of an evaluation.")
            yield from _archived(file, limits, on_bytes)
            return
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            source.first_byte()
            samples = MemberList(source, ("samples",), limits.row_bytes)
            header = LogHeader.of(samples.head)
            for record in samples:
                yield sample_record(record, header)


def _archived(file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
    limit = limits.row_bytes * _SAMPLE_LIMITS
    reported = 0
    halves: set[str] = set()
    with ZipMembers(file) as members:
        header = LogHeader.of(_header(members))
        for name in members.entries:
            whole, shell, part = _WHOLE.fullmatch(name), _SHELL.fullmatch(name), _PART.fullmatch(name)
            if part is not None and part[1] not in halves and f"{part[1]}/sample.json" not in members.entries:
                halves.add(part[1])
                yield Record({}, f"Sample {part[1]} is half written: it has {name} and no sample.json.")
            if whole is None and shell is None:
                continue
            try:
                record = _whole(members, name, limit) if shell is None else _chunked(members, shell[1], limit)
            except MemberError as error:
                record = Record({}, f"Sample {error}")
            yield sample_record(record, header)
            if on_bytes:
                reported += members.entries[name].compress_size
                on_bytes(members.entries[name].compress_size)
    if on_bytes and file.stat().st_size > reported:
        on_bytes(file.stat().st_size - reported)


def _header(members: ZipMembers) -> Mapping[str, object]:
    """Return the header; of a log whose evaluation is under way or was killed, what it began with."""
    for name in ("header.json", "_journal/start.json"):
        if name in members.entries:
            try:
                found = json.loads(members.read(name))
            except (MemberError, ValueError):
                continue
            if isinstance(found, dict):
                return found
    return {}


def _whole(members: ZipMembers, name: str, limit: int) -> Record:
    size = members.size(name)
    return too_large(f"Sample {name}", size, limit) if size > limit else parsed_record(members.read(name), name)


def _chunked(members: ZipMembers, prefix: str, limit: int) -> Record:
    """Return a sample of which messages and attachments lie in members of their own."""
    names = [f"{prefix}/sample.json", *_chunks(members, f"{prefix}/messages/")]
    texts = _chunks(members, f"{prefix}/attachments/")
    size = sum(map(members.size, [*names, *texts]))
    if size > limit:
        return too_large(f"Sample {prefix}", size, limit)
    record = parsed_record(members.read(names[0]), names[0])
    if record.problem:
        return record
    attachments = {str(place): text for place, text in enumerate(_items(members, texts))}
    pool = _items(members, names[1:])
    wanted = max((last for _, last in _ranges(record.values.get("message_refs"))), default=0)
    if wanted > len(pool):
        raise MemberError(f"{prefix} is half written: it refers to {wanted} messages, of which {len(pool)} are there.")
    messages = [message for first, last in _ranges(record.values.get("message_refs")) for message in pool[first:last]]
    metadata = f"{prefix}/metadata.json"
    if metadata in members.entries:
        record.values["metadata"] = _parsed(members, metadata)
    record.values["messages"] = messages
    return Record(dict(attached(record.values, attachments)), repeated_keys=record.repeated_keys)


def _chunks(members: ZipMembers, prefix: str) -> list[str]:
    """Return the members of a sequence in order; each is named by the number of its first item."""
    starts = {name: name[len(prefix) :].removesuffix(".json") for name in members.in_folder(prefix)}
    return sorted((name for name, start in starts.items() if start.isdigit()), key=lambda name: int(starts[name]))


def _items(members: ZipMembers, names: list[str]) -> list[Any]:
    items: list[Any] = []
    for name in names:
        items += items_of(_parsed(members, name))
    return items


def _parsed(members: ZipMembers, name: str) -> object:
    try:
        return json.loads(members.read(name))
    except (ValueError, RecursionError) as error:
        raise MemberError(f"{name} is not valid JSON: {error}.") from None


def _ranges(refs: object) -> Iterator[tuple[int, int]]:
    """Yield the ranges of messages, each without its end."""
    for first, last in (pair for pair in items_of(refs) if isinstance(pair, list) and len(pair) == 2):
        yield int(first), int(last)
