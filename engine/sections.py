"""What every section of the config has in common: strictness, and errors that name path, value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

STRICT = ConfigDict(extra="forbid", validate_default=True, coerce_numbers_to_str=True, defer_build=True)
"""Keys that a section does not know are refused."""

_MOST_FAULTS = 5
_LONGEST_VALUE = 200
"""Characters of a value in a message at most."""
_CUTOFF = 0.5
"""How alike two names must be for one to be meant by the other, from 0 to 1."""

_WRONG_TYPE = {
    "bool_parsing",
    "bool_type",
    "dict_type",
    "finite_number",
    "float_parsing",
    "float_type",
    "int_from_float",
    "int_parsing",
    "int_type",
    "list_type",
    "literal_error",
    "mapping_type",
    "model_attributes_type",
    "model_type",
    "string_type",
    "tuple_type",
}
"""Pydantic's names for a value of another type than any that is allowed at its place."""

_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


class Section(BaseModel):
    """A section of the config: keys that it does not know are refused, defaults are checked like any value."""

    model_config = STRICT


class FaultAt(ValueError):  # noqa: N818 - raised by validators, whose message pydantic collects
    """What a validator raises of something inside its value: ``rest`` goes on with the path, such as ``[1].name``."""

    def __init__(self, rest: str, message: str):
        super().__init__(message)
        self.rest = rest


class Kind(NamedTuple):
    """One type that a value of the config may have, and the bounds of a number."""

    type: object
    bounds: tuple[object, ...] = ()


class _Fault(NamedTuple):
    """One of pydantic's errors, at the config path of its value."""

    path: str
    kinds: list[Kind]
    type: str
    value: object
    text: str
    """The message; of an unknown key, the key."""


def nearest(value: object, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one is most like; None when it is like none."""
    return next(iter(difflib.get_close_matches(str(value), list(known), n=1, cutoff=_CUTOFF)), None)


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """Return " (did you mean …?)", or an empty string when nothing is near."""
    name = nearest(value, known)
    return "" if name is None else f" (did you mean {name!r}?)"


def explain_errors(error: ValidationError, model: type[BaseModel], *, within: str = "") -> str:
    """Return what is wrong with the first faulty keys, without a full stop.

    The message of a validator is taken as it is.

    Parameters
    ----------
    error
        What pydantic raised.
    model
        The section that was validated.
    within
        The section's own path in the config; empty for the whole config.
    """
    faults = [_fault_of(dict(item), item["loc"], model) for item in error.errors()]
    # Of a union every branch complains; the branch that got into the value says what is wrong with it.
    entered = [f for f in faults if not (f.type in _WRONG_TYPE and any(_is_inside(o.path, f.path) for o in faults))]
    by_path: dict[str, list[_Fault]] = {}
    for fault in entered:
        by_path.setdefault(fault.path, []).append(fault)
    texts = [
        f"{f'{within}{path}'.removeprefix('.')}: {_text_of(same, within)}".removeprefix(": ")
        for path, same in list(by_path.items())[:_MOST_FAULTS]
    ]
    return "; ".join(texts)


def kinds_of(annotation: object, bounds: tuple[object, ...] = ()) -> list[Kind]:
    """Return the types that an annotation allows, those of its unions one by one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        own = [one for item in metadata for one in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return kinds_of(inner, (*bounds, *own))
    if origin in (Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in kinds_of(inner, bounds)]
    return [Kind(annotation, bounds)]


def _fault_of(item: Mapping[str, object], location: tuple[int | str, ...], model: type[BaseModel]) -> _Fault:
    path, kinds = _place(model, location)
    if item["type"] == "extra_forbidden":
        path += f".{location[-1]}"
    text = str(location[-1] if item["type"] == "extra_forbidden" else item["msg"]).removeprefix("Value error, ")
    context = item.get("ctx")
    raised = context.get("error") if isinstance(context, dict) else None
    if isinstance(raised, FaultAt):
        path += raised.rest
    return _Fault(path, kinds, str(item["type"]), item.get("input"), text)


def _place(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, list[Kind]]:
    """Return the config path of a location, and the types that may stand there."""
    path, kinds, is_branch = "", [Kind(model)], False
    for part in location:
        if is_branch or part == "[key]":  # the union's branch that complains, or a key instead of its value
            is_branch = False
            continue
        steps = [step for kind in kinds if (step := _step(kind, part)) is not None]
        if steps:
            path += steps[0][0]
            kinds = [kind for _, inner in steps for kind in inner]
            is_branch = sum(kind.type is not NoneType for kind in kinds) > 1
    return path, kinds


def _step(kind: Kind, part: int | str) -> tuple[str, list[Kind]] | None:
    """Return how the path goes on into a value of this type, and the types that may stand there; None if it cannot."""
    if isinstance(kind.type, type) and issubclass(kind.type, BaseModel):
        field = kind.type.model_fields.get(str(part))
        return None if field is None else (f".{part}", kinds_of(field.annotation, tuple(field.metadata)))
    origin, arguments = get_origin(kind.type), get_args(kind.type)
    if origin is dict:
        return f".{part}", kinds_of(arguments[1])
    if origin in (list, tuple) and isinstance(part, int):
        is_fixed = origin is tuple and arguments[-1] is not ...
        return f"[{part}]", kinds_of(arguments[part if is_fixed and part < len(arguments) else 0])
    return None


def _is_inside(path: str, other: str) -> bool:
    return path.startswith((f"{other}.", f"{other}["))


def _text_of(faults: list[_Fault], within: str) -> str:
    """Return what is wrong at one path."""
    told = next((fault for fault in faults if fault.type not in _WRONG_TYPE), faults[0])
    if told.type == "extra_forbidden":
        return _unknown_key(told, within)
    if told.type == "missing":
        return "is required and missing"
    if told.type in _OUT_OF_RANGE or (told.type in _WRONG_TYPE and len(faults) > 1):
        return _not_allowed(told)
    if told.type in ("list_type", "tuple_type"):
        return f"{_shown(told.value)} is not a list"
    if told.type in ("dict_type", "mapping_type", "model_type", "model_attributes_type"):
        return f"{_shown(told.value)} is not a mapping of names to values"
    if told.type in _WRONG_TYPE:
        return _not_allowed(told)
    is_shown = isinstance(told.value, Mapping | BaseModel) or repr(told.value) in told.text
    return told.text if is_shown else f"{told.text} (given: {_shown(told.value)})"


def _shown(value: object) -> str:
    """Return a value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _unknown_key(fault: _Fault, within: str) -> str:
    known = [name for kind in fault.kinds for name in _fields(kind)]
    near = nearest(fault.text, known)
    if near is None:
        return f"unknown key; known keys are {', '.join(known)}"
    meant = f"{within}{fault.path.removesuffix(fault.text)}{near}"
    return f"unknown key (did you mean {meant.removeprefix('.')}?)"


def _not_allowed(fault: _Fault) -> str:
    words = [name for kind in fault.kinds for name in _words(kind) if isinstance(name, str)]
    near = did_you_mean(fault.value, words) if isinstance(fault.value, str) else ""
    allowed = [phrase for kind in fault.kinds for phrase in _phrases(kind)]
    listed = " or ".join(part for part in (", ".join(allowed[:-1]), allowed[-1]) if part)
    return f"{_shown(fault.value)} is not allowed{near}; allowed: {listed}"


def _fields(kind: Kind) -> list[str]:
    return list(kind.type.model_fields) if isinstance(kind.type, type) and issubclass(kind.type, BaseModel) else []


def _words(kind: Kind) -> tuple[object, ...]:
    return get_args(kind.type) if get_origin(kind.type) is Literal else ()


def _phrases(kind: Kind) -> list[str]:
    """Return what a type allows, in words."""
    if fields := _fields(kind):
        return [f"a mapping {{{', '.join(fields)}}}"]
    if words := _words(kind):
        return [str(word).lower() if isinstance(word, bool) else repr(word) for word in words]
    if kind.type in (int, float):
        bounds = " and ".join(phrase for bound in kind.bounds if (phrase := _bound(bound)))
        return [f"{'a whole number' if kind.type is int else 'a number'} {bounds}".rstrip()]
    names = {bool: "true or false", str: "text", list: "a list", tuple: "a list", NoneType: "null"}
    return [names.get(get_origin(kind.type) or kind.type, "a mapping of names to values")]


def _bound(bound: object) -> str:
    """Return a bound in words; pydantic keeps it as an object with an attribute that is called like the bound."""
    words = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}
    limits = {word: getattr(bound, name, None) for name, word in words.items()}
    return " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
