"""GGUF files (llama.cpp, Ollama), which transformers unpacks to floating numbers when it loads them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from engine.config.model import ModelSection
from engine.errors import ConfigError


def told_of_gguf(section: ModelSection) -> dict[str, str]:
    """Return what transformers' ``from_pretrained`` is told of a GGUF file; nothing where the model is none."""
    return {} if section.gguf_file is None else {"gguf_file": section.gguf_file}


def check_gguf(section: ModelSection) -> None:
    """Refuse a GGUF file that is not there, or that nothing here can read.

    Raises
    ------
    ConfigError
        Saying what is missing.
    """
    if section.gguf_file is None:
        return
    folder = Path(section.path)
    if folder.is_dir() and not (folder / section.gguf_file).is_file():
        found = sorted(file.name for file in folder.glob("*.gguf"))
        has = f"it holds {', '.join(found[:5])}" if found else "it holds no GGUF file"
        raise ConfigError(f"model.gguf_file: there is no {section.gguf_file!r} in {section.path!r}; {has}.")
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError(
            f"model.gguf_file: {section.gguf_file!r} is read by the package gguf, which is not installed here: pip "
            f"install 'headledger[gguf]', on every node of the run; or give the folder of the original safetensors."
        )
