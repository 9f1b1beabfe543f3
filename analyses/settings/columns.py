"""Entries that name columns of ``samples``, and what every section of the settings has in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Annotated, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WrapSerializer,
    model_serializer,
    model_validator,
)

from engine.sections import FaultAt, Section, explain_errors, kinds_of


class SettingsError(ValueError):
    """A setting of ``analysis`` or ``visualization`` cannot be used; the message names its path and what is known."""


class Settings(Section):
    """A section in which null says the same as leaving a key out, unless null is a choice of its own."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=False)
    path: ClassVar[str]
    """Where the section stands in the config."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in values.items() if value is not None or not cls._needs_value(str(name))}

    @classmethod
    def _needs_value(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        return field is not None and all(kind.type is not NoneType for kind in kinds_of(field.annotation))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object] | None) -> Self:
        """Return the settings of a config's section; what it leaves out keeps its default.

        Raises
        ------
        SettingsError
            For an unknown key and for a value that is not allowed, each with its path.
        """
        try:
            return cls.model_validate({} if values is None else values)
        except ValidationError as error:
            raise SettingsError(explain_errors(error, cls, within=cls.path)) from None


class Entry(Settings):
    """A mapping in a list of the config, which is written back as it was given, without its defaults."""

    @model_serializer(mode="wrap")
    def _as_given(self, whole: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {name: value for name, value in whole(self).items() if name in self.model_fields_set}


def _only_given(section: object, whole: SerializerFunctionWrapHandler) -> object:
    dumped = whole(section)
    return (
        {name: value for name, value in dumped.items() if name in section.model_fields_set}
        if isinstance(section, BaseModel)
        else dumped
    )


AS_GIVEN = WrapSerializer(_only_given)
"""Of a section within a section, what was given is written to ``run.yaml``, and no defaults."""


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not allowed; allowed: a number")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Number = Annotated[float, BeforeValidator(_no_truth_value)]


class Group(Entry):
    """Two groups of samples that are compared, where a column's name does not say which."""

    name: str | None = None
    """The comparison's name in the tables; the column's without it."""
    column: str | None = None
    """Column of ``samples``; the name's without it."""
    a: object = None
    """Value or list of values that form group a."""
    b: object = None
    """Value or list of values that form group b."""

    @model_validator(mode="after")
    def _groups_are_named(self) -> Self:
        if not (self.column or self.name):
            raise ValueError(f"'column' is missing; a mapping has {', '.join(type(self).model_fields)}")
        if (self.a is None) != (self.b is None):
            raise ValueError("give both a and b, the values of the two groups, or neither")
        return self


class Stratum(Entry):
    """A column by which samples are divided, and into how many parts."""

    column: str
    """Column of ``samples``."""
    parts: Whole | None = Field(default=None, ge=2, le=12)
    """Parts of about the same size; without it each value of words and of few whole numbers, thirds of numbers."""


def stratum_column(stratum: str | Stratum) -> str:
    """Return the column of ``samples`` that an entry of ``analysis.strata`` reads."""
    return stratum if isinstance(stratum, str) else stratum.column


def group_column(group: str | Group) -> str:
    """Return the column of ``samples`` that an entry of ``analysis.groups`` reads."""
    return group if isinstance(group, str) else str(group.column or group.name)


def group_name(group: str | Group) -> str:
    """Return the name of the comparison that an entry of ``analysis.groups`` makes."""
    return group if isinstance(group, str) else str(group.name or group.column)


def refuse_twins(names: Iterable[str], what: str) -> None:
    """Refuse two entries of a list that have one name, which tables could not tell apart."""
    seen: set[str] = set()
    for slot, name in enumerate(names):
        if name in seen:
            raise FaultAt(f"[{slot}]", f"there is another {what} called {name!r}; give one of them another name")
        seen.add(name)


def _are_distinct(groups: tuple[str | Group, ...]) -> tuple[str | Group, ...]:
    refuse_twins(map(group_name, groups), "comparison")
    return groups


Groups = Annotated[tuple[str | Group, ...], AfterValidator(_are_distinct)]
"""Comparisons of groups of samples, each by a column's name or by a mapping."""
