"""What keys and sentences receive: float64 loops, a planted receiver head and sink, and a head that has neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from engine.attention.layout import sequence_layout
from engine.attention.masking import Chunk, Masking
from engine.attention.readers.received import Received, ReceivedRows, ReceiverPool, _kurtosis, rows_that_see
from engine.encoded_samples import SEGMENTS
from engine.schema import MOST_SENTENCES
from tests.fixtures.family_judgement import double, own_patterns, samples
from tests.fixtures.tiny_models import VOCABULARY, tiny_model
from tests.oracles import attention as oracle
from tests.oracles.test_reading import measured
from tests.oracles.test_statistics import CASES, encoded, tensors
from tests.oracles.ways import WAYS, both_ways, small_tiles

CPU = torch.device("cpu")


def numbers(num_tokens, first=0, length=3, gap=7):
    """Number sentences of a few tokens each from a position on, with tokens of none between some of them."""
    found = (np.arange(num_tokens) - first) // length
    return np.where((np.arange(num_tokens) < first) | (np.arange(num_tokens) % gap == gap - 1), -1, found).astype(
        np.int32
    )


def asked(sample, top=5, min_rows=1, sentences=None, heads=4):
    found = np.full(sample.num_tokens, -1, np.int32) if sentences is None else sentences
    return sequence_layout(sample, 0, CPU, received=ReceivedRows.of(found, top, min_rows, heads))


def as_array(rows):
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)


@both_ways
@pytest.mark.parametrize(("heads", "kv", "tokens", "dim", "window", "softcap", "budget"), CASES)
def test_what_is_received_equals_the_oracle(monkeypatch, way, heads, kv, tokens, dim, window, softcap, budget):
    small_tiles(monkeypatch, budget)
    sample, sentences = encoded(tokens, seed=tokens), numbers(tokens, first=2)
    query, key, value = tensors(heads, kv, tokens, dim, seed=heads)
    layout = asked(sample, top=7, sentences=sentences)
    _, statistics = WAYS[way](query, key, value, Masking(dim**-0.5, window, softcap), layout, 0)
    found = statistics.received
    known = np.unique(sentences[sentences >= 0])
    of_sentence = [np.flatnonzero(sentences == number) for number in known]
    for head in range(heads):
        pattern = oracle.pattern(query[head], key[head // (heads // kv)], dim**-0.5, window, softcap)
        values, rows = oracle.received(pattern, window)
        assert float(found.sink[head]) == pytest.approx(values[0], abs=1e-6)
        keys = found.keys[head].tolist()
        np.testing.assert_allclose(found.values[head], [values[j] for j in keys], atol=1e-6)
        np.testing.assert_allclose(found.values[head], sorted(values, reverse=True)[: len(keys)], atol=1e-6)
        assert found.num_rows[head].tolist() == [rows[j] for j in keys] and len(keys) == min(7, tokens)
        if not len(known):
            assert found.flow is None
            continue
        flow = oracle.sentence_flow(pattern, of_sentence, window)
        np.testing.assert_allclose(found.flow[head], as_array(flow), atol=1e-6, equal_nan=True)
        scores, kurtosis = oracle.receiver(flow)
        np.testing.assert_allclose(found.scores[head], as_array([scores])[0], atol=1e-6, equal_nan=True)
        if kurtosis is None:
            assert torch.isnan(found.kurtosis[head])
            continue
        assert float(found.kurtosis[head]) == pytest.approx(kurtosis, rel=1e-3, abs=1e-3)
        assert kurtosis == pytest.approx(stats.kurtosis([s for s in scores if s is not None]), abs=1e-9)


@pytest.mark.parametrize("window", [None, 1, 5, 100, Chunk(1), Chunk(7), Chunk(100)], ids=str)
def test_rows_and_pairs_that_see_each_other_are_counted(window):
    sentences = numbers(41, first=3)
    known = np.unique(sentences[sentences >= 0])
    assert rows_that_see(41, window).tolist() == oracle.received(np.zeros((41, 41)), window)[1]
    found = ReceivedRows.of(sentences, 1, 1, 1).visible_pairs(window)
    for a, query in enumerate(known):
        for b, key in enumerate(known):
            pairs = [
                (i, j)
                for i in np.flatnonzero(sentences == query)
                for j in np.flatnonzero(sentences == key)
                if j in oracle.visible_keys(i, window)
            ]
            assert found[a, b] == len(pairs)


def planted(num_tokens, sentence_length, receiving, weight):
    """Return queries and keys of three heads: one on a sentence's tokens, one on the first token, one alike on all."""
    query, key = torch.zeros(3, num_tokens, num_tokens), torch.eye(num_tokens)[None].repeat(3, 1, 1)
    first = receiving * sentence_length
    query[0, first + sentence_length :, first : first + sentence_length] = weight
    query[1, :, 0] = 60.0
    return query, key


@both_ways
def test_a_receiver_head_and_a_sink_are_found_with_their_values_and_an_even_head_is_neither(way):
    """Of 12 sentences of 5 tokens, the third gets all of a head: each of its tokens a fifth of every later row."""
    num_tokens, length = 60, 5
    query, key = planted(num_tokens, length, receiving=2, weight=60.0)
    sample, sentences = encoded(num_tokens, seed=0), (np.arange(num_tokens) // length).astype(np.int32)
    layout = asked(sample, top=5, min_rows=20, sentences=sentences, heads=2)
    _, statistics = WAYS[way](query, key, key, Masking(1.0), layout, 0)
    found = statistics.received
    assert set(found.keys[0].tolist()) == set(range(10, 15)) and found.keys[1, 0] == 0
    own = sum(1 / (i + 1) for i in range(10, 15))  # rows of the sentence itself look everywhere alike
    assert float(found.values[0].sum()) == pytest.approx(
        sum((45 / 5 + sum(1 / (i + 1) for i in range(j, 15))) / (num_tokens - j) for j in range(10, 15)), rel=1e-5
    )
    assert float(found.sink[1]) == pytest.approx(1, abs=1e-6) and own > 0
    scores = found.scores[0].nan_to_num(-1).tolist()
    assert scores[2] == pytest.approx(1 / 5, abs=1e-6)
    assert scores[8:] == [-1] * 4 and max(scores[3:8]) < 1e-6
    # One of 8 receives: the kurtosis of a single outlier, up to what the first two sentences get from the rest.
    assert float(found.kurtosis[0]) == pytest.approx(stats.kurtosis([0, 0, 1, 0, 0, 0, 0, 0]), abs=1e-3)
    pool = ReceiverPool(2)
    pooled = pool.add(0, found)
    receivers = pool.receivers()
    assert pooled.flow is None and pooled.scores is None and set(receivers.places.tolist()) == {0, 1}
    assert receivers.scores.shape == (2, 12)
    # The null: a head that looks everywhere alike has no receiver, a sink score of the harmonic mean alone.
    assert float(found.sink[2]) == pytest.approx(np.mean([1 / (i + 1) for i in range(num_tokens)]), abs=1e-6)
    assert float(found.kurtosis[2]) < 0.5


def test_equal_sentences_and_too_few_have_no_kurtosis():
    flow = torch.full((2, 12, 12), 0.25).tril()
    scores = torch.full((2, 12), 0.25, dtype=torch.float64)
    is_known = torch.arange(12) < 8
    assert torch.isnan(_kurtosis(scores, is_known)).all()
    scores[:, 0] = 0.5
    assert not torch.isnan(_kurtosis(scores, is_known)).any()
    assert torch.isnan(_kurtosis(scores, torch.arange(12) < 3)).all() and flow.shape[0] == 2


def test_the_last_keys_are_named_only_where_they_may_be():
    """They receive from themselves and their neighbours alone, and would stand at the top."""
    sample = encoded(60, seed=0)
    zeros = torch.zeros(1, 60, 8)
    for min_rows, window, expected in ((1, None, 0), (20, None, 0), (20, 5, 0), (200, None, 0)):
        layout = asked(sample, top=60, min_rows=min_rows)
        _, found = WAYS["blocked"](zeros, zeros, zeros, Masking(1.0, window), layout, expected)
        seen = rows_that_see(60, window)
        named = found.received.keys[found.received.values >= 0].tolist()
        assert sorted(named) == np.flatnonzero(seen >= min(min_rows, seen.max())).tolist()


def test_a_text_of_too_many_sentences_has_none_of_their_rows():
    sentences = np.arange(MOST_SENTENCES + 1, dtype=np.int32)
    assert len(ReceivedRows.of(sentences, 1, 1, 1).numbers) == 0
    assert len(ReceivedRows.of(sentences[1:], 1, 1, 1).numbers) == MOST_SENTENCES


@pytest.mark.parametrize("number", [1, 3, 50])
def test_a_pool_keeps_the_heads_of_the_largest_kurtosis_whatever_the_layer(number):
    generator = torch.Generator().manual_seed(3)
    layers = [torch.randn(4, generator=generator) for _ in range(5)]
    layers[2][1] = torch.nan
    pool, flows = ReceiverPool(number), []
    for place, kurtosis in enumerate(layers):
        flow = torch.rand((4, 6, 6), generator=generator)
        flows.append(flow)
        found = Received(*(torch.zeros(4),) * 4, kurtosis, flow[:, 0], flow)
        pool.add(place, found)
    receivers, every = pool.receivers(), torch.cat(layers).nan_to_num(-torch.inf)
    expected = every.sort(descending=True, stable=True).indices[:number]
    assert receivers.places.tolist() == expected.tolist()
    stacked = torch.cat(flows)
    torch.testing.assert_close(receivers.flow, stacked.mean(dim=0))
    inside = expected[every[expected] > -torch.inf]
    torch.testing.assert_close(receivers.receiver_flow, stacked[inside].mean(dim=0))


def with_sentences(sample, kind):
    sentences = numbers(sample.num_tokens, length=2)
    segments = sample.segments.copy()
    if kind == "thinking":
        segments[sample.num_prompt_tokens :] = SEGMENTS.index("thinking")
    return replace(sample, sentences=sentences, segments=segments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attention", ["auto", "blocked"])
@pytest.mark.parametrize("kind", ["qwen2", "gpt_oss", "bloom", "mpt", "llama4_text"])
def test_tables_of_packed_samples_equal_the_models_own_patterns(kind, attention):
    """Grouped queries, sinks, windows, biases and chunks."""
    model, planned = tiny_model(kind), [with_sentences(sample, "thinking") for sample in samples(VOCABULARY)]
    settings = {"top": 4, "min_rows": 3, "heads": 3}
    _, tables = measured(model, planned, attention, received=settings)
    own = double(tiny_model(kind))
    sample = planned[0]
    _, patterns = own_patterns(own, sample)
    inside = np.where(np.arange(sample.num_tokens) >= sample.num_prompt_tokens, sample.sentences, -1)
    of_sentence = [np.flatnonzero(inside == number) for number in np.unique(inside[inside >= 0])]
    heads = tables["received_heads"].filter(sample_id=sample.sample_id)
    keys = tables["received_keys"].filter(sample_id=sample.sample_id)
    found = {}
    for row in heads.iter_rows(named=True):
        layer, head = row["layer"], row["head"]
        pattern = patterns[layer][head]
        window = windows(pattern)
        values, seen = oracle.received(pattern, window)
        assert row["sink_score"] == pytest.approx(values[0], abs=5e-5)
        for key in keys.filter(layer=layer, head=head).iter_rows(named=True):
            assert key["received"] == pytest.approx(values[key["key_position"]], abs=5e-5)
            assert key["num_rows"] == seen[key["key_position"]] >= min(3, max(seen))
        scores, kurtosis = oracle.receiver(oracle.sentence_flow(pattern, of_sentence, window))
        assert (row["receiver_kurtosis"] is None) == (kurtosis is None)
        assert kurtosis is None or row["receiver_kurtosis"] == pytest.approx(kurtosis, rel=2e-2, abs=2e-2)
        found[layer, head] = scores
    best = heads.drop_nulls("receiver_kurtosis").sort("receiver_kurtosis", descending=True).head(3)
    ranked = heads.drop_nulls("receiver_rank").sort("receiver_rank")
    assert ranked.height == 3 and ranked["receiver_kurtosis"].to_list() == best["receiver_kurtosis"].to_list()
    sentences = tables["receiver_sentences"].filter(sample_id=sample.sample_id)
    known = np.unique(inside[inside >= 0]).tolist()
    for row in sentences.iter_rows(named=True):
        expected = found[row["layer"], row["head"]][known.index(row["sentence"])]
        assert row["received"] == pytest.approx(expected, abs=5e-5)
    flow = tables["sentence_flow"].filter(sample_id=sample.sample_id)
    assert (flow["query_sentence"] >= flow["key_sentence"]).all() and set(flow["key_sentence"]) <= set(known)


def windows(pattern):
    """Return the window that a whole pattern shows: the widest reach of a row, None where it is everything."""
    first = [int(np.flatnonzero(row > 0)[0]) for row in pattern]
    if not any(first):
        return None
    chunk = next((at for at, key in enumerate(first) if key == at and at), None)
    return Chunk(chunk) if chunk is not None else max(i - key + 1 for i, key in enumerate(first))


@pytest.mark.filterwarnings("ignore")
def test_sentences_of_the_prompt_of_none_and_of_a_sample_without_any():
    model, planned = tiny_model("qwen2"), [with_sentences(sample, "prompt") for sample in samples(VOCABULARY)]
    _, tables = measured(model, planned, received={"sentences": "prompt"})
    sample = planned[0]
    known = set(sample.sentences[: sample.num_prompt_tokens].tolist()) - {-1}
    assert set(tables["sentence_flow"].filter(sample_id=sample.sample_id)["query_sentence"]) == known
    for settings in ({"sentences": None}, True):
        _, tables = measured(model, planned, received=settings)
        assert "sentence_flow" not in tables and tables["received_heads"]["receiver_kurtosis"].null_count() > 0
        assert tables["received_keys"].height
    _, tables = measured(model, planned)
    assert "received_heads" not in tables
