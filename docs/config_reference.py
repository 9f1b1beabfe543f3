"""The page of every key of the config, generated from its models (reference_pages.py adds it to the documentation).

Meanings stand behind the fields in the code, as strings (``"Meaning. Example: value."``); a key without one ends the
build.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

EXAMPLE = " Example: "
"""What a field's string says last."""


class Key(NamedTuple):
    """One key of the config."""

    path: str
    """Of its section, such as ``predictions.fields``; the config itself has none."""
    name: str
    kind: str
    default: str
    meaning: str
    example: str
    """As YAML."""


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section of the config with its path, from the outside in; entries of lists end in ``[]``."""
    from engine.config.config import Config

    yield "", Config
    yield from _inside("", Config)


def _inside(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        for suffix, inner in _models_in(field.annotation):
            place = f"{path}.{name}{suffix}".lstrip(".")
            yield place, inner
            yield from _inside(place, inner)


def _models_in(annotation: Any, suffix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the models of an annotation, and how they are reached: ``[]`` in a list, ``.<name>`` in a mapping."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield suffix, annotation
        return
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        parts = parts[:1]
    if origin is dict:
        yield from _models_in(parts[1], ".<name>")
        return
    inner = "[]" if origin in (list, tuple) else suffix
    for part in parts:
        yield from _models_in(part, inner)


def keys() -> list[Key]:
    """Return every key of the config.

    Raises
    ------
    ValueError
        For a key that nobody has explained.
    """
    found = []
    for path, model in sections():
        texts = meanings(model)
        for name, field in model.model_fields.items():
            text, _, example = (
                texts.get(name, "").rpartition(EXAMPLE)
                if EXAMPLE in texts.get(name, "")
                else (
                    texts.get(name, ""),
                    "",
                    "",
                )
            )
            inner = list(_models_in(field.annotation))
            if not text and inner:
                text = first_line(inner[0][1])
            if not text:
                raise ValueError(f"{path}.{name}: no string behind the field of {model.__name__} says what it is")
            shown = example.rstrip(".") or _example(field)
            found.append(Key(path, name, kind_words(field), _default(field), text, shown))
    return found


@functools.cache
def meanings(model: type) -> Mapping[str, str]:
    """Return the string behind each field of a class, those of its bases too, in one line."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not one.__module__.startswith(("engine", "analyses")):
            continue
        for node in ast.parse(inspect.getsource(importlib.import_module(one.__module__))).body:
            if isinstance(node, ast.ClassDef) and node.name == one.__name__:
                found |= _strings_behind(node.body)
    return found


def _strings_behind(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for before, node in pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(node, ast.Expr):
            value = node.value
            if isinstance(value, ast.Constant):
                found[before.target.id] = " ".join(str(value.value).split())
    return found


def first_line(model: type) -> str:
    """Return the first paragraph of a class's docstring in one line."""
    return " ".join(inspect.getdoc(model).partition("\n\n")[0].split()) if inspect.getdoc(model) else ""


def kind_words(field: FieldInfo) -> str:
    """Return the values that a field takes, in words."""
    bounds = [
        f"{sign} {getattr(one, name):g}"
        for one in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(one, name, None) is not None
    ]
    return f"{_words(field.annotation)}{', ' if bounds else ''}{', '.join(bounds)}"


_PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    NoneType: "null",
    object: "any value",
}


def _words(annotation: Any) -> str:
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0])
    if origin is Literal:
        return ", ".join(f"`{yaml_line(part)}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_words, parts)))
    if origin in (list, tuple):
        return f"list of {_words(parts[0])}" if parts and parts[0] is not Ellipsis else "list"
    if origin is dict:
        return f"mapping to {_words(parts[1])}"
    return "section" if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else "any value"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "its keys' own" if isinstance(value, BaseModel) else f"`{yaml_line(value)}`"


def _example(field: FieldInfo) -> str:
    """Return another value than the default where the type says one, else the default."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    literals = [value for part in _flat(field.annotation) if get_origin(part) is Literal for value in get_args(part)]
    others = [value for value in literals if value != default]
    if others and all(value != "all" or default != "all" for value in others):
        return yaml_line(others[0])
    if isinstance(default, bool):
        return yaml_line(not default)
    if isinstance(default, BaseModel) or default is None or default is PydanticUndefined:
        return ""
    return yaml_line(default)


def _flat(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _flat(part)


def yaml_line(value: object) -> str:
    """Return a value as YAML in one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def config_page() -> str:
    """Return the page of every key of the config."""
    lines = [
        "# Every key of the config",
        "",
        "Generated from the models that read a config. Any value can be replaced on the command line:",
        "`headledger run my.yaml cluster.mode=inline run.name=again`. A key that no section knows is refused, with the",
        "nearest known one. `null` in `analysis` and `visualization` says the same as leaving a key out.",
        "",
    ]
    by_path: dict[str, list[Key]] = {}
    for key in keys():
        by_path.setdefault(key.path, []).append(key)
    for path, model in sections():
        rows = by_path.pop(path, None)
        if rows is None:  # a section that stands at two places of one path
            continue
        doc = first_line(model)
        lines += [f"## {path or 'Sections'}".replace("<", "&lt;").replace(">", "&gt;"), "", doc, ""]
        lines += table(
            ("key", "values", "default", "meaning", "example"),
            [(f"`{k.name}`", k.kind, k.default, as_markdown(k.meaning), k.example and f"`{k.example}`") for k in rows],
        )
    for path, model in sections():
        if not model.model_fields and path not in by_path:
            lines += [f"## {path}", "", f"{first_line(model)}", ""]
    return "\n".join(lines)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return a table in Markdown, with an empty line behind it."""
    cells = [head, tuple("---" for _ in head), *rows]
    return [*(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in cells), ""]


def as_markdown(text: str) -> str:
    """Return a docstring's text as Markdown: double backticks become single ones, signs of HTML are escaped."""
    parts = text.replace("``", "`").split("`")
    return "`".join(p if n % 2 else p.replace("<", "&lt;").replace(">", "&gt;") for n, p in enumerate(parts))
