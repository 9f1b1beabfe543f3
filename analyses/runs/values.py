"""Tidy frames from the tables of a run.

A frame that is collected here has at most one row per sample and query group, or one per head; values per sample and
head come as arrays, in blocks of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa

from analyses.cores import in_order
from analyses.runs.layouts import coded, file_values, whole_samples
from analyses.runs.run import Run
from engine.schema import BASELINE_PREFIX

BLOCK_BYTES = 768 * 2**20
"""Most bytes of ``head_stats`` values that are in memory at once while tests are made."""


def shard_values(
    run: Run, columns: Sequence[str], query_groups: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield columns of ``head_stats`` a few samples at a time, as the files hold them.

    Yields
    ------
    rows
        ``[samples of the piece]`` places in ``run.samples``; every sample comes once.
    values
        float32 ``[samples of the piece, query groups, columns, layers * heads]``; NaN for null and for a head that a
        layer lacks.
    """
    shape = run.num_layers, run.num_heads
    for layout in run.layouts:
        yield from file_values(layout, run.rows_of, columns, query_groups, shape)


@dataclass(frozen=True)
class Block:
    """Values of some statistics of some query groups, float32 ``[samples, query groups, statistics, places]``.

    A place is ``layer * num_heads + head``; samples are in the order of ``run.samples``.
    """

    query_groups: tuple[str, ...]
    statistics: tuple[str, ...]
    values: np.ndarray


def value_blocks(run: Run, statistics: Sequence[str], max_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the values of every statistic and query group, as many at a time as fit; at least one of each.

    Files are read once per block, so memory does not grow with the samples until one statistic of one query group alone
    is larger than ``max_bytes`` (768 MiB: 255,000 samples of 784 heads).
    """
    groups = run.query_groups
    one = 4 * len(run.samples) * run.num_layers * run.num_heads
    at_once = len(groups) if one * len(groups) <= max_bytes else 1
    step = max(1, max_bytes // max(one * at_once, 1))
    for first in range(0, len(groups), max(at_once, 1)):
        chosen = groups[first : first + at_once]
        for start in range(0, len(statistics), step):
            names = tuple(statistics[start : start + step])
            yield Block(chosen, names, _whole(run, names, chosen))


def statistics_apart(run: Run, statistics: Sequence[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield query group, statistic and ``[samples, layers * heads]``, as ``value_blocks`` has them, one by one."""
    for block in value_blocks(run, statistics):
        for group, query_group in enumerate(block.query_groups):
            for slot, statistic in enumerate(block.statistics):
                yield query_group, statistic, block.values[:, group, slot]


def statistic_blocks(
    run: Run, query_group: str, statistics: Sequence[str], max_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield names and values ``[samples, statistics, layers * heads]`` of one query group, as many as fit."""
    one = 4 * len(run.samples) * run.num_layers * run.num_heads
    step = max(1, max_bytes // max(one, 1))
    for start in range(0, len(statistics), step):
        names = tuple(statistics[start : start + step])
        yield names, _whole(run, names, (query_group,))[:, 0]


def _whole(run: Run, names: Sequence[str], query_groups: Sequence[str]) -> np.ndarray:
    shape = len(run.samples), len(query_groups), len(names), run.num_layers * run.num_heads
    result = np.full(shape, np.nan, dtype=np.float32)
    for rows, values in shard_values(run, names, query_groups):
        result[rows] = values
    return result


TOP_KEYS = "decision_top_keys"


@dataclass(frozen=True)
class KeyPiece:
    """Kept keys of some samples, arrays ``[rows]``.

    Attributes
    ----------
    sample
        Place in ``run.samples``; -1 for a sample that is not there.
    head
        ``layer * num_heads + head``.
    token
        Place in ``TopKeys.tokens``.
    weight
        float64; 0 for null.
    """

    sample: np.ndarray
    head: np.ndarray
    token: np.ndarray
    weight: np.ndarray


@dataclass
class TopKeys:
    """The keys that the decision rows weigh most, a few samples at a time: they are ten times the rows of heads.

    Attributes
    ----------
    run
        The run that keeps them.
    tokens
        Texts of the tokens met so far, in the order in which they were met; None stands for null.
    """

    run: Run
    tokens: list[str | None] = field(default_factory=list)
    _places: dict[str | None, int] = field(default_factory=dict, repr=False)

    def pieces(self) -> Iterator[KeyPiece]:
        """Yield the rows in order, all of a sample in one piece."""
        for path in self.run.files.get(TOP_KEYS, ()):
            for table in whole_samples(path, ("sample_id", "layer", "head", "token", "weight")):
                samples, names = coded(table["sample_id"])
                tokens, texts = coded(table["token"])
                used = np.zeros(len(texts), dtype=bool)
                used[tokens] = True
                place_of = np.array([self._place(text) if use else -1 for text, use in zip(texts, used, strict=True)])
                row_of = np.array([-1 if name is None else self.run.rows_of.get(name, -1) for name in names])
                layer, head = (table[name].to_numpy().astype(np.int64) for name in ("layer", "head"))
                weight = table["weight"].cast(pa.float64()).fill_null(0.0).to_numpy()
                yield KeyPiece(row_of[samples], layer * self.run.num_heads + head, place_of[tokens], weight)

    def _place(self, text: str | None) -> int:
        place = self._places.setdefault(text, len(self.tokens))
        if place == len(self.tokens):
            self.tokens.append(text)
        return place


def baseline_values(run: Run, query_group: str, key_group: str) -> np.ndarray | None:
    """Return what uniform attention would give a key group, ``[samples, layers]``; None without baselines.

    A baseline row without a layer holds for every layer; a row with one holds for that layer. The array has one column
    where no row has a layer.
    """
    return run.baselines.get((query_group, f"{BASELINE_PREFIX}{key_group}"))


def head_means(run: Run) -> pl.DataFrame:
    """Return the mean of every statistic per query group, layer and head, over samples."""
    groups, names = run.query_groups, run.statistics
    num_places = run.num_layers * run.num_heads
    sums = np.zeros((len(groups), len(names), num_places))
    counts = np.zeros(sums.shape, dtype=np.int64)

    def summed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = ~np.isnan(values)
        return known.sum(axis=0), np.where(known, values, 0).sum(axis=0, dtype=np.float64)

    for number, total in in_order(partial(summed, values) for _, values in shard_values(run, names, groups)):
        counts += number
        sums += total
    with np.errstate(invalid="ignore"):
        # Infinities of both signs cancel to NaN; they must stay visible as what they are.
        means = np.where(counts > 0, np.where(np.isnan(sums), np.inf, sums) / np.maximum(counts, 1), np.nan)
    places = np.arange(num_places)
    heads = max(run.num_heads, 1)
    frame = pl.DataFrame(
        {
            "query_group": np.repeat(np.array(groups, dtype=object), num_places).tolist(),
            "layer": np.tile(places // heads, len(groups)).astype(np.int32),
            "head": np.tile(places % heads, len(groups)).astype(np.int32),
        },
        schema={"query_group": pl.String, "layer": pl.Int32, "head": pl.Int32},
    ).with_columns(
        *(pl.Series(name, means[:, slot].reshape(-1)).fill_nan(None) for slot, name in enumerate(names)),
        num_samples=pl.Series(counts.max(axis=1, initial=0).reshape(-1)).cast(pl.UInt32),
    )
    return frame.sort("query_group", "layer", "head")
