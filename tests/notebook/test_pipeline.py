"""The guide's pipeline over samples, literally; what its undefined functions return; every public object's words."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from scipy import stats

from engine import notebook
from engine.errors import UserError
from tests.fixtures.places import SHARED

GUIDE = SHARED / "seeds" / "001_19a6f0122045ade5.txt"
ESSENCE = """
def run_interpretability_experiment(data_samples, research_question):
    results = []
    for sample in data_samples:
        with AttentionHook(model) as hook:
            output = model.generate(sample, output_attentions=True)
        analyzer = FinancialAttentionAnalyzer(hook.attention_weights, ...)
        metrics = {
            'financial_attention': analyzer.compute_financial_attention_scores(),
            'prediction_attention': analyzer.analyze_prediction_attention(),
            'head_specialization': analyze_head_specialization(analyzer)
        }
        results.append(metrics)
    aggregated = aggregate_results(results)
    visualize_findings(aggregated)
    statistical_tests(aggregated)
    return aggregated
"""


def snippet():
    text = GUIDE.read_text() if GUIDE.is_file() else f"```python\n{ESSENCE}```"
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if block.lstrip().startswith("def run_interpretability_experiment"))


def texts(number):
    return [
        f"Net income {('fell', 'rose')[n % 2]} from {n} to {2 * n + 3}, revenue grew; EPS will" for n in range(number)
    ]


@pytest.fixture(scope="module")
def aggregated(loaded):
    model, tokenizer = loaded["demo"]
    model.generation_config.max_new_tokens = 1
    names = {name: getattr(notebook, name) for name in notebook.__all__} | {"model": model}
    exec(compile(snippet(), "guide", "exec"), names)
    ids = [tokenizer(text, return_tensors="pt").input_ids for text in texts(12)]
    return names["run_interpretability_experiment"](ids, "do heads look at financial words?")


@pytest.mark.filterwarnings("ignore::UserWarning:transformers")
def test_the_pipeline_of_the_guide_runs_as_it_stands(aggregated, loaded):
    assert aggregated.num_samples == 12
    model, tokenizer = loaded["demo"]
    own = notebook.quick_attention_analysis(model, tokenizer, texts(12)[3]).compute_financial_attention_scores()
    theirs = aggregated.scores.filter(pl.col("sample") == 3).drop("sample")
    keys = ["query_group", "key_group", "layer", "head"]
    joined = theirs.join(own, on=keys, suffix="_own").filter(pl.col("query_group") == "all")
    np.testing.assert_allclose(joined["mass"], joined["mass_own"], atol=1e-5)
    assert aggregated.head_types["num_samples"].sum() == 12 * model.config.num_hidden_layers * 8
    assert set(aggregated.prediction["layer"]) == set(range(model.config.num_hidden_layers))


def test_the_findings_are_drawn_by_head(aggregated):
    drawn = notebook.visualize_findings(aggregated).to_dict()
    text = next(iter(drawn["datasets"].values()))
    expected = aggregated.means.filter(
        (pl.col("query_group") == "all") & (pl.col("key_group") == "financial") & (pl.col("layer") == 2)
    )
    values = pl.read_csv(text.encode()).filter((pl.col("layer") == 2) & (pl.col("query_group") == "all"))
    np.testing.assert_allclose(values.sort("head")["financial"], expected.sort("head")["lift"], rtol=1e-4)


def test_the_tests_are_t_tests_of_texts(aggregated):
    """Each text a cluster of its own: CR2 is the plain one-sample t, checked by SciPy."""
    tests = notebook.statistical_tests(aggregated)
    row = tests.row(0, named=True)
    own = aggregated.scores.filter(
        (pl.col("query_group") == "all")
        & (pl.col("key_group") == row["key_group"])
        & (pl.col("layer") == row["layer"])
        & (pl.col("head") == row["head"])
    )
    excess = own["mass"].cast(pl.Float64) - own["baseline"].cast(pl.Float64)
    expected = stats.ttest_1samp(excess.to_numpy(), 0)
    assert row["excess"] == pytest.approx(excess.mean()) and row["pvalue"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert row["num_samples"] == row["num_clusters"] == 12 and row["is_finding"]
    known = tests.drop_nulls("pvalue")
    np.testing.assert_allclose(
        known["pvalue_adjusted"], stats.false_discovery_control(known["pvalue"].to_numpy()), rtol=1e-9
    )


def test_nothing_is_found_where_there_is_nothing(rng):
    """Masses that are the baseline but for noise: Holm errs in at most about alpha of the worlds."""
    false = 0
    for _ in range(40):
        frame = pl.DataFrame(
            {
                "sample": np.repeat(np.arange(20), 16),
                "query_group": ["all"] * 320,
                "layer": np.tile(np.repeat(np.arange(4), 4), 20).astype(np.int32),
                "head": np.tile(np.arange(4), 80).astype(np.int32),
                "key_group": ["financial"] * 320,
                "mass": 0.3 + rng.normal(0, 0.05, 320),
                "baseline": np.full(320, 0.3),
                "lift": np.ones(320),
            }
        )
        made = notebook.AggregatedResults(frame, pl.DataFrame(), pl.DataFrame(), tuple(range(20)))
        false += notebook.statistical_tests(made, correction="holm")["is_finding"].any()
    assert false <= 7  # 40 worlds at 0.05: P(more than 7) < 0.001


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_texts_of_one_company_count_together(aggregated):
    clustered = notebook.AggregatedResults(
        aggregated.scores, aggregated.prediction, aggregated.head_types, tuple(n // 4 for n in range(12))
    )
    tests = notebook.statistical_tests(clustered)
    assert (
        set(tests["num_clusters"]) == {3}
        and tests["pvalue"].min() > notebook.statistical_tests(aggregated)["pvalue"].min()
    )


def test_what_cannot_be_put_together_is_said(loaded, aggregated):
    with pytest.raises(UserError, match="at least one text"):
        notebook.aggregate_results([])
    with pytest.raises(UserError, match=r"results\[0\]: lacks prediction_attention, head_specialization"):
        notebook.aggregate_results([{"financial_attention": 1}])
    with pytest.raises(UserError, match="known are all"):
        notebook.statistical_tests(aggregated, query_group="thoughts")
    few = notebook.AggregatedResults(
        aggregated.scores.filter(pl.col("sample") < 3), aggregated.prediction, aggregated.head_types, (0, 1, 2)
    )
    with pytest.warns(UserWarning, match="too few to say anything"):
        notebook.statistical_tests(few)
    made, tokenizer = loaded["llama"]
    ids = tokenizer("Net income fell", return_tensors="pt").input_ids
    with notebook.AttentionHook(made) as hook:
        made(ids)
    with pytest.raises(UserError, match="no tokenizer lies beside the model"):
        notebook.FinancialAttentionAnalyzer(hook.attention_weights, ...)
    assert (
        notebook.FinancialAttentionAnalyzer(hook.attention_weights, ..., tokenizer).encoded.num_tokens == ids.shape[1]
    )


def test_every_public_object_says_what_it_is(pair, cli_run):
    model, tokenizer = pair
    ids = tokenizer("Net income fell from 5 to 3", return_tensors="pt").input_ids
    analyzer = notebook.quick_attention_analysis(model, tokenizer, "Net income fell from 5 to 3")
    interventions = notebook.AttentionInterventions(model, tokenizer)
    with notebook.AttentionHook(model) as hook:
        model(ids)
    shown = [
        analyzer,
        hook,
        hook.attention_weights,
        interventions,
        interventions.ablate_attention_head(0, 1, ids, max_new_tokens=1),
        notebook.ComparativeAnalyzer(model, tokenizer),
        notebook.trace_attention_flow(analyzer, -1),
        notebook.attention_gradients(model, ids, 3),
        notebook.open_run(cli_run),
    ]
    for thing in shown:
        assert repr(thing).startswith(f"{type(thing).__name__}(") and " at 0x" not in repr(thing)
        assert len(repr(thing)) < 300 and "\n" not in repr(thing)
