"""Make the pictures of docs/gallery.md with the demo model: ``python docs/make_gallery.py`` (a minute)."""

import json
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.notebook import (
    AttentionInterventions,
    quick_attention_analysis,
    run_interpretability_experiment,
    test_causal_intervention,
    trace_attention_flow,
)
from engine.notebook.interventions import plot_effects

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery"


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(ROOT / "data" / "demo-model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "data" / "demo-model")
    text = "Net income fell from 5 to 3 while revenue rose from 40 to 42, so EPS will decrease."
    analyzer = quick_attention_analysis(model, tokenizer, text, layer_idx=2)
    records = json.loads((ROOT / "data" / "predictions_demo.json").read_text())[:60]
    with tempfile.TemporaryDirectory() as folder:
        experiment = run_interpretability_experiment(
            records,
            "later layers show more financial attention",
            model,
            tokenizer,
            output=folder,
            name="gallery",
            config={"analysis": {"permutations": 100, "decodability": False}, "visualization": {"formats": ["html"]}},
        )
        sample = experiment.sample(experiment.samples["sample_id"][0])
        charts = experiment.charts
        prompt = sample.text[: sample.char_ends[sample.decision_position]]
        heads = [(layer, head, "ablate") for layer in (1, 2) for head in range(model.config.num_attention_heads)]
        interventions = AttentionInterventions(model, tokenizer, contrast=sample.contrast_token_ids)
        recorded = quick_attention_analysis(model, tokenizer, sample.text, layer_idx=2)
        pictures = {
            "heatmap": analyzer.plot_attention_heatmap(2, 3),
            "window": recorded.plot_attention_heatmap(2, 3, window=(-50, -10)),
            "vocabulary": analyzer.plot_financial_attention_flow(2),
            "flow": trace_attention_flow(analyzer, -1).plot(),
            "effects": plot_effects(test_causal_intervention(interventions, prompt, heads, max_new_tokens=0)),
            "difference_map": charts["difference_map"],
        }
        for name, chart in pictures.items():
            chart.save(FOLDER / f"{name}.png", scale_factor=1.5)
            print(name)


if __name__ == "__main__":
    main()
