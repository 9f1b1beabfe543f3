"""Config files: YAML and ``section.key=value`` overrides; errors name the file, the key and the nearest known one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from engine.config.config import Config
from engine.config.examples import EXAMPLES, config_file, is_example, vocabulary_names
from engine.config.model import AdapterSection
from engine.config.old_script import is_old, translated
from engine.config.yaml_text import YamlTextError, read_yaml_text
from engine.errors import ConfigError
from engine.sections import explain_errors


def load_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> tuple[Config, dict[str, Any]]:
    """Read a YAML config, or a finished run's ``run.yaml``, and apply overrides.

    Parameters
    ----------
    path
        The file, or the name of a config that comes with the package (``demo``). A ``run.yaml`` is recognised by its
        ``config`` and ``fingerprints`` sections.
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
    path = config_file(str(path))
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
    config = config_of_tree(tree, path)
    _find_relative_paths(config, (EXAMPLES, Path()) if is_example(path) else (Path(), path.parent))
    return config, fingerprints


def config_of_tree(tree: Mapping[str, object], source: str | Path) -> Config:
    """Return the config that nested mappings mean.

    Raises
    ------
    ConfigError
        For a key or value that is not allowed; the message begins with ``source``.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain_errors(error, Config)}.") from None


def translation_lines(path: str | Path) -> list[str]:
    """Return the new YAML of an old script's config and what changed, for a person; nothing for other files.

    Raises
    ------
    ConfigError
        When the file is missing or not YAML.
    """
    tree = _read_yaml(config_file(str(path)))
    if not is_old(tree):
        return []
    new, changes = translated(tree)
    text = yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=110).rstrip()
    return [
        f"{path} is a config of the old script. In today's keys it reads:",
        "",
        text,
        "",
        "What changed:",
        *(f"  * {change}" for change in changes),
        "",
    ]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a UTF-8 text file: {error}.") from None
    try:
        tree = read_yaml_text(text)
    except YamlTextError as error:
        raise ConfigError(f"{path}: {error}.") from None
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
        node[last] = read_yaml_text(text)
    except YamlTextError as error:
        raise ConfigError(f"override {override[:200]!r}: the value {error}.") from None


def _find_relative_paths(config: Config, bases: Sequence[Path]) -> None:
    """Let a path be relative to the first of some folders that holds it: the working directory, the config file's."""

    def found(value: str) -> str:
        is_pattern = any(sign in value for sign in "*?[") and not Path(value).is_absolute()
        for base in bases:
            if any(base.glob(value)) if is_pattern else (base / value).exists():
                # In a checkout, the package's files are those of its own folders: one run, however its config is named.
                is_here = Path(value).exists() and Path(value).samefile(base / value)
                return value if base == Path() or is_here else str(base / value)
        return value

    config.predictions.path = found(config.predictions.path)
    for join in config.predictions.join:
        join.path = found(join.path)
    if config.prompt.chat_template is not None and "{" not in config.prompt.chat_template:
        config.prompt.chat_template = found(config.prompt.chat_template)
    config.model.path = found(config.model.path)
    if (
        config.model.gguf_file is None
        and Path(config.model.path).suffix == ".gguf"
        and Path(config.model.path).is_file()
    ):
        config.model.gguf_file = Path(config.model.path).name
        config.model.path = str(Path(config.model.path).parent)
    _find_base(config)
    config.model.path = found(config.model.path)
    if config.model.adapter is not None:
        config.model.adapter.path = found(config.model.adapter.path)
    if config.model.tokenizer is not None:
        config.model.tokenizer = found(config.model.tokenizer)
    if isinstance(config.vocabulary, str) and config.vocabulary not in vocabulary_names():
        config.vocabulary = found(config.vocabulary)


def _find_base(config: Config) -> None:
    """Let the folder of an adapter alone stand for its base model with the adapter, and its tokenizer if it has one.

    Raises
    ------
    ConfigError
        When the adapter does not name its base.
    """
    model = config.model
    folder = Path(model.path)
    file = folder / "adapter_config.json"
    if model.adapter is not None or not file.is_file() or (folder / "config.json").is_file():
        return
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        base = settings.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base, settings = None, {}
    if not isinstance(base, str) or not base:
        raise ConfigError(
            f"model.path: {model.path!r} holds an adapter whose adapter_config.json does not name its base model "
            f"(base_model_name_or_path). Give the base as model.path and this folder as model.adapter.path."
        )
    if model.tokenizer is None and (folder / "tokenizer_config.json").is_file():
        model.tokenizer = model.path
    model.adapter = AdapterSection(path=model.path)
    model.path, model.revision = base, settings.get("revision")
