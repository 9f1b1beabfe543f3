"""What must hold for any input, by hypothesis."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.attention.layout import INDEX, NUM_BASE, sequence_layout
from engine.attention.masking import Masking
from engine.config import Config
from engine.encoding.structure import positions_in_spans
from engine.encoding.vocabulary import term_pattern
from engine.errors import InputError
from engine.inputs.predictions import read_predictions
from engine.measuring.tables.baselines import baselines
from engine.planning.units import iter_units, pack
from tests.fixtures.predictions import record
from tests.oracles.test_statistics import encoded, tensors
from tests.oracles.ways import WAYS, both_ways

shapes = st.tuples(st.integers(1, 70), st.integers(0, 1000), st.sampled_from([(4, 2), (2, 2), (3, 1)]))


@both_ways
@settings(max_examples=40, deadline=None)
@given(shapes, st.none() | st.integers(1, 80), st.floats(0.1, 12))
def test_ranges_and_partitions(way, shape, window, scale):
    num_tokens, seed, (heads, kv) = shape
    sample = encoded(num_tokens, seed)
    everything = np.arange(num_tokens, dtype=np.int32)
    sample.key_groups["rest"] = np.setdiff1d(everything, sample.key_groups["some"]).astype(np.int32)
    query, key, value = tensors(heads, kv, num_tokens, 8, seed, scale)
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    _, found = WAYS[way](query, key, value, Masking(8**-0.5, window), layout, 0)
    means = found.means
    names = list(sample.key_groups)
    some, none, all_keys, rest = (means[..., NUM_BASE + names.index(n)] for n in ("some", "none", "all_keys", "rest"))
    for group in (0, 1, 2):
        if torch.isnan(all_keys[0, group]):
            continue
        torch.testing.assert_close(all_keys[:, group], torch.ones(heads), rtol=0, atol=1e-5)
        torch.testing.assert_close((some + rest)[:, group], torch.ones(heads), rtol=0, atol=1e-5)
        assert (none[:, group] == 0).all()
        entropy, collision = means[:, group, INDEX["entropy_nats"]], means[:, group, INDEX["collision"]]
        assert (entropy >= 0).all() and (entropy <= math.log(num_tokens) + 1e-5).all()
        assert (collision >= 1 / num_tokens - 1e-6).all() and (collision <= 1 + 1e-6).all()
        assert (means[:, group, INDEX["max_weight"]] >= collision - 1e-5).all()
    assert found.decision_pattern.sum(-1).allclose(torch.ones(heads), atol=1e-5)
    assert (found.decision_pattern[:, sample.decision_position + 1 :] == 0).all()


@both_ways
@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(0, 1000))
def test_the_mean_of_a_group_is_the_weighted_mean_of_its_parts(way, num_tokens, seed):
    sample = encoded(num_tokens, seed)
    half = num_tokens // 2
    groups = sample.query_groups
    groups["first_half"], groups["second_half"] = (
        np.arange(half, dtype=np.int32),
        np.arange(half, num_tokens, dtype=np.int32),
    )
    query, key, value = tensors(2, 1, num_tokens, 8, seed)
    _, found = WAYS[way](query, key, value, Masking(8**-0.5), sequence_layout(sample, 0, torch.device("cpu")), 0)
    names = list(groups)
    whole, first, second = (found.means[:, names.index(n)] for n in ("all", "first_half", "second_half"))
    for index in (INDEX["entropy_nats"], INDEX["diagonal"], INDEX["collision"], NUM_BASE):
        expected = (first[:, index] * half + second[:, index] * (num_tokens - half)) / num_tokens
        torch.testing.assert_close(whole[:, index], expected, rtol=1e-5, atol=1e-6)


@both_ways
@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(0, 1000), st.none() | st.integers(1, 70))
def test_uniform_attention_has_the_baselines_as_masses(way, num_tokens, seed, window):
    sample = encoded(num_tokens, seed)
    query, key, value = tensors(1, 1, num_tokens, 8, seed)
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    _, found = WAYS[way](query * 0, key, value, Masking(8**-0.5, window), layout, 0)
    expected = torch.from_numpy(baselines(sample, window)).float()
    torch.testing.assert_close(found.means[0, :, NUM_BASE:], expected[:, :-2], rtol=0, atol=1e-6, equal_nan=True)
    for column, name in ((-2, "duplicate_token"), (-1, "induction")):
        torch.testing.assert_close(
            found.means[0, :, INDEX[name]], expected[:, column], rtol=0, atol=1e-6, equal_nan=True
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(1, 120), st.integers(1, 9))
def test_units_and_batches_hold_every_sample_once(lengths, budget, per_shard):
    samples = [encoded(length, index) for index, length in enumerate(lengths)]
    units = list(iter_units(samples, per_shard, budget))
    flat = [id(sample) for unit in units for batch in unit.batches for sample in batch]
    assert sorted(flat) == sorted(map(id, samples))
    for unit in units:
        assert sum(map(len, unit.batches)) <= per_shard
        for batch in unit.batches:
            assert len(batch) == 1 or sum(sample.num_tokens for sample in batch) <= budget
    assert [[s.num_tokens for s in b] for b in pack(samples, budget)] == [
        [s.num_tokens for s in b] for b in pack(samples, budget)
    ]


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6))
def test_span_positions_are_exactly_the_overlapping_tokens(text, spans):
    cuts = sorted({0, len(text), *range(0, len(text), 3)})
    starts, ends = np.array(cuts[:-1], np.int32), np.array(cuts[1:], np.int32)
    found = set(positions_in_spans(spans, starts, ends).tolist())
    slow = {i for i, (s, e) in enumerate(zip(starts, ends, strict=True)) for a, b in spans if a < b and s < b and e > a}
    assert found == slow


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="abcup gropnetincome .,\n", max_size=80))
def test_terms_match_whole_words_only(text):
    for match in term_pattern(["up", "net income"]).finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        assert not (before.isalnum() or after.isalnum())


answers = st.text(max_size=200) | st.sampled_from(
    ['{"direction_of_eps_change": "', "```json", "Increase", '"direction_of_eps_change": "Decrease"}', "\nassistant\n"]
)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(answers, max_size=5).map("".join), st.none() | st.text(max_size=12)), min_size=1, max_size=4
    )
)
def test_fuzzed_answers_never_crash_and_never_vanish(tmp_path_factory, rows):
    made = []
    for index, (text, predicted) in enumerate(rows):
        row = record(0, random.Random(0), "increase")
        head = row["full_model_response"].partition("\nassistant\n")[0]
        made.append(
            {
                **row,
                "year": index,
                "predicted_direction": predicted,
                "full_model_response": f"{head}\nassistant\n{text}",
            }
        )
    path = tmp_path_factory.mktemp("fuzz") / "p.json"
    path.write_text(json.dumps(made))
    config = Config.model_validate({"predictions": {"path": str(path)}, "model": {"path": "m"}})
    try:
        found = read_predictions(config)
    except InputError as error:
        assert f"none of {len(rows)} row(s)" in str(error)
        return
    ids = [s.sample_id for s in found.samples] + [r.sample_id for r in found.rejects]
    assert sorted(ids) == sorted(f"1000-{index}" for index in range(len(rows)))
    for sample in found.samples:
        word = sample.response[sample.label_start : sample.label_end].lower()
        assert word in {"increase", "increases", "increased", "decrease", "decreases", "decreased"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(list(record(0, random.Random(0), "increase")))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.dictionaries(fields, values, max_size=4), min_size=1, max_size=5),
    st.sampled_from(["transcript", "fields", "messages"]),
)
def test_fuzzed_fields_never_crash_and_never_vanish(tmp_path_factory, changes, source):
    """Whatever any field holds, a row becomes a sample or a reject, or the file is refused in words."""
    made = [
        {
            **record(0, random.Random(0), "increase"),
            "prompt": "?",
            "response": "increase",
            "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "increase"}],
            "id": index,
            **change,
        }
        for index, change in enumerate(changes)
    ]
    path = tmp_path_factory.mktemp("fuzz") / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, made)))
    config = Config.model_validate(
        {"predictions": {"path": str(path)}, "model": {"path": "m"}, "prompt": {"source": source}}
    )
    try:
        found = read_predictions(config)
    except InputError as error:
        assert str(path) in str(error)
        return
    ids = [s.sample_id for s in found.samples] + [r.sample_id for r in found.rejects]
    assert len(ids) == len(set(ids)) == found.num_rows == len(made)
