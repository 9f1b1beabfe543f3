"""What comes with the package: configs that run, vocabularies by name, and the data that they are about.

``engine/examples`` holds them; in a checkout it points at ``config/`` and ``data/``, a wheel holds copies of what the
configs name.
"""

from __future__ import annotations

from pathlib import Path

from engine.errors import ConfigError

EXAMPLES = Path(__file__).parents[1] / "examples"
"""The folder that relative paths of the package's configs start from."""

_CONFIGS = EXAMPLES / "config"
_VOCABULARIES = _CONFIGS / "vocabulary"


def example_names() -> list[str]:
    """Return the names of the configs that come with the package."""
    return sorted(path.stem for path in _CONFIGS.glob("*.yaml"))


def config_file(name: str) -> Path:
    """Return the config that a person means: a file, or the package's config of that name.

    Raises
    ------
    ConfigError
        When there is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    if name in example_names():
        return _CONFIGS / f"{name}.yaml"
    raise ConfigError(
        f"{name}: no such config file. Give a YAML file (python -m engine.init FILE writes one for your data), or the "
        f"name of one that comes with the package: {', '.join(example_names())}."
    )


def is_example(path: Path) -> bool:
    """Whether a config file is one that ``config_file`` found in the package."""
    return path.parent == _CONFIGS


def vocabulary_names() -> list[str]:
    """Return the names of the vocabularies that come with the package."""
    return sorted(path.stem for path in _VOCABULARIES.glob("*.yaml"))


def vocabulary_file(source: str) -> Path:
    """Return the file of a vocabulary: the package's for a name of those, else the file that the text is a path of."""
    return _VOCABULARIES / f"{source}.yaml" if source in vocabulary_names() else Path(source)
