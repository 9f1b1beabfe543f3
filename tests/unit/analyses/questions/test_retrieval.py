"""Heads that fetch, right against wrong: what is planted is found by head and value, and nothing else is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analyses.questions.claims import claims_of
from analyses.questions.retrieval.answer import lead_pvalues, retrieval_differences, retrieval_heads
from analyses.questions.retrieval.sentences import DIFFERENCES_FAMILY, HEADS_FAMILY, found_heads, retrieval_sentences
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.schema import table_schema
from tests.fixtures.synthetic_run import KEY_GROUPS, add_metadata, edit_table, write_run

LAYERS, HEADS, ROWS = 2, 3, 40
QUICK = {"permutations": 99, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}


def run_of(folder, planted=0.0, num_samples=160, seed=0, evidence=1.0):
    """Every head hits at the rate of chance; 1.2 fetches more, and in right answers more still."""
    run_dir = write_run(folder / "run", num_samples=num_samples, num_layers=LAYERS, num_heads=HEADS, seed=seed)
    add_metadata(run_dir, {"analysis": QUICK})
    rng = np.random.default_rng([seed, 6])
    for shard in sorted((run_dir / "shards").iterdir()):
        samples = pl.read_parquet(shard / "samples.parquet")
        n, places = len(samples), LAYERS * HEADS
        layer, head = np.divmod(np.tile(np.arange(places, dtype=np.int32), n), HEADS)
        at = (layer == 1) & (head == 2)
        right = np.repeat(samples["is_correct"].to_numpy().astype(float), places)
        chance = np.repeat(rng.uniform(0.05, 0.2, n), places)
        has = np.repeat(rng.random(n) < evidence, places)
        columns = {
            "sample_id": np.repeat(samples["sample_id"].to_numpy(), places),
            "layer": layer,
            "head": head,
            "num_rows": np.full(n * places, ROWS),
            "num_copyable": np.full(n * places, ROWS // 2),
            "copy_score": np.where(at, 6.0, 0.1),
        }
        for prefix in ("", "evidence_"):
            more = planted * at * (1 + right) * (prefix == "")
            scores = rng.binomial(ROWS, chance + more) / ROWS
            is_known = has | (prefix == "")
            columns[f"{prefix}retrieval"] = np.where(is_known, scores, np.nan)
            columns[f"{prefix}retrieval_chance"] = np.where(is_known, chance, np.nan)
        columns["num_evidence_copyable"] = np.where(has, 3, 0)
        schema = pl.from_arrow(table_schema("retrieval", KEY_GROUPS).empty_table()).schema
        frame = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
        frame.select(pl.col(key).cast(kind) for key, kind in schema.items()).write_parquet(shard / "retrieval.parquet")
    return open_tables(run_dir)


def answers_of(run):
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    return answer_questions(run, settings, VisualizationSettings.from_mapping({}))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return answers_of(run_of(tmp_path_factory.mktemp("planted"), planted=0.2))


def test_what_is_planted_is_found_by_head_and_value(planted):
    found = found_heads(planted)
    assert found.select("source", "layer", "head").rows() == [("prompt", 1, 2)]
    row = found.row(0, named=True)
    right = planted.run.samples["is_correct"].mean()
    assert row["lead"] == pytest.approx(0.2 * (1 + right), abs=0.03) and row["ci_low"] < row["lead"] < row["ci_high"]
    assert row["copyable"] == pytest.approx(0.5) and row["copy_score"] == pytest.approx(6)
    differs = planted["retrieval_differences"].filter(pl.col("pvalue_claim") <= planted.level(DIFFERENCES_FAMILY))
    assert differs.select("source", "layer", "head").rows() == [("prompt", 1, 2)]
    assert differs["difference"].item() == pytest.approx(0.2, abs=0.05)
    assert differs["family_size"].item() == LAYERS * HEADS


def test_the_sentences_name_it(planted):
    lines = retrieval_sentences(planted)
    assert lines[0].startswith("1 of 6 heads fetches what is written, by the largest weight on a token of the prompt")
    assert (
        lines[1].startswith("Head 1.2 fetches from the prompt in ")
        and "copy score +6.0 standard deviations" in lines[1]
    )
    assert "of the rows of wrong answers and " in lines[3]
    families = [claim.family for line in lines for claim in claims_of(line)]
    assert families == [HEADS_FAMILY, HEADS_FAMILY, DIFFERENCES_FAMILY, DIFFERENCES_FAMILY]


def test_nothing_is_found_where_nothing_is_planted(tmp_path):
    """In none of four, which one that claims in one world of three passes in two of ten."""
    for seed in range(4):
        answers = answers_of(run_of(tmp_path / str(seed), seed=seed, num_samples=100))
        claims = [claim for line in retrieval_sentences(answers) for claim in claims_of(line)]
        assert not any(claim.is_finding for claim in claims), seed


def test_samples_without_evidence_are_left_out_of_it(tmp_path):
    run = run_of(tmp_path, num_samples=60, evidence=0.5)
    settings = AnalysisSettings.from_mapping(run.config["analysis"])
    table = retrieval_heads(run, settings)
    assert set(table["source"]) == {"prompt"}  # no key group of evidence, so nobody asks for it
    edit_table(run.run_dir, "head_stats", lambda frame: frame.with_columns(mass_evidence=pl.lit(0.5, pl.Float32)))
    run = open_tables(run.run_dir)
    table = retrieval_heads(run, settings)
    known = run.tables["retrieval"].filter(layer=0, head=0).collect()["evidence_retrieval"].drop_nulls().len()
    assert 0 < known < 60 and set(table.filter(source="evidence")["num_samples"]) == {known}
    assert set(retrieval_differences(run, settings)["source"]) == {"prompt", "evidence"}
    readers = answers_of(run)["evidence_heads"]
    assert readers["qr_score"].unique().to_list() == [0.5] and set(readers["num_samples"]) == {60}


def test_p_of_a_lead_is_that_of_clustered_means_and_of_signs():
    rng = np.random.default_rng(1)
    lead = rng.normal(0.1, 1, (40, 2))
    alone = np.arange(40)
    np.testing.assert_allclose(lead_pvalues(lead, alone), stats.ttest_1samp(lead, 0).pvalue, rtol=1e-6)
    constant = np.column_stack([np.full(40, 0.3), np.zeros(40), np.full(40, -0.2)])
    np.testing.assert_allclose(lead_pvalues(constant, np.repeat(np.arange(8), 5)), [2**-7, 1, 2**-7])
    assert np.isnan(lead_pvalues(lead, np.repeat(np.arange(4), 10))).all()


def test_no_share_is_drawn_below_0(tmp_path):
    """The lead's interval may reach below minus chance; no score does, nor the axis."""
    from analyses.questions.retrieval.figures import retrieval_figure

    figure = retrieval_figure(answers_of(run_of(tmp_path / "run", num_samples=12, seed=5)))
    (rows,) = figure.specification["datasets"].values()
    lows = [row["ci_low"] for row in rows if row["ci_low"] is not None]
    assert lows and min(lows) >= 0
    scales = [layer["encoding"]["x"].get("scale") for layer in figure.specification["layer"][1:]]
    assert scales == [{"domainMin": 0}] * len(scales)


def test_a_run_that_measured_nothing_says_nothing(tmp_path):
    run_dir = write_run(tmp_path / "run", num_samples=40, num_layers=LAYERS, num_heads=HEADS)
    add_metadata(run_dir, {"analysis": QUICK})
    answers = answers_of(open_tables(run_dir))
    assert retrieval_sentences(answers) == [] and answers.get("retrieval_heads") is None
    assert not {HEADS_FAMILY, DIFFERENCES_FAMILY} & set(answers.levels)
