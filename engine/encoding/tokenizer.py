"""Loading the tokenizer: without weights, without a network, with clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from engine.config import Config
from engine.errors import ConfigError
from engine.model.checkpoints.folders import refuse_missing_folder
from engine.model.checkpoints.gguf import told_of_gguf
from engine.model.lent import lent_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(config: Config) -> PreTrainedTokenizerBase:
    """Return the run's fast tokenizer, or the one that is lent.

    Raises
    ------
    ConfigError
        When it cannot be loaded or has no character offsets (a slow tokenizer).
    """
    from transformers import AutoTokenizer

    lent = lent_model()
    if lent is not None:
        return lent.tokenizer
    key = "model.tokenizer" if config.model.tokenizer else "model.path"
    path = config.model.tokenizer or config.model.path
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path,
            revision=None if config.model.tokenizer else config.model.revision,
            trust_remote_code=config.model.trust_remote_code,
            **({} if config.model.tokenizer else told_of_gguf(config.model)),
        )
    except Exception as error:  # transformers raises many types here
        refuse_missing_folder(key, path)
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"{key}: no tokenizer could be loaded from {path!r}: {reason} Give a folder that holds tokenizer.json, or "
            f"the name of a model on the hub that this machine can reach or has in its cache."
        ) from None
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"{key}: the tokenizer of {path!r} gives no character offsets (it is a slow tokenizer), "
            f"which decision positions and key groups need; use its fast version."
        )
    return tokenizer


def chat_template(config: Config, tokenizer: Any) -> str | None:
    """Return the template that renders prompts; None when prompts are plain text.

    ``prompt.chat_template`` is null (the tokenizer's own), ``none`` (no template), a file or the template itself.

    Raises
    ------
    ConfigError
        When neither the config nor the tokenizer has a template.
    """
    given = config.prompt.chat_template
    if given == "none":
        return None
    if given is not None:
        text = given if "{" in given else _read_template(given)
        _check_template(text, "prompt.chat_template")
        return text
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            "prompt.chat_template: this tokenizer has no chat template; give a Jinja template or the path of one, "
            "or `none` to join the messages as plain text."
        )
    return tokenizer.chat_template


def _read_template(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"prompt.chat_template: {path!r} is neither a Jinja template, nor a readable file, nor `none`."
        ) from None


def _check_template(text: str, where: str) -> None:
    try:
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{where}: is not a valid Jinja template: line {error.lineno}: {error.message}.") from None
    except (RecursionError, ValueError, MemoryError) as error:
        raise ConfigError(
            f"{where}: cannot be read as a Jinja template: it is nested too deeply, or holds a value that Python "
            f"refuses ({' '.join(str(error).split())[:100]})."
        ) from None
