"""The whole config of a run, composed of its sections; ``files`` reads it from YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.config.causal import CausalSection
from engine.config.measuring import KeyGroup, StatisticsSection
from engine.config.model import ModelSection
from engine.config.predictions import DecisionSection, GenerationSection, PredictionsSection, PromptSection
from engine.sections import Section


class RunSection(Section):
    """Where a run lies and its seed."""

    name: str = Field(default="run", pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*$")
    output: str = "runs"
    seed: int = Field(default=0, ge=0)


class ClusterSection(Section):
    """Where replicas run and how the work is cut.

    ``compact`` merges shards into few folders before the run is published: ``auto`` above 500 of them.
    """

    mode: Literal["inline", "local", "auto"] = "auto"
    replicas: int | None = Field(default=None, ge=1)
    gpus_per_replica: float = Field(default=0, ge=0)
    cpus_per_replica: int = Field(default=1, ge=1)
    accelerator_type: str | None = None
    tokens_per_batch: int = Field(default=4096, ge=1)
    samples_per_shard: int = Field(default=32, ge=1)
    max_retries: int = Field(default=2, ge=0)
    compact: bool | Literal["auto"] = "auto"

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
    key_groups: dict[str, KeyGroup] | None = None
    statistics: StatisticsSection = Field(default_factory=StatisticsSection)
    causal: CausalSection = Field(default_factory=CausalSection)
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    visualization: VisualizationSettings = Field(default_factory=VisualizationSettings)
    cluster: ClusterSection = Field(default_factory=ClusterSection)
