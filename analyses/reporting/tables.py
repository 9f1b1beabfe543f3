"""Writing the tables of an analysis so that each file explains itself."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from analyses.questions.answer_table import AnswerTable
from analyses.questions.answers import Asked
from engine.schema import SCHEMA_VERSION


def write_table(frame: pl.DataFrame, folder: Path, table: AnswerTable, asked: Asked | None = None) -> None:
    """Write a table as Parquet with its grain, method and each column's meaning in the Arrow metadata.

    Parameters
    ----------
    frame
        The rows.
    folder
        ``analysis/tables``.
    table
        What its columns mean.
    asked
        What a method's text depends on; without it the file carries none.
    """
    content = table.declared(frame).to_arrow()
    metadata = {"headledger_table": table.name, "headledger_schema_version": SCHEMA_VERSION, "grain": table.grain}
    if table.method and asked:
        metadata["method"] = table.method(asked)
    schema = content.schema
    for slot, field in enumerate(schema):
        schema = schema.set(slot, field.with_metadata(table.metadata(field.name)))
    pq.write_table(content.cast(schema.with_metadata(metadata)), folder / f"{table.name}.parquet", compression="zstd")
