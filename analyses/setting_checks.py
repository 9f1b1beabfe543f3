"""Refusing settings that cannot be used: each message names the path, the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, NoReturn

FAMILY_KEYS = ("name", "statistics", "query_groups")
"""What a mapping in ``analysis.families`` may hold."""

STRATUM_KEYS = ("column", "parts")
"""What a mapping in ``analysis.strata`` may hold."""

GROUP_KEYS = ("name", "column", "a", "b")
"""What a mapping in ``analysis.groups`` may hold."""


class SettingsError(ValueError):
    """A setting of ``analysis`` or ``visualization`` cannot be used; the message names its path and what is known."""


def is_number(value: object) -> bool:
    """Return whether a value is a number, not NaN and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def is_count(value: object) -> bool:
    """Return whether a value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def as_tuple(value: object, path: str) -> tuple[Any, ...]:
    """Return a list as a tuple; refuse anything else."""
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{path}: {value!r} is not a list")
    return tuple(value)


def as_mapping(value: object, path: str) -> dict[str, Any]:
    """Return a mapping as a dictionary; refuse anything else."""
    if not isinstance(value, Mapping):
        raise SettingsError(f"{path}: {value!r} is not a mapping of names to values")
    return dict(value)


def known_keys(cls: type, values: object, section: str) -> dict[str, Any]:
    """Return what a section gives to a dataclass of settings; refuse unknown keys, leave out null ones."""
    given = as_mapping({} if values is None else values, section)
    names = tuple(entry.name for entry in fields(cls))
    for name in given:
        require_known(name, section, names, "key")
    return {name: value for name, value in given.items() if value is not None}


def require(is_fine: bool, path: str, value: object, allowed: str) -> None:
    """Refuse a value unless it is fine."""
    if not is_fine:
        raise SettingsError(f"{path}: {value!r} is not allowed; allowed: {allowed}")


def require_known(value: object, path: str, known: Collection[str], what: str = "value") -> None:
    """Refuse a value that is not among the known ones, with the nearest of them."""
    if value not in known:
        raise SettingsError(
            f"{path}: {value!r} is an unknown {what}{nearest(value, known)}; known are {', '.join(known)}"
        )


def require_column(column: str, path: str, columns: Sequence[str]) -> None:
    """Refuse a column that samples do not have."""
    if column not in columns:
        refuse_column(column, path, columns)


def refuse_column(column: str, path: str, columns: Sequence[str]) -> NoReturn:
    """Say that samples have no such column, with the nearest name."""
    close = nearest(column, columns)
    raise SettingsError(f"{path}: {column!r} is not a column of samples{close}; known are {', '.join(columns)}")


def nearest(value: object, known: Collection[str]) -> str:
    """Return " (did you mean …?)", or an empty string when nothing is near."""
    close = difflib.get_close_matches(str(value), list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def stratum_column(stratum: str | Mapping[str, Any]) -> str:
    """Return the column of ``samples`` that an entry of ``analysis.strata`` reads."""
    return stratum if isinstance(stratum, str) else str(stratum.get("column"))


def group_column(group: str | Mapping[str, Any]) -> str:
    """Return the column of ``samples`` that an entry of ``analysis.groups`` reads."""
    return group if isinstance(group, str) else str(group.get("column") or group.get("name"))


def group_name(group: str | Mapping[str, Any]) -> str:
    """Return the name of the comparison that an entry of ``analysis.groups`` makes."""
    return group if isinstance(group, str) else str(group.get("name") or group.get("column"))


def check_groups(groups: Sequence[object], within: str = "analysis.groups") -> None:
    """Refuse entries of ``analysis.groups``, or of another list of the same form, that make no comparison."""
    names: set[str] = set()
    for slot, group in enumerate(groups):
        path = f"{within}[{slot}]"
        if not isinstance(group, str | Mapping):
            raise SettingsError(f"{path}: {group!r} is neither a column nor a mapping {{{', '.join(GROUP_KEYS)}}}")
        if isinstance(group, Mapping):
            for key in group:
                require_known(key, path, GROUP_KEYS, "key")
            for key in ("name", "column"):
                require(isinstance(group.get(key), str | None), f"{path}.{key}", group.get(key), "text")
            if not (group.get("column") or group.get("name")):
                raise SettingsError(f"{path}: 'column' is missing; a mapping has {', '.join(GROUP_KEYS)}")
            if ("a" in group) != ("b" in group):
                raise SettingsError(f"{path}: give both a and b, the values of the two groups, or neither")
        name = group_name(group)
        if name in names:
            raise SettingsError(f"{path}: there is another comparison called {name!r}; give one of them another name")
        names.add(name)


def check_families(families: Sequence[object]) -> None:
    """Refuse entries of ``analysis.families`` that declare no family."""
    names: set[str] = set()
    for slot, family in enumerate(families):
        path = f"analysis.families[{slot}]"
        mapping = as_mapping(family, path)
        for key in mapping:
            require_known(key, path, FAMILY_KEYS, "key")
        name = mapping.get("name")
        require(isinstance(name, str) and name not in {"", *names}, f"{path}.name", name, "a name of its own")
        names.add(str(name))
        for key in FAMILY_KEYS[1:]:
            patterns = mapping.get(key)
            is_fine = patterns is None or (
                isinstance(patterns, list | tuple) and all(isinstance(pattern, str) for pattern in patterns)
            )
            require(is_fine, f"{path}.{key}", patterns, "a list of names or patterns such as mass_*")


def check_strata(strata: Sequence[object]) -> None:
    """Refuse entries of ``analysis.strata`` that cut nothing."""
    for slot, stratum in enumerate(strata):
        path = f"analysis.strata[{slot}]"
        if isinstance(stratum, str):
            continue
        mapping = as_mapping(stratum, path)
        for key in mapping:
            require_known(key, path, STRATUM_KEYS, "key")
        require(isinstance(mapping.get("column"), str), f"{path}.column", mapping.get("column"), "a column of samples")
        parts = mapping.get("parts")
        is_fine = parts is None or (is_count(parts) and 2 <= parts <= 12)
        require(is_fine, f"{path}.parts", parts, "a whole number from 2 to 12")
