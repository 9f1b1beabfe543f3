"""Which files hold the predictions: a file, a pattern or a folder, found and never opened."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from engine.errors import InputError, check_names
from engine.inputs.formats import (
    AUTO,
    check_file,
    check_format,
    files_of_folder,
    is_readable,
    known_suffixes,
    remedy_of,
)
from engine.inputs.readers.evaluations.helm_runs.helm import STATE, STATS

_DEEPEST = 3
"""Levels of folders in which files are looked for, for a message."""
_MOST_FOLDERS = 4


def input_files(path: str, file_format: str = AUTO) -> list[Path]:
    """Return the files that a ``predictions.path`` names, in the order in which they are read.

    Parameters
    ----------
    path
        A file; a glob pattern such as ``preds/*.jsonl.gz`` or ``preds/**/*.parquet``; or a folder, which stands for
        all files directly in it whose suffix is known, or for the files that its format names (a run of HELM, a saved
        dataset). Hidden files are left out of patterns and folders.
    file_format
        A name in ``READERS``, or ``auto``, with which every file needs a known suffix.

    Raises
    ------
    ConfigError
        When there is no such format.
    InputError
        When there is no such file, the pattern matches none, the folder has none, or a suffix is unknown.
    """
    check_format(file_format)
    place = Path(path)
    if place.is_dir():
        files = files_of_folder(place, file_format) or [file for file in _visible_files(place) if is_readable(file)]
        if not files:
            others = {remedy_of(file) for file in _visible_files(place)} - {""}
            if others:
                raise InputError(
                    f"{path}: the folder holds no file that can be read; what it holds {'; '.join(sorted(others))}."
                )
            inside = _folders_with_files(place, file_format)
            if inside:
                shown = ", ".join([*map(str, inside[:_MOST_FOLDERS]), *(["…"] if inside[_MOST_FOLDERS:] else [])])
                raise InputError(
                    f"{path}: the folder itself holds no file of predictions; folders in it do: {shown}. Name one."
                )
            raise InputError(f"{path}: the folder holds no file of predictions; known suffixes are {known_suffixes()}.")
    elif place.is_file():
        files = [place]
    elif glob.has_magic(path):
        matches = {Path(name) for name in glob.glob(path, recursive=True)}  # noqa: PTH207 - takes absolute patterns too
        files = sorted(file for file in matches if file.is_file())
        if not files:
            raise InputError(f"{path}: no file matches this pattern. predictions.path must name files that exist.")
    else:
        what = "is neither a file nor a folder" if place.exists() else "no such file"
        raise InputError(f"{path}: {what}. predictions.path must name the file of recorded predictions.")
    check_names(files)
    for file in files:
        check_file(file, file_format)
    return files


def _folders_with_files(folder: Path, file_format: str, depth: int = _DEEPEST) -> list[Path]:
    """Return the folders in a folder that hold files which can be read, without looking further inside those."""
    found: list[Path] = []
    for inner in sorted(inner for inner in folder.iterdir() if inner.is_dir() and not inner.name.startswith(".")):
        try:
            holds_any = bool(files_of_folder(inner, file_format)) or any(map(is_readable, _visible_files(inner)))
        except InputError:
            holds_any = True  # of several splits
        if holds_any:
            found.append(inner)
        elif depth > 1:
            found += _folders_with_files(inner, file_format, depth - 1)
    return found


def beside(files: Iterable[Path]) -> list[Path]:
    """Return the files that are read with others because they lie beside them: the scores of a run of HELM."""
    scores = (file.with_name(STATS) for file in files if file.name == STATE)
    return [file for file in scores if file.is_file()]


def ignored_files(path: str) -> list[Path]:
    """Return the files of a folder that are not read because their suffix is unknown; none unless it is a folder."""
    place = Path(path)
    if not place.is_dir() or files_of_folder(place):
        return []
    return [file for file in _visible_files(place) if not is_readable(file)]


def total_bytes(files: Iterable[Path]) -> int:
    """Return the size on disk of all files, in bytes: what ``on_bytes`` adds up to."""
    return sum(file.stat().st_size for file in files)


def _visible_files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {error.strerror}. Check its permissions.") from None
