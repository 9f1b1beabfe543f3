"""How answers read, right against wrong: what is planted is found by head, measure and value, and nothing else is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analyses.questions.claims import claims_of
from analyses.questions.reading.answer import reading_differences
from analyses.questions.reading.figures import reading_figures
from analyses.questions.reading.sentences import FAMILY, reading_headlines, reading_sentences
from analyses.questions.reading.values import reading_blocks
from analyses.reporting.analysis import answer_questions
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.schema import table_schema
from tests.fixtures.synthetic_run import KEY_GROUPS, add_metadata, write_run

LAYERS, HEADS = 2, 3
QUICK = {"permutations": 99, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}


def read_run(folder, planted=0.0, num_samples=200, seed=0, reads=True, receives=True):
    """A run in which head 1.2 drifts through revenue, and head 0.1 is a sink, in right answers alone."""
    run_dir = write_run(folder / "run", num_samples=num_samples, num_layers=LAYERS, num_heads=HEADS, seed=seed)
    add_metadata(run_dir, {"analysis": QUICK, "visualization": {"formats": ["html", "json"]}})
    rng = np.random.default_rng([seed, 7])
    for shard in sorted((run_dir / "shards").iterdir()):
        samples = pl.read_parquet(shard / "samples.parquet")
        n, places = len(samples), LAYERS * HEADS
        is_right = np.repeat(samples["is_correct"].to_numpy().astype(float), places)
        layer, head = np.divmod(np.tile(np.arange(places, dtype=np.int32), n), HEADS)
        named = {"sample_id": np.repeat(samples["sample_id"].to_numpy(), places), "layer": layer, "head": head}
        if reads:
            noise = {f"drift_{name}": rng.normal(0, 0.3, n * places) for name in KEY_GROUPS}
            noise["drift_revenue"] += planted * is_right * ((layer == 1) & (head == 2))
            noise |= {f"concentration_{name}": rng.uniform(0.1, 0.9, n * places) for name in KEY_GROUPS}
            noise |= {f"centroid_{name}": rng.uniform(0, 90, n * places) for name in KEY_GROUPS}
            # A group that most texts lack has no value there.
            noise["drift_time"][n * places // 20 :] = np.nan
            write(shard, "reading_focus", named | noise)
        if receives:
            sink = 0.4 + rng.normal(0, 0.05, n * places) + planted / 4 * is_right * ((layer == 0) & (head == 1))
            kurtosis = rng.normal(2, 1, n * places)
            write(
                shard,
                "received_heads",
                named | {"sink_score": sink, "receiver_kurtosis": kurtosis, "receiver_rank": layer * HEADS + head},
            )
    return open_tables(run_dir)


def write(shard, name, columns):
    schema = pl.from_arrow(table_schema(name, KEY_GROUPS).empty_table()).schema
    frame = pl.DataFrame(columns).select(pl.col(key).cast(kind) for key, kind in schema.items())
    frame.with_columns(pl.col(pl.Float32).fill_nan(None)).write_parquet(shard / f"{name}.parquet")


def answers_of(run):
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    return answer_questions(run, settings, VisualizationSettings.from_mapping({}))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return answers_of(read_run(tmp_path_factory.mktemp("planted"), planted=0.5))


def test_what_is_planted_is_found_by_head_measure_and_value(planted):
    table = planted["reading_differences"]
    certain = table.filter(pl.col("pvalue_claim") <= planted.level(FAMILY))
    named = set(certain.select("measure", "key_group", "layer", "head").iter_rows())
    assert named == {("drift", "revenue", 1, 2), ("sink_score", None, 0, 1)}
    drift = certain.filter(measure="drift").row(0, named=True)
    assert drift["mean_a"] == pytest.approx(0.5, abs=0.1) and drift["mean_b"] == pytest.approx(0, abs=0.1)
    assert drift["ci_low"] < 0.5 < drift["ci_high"] and drift["difference"] == pytest.approx(0.5, abs=0.15)
    assert table["measure"].unique().sort().to_list() == ["concentration", "drift", "receiver_kurtosis", "sink_score"]


def test_sentences_and_headline_name_them_with_both_values(planted):
    verdict, *lines = reading_sentences(planted)
    assert verdict.startswith("2 of ") and len(lines) == 2
    text = " ".join(lines)
    assert "The drift of head 1.2 through revenue terms" in text and "The sink score of head 0.1" in text
    assert all(" in wrong answers, " in line and " in right ones" in line for line in lines)
    (claim,) = claims_of(lines[0])
    assert claim.kind == "reading" and claim.family == FAMILY and claim.is_finding and claim.direction == "higher"
    (headline,) = reading_headlines(planted)
    assert headline.is_finding and "Reading: 2 of" in headline
    (figure,) = reading_figures(planted)
    assert figure.name == "reading" and figure.tables == ("reading_differences",)


def test_nothing_is_found_where_nothing_is_planted(tmp_path):
    false = 0
    for seed in range(8):
        run = read_run(tmp_path / str(seed), seed=seed, num_samples=120)
        table = reading_differences(run, AnalysisSettings.from_mapping(run.config["analysis"]))
        assert table["family_size"][0] == LAYERS * HEADS * (2 * len(KEY_GROUPS) - 1 + 2)
        false += int((table["pvalue_claim"] <= 0.05).any())
    assert false <= 2


def test_what_few_samples_have_is_not_tested_and_said(planted):
    rare = planted["reading_differences"].filter(measure="drift", key_group="time")
    assert rare["pvalue"].null_count() == len(rare) and rare["note"].str.contains("not tested").all()


def test_values_are_those_of_the_tables(tmp_path):
    run = read_run(tmp_path, num_samples=30)
    table = run.tables["reading_focus"].collect()
    block = next(one for one in reading_blocks(run) if one.keys["measure"][0] == "drift" and one.keys["layer"][0] == 1)
    at = block.keys.with_row_index().filter(measure="concentration", key_group="profit", head=2)["index"].item()
    for row, sample in enumerate(run.samples["sample_id"]):
        (value,) = table.filter(sample_id=sample, layer=1, head=2)["concentration_profit"]
        assert block.values[row, at] == pytest.approx(value)


def test_either_table_alone_is_enough_and_without_any_the_report_is_silent(tmp_path):
    alone = answers_of(read_run(tmp_path / "a", num_samples=60, reads=False))
    assert set(alone["reading_differences"]["measure"]) == {"sink_score", "receiver_kurtosis"}
    assert reading_sentences(alone)[0].startswith("None of 12 measures")
    without = answers_of(read_run(tmp_path / "b", num_samples=60, reads=False, receives=False))
    assert without.get("reading_differences") is None and reading_sentences(without) == []
    assert reading_figures(without) == [] and reading_headlines(without) == []


def test_it_is_in_the_report(tmp_path):
    run = read_run(tmp_path, planted=0.5)
    written = analyze(run.run_dir)
    page = (written.directory / "report.html").read_text()
    assert "How answers read" in page and "The drift of head 1.2 through revenue terms" in page
