"""Fingerprints of a model, its tokenizer and the input: what a run was made of, and whether it still is that.

A fingerprint says of which kind it is. ``sha256`` covers whole files; those that older versions made of a file above
64 MiB cover its size and 64 evenly spaced MiB, and are compared by that rule. ``sha256-whole`` covers all of such files
too. Files of a run are looked at when it begins, where they are read, and again before it is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.config import Config
from engine.config.examples import vocabulary_file
from engine.errors import ConfigError, InputError, RunFailedError
from engine.inputs.files import beside, input_files
from engine.machine.atomic_files import sha256
from engine.model.checkpoints.adapters import ADAPTER_PATTERNS
from engine.model.checkpoints.folders import WEIGHT_PATTERNS
from engine.model.lent import lent_model
from engine.schema import layout
from engine.storage.file_digests import FileDigests, Stamp, stamps_of
from engine.storage.json_files import read_json, write_json

_LARGE_BYTES = 64 * 2**20
_PROBE_BYTES = 2**20
_SAMPLED, _WHOLE = "sha256:", "sha256-whole:"

INPUT, MODEL, ADAPTER, TOKENIZER = "input", "model", "adapter", "tokenizer"
LOADED = (MODEL, ADAPTER, TOKENIZER)
"""What replicas load."""
_NAMES = (*LOADED, INPUT, "vocabulary", "chat_template")


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The fingerprints of one moment, and what tells whether they still hold.

    Attributes
    ----------
    config
        The run's config.
    values
        Fingerprint by name: ``model``, ``adapter``, ``tokenizer``, ``input``, and files that the config names.
    digests
        Checksums of the files.
    stamps
        Stamps of the files when they were fingerprinted, by the fingerprint's name.
    """

    config: Config
    values: dict[str, str]
    digests: FileDigests
    stamps: dict[str, dict[str, Stamp]]

    def differing(self, recorded: Mapping[str, str]) -> list[str]:
        """Return the names of the fingerprints that differ from recorded ones."""
        names = [*self.values, *(name for name in recorded if name not in self.values)]
        return [name for name in names if not self._is_same(name, recorded.get(name))]

    def _is_same(self, name: str, recorded: str | None) -> bool:
        value = self.values.get(name)
        if recorded is None or value is None or recorded == value:
            return recorded == value
        is_older = recorded.startswith(_SAMPLED) and value.startswith(_WHOLE)
        if not is_older:
            return False
        files = _files_of(self.config, name) or ()
        return recorded == _joined(name, files, [_sampled_digest(file) for file in files], _SAMPLED)

    def changed(self, names: Iterable[str]) -> list[str]:
        """Return those of the names whose files are not what was fingerprinted any more."""
        return [name for name in names if name in self.stamps and self._has_changed(name)]

    def _has_changed(self, name: str) -> bool:
        try:
            files = _files_of(self.config, name) or ()
            return stamps_of(files) != self.stamps[name] and _value(name, files, self.digests) != self.values[name]
        except (OSError, InputError):
            return True

    def refuse_changes(self, names: Iterable[str], *, consequence: str) -> None:
        """Refuse to go on with files that were changed since they were fingerprinted.

        Raises
        ------
        InputError
            When it is the input.
        ConfigError
            When it is another of them.
        """
        changed = self.changed(names)
        if changed:
            kind = InputError if changed == [INPUT] else ConfigError
            places = {INPUT: self.config.predictions.path, MODEL: self.config.model.path}
            named = ", ".join(f"{name} ({places[name]})" if name in places else name for name in changed)
            raise kind(
                f"{named}: changed while this run worked with it: its files are not those that were fingerprinted when "
                f"the run began. {consequence} Start again once nobody writes to it; a copy of its own keeps a run "
                f"apart from whoever does."
            )

    def write(self, root: Path) -> None:
        """Write them into a folder that replicas read, beside the checksums of files."""
        write_json(root / layout.FINGERPRINTS, {"values": self.values, "files": self.digests.to_json()})


def take_fingerprints(config: Config, root: Path) -> Fingerprints:
    """Return fingerprints of model, tokenizer and input, by which a repeated run is recognised.

    Parameters
    ----------
    config
        The run's config.
    root
        The run directory, whose known checksums are used where files have not changed since.

    Raises
    ------
    InputError
        When the predictions file is missing.
    """
    try:
        known = _written(root).get("files")
    except RunFailedError:  # damaged: every file is read anew, and the file written anew
        known = None
    digests, lent = FileDigests(known), lent_model()
    files = {name: found for name in _NAMES if (found := _files_of(config, name)) is not None}
    stamps = {name: stamps_of(found) for name, found in files.items()}
    values = {} if lent is None else {MODEL: lent.fingerprint(), TOKENIZER: lent.tokenizer_fingerprint()}
    for name, folder in _folders(config).items():
        if lent is None and not Path(folder.path).is_dir():
            values[name] = f"hub:{folder.path}@{folder.revision or 'main'}"
    values |= {name: _value(name, found, digests) for name, found in files.items()}
    return Fingerprints(config, {name: values[name] for name in _NAMES if name in values}, digests, stamps)


def check_model(config: Config, root: Path) -> None:
    """Refuse a model whose files are not those that a run was fingerprinted with; to be called around its loading.

    Files with a known stamp are taken as they are, others are read whole, and what was found is written down for the
    other replicas of this host.

    Raises
    ------
    ConfigError
        Naming the model.
    """
    written = _written(root)
    values, digests = written.get("values"), FileDigests(written.get("files"))
    if not isinstance(values, dict):
        return
    before = digests.to_json()
    for name, path in ((MODEL, config.model.path), (ADAPTER, config.model.adapter and config.model.adapter.path)):
        files = _files_of(config, name)
        if files is not None and _value(name, files, digests) != values.get(name):
            raise ConfigError(
                f"model.{'path' if name == MODEL else 'adapter.path'}: {path!r} is not what this run was fingerprinted "
                f"with: its files were changed since, or this host has others. Nothing of it was measured with them. "
                f"Bring the same files back and start again, or give a run of the new ones another run.name."
            )
    if digests.to_json() != before:
        write_json(root / layout.FINGERPRINTS, {"values": values, "files": digests.to_json()})


def _written(root: Path) -> Mapping[str, object]:
    content = read_json(root / layout.FINGERPRINTS)
    return content if isinstance(content, dict) else {}


class _Folder(NamedTuple):
    """A folder or a name on the hub, and the files in it that a fingerprint covers."""

    path: str
    revision: str | None
    patterns: tuple[str, ...]


def _folders(config: Config) -> dict[str, _Folder]:
    """Return where model, adapter and tokenizer lie."""
    model, words = config.model, ("token*.json", "*.jinja")
    weights = ("config.json", *WEIGHT_PATTERNS) if model.gguf_file is None else (model.gguf_file,)
    if model.gguf_file is not None and not model.tokenizer:
        words = (*words, model.gguf_file)
    found = {MODEL: _Folder(model.path, model.revision, weights)}
    if model.adapter is not None:
        found[ADAPTER] = _Folder(model.adapter.path, model.adapter.revision, ADAPTER_PATTERNS)
    return {**found, TOKENIZER: _Folder(model.tokenizer or model.path, model.revision, words)}


def _files_of(config: Config, name: str) -> list[Path] | None:
    """Return the files behind a fingerprint; None for a model of the hub, one that is lent, and what is not named."""
    if name == INPUT:
        predictions = config.predictions
        files = input_files(predictions.path, predictions.format)
        joined = (file for join in predictions.join for file in input_files(join.path, join.format))
        return list(dict.fromkeys([*files, *beside(files), *joined]))
    if name in LOADED:
        folder = _folders(config).get(name)
        if folder is None or lent_model() is not None or not Path(folder.path).is_dir():
            return None
        return sorted({file for pattern in folder.patterns for file in Path(folder.path).glob(pattern)})
    value = config.vocabulary if name == "vocabulary" else config.prompt.chat_template
    if name == "vocabulary" and isinstance(value, str):
        value = str(vocabulary_file(value))
    return [Path(value)] if isinstance(value, str) and "{" not in value and Path(value).is_file() else None


def _value(name: str, files: Sequence[Path], digests: FileDigests) -> str:
    """Return the fingerprint of files as they are now."""
    is_large = any(file.stat().st_size > _LARGE_BYTES for file in files)
    return _joined(name, files, digests.of(files), _WHOLE if is_large else _SAMPLED)


def _joined(name: str, files: Sequence[Path], digests: Sequence[str], kind: str) -> str:
    """Return the digest of one file, or of the names and digests of several; a model is a folder always."""
    if len(files) == 1 and name not in LOADED:
        return f"{kind}{digests[0]}"
    together = hashlib.sha256()
    for file, digest in zip(files, digests, strict=True):
        together.update(f"{file.name}:{_SAMPLED}{digest}\n".encode())
    return f"{kind}{together.hexdigest()}"


def _sampled_digest(file: Path) -> str:
    """Return what older versions took: of files above 64 MiB the size and 64 evenly spaced MiB."""
    size = file.stat().st_size
    if size <= _LARGE_BYTES:
        return sha256(file)
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        for part in range(64):
            stream.seek(part * (size - _PROBE_BYTES) // 63)
            digest.update(stream.read(_PROBE_BYTES))
    return digest.hexdigest()
