"""Circuits of whole runs: a planted edge found by name with its known value, nothing where nothing is, bad input."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analyses.questions.circuits.sentences import EDGES_FAMILY, edge_text
from analyses.reporting.write import analyze
from engine.causal.circuits.edges import candidate_edges
from engine.causal.circuits.held_out import held_out
from engine.config import CausalSection
from engine.run import main
from engine.schema import causal_schema
from tests.causal.test_causal_runs import table, with_causal
from tests.fixtures import planted, planted_circuit
from tests.fixtures.planted_circuit import BYSTANDER, READER, TELLER
from tests.fixtures.synthetic_run import seal_again

CIRCUIT = {"heads": {"ablated": 2}, "replace": "zero", "key_groups": ["verdict", "theme"], "steps": 3}


def written(folder, model, count=24):
    config = planted.write_config(folder, count=count)
    model.save_pretrained(folder / "planted" / "model")
    return config


def analysed(run):
    return analyze(run).directory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = written(tmp_path_factory.mktemp("circuit"), planted_circuit.build_model())
    path = with_causal(config, "circuit", ablation={"heads": {"top": 2}}, circuit=CIRCUIT)
    assert main([str(path), "--stage", "collect"]) == 0
    return path.parent / "runs" / "circuit"


def edge(frame, source, target, name):
    layer, head = target or (None, None)
    chosen = frame.filter(pl.col("input") == name, pl.col("target_layer").eq_missing(layer))
    chosen = chosen.filter(pl.col("target_head").eq_missing(head))
    if isinstance(source, str):
        return chosen.filter(key_group=source)
    return chosen.filter(source_layer=source[0], source_head=source[1])


def test_ablation_finds_the_heads_and_path_patching_the_edge_with_its_known_value(run):
    plan = json.loads((run / "plan" / "causal.json").read_text())["circuit"]
    assert plan["heads"] == [list(READER), list(TELLER)]
    frame = table(run, "edges")
    assert frame.columns == causal_schema("edges", ()).names
    samples = dict(
        pl.read_parquet(run / "shards" / "measure-*" / "samples.parquet")["sample_id", "logit_difference"].rows()
    )
    whole = planted_circuit.logit_difference(1.0)
    found = edge(frame, READER, TELLER, "v")
    assert set(found["sample_id"]) == set(samples) and len(found) == len(samples)
    assert found.filter(~pl.col("is_held_out"))["verified"].null_count() == 12  # on the others it was chosen
    found = found.filter("is_held_out")
    for sample_id, change, foretold in found.select("sample_id", "verified", "effect").iter_rows():
        assert abs(samples[sample_id]) == pytest.approx(whole, rel=1e-5)
        assert change == pytest.approx(-samples[sample_id], rel=1e-5)
        # The norms' own change is all that a gradient misses: one part in a hundred.
        assert foretold == pytest.approx(change, rel=0.03)
    # What the reader reads are the line item's words; what it writes to the logits changes the final norm alone.
    frame = frame.filter("is_held_out")
    read = edge(frame, "verdict", READER, "v")
    np.testing.assert_allclose(read["verified"], -read["logit_difference"], rtol=1e-5)
    direct = edge(frame, READER, None, "logits")
    squares = planted_circuit._SQUARES + 1
    np.testing.assert_allclose(
        direct["verified"], direct["logit_difference"] * ((squares / (squares - 1)) ** 0.5 - 1), rtol=1e-3, atol=1e-6
    )
    for name in ("q", "k"):
        assert edge(frame, READER, TELLER, name)["verified"].abs().max() < 1e-5
    assert edge(frame, "theme", READER, "v")["verified"].abs().max() < 1e-5


def test_two_edges_recover_what_all_do(run):
    curve = table(run, "circuit_curves").filter(order="strongest").sort("sample_id", "num_edges")
    whole = planted_circuit.logit_difference(1.0)
    by_size = {size[0]: part["logit_difference"].abs() for size, part in curve.group_by("num_edges")}
    assert sorted(by_size) == [0, 1, 2, 4, 5]  # into queries, keys and values, and both to the logits
    assert by_size[0].max() < 1e-5 and by_size[5].to_list() == pytest.approx([whole] * 12, rel=1e-5)
    assert by_size[1].max() < 1e-5
    assert by_size[2].to_list() == pytest.approx([whole] * 12, rel=0.02)


@pytest.fixture(scope="module")
def analysis(run):
    return analysed(run)


def test_the_report_names_the_edge(analysis):
    edges = pl.read_parquet(analysis / "tables" / "circuit_edges.parquet").filter(measure="lead")
    row = edge(edges, READER, TELLER, "v").row(0, named=True)
    assert row["mean"] == pytest.approx(-planted_circuit.logit_difference(1.0), rel=1e-5)
    assert row["linearised"] == pytest.approx(row["mean"], rel=0.03)
    text = (analysis / "report.html").read_text()
    assert edge_text(row) == "head 0.5 into the values of head 1.1" and edge_text(row) in text
    results = json.loads((analysis / "comparison_analysis_results.json").read_text())
    assert row["num_choosing"] == 12 and "were chosen on 12 other samples, of other clusters" in text
    assert results["circuits"]["strongest"][0]["mean"] == pytest.approx(row["mean"])
    curve = pl.read_parquet(analysis / "tables" / "circuit_faithfulness.parquet")
    assert curve["recovered"].to_list() == pytest.approx([0.0, 1.0, 1.0], abs=0.02)
    assert (curve["random"] <= curve["recovered"] + 1e-6).all()


def test_the_share_recovered_is_the_ratio_of_sums_with_its_error(run, analysis):
    """Against the ratio by hand and a jackknife over clusters, with margins made unlike."""
    from analyses.questions.circuits import answer, values

    rng = np.random.default_rng(0)
    gap = rng.uniform(1, 4, 24)
    changes = gap * rng.uniform(0.2, 1, 24) + rng.normal(0, 0.2, 24)
    curve = values.CurveValues([1], 3, {"strongest": changes[:, None]}, gap)
    parts = answer._influences(curve, "strongest", float(gap.mean()))
    cluster = np.repeat(np.arange(8), 3)
    from analyses.inference.clustered_means import clustered_mean

    found = clustered_mean(parts, cluster)
    assert found.mean[0] == pytest.approx(changes.sum() / gap.sum(), rel=1e-12)
    left = np.array([changes[cluster != one].sum() / gap[cluster != one].sum() for one in range(8)])
    jackknife = np.sqrt(7 / 8 * np.square(left - left.mean()).sum())
    assert found.standard_error[0] == pytest.approx(jackknife, rel=0.1)
    assert found.ci_high[0] - found.mean[0] == pytest.approx(
        stats.t.ppf(0.975, found.degrees_of_freedom[0]) * found.standard_error[0]
    )


def test_an_edge_into_keys_is_seen_by_several_steps_and_not_by_one(tmp_path):
    """A softmax that is nearly saturated hides the edge from the gradient of the unchanged run."""
    config = written(tmp_path, planted_circuit.build_model("k", sharpness=6.0), count=6)
    means = {}
    for steps in (1, 20):
        heads = [list(READER), list(TELLER)]
        section = {"heads": heads, "replace": "zero", "key_groups": ["verdict"], "steps": steps, "selection": 1}
        path = with_causal(config, f"keys-{steps}", circuit=section)
        assert main([str(path), "--stage", "collect"]) == 0
        frame = table(path.parent / "runs" / f"keys-{steps}", "edges")
        found = edge(frame, READER, TELLER, "k").filter(pl.col("logit_difference") > 0)
        assert len(found) == 3 and not found["is_held_out"].any()
        means[steps] = found["effect"].mean()
        for change, before, sample in found.select("verified", "logit_difference", "sample_id").iter_rows():
            # Without marks the teller looks evenly at all rows, of which one says rose.
            number = tokens_of(path.parent / "runs" / f"keys-{steps}", sample)
            assert before + change == pytest.approx(planted_circuit.logit_difference(2 / number - 1), rel=1e-3)
    assert means[20] < 4 * means[1] < 0


def tokens_of(run, sample_id):
    samples = pl.read_parquet(run / "shards" / "measure-*" / "samples.parquet").filter(sample_id=sample_id)
    return samples["contrast_position"][0] + 1


def test_nothing_is_found_where_heads_hand_on_nothing(tmp_path):
    config = written(tmp_path, planted_circuit.null_model(), count=24)
    heads = [list(planted.HEADS[name]) for name in ("previous_token", "vocabulary")] + [list(BYSTANDER)]
    path = with_causal(config, "null", circuit=CIRCUIT | {"heads": heads, "replace": "mean"})
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "null"
    frame = table(run, "edges")
    assert frame["effect"].abs().max() < 1e-6 and frame["verified"].abs().max() < 1e-6
    curve = table(run, "circuit_curves")
    spread = curve.group_by("sample_id").agg(pl.col("logit_difference").max() - pl.col("logit_difference").min())
    assert spread["logit_difference"].max() < 1e-6  # random edges do as well as the strongest
    directory = analysed(run)
    results = json.loads((directory / "comparison_analysis_results.json").read_text())
    claims = [claim for claim in results["claims"] if "edge" in claim["family"]]
    assert not any(claim["is_finding"] for claim in claims)
    assert pl.read_parquet(directory / "tables" / "circuit_faithfulness.parquet").is_empty()


@pytest.mark.soak
def test_nothing_is_claimed_of_heads_that_have_nothing_to_do_with_the_answer(tmp_path):
    """They move s in every sample, by noise: no edge has an effect on average.

    Edges that move it further do recover more of what all of them make of each sample, whichever way that is.
    """
    config = written(tmp_path, planted_circuit.noise_model(3), count=48)
    heads = [list(head) for head in planted_circuit.NOISE]
    path = with_causal(config, "noise", circuit=CIRCUIT | {"heads": heads, "replace": "mean", "steps": 1})
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "noise"
    frame = table(run, "edges").drop_nulls("verified")
    assert frame["is_held_out"].all() and frame["sample_id"].n_unique() == 24
    sizes = frame.filter(input="logits").group_by("source_layer", "source_head").agg(pl.col("verified").abs().mean())
    assert len(sizes) == 6 and sizes["verified"].min() > 1e-4
    results = json.loads((analysed(run) / "comparison_analysis_results.json").read_text())
    (tile,) = (one for one in results["story"]["tiles"] if "matter" in one["label"])
    assert tile["label"] == "Edges that matter" and tile["figure"].startswith("0 of ") and not tile["is_finding"]
    assert "not measured" not in results["story"]["answer"]
    claims = [claim for claim in results["claims"] if claim["family"] == EDGES_FAMILY]
    assert claims and not any(claim["is_finding"] for claim in claims)


def test_held_out_clusters_have_no_say():
    """Whole clusters, tied by pairs, seeded; what a held-out sample would choose changes nothing."""
    ids = [f"s{place}" for place in range(12)]
    clusters = {sample_id: f"c{place // 2}" for place, sample_id in enumerate(ids)} | {"alone": None, "donor": "c9"}
    halves = {seed: set(held_out(ids, clusters, {}, 0.5, seed)) for seed in range(8)}
    for chosen in halves.values():
        assert len(chosen) == 6 and {clusters[one] for one in chosen}.isdisjoint(
            {clusters[one] for one in ids if one not in chosen}
        )
    assert len(set(map(frozenset, halves.values()))) > 3 and halves[0] == set(held_out(ids, clusters, {}, 0.5, 0))
    # c0 and c1 borrow from one right prediction, so that they go together.
    pairs = {"s0": "donor", "s2": "donor"}
    for seed in range(8):
        chosen = held_out(ids, clusters, pairs, 0.5, seed)
        assert len({one in chosen for one in ids[:4]}) == 1 and 0 < len(chosen) < 12
    assert held_out(ids, clusters, {}, 1.0, 0) == [] == held_out(ids[:2], clusters, {}, 0.5, 0)
    assert 0 < len(held_out([*ids, "alone"], clusters, {}, 0.99, 0)) < 13


def test_a_circuit_of_a_null_world_claims_nothing_and_a_planted_edge_is_named():
    from tests.benchmarks.null_worlds import claims_in
    from tests.benchmarks.worlds import CIRCUIT_HEADS, PLANTED_EDGE, World

    assert not [claim for claim in claims_in(World(circuits=0.5), 1) if "edge" in claim.family]
    found = [claim for claim in claims_in(World(circuits=0.5, planted={"edge": 1.2}), 1) if "edge" in claim.family]
    edges = [one for one in candidate_edges(CIRCUIT_HEADS, ()) if one.is_between_heads]
    layer, head = edges[PLANTED_EDGE].target
    assert any(f"{layer}.{head} {edges[PLANTED_EDGE].input}" in claim.subject for claim in found)


def test_circuits_of_matched_predictions_that_share_a_right_one_count_once(run, tmp_path):
    """Errors of edges that carry the same right prediction: one cluster."""
    from analyses.questions.circuits.values import edge_values
    from analyses.runs.run import open_tables

    copy = tmp_path / "shared"
    shutil.copytree(run, copy)
    ids = sorted(table(run, "edges")["sample_id"].unique())
    for path in (copy / "shards").glob("causal-*/edges.parquet"):
        frame = pl.read_parquet(path)
        frame.with_columns(
            matched_id=pl.when(pl.col("sample_id") == ids[0]).then(None).otherwise(pl.lit(ids[0]))
        ).write_parquet(path)
    seal_again(copy)
    opened = open_tables(copy)
    others = edge_values(opened).others
    assert (others == opened.rows_of[ids[0]]).sum() == len(ids) - 1 and (others == -1).sum() == 1
    analyze(copy)
    edges = pl.read_parquet(copy / "analysis" / "tables" / "circuit_edges.parquet")
    assert set(edges["num_clusters"]) == {1} and edges["pvalue"].null_count() == len(edges)
    curve = pl.read_parquet(copy / "analysis" / "tables" / "circuit_faithfulness.parquet")
    assert set(curve["num_clusters"]) == {1}


def test_a_run_that_lost_units_of_the_ranking_goes_on_with_the_same_numbers(run):
    frame = table(run, "edges").sort(pl.all())
    shutil.rmtree(run / "shards" / "causal-00001")
    shutil.rmtree(run / "causal" / "shards" / "rank-00001")
    (run / "_SUCCESS").unlink(missing_ok=True)
    config = run.parent.parent / "circuit.yaml"
    assert main([str(config), "--stage", "collect"]) == 0
    assert table(run, "edges").sort(pl.all()).equals(frame)


@pytest.mark.parametrize("replace", ["mean", "resample", "matched"])
def test_other_baselines_run_and_share_their_edges(tmp_path, replace):
    config = written(tmp_path, planted_circuit.build_model(), count=12)
    section = {"heads": {"top": 2}, "replace": replace, "key_groups": ["verdict"], "steps": 2}
    path = with_causal(config, replace, circuit=section)
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / replace
    frame = table(run, "edges")
    assert set(frame["replace"]) == {replace} and len(frame) % 7 == 0 and len(frame)
    found = edge(frame, READER, TELLER, "v")
    if replace == "matched":  # the right prediction says the other word
        wrong = pl.read_parquet(run / "shards" / "measure-*" / "samples.parquet").filter(~pl.col("is_correct"))
        assert set(found["sample_id"]) == set(wrong["sample_id"])
        found = found.drop_nulls("verified")
        assert found["matched_id"].null_count() == 0 and len(found)
        np.testing.assert_allclose(found["verified"], -2 * found["logit_difference"], rtol=1e-4)


def test_the_edited_statement_of_patching_is_a_baseline(config_file):
    """What patching foretells for a head of the last layer is what its edge to the logits is foretold to do."""
    section = {"heads": [[0, 1], [1, 2]], "replace": "counterfactual", "key_groups": ["number"], "steps": 1}
    patching = {"counterfactual": "swap_periods"}
    path = with_causal(config_file, "edited", circuit=section, patching=patching, max_samples=4)
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "edited"
    foretold = table(run, "patching").filter(layer=1, head=2).select("sample_id", foretold="effect")
    found = edge(table(run, "edges"), (1, 2), None, "logits").join(foretold, on="sample_id")
    assert len(found) and found["effect"].abs().min() > 1e-8
    # The head's output at the decision row reaches s by the MLP of its layer too, so that signs and sizes are close.
    assert np.corrcoef(found["effect"], found["foretold"])[0, 1] > 0.8


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"heads": [[0, 9]]}, "causal.circuit.heads[0]: head 9 is outside 0..5 for this model (6 heads)."),
        ({"key_groups": ["nothing"]}, "causal.circuit.key_groups[0]: 'nothing' is no key group of this run"),
        ({"heads": "all"}, "'all' names no heads; use {ablated: k}, {top: k} or a list of [layer, head]"),
        ({"heads": {"top": 40}}, "heads names 40 heads, between which there would be too many edges to tell apart"),
        ({"heads": {"ablated": 99}}, "heads names 99 heads, between which there would be too many edges to tell apart"),
        (
            {"heads": {"ablated": 0}},
            "causal.circuit.heads: {'ablated': 0} is not allowed; allowed: a whole number from",
        ),
        ({"replace": "counterfactual"}, "circuit.replace is 'counterfactual', the edited statement of causal.patching"),
        ({"step": 3}, "causal.circuit.step: unknown key (did you mean causal.circuit.steps?)"),
    ],
    ids=["head", "key group", "all heads", "many heads", "many ablated", "none ablated", "no patching", "unknown key"],
)
def test_what_it_cannot_do_is_refused_in_the_plan(tmp_path, capsys, section, said):
    path = with_causal(planted.write_config(tmp_path, count=6), "refused", circuit=section)
    assert main([str(path), "--stage", "plan"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_plan_says_what_a_circuit_takes(tmp_path, capsys):
    path = with_causal(planted.write_config(tmp_path, count=6), "planned", circuit={"heads": {"ablated": 3}})
    assert main([str(path), "--stage", "plan"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "up to 12 edge(s) between 3 head(s) and to the logits in 5 run(s) with gradients" in said
    assert "verifies up to 12 of them and as many from key groups" in said
    assert "about 34 forwards a sample on average, after an ablation of each of 12 heads (about 6 more" in said
    assert "chooses heads and edges on 50 % of the clusters and verifies them on the samples of the others" in said


def test_means_of_two_kinds_of_rows_are_refused():
    with pytest.raises(ValueError, match="a run holds one kind"):
        CausalSection.model_validate({"ablation": {"replace": "mean", "rows": "decision"}, "circuit": {}})


def test_a_circuit_of_edges_that_are_all_alike_beats_random_ones_as_rarely_as_it_should():
    """Edges without an order: the strongest by name alone, so that a difference is chance."""
    from analyses.inference.adjusted.tested_means import tested_means
    from analyses.questions.circuits import answer, values

    rng, cluster, found = np.random.default_rng(2), np.repeat(np.arange(20), 3), []
    for _ in range(300):
        size = rng.normal(size=20)[cluster, None] + rng.normal(size=(60, 12))
        whole = size.sum(axis=1)
        towards, gap = np.sign(whole)[:, None], np.abs(whole)
        kept = {name: rng.permutation(12)[:4] for name in ("strongest", "random")}
        recovered = {name: size[:, places].sum(axis=1, keepdims=True) * towards for name, places in kept.items()}
        curve = values.CurveValues([4], 12, recovered, gap)
        parts = [answer._influences(curve, name, float(gap.mean())) for name in ("strongest", "random")]
        found.append(tested_means(parts[0] - parts[1], cluster, 0.05)["pvalue"][0])
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 300) + 0.005)


def test_what_is_said_of_key_groups_is_true_of_them():
    """Key groups carry other values than heads do, and overlap."""
    from analyses.questions.circuits.sentences import _REPLACED, _overlap

    assert "of a key group, the mean value of the sample's own keys" in _REPLACED["mean"]
    into = {"target_layer": [1, 1], "target_head": [0, 0]}
    both = pl.DataFrame({"key_group": ["terms", "answer"], **into})
    assert "may be the same tokens" in _overlap(both)
    assert not _overlap(both.head(1)) and not _overlap(both.with_columns(target_head=pl.Series([0, 1])))


def test_what_could_not_be_tested_is_not_called_the_same_everywhere():
    from analyses.inference.adjusted.tested_means import SAME_EVERYWHERE
    from analyses.questions.causes.sentences import constant_text
    from analyses.questions.causes.values import KEYS

    row = dict.fromkeys(KEYS) | {"kind": "ablation", "unit": "head", "replace": "mean", "rows": "all", "layer": 0}
    row |= {"head": 1, "mean": 1.4, "pvalue": None, "num_clusters": 5}
    for note, is_said in ((SAME_EVERYWHERE, True), ("too few clusters to carry it: 3.6 degrees of freedom", False)):
        frame = pl.DataFrame([row | {"note": note}], schema_overrides=KEYS)
        assert ("without a p-value" in constant_text(frame)) is is_said


@pytest.mark.parametrize("names", ["narrow", "wide"])
def test_names_of_many_key_groups_stand_in_tiers_on_a_telephone(names):
    from analyses.charts.graphs import layered_graph
    from analyses.settings.visualization import VisualizationSettings

    number = 8 if names == "narrow" else 2
    nodes = [{"node": f"key group {place}", "x": place / 10, "y": 0, "confirmed": False} for place in range(number)]
    nodes.append({"node": "logits", "x": 0.5, "y": 1, "confirmed": False})
    edge = {"edge": "e", "input": "v", "step": 0, "x": 0.0, "y": 0, "size": 1.0, "verified": 1.0}
    edge |= {"ci_low": 0.5, "ci_high": 1.5, "linearised": 1.0, "pvalue_adjusted": 0.01, "is_certain": True}
    chart = layered_graph(
        pl.DataFrame([edge, edge | {"step": 1, "x": 0.5, "y": 1}]),
        pl.DataFrame(nodes),
        VisualizationSettings(),
        rows=["read", "logits"],
        subtitle=["n"],
        description="e",
    ).to_dict()
    texts = [layer["mark"] for layer in chart["layer"] if layer["mark"]["type"] == "text"]
    below = [mark["dy"]["expr"] for mark in texts if "dy" in mark]
    # Each name on a seam of paper; with many of them each in a line of its own, and none beyond the edge.
    assert [mark["style"] for mark in texts] == ["seam", "name"] * 3 and len(set(below)) == 1
    assert ("datum.tier % 8" in below[0]) is (names == "narrow")
    assert chart["layer"][0]["encoding"]["y"]["scale"]["domainMin"]["expr"].startswith("width < 560 ? ")
