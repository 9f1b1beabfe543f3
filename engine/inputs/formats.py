"""The formats of predictions, by the names that ``predictions.format`` has for them, and which of them a file is of."""

from __future__ import annotations

import difflib
from pathlib import Path

from engine.errors import ConfigError, InputError
from engine.inputs.readers.arrow import ArrowReader
from engine.inputs.readers.delimited import CsvReader
from engine.inputs.readers.evaluations.batch import BatchReader
from engine.inputs.readers.evaluations.chat_export import ChatExportReader
from engine.inputs.readers.evaluations.every_eval import EveryEvalReader
from engine.inputs.readers.evaluations.helm_runs.helm import HelmReader
from engine.inputs.readers.evaluations.inspect_log import InspectReader
from engine.inputs.readers.evaluations.langfuse import LangfuseReader
from engine.inputs.readers.evaluations.lighteval import LightEvalReader
from engine.inputs.readers.evaluations.lm_eval import LmEvalReader
from engine.inputs.readers.evaluations.promptfoo import PromptfooReader
from engine.inputs.readers.json_files.json_document import JsonReader
from engine.inputs.readers.json_files.json_lines import JsonLinesReader
from engine.inputs.readers.parquet import ParquetReader
from engine.inputs.readers.reader import FileHead, Reader, bare_suffix
from engine.inputs.readers.record import Limits
from engine.inputs.readers.text_source import COMPRESSIONS, compression_of

AUTO = "auto"
"""With this for a format, suffix and content of each file decide."""

READERS: dict[str, Reader] = {
    "json": JsonReader(),
    "jsonl": JsonLinesReader(),
    "parquet": ParquetReader(),
    "csv": CsvReader(),
    "arrow": ArrowReader(),
    "lm-eval": LmEvalReader(),
    "inspect": InspectReader(),
    "every-eval-ever": EveryEvalReader(),
    "batch": BatchReader(),
    "lighteval": LightEvalReader(),
    "helm": HelmReader(),
    "promptfoo": PromptfooReader(),
    "langfuse": LangfuseReader(),
    "chat-export": ChatExportReader(),
}
"""One row per format. Of several that recognise a file the last counts, so that a more particular format stands below
the general one whose suffix it shares."""


_SHEET = "save the sheet as CSV UTF-8, or write it as JSON Lines or Parquet"
_ARCHIVE = "unpack it, and give the file or the folder"
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), f"is a spreadsheet: {_SHEET}"),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), f"is an archive: {_ARCHIVE}"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".npy", ".npz", ".joblib"), "holds Python objects: write JSON Lines"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "is a database: write its table as CSV, JSON Lines or Parquet"),
    **dict.fromkeys((".orc", ".avro"), "is a table of another kind: write it as Parquet"),
    **dict.fromkeys((".xml", ".html", ".yaml", ".yml"), "is a text of another format: write JSON Lines"),
}
"""What can be done with files that no reader reads, by their suffix."""


def remedy_of(file: Path) -> str:
    """Return what a file of another kind is, and what to do with it; nothing where that is not known."""
    name = file.with_suffix("").suffix + file.suffix if file.suffix in COMPRESSIONS else file.suffix
    return _REMEDIES.get(file.suffix.lower(), _REMEDIES[".tar"] if name.lower().startswith(".tar.") else "")


def check_format(name: str) -> None:
    """Refuse a ``predictions.format`` that there is none of.

    Raises
    ------
    ConfigError
        Naming the nearest format and all others.
    """
    known = (AUTO, *READERS)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"predictions.format: {name!r} is no format that can be read{hint}; give {_either(known)}.")


def is_readable(file: Path) -> bool:
    """Whether some format has the suffix of a file."""
    return bool(_formats_by_suffix(file))


def check_file(file: Path, file_format: str = AUTO) -> None:
    """Refuse a file of which no reader can be chosen, by its name alone.

    Parameters
    ----------
    file
        The file.
    file_format
        A name in ``READERS``, or ``auto``.

    Raises
    ------
    ConfigError
        When there is no such format.
    InputError
        When no format has the file's suffix and none was stated, or the stated one cannot be compressed from outside.
    """
    check_format(file_format)
    compression = compression_of(file)
    if file_format != AUTO:
        if compression and not READERS[file_format].is_compressible:
            name = file_format.title()
            raise InputError(
                f"{file}: a {name} file compressed with {compression} cannot be read in parts; decompress it first "
                f"({name} is compressed inside)."
            )
    elif not is_readable(file):
        if remedy := remedy_of(file):
            raise InputError(f"{file}: {remedy}. Known suffixes are {known_suffixes()}.")
        shown = "".join(file.suffixes[-2:]) if compression else file.suffix
        raise InputError(f"{file}: unknown suffix {shown!r}; known are {known_suffixes()}. Or set predictions.format.")


def reader_of(file: Path, file_format: str, limits: Limits) -> Reader:
    """Return the reader of a file that ``check_file`` let pass.

    The stated format's, or else that of the last format in ``READERS`` that has the file's suffix and recognises its
    content; where none does, the first one's with the suffix, which says what is wrong.

    Raises
    ------
    InputError
        When the file cannot be opened or decompressed.
    """
    if file_format != AUTO:
        return READERS[file_format]
    first, *others = (READERS[name] for name in _formats_by_suffix(file))
    head = FileHead(file, limits)
    return next((reader for reader in reversed(others) if reader.recognises(head)), first)


def files_of_folder(folder: Path, file_format: str = AUTO) -> list[Path]:
    """Return the files to read of a folder that is of one format as a whole; none where it is of none.

    Raises
    ------
    InputError
        When it is, and which of its files are meant cannot be told.
    """
    readers = READERS.values() if file_format == AUTO else (READERS[file_format],)
    return next((files for reader in readers if (files := reader.files_in(folder))), [])


def known_suffixes() -> str:
    """Return what suffixes files may have, for a message."""
    suffixes = sorted({suffix for reader in READERS.values() for suffix in reader.suffixes})
    return f"{', '.join(suffixes)}, the text formats also with {', '.join(COMPRESSIONS)} added"


def _formats_by_suffix(file: Path) -> list[str]:
    suffix, is_compressed = bare_suffix(file), bool(compression_of(file))
    return [
        name
        for name, reader in READERS.items()
        if suffix in reader.suffixes and (reader.is_compressible or not is_compressed)
    ]


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
