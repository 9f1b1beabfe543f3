"""Each function's numbers beside the tables that the command line wrote of the same samples."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from polars.testing import assert_frame_equal

from engine.config import load_config
from engine.notebook import (
    AttentionHook,
    AttentionInterventions,
    ComparativeAnalyzer,
    FinancialAttentionAnalyzer,
    analyze_head_types,
    attention_gradients,
    open_run,
    quick_attention_analysis,
    run_interpretability_experiment,
    samples_from_frame,
    test_causal_intervention,
    trace_attention_flow,
)
from engine.tolerances import tolerance
from tests.fixtures.predictions import records

SAMPLE = "1000-1990"
PLACE = ["query_group", "layer", "head"]
MASS = tolerance("mass").atol


@pytest.fixture(scope="module")
def parts(tiny_model_dir):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(tiny_model_dir)


@pytest.fixture(scope="module")
def config(cli_run):
    return yaml.safe_load((cli_run / "run.yaml").read_text())["config"]


@pytest.fixture(scope="module")
def analyzer(parts, config):
    sections = {name: config[name] for name in ("vocabulary", "statistics")}
    sections["statistics"] = {**sections["statistics"], "patterns": None}
    return quick_attention_analysis(*parts, records(6)[0], layer_idx=1, config=sections)


def table(cli_run, name):
    return open_run(cli_run).table(name).filter(pl.col("sample_id") == SAMPLE).collect()


def assert_same(found, expected, on, atol=MASS, rtol=1e-5):
    assert found.height == expected.height > 0
    names = [name for name in expected.columns if name in found.columns and name != "sample_id"]
    assert_frame_equal(
        found.select(names).sort(on),
        expected.select(names).sort(on),
        check_dtypes=False,
        check_exact=False,
        abs_tol=atol,
        rel_tol=rtol,
    )


def test_statistics_and_baselines(analyzer, cli_run):
    assert_same(analyzer.head_stats, table(cli_run, "head_stats"), PLACE, atol=1e-4)
    assert_same(analyzer.baselines, table(cli_run, "baselines"), ["query_group"])
    tokens = table(cli_run, "tokens")
    assert analyzer.tokens["token"].to_list() == tokens["token"].to_list()
    assert analyzer.tokens["segment"].to_list() == tokens["segment"].to_list()


def test_financial_tokens_and_scores(analyzer, cli_run):
    sample = table(cli_run, "samples").row(0, named=True)
    assert len(analyzer.identify_financial_tokens()) == sample["count_financial"] > 0
    scores = analyzer.compute_financial_attention_scores()
    expected = table(cli_run, "head_stats").select(*PLACE, mass="mass_financial")
    assert_same(scores.filter(pl.col("key_group") == "financial").select(*PLACE, "mass"), expected, PLACE)
    uniform = table(cli_run, "baselines").select("query_group", baseline="baseline_financial")
    own = scores.filter(pl.col("key_group") == "financial").select("query_group", "baseline").unique()
    assert_same(own, uniform, ["query_group"])


def test_patterns_are_those_of_the_table(analyzer, cli_run):
    kept = table(cli_run, "patterns")
    for row in kept.iter_rows(named=True):
        whole = analyzer.attention_weights["layer_1"][0, row["head"]].numpy()
        triangle = whole[np.tril_indices(row["num_tokens"])]
        np.testing.assert_allclose(triangle, np.array(row["pattern"], dtype=np.float32), atol=1e-3)
        np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)


def test_the_hook_gives_the_same_patterns_and_statistics(parts, analyzer):
    model, _ = parts
    ids = torch.from_numpy(analyzer.encoded.input_ids.astype(np.int64))[None]
    with AttentionHook(model) as hook, torch.no_grad():
        model(input_ids=ids)
    for layer in range(2):
        torch.testing.assert_close(
            hook.attention_weights[f"layer_{layer}"], analyzer.attention_weights[f"layer_{layer}"], atol=1e-5, rtol=0
        )
    texts = analyzer.tokens["token"].to_list()
    given = FinancialAttentionAnalyzer(hook.attention_weights, texts)
    rows = given.head_stats.filter(pl.col("query_group") == "all")
    expected = analyzer.head_stats.filter(pl.col("query_group") == "all")
    plain = [
        "entropy_nats",
        "diagonal",
        "first_token",
        "previous_token",
        "mean_distance",
        "collision",
        "max_weight",
        "mass_financial",
        "mass_number",
        "mass_beginning",
    ]
    assert_same(rows.select(*PLACE, *plain), expected.select(*PLACE, *plain), PLACE, atol=1e-4, rtol=1e-4)
    assert given.attention_weights["layer_0"].shape == (1, 4, len(texts), len(texts))
    assert len(given.identify_financial_tokens()) == len(analyzer.identify_financial_tokens())


def test_prediction_attention_is_the_decision_row(analyzer, cli_run):
    found = analyzer.analyze_prediction_attention(prediction_token="increase")
    masses = (
        table(cli_run, "head_stats")
        .filter(pl.col("query_group") == "decision")
        .group_by("layer")
        .agg(pl.col("mass_financial").mean())
    )
    position = table(cli_run, "samples")["decision_position"].item()
    for layer, mass in masses.iter_rows():
        assert found[f"layer_{layer}"]["financial_attention"]["mean"] == pytest.approx(mass, abs=MASS)
        assert found[f"layer_{layer}"]["position"] == position
        # The mean over heads of the row orders the tokens; the table has the row itself.
        row = table(cli_run, "decision_rows").filter(pl.col("layer") == layer)["pattern"].item().to_list()
        best = max(row)
        assert found[f"layer_{layer}"]["top_attended_tokens"][0][1] == pytest.approx(best, abs=MASS)


def test_flow_and_rollout(analyzer, cli_run):
    rows = table(cli_run, "decision_rows").sort("layer")
    position = analyzer.encoded.decision_position
    flow = trace_attention_flow(analyzer, position)
    for row in rows.iter_rows(named=True):
        np.testing.assert_allclose(flow[f"layer_{row['layer']}"][: position + 1].numpy(), row["pattern"], atol=MASS)
        assert not flow[f"layer_{row['layer']}"][position + 1 :].any()
    np.testing.assert_allclose(flow.rollout[: position + 1].numpy(), rows["rollout"][-1], atol=MASS)
    assert float(flow.rollout.sum()) == pytest.approx(1, abs=1e-4)


def test_head_types(parts, config, cli_run, analyzer):
    found = analyze_head_types(analyzer)
    assert found.height == 8 and analyze_head_types(analyzer, 1).height == 4
    stats = table(cli_run, "head_stats").filter(pl.col("query_group") == "all")
    expected = stats.select(
        "layer",
        "head",
        diagonal="diagonal_excluding_first",
        previous_token="previous_token",
        beginning="mass_beginning",
        entropy_normalized="entropy_normalized",
    )
    assert_same(found, expected, ["layer", "head"], atol=1e-5)
    uniform = table(cli_run, "baselines").filter(pl.col("query_group") == "all")["baseline_financial"].item()
    lifts = stats.sort("layer", "head")["mass_financial"] / uniform
    np.testing.assert_allclose(found.sort("layer", "head")["vocabulary_lift"], lifts, rtol=1e-5)


def test_interventions(parts, analyzer, cli_run):
    model, tokenizer = parts
    encoded = analyzer.encoded
    ids = torch.from_numpy(encoded.input_ids.astype(np.int64))[None, : encoded.decision_position + 1]
    interventions = AttentionInterventions(model, tokenizer, contrast=encoded.contrast_token_ids)
    rows = table(cli_run, "interventions").filter(pl.col("unit") == "head")
    for row in rows.iter_rows(named=True):
        place = {"layer_idx": row["layer"], "head_idx": row["head"], "input_ids": ids, "max_new_tokens": 0}
        if row["kind"] == "ablation":
            found = interventions.ablate_attention_head(**place)
        else:
            found = interventions.amplify_attention_head(**place, amplification_factor=row["factor"])
        assert found.logit_difference == pytest.approx(row["logit_difference"], abs=1e-4)
        assert found.change == pytest.approx(row["change"], abs=1e-4)
        assert found.is_flipped == row["is_flipped"]
    assert rows["kind"].unique().len() == 2


def test_attention_gradients(parts, analyzer, cli_run):
    encoded = analyzer.encoded
    ids = torch.from_numpy(encoded.input_ids.astype(np.int64))[None, : encoded.decision_position + 1]
    found = attention_gradients(parts[0], ids, encoded.contrast_token_ids)
    expected = table(cli_run, "attributions")
    assert_same(found.frame.select("layer", "head", "head_gradient"), expected, ["layer", "head"], 1e-5, 1e-4)
    for group in ("financial", "number", "statement"):
        own = expected.select("layer", "head", attention_gradient=f"attention_gradient_{group}")
        assert_same(found.of_group(analyzer, group), own, ["layer", "head"], 1e-5, 1e-4)
    # One logit minus the other is their difference, in every cell.
    first, second = (attention_gradients(parts[0], ids, token) for token in encoded.contrast_token_ids)
    assert first.logit - second.logit == pytest.approx(found.logit, abs=1e-4)
    torch.testing.assert_close(first["layer_0"] - second["layer_0"], found["layer_0"], atol=1e-5, rtol=1e-4)


def test_comparison(parts, config, cli_run):
    rows = records(6)
    sections = {name: config[name] for name in ("vocabulary", "statistics", "analysis")}
    sections["statistics"] = {**sections["statistics"], "patterns": None}
    analyzer = ComparativeAnalyzer(*parts, config=sections)
    with pytest.warns(UserWarning, match="too few to say anything"):
        found = analyzer.compare_prediction_attention(rows[0::2], rows[1::2])
    expected = open_run(cli_run).table("group_differences").collect()
    on = ["query_group", "statistic", "layer", "head"]
    # Welch and max-T depend on the order of samples only in the last digits; signs are drawn by cluster.
    names = ["mean_a", "mean_b", "difference", "pvalue_welch", "num_a", "num_b", "num_clusters"]
    assert_same(found.table.select(*on, *names), expected.select(*on, *names), on, 1e-4, 1e-3)
    assert found.num_a == found.num_b == 3
    assert analyzer.plot_attention_comparison(found).to_dict()["layer"]


def test_the_experiment_is_the_same_run_and_its_config_repeats_it(parts, config, cli_run, tmp_path, capsys):
    frame = pl.DataFrame(records(6)).rename({"full_model_response": "whole"})
    samples = samples_from_frame(frame, full_model_response="whole")
    assert samples == records(6)
    sections = {name: config[name] for name in ("vocabulary", "statistics", "analysis", "visualization")}
    threads = torch.get_num_threads()
    found = run_interpretability_experiment(
        samples, "later layers show more financial attention", *parts, config=sections, output=tmp_path, name="own"
    )
    assert torch.get_num_threads() == threads and (tmp_path / "own" / "_SUCCESS").exists()
    for name in ("head_stats", "decision_rows"):
        mine, theirs = (run.table(name).collect() for run in (found, open_run(cli_run)))
        assert_frame_equal(mine, theirs, check_exact=False, abs_tol=1e-5)
    assert found.answer["text"].to_list() == ["later layers show more financial attention"]
    assert found.report.exists()
    text = found.to_config(tmp_path / "cluster.yaml")
    assert text == (tmp_path / "cluster.yaml").read_text()
    again, _ = load_config(tmp_path / "cluster.yaml")
    assert again.run.name == "own-cluster" and again.cluster.mode == "auto"
    again.run, again.cluster = found.settings.run, found.settings.cluster
    assert again == found.settings
    sample = found.sample(SAMPLE)
    own = quick_attention_analysis(*parts, sample).head_stats
    assert_same(own, table(cli_run, "head_stats"), PLACE, atol=1e-4)


def test_effects_of_a_text(parts):
    interventions = AttentionInterventions(*parts)
    specs = [(0, 1, "ablate"), (1, 2, "amplify"), (1, 2, "amplify", 1.0), (0, 0, "ablate", 1.0)]
    found = test_causal_intervention(interventions, "Net income increased from 3 to 5", specs, max_new_tokens=3)
    assert found["change"][2:].to_list() == [0.0, 0.0] and found["is_text_changed"][2:].to_list() == [False, False]
    assert found["change"][:2].abs().min() > 0
    with pytest.raises(ValueError, match=r"intervention_specs\[0\].*'ablate' or 'amplify'"):
        test_causal_intervention(interventions, "Net income", [(0, 0, "remove")])


def test_every_chart_of_a_run_can_be_shown(cli_run):
    charts = open_run(cli_run).charts
    assert {"head_map", "layer_profile"} <= set(charts)
    assert all("vega" in chart.to_dict()["$schema"] for chart in charts.values())
    with pytest.raises(ValueError, match="no table 'nothing'; tables: samples, "):
        open_run(cli_run).table("nothing")
    with pytest.raises(ValueError, match="measured no sample 'x'"):
        open_run(cli_run).sample("x")
    with pytest.raises(ValueError, match="no such directory"):
        open_run(cli_run / "elsewhere")
