"""Spellings of tokens, and long texts by window, region and aggregation."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

from engine.errors import UserError
from engine.notebook import FinancialAttentionAnalyzer, quick_attention_analysis
from engine.notebook.token_labels import choose_cut, summed_pattern, text_of_tokens, visible


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["Net", "Ġincome", "ĊSales"], "Net income\nSales"),
        (["▁Net", "▁income", "s"], " Net incomes"),
        (["net", "in", "##come", "rose"], "net income rose"),
        (["###", " Analysis", "##x"], "### Analysis##x"),
        (["a"], "a"),
    ],
)
def test_texts_of_tokens(tokens, text):
    found, starts, ends = text_of_tokens(tokens)
    assert found == text and starts[0] == 0 and ends[-1] == len(text) and starts[1:] == ends[:-1]


def test_blanks_are_visible():
    assert [visible(token) for token in ("\n", "  ", " a", "x" * 30)] == ["⏎", "␣␣", " a", "x" * 17 + "…"]


@pytest.fixture(scope="module")
def long_analyzer():
    """A text of 700 words with one head whose pattern is known."""
    number = 700
    pattern = torch.rand(1, 1, number, number, generator=torch.Generator().manual_seed(1)).tril()
    pattern = pattern / pattern.sum(dim=-1, keepdim=True)
    return FinancialAttentionAnalyzer({"layer_4": pattern}, [f" w{n}" for n in range(number)])


@pytest.mark.parametrize(
    "options",
    [{}, {"window": (-40, 700)}, {"rows": (600, 640), "keys": (0, 30)}, {"aggregate": 50}, {"aggregate": "segments"}],
)
def test_long_texts_make_small_charts(long_analyzer, options):
    chart = long_analyzer.plot_attention_heatmap(4, 0, **options).to_dict()
    assert len(json.dumps(chart)) < 300_000


def test_sums_are_those_of_a_slow_loop(long_analyzer):
    pattern = long_analyzer.attention_weights["layer_4"][0, 0]
    for options in ({}, {"rows": (100, 133), "keys": (20, 91)}, {"aggregate": 64}):
        cut = choose_cut(long_analyzer.encoded, 20, **options)
        frame = summed_pattern(pattern, cut)
        for row, key, weight in frame.select("row", "key", "weight").sample(40, seed=2).iter_rows():
            rows, keys = range(*cut.rows[row : row + 2]), range(*cut.keys[key : key + 2])
            slow = sum(float(pattern[i, j]) for i in rows for j in keys) / len(rows)
            assert weight == pytest.approx(slow, abs=2e-6)
    whole = summed_pattern(pattern, choose_cut(long_analyzer.encoded, 20))
    np.testing.assert_allclose(whole.group_by("row").agg(pl.col("weight").sum())["weight"], 1, atol=1e-4)


def test_labels_are_the_tokens(long_analyzer):
    chart = long_analyzer.plot_attention_heatmap(4, 0, window=(0, 3)).to_dict()
    assert "[' w0', ' w1', ' w2'][datum.value]" in json.dumps(chart["encoding"])
    assert "700 tokens" in chart["title"]["subtitle"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (5, 900)}, "no part of the text's 700 tokens"),
        ({"window": (0, 5), "rows": (0, 5)}, "either window"),
        ({"aggregate": "words"}, "'segments'"),
        ({"aggregate": 1}, "nobody can read; give at least 3"),
    ],
)
def test_impossible_regions_are_refused(long_analyzer, options, message):
    with pytest.raises(UserError, match=message):
        long_analyzer.plot_attention_heatmap(4, 0, **options)


def test_a_layer_that_was_not_kept_is_named(long_analyzer):
    assert long_analyzer.head_stats["layer"].unique().to_list() == [4]
    with pytest.raises(UserError, match="layer 0 is not among 4"):
        long_analyzer.plot_attention_heatmap(0, 0)


def test_a_labelled_heatmap_in_under_ten_lines(loaded):
    model, tokenizer = loaded["demo"]
    analyzer = quick_attention_analysis(model, tokenizer, "Net income fell from 5 to 3, so EPS will", layer_idx=2)
    chart = analyzer.plot_attention_heatmap(layer_idx=2, head_idx=3)
    assert " income" in json.dumps(chart.to_dict()) and "Net" in json.dumps(chart.to_dict())
    assert "tokens" in analyzer._repr_html_()
