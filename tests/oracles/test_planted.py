"""The engine finds each planted head, with its value known in advance."""

from __future__ import annotations

import math
from collections import defaultdict

import polars as pl
import pytest

from engine.run import main
from tests.fixtures import planted


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    config = planted.write_config(folder)
    assert main([str(config), "--stage", "collect"]) == 0
    return folder / "runs" / "planted"


@pytest.fixture(scope="module")
def stats(run):
    return pl.read_parquet(run / "shards" / "*" / "head_stats.parquet")


@pytest.fixture(scope="module")
def tokens(run):
    """Token texts by sample, in order: what every expected value is computed from, without the engine's numbers."""
    table = pl.read_parquet(run / "shards" / "*" / "tokens.parquet").sort("sample_id", "position")
    return {sample: part["token"].to_list() for (sample,), part in table.group_by("sample_id", maintain_order=True)}


def values(stats, behaviour, column, group="all"):
    layer, head = planted.HEADS[behaviour]
    rows = stats.filter(layer=layer, head=head, query_group=group)
    assert rows.height == 24
    return dict(rows.select("sample_id", column).iter_rows())


@pytest.mark.parametrize(
    ("behaviour", "column"),
    [
        ("previous_token", "previous_token"),
        ("first_token", "first_token"),
        ("self", "diagonal"),
        ("self", "diagonal_excluding_first"),
        ("induction", "induction"),
        ("self", "max_weight"),
        ("first_token", "collision"),
    ],
)
def test_heads_that_look_at_one_place_have_the_value_one(stats, behaviour, column):
    assert all(value == pytest.approx(1, abs=2e-6) for value in values(stats, behaviour, column).values())


def test_a_focused_head_has_no_entropy_and_a_known_distance(stats, tokens):
    for sample, text in tokens.items():
        assert values(stats, "self", "entropy_nats")[sample] == pytest.approx(0, abs=1e-5)
        assert values(stats, "self", "mean_distance")[sample] == pytest.approx(0, abs=1e-4)
        length = len(text)
        assert values(stats, "first_token", "mean_distance")[sample] == pytest.approx((length - 1) / 2, rel=1e-5)
        assert values(stats, "first_token", "mean_relative_distance")[sample] == pytest.approx(1, abs=1e-5)
        expected = (length - 1) / length  # row 0 has no token before it
        assert values(stats, "previous_token", "mean_distance")[sample] == pytest.approx(expected, abs=1e-4)


def test_the_uniform_head_gives_baselines_and_harmonic_numbers(run, stats, tokens):
    baselines = pl.read_parquet(run / "shards" / "*" / "baselines.parquet").filter(query_group="all")
    for column in ("theme", "verdict", "statement", "random_theme_1"):
        expected = dict(baselines.select("sample_id", f"baseline_{column}").iter_rows())
        found = values(stats, "uniform", f"mass_{column}")
        assert all(found[sample] == pytest.approx(expected[sample], abs=1e-6) for sample in tokens)
    for sample, text in tokens.items():
        harmonic = sum(1 / n for n in range(1, len(text) + 1)) / len(text)
        assert values(stats, "uniform", "collision")[sample] == pytest.approx(harmonic, abs=1e-6)
        assert values(stats, "uniform", "diagonal")[sample] == pytest.approx(harmonic, abs=1e-6)
        entropy = sum(math.log(n) for n in range(1, len(text) + 1)) / len(text)
        assert values(stats, "uniform", "entropy_nats")[sample] == pytest.approx(entropy, abs=1e-5)
        assert values(stats, "uniform", "entropy_normalized")[sample] == pytest.approx(1, abs=1e-6)


def test_the_duplicate_token_head_shares_its_weight_among_equal_tokens(stats, tokens):
    for sample, text in tokens.items():
        seen, shares = defaultdict(int), []
        for token in text:
            if seen[token]:
                shares.append(seen[token] / (seen[token] + 1))
            seen[token] += 1
        expected = sum(shares) / len(shares)
        assert values(stats, "duplicate_token", "duplicate_token")[sample] == pytest.approx(expected, abs=2e-6)


def test_the_vocabulary_head_looks_at_the_vocabulary_once_it_has_been_seen(stats, tokens):
    for sample, text in tokens.items():
        first = next(i for i, token in enumerate(text) if token in planted.VOCABULARY)
        length = len(text)
        # Before the first term every key scores alike, so the head is uniform over keys without any term.
        assert values(stats, "vocabulary", "mass_theme")[sample] == pytest.approx((length - first) / length, abs=2e-6)
        assert values(stats, "vocabulary", "mass_theme", "theme")[sample] == pytest.approx(1, abs=2e-6)
        assert values(stats, "vocabulary", "mass_theme", "decision")[sample] == pytest.approx(1, abs=2e-6)
        assert values(stats, "vocabulary", "mass_random_theme_1", "decision")[sample] == pytest.approx(0, abs=2e-6)


def test_the_verdict_head_decides_the_label(run, stats, tokens):
    samples = pl.read_parquet(run / "shards" / "*" / "samples.parquet")
    assert samples.height == 24 and samples["is_correct"].sum() == 16
    top = pl.read_parquet(run / "shards" / "*" / "decision_top_keys.parquet")
    layer, head = planted.HEADS["verdict"]
    for row in samples.iter_rows(named=True):
        verdict = next(token for token in tokens[row["sample_id"]] if token in planted.VERDICTS)
        assert row["logit_difference"] == pytest.approx(planted.logit_difference(verdict), rel=1e-5)
        assert row["decision_token"] == ("Increase" if verdict == "rose" else "Decrease")
        best = top.filter(sample_id=row["sample_id"], layer=layer, head=head, rank=0).row(0, named=True)
        assert best["token"] == verdict and best["weight"] == pytest.approx(1, abs=1e-6)
    assert all(v == pytest.approx(1, abs=1e-6) for v in values(stats, "verdict", "mass_verdict", "decision").values())


def test_attributions_name_the_head_and_the_word_that_decide_with_their_value(run, tokens):
    """The verdict head carries the whole margin from one word; no other head carries anything."""
    folders = run / "shards" / "*"
    heads = pl.read_parquet(folders / "head_attributions.parquet")
    keys = pl.read_parquet(folders / "top_token_attributions.parquet")
    assert heads.height == 24 * 12
    layer, head = planted.HEADS["verdict"]
    is_verdict = (pl.col("layer") == layer) & (pl.col("head") == head)
    for sample, text in tokens.items():
        verdict = next(token for token in text if token in planted.VERDICTS)
        expected = planted.logit_difference(verdict)
        row = heads.filter(is_verdict, sample_id=sample).row(0, named=True)
        assert row["dla"] == pytest.approx(expected, rel=1e-5)
        assert row["attribution_verdict"] == pytest.approx(expected, rel=1e-5)
        assert row["attribution_statement"] == pytest.approx(expected, rel=1e-5)
        assert row["attribution_theme"] == pytest.approx(0, abs=1e-6)
        (key,) = keys.filter(sample_id=sample, rank=0).iter_rows(named=True)
        assert (key["layer"], key["head"], key["token"]) == (layer, head, verdict)
        assert key["attribution"] == pytest.approx(expected, rel=1e-5)
    assert heads.filter(~is_verdict).select(pl.col(pl.Float32).abs().max()).row(0) == pytest.approx([0] * 6, abs=1e-6)


def test_a_head_that_copies_a_line_item_towards_a_label_is_found_by_name(tmp_path):
    config = planted.write_config(tmp_path, count=6)
    planted.build_model(verdicts=("Earnings",)).save_pretrained(tmp_path / "planted" / "model")
    assert main([str(config), "--stage", "collect"]) == 0
    spans = pl.read_parquet(tmp_path / "runs" / "planted" / "shards" / "*" / "span_attributions.parquet")
    layer, head = planted.HEADS["verdict"]
    items = spans.filter(kind="line_item")
    carried = items.filter(layer=layer, head=head, span="Earnings")["attribution"]
    assert len(carried) == 6 and carried.to_list() == pytest.approx([planted.logit_difference("rose")] * 6, abs=2e-5)
    others = items.filter((pl.col("layer") != layer) | (pl.col("head") != head) | (pl.col("span") != "Earnings"))
    assert others.height > 6 * 12 * 2 and others["attribution"].abs().max() < 1e-6


def test_no_other_head_looks_like_a_planted_one(stats):
    """The behaviours are told apart: each statistic singles out its own head."""
    means = stats.filter(query_group="all").group_by("layer", "head").agg(pl.col(pl.Float32).mean())
    for behaviour, column in (
        ("previous_token", "previous_token"),
        ("first_token", "first_token"),
        ("self", "diagonal_excluding_first"),
        ("induction", "induction"),
        ("vocabulary", "mass_theme"),
        ("uniform", "entropy_normalized"),
    ):
        ranked = means.sort(column, descending=True).select("layer", "head", column).rows()
        assert ranked[0][2] > 0.15
        same = [(layer, head) for layer, head, value in ranked if value > ranked[0][2] - 1e-4]
        assert planted.HEADS[behaviour] in same
        if behaviour != "uniform":
            assert len(same) == 1 and ranked[1][2] < 0.7 * ranked[0][2]
