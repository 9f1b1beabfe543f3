"""How the rows of a ``head_stats`` file lie, and reading its columns as arrays, a bounded number of rows at a time.

The engine writes samples one after another, and within each the query groups, layers and heads in order. A file that
lies like this is *regular*: a column is an array ``[samples, query groups, layers * heads]`` without any sorting or
joining. Other writers may order rows as they like; their files are read by their keys, a whole file at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

KEYS = ("sample_id", "query_group", "layer", "head")

ROWS_AT_ONCE = 2**18
"""Rows that are decoded at once; 30 columns of them are 31 MB."""


@dataclass(frozen=True)
class FileLayout:
    """What the rows of one file are.

    Attributes
    ----------
    path
        The file.
    sample_ids
        Its samples, in the order of the rows where that is regular.
    query_groups
        Its query groups, in the order of the rows where that is regular.
    num_layers, num_heads
        Highest layer and head plus one.
    is_regular
        Whether rows lie sample by sample, each with every query group, layer and head in the same order.
    """

    path: Path
    sample_ids: tuple[str | None, ...]
    query_groups: tuple[str, ...]
    num_layers: int
    num_heads: int
    is_regular: bool

    @property
    def rows_per_sample(self) -> int:
        """Rows of each sample of a regular file."""
        return len(self.query_groups) * self.num_layers * self.num_heads


def read_layout(path: Path) -> FileLayout:
    """Find out how a file's rows lie, from its key columns."""
    texts = _texts(path, KEYS)
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        if file.metadata.num_rows == 0:
            return FileLayout(path, (), (), 0, 0, is_regular=True)
        first = _beginning(file)
        is_whole = first.num_rows == file.metadata.num_rows
    pattern = _first_sample(_keys(first))
    layout: list[tuple[str | None, ...]] = []
    if pattern is not None:
        length = len(pattern[0])
        for table in [first] if is_whole else _aligned(path, KEYS, length, texts):
            ids = _ids_of(_keys(table), pattern) if table.num_rows % length == 0 else None
            if ids is None:
                break
            layout.append(ids)
        else:
            together = tuple(name for ids in layout for name in ids)
            if len(set(together)) == len(together):
                groups = tuple(dict.fromkeys(pattern[0].tolist()))
                return FileLayout(path, together, groups, int(pattern[1].max()) + 1, int(pattern[2].max()) + 1, True)
    return _irregular(path)


def _beginning(file: pq.ParquetFile) -> pa.Table:
    """Return the keys of the first ``ROWS_AT_ONCE`` rows, or a few more."""
    if file.metadata.num_rows <= ROWS_AT_ONCE:
        return file.read(columns=list(KEYS))
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(KEYS)):  # no larger than a row group
        held.append(batch)
        count += batch.num_rows
        if count >= ROWS_AT_ONCE:
            break
    return pa.Table.from_batches(held)


def _keys(table: pa.Table) -> tuple[pa.ChunkedArray, ...]:
    return tuple(table[name] for name in KEYS)


def _first_sample(keys: tuple[pa.ChunkedArray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return query group, layer and head of the first sample's rows; None where they are no complete grid in order."""
    if any(column.null_count for column in keys):
        return None
    codes = keys[0].combine_chunks().dictionary_encode().indices.to_numpy()
    changes = np.flatnonzero(codes != codes[0])
    length = int(changes[0]) if len(changes) else len(codes)
    group_codes, group_names = coded(keys[1].slice(0, length))
    groups = np.array(group_names, dtype=object)[group_codes]
    layers, heads = (column.slice(0, length).to_numpy().astype(np.int64) for column in keys[2:])
    num_layers, num_heads = int(layers.max()) + 1, int(heads.max()) + 1
    names = list(dict.fromkeys(groups.tolist()))
    places = np.arange(num_layers * num_heads)
    is_grid = (
        len(names) * len(places) == length
        and np.array_equal(groups, np.repeat(np.array(names, dtype=object), len(places)))
        and np.array_equal(layers, np.tile(places // num_heads, len(names)))
        and np.array_equal(heads, np.tile(places % num_heads, len(names)))
    )
    return (groups, layers, heads) if is_grid else None


def _ids_of(
    keys: tuple[pa.ChunkedArray, ...], pattern: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[str | None, ...] | None:
    """Return the samples of whole multiples of the pattern's rows; None where the rows do not follow the pattern."""
    length = len(pattern[0])
    if any(column.null_count for column in keys):
        return None
    ids = keys[0].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy().reshape(-1, length)
    groups = keys[1].combine_chunks().dictionary_encode()
    named = np.array(groups.dictionary.to_pylist(), dtype=object)
    wanted = {name: slot for slot, name in enumerate(named.tolist())}
    slots = np.array([wanted.get(name, -1) for name in pattern[0].tolist()])
    follows = (
        (codes == codes[:, :1]).all()
        and (groups.indices.to_numpy().reshape(-1, length) == slots).all()
        and (keys[2].to_numpy().reshape(-1, length) == pattern[1]).all()
        and (keys[3].to_numpy().reshape(-1, length) == pattern[2]).all()
    )
    return tuple(ids.dictionary.cast(pa.string()).take(pa.array(codes[:, 0])).to_pylist()) if follows else None


def _irregular(path: Path) -> FileLayout:
    rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    facts = rows.select(
        ids=pl.col("sample_id").cast(pl.String).unique(maintain_order=True).implode(),
        groups=pl.col("query_group").unique(maintain_order=True).implode(),
        num_layers=pl.col("layer").max() + 1,
        num_heads=pl.col("head").max() + 1,
    )
    counts = facts.collect().row(0, named=True)
    groups = tuple(name for name in counts["groups"] if name is not None)
    return FileLayout(path, tuple(counts["ids"]), groups, counts["num_layers"] or 0, counts["num_heads"] or 0, False)


def _texts(path: Path, columns: Sequence[str]) -> list[str]:
    """Return the columns of text, which are read as codes and a list: comparing codes takes a fraction of the time."""
    kinds = pq.read_schema(path)
    given = [name for name in columns if name in kinds.names]
    return [name for name in given if pa.types.is_string(kinds.field(name).type) or _is_large(kinds.field(name).type)]


def _is_large(kind: pa.DataType) -> bool:
    return pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _aligned(path: Path, columns: Sequence[str], multiple: int, texts: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Yield a file's rows in order, about ``ROWS_AT_ONCE`` at a time: multiples of ``multiple`` until the last."""
    with pq.ParquetFile(path, read_dictionary=list(texts)) as file:
        if file.metadata.num_rows <= ROWS_AT_ONCE:
            yield file.read(columns=list(columns))
            return
        held, count, size = [], 0, max(ROWS_AT_ONCE // multiple, 1) * multiple
        for batch in file.iter_batches(size, columns=list(columns)):
            held.append(batch)
            count += batch.num_rows
            if count >= size:
                table = pa.Table.from_batches(held)
                yield table.slice(0, count // multiple * multiple)
                held = table.slice(count // multiple * multiple).to_batches()
                count %= multiple
        if held:
            yield pa.Table.from_batches(held)


def whole_samples(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield a file's rows, about ``ROWS_AT_ONCE`` at a time, each sample in one piece; texts are dictionary-encoded.

    ``columns`` must hold ``sample_id``. A file whose samples do not lie together is one piece.
    """
    with pq.ParquetFile(path, read_dictionary=_texts(path, columns)) as file:
        if file.metadata.num_rows <= ROWS_AT_ONCE or not _lie_together(file):
            yield file.read(columns=list(columns))
            return
        held = file.schema_arrow.empty_table().select(columns)
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
            table = pa.concat_tables([held, pa.Table.from_batches([batch]).select(columns)])
            codes = coded(table["sample_id"])[0]
            last = int(np.flatnonzero(np.diff(codes, prepend=-1))[-1])
            if last:
                yield table.slice(0, last)
            held = table.slice(last)
        yield held


def _lie_together(file: pq.ParquetFile) -> bool:
    """Whether the rows of each sample follow one another."""
    seen: set[str | None] = set()
    last: list[str | None] = []
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=["sample_id"]):
        codes, names = coded(pa.chunked_array([batch.column(0)]))
        met = [names[code] for code in codes[np.flatnonzero(np.diff(codes, prepend=-1))]]
        fresh = met[1:] if met[:1] == last else met
        if len({*fresh}) < len(fresh) or not seen.isdisjoint(fresh):
            return False
        seen.update(fresh)
        last = met[-1:] or last
    return True


def coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str | None]]:
    """Return the places of a column's texts in a list that ends with None, which stands for null, and that list."""
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    encoded = whole if isinstance(whole, pa.DictionaryArray) else whole.dictionary_encode()
    names = [*encoded.dictionary.cast(pa.string()).to_pylist(), None]
    return encoded.indices.cast(pa.int64()).fill_null(len(names) - 1).to_numpy(), names


def file_values(
    layout: FileLayout, rows_of: Mapping[str, int], columns: Sequence[str], query_groups: Sequence[str], shape: tuple
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a file's values piece by piece, each sample in one piece.

    Parameters
    ----------
    layout
        As from ``read_layout``.
    rows_of
        Sample to its row in ``samples``; other samples are left out.
    columns, query_groups
        What to read.
    shape
        Layers and heads of the run.

    Yields
    ------
    rows
        ``[samples of the piece]``.
    values
        float32 ``[samples of the piece, query groups, columns, layers * heads]``; NaN for null and for what is absent.
    """
    if not layout.is_regular or (layout.num_layers, layout.num_heads) != shape:
        yield from _scattered(layout, rows_of, columns, query_groups, shape)
        return
    start, num_places = 0, shape[0] * shape[1]
    for table in _aligned(layout.path, columns, max(layout.rows_per_sample, 1)):
        num_samples = table.num_rows // max(layout.rows_per_sample, 1)
        ids = layout.sample_ids[start : start + num_samples]
        start += num_samples
        rows = np.array([rows_of.get(name, -1) for name in ids if name is not None], dtype=np.int64)
        values = np.full((num_samples, len(query_groups), len(columns), num_places), np.nan, dtype=np.float32)
        for slot, name in enumerate(columns):
            column = table[name].to_numpy().reshape(num_samples, len(layout.query_groups), num_places)
            for place, group in enumerate(query_groups):
                if group in layout.query_groups:
                    values[:, place, slot] = column[:, layout.query_groups.index(group)]
        yield (rows, values) if (rows >= 0).all() else (rows[rows >= 0], values[rows >= 0])


def _scattered(
    layout: FileLayout, rows_of: Mapping[str, int], columns: Sequence[str], query_groups: Sequence[str], shape: tuple
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    known = [name for name in layout.sample_ids if name in rows_of]
    if not known:
        return
    index = pl.LazyFrame({"sample_id": known}, schema={"sample_id": pl.String}).with_row_index("piece")
    groups = pl.LazyFrame({"query_group": list(query_groups)}, schema={"query_group": pl.String}).with_row_index("slot")
    place = (pl.col("layer").cast(pl.Int64) * shape[1] + pl.col("head").cast(pl.Int64)).alias("place")
    named = [pl.col(name).cast(pl.Float32).alias(f"value {slot}") for slot, name in enumerate(columns)]
    rows = pl.scan_parquet(layout.path, glob=False, hive_partitioning=False)
    rows = rows.select(pl.col("sample_id").cast(pl.String), pl.col("query_group").cast(pl.String), place, *named)
    frame = rows.join(index, on="sample_id").join(groups, on="query_group").collect()
    values = np.full((len(known), len(query_groups), len(columns), shape[0] * shape[1]), np.nan, dtype=np.float32)
    at = frame["piece"].to_numpy(), frame["slot"].to_numpy(), frame["place"].to_numpy()
    for slot in range(len(columns)):
        values[at[0], at[1], slot, at[2]] = frame[f"value {slot}"].fill_null(float("nan")).to_numpy()
    yield np.array([rows_of[name] for name in known if name is not None], dtype=np.int64), values
