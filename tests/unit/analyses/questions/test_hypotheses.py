"""Hypotheses: what is understood, what is found where it was planted, and how often where nothing is there."""

import shutil
import warnings

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy import stats

from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.ranks import signed_scores
from analyses.questions.hypotheses.answer import (
    CANNOT,
    CONTRADICTED,
    NOT_DECIDED,
    NOT_UNDERSTOOD,
    SUPPORTED,
    hypotheses,
)
from analyses.questions.hypotheses.numbers import _out_of_order, sample_numbers
from analyses.questions.hypotheses.sentences import verdict_sentences
from analyses.questions.hypotheses.tables import HYPOTHESES
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.settings.hypotheses import NAMED, read_hypotheses, read_text
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run
from tests.oracles.test_significance import dense_cr2

SETTINGS = AnalysisSettings(permutations=0)
GROUPS = (
    "financial",
    "number",
    "statement",
    "time",
    "current_period",
    "prior_period",
    "magnitude_large",
    "magnitude_small",
)


def named_run(path, **shape):
    """Write a run whose config names its vocabulary."""
    run_dir = write_run(path, **shape)
    add_metadata(run_dir, {"vocabulary": "config/vocabulary/financial.yaml"})
    return run_dir


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return named_run(path, num_samples=160, num_layers=4, num_heads=3, num_clusters=50, key_groups=GROUPS, seed=1)


@pytest.fixture
def copied(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "copied")


def set_masses(run_dir, **masses):
    """Set attention to key groups from expressions, times noise of the same head."""
    noise = 0.8 + 0.4 * ((pl.col("entropy_nats") * 1000) % 1)
    columns = [(value * noise).cast(pl.Float32).alias(f"mass_{name}") for name, value in masses.items()]
    edit_table(run_dir, "head_stats", lambda f: f.with_columns(columns))


def set_baselines(run_dir):
    names = [f"baseline_{name}" for name in GROUPS]
    edit_table(run_dir, "baselines", lambda f: f.with_columns(pl.lit(0.05, pl.Float32).alias(name) for name in names))


def verdicts(table):
    return dict(table.select("hypothesis", "verdict").iter_rows())


def test_planted_hypotheses_are_supported_and_their_opposites_contradicted(copied):
    set_baselines(copied)
    set_masses(
        copied,
        financial=0.03 + 0.02 * pl.col("layer"),
        current_period=pl.lit(0.08),
        prior_period=pl.lit(0.04),
        magnitude_large=pl.lit(0.03),
        magnitude_small=pl.lit(0.06),
    )
    opposite = {"name": "earlier", "key_group": "financial", "contrast": "slope", "direction": "less"}
    table = hypotheses(open_tables(copied), SETTINGS, [*NAMED, opposite])
    assert table.schema == HYPOTHESES.schema
    found = verdicts(table)
    assert found["later_layers_more_vocabulary"] == SUPPORTED and found["earlier"] == CONTRADICTED
    assert found["recent_more_than_prior"] == SUPPORTED and found["large_more_than_small_numbers"] == CONTRADICTED
    assert found["vocabulary_and_accuracy"] == NOT_DECIDED and found["statement_less_when_wrong"] == NOT_DECIDED
    row = table.filter(pl.col("hypothesis") == "recent_more_than_prior").row(0, named=True)
    expected = np.log(0.08 / 0.92) - np.log(0.04 / 0.96)
    assert row["ci_low"] < expected < row["ci_high"] and row["effect"] == pytest.approx(expected, abs=0.02)
    assert row["num_samples"] == 160 and row["num_clusters"] == open_tables(copied).samples["cluster"].n_unique()
    raw = table["pvalue"].to_numpy()
    np.testing.assert_allclose(table["pvalue_adjusted"].to_numpy(), stats.false_discovery_control(raw))
    told = verdict_sentences(table)
    assert "supported" in told[0] and "the odds are" in told[0] and "contradicted" in told[3]


def test_a_difference_between_right_and_wrong_is_adjusted_and_found(copied):
    ids = open_tables(copied).samples.filter("is_correct")["sample_id"]
    more = pl.when(pl.col("sample_id").is_in(ids.implode())).then(0.06).otherwise(0.05)
    set_baselines(copied)
    set_masses(copied, financial=more, statement=more)
    table = hypotheses(open_tables(copied), SETTINGS)
    found = verdicts(table)
    assert found["vocabulary_and_accuracy"] == SUPPORTED and found["statement_less_when_wrong"] == SUPPORTED
    row = table.filter(pl.col("hypothesis") == "statement_less_when_wrong").row(0, named=True)
    assert row["effect"] == pytest.approx(0.01, abs=0.002) and row["ci_low"] <= 0.01 <= row["ci_high"]
    assert row["num_a"] + row["num_b"] == row["num_samples"] == 160 and row["effect_size"] > 0.5
    assert "predicted_label" in row["method"] and "correct minus incorrect" in row["tested_as"]


def test_the_number_of_a_sample_is_written_out(run_dir):
    tables = open_tables(run_dir)
    stats_rows = tables.head_stats.filter(pl.col("query_group") == "decision").collect()
    baselines = tables.tables["baselines"].filter(pl.col("query_group") == "decision").collect()

    def by_hand(sample, name, layer):
        rows = stats_rows.filter((pl.col("sample_id") == sample) & (pl.col("layer") == layer))
        mass = rows[f"mass_{name}"].cast(pl.Float64).mean()
        base = baselines.filter(pl.col("sample_id") == sample)[f"baseline_{name}"][0]
        return np.log(mass / (1 - mass)) - np.log(base / (1 - base))

    sample = tables.samples["sample_id"][7]
    slope = sample_numbers(tables, NAMED["later_layers_more_vocabulary"]).values[7]
    layers = [by_hand(sample, "financial", layer) for layer in range(4)]
    assert slope == pytest.approx(np.polyfit(range(4), layers, 1)[0], rel=1e-5)
    entry = {
        "name": "x",
        "key_group": "current_period",
        "versus": "prior_period",
        "layers": [2, -1],
        "contrast": "layers",
    }
    (hypothesis,) = read_hypotheses([entry])
    each = [by_hand(sample, "current_period", layer) - by_hand(sample, "prior_period", layer) for layer in range(4)]
    found = sample_numbers(tables, hypothesis).values[7]
    assert found == pytest.approx(np.mean(each[2:]) - np.mean(each[:2]), rel=1e-5)


def test_the_mean_has_the_errors_of_the_dense_definition_and_nearly_those_of_statsmodels():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(25), rng.integers(1, 7, 25))
    values = rng.normal(0.2, 1, (len(cluster), 1)) + rng.normal(size=25)[cluster, None]
    design = design_of([], np.ones(len(cluster)))
    fit = fit_last(values, design, cluster)
    expected = dense_cr2(np.ones((len(cluster), 1)), values[:, 0], cluster)
    np.testing.assert_allclose([fit.effect[0], fit.standard_error[0], fit.degrees_of_freedom], expected, rtol=1e-9)
    other = sm.OLS(values[:, 0], np.ones(len(cluster))).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    assert fit.standard_error[0] == pytest.approx(other.bse[0], rel=0.05)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_false_positive_rate_of_means_is_nominal(skewed):
    """3,000 numbers without an effect, half of their variance between 40 companies of unequal size."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(40), rng.integers(1, 8, 40))
    noise = rng.normal(size=(40, 3000))[cluster] + rng.normal(size=(len(cluster), 3000))
    values = np.exp(0.3 * noise) - np.exp(0.09) if skewed else noise
    design = design_of([], np.ones(len(cluster)))
    pvalues = fit_last(values, design, cluster).pvalue
    ranked = fit_last(signed_scores(values), design, cluster).pvalue
    assert 0.035 <= (pvalues <= 0.05).mean() <= 0.075
    assert (np.maximum(pvalues, ranked) <= 0.05).mean() <= 0.058, "a verdict needs both"


def test_null_hypotheses_are_rarely_decided(tmp_path):
    """Runs without any effect: no named difference, and no versus whose baselines are honest."""
    decided = tested = 0
    for seed in range(12):
        shape = {"num_samples": 80, "num_layers": 2, "num_heads": 2, "num_clusters": 40}
        path = named_run(tmp_path / f"{seed}", **shape, seed=seed, key_groups=("financial", "statement"))
        entries = ["vocabulary_and_accuracy", "statement_less_when_wrong"]
        entries += [{"name": "entropy", "statistic": "entropy_nats", "group": "is_correct", "direction": "two-sided"}]
        table = hypotheses(open_tables(path), AnalysisSettings(permutations=0, correction="holm"), entries)
        tested += 1
        decided += int((table["verdict"] != NOT_DECIDED).any())
    assert decided <= 3, f"{decided} of {tested} runs, expected 5 %"


@pytest.mark.parametrize(
    ("text", "key_group", "contrast", "direction"),
    [
        ("Later layers show more financial attention", "vocabulary", "slope", "greater"),
        ("later layers show more attention to balance sheet terms.", "balance_sheet", "slope", "greater"),
        ("Deeper layers have less profit attention", "profit", "slope", "less"),
        ("Earlier layers show more attention to numbers", "number", "slope", "less"),
        ("Attention to financial terms correlates with accuracy", "vocabulary", "difference", "greater"),
        ("Financial attention is correlated with prediction accuracy", "vocabulary", "difference", "greater"),
        ("Recent data gets more attention than historical data", "current_period", "versus", "greater"),
        ("recent more than prior period", "current_period", "versus", "greater"),
        ("Larger numbers get more attention than small numbers", "magnitude_large", "versus", "greater"),
        ("Large numbers receive less attention than smaller ones", "magnitude_large", "versus", "less"),
        ("The decision row looks at the statement less in wrong predictions", "statement", "difference", "greater"),
        ("the decision token looks at the statement less in correct predictions", "statement", "difference", "less"),
        ("Layer 20+ heads specialize in financial reasoning", "vocabulary", "layers", "greater"),
    ],
)
def test_phrases_are_understood(text, key_group, contrast, direction):
    found = read_text(text)
    assert not found.problem and found.text == text
    assert (found.key_group, found.contrast, found.direction) == (key_group, contrast, direction)


@pytest.mark.parametrize(
    "text",
    [
        "Attention to financial terms does not correlate with accuracy",
        "later layers do not show more financial attention",
        "financial attention negatively correlates with accuracy",
        "the moon is made of cheese",
        "later layers show more financial attention than numbers, but only in 2014",
        "",
    ],
)
def test_what_is_not_understood_is_said_and_never_guessed(run_dir, text):
    table = hypotheses(open_tables(run_dir), SETTINGS, [text])
    row = table.row(0, named=True)
    assert row["verdict"] in (NOT_UNDERSTOOD, CANNOT) and row["pvalue"] is None and row["effect"] is None
    if row["verdict"] == NOT_UNDERSTOOD:
        assert "later_layers_more_vocabulary" in row["note"] and "correlates with accuracy" in row["note"]
    assert len(verdict_sentences(table)) == 1


def test_the_guides_example_is_tested(run_dir):
    table = hypotheses(
        open_tables(run_dir),
        SETTINGS,
        ["Layer 2+ heads specialize in financial reasoning", "Layers 20+ focus on profit"],
    )
    assert table["tested_as"][0].startswith("layers 2 to 3 minus all other layers: log-odds (against uniform")
    assert table["verdict"][1] == CANNOT and "no key group 'profit'" in table["note"][1]
    (entry,) = read_hypotheses([{"name": "x", "key_group": "financial", "layers": [20, None]}])
    assert entry.layers == (20, None)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (7, r"hypotheses\[0\]: 7 is not allowed; allowed: text or a mapping"),
        (
            {"name": "x", "keygroup": "financial"},
            r"hypotheses\[0\].keygroup: unknown key \(did you mean analysis.hypotheses\[0\].key_group",
        ),
        ({"key_group": "financial"}, r"hypotheses\[0\].name: is required and missing"),
        ({"name": "x"}, "either key_group or statistic"),
        ({"name": "x", "key_group": "a", "statistic": "b"}, "either key_group or statistic"),
        ({"name": "x", "key_group": "a", "contrast": "slop"}, "did you mean 'slope'"),
        ({"name": "x", "key_group": "a", "contrast": "difference"}, "needs 'group'"),
        ({"name": "x", "key_group": "a", "contrast": "versus"}, "needs 'versus'"),
        ({"name": "x", "key_group": "a", "layers": [1]}, "with null for no bound"),
        ({"name": "x", "key_group": "a", "layers": [True, 2]}, "with null for no bound"),
        ({"name": "x", "statistic": "a", "versus": "b"}, "not statistic"),
        (
            {"name": "x", "key_group": "a", "direction": "up"},
            "'up' is not allowed; allowed: 'greater', 'less' or 'two-sided'",
        ),
        (
            {"name": "x", "key_group": "a", "group": 3},
            r"group: 3 is not allowed; allowed: text, a mapping \{name, column, a, b\} or null",
        ),
    ],
)
def test_impossible_entries_are_refused_by_path(entry, message):
    with pytest.raises(SettingsError, match=message):
        read_hypotheses([entry])


def test_two_of_one_name_are_refused():
    with pytest.raises(SettingsError, match=r"hypotheses\[1\]: there is another hypothesis called"):
        read_hypotheses(["recent_more_than_prior", "recent_more_than_prior"])


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"name": "x", "key_group": "inflation"}, "no key group 'inflation'"),
        ({"name": "x", "statistic": "vibes"}, "no statistic 'vibes'"),
        ({"name": "x", "key_group": "time", "query_group": "nobody"}, "no query group 'nobody'"),
        ({"name": "x", "key_group": "time", "layers": [2, 9]}, "layer 9 is outside 0..3"),
        ({"name": "x", "key_group": "time", "layers": [3, 1]}, "layers 3 to 1 are none"),
        ({"name": "x", "key_group": "time", "layers": [1, 1]}, "at least two layers"),
        ({"name": "x", "key_group": "time", "layers": [0, 3], "contrast": "layers"}, "no other layer"),
        ({"name": "x", "key_group": "time", "group": "wealth"}, "'wealth' is no column"),
        (
            {"name": "x", "key_group": "time", "group": {"column": "certainty", "a": "High", "b": "None"}},
            "at least two",
        ),
    ],
)
def test_what_a_run_lacks_cannot_be_tested(run_dir, entry, reason):
    table = hypotheses(open_tables(run_dir), SETTINGS, [entry])
    assert table["verdict"][0] == CANNOT and reason in table["note"][0] and table["pvalue"][0] is None
    assert reason in verdict_sentences(table)[0].lower() or reason in verdict_sentences(table)[0]


def test_samples_without_the_words_are_left_out_and_counted(copied):
    zero = pl.when(pl.col("sample_id") < "s00010").then(0.0).otherwise("baseline_current_period")
    edit_table(copied, "baselines", lambda f: f.with_columns(zero.cast(pl.Float32).alias("baseline_current_period")))
    table = hypotheses(open_tables(copied), SETTINGS, ["recent_more_than_prior"])
    assert table["num_samples"][0] == 150 and "10 samples without a value left out" in table["note"][0]


BAD = ["two samples", "one cluster", "constant", "NaN", "one class", "no baselines"]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_a_stated_null(tmp_path, kind):
    num_samples = 2 if kind == "two samples" else 30
    shape = {"num_samples": num_samples, "num_layers": 2, "num_heads": 2, "num_shards": 1, "key_groups": GROUPS}
    path = named_run(tmp_path / "run", **shape, optional_tables=kind != "no baselines")
    numbers = {"constant": 0.25, "NaN": float("nan")}
    if kind in numbers:
        lit = pl.lit(numbers[kind], dtype=pl.Float32)
        edit_table(path, "head_stats", lambda f: f.with_columns(lit.alias(name) for name in f.columns[4:]))
        set_baselines(path)
    elif kind == "one class":
        edit_table(path, "samples", lambda f: f.with_columns(is_correct=pl.lit(True)))
    elif kind == "one cluster":
        edit_table(path, "samples", lambda f: f.with_columns(cluster=pl.lit("only")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = hypotheses(open_tables(path), SETTINGS)
        told = verdict_sentences(table)
    needs_groups = table["hypothesis"].is_in(["vocabulary_and_accuracy", "statement_less_when_wrong"])
    with_baseline = table["hypothesis"] != "statement_less_when_wrong"
    concerned = {"one class": needs_groups, "no baselines": with_baseline}.get(kind, pl.repeat(True, 5, eager=True))
    null = table.filter(concerned)
    assert (null["verdict"] == CANNOT).all() and null["pvalue"].is_null().all() and null["note"].is_not_null().all()
    assert len(told) == 5


def test_without_a_vocabulary_none_is_guessed(tmp_path):
    """A key group that happens to be called financial is no reason to take it for the whole vocabulary."""
    run_dir = write_run(tmp_path / "nameless", num_samples=30, num_layers=2, num_heads=2, key_groups=GROUPS)
    row = hypotheses(open_tables(run_dir), SETTINGS, ["later_layers_more_vocabulary"]).row(0, named=True)
    assert row["verdict"] == "cannot be tested" and "no key group that is its whole vocabulary" in row["note"]


@pytest.mark.parametrize(("means", "is_said"), [([0.1, 0.2, 0.3, 0.3], False), ([0.1, 0.44, 0.23, 0.28], True)])
def test_a_slope_says_where_its_layers_are_not_in_order(means, is_said):
    """ "Later layers show more" is a trend: a reader of the chart sees that layer 1 has the most."""
    notes = _out_of_order(np.tile(means, (5, 1)), np.ones(4, dtype=bool))
    assert bool(notes) == is_said and all("highest in layer 1 and lowest in layer 0" in note for note in notes)
