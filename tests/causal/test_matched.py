"""Matched counterfactuals: pairs by their rule, planted causes found with their share, nothing where nothing is."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from analyses.inference.adjusted import tested_means as means
from analyses.inference.joined_clusters import joined_clusters
from analyses.questions.causes.effects import causal_effects
from analyses.questions.causes.values import MATCHED, causal_blocks
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from engine.causal.matching import COLUMNS, matches
from engine.run import main
from tests.causal.test_causal_runs import table, with_causal
from tests.fixtures import planted
from tests.fixtures.synthetic_run import seal_again


def samples(*rows):
    """Columns: id, cluster, right, actual, said, margin, tokens."""
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)})


RIGHT_NEAR = ("a", "c1", True, "up", "up", 1.0, 100)
RIGHT_FAR = ("b", "c2", True, "up", "up", 9.0, 900)
RIGHT_OTHER = ("c", "c2", True, "down", "down", -1.0, 100)


@pytest.mark.parametrize(
    ("wrong", "matching", "expected"),
    [
        (("w", "c2", False, "up", "down", -1.1, 110), "nearest", "a"),
        (("w", "c2", False, "up", "down", -1.1, 110), "cluster", "b"),
        (("w", "c2", False, "up", "down", -1.1, 110), "cluster_or_nearest", "b"),
        (("w", "c9", False, "up", "down", -1.1, 110), "cluster_or_nearest", "a"),
        (("w", "c9", False, "up", "down", -1.1, 110), "cluster", None),
        (("w", None, False, "up", "down", -8.5, 880), "cluster_or_nearest", "b"),
        (("w", "c1", False, "down", "up", 1.0, 100), "nearest", "c"),
        (("w", "c1", False, None, "down", -1.0, 100), "nearest", "a"),
        (("w", "c1", False, "left", "down", -1.0, 100), "nearest", None),
        (("w", "c1", False, "up", "down", None, 100), "nearest", None),
        (("w", "c1", None, "up", "down", -1.0, 100), "nearest", None),
    ],
)
def test_pairs_follow_their_rule(wrong, matching, expected):
    rows = samples(RIGHT_NEAR, RIGHT_FAR, RIGHT_OTHER, wrong)
    sources = dict(zip("abcw", ("u0", "u0", "u1", "u1"), strict=True))
    found = matches(rows, sources, matching)
    assert {name: match.sample_id for name, match in found.items()} == ({} if expected is None else {"w": expected})
    assert all(match.source == sources[match.sample_id] for match in found.values())


def by_loop(rows, matching):
    """Return every wrong prediction's match by looking at all right ones."""
    rows = [row for row in rows.to_pylist() if row["logit_difference"] is not None]
    places = np.array([[abs(row["logit_difference"]), np.log(row["num_tokens"])] for row in rows])
    spread = places.std(axis=0)
    places = (places - places.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found = {}
    for wrong, place in zip(rows, places, strict=True):
        if wrong["is_correct"] is not False:
            continue
        actual, said = wrong["actual_label"], wrong["predicted_label"]
        pool = [
            (float(np.square(other - place).sum()), right["sample_id"], right["cluster"])
            for right, other in zip(rows, places, strict=True)
            if right["is_correct"]
            and (right["predicted_label"] != said if actual is None else right["predicted_label"] == actual)
        ]
        same = [one for one in pool if wrong["cluster"] is not None and one[2] == wrong["cluster"]]
        chosen = same if matching == "cluster" or (same and matching != "nearest") else pool
        if chosen:
            found[wrong["sample_id"]] = min(chosen)[1]
    return found


@pytest.mark.parametrize("matching", ["cluster", "nearest", "cluster_or_nearest"])
@pytest.mark.parametrize("kind", ["usual", "equal places", "many labels", "one label"])
def test_trees_find_what_looking_at_all_pairs_finds(kind, matching):
    rng, number = np.random.default_rng(len(kind)), 300
    labels = {"many labels": 40, "one label": 1}.get(kind, 3)
    said = rng.integers(0, labels, number)
    # Lattices, where many are equally near and stand at one place.
    margins = rng.integers(-3, 4, number) / 2 if kind == "equal places" else rng.standard_t(2, number)
    lengths = rng.choice([50, 100, 200], number) if kind == "equal places" else rng.integers(20, 900, number)

    def unknown(values, share):
        return [None if one else value for one, value in zip(rng.random(number) < share, values, strict=True)]

    rows = pa.table(
        {
            "sample_id": [f"s{place}" for place in rng.permutation(number)],
            "cluster": unknown([f"c{code}" for code in rng.integers(0, 30, number)], 0.2),
            "is_correct": unknown((rng.random(number) < 0.5).tolist(), 0.1),
            "actual_label": unknown([f"l{code}" for code in rng.integers(0, labels + 1, number)], 0.4),
            "predicted_label": unknown([f"l{code}" for code in said], 0.1),
            "logit_difference": unknown(margins.tolist(), 0.05),
            "num_tokens": lengths.tolist(),
        }
    )
    found = matches(rows, dict.fromkeys(rows["sample_id"].to_pylist(), "u0"), matching)
    expected = by_loop(rows, matching)
    assert {name: match.sample_id for name, match in found.items()} == expected
    assert len(expected) > 20 or kind == "one label" or matching == "cluster"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = planted.write_config(tmp_path_factory.mktemp("matched"), count=24)
    path = with_causal(config, "matched", matched={})
    assert main([str(path), "--stage", "collect"]) == 0
    return path.parent / "runs" / "matched"


def test_the_head_that_decides_restores_all_and_no_other_anything(run):
    rows = table(run, MATCHED)
    measured = pl.read_parquet(run / "shards" / "measure-*" / "samples.parquet")
    wrong = measured.filter(~pl.col("is_correct"))
    assert set(rows["sample_id"]) == set(wrong["sample_id"]) and rows.height == len(wrong) * (12 + 2)
    said = dict(measured.select("sample_id", "predicted_label").iter_rows())
    actual = dict(wrong.select("sample_id", "actual_label").iter_rows())
    assert all(said[right] == actual[one] for one, right in rows.select("sample_id", "matched_id").iter_rows())
    layer, head = planted.HEADS["verdict"]
    is_cause = (pl.col("layer") == layer) & (pl.col("head").is_null() | (pl.col("head") == head))
    whole = 2 * planted.logit_difference("rose")
    caused = rows.filter(is_cause)
    assert caused["change"].abs().to_list() == pytest.approx([whole] * caused.height, rel=1e-5)
    assert caused["is_flipped"].all()
    np.testing.assert_allclose(caused["logit_difference"], caused["matched_logit_difference"], rtol=1e-5)
    assert rows.filter(~is_cause)["change"].abs().max() < 1e-5
    pairs = json.loads((run / "plan" / "causal.json").read_text())["matched"]
    assert set(pairs) == set(wrong["sample_id"])


def test_the_share_restored_is_the_ratio_of_sums_with_its_error(run):
    """Against the ratio by hand and a jackknife over clusters."""
    opened = open_tables(run)
    rows = table(run, MATCHED).with_columns(
        change=pl.col("change") * pl.Series(np.random.default_rng(0).uniform(0.2, 1, len(table(run, MATCHED))))
    )
    changed = rows.with_columns(
        logit_difference=pl.col("logit_difference") - table(run, MATCHED)["change"] + pl.col("change")
    )
    tables = {**opened.tables, MATCHED: changed.lazy()}
    edited = type(opened)(**{name: getattr(opened, name) for name in opened.__dataclass_fields__} | {"tables": tables})
    settings = AnalysisSettings.from_mapping({"permutations": 0})
    effects, _ = causal_effects(edited, settings)
    layer, head = planted.HEADS["verdict"]
    found = effects.filter(measure="restored", unit="head", layer=layer, head=head).row(0, named=True)
    mine = changed.filter(layer=layer, head=head).join(opened.samples.select("sample_id", "cluster"), on="sample_id")
    gap = (mine["matched_logit_difference"] - (mine["logit_difference"] - mine["change"])).to_numpy()
    towards, size = mine["change"].to_numpy() * np.sign(gap), np.abs(gap)
    assert found["mean"] == pytest.approx(towards.sum() / size.sum(), rel=1e-6)
    clusters = mine["cluster"].to_numpy()
    left = [towards[clusters != one].sum() / size[clusters != one].sum() for one in np.unique(clusters)]
    number = len(left)
    jackknife = np.sqrt((number - 1) / number * np.square(left - np.mean(left)).sum())
    reach = (found["ci_high"] - found["ci_low"]) / 2
    assert reach / stats.t.ppf(0.975, found["degrees_of_freedom"]) == pytest.approx(jackknife, rel=0.1)


def test_blocks_of_layers_and_heads_have_every_measure(run):
    blocks = [block for block in causal_blocks(open_tables(run)) if block.keys["kind"][0] == MATCHED]
    assert len(blocks) == 2
    for block in blocks:
        assert set(block.measures) == {"lead", "change", "flip", "restored"}
        assert sorted(block.keys["unit"].unique()) == ["head", "layer"] and len(block.keys) == 7


def test_a_run_in_which_nothing_can_be_matched_says_so(tmp_path, capsys):
    config = planted.write_config(tmp_path, count=12)
    records = json.loads((tmp_path / "planted.json").read_text())
    for record in records:
        record["actual_label"] = record["predicted_direction"]
    (tmp_path / "planted.json").write_text(json.dumps(records))
    path = with_causal(config, "none", matched={"match": "cluster"})
    assert main([str(path), "--stage", "collect"]) == 2
    assert "causal.matched.match: 'cluster' finds no right prediction" in " ".join(capsys.readouterr().err.split())


def test_pairs_that_share_a_right_prediction_are_no_evidence_of_their_own():
    """The noise of two predictions, put into forty wrong ones of forty clusters, is not found forty times."""
    rng = np.random.default_rng(3)
    wrong, lent = np.arange(40), 40 + np.arange(2)
    cluster = np.arange(42)
    others = np.full(42, -1)
    others[wrong] = lent[wrong % 2]
    joint = joined_clusters(cluster, others)
    assert len(np.unique(joint[wrong])) == 2 and len(np.unique(joint)) == 2
    noise = rng.normal(size=(2, 300))[wrong % 2] + 0.1 * rng.normal(size=(40, 300))
    apart = means.tested_means(noise, cluster[wrong], 0.05)["pvalue"]
    together = means.tested_means(noise, joint[wrong], 0.05)["pvalue"]
    assert (apart <= 0.05).mean() > 0.5 and not np.nanmean(together <= 0.05) > 0.1


def test_clusters_are_joined_by_pairs_alone():
    cluster = np.array([0, 0, 1, 1, 2, 3, 4])
    np.testing.assert_array_equal(joined_clusters(cluster, np.full(7, -1)), cluster)
    np.testing.assert_array_equal(joined_clusters(cluster, np.array([1, -1, -1, -1, -1, -1, -1])), cluster)
    joint = joined_clusters(cluster, np.array([-1, 2, -1, 4, -1, -1, -1]))
    assert len(np.unique(joint)) == 3 and len(np.unique(joint[:5])) == 1


def test_the_report_counts_pairs_that_share_a_right_prediction_as_one_cluster(run):
    opened = open_tables(run)
    shared = table(run, MATCHED).with_columns(matched_id=pl.lit(table(run, MATCHED)["matched_id"].min()))
    tables = {**opened.tables, MATCHED: shared.lazy()}
    edited = type(opened)(**{name: getattr(opened, name) for name in opened.__dataclass_fields__} | {"tables": tables})
    effects, _ = causal_effects(edited, AnalysisSettings.from_mapping({"permutations": 10}))
    assert effects["num_clusters"].unique().to_list() == [1] and effects["pvalue"].is_null().all()


def test_the_story_tells_what_matched_pairs_alone_found(run, tmp_path):
    """Effects that vary from pair to pair, so that they can be tested; each pair of two clusters of its own."""
    copy = tmp_path / "told"
    shutil.copytree(run, copy)
    rng = np.random.default_rng(0)
    for path in (copy / "shards").glob(f"causal-*/{MATCHED}.parquet"):
        frame = pl.read_parquet(path).with_columns(matched_id="sample_id")
        share = pl.Series(rng.uniform(0.5, 1, len(frame)).astype(np.float32))
        frame.with_columns(
            change=pl.col("change") * share,
            logit_difference=pl.col("logit_difference") - pl.col("change") * (1 - share),
        ).write_parquet(path)
    seal_again(copy)
    results = json.loads((analyze(copy).directory / "comparison_analysis_results.json").read_text())
    (tile,) = (one for one in results["story"]["tiles"] if one["label"] == "Heads that matter")
    assert re.fullmatch(r"\d+ of \d+", tile["figure"]) and "not measured" not in results["story"]["answer"]
    assert "put from a right prediction into a wrong one" in tile["beside"]


@pytest.mark.parametrize("heads", [[], 3])
def test_heads_that_are_none_are_refused(tmp_path, capsys, heads):
    path = with_causal(planted.write_config(tmp_path, count=6), "refused", matched={"heads": heads})
    assert main([str(path), "--stage", "plan"]) == 2
    said = f"causal.matched.heads: {heads} names no heads; use all or a list of [layer, head]."
    assert said in " ".join(capsys.readouterr().err.split())
