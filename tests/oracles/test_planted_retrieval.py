"""A head that fetches and copies is found by name with its known scores, and nothing in a model of random weights."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from engine.run import main
from tests.fixtures import planted, planted_retrieval

COUNT = 60
PLACE = (planted_retrieval.LAYER, planted_retrieval.HEAD)


def answered(folder, **options):
    assert main([str(planted_retrieval.write_config(folder, COUNT, **options))]) == 0
    run = folder / "runs" / "planted"
    return run, json.loads((run / "analysis" / "comparison_analysis_results.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return answered(tmp_path_factory.mktemp("retrieval"))


def table(run, name):
    return pl.read_parquet(run / "shards" / "*" / f"{name}.parquet")


def test_the_fetching_head_has_its_known_scores_in_every_sample(found):
    run, _ = found
    samples = table(run, "samples")
    rows = table(run, "retrieval").filter(layer=PLACE[0], head=PLACE[1]).join(samples, on="sample_id")
    assert rows.height == COUNT and set(rows["num_rows"]) == {5, 7, 9}
    right, wrong = rows.filter("is_correct"), rows.filter(~pl.col("is_correct"))
    for row in right.iter_rows(named=True):
        score, of_passage = planted_retrieval.right_scores(row["num_rows"])
        assert row["retrieval"] == pytest.approx(score)
        assert row["num_copyable"] == row["num_rows"] - 1  # all but the label
        # Each next token is written once: by chance a key that counts is right in one row of them all.
        assert row["retrieval_chance"] <= 1 / row["num_rows"] + 1e-6
        if row["count_evidence"] is not None:
            assert row["evidence_retrieval"] == pytest.approx(of_passage)
            assert row["num_evidence_copyable"] == row["num_rows"] - 2
    assert right["evidence_retrieval"].null_count() == 1
    assert wrong["retrieval"].max() < 0.3 and wrong["evidence_retrieval"].max() < 0.3
    others = table(run, "retrieval").filter((pl.col("layer") != PLACE[0]) | (pl.col("head") != PLACE[1]))
    assert others["retrieval"].max() < 4 / 7


def test_its_copy_score_is_that_of_the_codes(found):
    run, _ = found
    known = dict(zip(planted.TOKENS, planted_retrieval.copy_scores().tolist(), strict=True))
    tokens = table(run, "tokens").sort("sample_id", "position")
    copied = table(run, "retrieval").filter(layer=PLACE[0], head=PLACE[1])
    for row in copied.head(10).iter_rows(named=True):
        text = tokens.filter(sample_id=row["sample_id"])
        number = table(run, "samples").filter(sample_id=row["sample_id"])["num_prompt_tokens"].item()
        expected = np.mean([known[token] for token in text["token"][1:number]])
        assert row["copy_score"] == pytest.approx(expected, rel=1e-4) and expected > 4
    silent = table(run, "retrieval").filter(layer=PLACE[0], head=3)
    assert silent["copy_score"].to_list() == [0.0] * COUNT


def test_the_report_names_the_head_its_values_and_wrong_answers(found):
    run, results = found
    lines = " ".join(results["findings"]["retrieval"])
    assert f"Head {PLACE[0]}.{PLACE[1]} fetches from the prompt in " in lines
    rows = table(run, "retrieval").filter(layer=PLACE[0], head=PLACE[1]).join(table(run, "samples"), on="sample_id")
    mean = 100 * rows.filter("is_correct")["retrieval"].cast(pl.Float64).mean()
    assert f"of the rows of wrong answers and {mean:.1f} % of right ones" in lines
    claims = [claim for claim in results["claims"] if claim["part"] == "retrieval" and claim["is_finding"]]
    named = {claim["subject"] for claim in claims if claim["value"] is not None}
    assert {f"prompt {PLACE[0]}.{PLACE[1]}", f"is_correct prompt {PLACE[0]}.{PLACE[1]}"} <= named
    assert results["retrieval"]["heads"][0]["layer"] == PLACE[0]
    assert results["retrieval"]["heads"][0]["head"] == PLACE[1]
    assert "QRscore" in lines


def test_a_row_that_names_no_evidence_is_null_and_counted(found):
    run, _ = found
    lacking = table(run, "samples").filter(pl.col("flags").list.contains("no_evidence"))["sample_id"].to_list()
    assert lacking == ["r1"]
    assert table(run, "head_stats").filter(sample_id="r1")["mass_evidence"].null_count() == 12 * 3
    plan = json.loads((run / "plan.json").read_text())
    assert plan["samples_by_flag"]["no_evidence"] == 1


def test_a_null_model_fetches_nothing(tmp_path):
    _, results = answered(tmp_path, is_null=True)
    claims = [claim for claim in results["claims"] if claim["part"] == "retrieval"]
    assert claims and not any(claim["is_finding"] for claim in claims)


def test_without_the_setting_and_the_field_nothing_is_there(tmp_path):
    config = planted_retrieval.write_config(tmp_path, 12, names_evidence=False)
    config.write_text(config.read_text().replace("retrieval: true", "retrieval: false"))
    assert main([str(config)]) == 0
    run = tmp_path / "runs" / "planted"
    assert not list(run.glob("shards/*/retrieval.parquet"))
    assert "mass_evidence" not in table(run, "head_stats").columns
    results = json.loads((run / "analysis" / "comparison_analysis_results.json").read_text())
    assert "retrieval" not in results and not any(claim["part"] == "retrieval" for claim in results["claims"])


def test_causes_know_that_a_row_names_no_evidence(tmp_path):
    config = planted_retrieval.write_config(tmp_path, 6)
    parts = "{knockout: {rows: decision, key_groups: [evidence, verdict], window: 2}, attention_gradient: {}, "
    parts += "circuit: {heads: {top: 2}, key_groups: [evidence, verdict]}}"
    config.write_text(config.read_text() + f"causal: {parts}\n")
    assert main([str(config), "--stage", "collect"]) == 0
    run = tmp_path / "runs" / "planted"
    knockouts, gradients = table(run, "knockouts"), table(run, "attributions")
    assert set(knockouts.filter(key_group="evidence")["sample_id"]) == {f"r{number}" for number in (0, 2, 3, 4, 5)}
    assert knockouts.filter(key_group="verdict")["sample_id"].n_unique() == 6
    lacking, known = gradients.filter(sample_id="r1"), gradients.filter(pl.col("sample_id") != "r1")
    assert lacking["attention_gradient_evidence"].null_count() == lacking.height > 0
    assert known["attention_gradient_evidence"].null_count() == 0
    edges = table(run, "edges").filter(pl.col("key_group") == "evidence")
    assert set(edges["sample_id"]) == {f"r{number}" for number in (0, 2, 3, 4, 5)}
    assert table(run, "edges").filter(key_group="verdict")["sample_id"].n_unique() == 6
