"""Reading focus and lookback ratios against float64 loops, planted heads of known drift, and heads that read all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_series_equal

from engine.attention.layout import NUM_BASE, sequence_layout
from engine.attention.masking import Masking
from engine.config import Config
from engine.encoded_samples import SEGMENTS, EncodedSample
from engine.measuring.measurer import Measurer
from engine.run import main
from engine.tolerances import tolerance
from tests.fixtures import planted
from tests.fixtures.family_judgement import double, own_patterns, samples
from tests.fixtures.tiny_models import VOCABULARY, tiny_model
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import CASES, encoded, tensors
from tests.oracles.ways import WAYS, both_ways, small_tiles

CPU = torch.device("cpu")
LOOKBACK = ("lookback_ratio", "lookback_ratio_per_token")


def thought_in_between(sample: EncodedSample) -> EncodedSample:
    """Return a sample whose response begins with a thought, and has a word of answer before it where there is room."""
    segments = sample.segments.copy()
    first = sample.num_prompt_tokens + 1
    segments[first : first + 5] = SEGMENTS.index("thinking")
    return replace(sample, segments=segments)


def compare(found, expected, quantity, at):
    """Assert that a measured number is the oracle's, and null where the oracle has none."""
    if expected is None:
        assert np.isnan(found), at
        return
    allowed = tolerance(quantity)
    assert abs(found - expected) <= allowed.atol + allowed.rtol * abs(expected), (at, found, expected)


def check(sample, layout, statistics, patterns, window):
    """Compare one layer's reading and lookback of every head with the oracle's loops over its patterns."""
    rows = [i for i in range(sample.num_prompt_tokens, sample.num_tokens) if SEGMENTS[sample.segments[i]] != "thinking"]
    first = NUM_BASE + len(sample.key_groups)
    for head, pattern in enumerate(patterns):
        for column, (name, positions) in enumerate(sample.key_groups.items()):
            expected = oracle.reading(pattern, rows, positions)
            for part, quantity in enumerate(("distance", "drift", "mass")):
                compare(float(statistics.reading[head, column, part]), expected[part], quantity, (head, name, part))
        by_row = [oracle.lookback_row(pattern, i, sample.num_prompt_tokens, window) for i in range(sample.num_tokens)]
        for group, positions in enumerate(sample.query_groups.values()):
            means = oracle.group_mean([by_row[i] for i in positions])
            for place, name in enumerate(LOOKBACK):
                compare(float(statistics.means[head, group, first + place]), means.get(name), "mass", (head, name))


@both_ways
@pytest.mark.parametrize("thinks", [False, True], ids=["answer", "thought"])
@pytest.mark.parametrize(("heads", "kv", "tokens", "dim", "window", "softcap", "budget"), CASES)
def test_reading_equals_the_oracle(monkeypatch, way, thinks, heads, kv, tokens, dim, window, softcap, budget):
    small_tiles(monkeypatch, budget)
    sample = encoded(tokens, seed=tokens)
    sample = thought_in_between(sample) if thinks else sample
    query, key, value = tensors(heads, kv, tokens, dim, seed=heads)
    layout = sequence_layout(sample, 0, CPU, with_reading=True)
    _, found = WAYS[way](query, key, value, Masking(dim**-0.5, window, softcap), layout, 0)
    patterns = [oracle.pattern(query[h], key[h // (heads // kv)], dim**-0.5, window, softcap) for h in range(heads)]
    check(sample, layout, found, patterns, window)


@both_ways
def test_reading_changes_no_other_number(way):
    sample = encoded(90, seed=3)
    query, key, value = tensors(4, 2, 90, 8, seed=1)
    norms = torch.rand(4, 90)
    plain, asked = (sequence_layout(sample, 0, CPU, with_reading=reads) for reads in (False, True))
    outputs, found = zip(
        *(WAYS[way](query, key, value, Masking(0.3), layout, 0, norms) for layout in (plain, asked)), strict=True
    )
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    width = NUM_BASE + len(sample.key_groups)
    kept = torch.cat((found[1].means[..., :width], found[1].means[..., width + len(LOOKBACK) :]), dim=-1)
    torch.testing.assert_close(found[0].means, kept, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert found[0].reading is None and found[1].means.shape[-1] == asked.num_statistics(norm_weighted=True)


@both_ways
@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.25, 1.0])
def test_a_head_that_reads_through_a_line_item_has_its_slope(way, slope):
    """Row i of the answer looks at the one key of the block that lies slope tokens further than that of row i - 1."""
    num_tokens, first_row, item = 160, 120, np.arange(30, 90)
    target = 50 + np.round(slope * np.arange(num_tokens - first_row)).astype(int)
    query, key = torch.zeros(2, num_tokens, num_tokens), torch.eye(num_tokens)[None].repeat(2, 1, 1)
    query[0, np.arange(first_row, num_tokens), target] = 60.0
    sample = replace(
        encoded(num_tokens, seed=0),
        num_prompt_tokens=first_row,
        key_groups={"item": item.astype(np.int32), "other": np.arange(10, dtype=np.int32)},
    )
    _, found = WAYS[way](query, key, key, Masking(1.0), sequence_layout(sample, 0, CPU, with_reading=True), 0)
    expected = np.polyfit(np.arange(len(target)), target, 1)[0]
    centroid, drift, focus = found.reading[0, 0].tolist()
    assert centroid == pytest.approx(target.mean(), abs=1e-4) and drift == pytest.approx(expected, abs=1e-5)
    assert abs(drift - slope) < 0.02 and focus == pytest.approx(1, abs=1e-6)
    assert torch.isnan(found.reading[0, 1]).all()  # it gives nothing to the other group
    # The null: a head that looks everywhere alike rests in the middle of every group, drifts nowhere, on all its keys.
    for column, keys in enumerate((item, np.arange(10))):
        centroid, drift, focus = found.reading[1, column].tolist()
        assert centroid == pytest.approx(keys.mean(), abs=1e-4) and abs(drift) < 1e-6
        assert focus == pytest.approx(1 / len(keys), rel=1e-5)


@both_ways
def test_a_head_that_looks_everywhere_alike_looks_back_by_numbers(way):
    """Masses are shares of tokens; means per token are equal whatever the lengths."""
    sample = encoded(40, seed=0)
    zeros = torch.zeros(1, 40, 8)
    _, found = WAYS[way](zeros, zeros, zeros, Masking(1.0), sequence_layout(sample, 0, CPU, with_reading=True), 0)
    first = NUM_BASE + len(sample.key_groups)
    of_all, of_response = found.means[0, [0, 2], first : first + 2]
    shares = [20 / (i + 1) for i in range(20, 40)]
    assert of_response.tolist() == pytest.approx([np.mean(shares), 0.5], abs=1e-6)
    assert torch.equal(of_all, of_response)  # rows of the prompt see nothing of the response: null, not 1
    assert torch.isnan(found.means[0, 4, first : first + 2]).all()


@both_ways
def test_half_precision_is_read_in_float32(way):
    sample = encoded(70, seed=2)
    parts = [part.to(torch.bfloat16) for part in tensors(4, 2, 70, 8, seed=9)]
    layout = sequence_layout(sample, 0, CPU, with_reading=True)
    (_, half), (_, full) = (
        WAYS[way](*(part.to(dtype) for part in parts), Masking(8**-0.5), layout, 0)
        for dtype in (torch.bfloat16, torch.float32)
    )
    assert torch.equal(half.reading.nan_to_num(), full.reading.nan_to_num())


def measured(model, planned, attention="auto", **statistics):
    """Measure samples through the whole of a unit and return its facts and tables."""
    config = Config.model_validate(
        {
            "predictions": {"path": "none"},
            "model": {"path": "tiny", "device": "cpu", "attention": attention},
            "statistics": statistics,
        }
    )
    result = Measurer(model, config).forward_passes([planned], list(planned[0].key_groups))()
    assert not result.rejects
    return result.facts, {name: pl.from_arrow(table) for name, table in result.tables.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attention", ["auto", "blocked"])
@pytest.mark.parametrize("kind", ["qwen2", "gpt_oss", "gemma2", "bloom", "mpt", "llama4_text", "deepseek_v3"])
def test_tables_of_packed_samples_equal_the_models_own_patterns(kind, attention):
    """Grouped queries, sinks, windows, biases, chunks and latent attention; patterns are those over keys alone."""
    model, planned = tiny_model(kind), [thought_in_between(sample) for sample in samples(VOCABULARY)]
    _, tables = measured(model, planned, attention, reading_focus=True)
    own = double(tiny_model(kind))
    for sample in planned:
        _, patterns = own_patterns(own, sample)
        rows = [
            i for i in range(sample.num_prompt_tokens, sample.num_tokens) if SEGMENTS[sample.segments[i]] != "thinking"
        ]
        table = tables["reading_focus"].filter(sample_id=sample.sample_id)
        assert table.height == sum(len(layer) for layer in patterns.values())
        for row in table.iter_rows(named=True):
            pattern = patterns[row["layer"]][row["head"]]
            for name, positions in sample.key_groups.items():
                expected = oracle.reading(pattern, rows, positions)
                for prefix, value, bound in zip(
                    ("centroid", "drift", "concentration"), expected, (1e-2, 2e-3, 5e-5), strict=True
                ):
                    found = row[f"{prefix}_{name}"]
                    assert (found is None) == (value is None), (prefix, name)
                    assert value is None or abs(found - value) < bound, (prefix, name, found, value)


@pytest.mark.filterwarnings("ignore")
def test_a_sample_alone_reads_as_in_a_packed_row_and_one_without_answer_has_no_rows():
    model, planned = tiny_model("qwen2"), samples(VOCABULARY)
    _, together = measured(model, planned, reading_focus=True)
    _, alone = measured(model, planned[1:2], reading_focus=True)
    mine = together["reading_focus"].filter(sample_id=planned[1].sample_id)
    for name in mine.columns[3:]:
        assert_series_equal(mine[name], alone["reading_focus"][name], rel_tol=1e-4, abs_tol=2e-4)
    silent = replace(planned[0], num_prompt_tokens=planned[0].num_tokens)
    _, tables = measured(model, [silent], reading_focus=True)
    assert "reading_focus" not in tables and tables["head_stats"]["lookback_ratio"].null_count() > 0
    _, tables = measured(model, planned)
    assert "reading_focus" not in tables and "lookback_ratio" not in tables["head_stats"].columns


def test_a_run_with_everything_on_is_verified_and_holds_what_is_planted(tmp_path):
    """Heads of a planted model, through plan, unit, tables and verification; what the plan says of it is counted."""
    config = planted.write_config(tmp_path, count=6)
    asked = ["statistics.reading_focus=true", "statistics.contribution=true", "statistics.received={sentences: prompt}"]
    assert main([str(config), "--stage", "collect", *asked]) == 0
    run = tmp_path / "runs" / "planted"
    tables = {
        name: pl.read_parquet(run / "shards" / "*" / f"{name}.parquet")
        for name in ("reading_focus", "received_heads", "received_keys", "head_stats", "tokens", "samples")
    }
    first = {"layer": planted.HEADS["first_token"][0], "head": planted.HEADS["first_token"][1]}
    uniform = {"layer": planted.HEADS["uniform"][0], "head": planted.HEADS["uniform"][1]}
    assert tables["received_heads"].filter(**first)["sink_score"].to_list() == pytest.approx([1] * 6, abs=1e-5)
    assert tables["received_keys"].filter(**first, rank=0)["key_position"].to_list() == [0] * 6
    of_response = tables["head_stats"].filter(**first, query_group="response")
    assert of_response["lookback_ratio"].to_list() == pytest.approx([1] * 6, abs=1e-5)
    for sample in tables["samples"].iter_rows(named=True):
        length, id_ = sample["num_tokens"], {"sample_id": sample["sample_id"]}
        (sink,) = tables["received_heads"].filter(**id_, **uniform)["sink_score"]
        assert sink == pytest.approx(sum(1 / n for n in range(1, length + 1)) / length, abs=1e-5)
        (per_token,) = tables["head_stats"].filter(**id_, **uniform, query_group="response")["lookback_ratio_per_token"]
        assert per_token == pytest.approx(0.5, abs=1e-5)
        where = tables["tokens"].filter(**id_, segment="statement")["position"].to_numpy()
        row = tables["reading_focus"].filter(**id_, **uniform).row(0, named=True)
        assert row["centroid_statement"] == pytest.approx(where.mean(), abs=1e-3)
        assert abs(row["drift_statement"]) < 1e-4
        assert row["concentration_statement"] == pytest.approx(1 / len(where), rel=1e-4)
    plan = json.loads((run / "plan.json").read_text())
    assert plan["num_samples_without_sentences"] == 6 and plan["num_samples_without_answer"] == 0
    assert 0 < plan["predicted_reading_bytes"] < plan["predicted_disk_bytes"]
    assert 0 < plan["predicted_flop"]["reading"] < plan["predicted_flop"]["measure"]
    said = (run / "plan" / "plan.txt").read_text()
    assert "6 of 6 sample(s) have fewer than 8 sentences in the prompt" in said and "reading and receiving" in said
