"""A config that is being drafted, and its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from engine.config import Config, config_of_tree


@dataclass(slots=True)
class Draft:
    """A config and what it rests on.

    Attributes
    ----------
    tree
        The config's sections.
    notes
        What was taken for what, line by line: a name, and what was found.
    remarks
        Comments of the config's lines, by the key that they stand behind.
    """

    tree: dict[str, Any]
    notes: list[tuple[str, str]] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)

    def say(self, name: str, what: str, key: str = "") -> None:
        """Note something, and put it behind a key of the config as well."""
        self.notes.append((name, what))
        if key:
            self.remarks[key] = what

    @property
    def config(self) -> Config:
        """The config itself."""
        return config_of_tree(self.tree, "the drafted config")


def config_text(draft: Draft) -> str:
    """Return the config as YAML, with remarks behind the lines that they are about."""
    lines = ["# Drafted from the file below; what each line was taken from stands behind it."]
    text = yaml.safe_dump(draft.tree, sort_keys=False, allow_unicode=True, width=10_000)
    left = dict(draft.remarks)
    for line in text.splitlines():
        key = line.strip().removeprefix("- ").partition(":")[0]
        is_value = key in ("path", "model") and not line.startswith("  path" if key == "path" else "model")
        remark = "" if is_value else left.pop(key, "")
        lines.append(f"{line}   # {' '.join(remark.split())}" if remark else line)
    return "\n".join([*lines, ""])
