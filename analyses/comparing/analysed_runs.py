"""Runs that are compared: opened, with the tables of their analyses and names that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from analyses.runs.clusters import noun_of_clusters, noun_of_samples
from analyses.runs.run import Run, open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.wording import Noun
from engine.schema import layout


@dataclass(frozen=True)
class AnalysedRun:
    """A run with a name that tells it from the others, opened, and the tables of its analysis."""

    name: str
    directory: Path
    opened: Run
    settings: AnalysisSettings

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of ``analysis/tables``; an earlier version's tests, without a level, have the config's."""
        table = pl.read_parquet(self.directory / layout.ANALYSIS / "tables" / f"{name}.parquet", glob=False)
        is_earlier = name == "group_differences" and "level" not in table.columns
        return table.with_columns(level=pl.lit(self.settings.alpha)) if is_earlier else table


def open_runs(run_dirs: Sequence[Path], *, partial: bool = False) -> list[AnalysedRun]:
    """Open runs that are analysed already; runs whose folders have the same name are named by their paths."""
    names = [path.resolve().name for path in run_dirs]
    opened = []
    for path, name in zip(run_dirs, names, strict=True):
        run = open_tables(path, partial=partial)
        settings = AnalysisSettings.from_mapping(run.config.get("analysis") or {})
        opened.append(AnalysedRun(name if names.count(name) == 1 else str(path), path, run, settings))
    return opened


class CountedNouns(NamedTuple):
    """What one cluster and one sample are called where they are counted."""

    cluster: str = "cluster"
    sample: str = "sample"


PLAIN_NOUNS = CountedNouns()


def shared_nouns(runs: Sequence[AnalysedRun]) -> dict[Noun, str]:
    """Return what all runs call by the same word; where they disagree, a thing has its default name."""
    first, *others = (run.settings.nouns for run in runs)
    return {noun: word for noun, word in first.items() if all(other.get(noun) == word for other in others)}


def counted_nouns(runs: Sequence[AnalysedRun]) -> CountedNouns:
    """Return the words for clusters, which are those of the first run, and for samples."""
    settings = runs[0].settings.model_copy(update={"nouns": shared_nouns(runs)})
    return CountedNouns(noun_of_clusters(runs[0].opened, settings), noun_of_samples(settings))


def shape_of(run: AnalysedRun) -> tuple[int, int]:
    """Return the number of layers and of heads per layer."""
    return run.opened.num_layers, run.opened.num_heads
