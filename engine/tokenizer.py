"""Loading the tokenizer: without weights, without a network, with clear errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2

from engine.config import Config
from engine.errors import ConfigError
from engine.lent_models import lent_model


def load_tokenizer(config: Config) -> Any:
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
        )
    except Exception as error:  # transformers raises many types here
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


def transcript_layouts(tokenizer: Any, template: str | None) -> tuple[re.Pattern[str], ...]:
    """Return what a rendered conversation with an answer looks like, with special tokens and without them.

    The template is rendered around marks, and the text between the marks becomes a pattern with the groups ``system``,
    ``user`` and ``response``; the first text that fits counts. Templates that refuse a system part, or tell their roles
    by special tokens only, have fewer layouts or none.
    """
    if template is None:
        return ()
    marks = {"system": "\ue000s\ue001", "user": "\ue000u\ue001"}
    dropped = _special_tokens(tokenizer)
    layouts = []
    for roles in (("system", "user"), ("user",)):
        try:
            rendered = tokenizer.apply_chat_template(
                [{"role": role, "content": marks[role]} for role in roles],
                chat_template=template, tokenize=False, add_generation_prompt=True,
            )  # fmt: skip
        except (jinja2.TemplateError, TypeError, ValueError):
            continue
        for text in dict.fromkeys((rendered, dropped.sub("", rendered))):
            pieces = re.split("|".join(map(re.escape, marks.values())), text)
            if len(pieces) == len(roles) + 1 and all(piece.strip() for piece in pieces[1:]):
                parts = (f"(?P<{role}>.*?){_loosely(piece)}" for role, piece in zip(roles, pieces[1:], strict=True))
                end = rf"(?P<response>.*?)(?:(?:{dropped.pattern})\s*)*\Z"
                layouts.append(re.compile(rf"\s*{_loosely(pieces[0])}{''.join(parts)}{end}", re.DOTALL))
    return tuple(layouts)


def _loosely(text: str) -> str:
    """Return a pattern of a text in which line ends may be Windows' ones."""
    return re.escape(text).replace("\\\n", r"\r?\n")


def without_special_tokens(tokenizer: Any, text: str) -> str:
    """Return a text without the tokenizer's special tokens and without white space: what a stripped transcript says."""
    return "".join(_special_tokens(tokenizer).sub(" ", text).split())


def _special_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Return a pattern of every token that decoding leaves out, the longest first."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    special = sorted({*map(str, tokenizer.all_special_tokens), *added}, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, special)) or r"(?!)")


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
