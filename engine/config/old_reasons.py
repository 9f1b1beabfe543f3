"""Why keys of the old script's config have no counterpart, by section: a part of the key, and the reason."""

from __future__ import annotations

REASONS: dict[str, dict[str, str]] = {
    "model_config": {
        "memory": "no patterns are kept, so that no limit is needed (the plan predicts the memory)",
        "cache": "set HF_HOME instead",
        "load_in": "quantised weights are not supported; the dtype above is used",
        "output_attentions": "patterns are reduced inside the forward pass and never returned",
        "num_layers": "is read from the model itself",
        "num_hidden_layers": "is read from the model itself",
        "heads": "is read from the model itself",
        "hidden": "is read from the model itself",
        "max_length": "nothing is truncated; samples longer than the model's context are rejected with a reason",
    },
    "generation_config": {
        "attentions": "patterns are reduced inside the forward pass and never returned",
        "return_dict": "is not needed",
        "hidden_states": "is not needed",
        "cache": "is not needed",
        "max_length": "nothing is truncated",
        "pad": "is read from the tokenizer",
        "eos": "is read from the tokenizer",
    },
    "attention_analysis": {
        "head": "every head is measured",
        "aggregat": "samples are the unit; heads and layers are never pooled",
        "normal": "rows of a pattern sum to 1 by definition",
        "save": "statistics are kept, whole patterns only under statistics.patterns",
        "threshold": "analysis.head_types holds the thresholds of head types",
        "token": "key groups say which tokens count; docs/input.md",
    },
    "visualization_config": {
        "color": "Vega's colour schemes have other names; choose them in visualization.color_schemes",
        "colour": "Vega's colour schemes have other names; choose them in visualization.color_schemes",
        "figure": "sizes are pixels now: visualization.figure_sizes: {width: 640, height: 360}",
        "dpi": "png files have twice the pixels of the page; svg and pdf have none",
        "font": "is the theme's",
        "style": "visualization.theme is light or dark",
        "interactive": "html charts are interactive",
    },
    "comparative_analysis": {
        "group": "correct and incorrect predictions are compared (analysis.groups)",
        "compar": "correct and incorrect predictions are compared (analysis.groups)",
        "sample": "--max_samples or predictions.max_samples says how many samples are used",
        "metric": "every statistic of every head is compared",
        "balance": "predictions.balance draws equal shares",
        "effect": "Hedges g stands beside every difference",
        "bootstrap": "analysis.errors: wild_bootstrap",
        "permutation": "analysis.permutations says how many",
    },
    "output_config": {
        "matri": "statistics are kept instead of matrices; statistics.patterns keeps some of them",
        "attention": "statistics are kept instead of matrices; statistics.patterns keeps whole patterns",
        "json": "both JSON files are always written, with summaries",
        "summary": "is always written",
        "report": "is always written",
        "visual": "charts are always written",
        "log": "--debug is verbose",
        "save": "results are always saved",
        "dir": "the run directory has its own folders",
    },
    "intervention_experiments": {
        "head": "name heads in causal.ablation.heads: [[layer, head], …]",
        "method": "causal.ablation.replace is zero, mean or resample",
        "type": "causal.ablation.replace is zero, mean or resample",
        "value": "causal.ablation.replace is zero, mean or resample",
        "sample": "causal.max_samples says how many samples are explained",
    },
}
"""The first part that a key holds gives its reason."""
