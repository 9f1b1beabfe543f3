"""The whole config of a run, composed of its sections; ``files`` reads it from YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.config.causal import CausalSection
from engine.config.decision import DecisionSection, GenerationSection
from engine.config.measuring import KeyGroup, StatisticsSection
from engine.config.model import ModelSection
from engine.config.predictions import PredictionsSection, PromptSection
from engine.sections import Section


class RunSection(Section):
    """Where a run lies and its seed."""

    name: str = Field(default="run", pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*$")
    """The run directory is ``output/name``; no slash."""
    output: str = "runs"
    """Folder of run directories."""
    seed: int = Field(default=0, ge=0)
    """Of every draw: samples, random vocabularies, random heads."""


class ClusterSection(Section):
    """Where replicas run and how the work is cut."""

    mode: Literal["inline", "local", "auto"] = "auto"
    """``inline``: in this process, no Ray. ``local``: Ray on this machine only. ``auto``: the Ray cluster at
    ``RAY_ADDRESS``, or Ray on this machine."""
    replicas: int | None = Field(default=None, ge=1)
    """Models at work side by side; null: as many as find room."""
    gpus_per_replica: float = Field(default=0, ge=0)
    """GPUs of each replica: 2 spreads layers over two of a node, 0.5 puts two replicas on each. Example: 1."""
    cpus_per_replica: int = Field(default=1, ge=1)
    """CPUs, and threads, of each replica."""
    accelerator_type: str | None = None
    """Kind of GPU that replicas are placed on. Example: A100."""
    tokens_per_batch: int = Field(default=4096, ge=1)
    """Tokens of a packed batch at most; a longer sample is a batch of its own."""
    share_prefixes: bool = True
    """Samples of a batch that begin with the same 256 tokens or more (several answers to one prompt, a few-shot prompt)
    share these rows: they are computed once and count for each sample."""
    samples_per_shard: int = Field(default=32, ge=1)
    """Samples that are committed at once."""
    max_retries: int = Field(default=2, ge=0)
    """How often a unit is tried again."""
    planning_processes: int | None = Field(default=None, ge=1)
    """Processes that read and encode the predictions while a run is planned: 1 is the driver alone; null: the driver
    for files up to 4 MiB, and for larger ones as many as it may use CPUs, 8 at most. The plan is the same."""
    compact: bool | Literal["auto"] = "auto"
    """Merge shards into few folders before the run is published; ``auto``: above 500 of them."""

    @field_validator("gpus_per_replica")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"gpus_per_replica is {value:g}; give a share of one GPU, such as 0.5, or a whole number")
        return value


class Config(Section):
    """Everything a run depends on."""

    run: RunSection = Field(default_factory=RunSection)
    predictions: PredictionsSection
    model: ModelSection
    prompt: PromptSection = Field(default_factory=PromptSection)
    decision: DecisionSection = Field(default_factory=DecisionSection)
    generation: GenerationSection = Field(default_factory=GenerationSection)
    vocabulary: str | dict[str, list[str]] | None = None
    """Words whose tokens are key groups: the name of a vocabulary that comes with the package (financial, quiz,
    sentiment), a YAML file of categories and their terms, or these themselves. Example: {profit: [net income, eps],
    debt: [loan, liabilities]}."""
    key_groups: dict[str, KeyGroup] | None = None
    """Key groups of your own, in place of the default ones: a name, and one way of saying which tokens. Example:
    {net_income: {spans: 'line_item: Net Income'}}."""
    statistics: StatisticsSection = Field(default_factory=StatisticsSection)
    causal: CausalSection = Field(default_factory=CausalSection)
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    visualization: VisualizationSettings = Field(default_factory=VisualizationSettings)
    cluster: ClusterSection = Field(default_factory=ClusterSection)
