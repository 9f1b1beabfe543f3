"""YAML as people write it by hand: words stay words, and nothing that stands twice is dropped."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, so that labels such as yes and no stay words."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        """Refuse a key that stands twice, of which YAML's reader would drop the first without a word."""
        node = super().compose_mapping_node(anchor)
        places: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            first, again = places.setdefault((key.tag, key.value), key.start_mark), key.start_mark
            if first is not again:
                raise YamlTextError(
                    f"{key.value!r} stands twice, in lines {first.line + 1} and {again.line + 1}: only one of them can "
                    f"be meant; put what both hold into one"
                )
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")


class YamlTextError(ValueError):
    """A text cannot be read as YAML; the message says why, without a full stop."""


def read_yaml_text(text: str) -> object:
    """Return what a YAML text holds.

    Raises
    ------
    YamlTextError
        When it is no YAML, a key stands twice in one mapping, or it is nested deeper than can be read.
    """
    try:
        return yaml.load(text, _Loader)
    except YamlTextError:
        raise
    except yaml.YAMLError as error:
        raise YamlTextError(f"is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise YamlTextError("is nested too deeply to be read") from None
    except ValueError as error:  # a number or a date that Python refuses
        raise YamlTextError(f"holds a value that cannot be read ({' '.join(str(error).split())[:120]})") from None
