"""Group differences, replication, profiles and head types on runs whose answer is known."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from analyses.inference.adjusted.design import INSEPARABLE
from analyses.inference.clustered_means import wilson_interval
from analyses.inference.replication import HalfEffects, is_replicated, split_clusters
from analyses.questions.comparisons import EVERYONE, resolve_comparison
from analyses.questions.differences.answer import group_differences
from analyses.questions.differences.sentences import difference_sentences
from analyses.questions.differences.tables import GROUP_DIFFERENCES
from analyses.questions.heads.head_types import head_types
from analyses.questions.overview.answer import accuracy
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.runs.values import statistic_blocks
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.settings.columns import Group
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.synthetic_run import KEY_GROUPS, edit_table, write_run

ALONE = {"permutations": 199, "decodability": None, "correlations": (), "hypotheses": (), "strata": ()}
"""Settings in which the differences of heads are all that is asked."""
QUICK = AnalysisSettings(**ALONE)
PLANTED = ("decision", "mass_profit", 1, 2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "planted"
    return write_run(path, num_samples=150, num_layers=3, num_heads=3, num_clusters=60, planted={PLANTED: 0.1})


@pytest.fixture
def copied(planted, tmp_path):
    return shutil.copytree(planted, tmp_path / "copied")


def is_at(place):
    query_group, statistic, layer, head = place
    return (
        (pl.col("query_group") == query_group)
        & (pl.col("statistic") == statistic)
        & (pl.col("layer") == layer)
        & (pl.col("head") == head)
    )


def test_the_planted_difference_is_found_and_nothing_else(planted):
    table, _, _ = group_differences(open_tables(planted), QUICK)
    assert table.schema == GROUP_DIFFERENCES.schema
    found = table.filter(pl.col("pvalue_adjusted") <= 0.05)
    row = table.filter(is_at(PLANTED)).row(0, named=True)
    assert row["pvalue_adjusted"] < 0.001 and row["pvalue_max_t"] == pytest.approx(1 / 200) and row["is_replicated"]
    assert row["ci_low"] < 0.1 < row["ci_high"] and row["ci_low"] <= row["difference"] <= row["ci_high"]
    assert len(found) <= 3, "false discoveries"
    assert row["mean_a"] > row["mean_b"] and row["auc"] > 0.5 and row["effect_size"] > 0
    ratio = row["difference"] / (row["mean_a"] - row["mean_b"])
    assert row["effect_size_adjusted"] == pytest.approx(ratio * row["effect_size"], rel=1e-6)


def test_the_family_is_every_head_statistic_and_query_group(planted):
    tables = open_tables(planted)
    table, _, _ = group_differences(tables, QUICK)
    assert len(table) == 9 * 3 * (12 + len(KEY_GROUPS) - 1)
    assert table.select(pl.struct("query_group", "statistic", "layer", "head").n_unique()).item() == len(table)
    from scipy.stats import false_discovery_control

    expected = false_discovery_control(table["pvalue"].to_numpy())
    np.testing.assert_allclose(table["pvalue_adjusted"].to_numpy(), expected)


def test_a_row_of_the_table_is_computed_from_that_head(planted):
    tables = open_tables(planted)
    table, _, _ = group_differences(tables, QUICK)
    ((_, values),) = statistic_blocks(tables, "decision", ("mass_profit",))
    column = values[:, 0, 1 * 3 + 2]
    is_correct = tables.samples["is_correct"].to_numpy()
    row = table.filter(is_at(PLANTED)).row(0, named=True)
    assert row["mean_a"] == pytest.approx(column[is_correct].mean(), rel=1e-5)
    assert row["mean_b"] == pytest.approx(column[~is_correct].mean(), rel=1e-5)
    assert (row["num_a"], row["num_b"]) == (is_correct.sum(), (~is_correct).sum())


def test_the_same_seed_gives_the_same_table(planted):
    first, second = (group_differences(open_tables(planted), QUICK)[0] for _ in range(2))
    assert first.equals(second)


@pytest.mark.parametrize("labels", ["all correct", "one incorrect", "unknown"])
def test_a_comparison_without_two_groups_says_why_and_tests_nothing(copied, labels):
    value = {"all correct": pl.lit(True), "one incorrect": pl.col("sample_id") != "s00000", "unknown": pl.lit(None)}
    edit_table(copied, "samples", lambda frame: frame.with_columns(is_correct=value[labels].cast(pl.Boolean)))
    table, _, comparisons = group_differences(open_tables(copied), QUICK)
    assert table.is_empty() and table.schema == GROUP_DIFFERENCES.schema
    assert "each group needs at least two" in comparisons[0].problem


def test_one_predicted_label_drops_the_label_and_says_so(copied):
    edit_table(copied, "samples", lambda frame: frame.with_columns(predicted_label=pl.lit("increase")))
    table, _, _ = group_differences(open_tables(copied), QUICK)
    assert table["pvalue"].is_not_null().all()
    assert table["method"].str.contains(r"left out: predicted_label \(constant\)").all()


def test_a_label_that_equals_correctness_is_dropped_not_the_group(copied):
    label = pl.when("is_correct").then(pl.lit("increase")).otherwise(pl.lit("decrease"))
    edit_table(copied, "samples", lambda frame: frame.with_columns(predicted_label=label))
    table, _, _ = group_differences(open_tables(copied), QUICK)
    row = table.filter(is_at(PLANTED)).row(0, named=True)
    assert row["pvalue_adjusted"] < 0.001 and f"predicted_label ({INSEPARABLE})" in row["method"]


def sentences_of(run_dir, settings=QUICK):
    return difference_sentences(answer_questions(open_tables(run_dir), settings, VisualizationSettings()))


def with_tests(answers, **columns):
    """Return answers whose tests have other values in some columns."""
    tests = answers["group_differences"].with_columns(**columns)
    return replace(answers, frames={**answers.frames, "group_differences": tests})


def test_sentences_say_when_correctness_cannot_be_told_from_the_label(copied):
    label = pl.when("is_correct").then(pl.lit("increase")).otherwise(pl.lit("decrease"))
    edit_table(copied, "samples", lambda frame: frame.with_columns(predicted_label=label))
    told = next(sentence for sentence in sentences_of(copied) if sentence.startswith("Head 1.2"))
    assert "cannot be told from the predicted label" in told and "adjusted difference" not in told
    alone = {"name": "planted", "statistics": [PLANTED[1]], "query_groups": [PLANTED[0]]}
    for errors in ("cr1", "wild_bootstrap"):
        others = AnalysisSettings(**ALONE | {"errors": errors, "families": (alone,)})
        told = next(sentence for sentence in sentences_of(copied, others) if sentence.startswith("Head 1.2"))
        assert "cannot be told from the predicted label" in told and "adjusted difference" not in told, errors
    by_label = AnalysisSettings(**ALONE | {"groups": ("predicted_label",)})
    told = next(sentence for sentence in sentences_of(copied, by_label) if sentence.startswith("Head 1.2"))
    assert "cannot be told" not in told and "not adjusted for the label" in told


def test_groups_that_hang_on_a_few_samples_are_refused_by_name(copied):
    """Everyone who said "increase" is right but one, and everyone who said "decrease" wrong but two."""
    label = pl.when("is_correct").then(pl.lit("increase")).otherwise(pl.lit("decrease"))
    exchanged = pl.when(label == "increase").then(pl.lit("decrease")).otherwise(pl.lit("increase"))
    samples = open_tables(copied).samples
    odd = [*samples.filter("is_correct")["sample_id"][:2], samples.filter(~pl.col("is_correct"))["sample_id"][0]]
    is_odd = pl.col("sample_id").is_in(odd)
    edit_table(
        copied,
        "samples",
        lambda frame: frame.with_columns(predicted_label=pl.when(is_odd).then(exchanged).otherwise(label)),
    )
    table, _, _ = group_differences(open_tables(copied), QUICK)
    assert (
        table["pvalue"].is_null().all() and table["ci_low"].is_null().all() and table["is_replicated"].is_null().all()
    )
    assert table["difference"].is_not_null().all() and (table["degrees_of_freedom"] < 4).all()
    assert table["note"].str.contains('1 sample in group "incorrect" predicted "increase"', literal=True).all()
    verdict, *others = sentences_of(copied)
    assert "no test could be made" in verdict and 'predicted "increase"' in verdict and not others


def test_findings_that_max_t_does_not_share_are_not_called_significant(planted):
    tables = answer_questions(open_tables(planted), QUICK, VisualizationSettings())
    assert (
        "1 of 702 tests is significant (adjusted by Benjamini-Hochberg at 0.05, on ranks too, and by max-T)"
        in sentences_of(planted)[0]
    )
    doubted = with_tests(tables, pvalue_max_t=pl.lit(0.3))
    verdict, *told = difference_sentences(doubted)
    assert "pass" in verdict and "and by max-T" in verdict and "significant" not in verdict
    assert "significant by Benjamini-Hochberg alone, not by max-T" in told[-1]
    doubted = with_tests(tables, pvalue_ranks_adjusted=pl.lit(0.3))
    verdict, *told = difference_sentences(doubted)
    assert "significant" not in verdict and "alone, not by ranks" in told[-1]
    plain = with_tests(tables, pvalue_max_t=pl.lit(None, pl.Float64))
    assert "significant (adjusted by Benjamini-Hochberg at 0.05, on ranks too)" in difference_sentences(plain)[0]


def test_a_small_cell_is_warned_of(copied):
    """Both groups and all clusters are many; of the wrong ones only six said "increase"."""
    wrong = open_tables(copied).samples.filter(~pl.col("is_correct"))["sample_id"]
    few = pl.when(pl.col("sample_id").is_in(wrong[:6].implode())).then(pl.lit("increase"))
    label = pl.when("is_correct").then("predicted_label").otherwise(few.otherwise(pl.lit("decrease")))
    edit_table(copied, "samples", lambda frame: frame.with_columns(predicted_label=label))
    (warning,) = [sentence for sentence in sentences_of(copied) if sentence.startswith("Beware")]
    assert '6 samples in group "incorrect" predicted "increase"' in warning and "degrees of freedom" in warning


@pytest.mark.parametrize(
    ("is_correct", "cluster", "low", "high"),
    [
        ([1] * 10, range(10), 0.7, 1.0),
        ([1] * 10, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 0.5, 1.0),
        ([1, 1, 1, 1, 1, 0, 1, 1, 1, 1], [0] * 10, 0.1, 1.0),
        ([1, 1, 1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], 0.2, 0.8),
    ],
    ids=["all right", "all right in pairs", "one cluster", "right and wrong in pairs"],
)
def test_balanced_accuracy_never_pretends_to_know(is_correct, cluster, low, high):
    """All right, one company, and always the same label: no interval is a point or everything."""
    actual = ["increase"] * 6 + ["decrease"] * 4
    predicted = [
        label if right else {"increase": "decrease", "decrease": "increase"}[label]
        for label, right in zip(actual, is_correct, strict=True)
    ]
    samples = pl.DataFrame({"actual_label": actual, "predicted_label": predicted, "cluster": list(map(str, cluster))})
    samples = samples.with_columns(
        sample_id=pl.int_range(pl.len()).cast(pl.String), is_correct=np.array(is_correct, bool)
    )
    table = accuracy(SimpleNamespace(samples=samples, run_dir="run", copies=(), section=lambda name: {}), QUICK)
    row = table.filter(pl.col("measure") == "balanced accuracy").row(0, named=True)
    assert 0 < row["ci_low"] < row["value"] or row["value"] == 0
    assert row["ci_low"] < row["value"] <= row["ci_high"] and row["ci_high"] - row["ci_low"] < 0.99
    assert abs(row["ci_low"] - low) < 0.4 and abs(row["ci_high"] - high) < 0.2


def test_wilson_counts_companies_not_their_samples():
    """Ten right samples of two companies are no better known than two right samples."""
    samples = pl.DataFrame(
        {
            "sample_id": list("abcdefghij"),
            "actual_label": ["increase"] * 10,
            "cluster": ["a"] * 5 + ["b"] * 5,
            "is_correct": [True] * 10,
        }
    )
    row = accuracy(SimpleNamespace(samples=samples, run_dir="run", copies=(), section=lambda name: {}), QUICK).row(
        0, named=True
    )
    assert row["ci_low"] == pytest.approx(wilson_interval(2, 2)[0]) and row["method"] == "Wilson, clusters as trials"


def test_constant_and_missing_statistics_have_a_reason_instead_of_a_p(copied):
    is_incorrect = pl.col("sample_id").is_in(
        open_tables(copied).samples.filter(~pl.col("is_correct"))["sample_id"].implode()
    )
    edit_table(
        copied,
        "head_stats",
        lambda frame: frame.with_columns(
            pl.lit(0.25, dtype=pl.Float32).alias("diagonal"),
            pl.lit(None, dtype=pl.Float32).alias("induction"),
            pl.when(is_incorrect).then(None).otherwise(pl.col("duplicate_token")).alias("duplicate_token"),
        ),
    )
    table, _, _ = group_differences(open_tables(copied), QUICK)
    notes = table.group_by("statistic").agg(pl.col("note").unique(), pl.col("pvalue").count()).rows_by_key("statistic")
    assert notes["diagonal"] == [(["the statistic is constant"], 0)]
    assert notes["duplicate_token"] == [(["only one group has values"], 0)]
    assert "induction" not in notes
    assert table["pvalue_adjusted"].is_not_null().sum() == table["pvalue"].is_not_null().sum()


def test_one_cluster_gives_no_p(copied):
    edit_table(copied, "samples", lambda frame: frame.with_columns(cluster=pl.lit("only")))
    table, _, _ = group_differences(open_tables(copied), QUICK)
    assert table["pvalue"].is_null().all() and (table["note"] == "fewer than two clusters").all()
    assert table["pvalue_welch"].is_not_null().any()


def test_comparisons_by_column_value_and_median():
    samples = pl.DataFrame(
        {
            "is_correct": [True, False, None, True],
            "certainty": ["High", "Low", "Medium", "low"],
            "sector": ["steel", "banks", "food", None],
            "predicted_label": ["increase", "decrease", "increase", "increase"],
            "contrast_probability": [0.1, 0.9, 0.8, None],
        }
    )
    assert resolve_comparison(samples, "is_correct").is_a.tolist() == [True, False, False, True]
    assert resolve_comparison(samples, "is_correct").is_b.tolist() == [False, True, False, False]
    by_value = resolve_comparison(samples, Group(name="sure", column="certainty", a="high", b=["Low", "medium"]))
    assert (by_value.name, by_value.is_b.tolist()) == ("sure", [False, True, True, True])
    assert resolve_comparison(samples, "predicted_label").label_a == "increase"
    assert resolve_comparison(samples, "contrast_probability").is_a.tolist() == [False, True, False, False]
    scale = resolve_comparison(samples, "certainty")
    assert (scale.label_a, scale.label_b) == ("high", "low") and scale.is_b.tolist() == [False, True, False, True]
    with pytest.raises(SettingsError, match="no column"):
        resolve_comparison(samples, "size")
    with pytest.raises(SettingsError, match="which of them to compare"):
        resolve_comparison(samples, "sector")
    labels = resolve_comparison(samples, "sector", ("food", "steel"))
    assert (labels.label_a, labels.is_a.tolist()) == ("food", [False, False, True, False])


def test_halves_of_a_number_are_as_even_as_its_values_allow():
    samples = pl.DataFrame({"year": [2013, 2014, 2015, 2015, 2015], "label_probability": [0.9, 0.8, 0.7, 0.6, None]})
    late = resolve_comparison(samples, "year")
    assert late.is_a.tolist() == [False, False, True, True, True] and late.label_b == "year below its median"
    sure = resolve_comparison(samples, "label_probability")
    assert (sure.label_a, sure.label_b) == ("confident", "uncertain") and sure.is_a.sum() == sure.is_b.sum() == 2


def test_unknown_covariates_are_refused_by_name(planted):
    with pytest.raises(SettingsError, match="log_size"):
        group_differences(open_tables(planted), AnalysisSettings(covariates=("log_size",), permutations=0))


def test_no_permutations_and_no_confirmation_leave_nulls(planted):
    settings = AnalysisSettings(permutations=0, confirmation_fraction=0.0)
    table, _, _ = group_differences(open_tables(planted), settings)
    assert table["pvalue_max_t"].is_null().all() and table["is_replicated"].is_null().all()


def test_replication_needs_discovery_sign_and_confirmation():
    discovery = HalfEffects(np.array([1.0, 1, 1, 1, 1]), np.array([1e-6, 1e-6, 1e-6, 0.9, np.nan]))
    confirmation = HalfEffects(np.array([1.0, -1, 1, 1, 1]), np.array([0.01, 0.01, 0.5, 0.01, 0.01]))
    parts = [
        tuple(HalfEffects(half.effect[part], half.pvalue[part]) for half in (discovery, confirmation))
        for part in (slice(0, 2), slice(2, 5))
    ]
    family = np.full(5, "one", dtype=object)
    assert is_replicated(parts, family, 0.05, "fdr_bh").tolist() == [True, False, False, False, None]


def test_clusters_are_split_whole_and_by_seed():
    cluster = np.repeat(np.arange(20), 3)
    chosen = split_clusters(cluster, 0.3, seed=4)
    assert len(set(cluster[chosen])) == 6 and not set(cluster[chosen]) & set(cluster[~chosen])
    assert np.array_equal(chosen, split_clusters(cluster, 0.3, seed=4))
    assert not np.array_equal(chosen, split_clusters(cluster, 0.3, seed=5))
    assert split_clusters(np.arange(5), 0.3, 0) is None and split_clusters(cluster, 0.0, 0) is None


def test_profiles_average_heads_within_samples_first(planted):
    tables = answer_questions(open_tables(planted), QUICK, VisualizationSettings())
    rows = tables.run.head_stats.filter((pl.col("query_group") == "all") & (pl.col("layer") == 2)).collect()
    by_sample = rows.group_by("sample_id").agg(pl.col("mass_time").mean())["mass_time"]
    chosen = (
        tables["layer_profiles"]
        .filter(
            (pl.col("query_group") == "all")
            & (pl.col("layer") == 2)
            & (pl.col("statistic") == "mass_time")
            & (pl.col("group") == EVERYONE)
        )
        .row(0, named=True)
    )
    assert chosen["mean"] == pytest.approx(by_sample.mean(), rel=1e-5) and chosen["num_samples"] == 150
    groups = tables["layer_profiles"]["group"].unique().sort().to_list()
    assert groups == [EVERYONE, "correct", "incorrect"]


def test_top_tokens_count_heads_without_the_token_as_zero(planted):
    tables = answer_questions(open_tables(planted), QUICK, VisualizationSettings())
    keys = tables.run.tables["decision_top_keys"].collect()
    first = (
        tables["decision_top_tokens"].filter((pl.col("group") == EVERYONE) & (pl.col("rank") == 1)).row(0, named=True)
    )
    expected = keys.filter(pl.col("token") == first["token"])["weight"].sum() / (150 * 9)
    assert first["mean"] == pytest.approx(expected, rel=1e-5)


def test_head_types_follow_the_documented_thresholds(copied):
    def shape(frame):
        at = [(pl.col("layer") == layer) & (pl.col("head") == head) for layer in range(3) for head in range(3)]
        low, decision = pl.lit(0.01), pl.col("query_group") == "decision"

        def put(name, places, otherwise):
            value = otherwise
            for place, number in places.items():
                value = pl.when(at[place]).then(pl.lit(number)).otherwise(value)
            return value.cast(pl.Float32).alias(name)

        return frame.with_columns(
            put("diagonal_excluding_first", {0: 0.5}, low),
            put("previous_token", {1: 0.5, 0: 0.45}, low),
            put("mass_beginning", {2: 0.7}, low),
            put("mass_financial", {3: 0.4}, low),
            put("first_token", {}, low),
            pl.when(decision & at[4]).then(0.9).otherwise(0.01).cast(pl.Float32).alias("mass_reasoning"),
            put("entropy_normalized", {5: 0.1, 6: 0.9}, pl.lit(0.5)),
        )

    edit_table(copied, "head_stats", shape)
    found = head_types(open_tables(copied), QUICK)
    vocabulary = ["self-attention", "causal", "beginning-focused", "financial", "prediction", "focused", "distributed"]
    assert found["head_type"].to_list() == [*vocabulary, "mixed", "mixed"]
    assert found["all_types"][0] == "self-attention, causal"
    lenient = AnalysisSettings.from_mapping({"head_types": {"self_attention_diagonal": 0.6}})
    assert head_types(open_tables(copied), lenient)["head_type"][0] == "causal"


@pytest.mark.parametrize("num_random", [2, 5])
def test_random_vocabularies_take_the_type_from_a_head_that_likes_any_word(tmp_path, num_random):
    randoms = [f"random_financial_{slot}" for slot in range(num_random)]
    groups = ("financial", "profit", *randoms, "beginning", "reasoning", "response")
    run_dir = write_run(tmp_path / "run", num_samples=60, num_layers=1, num_heads=2, key_groups=groups)
    likes = pl.when(pl.col("head") == 0)

    def shape(frame):
        low = [pl.lit(0.05, dtype=pl.Float32).alias(name) for name in ("diagonal_excluding_first", "previous_token")]
        masses = [
            likes.then(0.5 if name == "mass_financial" else 0.1).otherwise(0.5).cast(pl.Float32).alias(name)
            for name in ("mass_financial", *(f"mass_{name}" for name in randoms))
        ]
        return frame.with_columns(*low, *masses, pl.lit(0.05, dtype=pl.Float32).alias("mass_beginning"))

    edit_table(run_dir, "head_stats", shape)
    found = head_types(open_tables(run_dir), QUICK)
    assert found["head_type"][0] == "financial" and found["head_type"][1] != "financial"
    assert found["vocabulary_lift"].min() > 1.5 and found["random_lift"].is_not_null().all()
    if num_random == 2:
        assert found["pvalue_random"].is_null().all() and found["note"].str.contains("only 2 random").all()
    else:
        assert found["pvalue_random"][0] < 0.05 < found["pvalue_random"][1] and found["note"].is_null().all()


def test_a_lift_that_rests_on_one_company_makes_no_financial_head(tmp_path):
    run_dir = write_run(tmp_path / "run", num_samples=60, num_layers=1, num_heads=1, num_clusters=20)
    odd_ones = open_tables(run_dir).samples.filter(pl.col("cluster") == "c3")["sample_id"].implode()
    looks = pl.when(pl.col("sample_id").is_in(odd_ones)).then(1.0).otherwise(0.0).cast(pl.Float32)
    low = [pl.lit(0.05, dtype=pl.Float32).alias(f) for f in ("diagonal_excluding_first", "previous_token")]
    low.append(pl.lit(0.05, dtype=pl.Float32).alias("mass_beginning"))
    edit_table(run_dir, "head_stats", lambda frame: frame.with_columns(*low, mass_financial=looks))
    edit_table(run_dir, "baselines", lambda frame: frame.with_columns(baseline_financial=pl.lit(0.01).cast(pl.Float32)))
    found = head_types(open_tables(run_dir), QUICK).row(0, named=True)
    assert found["vocabulary_lift"] > 1.5 and found["vocabulary_lift_ci_low"] < 1
    assert "financial" not in found["all_types"]


def test_settings_refuse_the_impossible_and_keep_defaults():
    assert AnalysisSettings.from_mapping({"groups": ["is_correct"], "alpha": None}) == AnalysisSettings()
    assert AnalysisSettings.from_mapping(None).head_types.vocabulary_lift == 1.5
    look = VisualizationSettings.from_mapping({"figure_sizes": {"width": 300}, "color_schemes": {}})
    assert dict(look.figure_sizes) == {"width": 300, "height": 360} and look.color_schemes.sequential == "viridis"
    for wrong in ({"alpha": 2}, {"correction": "none"}, {"head_types": {"bos": 1}}, {"confirmation_fraction": 1.0}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            AnalysisSettings.from_mapping(wrong)
    with pytest.raises(SettingsError, match="gif"):
        VisualizationSettings.from_mapping({"formats": ["gif"]})
