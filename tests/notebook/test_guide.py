"""Every snippet of the guide, run after changing the one import line, on four models.

Names that the guide leaves undefined (model, samples, …) are filled in. Two of its snippets cannot run: modules have no
``register_hook`` (attention_gradients), and ``run_interpretability_experiment`` passes an ellipsis as tokens and calls
functions that nobody defines; ours stand in their place. ``test_causal_intervention``, which passes an ellipsis as
token ids, runs as ours too. Without the guide beside this checkout, the essence of its snippets below is what runs.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import polars as pl
import pytest
import torch

from engine import notebook
from tests.fixtures.places import SHARED
from tests.fixtures.predictions import records

GUIDE = SHARED / "seeds" / "001_19a6f0122045ade5.txt"
IMPORT = "from src.interpretability_tools import"

ESSENCE = """
```python
from src.interpretability_tools import AttentionHook, FinancialAttentionAnalyzer, quick_attention_analysis
analyzer = quick_attention_analysis(model, tokenizer, text, layer_idx=0)
analyzer.plot_attention_heatmap(layer_idx=0, head_idx=0)
analyzer.plot_financial_attention_flow(layer_idx=0)
```
```python
from src.interpretability_tools import ComparativeAnalyzer
comparative = ComparativeAnalyzer(model, tokenizer)
comparison = comparative.compare_prediction_attention([sample1, sample2, ...], [sample3, sample4, ...])
comparative.plot_attention_comparison(comparison)
```
```python
financial_tokens = analyzer.identify_financial_tokens()
print(f"Found {len(financial_tokens)} financial terms")
scores = analyzer.compute_financial_attention_scores()
```
```python
def analyze_head_types(analyzer, layer_idx):
    attn = analyzer.attention_weights[f'layer_{layer_idx}']
    for head_idx in range(attn.shape[1]):
        attention_matrix = attn[0, head_idx].numpy()
        print(f"Head {head_idx}: Diagonal={np.diag(attention_matrix).mean():.3f}")
```
```python
prediction_analysis = analyzer.analyze_prediction_attention(prediction_token="increase")
for layer_name, results in prediction_analysis.items():
    print(f"  Financial attention: {results['financial_attention']['mean']:.4f}")
    print(f"  Top attended tokens: {results['top_attended_tokens'][:5]}")
```
```python
from src.interpretability_tools import AttentionInterventions
interventions = AttentionInterventions(model, tokenizer)
original_output = model.generate(input_ids, max_new_tokens=20)
ablated_output = interventions.ablate_attention_head(
    layer_idx=1, head_idx=3, input_ids=input_ids, ablation_value=0.0
)
print(f"Ablated: {tokenizer.decode(ablated_output.sequences[0])}")
```
```python
def trace_attention_flow(analyzer, target_token_pos):
    flow = {}
    for layer_name, attn in analyzer.attention_weights.items():
        flow[layer_name] = attn[0, :, target_token_pos, :].mean(dim=0)
    return flow
```
"""

IMPOSSIBLE = ("def attention_gradients", "def run_interpretability_experiment", "def test_causal_intervention")


def snippets():
    text = GUIDE.read_text() if GUIDE.is_file() else ESSENCE
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "device = " not in block]


def changed(block, num_layers):
    """Return a snippet with its import line changed, and layer 15 of a smaller model in the range that it has."""
    block = block.replace(IMPORT, "from engine.notebook import")
    return re.sub(r"layer_idx=15, head_idx=5", f"layer_idx={num_layers - 1}, head_idx=2", block)


def test_the_snippets_are_there():
    found = snippets()
    assert len(found) >= 7 and sum(IMPORT in block for block in found) == 3


def test_every_snippet_runs(pair, capsys, tmp_path):
    model, tokenizer = pair
    rows = records(4)
    text = "Total assets rose by 5.1 and net income fell, so next year's EPS will increase"
    names = {
        "model": model,
        "tokenizer": tokenizer,
        "np": np,
        "torch": torch,
        "text": text,
        "input_ids": tokenizer(text, return_tensors="pt").input_ids,
        "sample1": rows[0],
        "sample2": rows[2],
        "sample3": rows[1],
        "sample4": rows[3],
        "AttentionHook": notebook.AttentionHook,
        "FinancialAttentionAnalyzer": notebook.FinancialAttentionAnalyzer,
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*too few to say anything")
        for block in snippets():
            if block.lstrip().startswith(IMPOSSIBLE):
                continue
            exec(compile(changed(block, model.config.num_hidden_layers), "guide", "exec"), names)
            names["text"] = text  # the guide's own text is a placeholder of four words
            if "quick_attention_analysis(" in block:
                names["analyzer"] = notebook.quick_attention_analysis(model, tokenizer, text, layer_idx=0)
    analyzer = names["analyzer"]
    names["analyze_head_types"](analyzer, 0)
    printed = capsys.readouterr().out
    assert "financial terms" in printed and "Financial attention: 0." in printed and "Ablated:" in printed
    assert printed.count("Head ") == model.config.num_attention_heads
    theirs, ours = names["trace_attention_flow"](analyzer, -1), notebook.trace_attention_flow(analyzer, -1)
    torch.testing.assert_close(theirs["layer_0"], ours["layer_0"], atol=1e-6, rtol=0)
    assert len(ours) == model.config.num_hidden_layers
    diagonal = analyzer.attention_weights["layer_0"][0].diagonal(dim1=1, dim2=2).mean(dim=1)
    own = analyzer.head_stats.filter((pl.col("query_group") == "all") & (pl.col("layer") == 0))["diagonal"]
    np.testing.assert_allclose(diagonal.numpy(), own, atol=1e-6)


def test_ours_in_the_place_of_the_impossible_ones(pair):
    model, tokenizer = pair
    ids = tokenizer("Net income increased", return_tensors="pt").input_ids
    gradients = notebook.attention_gradients(model, ids, target_logit=7)
    assert set(gradients) == {f"layer_{n}" for n in range(model.config.num_hidden_layers)}
    assert gradients["layer_0"].shape == (model.config.num_attention_heads, ids.shape[1])
    specs = [(0, 1, "ablate"), (1, 2, "amplify")]
    interventions = notebook.AttentionInterventions(model, tokenizer)
    effects = notebook.test_causal_intervention(interventions, "Net income increased", specs, max_new_tokens=2)
    assert effects.height == 2 and notebook.plot_effects(effects).to_dict()


def test_gradients_against_eager_autograd(loaded):
    """A * dlogit/dA by PyTorch itself, through patterns that eager attention returns."""
    model, tokenizer = loaded["qwen2"]
    ids = tokenizer("Net income increased from 3 to 5", return_tensors="pt").input_ids
    found = notebook.attention_gradients(model, ids, 9)
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        output = model(ids, output_attentions=True)
        logit = output.logits[0, -1, 9]
        gradients = torch.autograd.grad(logit, output.attentions)
    finally:
        model.set_attn_implementation(before)
    assert found.logit == pytest.approx(float(logit.detach()), abs=1e-4)
    for layer, (pattern, gradient) in enumerate(zip(output.attentions, gradients, strict=True)):
        expected = (pattern * gradient)[0].sum(dim=1).detach()
        torch.testing.assert_close(found[f"layer_{layer}"], expected, atol=1e-4, rtol=1e-3)
