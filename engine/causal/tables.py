"""What methods say of one sample, until it is a piece of a causal table.

A table that several methods fill is joined sample by sample: interventions one below the other, values of heads side
by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from engine.interventions.sweeps import Effect
from engine.samples import RowRejected

Value = str | float | bool | None | Sequence[str]
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Rows:
    """Rows of one sample, each with every column but ``sample_id``."""

    rows: Sequence[Row]

    def table(self, sample_id: str, schema: pa.Schema) -> pa.Table:
        """Return the rows as a table of the schema."""
        names = [name for name in schema.names if name != "sample_id"]
        columns = {name: [row[name] for row in self.rows] for name in names}
        return pa.table({"sample_id": [sample_id] * len(self.rows), **columns}, schema=schema)


@dataclass(frozen=True)
class HeadValues:
    """A row for every layer and head of one sample.

    Attributes
    ----------
    columns
        Values ``[L, H]``, or one that holds for all heads; at least one has a value for each. A column of the schema
        that nobody fills is null.
    layers
        The layers' numbers in the model; 0 to L - 1 where None.
    """

    columns: Mapping[str, torch.Tensor | Value]
    layers: Sequence[int] | None = None

    def table(self, sample_id: str, schema: pa.Schema) -> pa.Table:
        """Return the values as a table of the schema, layer by layer."""
        shape = next(values.shape for values in self.columns.values() if isinstance(values, torch.Tensor))
        layer, head = np.indices(shape, dtype=np.int32).reshape(2, -1)
        if self.layers is not None:
            layer = np.array(self.layers, dtype=np.int32)[layer]
        keys: dict[str, np.ndarray | Sequence[object]] = {
            "sample_id": [sample_id] * len(layer),
            "layer": layer,
            "head": head,
        }
        unknown = set(self.columns) - set(schema.names)
        assert not unknown, f"the schema has no {unknown}"
        return pa.table({name: keys.get(name, self._column(name, shape)) for name in schema.names}, schema=schema)

    def _column(self, name: str, shape: torch.Size) -> Sequence[object]:
        values = self.columns.get(name)
        return values.flatten().tolist() if isinstance(values, torch.Tensor) else [values] * shape.numel()


TablePart = Rows | HeadValues
"""One sample's part of a table."""


def joined(first: TablePart, second: TablePart) -> TablePart:
    """Return what two methods say of one sample in one table as one part."""
    if isinstance(first, Rows) and isinstance(second, Rows):
        return Rows([*first.rows, *second.rows])
    assert isinstance(first, HeadValues) and isinstance(second, HeadValues), "rows and values of heads do not mix"
    return HeadValues({**first.columns, **second.columns}, first.layers)


def beside(part: TablePart, **columns: Value) -> TablePart:
    """Return a part with columns that hold for every row of it."""
    if isinstance(part, Rows):
        return Rows([{**row, **columns} for row in part.rows])
    return HeadValues({**part.columns, **columns}, part.layers)


def effect_columns(effect: Effect) -> dict[str, Value]:
    """Return an effect's columns.

    Raises
    ------
    RowRejected
        When it is NaN or infinite.
    """
    if not np.isfinite(effect.logit_difference):
        raise RowRejected("causal", "not_finite", "An intervention gives NaN or infinity; try model.dtype=float32.")
    return {
        "logit_difference": effect.logit_difference,
        "change": effect.logit_difference - effect.reference,
        "is_flipped": (effect.logit_difference > 0) != (effect.reference > 0),
    }
