"""Whether an adapter is applied to the model that it was trained on, as far as names, configs and weights here tell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.model import AdapterSection, ModelSection
from engine.model.checkpoints.headers import weight_files
from engine.model.geometry import stated

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_IN_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_SHAPES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
)
"""Of a config, what adapters of another model would not fit or not mean the same on."""
_COMPARED_BYTES = 1 << 20


def other_base(section: ModelSection, model_config: PreTrainedConfig) -> list[str]:
    """Return a warning where an adapter is known to have been trained on another model; none where it cannot be told.

    A name on the hub and a folder are compared by config alone, two names as they are, two folders by config and by
    the ends of their weights.

    Parameters
    ----------
    section
        The config's section.
    model_config
        The model's.
    """
    adapter = section.adapter
    if adapter is None:
        return []
    try:
        named = json.loads(_settings_file(adapter).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):  # not here yet, or of no known form, which loading refuses
        return []
    if not isinstance(named, str) or not named or _is_same(named, section.path):
        return []
    why = _difference(named, section.path, model_config)
    if not why:
        return []
    return [
        f"The adapter {adapter.path!r} was trained on {named!r} (base_model_name_or_path in its adapter_config.json) "
        f"and is applied to {section.path!r}: {why}. What is measured is a model that nobody trained, unless both are "
        f"the same weights under other names."
    ]


def _settings_file(adapter: AdapterSection) -> Path:
    """Return where an adapter's settings lie: in its folder, or in the cache of the hub."""
    name = "adapter_config.json"
    if not _ON_HUB.fullmatch(adapter.path) or Path(adapter.path).is_dir():
        return Path(adapter.path) / name
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(adapter.path, name, revision=adapter.revision)
    return Path(found) if isinstance(found, str) else Path(adapter.path) / name


def _is_same(named: str, path: str) -> bool:
    if Path(named).is_dir() and Path(path).is_dir():
        return Path(named).resolve() == Path(path).resolve()
    return named.rstrip("/").lower() == path.rstrip("/").lower() or _hub_name(named) == _hub_name(path) != ""


def _hub_name(path: str) -> str:
    """Return the name on the hub that a path is, or that its place in the hub's cache tells; empty where none is."""
    place = Path(path)
    if place.is_dir():
        found = next((match for part in reversed(place.parts) if (match := _IN_CACHE.fullmatch(part))), None)
        return "/".join(found.groups()).lower() if found else ""
    return path.lower() if _ON_HUB.fullmatch(path) and not path.startswith(".") else ""


def _difference(named: str, path: str, model_config: PreTrainedConfig) -> str:
    """Return what is known to differ between two models; empty where nothing is."""
    other = _config_of(named)
    if other is not None:
        if other.model_type != model_config.model_type:
            return f"the first is a {other.model_type}, the second a {model_config.model_type}"
        sizes = ((name, *(_sizes(one, name) for one in (other, model_config))) for name in _SHAPES)
        differ = [f"{name} {first} and {second}" for name, first, second in sizes if first != second]
        if differ:
            return f"their configs differ ({', '.join(differ)})"
    names = _hub_name(named), _hub_name(path)
    if all(names):
        return "two models by their names"
    if Path(named).is_dir() and Path(path).is_dir() and _ends_differ(named, path):
        return "their weights differ"
    return ""


def _config_of(path: str) -> PreTrainedConfig | None:
    """Return a model's config where it is on this machine."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(path, local_files_only=True)
    except Exception:  # transformers raises many types here
        return None


def _sizes(model_config: PreTrainedConfig, name: str) -> str:
    return " or ".join(map(str, stated(model_config.get_text_config(), name))) or "unstated"


def _ends_differ(first: str, second: str) -> bool:
    """Whether weights that lie alike in two folders end differently."""
    pairs = [weight_files(Path(folder)) for folder in (first, second)]
    sizes = [[file.stat().st_size for file in files] for files in pairs]
    return sizes[0] == sizes[1] and any(_end(one) != _end(other) for one, other in zip(*pairs, strict=True))


def _end(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - _COMPARED_BYTES))
        return opened.read()
