"""What is asked of a run, and the answers to all questions, before they become charts, sentences and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from analyses.inference.clustered_means import DOMINANT
from analyses.questions.comparisons import Comparison
from analyses.runs.clusters import cluster_codes, noun_of_clusters
from analyses.runs.labels import contrast_text
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from analyses.wording import interval_name, resampled_name


@dataclass(frozen=True)
class Asked:
    """What every question starts from: computed once, shared by all.

    Attributes
    ----------
    run, settings
        The run, and what its analysis may choose.
    style
        What charts and tables of tokens may choose.
    comparisons
        Every configured comparison, those that cannot be tested with their reason.
    head_means
        Mean of every statistic per query group, layer and head.
    transfer
        Another run, on which what was trained on this one is judged; None where none was named.
    """

    run: Run
    settings: AnalysisSettings
    style: VisualizationSettings
    comparisons: tuple[Comparison, ...]
    head_means: pl.DataFrame
    transfer: Run | None = field(default=None, kw_only=True)

    @property
    def comparison(self) -> Comparison | None:
        """The comparison that charts show: the first one configured."""
        return self.comparisons[0] if self.comparisons else None

    @property
    def vocabulary(self) -> str | None:
        """The key group that is the whole vocabulary."""
        return self.run.vocabulary

    @property
    def decision_group(self) -> str:
        """The query group of the decision, or the first there is."""
        groups = self.run.query_groups
        return "decision" if "decision" in groups else groups[0] if groups else ""

    @property
    def intervals(self) -> str:
        """What intervals are called: "95 % intervals"."""
        return f"{interval_name(self.settings.alpha)}s"

    @property
    def resampled_intervals(self) -> str:
        """What percentiles over redrawn clusters are called: "approximate 95 % intervals"."""
        return f"{resampled_name(self.settings.alpha)}s"

    @cached_property
    def mean_interval(self) -> str:
        """What an interval of a mean over all samples is called: approximate where one cluster dominates."""
        codes = cluster_codes(self.run, self.settings.cluster_by)
        name = interval_name(self.settings.alpha)
        return f"approximate {name}" if len(codes) and np.bincount(codes).max() > DOMINANT * len(codes) else name

    @property
    def cluster_noun(self) -> str:
        """What one cluster is, in the words of the run: the field of the predictions that names it."""
        return noun_of_clusters(self.run, self.settings)

    @cached_property
    def contrast(self) -> str:
        """What margins compare, in words: "increase against decrease"."""
        return contrast_text(self.run)


@dataclass(frozen=True)
class Answers(Asked):
    """The tables of all questions by name, ``answers["group_differences"]``, ready for charts, sentences and files."""

    frames: Mapping[str, pl.DataFrame]
    levels: Mapping[str, float] = field(default_factory=dict)
    """Level of each further family of tests (``questions.claims``): all of them share one alpha."""

    def level(self, family: str) -> float:
        """Return the level that a family's claims are held against; alpha for the primary one."""
        return self.levels.get(family, self.settings.alpha)

    def __getitem__(self, table: str) -> pl.DataFrame:
        """Return a table that every analysis has."""
        return self.frames[table]

    def get(self, table: str) -> pl.DataFrame | None:
        """Return a table, or None where the run does not allow for it."""
        return self.frames.get(table)

    @property
    def tested(self) -> pl.DataFrame:
        """Tests of the comparison that charts show."""
        return self.tests_of(self.comparison.name) if self.comparison else self["group_differences"].clear()

    def tests_of(self, name: str) -> pl.DataFrame:
        """Return the tests of one comparison."""
        return self["group_differences"].filter(pl.col("comparison") == name)
