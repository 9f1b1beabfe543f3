"""``ComparativeAnalyzer``: two lists of samples, tested as a run tests them, with a warning when they say nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from analyses.charts.heads import difference_map
from analyses.charts.parts import Chart, Menus
from analyses.questions.comparisons import Comparison
from analyses.questions.differences.answer import group_differences
from analyses.questions.differences.figures import significance_mark, wide_tests
from analyses.questions.families import is_certain
from analyses.questions.power.answer import power
from analyses.questions.power.sentences import power_sentences
from analyses.runs.run import Run
from analyses.settings.columns import Group
from analyses.settings.visualization import VisualizationSettings
from engine.config import Config
from engine.encoded_samples import EncodedSample
from engine.errors import UserError
from engine.measuring.measured import Measured
from engine.measuring.tables.unit import unit_tables
from engine.notebook.guide.cells import shows_itself
from engine.notebook.head_types import run_of_tables
from engine.notebook.workbench import AnySample, Workbench, warn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FEWEST = 10
"""Samples of a group below which nothing is claimed, as for rare key groups."""

GROUP = "prediction"


@dataclass(frozen=True)
class PredictionComparison:
    """What heads do differently in two groups of samples.

    Attributes
    ----------
    table
        One row per query group, statistic, layer and head, as ``analysis/tables/group_differences.parquet``.
    num_a, num_b, label_a, label_b
        Sizes and names of the groups; differences are a minus b.
    warning
        What the numbers cannot say; empty when there is nothing to warn of.
    power
        Sentences on the smallest effects that samples like these could show.
    samples
        The table ``samples``.
    """

    table: pl.DataFrame
    label_a: str
    label_b: str
    num_a: int
    num_b: int
    warning: str
    power: tuple[str, ...]
    samples: pl.DataFrame
    alpha: float

    @property
    def findings(self) -> pl.DataFrame:
        """The tests whose every adjusted p is at most alpha, strongest first."""
        return self.table.filter(is_certain(self.alpha)).sort(pl.col("effect_size_adjusted").abs(), descending=True)

    def __repr__(self) -> str:
        """Say how much was compared and found."""
        return (
            f"PredictionComparison({self.num_a} {self.label_a}, {self.num_b} {self.label_b}: {len(self.findings):,} of "
            f"{self.table['pvalue'].count():,} tests hold; .findings, .table, .power)"
        )

    def _repr_html_(self) -> str:
        """Show in Jupyter and marimo how much was found."""
        warning = f"<p><b>{self.warning}</b></p>" if self.warning else ""
        return (
            f"<p>{self.num_a} {self.label_a} and {self.num_b} {self.label_b} samples: {len(self.findings):,} of "
            f"{self.table['pvalue'].count():,} tests hold after adjustment.</p>{warning}"
        )


class ComparativeAnalyzer:
    """Compares what heads look at when a model predicts one label or the other.

    The tests are those of a run: the sample is the unit, clustered by company where records name one, adjusted for
    length and over the whole family of tests. (The guide's t-tests pooled heads and layers as if they were samples.)

    Parameters
    ----------
    model, tokenizer
        Loaded already; the model is left as it was.
    config, vocabulary
        As for ``FinancialAttentionAnalyzer``; ``analysis`` holds the settings of the tests.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        config: Config | str | Path | Mapping[str, object] | None = None,
        vocabulary: str | Path | Mapping[str, Sequence[str]] | None = None,
    ):
        self.bench = Workbench(model, tokenizer, config, vocabulary)

    def __repr__(self) -> str:
        """Say whose answers it compares."""
        return f"ComparativeAnalyzer({self.bench!r})"

    def compare_prediction_attention(
        self, increase_samples: Sequence[AnySample], decrease_samples: Sequence[AnySample]
    ) -> PredictionComparison:
        """Measure and test two lists of samples.

        Parameters
        ----------
        increase_samples, decrease_samples
            Records of predictions, or prompts, which are read as answered by the label of their list: the first and the
            second of ``decision.contrast``. Samples without a company are a cluster each.

        Raises
        ------
        UserError
            When a list is empty, a sample cannot be used, or its record predicts another label than its list's.
        """
        decision = self.bench.config.decision
        labels = decision.pair or tuple(decision.labels)[:2]
        encoded = [
            sample
            for label, name, given in zip(
                labels, ("increase_samples", "decrease_samples"), (increase_samples, decrease_samples), strict=True
            )
            for sample in self._encoded(given, label, name)
        ]
        config = self.bench.config.model_copy(deep=True)
        group = Group(name=GROUP, column="predicted_label", a=labels[0], b=labels[1])
        config.analysis = settings = config.analysis.model_copy(update={"groups": (group,)})
        with tempfile.TemporaryDirectory(prefix="headledger-") as folder:
            tables = self._run(encoded, config, Path(folder))
            found, _, (comparison,) = group_differences(tables, settings)
            reach = tuple(power_sentences(power(tables, settings)))
            samples = tables.samples
        warning = _warning(comparison, reach)
        if warning:
            warn(warning)
        return PredictionComparison(
            found,
            comparison.label_a,
            comparison.label_b,
            int(comparison.is_a.sum()),
            int(comparison.is_b.sum()),
            warning,
            reach,
            samples,
            settings.alpha,
        )

    def _encoded(self, given: Sequence[AnySample], label: str, name: str) -> list[EncodedSample]:
        # The guide writes [sample1, sample2, ...] with a real ellipsis in it.
        samples = [sample for sample in given if sample is not Ellipsis]
        if isinstance(given, str) or not samples:
            raise UserError(f"{name}: give a list of at least one record or text.")
        found, taken = [], set()
        for number, sample in enumerate(samples):
            sample_id = f"{label}-{number}"
            own = self.bench.encode(sample, label, sample_id)
            said = own.metadata.get("predicted_label")
            if said != label:
                raise UserError(f"{name}[{number}]: predicts {said!r}, but belongs to the samples that say {label!r}.")
            if own.sample_id in taken or own.sample_id == "sample":
                own = replace(own, sample_id=sample_id)
            if own.metadata.get("cluster") is None:
                own = replace(own, metadata={**own.metadata, "cluster": sample_id})
            taken.add(own.sample_id)
            found.append(own)
        return found

    def _run(self, encoded: Sequence[EncodedSample], config: Config, folder: Path) -> Run:
        encoded = _with_own_ids(encoded)
        names = list(encoded[0].key_groups)
        units: list[Mapping[str, pa.Table]] = []
        for sample in encoded:
            measured: Measured = self.bench.measure(sample)
            units.append(unit_tables([measured], names, config.statistics, config.predictions.keep))
        merged = {
            name: pa.concat_tables([unit[name] for unit in units])
            for name in units[0]
            if all(name in unit for unit in units)
        }
        return run_of_tables(folder, [merged], config)

    @shows_itself
    def plot_attention_comparison(self, comparison: PredictionComparison, query_group: str = "decision") -> Chart:
        """Return a heatmap of heads, a minus b, with a menu of statistics; dots are findings. An Altair chart."""
        return plot_comparison(comparison, self.bench.config.visualization, query_group)


def _with_own_ids(encoded: Sequence[EncodedSample]) -> list[EncodedSample]:
    """Return samples whose ids differ: the same record may stand in both lists only under two names."""
    taken: set[str] = set()
    found = []
    for number, sample in enumerate(encoded):
        own = sample if sample.sample_id not in taken else replace(sample, sample_id=f"{sample.sample_id} ({number})")
        taken.add(own.sample_id)
        found.append(own)
    return found


def _warning(comparison: Comparison, reach: Sequence[str]) -> str:
    if comparison.problem:
        return comparison.problem
    number_a, number_b = int(comparison.is_a.sum()), int(comparison.is_b.sum())
    if min(number_a, number_b) >= _FEWEST:
        return ""
    return (
        f"{number_a} {comparison.label_a} and {number_b} {comparison.label_b} samples are too few to say anything: "
        f"take at least {_FEWEST} of each, better 100. {reach[0] if reach else ''}"
    ).strip()


def plot_comparison(comparison: PredictionComparison, look: VisualizationSettings, query_group: str) -> Chart:
    """Return the heatmap of a comparison's differences.

    Raises
    ------
    UserError
        When nothing was tested, or the query group is unknown.
    """
    table = comparison.table
    if table.is_empty():
        raise UserError(f"comparison: nothing was tested. {comparison.warning}")
    groups = table["query_group"].unique(maintain_order=True).to_list()
    if query_group not in groups:
        raise UserError(f"query_group: {query_group!r} is unknown; known are {', '.join(groups)}.")
    tested = table.filter(pl.col("difference").is_not_null())
    statistics = tested["statistic"].unique(maintain_order=True).to_list()
    wide = wide_tests(tested.with_columns(mark=significance_mark(comparison.alpha)), statistics).drop("comparison")
    name = f"{comparison.label_a} minus {comparison.label_b}"
    limits = {
        group: {
            statistic: float(wide.filter(pl.col("query_group") == group)[statistic].abs().max() or 1)
            for statistic in statistics
        }
        for group in groups
    }
    first = next((name for name in ("mass_financial", *statistics) if name in statistics), statistics[0])
    return difference_map(
        wide.with_columns(pl.col(pl.Float64).round_sig_figs(4), comparison=pl.lit(name)),
        look,
        comparisons={name: name},
        menus=Menus({name: name for name in groups}, {name: name for name in statistics}, (query_group, first)),
        limits={name: limits},
        subtitle=[
            f"{comparison.num_a} {comparison.label_a} minus {comparison.num_b} {comparison.label_b} samples",
            comparison.warning or "dots hold after adjustment over all tests",
        ],
    )
