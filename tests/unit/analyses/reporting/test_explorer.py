"""Which samples are shown, by their rules; their texts and rows as the tables hold them, small at any length."""

import json

import numpy as np
import polars as pl
import pytest

from analyses.questions.heads.details import head_details
from analyses.questions.sample_choice import MAX_CHOSEN, choose_samples, reasons_of, why_none
from analyses.reporting.analysis import answer_questions
from analyses.reporting.interactive.explorer import (
    MAX_HEAD_KEYS,
    MAX_LAYER_KEYS,
    UNIT,
    binned,
    explorer_content,
    heaviest,
)
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.synthetic_run import add_metadata, add_texts, edit_table, write_run

SETTINGS = AnalysisSettings(permutations=0, decodability=None, hypotheses=(), correlations=(), strata=())


def written(path, **options):
    write_run(path, num_samples=30, num_layers=2, num_heads=3, num_clusters=12, num_shards=2)
    add_texts(path, **options)
    add_metadata(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written(tmp_path_factory.mktemp("runs") / "run")


def content_of(path):
    return explorer_content(answer_questions(open_tables(path), SETTINGS, VisualizationSettings()))


@pytest.fixture(scope="module")
def content(run):
    return content_of(run)


def test_samples_are_chosen_as_the_rule_says(run):
    """Distances again, in slow loops."""
    tables = open_tables(run)
    profiles = head_details(tables, SETTINGS, None).profiles
    table = choose_samples(tables, profiles)
    shown = reasons_of(table)
    assert len(shown) == len(table) <= MAX_CHOSEN
    standard = (profiles - profiles.mean(axis=0)) / profiles.std(axis=0)
    correct = tables.samples["is_correct"].to_list()
    ids = tables.samples["sample_id"].to_list()
    for name, wanted in (("right", True), ("wrong", False)):
        rows = [row for row, is_right in enumerate(correct) if is_right == wanted]
        centre = np.mean([standard[row] for row in rows], axis=0)
        distance = {row: float(((standard[row] - centre) ** 2).sum()) for row in rows}
        expected = {"typical": min(rows, key=distance.get), "extreme": max(rows, key=distance.get)}
        for end, row in expected.items():
            (found,) = [key for key, reasons in shown.items() if f"the most {end} {name} prediction" in reasons]
            assert found == ids[row]
    lead = tables.samples["logit_difference"].abs()
    (closest,) = [name for name, reasons in shown.items() if "the closest call" in reasons]
    assert closest == ids[int(lead.arg_min())]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_correct": pl.lit(True)}, "no wrong prediction"),
        ({"is_correct": pl.lit(None, dtype=pl.Boolean)}, "no sample has a known true label"),
        ({"logit_difference": pl.lit(None, dtype=pl.Float32)}, "no closest call"),
    ],
    ids=["all right", "truth unknown", "no decision"],
)
def test_rules_that_choose_none_say_so(tmp_path, change, words):
    path = written(tmp_path / "run")
    edit_table(path, "samples", lambda frame: frame.with_columns(**change))
    tables = open_tables(path)
    shown = choose_samples(tables, head_details(tables, SETTINGS, None).profiles)
    assert len(shown) and any(words in text.lower() for text in why_none(tables))


def test_the_text_is_the_samples_text_in_its_segments(run, content):
    tokens = pl.read_parquet(run / "shards" / "*" / "tokens.parquet")
    for sample in content["samples"]:
        own = tokens.filter(sample_id=sample["id"]).sort("position")
        assert "".join(sample["tokens"]) == "".join(own["token"])
        for start, end, name in sample["segments"]:
            assert set(own["segment"][start:end]) == {name}
        assert sample["segments"][-1][1] == len(own)


def test_rows_are_the_heaviest_keys(run, content):
    rows = pl.read_parquet(run / "shards" / "*" / "decision_rows.parquet")
    for sample in content["samples"]:
        for layer, (positions, weights) in enumerate(sample["layers"]):
            pattern = rows.filter(sample_id=sample["id"], layer=layer)["pattern"][0].to_numpy()
            np.testing.assert_allclose(np.array(weights) * UNIT, pattern[positions], atol=UNIT)
            left = np.delete(pattern, positions)
            assert left.max(initial=0) <= pattern[positions].min() + UNIT
        assert sample["rollout"] is not None and sample["heads_from"] in ("whole rows", "kept keys")
    assert any(sample["heads_from"] == "whole rows" for sample in content["samples"])


def test_heaviest_keeps_order_and_leaves_out_zeros():
    positions, weights = heaviest(np.array([0.0, 0.5, 0.1, 0.0, 0.4]), 2)
    assert positions == [1, 4] and weights == [50_000, 40_000]
    assert heaviest(np.zeros(3), 2) == [[], []]


def test_bins_hold_all_of_the_kept_weight(content):
    for sample in content["samples"]:
        rows = binned(sample)
        for layer, (_, weights) in enumerate(sample["layers"]):
            share = sum(row["share"] for row in rows if row["layer"] == layer)
            assert share == pytest.approx(sum(weights) * UNIT, abs=1e-3)


def test_without_rows_the_kept_keys_are_shown(tmp_path):
    path = written(tmp_path / "run")
    for file in (path / "shards").glob("*/decision_*rows.parquet"):
        file.unlink()
    content = content_of(path)
    assert all(sample["layers_from"] == "heads" and sample["rollout"] is None for sample in content["samples"])
    assert all(len(sample["heads"]) == 6 for sample in content["samples"])
    for file in (path / "shards").glob("*/tokens.parquet"):
        file.unlink()
    assert content_of(path) == "The run kept no tokens table."


def test_long_texts_stay_small(tmp_path, monkeypatch):
    path = written(tmp_path / "run", num_tokens=2600)
    content = content_of(path)
    assert all(len(sample["tokens"]) > 2500 for sample in content["samples"])
    kept = sum(len(row[0]) for sample in content["samples"] for row in sample["layers"])
    heads = sum(len(row[0]) for sample in content["samples"] for row in sample["heads"].values())
    assert kept <= MAX_LAYER_KEYS and heads <= MAX_HEAD_KEYS
    assert len(json.dumps(content)) < 3_000_000


def test_tokens_that_share_a_character_show_it_once(tmp_path):
    path = written(tmp_path / "run")

    def emoji(frame):
        return frame.with_columns(
            token=pl.when(pl.col("position") < 2).then(pl.lit("👩")).otherwise("token"),
            char_start=pl.when(pl.col("position") < 2).then(0).otherwise(pl.col("char_start") + 50).cast(pl.Int32),
            char_end=pl.when(pl.col("position") < 2).then(1).otherwise(pl.col("char_end") + 50).cast(pl.Int32),
        )

    edit_table(path, "tokens", emoji)
    assert content_of(path)["samples"][0]["tokens"][:2] == ["👩", ""]
