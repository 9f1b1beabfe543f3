"""What keys carry, right against wrong: what is planted is found by head, keys and value, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from analyses.questions.attributions.answer import attribution_differences
from analyses.questions.attributions.sentences import FAMILY, NONE, attribution_sentences
from analyses.questions.attributions.values import FIRST, SAID, attributed, attribution_blocks, first_side
from analyses.questions.claims import claims_of
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.schema import table_schema
from tests.fixtures.synthetic_run import KEY_GROUPS, add_metadata, edit_table, write_run

LAYERS, HEADS = 2, 3
QUICK = {"permutations": 99, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}


def attributed_run(folder, planted=0.0, num_samples=200, seed=0, known=1.0):
    """A run in which head 1.2 carries revenue and the item Net income of the prior period in wrong answers."""
    run_dir = write_run(folder / "run", num_samples=num_samples, num_layers=LAYERS, num_heads=HEADS, seed=seed)
    add_metadata(run_dir, {"analysis": QUICK, "decision": {"contrast": ["increase", "decrease"]}})
    rng = np.random.default_rng([seed, 5])
    for shard in sorted((run_dir / "shards").iterdir()):
        samples = pl.read_parquet(shard / "samples.parquet")
        samples = samples.head(int(known * len(samples)))
        n, places = len(samples), LAYERS * HEADS
        is_wrong = (~samples["is_correct"]).to_numpy().astype(float)
        towards = np.where(samples["predicted_label"] == "increase", 1.0, -1.0)
        ids = np.repeat(samples["sample_id"].to_numpy(), places)
        layer, head = np.divmod(np.tile(np.arange(places, dtype=np.int32), n), HEADS)
        at = (layer == 1) & (head == 2)
        noise = {name: rng.normal(0, 0.3, n * places) for name in ("dla", *KEY_GROUPS)}
        noise["revenue"] += planted * at * np.repeat(is_wrong * towards, places)
        columns = {"sample_id": ids, "layer": layer, "head": head, "dla": noise["dla"]}
        columns |= {f"attribution_{name}": noise[name] for name in KEY_GROUPS}
        write(shard, "head_attributions", columns)
        parts = []
        for kind, span, period in (("line_item", "Net income", None), ("cell", "Net income", "prior_period")):
            carried = rng.normal(0, 0.3, n * places) + planted * at * (kind == "cell") * np.repeat(is_wrong, places)
            parts.append(
                pl.DataFrame(
                    {
                        "sample_id": ids,
                        "kind": kind,
                        "span": span,
                        "period": pl.Series([period] * len(ids), dtype=pl.String),
                        "layer": layer,
                        "head": head,
                        "attribution": carried,
                    }
                )
            )
        write(shard, "span_attributions", pl.concat(parts).to_dict(as_series=False))
    return open_tables(run_dir)


def write(shard, name, columns):
    schema = pl.from_arrow(table_schema(name, KEY_GROUPS).empty_table()).schema
    pl.DataFrame(columns).select(pl.col(key).cast(kind) for key, kind in schema.items()).write_parquet(
        shard / f"{name}.parquet"
    )


def answers_of(run):
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    return answer_questions(run, settings, VisualizationSettings.from_mapping({}))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return answers_of(attributed_run(tmp_path_factory.mktemp("planted"), planted=0.5))


def test_what_is_planted_is_found_by_head_keys_and_value(planted):
    table = planted["attribution_differences"]
    found = table.filter(pl.col("pvalue_claim") <= planted.level(FAMILY))
    assert set(found.select("layer", "head").iter_rows()) == {(1, 2)}
    said = found.filter(measure=SAID, keys="revenue").row(0, named=True)
    assert said["mean_b"] == pytest.approx(0.5, abs=0.1) and said["mean_a"] == pytest.approx(0, abs=0.1)
    assert said["difference"] == pytest.approx(-0.5, abs=0.15) and said["ci_low"] < -0.5 < said["ci_high"] < -0.3
    first = found.filter(measure=FIRST, kind="cell").row(0, named=True)
    assert first["keys"] == "Net income" and first["period"] == "prior_period"
    assert first["mean_b"] == pytest.approx(0.5, abs=0.1)
    assert found.filter(kind="line_item").is_empty()


def test_the_sentence_names_head_item_label_and_both_values(planted):
    verdict, *lines = attribution_sentences(planted)
    assert "differ between right and wrong predictions by every check (increase against decrease)" in verdict
    (line,) = lines  # one for each head
    assert line.startswith("Head 1.2 carries ") and " nats in wrong answers, " in line and " in right ones" in line
    assert "towards increase" in line or "towards the answer given" in line
    (claim,) = claims_of(line)
    assert claim.kind == "attribution" and claim.family == FAMILY and claim.is_finding and claim.direction == "lower"


def test_nothing_is_found_where_nothing_is_planted(tmp_path):
    false = 0
    for seed in range(8):
        run = attributed_run(tmp_path / str(seed), seed=seed, num_samples=120)
        settings = AnalysisSettings.from_mapping(run.config["analysis"])
        table = attribution_differences(run, settings)
        assert table["family_size"][0] == LAYERS * HEADS * 2 * (1 + len(KEY_GROUPS) + 2)
        false += int((table["pvalue_claim"] <= 0.05).any())
    assert false <= 2


def test_values_are_those_of_the_tables_turned_towards_what_was_said(tmp_path):
    run = attributed_run(tmp_path, num_samples=30)
    edit_table(run.run_dir, "samples", lambda frame: frame.with_columns(count_revenue=pl.lit(0, pl.Int32)))
    run = open_tables(run.run_dir)
    assert first_side(run) == "increase"
    table = run.tables["head_attributions"].collect()
    blocks = list(attribution_blocks(run))
    block = next(one for one in blocks if one.keys["kind"][0] == "head" and one.keys["layer"][0] == 1)
    at = block.keys.with_row_index().filter(keys="profit", head=2)["index"].item()
    sign = {"increase": 1, "decrease": -1}
    for row, sample in enumerate(run.samples.iter_rows(named=True)):
        (value,) = table.filter(sample_id=sample["sample_id"], layer=1, head=2)["attribution_profit"]
        assert block.measures[FIRST][row, at] == pytest.approx(value)
        assert block.measures[SAID][row, at] == pytest.approx(value * sign[sample["predicted_label"]])
    # A key group that no text holds carries nothing by definition; that is no value.
    empty = block.keys.with_row_index().filter(keys="revenue")["index"].to_list()
    assert np.isnan(block.measures[FIRST][:, empty]).all()


def test_a_rule_that_chooses_the_contrast_has_one_form(tmp_path):
    run = attributed_run(tmp_path, num_samples=30)
    metadata = {"analysis": QUICK, "decision": {"contrast": "said_vs_best_other"}}
    add_metadata(run.run_dir, metadata)
    run = open_tables(run.run_dir)
    assert first_side(run) is None
    assert {name for block in attribution_blocks(run) for name in block.measures} == {SAID}


def test_what_is_missing_is_said(tmp_path):
    partial = answers_of(attributed_run(tmp_path / "a", known=0.9))
    missing = int((~attributed(partial.run)).sum())
    assert missing > 0 and f"{missing} samples could not be attributed." in attribution_sentences(partial)[0]
    run_dir = write_run(tmp_path / "b", num_samples=40, num_layers=LAYERS, num_heads=HEADS)
    add_metadata(run_dir, {"analysis": QUICK})
    without = answers_of(open_tables(run_dir))
    assert attribution_sentences(without) == [NONE] and without["attribution_differences"].is_empty()
    assert FAMILY not in without.levels
    assert json.dumps(without["attribution_differences"].to_dicts()) == "[]"


def test_random_vocabularies_are_a_reference_and_no_question(tmp_path):
    run_dir = attributed_run(tmp_path, num_samples=40).run_dir
    added = pl.lit(1.0).alias("attribution_random_revenue_1")
    edit_table(run_dir, "head_attributions", lambda table: table.with_columns(added))
    run = open_tables(run_dir)
    run = replace(run, key_groups=(*run.key_groups, "random_revenue_1"))
    names = {name for block in attribution_blocks(run) for name in block.keys["keys"]}
    assert "revenue" in names and "random_revenue_1" not in names
