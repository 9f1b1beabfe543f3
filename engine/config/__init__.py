"""What a run depends on: its config as strict sections, and how it is read."""

from analyses.settings.analysis import AnalysisSettings as AnalysisSection
from analyses.settings.visualization import VisualizationSettings as VisualizationSection
from engine.config.causal import CausalSection
from engine.config.causes.attribution import AttentionGradientSection, AttributionSection
from engine.config.causes.circuit import CircuitSection
from engine.config.causes.heads import AblationSection, AmplificationSection
from engine.config.causes.knockout import KnockoutSection
from engine.config.causes.matched import MatchedSection
from engine.config.causes.method import TopHeads
from engine.config.causes.patching import PatchingSection
from engine.config.config import ClusterSection, Config, RunSection
from engine.config.decision import CONTRASTS, DecisionSection, GenerationSection, SpanSection
from engine.config.files import config_of_tree, load_config, translation_lines
from engine.config.measuring import KeyGroup, PatternsSection, ReceivedStatistics, StatisticsSection
from engine.config.model import AdapterSection, ModelSection
from engine.config.predictions import FieldsSection, JoinSection, PredictionsSection, PromptSection, as_date

__all__ = [
    "CONTRASTS",
    "AblationSection",
    "AdapterSection",
    "AmplificationSection",
    "AnalysisSection",
    "AttentionGradientSection",
    "AttributionSection",
    "CausalSection",
    "CircuitSection",
    "ClusterSection",
    "Config",
    "DecisionSection",
    "FieldsSection",
    "GenerationSection",
    "JoinSection",
    "KeyGroup",
    "KnockoutSection",
    "MatchedSection",
    "ModelSection",
    "PatchingSection",
    "PatternsSection",
    "PredictionsSection",
    "PromptSection",
    "ReceivedStatistics",
    "RunSection",
    "SpanSection",
    "StatisticsSection",
    "TopHeads",
    "VisualizationSection",
    "as_date",
    "config_of_tree",
    "load_config",
    "translation_lines",
]
