"""Config files: YAML and ``section.key=value`` overrides; errors name the file, the key and the nearest known one."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from engine.config import Config
from engine.errors import ConfigError
from engine.old_config import is_old, translated


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, so that labels such as yes and no stay words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")


def load_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> tuple[Config, dict[str, Any]]:
    """Read a YAML config, or a finished run's ``run.yaml``, and apply overrides.

    Parameters
    ----------
    path
        The file. A ``run.yaml`` is recognised by its ``config`` and ``fingerprints`` sections.
    overrides
        ``section.key=value`` strings; the value is read as YAML.

    Returns
    -------
    tuple of Config and dict
        The validated config and the fingerprints it must match (empty unless the file is a ``run.yaml``).

    Raises
    ------
    ConfigError
        When the file is missing or not YAML, or a key or value is not allowed.
    """
    path = Path(path)
    tree = _read_yaml(path)
    fingerprints: dict[str, Any] = {}
    if "fingerprints" in tree and isinstance(tree.get("config"), dict):
        fingerprints, tree = tree["fingerprints"], tree["config"]
    if is_old(tree):
        tree, _ = translated(tree)
    for override in overrides:
        _apply_override(tree, override)
    if tree.get("causal", {}) is None:  # switched off
        del tree["causal"]
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain_errors(error, path)) from None
    _find_relative_paths(config, path.parent)
    return config, fingerprints


def translation_lines(path: str | Path) -> list[str]:
    """Return the new YAML of an old script's config and what changed, for a person; nothing for other files.

    Raises
    ------
    ConfigError
        When the file is missing or not YAML.
    """
    tree = _read_yaml(Path(path))
    if not is_old(tree):
        return []
    new, changes = translated(tree)
    text = yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=110).rstrip()
    return [
        f"{path} is a config of the old script. In today's keys it reads:", "", text, "", "What changed:",
        *(f"  * {change}" for change in changes), "",
    ]  # fmt: skip


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file. Start from config/demo.yaml or config/full.yaml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a UTF-8 text file: {error}.") from None
    try:
        tree = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold sections such as `predictions:` and `model:`, not {type(tree).__name__}.")
    return tree


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"{override!r} is not an override; write section.key=value, such as run.name=again.")
    *parents, last = key.strip().split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {parent!r} is a value, not a section.")
        node = child
    try:
        node[last] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not YAML: {' '.join(str(error).split())}.") from None


def explain_errors(error: ValidationError, path: str | Path) -> str:
    """Say in one paragraph what is wrong with the first faulty keys."""
    parts: list[str] = []
    for item in error.errors()[:5]:
        location = ".".join(str(part) for part in item["loc"] if "[" not in str(part))
        value = item.get("input")
        if item["type"] == "extra_forbidden":
            parts.append(f"{location}: unknown key{_nearest(item['loc'])}")
        elif item["type"] == "missing":
            parts.append(f"{location}: is required and missing")
        else:
            shown = "" if isinstance(value, dict | BaseModel) else f" (given: {value!r})"
            parts.append(f"{location}: {item['msg'].removeprefix('Value error, ')}{shown}")
    return f"{path}: " + "; ".join(parts) + "."


def _nearest(location: tuple[int | str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = _section_type(fields[part].annotation)
    known = list(getattr(section, "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {'.'.join([*(str(p) for p in location[:-1]), close[0]])}?)"
    return f"; known keys are {', '.join(known)}"


def _section_type(annotation: Any) -> Any:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
        for inner in get_args(candidate):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                return inner
    return annotation


def _find_relative_paths(config: Config, folder: Path) -> None:
    """Let a path be relative to the working directory or else to the config file's folder."""

    def found(value: str) -> str:
        is_pattern = any(sign in value for sign in "*?[") and not Path(value).is_absolute()
        here, there = (any(base.glob(value)) if is_pattern else (base / value).exists() for base in (Path(), folder))
        return str(folder / value) if there and not here else value

    config.predictions.path = found(config.predictions.path)
    if config.prompt.chat_template is not None and "{" not in config.prompt.chat_template:
        config.prompt.chat_template = found(config.prompt.chat_template)
    config.model.path = found(config.model.path)
    if config.model.tokenizer is not None:
        config.model.tokenizer = found(config.model.tokenizer)
    if isinstance(config.vocabulary, str):
        config.vocabulary = found(config.vocabulary)
