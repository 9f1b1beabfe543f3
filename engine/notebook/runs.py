"""``open_run``: a finished run as lazy frames, charts and samples."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import polars as pl

from analyses.charts.parts import Chart
from analyses.charts.single_texts import drawn
from analyses.charts.themes import theme_of_files
from analyses.reporting.analysis import answer_questions
from analyses.reporting.chapters import make_figures
from analyses.runs.run import Run, open_tables
from analyses.runs.units import RunError
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.encoded_samples import EncodedSample
from engine.encoding.encoded_files import read_batches
from engine.errors import UserError
from engine.schema import layout
from engine.storage.run_directory import RunDirectory


class OpenRun:
    """A run directory.

    Attributes
    ----------
    run_dir
        Where it lies.
    samples
        One row per sample, every column of the contract and those derived from it.
    """

    def __init__(self, run_tables: Run):
        self.run_tables = run_tables
        self.run_dir = run_tables.run_dir
        self.samples = run_tables.samples

    @property
    def tables(self) -> list[str]:
        """Names of the tables: those of the shards, then those of the analysis."""
        return ["samples", *self.run_tables.tables, *self._analysis_files()]

    def table(self, name: str) -> pl.LazyFrame:
        """Return a table by its name, lazily.

        Raises
        ------
        UserError
            When the run has no such table.
        """
        if name == "samples":
            return self.samples.lazy()
        if name in self.run_tables.tables:
            return self.run_tables.tables[name]
        files = self._analysis_files()
        if name not in files:
            raise UserError(f"{self.run_dir}: has no table {name!r}; tables: {', '.join(self.tables)}.")
        return pl.scan_parquet(files[name], glob=False)

    @property
    def head_stats(self) -> pl.LazyFrame:
        """One row per sample, query group, layer and head."""
        return self.run_tables.head_stats

    def _analysis_files(self) -> dict[str, Path]:
        return {path.stem: path for path in sorted((self.run_dir / layout.ANALYSIS / "tables").glob("*.parquet"))}

    @property
    def report(self) -> Path:
        """Where the report is.

        Raises
        ------
        UserError
            When the run was not analysed yet.
        """
        path = self.run_dir / layout.ANALYSIS / "report.html"
        if not path.is_file():
            raise UserError(f"{self.run_dir}: has no report; make it with python -m analyses.report {self.run_dir}.")
        return path

    @cached_property
    def charts(self) -> dict[str, Chart]:
        """The report's charts by name, as Altair charts; the analysis is computed when they are first asked for."""
        sections = self.run_tables.config.get("analysis") or {}, self.run_tables.config.get("visualization") or {}
        look = VisualizationSettings.from_mapping(sections[1])
        tables = answer_questions(self.run_tables, AnalysisSettings.from_mapping(sections[0]), look)
        return {
            figure.name: drawn(figure.specification | {"config": theme_of_files(look.theme)})
            for figure in make_figures(tables)[0]
        }

    def sample(self, sample_id: str) -> EncodedSample:
        """Return a sample as the model saw it, for ``quick_attention_analysis(model, tokenizer, run.sample(id))``.

        Raises
        ------
        UserError
            When the run measured no such sample, or its plan is not there.
        """
        if sample_id not in self.run_tables.rows_of:
            some = ", ".join(self.samples["sample_id"].head(5))
            raise UserError(f"{self.run_dir}: measured no sample {sample_id!r}; samples are {some}, …")
        for path in sorted(RunDirectory(self.run_dir).plan.encoded.glob("*.parquet")):
            found = pl.scan_parquet(path, glob=False).filter(pl.col("sample_id") == sample_id).select("sample_id")
            if found.collect().height:
                return next(s for batch in read_batches(path) for s in batch if s.sample_id == sample_id)
        raise UserError(f"{self.run_dir}: holds no encoded samples (plan/encoded); the table tokens has their tokens.")

    def __repr__(self) -> str:
        """Say where the run lies and what it holds."""
        found = (
            f"{len(self.samples):,} samples, {self.run_tables.num_layers} layers x {self.run_tables.num_heads} heads"
        )
        return f"{type(self).__name__}({str(self.run_dir)!r}: {found}; .table(name), .charts, .sample(id))"

    def _repr_html_(self) -> str:
        """Show in Jupyter and marimo what the run holds."""
        return (
            f"<p><b>{self.run_dir.name}</b>: {len(self.samples):,} samples, {self.run_tables.num_layers} layers x "
            f"{self.run_tables.num_heads} heads. Tables: {', '.join(self.tables)}.</p>"
        )


def open_run(path: str | Path, *, partial: bool = False) -> OpenRun:
    """Open a finished run.

    Parameters
    ----------
    path
        The run directory.
    partial
        Whether an unfinished run is acceptable; only what is whole is read.

    Raises
    ------
    UserError
        When the directory is no run, or is not finished.
    """
    try:
        return OpenRun(open_tables(Path(path), partial=partial))
    except RunError as error:
        raise UserError(f"{error}") from None
