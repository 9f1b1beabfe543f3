"""From causal tables to effects, agreement and sentences: the planted model's known causes, slow oracles, bad input."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from analyses.questions.causes.agreement import head_agreement, spearman_rows
from analyses.questions.causes.effects import causal_effects
from analyses.questions.causes.sentences import causal_sentences, cause_text
from analyses.questions.causes.values import KEYS, causal_blocks
from analyses.questions.families import MEAN_CHECKS, is_certain
from analyses.report import main
from analyses.reporting.analysis import answer_questions
from analyses.reporting.findings import findings
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from engine.run import main as run_main
from tests.causal.test_causal_runs import CAUSAL, VERDICT, with_causal
from tests.fixtures import planted

SETTINGS = AnalysisSettings.from_mapping({"permutations": 99})
LEAD = pl.col("measure") == "lead"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = planted.write_config(tmp_path_factory.mktemp("planted-analysis"), count=24)
    path = with_causal(config, "full", **CAUSAL)
    assert run_main([str(path), "--stage", "collect"]) == 0
    return path.parent / "runs" / "full"


@pytest.fixture(scope="module")
def tables(run):
    """The run, each sample's effects scaled by a factor of its own: as planted they are the same in every sample."""
    opened = open_tables(run)
    ids = opened.samples["sample_id"]
    scale = pl.DataFrame({"sample_id": ids, "scale": np.random.default_rng(0).lognormal(sigma=0.5, size=len(ids))})
    names = {
        "interventions": ["logit_difference", "change"],
        "knockouts": ["logit_difference", "change"],
        "attributions": ["dla", "head_gradient"],
    }
    scaled = {
        name: opened.tables[name].join(scale.lazy(), on="sample_id").with_columns(pl.col(columns) * pl.col("scale"))
        for name, columns in names.items()
    }
    samples = opened.samples.with_columns(logit_difference=pl.col("logit_difference") * scale["scale"])
    return replace(opened, samples=samples, tables={**opened.tables, **scaled})


@pytest.fixture(scope="module")
def effects(tables):
    return causal_effects(tables, SETTINGS)


def of_head(frame, layer, head):
    return frame.filter((pl.col("layer") == layer) & (pl.col("head") == head))


def long_form(tables):
    """All interventions as plain rows, joined by hand."""
    names = tables.samples.select("sample_id", "cluster", "is_correct")
    return tables.tables["interventions"].collect().join(names, on="sample_id")


def test_the_deciding_head_is_found_and_its_neighbours_are_not(effects):
    found = effects[0].filter(LEAD & (pl.col("kind") == "ablation"))
    own = of_head(found, *VERDICT).row(0, named=True)
    assert of_head(found.filter(is_certain(0.05, MEAN_CHECKS)), *VERDICT).height == 1
    # Without it nothing of s is left: the whole lead is lost in every sample.
    assert own["mean"] < -1 and own["ci_high"] < 0 and own["pvalue_adjusted"] < 1e-3
    others = found.filter((pl.col("layer") == VERDICT[0]) & (pl.col("head") != VERDICT[1]))
    assert others["pvalue"].null_count() == len(others) and set(others["note"]) == {"it is the same in every sample"}
    assert others["mean"].abs().max() < 1e-6


def test_the_lead_counts_what_s_itself_cancels(effects):
    found = of_head(effects[0].filter(pl.col("kind") == "ablation"), *VERDICT)
    rows = {row["measure"]: row for row in found.to_dicts()}
    assert abs(rows["change"]["mean"]) < 0.3 * abs(rows["lead"]["mean"])
    assert rows["flip"]["pvalue"] is None and 0 <= rows["flip"]["ci_low"] <= rows["flip"]["ci_high"] <= 1


def test_factor_one_changes_nothing_and_says_so(effects):
    row = of_head(effects[0].filter(LEAD & (pl.col("factor") == 1.0)), *VERDICT).row(0, named=True)
    assert row["mean"] == 0 and row["pvalue"] is None and row["note"] == "it is the same in every sample"
    twice = of_head(effects[0].filter(LEAD & (pl.col("factor") == 2.0)), *VERDICT).row(0, named=True)
    assert twice["mean"] > 0.5


def test_the_knockout_curve_drops_at_the_known_layer(effects):
    rows = effects[0].filter(LEAD & (pl.col("key_group") == "verdict") & (pl.col("kind") == "knockout"))
    by_layer = {row["first_layer"]: row for row in rows.to_dicts()}
    assert by_layer[VERDICT[0]]["mean"] < -0.5 and abs(by_layer[0]["mean"]) < 1e-6
    flips = effects[0].filter((pl.col("measure") == "flip") & (pl.col("key_group") == "verdict"))
    assert flips.filter(first_layer=VERDICT[0])["mean"][0] == pytest.approx(0.5)


def test_means_are_those_of_statsmodels(tables, effects):
    """An intercept-only regression with CR2-free CR1 errors bounds ours, and the mean is the plain one."""
    rows = long_form(tables).filter(pl.col("kind") == "ablation")
    for (layer, head), part in rows.group_by("layer", "head"):
        before = part["logit_difference"] - part["change"]
        lead = (part["change"].cast(pl.Float64) * before.cast(pl.Float64).sign()).to_numpy()
        row = of_head(effects[0].filter(LEAD & (pl.col("kind") == "ablation")), layer, head).row(0, named=True)
        assert row["mean"] == pytest.approx(lead.mean(), abs=1e-12) and row["num_samples"] == len(lead)
        if row["pvalue"] is None:
            continue
        codes = np.unique(part["cluster"], return_inverse=True)[1]
        size = len(lead)
        # CR2 of a mean, by its definition: each cluster's residual sum over sqrt(1 - n_g / n).
        residual = lead - lead.mean()
        sums = [residual[codes == g].sum() / np.sqrt(1 - (codes == g).mean()) for g in range(codes.max() + 1)]
        error = np.sqrt(np.sum(np.square(sums))) / size
        reach = stats.t.ppf(0.975, row["degrees_of_freedom"]) * error
        assert row["ci_high"] - row["mean"] == pytest.approx(reach, rel=1e-6)
        plain = sm.OLS(lead, np.ones(size)).fit(cov_type="cluster", cov_kwds={"groups": codes})
        assert error == pytest.approx(plain.bse[0], rel=0.1)


def test_right_against_wrong_is_the_plain_difference_of_means(tables, effects):
    rows = of_head(long_form(tables).filter(pl.col("kind") == "ablation"), *VERDICT)
    before = (rows["logit_difference"] - rows["change"]).cast(pl.Float64)
    lead = rows["change"].cast(pl.Float64) * before.sign()
    row = of_head(effects[1].filter(LEAD & (pl.col("kind") == "ablation")), *VERDICT).row(0, named=True)
    assert row["mean_a"] == pytest.approx(lead.filter(rows["is_correct"]).mean())
    assert row["mean_b"] == pytest.approx(lead.filter(~rows["is_correct"]).mean())
    assert (row["num_a"], row["num_b"]) == (rows["is_correct"].sum(), (~rows["is_correct"]).sum())


def test_blocks_are_the_tables(tables):
    seen = 0
    for block in causal_blocks(tables):
        assert block.keys.columns == list(KEYS) and not block.keys.is_duplicated().any()
        for values in block.measures.values():
            assert values.shape == (len(tables.samples), len(block.keys)) and not np.isnan(values).any()
        seen += block.keys.height if block.keys["kind"][0] in ("ablation", "amplification") else 0
    causes = [name for name in tables.tables["interventions"].collect_schema().names() if name in KEYS]
    assert seen == tables.tables["interventions"].collect().select(causes).n_unique()


def test_agreement_is_scipys_spearman_of_the_means(tables):
    found, screening = head_agreement(tables, SETTINGS)
    row = found.filter((pl.col("measure_a") == "dla") & (pl.col("measure_b") == "ablation") & pl.col("layer").is_null())
    s = tables.samples.select("sample_id", s="logit_difference")
    dla = (
        tables.tables["attributions"]
        .collect()
        .join(s, on="sample_id")
        .group_by("layer", "head")
        .agg(value=(pl.col("dla").cast(pl.Float64) * pl.col("s").cast(pl.Float64).sign()).mean().abs())
        .sort("layer", "head")
    )
    ablation = (
        long_form(tables)
        .filter(pl.col("kind") == "ablation")
        .group_by("layer", "head")
        .agg(
            value=(
                pl.col("change").cast(pl.Float64)
                * (pl.col("logit_difference") - pl.col("change")).cast(pl.Float64).sign()
            )
            .mean()
            .abs()
        )
        .sort("layer", "head")
    )
    expected = stats.spearmanr(dla["value"], ablation["value"]).statistic
    assert row["rho"][0] == pytest.approx(expected, abs=0.02)  # ties of 1e-9 may break otherwise
    assert screening["heads"].to_list() == ["all"] and screening["num_heads"][0] == 12


def test_ranks_of_rows_are_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (20, 9)).astype(float), rng.normal(size=(20, 9))
    a[3], b[4, 2] = 1.0, np.nan
    found = spearman_rows(a, b)
    assert np.isnan(found[[3, 4]]).all()
    for row in set(range(20)) - {3, 4}:
        assert found[row] == pytest.approx(stats.spearmanr(a[row], b[row]).statistic)


def test_the_report_tells_of_causes(run):
    result = analyze(run)
    text = result.summary.read_text()
    head = f"head {VERDICT[0]}.{VERDICT[1]}"
    deciding = f"so without a p-value: {head}, ablation (replaced by zero, in all rows), -2.07 nats"
    assert deciding in " ".join(text.split())
    page = result.report.read_text()
    for name in ("causal_map", "causal_ranking", "knockout_curves", "head_screening"):
        assert f'id="{name}"' in page and (run / "analysis" / "visualizations" / f"{name}.html").exists()
    written = json.loads((run / "analysis" / "comparison_analysis_results.json").read_text())
    assert any(deciding in line for line in written["findings"]["causal_map"])
    saved = pl.read_parquet(run / "analysis" / "tables" / "causal_effects.parquet")
    wanted = {"mean", "ci_low", "pvalue", "pvalue_adjusted", "pvalue_max_t", "num_samples", "num_clusters", "method"}
    assert wanted <= set(saved.columns)


def test_the_sentences_tell_of_the_deciding_head(tables):
    # With 99 draws no p reaches the level that one of many families has.
    settings = AnalysisSettings.from_mapping({"permutations": 1999})
    found = answer_questions(tables, settings, VisualizationSettings.from_mapping({}))
    sentences = causal_sentences(found)
    (told,) = [line for line in sentences["causal_map"] if line.startswith(f"Head {VERDICT[0]}.{VERDICT[1]}: ablation")]
    assert "changes the lead of the label that the model favours by -2" in told and "in 12 clusters" in told
    assert "95 % interval" in told and "adjusted p" in told and "max-T p" in told and "turns 50.0 %" in told
    assert "ablation (replaced by zero, in all rows) moves" in cause_text(found, *VERDICT)
    assert all("favoured without the head" in line for line in sentences["head_screening"] if "per nat" in line)
    assert any(line.startswith(f"Layer {VERDICT[0]}: no attention to verdict") for line in sentences["knockout_curves"])


def test_a_run_without_causes_says_so(run, tmp_path):
    copy = tmp_path / "run"
    # Without plan and manifests nothing says that there were causes.
    without = shutil.ignore_patterns("causal*", "analysis", "plan.json", "manifest.json")
    shutil.copytree(run, copy, ignore=without)
    (copy / "shards").mkdir(exist_ok=True)
    found = causal_effects(open_tables(copy), SETTINGS)
    assert all(frame.is_empty() for frame in found)
    assert main([str(copy)]) == 0
    assert "No cause was measured in this run" in (copy / "analysis" / "analysis_summary_report.txt").read_text()


@pytest.mark.parametrize("case", ["one cluster", "two samples", "all right", "missing values", "one sample"])
def test_bad_input_is_a_stated_null(tables, case):
    samples = tables.samples
    if case == "one cluster":
        samples = samples.with_columns(cluster=pl.lit("a"))
    elif case == "all right":
        samples = samples.with_columns(is_correct=pl.lit(True))
    elif case in ("two samples", "one sample"):
        samples = samples.head(2 if case == "two samples" else 1)
    changed = dict(tables.tables)
    if case == "missing values":
        broken = pl.when(pl.col("sample_id") == samples["sample_id"][0]).then(None).otherwise(pl.col("change"))
        changed["interventions"] = changed["interventions"].with_columns(change=broken)
    given = replace(tables, samples=samples, tables=changed)
    effects, differences = causal_effects(given, SETTINGS)
    agreement, screening = head_agreement(given, SETTINGS)
    assert len(effects) and len(agreement) and len(screening)
    untested = effects.filter(pl.col("pvalue").is_null() & (pl.col("measure") != "flip"))
    assert untested["note"].null_count() == 0
    if case == "all right":
        assert differences.is_empty()
    if case in ("one cluster", "two samples", "one sample"):
        assert effects["pvalue"].null_count() == effects["pvalue_adjusted"].null_count() == len(effects)
    if case == "missing values":
        ablated = effects.filter(LEAD & (pl.col("kind") == "ablation"))
        assert set(ablated["num_samples"]) == {len(samples) - 1}


def test_effects_of_nothing_are_called_something_as_rarely_as_they_should():
    """Cluster-correlated changes without a mean: the share of runs with any certain effect stays near alpha."""
    from analyses.inference.adjusted.coefficients import flipped_means
    from analyses.inference.adjusted.max_t import max_t_pvalues, random_signs
    from analyses.inference.adjusted.tested_means import tested_means
    from analyses.inference.multiplicity import adjust_within

    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(30), 3)
    raw, adjusted, family = [], [], []
    for seed in range(200):
        shared = rng.normal(size=(30, 12))[cluster] + rng.normal(size=(30, 1))[cluster]
        values = shared + rng.standard_t(4, size=(90, 12))
        found = tested_means(values, cluster, 0.05)
        largest = np.abs(flipped_means(values, cluster, random_signs(99, 30, seed))).max(axis=1)
        raw.append((found["pvalue"] <= 0.05).mean())
        adjusted.append(adjust_within(found["pvalue"], np.full(12, "x"), "holm").min() <= 0.05)
        family.append(max_t_pvalues(found["statistic"], largest).min() <= 0.05)
    # Three Monte Carlo errors of 200 runs about 0.05; tests within a run are correlated.
    assert np.mean(raw) == pytest.approx(0.05, abs=0.03)
    assert np.mean(adjusted) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(family) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 200) + 0.01)


def test_every_claim_on_a_head_has_its_cause_beside_it(tables):
    found = findings(answer_questions(tables, SETTINGS, VisualizationSettings.from_mapping({})))
    claims = [line for lines in found.values() for line in lines if re.match(r"Head \d+\.\d+ ", line)]
    assert claims and all("Causal effect: " in line for line in claims)
    assert not any("not measured" in line for line in claims)
