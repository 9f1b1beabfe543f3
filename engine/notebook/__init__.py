"""The guide's toolkit for a loaded model, with the numbers of the command line (docs/notebook.md)."""

from engine.notebook.analyzer import FinancialAttentionAnalyzer, quick_attention_analysis
from engine.notebook.comparison import ComparativeAnalyzer
from engine.notebook.experiment import run_interpretability_experiment, samples_from_frame
from engine.notebook.flow import attention_gradients, trace_attention_flow
from engine.notebook.guide.pipeline import (
    AggregatedResults,
    aggregate_results,
    analyze_head_specialization,
    statistical_tests,
    visualize_findings,
)
from engine.notebook.head_types import analyze_head_types
from engine.notebook.hook import AttentionHook
from engine.notebook.interventions import AttentionInterventions, plot_effects, test_causal_intervention
from engine.notebook.runs import open_run

__all__ = [
    "AggregatedResults",
    "AttentionHook",
    "AttentionInterventions",
    "ComparativeAnalyzer",
    "FinancialAttentionAnalyzer",
    "aggregate_results",
    "analyze_head_specialization",
    "analyze_head_types",
    "attention_gradients",
    "open_run",
    "plot_effects",
    "quick_attention_analysis",
    "run_interpretability_experiment",
    "samples_from_frame",
    "statistical_tests",
    "test_causal_intervention",
    "trace_attention_flow",
    "visualize_findings",
]
