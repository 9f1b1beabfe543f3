"""Retrieval and copy scores against float64 loops: over a model's own patterns, and over the whole vocabulary."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from engine.attention.masking import Chunk, KeyBias, Masking
from engine.attention.readers import strongest_keys as module
from engine.attention.readers.strongest_keys import strongest_keys
from engine.config import Config
from engine.measuring.fetching.copying import LinearPart
from engine.measuring.measurer import Measurer
from engine.model.decoder import Decoder
from engine.model.frozen_norms import frozen_norm
from tests.fixtures.family_judgement import double, own_patterns, samples
from tests.fixtures.tiny_models import VOCABULARY, tiny_model
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import tensors

KINDS = (
    "qwen2",
    "gpt2",
    "mixtral",
    "deepseek_v3",
    "gpt_oss",
    "gemma2",
    "bloom",
    "olmo2",
    "cohere",
    "llama4_text",
    "lfm2",
)
"""GQA, experts, latent attention, sinks, norms behind, ALiBi, LayerNorm, chunks, layers without heads."""

NORMS_BEHIND = {"gemma2": "post_attention_layernorm", "olmo2": "post_attention_layernorm"}


def retrieved(model, planned, attention="auto", **statistics):
    config = Config.model_validate(
        {
            "predictions": {"path": "none"},
            "model": {"path": "tiny", "device": "cpu", "attention": attention},
            "statistics": {"retrieval": True, "attribution": False, **statistics},
        }
    )
    result = Measurer(model, config).forward_passes([planned], list(planned[0].key_groups))()
    assert not result.rejects, result.rejects
    return result.facts, {name: pl.from_arrow(table) for name, table in result.tables.items()}


def with_evidence(sample, positions):
    groups = {**sample.key_groups, "evidence": np.array(positions, np.int32)}
    return replace(sample, key_groups=groups)


def expected_scores(pattern, sample, sources):
    """Return score and chance of one head by loops: largest weight, its token, the token that is written next."""
    ids, keys, following = sample.input_ids, [], []
    for position in range(sample.num_prompt_tokens, sample.num_tokens):
        row = pattern[position - 1]
        keys.append(max(range(position), key=lambda key: row[key]))
        following.append(int(ids[position]))
    hits = sum(key in sources and int(ids[key]) == token for key, token in zip(keys, following, strict=True))
    times = Counter(following)
    chance = sum(times[int(ids[key])] for key in keys if key in sources) / len(keys) ** 2
    return hits / len(keys), chance


@pytest.mark.parametrize(
    ("window", "softcap", "budget"),
    [(None, None, 2**19), (7, None, 300), (7, 4.0, 50), (Chunk(9), None, 300), (None, 4.0, 1)],
    ids=["all", "window", "capped", "chunk", "row by row"],
)
def test_the_largest_weight_is_that_of_the_pattern(window, softcap, budget, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", budget)
    query, key, _ = tensors(4, 2, 41, 8, seed=5)
    rows = torch.tensor([0, 3, 17, 18, 40])
    found = strongest_keys(query, key, rows, Masking(8**-0.5, window, softcap))
    for head in range(4):
        pattern = oracle.pattern(query[head], key[head // 2], 8**-0.5, window, softcap)
        assert found[head].tolist() == [int(np.argmax(pattern[row])) for row in rows.tolist()]


def test_of_equal_weights_the_first_counts_and_biases_do():
    query, key = torch.ones(2, 6, 4), torch.ones(1, 6, 4)
    rows = torch.arange(6)
    assert strongest_keys(query, key, rows, Masking(1.0)).tolist() == [[0] * 6] * 2
    assert strongest_keys(query, key, rows, Masking(1.0, 3)).tolist() == [[0, 0, 0, 1, 2, 3]] * 2
    bias = KeyBias(lambda number: torch.tensor([[1.0], [-1.0]]) * torch.arange(number))
    assert strongest_keys(query, key, rows, Masking(1.0, key_bias=bias)).tolist() == [[0, 1, 2, 3, 4, 5], [0] * 6]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_models_own_patterns(kind):
    model = tiny_model(kind)
    planned = [with_evidence(sample, [1, 2, 5, sample.num_tokens - 1]) for sample in samples(VOCABULARY)]
    facts, tables = retrieved(model, planned)
    own, compared = double(model), 0
    for sample in planned:
        _, patterns = own_patterns(own, sample)
        rows = tables["retrieval"].filter(sample_id=sample.sample_id)
        assert set(rows["layer"]) == set(patterns)
        in_prompt = set(range(sample.num_prompt_tokens))
        written = sample.input_ids[sample.num_prompt_tokens :]
        for row in rows.iter_rows(named=True):
            pattern = patterns[row["layer"]][row["head"]]
            for prefix, sources in (("", in_prompt), ("evidence_", in_prompt & {1, 2, 5})):
                score, chance = expected_scores(pattern, sample, sources)
                assert row[f"{prefix}retrieval"] == pytest.approx(score, abs=1e-6)
                assert row[f"{prefix}retrieval_chance"] == pytest.approx(chance, abs=1e-6)
                copyable = np.isin(written, sample.input_ids[sorted(sources)]).sum()
                assert row[f"num_{prefix}copyable"] == copyable >= score * len(written)
                compared += score > 0
            assert row["num_rows"] == len(written)
    assert not facts["why_uncopied"]
    assert compared > 0 or kind == "bloom"  # its heads look at what is near


@contextmanager
def values_watched(own, seen):
    """Keep the values that a model's own eager attention is handed, by layer."""
    home = next(sys.modules[type(part).__module__] for part in own.modules() if hasattr(part, "layer_idx"))
    attend = home.eager_attention_forward

    def watched(part, query, key, value, *arguments, **options):
        seen[part.layer_idx] = value[0]
        return attend(part, query, key, value, *arguments, **options)

    home.eager_attention_forward = watched
    try:
        yield
    finally:
        home.eager_attention_forward = attend


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["qwen2", "gpt2", "deepseek_v3", "gpt_oss", "gemma2", "olmo2", "cohere"])
def test_copy_scores_are_those_of_every_logit(kind):
    """The oracle: one value alone through the model's projection and norms, the logits of the whole vocabulary."""
    model, sample = tiny_model(kind), samples(VOCABULARY)[1]
    _, tables = retrieved(model, [sample])
    own, values = double(model), {}
    with torch.no_grad(), values_watched(own, values):
        own(torch.from_numpy(sample.input_ids.astype(np.int64))[None], use_cache=False)
    own_decoder = Decoder(own, allows_headless=True)
    row = torch.randn(own.get_output_embeddings().in_features).double()
    for layer, value in values.items():
        projection = own_decoder.projections[layer]
        behind = getattr(own_decoder.layers[layer], NORMS_BEHIND[kind]) if kind in NORMS_BEHIND else None
        with torch.no_grad():
            towards = torch.stack(
                [
                    frozen_norm(behind, row, frozen_norm(own_decoder.final_norm, row, token)[0])[0]
                    for token in own_decoder.head.weight.detach()
                ]
            )
        num_heads, dim = own_decoder.geometry.num_heads, value.shape[-1]
        for head in range(num_heads):
            scores = []
            for position in range(1, sample.num_prompt_tokens):
                given = torch.zeros(num_heads * dim, dtype=torch.float64)
                given[head * dim : (head + 1) * dim] = value[head // (num_heads // len(value)), position]
                with torch.no_grad():
                    written = projection(given[None])[0] - projection(torch.zeros_like(given)[None])[0]
                logits = towards @ written
                token = int(sample.input_ids[position])
                scores.append(float((logits[token] - logits.mean()) / logits.std(correction=0)))
            found = tables["retrieval"].filter(layer=layer, head=head)["copy_score"].item()
            assert found == pytest.approx(np.mean(scores), abs=2e-4)


@pytest.mark.parametrize("norm", ["identity", "rms", "layer"])
def test_a_norms_linear_part_is_the_norm_but_for_its_size(norm):
    torch.manual_seed(0)
    size, kinds = 12, {"identity": None, "rms": nn.RMSNorm(12), "layer": nn.LayerNorm(12)}
    given = kinds[norm]
    if given is not None:
        nn.init.normal_(given.weight)
        given = given.double().requires_grad_(False)
    part = LinearPart(given, size, torch.empty(0, dtype=torch.float64))
    vectors, directions = torch.randn(size, 5).double(), torch.randn(4, size).double()
    assert part.centres == (norm == "layer")
    expected = torch.stack([frozen_norm(given, vectors[:, 0], one)[0] for one in directions])
    found = part.of_directions(directions)
    ratio = (found * expected).sum() / (found * found).sum()
    torch.testing.assert_close(ratio * found, expected)
    torch.testing.assert_close(part.of_directions(directions) @ vectors, directions @ part.of_vectors(vectors))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["qwen3_next", "afmoe", "bitnet"])
def test_behind_gates_there_is_no_copy_score_and_it_is_said(kind):
    planned = samples(VOCABULARY)[1:]
    facts, tables = retrieved(tiny_model(kind), planned)
    assert tables["retrieval"]["copy_score"].null_count() == tables["retrieval"].height > 0
    assert "gate" in facts["why_uncopied"] and tables["retrieval"]["retrieval"].null_count() == 0


def test_an_unknown_gate_is_seen_in_a_forward(monkeypatch):
    model = tiny_model("qwen2")
    attention = model.model.layers[1].self_attn
    project = attention.o_proj
    attention.o_proj = nn.Sequential()
    attention.o_proj = project
    hook = project.register_forward_pre_hook(lambda _module, args: (args[0] * 0.5,), prepend=True)
    facts, tables = retrieved(model, samples(VOCABULARY)[1:2])
    hook.remove()
    assert facts["why_uncopied"].startswith("layer 1 changes its heads' outputs")
    assert tables["retrieval"]["copy_score"].null_count() == tables["retrieval"].height


@pytest.mark.parametrize("attention", ["blocked", "auto"])
def test_every_backend_has_the_same_scores_packed_or_alone(attention):
    model, planned = tiny_model("qwen2"), samples(VOCABULARY)
    _, together = retrieved(model, planned, attention)
    for sample in planned:
        _, alone = retrieved(tiny_model("qwen2"), [sample], "blocked")
        mine = together["retrieval"].filter(sample_id=sample.sample_id)
        for name in ("retrieval", "retrieval_chance"):
            assert mine[name].to_list() == alone["retrieval"][name].to_list()
        np.testing.assert_allclose(mine["copy_score"], alone["retrieval"]["copy_score"], atol=1e-4)
    off = Config.model_validate({"predictions": {"path": "none"}, "model": {"path": "tiny", "device": "cpu"}})
    result = Measurer(model, off).forward_passes([planned], list(planned[0].key_groups))()
    assert "retrieval" not in result.tables and result.facts["why_uncopied"] == ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "gpt2"])
def test_half_precision_has_nearly_the_same_copy_scores(kind):
    planned = samples(VOCABULARY)[1:]
    exact, half = (retrieved(tiny_model(kind).to(dtype), planned) for dtype in (torch.float32, torch.bfloat16))
    assert not half[0]["why_uncopied"]
    expected = exact[1]["retrieval"]["copy_score"].to_numpy()
    found = half[1]["retrieval"]["copy_score"].to_numpy()
    assert np.abs(found - expected).max() < 0.05 < np.abs(expected).max()


def test_a_sample_that_names_no_evidence_has_nulls_and_others_keep_theirs():
    first, second = samples(VOCABULARY)[1:]
    named = with_evidence(first, [1, 2])
    lacking = replace(with_evidence(second, []), unknown_groups=("evidence",))
    _, tables = retrieved(
        tiny_model("qwen2"), [named, lacking], norm_weighted=True, attribution=True, contribution=True
    )
    columns = {
        "head_stats": ("mass_evidence", "norm_mass_evidence"),
        "baselines": ("baseline_evidence",),
        "samples": ("count_evidence",),
        "retrieval": ("evidence_retrieval", "evidence_retrieval_chance", "num_evidence_copyable"),
        "head_attributions": ("attribution_evidence", "contribution_evidence"),
    }
    for table, names in columns.items():
        for name in names:
            known = tables[table].filter(sample_id=named.sample_id)
            if "query_group" in known.columns:
                known = known.filter(query_group="all")
            assert known[name].null_count() == 0 and known.height, name
            unknown = tables[table].filter(sample_id=lacking.sample_id)
            assert unknown[name].null_count() == unknown.height > 0, name
    assert tables["head_stats"].filter(query_group="all")["mass_some"].null_count() == 0


def test_a_random_vocabulary_has_no_copying_head():
    """Values that have nothing to do with the output head score 0 on average, as the score says of itself."""
    scores = [
        retrieved(tiny_model("qwen2", seed=seed), samples(VOCABULARY))[1]["retrieval"]["copy_score"].to_numpy()
        for seed in range(4)
    ]
    values = np.concatenate(scores)
    assert abs(values.mean()) < 0.15 and np.abs(values).max() < 1.5
