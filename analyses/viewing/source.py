"""A run, opened to be looked at: rows of one sample from its own unit's files, values of all heads kept for a while.

Nothing is read before it is asked for, but the samples, and the texts in the background, so that a search finds them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from analyses.runs.run import Run, open_tables
from analyses.runs.units import scan_table, table_files
from analyses.runs.values import statistic_blocks
from analyses.settings.analysis import nouns_of
from analyses.wording import Noun
from engine.schema import layout

KEPT_BYTES = 256 * 2**20
"""Most bytes of head statistics that one run keeps in memory."""

TEXT_BYTES = 384 * 2**20
"""Most bytes of texts that one run keeps in memory to be searched; of a larger run the first samples'."""


@dataclass
class ViewedRun:
    """A run with what the view remembers of it.

    Attributes
    ----------
    name
        What it is called beside others.
    run
        Its tables.
    nouns
        What its config calls things (``analysis.nouns``).
    """

    name: str
    run: Run
    nouns: Mapping[Noun, str] = field(default_factory=dict)
    _values: OrderedDict[tuple[str, str], np.ndarray] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def files(self) -> Mapping[str, list[Path]]:
        """Every file of each table."""
        return table_files(self.run.run_dir, self.run.left_out)

    @cached_property
    def units(self) -> Mapping[str, str]:
        """Sample to the folder that holds its measured rows."""
        found: dict[str, str] = {}
        for path in self.files["samples"]:
            ids = pl.read_parquet(path, columns=["sample_id"], glob=False)["sample_id"].cast(pl.String)
            found |= dict.fromkeys(ids, path.parent.name)
        return found

    def rows(self, table: str, sample_id: str) -> pl.DataFrame:
        """Return a sample's rows of a table; no row where the run has no such table or sample."""
        unit = self.units.get(sample_id)
        paths = [path for path in self.files.get(table, ()) if path.parent.name == unit]
        if not paths:  # tables of causal units lie in folders of their own
            paths = list(self.files.get(table, ()))
        if not paths or unit is None:
            return pl.DataFrame()
        return scan_table(paths).filter(pl.col("sample_id").cast(pl.String) == sample_id).collect()

    def values(self, query_group: str, statistic: str) -> np.ndarray:
        """Return a statistic of every head, float32 ``[samples, layers * heads]``, NaN where unknown.

        The first call reads it from the files; as many are remembered as fit.
        """
        key = query_group, statistic
        with self._lock:
            if key not in self._values:
                ((_, block),) = statistic_blocks(self.run, query_group, (statistic,))
                self._values[key] = block[:, 0]
            self._values.move_to_end(key)
            while len(self._values) > 1 and sum(kept.nbytes for kept in self._values.values()) > KEPT_BYTES:
                self._values.popitem(last=False)
            return self._values[key]

    def analysis(self, table: str) -> pl.DataFrame | None:
        """Return a table of the run's analysis, or None where it was not analysed."""
        path = self.run.run_dir / layout.ANALYSIS / "tables" / f"{table}.parquet"
        return pl.read_parquet(path, glob=False) if path.exists() else None

    @cached_property
    def texts(self) -> Texts:
        """The samples' texts, which begin to be read when they are first asked for."""
        return Texts(self.files.get("tokens", []))


class Texts:
    """Texts of all samples, read in the background, one file after the other."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._parts: list[pl.DataFrame] = []
        self.num_read = 0
        self.is_cut = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def share_read(self) -> float:
        """How much was read, 0 to 1."""
        return self.num_read / len(self._paths) if self._paths else 1.0

    def wait(self, seconds: float) -> None:
        """Wait until all texts are read, at most so long."""
        self._thread.join(seconds)

    def _read(self) -> None:
        size = 0
        for path in self._paths:
            ordered = scan_table([path]).select("sample_id", "position", "token").sort("sample_id", "position")
            joined = ordered.group_by("sample_id", maintain_order=True).agg(text=pl.col("token").str.join(""))
            part = joined.collect().with_columns(pl.col("sample_id").cast(pl.String))
            size += int(part.estimated_size())
            if size > TEXT_BYTES:
                self.is_cut = True
                break
            self._parts.append(part)
            self.num_read += 1

    def containing(self, words: str) -> pl.Series:
        """Return the ids of samples whose text, as far as it is read, contains the words; capitals do not matter."""
        wanted = pl.col("text").str.contains_any([words], ascii_case_insensitive=True)
        found = [part.filter(wanted)["sample_id"] for part in list(self._parts)]
        return pl.concat([pl.Series("sample_id", [], dtype=pl.String), *found])


def open_viewed(run_dirs: list[Path], *, partial: bool = False) -> list[ViewedRun]:
    """Open runs; those whose folders have the same name are named by their paths.

    Raises
    ------
    RunError
        When a directory cannot be read as a run.
    SettingsError
        When its ``run.yaml`` holds nouns that are none.
    """
    names = [path.resolve().name for path in run_dirs]
    viewed = []
    for path, name in zip(run_dirs, names, strict=True):
        run = open_tables(path, partial=partial)
        viewed.append(ViewedRun(name if names.count(name) == 1 else str(path), run, nouns_of(run.section("analysis"))))
    return viewed
