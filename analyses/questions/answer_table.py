"""A table of an analysis, declared: its grain, how it was computed, and each column with type, unit, range and meaning.

The counterpart of ``engine.schema`` for ``analysis/tables``. Columns that several tables share are in
``questions.columns``; a name may mean something else in another table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from analyses.questions.answers import Asked


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name, kind
        Its name and type.
    meaning
        What it holds, in words.
    unit, span
        Unit and range of its values; empty where there is none to tell.
    """

    name: str
    kind: type[pl.DataType]
    meaning: str
    unit: str = ""
    span: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        """What the Parquet file says of it, under the keys that the tables of the run use too."""
        known = {"description": self.meaning, "unit": self.unit, "range": self.span}
        return {key: text for key, text in known.items() if text}


@dataclass(frozen=True)
class AnswerTable:
    """One table.

    Attributes
    ----------
    name
        File in ``analysis/tables``, without suffix.
    grain
        What one row is.
    columns
        In the order of the file.
    method
        Returns how its numbers were computed and what that assumes; None for counts and lists.
    others
        Meaning of the columns that depend on the run, with ``{}`` for their name; empty where there are none.
    is_optional
        Whether an analysis may go without the table.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    method: Callable[[Asked], str] | None = None
    others: str = ""
    is_optional: bool = False

    @cached_property
    def schema(self) -> dict[str, type[pl.DataType]]:
        """Types by column."""
        return {column.name: column.kind for column in self.columns}

    @cached_property
    def _metadata(self) -> Mapping[str, dict[str, str]]:
        return {column.name: column.metadata for column in self.columns}

    def metadata(self, column: str) -> dict[str, str]:
        """Return what the Parquet file says of a column: description, unit, range."""
        return self._metadata.get(column) or {"description": self.others.format(column)}

    def empty(self) -> pl.DataFrame:
        """Return the table without rows."""
        return pl.DataFrame(schema=self.schema)

    def declared(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with the declared columns and types, in the declared order.

        Raises
        ------
        AssertionError
            When a declared column is missing, or one is there that nobody declared.
        """
        more = [name for name in frame.columns if name not in self.schema]
        assert self.others or not more, f"{self.name}: {more} are declared nowhere"
        missing = [name for name in self.schema if name not in frame.columns]
        assert not missing, f"{self.name}: {missing} are declared and not there"
        names = frame.columns if more else list(self.schema)
        return frame.select(pl.col(name).cast(self.schema.get(name, frame.schema[name])) for name in names)
