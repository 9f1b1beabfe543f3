"""Vocabularies: read from YAML, and terms as patterns of whole words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from engine.config.examples import vocabulary_file, vocabulary_names
from engine.config.yaml_text import YamlTextError, read_yaml_text
from engine.errors import ConfigError


def load_vocabulary(source: str | dict[str, list[str]] | None) -> dict[str, list[str]]:
    """Return terms per category from a YAML file, from the package's vocabulary of a name or from the config itself.

    Raises
    ------
    ConfigError
        When the file is missing, is not YAML or is no mapping of names to lists of terms.
    """
    if source is None:
        return {}
    where = "vocabulary"
    if isinstance(source, str):
        where = source
        try:
            loaded = read_yaml_text(vocabulary_file(source).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"vocabulary: {source}: no such file. Give a YAML file of categories and their terms, the categories "
                f"themselves, or the name of one that comes with the package: {', '.join(vocabulary_names())}."
            ) from None
        except YamlTextError as error:
            raise ConfigError(f"vocabulary: {source}: {error}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"vocabulary: {source} cannot be read: {' '.join(str(error).split())}.") from None
    else:
        loaded = source
    if not isinstance(loaded, dict) or not all(isinstance(terms, list) and terms for terms in loaded.values()):
        raise ConfigError(f"{where}: must map each category to a non-empty list of terms.")
    return {str(category): [str(term) for term in terms] for category, terms in loaded.items()}


def union_name(source: str | dict[str, list[str]] | None) -> str:
    """Return the name of the key group that is the whole vocabulary: its file's, or ``vocabulary``."""
    stem = Path(source).stem if isinstance(source, str) else ""
    return re.sub(r"[^\w ]+", "_", stem) or "vocabulary"


def term_pattern(terms: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of the terms as whole words, the longest first, whatever the case."""
    ordered = sorted({" ".join(term.split()) for term in terms}, key=lambda term: (-len(term), term))
    if not ordered:
        return re.compile(r"(?!)")  # matches nothing
    # Terms by first letter: one look at a character rules out all others, which makes the search several times faster.
    by_letter: dict[str, list[str]] = {}
    for term in ordered:
        pattern = r"\s+".join(re.escape(word) for word in term.split(" "))
        letter = term[:1].lower()
        by_letter.setdefault(letter if len(letter) == 1 else term[:1], []).append(pattern)
    parts = (f"(?={re.escape(letter)})(?:{'|'.join(terms)})" for letter, terms in by_letter.items())
    return re.compile(rf"(?<!\w)(?=[{re.escape(''.join(by_letter))}])(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)
