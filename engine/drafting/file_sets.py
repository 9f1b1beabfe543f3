"""Which files a config for a file, a folder or a pattern reads, which lie near them, and one path for several."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from engine.errors import ConfigError, InputError
from engine.inputs.files import input_files
from engine.inputs.formats import AUTO, READERS, files_of_folder, is_readable, reader_of
from engine.inputs.readers.record import Limits

JOINED = ("batch", "langfuse")
"""Formats whose prompts, labels or scores lie in files of their own."""
_PLAIN = ("json", "jsonl", "csv", "parquet")
"""Formats of such files."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files that a path stands for.

    Attributes
    ----------
    path
        What ``predictions.path`` will be: what was given, or where that holds other files too, a path to its own alone.
    files
        The files of the log.
    others
        Files that the given path stands for as well, which hold no answers.
    near
        Files that may hold what a log lacks, place by place, the nearest first, with those of ``others``.
    """

    path: str
    files: list[Path]
    others: list[Path] = field(default_factory=list)
    near: Iterable[list[Path]] = ()


def file_set(path: str) -> FileSet:
    """Return the files of a log among those that a path stands for.

    Raises
    ------
    ConfigError
        When a folder holds other files as well, and no pattern names those of the log alone.
    InputError
        When there is no such file, or one cannot be opened.
    """
    files = input_files(path)
    place = Path(path)
    if place.is_file():
        return FileSet(path, files, near=[_readable(place.parent, files)])
    if place.is_dir() and files_of_folder(place):
        return FileSet(path, files)
    formats = {file: _format_of(file) for file in files}
    joined = {name for name in formats.values() if name in JOINED}
    if len(joined) != 1:
        return FileSet(path, files)
    own = [file for file, name in formats.items() if name in joined]
    others = [file for file, name in formats.items() if name not in joined]
    if any(formats[file] not in _PLAIN for file in others):
        return FileSet(path, files)
    near = _near(place, own)
    if not others:
        return FileSet(path, files, near=near)
    named = path_of(own)
    if named is None:
        raise ConfigError(
            f"{path}: {_shown(own)} hold answers ({joined.pop()}) and {_shown(others)} do not, and no pattern names "
            f"the first alone: move them to a folder of their own, and give that."
        )
    return FileSet(named, own, others, near)


def path_of(files: Sequence[Path]) -> str | None:
    """Return what stands for some files and no others: a name, a folder or a pattern; None where nothing does."""
    if len(files) == 1:
        return str(files[0])
    wanted = sorted(files)
    folder = files[0].parent
    if _readable(folder, []) == wanted and not files_of_folder(folder):
        return str(folder)
    for pattern in _patterns(wanted):
        if sorted(map(Path, glob.glob(pattern, recursive=True))) == wanted:  # noqa: PTH207 - as input_files reads it
            return pattern
    return None


def _format_of(file: Path) -> str:
    reader = reader_of(file, AUTO, Limits())
    return next(name for name, known in READERS.items() if known is reader)


def _near(place: Path, own: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the files beside those of a log, then those of the folder above, then those of the folders in that.

    Folders with logs of their own are left out: what lies in them is theirs.
    """
    folders = list(dict.fromkeys(file.parent for file in own))
    yield [file for folder in folders for file in _readable(folder, own)]
    if place.is_dir() or len(folders) > 1:
        top = Path(os.path.commonpath(folders))
        above = top if len(folders) > 1 else top.parent if top.name else Path("..")
        if above not in folders:
            yield _readable(above, own)
        inside = (_readable(inner, own) for inner in _visible(above) if inner.is_dir() and inner not in folders)
        yield [file for files in inside if not any(map(_is_log, files)) for file in files]


def _is_log(file: Path) -> bool:
    try:
        return _format_of(file) in JOINED
    except InputError:
        return False


def _readable(folder: Path, without: Sequence[Path]) -> list[Path]:
    """Return the files of a folder that some reader reads, but for some of them."""
    left_out = set(without)
    return [file for file in _visible(folder) if file not in left_out and file.is_file() and is_readable(file)]


def _visible(folder: Path) -> list[Path]:
    """Return what a folder holds, without what is hidden; nothing where it cannot be looked into."""
    try:
        return sorted(inner for inner in folder.iterdir() if not inner.name.startswith("."))
    except OSError:
        return []


def _patterns(files: Sequence[Path]) -> Iterator[str]:
    """Yield patterns that stand for files at least, from the plainest on; none for files of different depths."""
    if len({len(file.parts) for file in files}) > 1:
        return
    steps = list(zip(*(file.parts for file in files), strict=True))
    for is_narrow in (False, True):
        yield str(Path(*(_pattern(sorted(set(names)), is_narrow=is_narrow) for names in steps)))


def _pattern(names: Sequence[str], *, is_narrow: bool) -> str:
    """Return what names begin and end with, around a ``*``; narrow: with the signs that they go on with before it."""
    if len(names) == 1:
        return glob.escape(names[0])
    start = _common_start(names)
    rests = [name[len(start) :] for name in names]
    end = _common_start([rest[::-1] for rest in rests])[::-1]
    signs = sorted({rest[: len(rest) - len(end)][:1] for rest in rests})
    choice = f"[{''.join(signs)}]" if is_narrow and all(signs) and not set(signs) & set("]-!^") else ""
    return f"{glob.escape(start)}{choice}*{glob.escape(end)}"


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(sign for sign, _ in same)


def _shown(files: Sequence[Path]) -> str:
    names = [str(file) for file in files[:3]]
    return ", ".join([*names, *(["…"] if len(files) > 3 else [])])
