"""Attributions by key against float64 loops: each key's value alone through the model's own projection and norms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from engine.attention.masking import Chunk, KeyBias, Masking
from engine.attention.patterns import row_weights
from engine.causal.attribution import direct_attribution
from engine.config import Config
from engine.encoded_samples import ContrastRule, LabelToken, StatementSpan
from engine.interventions.unchanged_run import trace
from engine.measuring.measurer import Measurer
from engine.measuring.tables.attributions import SPAN_STEP
from engine.model.decoder import Decoder
from engine.tolerances import tolerance
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
    "falcon",
    "bloom",
    "mpt",
    "cohere",
    "olmo2",
    "granite",
    "granitemoehybrid",
    "aya_vision",
    "nemotron",
    "phi",
    "llama4_text",
)
"""GQA, mixtures of experts, latent attention, sinks, norms behind, ALiBi, other norms, parallel parts, chunks."""

GATED_OR_HYBRID = ("qwen3_next", "bitnet", "afmoe", "lfm2", "jamba", "qwen3_5_text")


def attributed(model, planned, **statistics):
    config = Config.model_validate(
        {
            "predictions": {"path": "none"},
            "model": {"path": "tiny", "device": "cpu"},
            "statistics": statistics,
        }
    )
    result = Measurer(model, config).forward_passes([planned], list(planned[0].key_groups))()
    return result.facts, {name: pl.from_arrow(table) for name, table in result.tables.items()}


@pytest.mark.parametrize(
    ("window", "softcap", "row"),
    [(None, None, 40), (7, None, 40), (7, 4.0, 3), (Chunk(9), None, 30), (None, 4.0, 0)],
    ids=["all", "window", "capped", "chunk", "first"],
)
def test_a_row_weighs_keys_as_its_pattern_does(window, softcap, row):
    query, key, _ = tensors(4, 2, 41, 8, seed=5)
    found = row_weights(query, key, row, Masking(8**-0.5, window, softcap))
    for head in range(4):
        pattern = oracle.pattern(query[head], key[head // 2], 8**-0.5, window, softcap)
        np.testing.assert_allclose(found[head], pattern[row, : row + 1], atol=tolerance("weight").atol)


@pytest.mark.parametrize("kind", ["sinks", "biases"])
def test_sinks_take_their_share_and_biases_count(kind):
    query, key, _ = tensors(4, 2, 30, 8, seed=6)
    sinks, slopes = torch.tensor([0.5, -1.0, 2.0, 0.0]), torch.tensor([0.1, 0.2, 0.4, 0.8])
    bias = KeyBias(lambda number: slopes[:, None] * torch.arange(number))
    masking = Masking(8**-0.5, sinks=sinks) if kind == "sinks" else Masking(8**-0.5, key_bias=bias)
    found = row_weights(query, key, 20, masking)
    for head in range(4):
        scores = (query[head, 20].double() @ key[head // 2, :21].double().T) * 8**-0.5
        if kind == "biases":
            expected = torch.softmax(scores + slopes[head] * torch.arange(21), 0)
        else:
            expected = torch.softmax(torch.cat((scores, sinks[head, None].double())), 0)[:-1]
        np.testing.assert_allclose(found[head], expected, atol=tolerance("weight").atol)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_keys_sum_to_the_heads_own_attribution(kind):
    """Over a partition of the keys, and equal to what causal.attribution finds in a run of its own."""
    model, planned = tiny_model(kind), samples(VOCABULARY)
    facts, tables = attributed(model, planned)
    assert facts["num_attributed"] == len(planned) and not facts["why_unattributed"]
    for sample in planned:
        rows = tables["head_attributions"].filter(sample_id=sample.sample_id)
        decoder = Decoder(model, allows_headless=True)
        decoder.applies_logit_scale = kind != "aya_vision"
        ids = torch.from_numpy(sample.input_ids.astype(np.int64))
        direct = direct_attribution(decoder, trace(decoder, ids, sample.decision_position, sample.contrast_token_ids))
        allowed = tolerance("attribution sum")
        bound = allowed.atol + allowed.rtol * direct.scale()
        heads = rows["dla"].to_numpy().reshape(direct.heads.shape)
        assert np.abs(heads - direct.heads.numpy()).max() <= bound
        assert (rows["dla"] - rows["attribution_all_keys"]).abs().max() <= bound
        assert rows["attribution_none"].abs().max() == 0
        assert rows["dla"].abs().max() > 100 * bound


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["aya_vision", "cohere2_vision"])
def test_tokens_that_are_nearly_tied_do_not_hide_which_scale_logits_have(kind):
    model, (sample, *_) = tiny_model(kind).bfloat16(), samples(VOCABULARY)
    with torch.no_grad():
        logits = model(torch.from_numpy(sample.input_ids.astype(np.int64))[None]).logits[0, sample.decision_position]
    likeliest = logits.float().sort(descending=True)
    place = int((likeliest.values[:-1] - likeliest.values[1:]).argmin())
    tied = replace(sample, contrast_token_ids=tuple(likeliest.indices[place : place + 2].tolist()))
    _, found = attributed(model, [tied])
    _, exact = attributed(model.float(), [tied])
    dla, wanted = (tables["head_attributions"]["dla"].to_numpy() for tables in (found, exact))
    assert np.abs(dla - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", GATED_OR_HYBRID)
def test_gated_and_hybrid_models_are_attributed_too(kind):
    planned = samples(VOCABULARY)
    facts, tables = attributed(tiny_model(kind), planned)
    assert facts["num_attributed"] == len(planned)
    rows = tables["head_attributions"]
    assert (rows["dla"] - rows["attribution_all_keys"]).abs().max() <= 1e-6 and rows["dla"].abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["qwen2", "mixtral"])
def test_each_key_equals_its_value_alone_in_float64(kind):
    """The oracle: A_dj (W_O^h v_j) . w by loops over patterns and values of the model in float64."""
    model, planned = tiny_model(kind), samples(VOCABULARY)[:1]
    own, sample = double(tiny_model(kind)), planned[0]
    _, tables = attributed(model, planned, attribution={"top_tokens": 1000}, contribution=True)
    _, patterns = own_patterns(own, sample)
    row, ids = sample.decision_position, torch.from_numpy(sample.input_ids.astype(np.int64))[None]
    values, final = {}, []
    hooks = [own.model.norm.register_forward_pre_hook(lambda _, args: final.append(args[0][0, row]))]
    for layer, module in enumerate(own.model.layers):
        keep = lambda _m, _a, out, layer=layer: values.update({layer: out[0]})  # noqa: E731
        hooks.append(module.self_attn.v_proj.register_forward_hook(keep))
    with torch.no_grad():
        own(ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    first, second = sample.contrast_token_ids
    rms = (final[0].square().mean() + own.config.rms_norm_eps).sqrt()
    direction = own.model.norm.weight * (own.lm_head.weight[first] - own.lm_head.weight[second]) / rms
    num_heads, dim = own.config.num_attention_heads, own.model.layers[0].self_attn.head_dim
    for layer, module in enumerate(own.model.layers):
        blocks = module.self_attn.o_proj.weight.detach().unflatten(1, (num_heads, dim))
        by_group = values[layer].unflatten(1, (-1, dim))
        for head in range(num_heads):
            value = by_group[:, head // (num_heads // by_group.shape[1])]
            carried = (value @ blocks[:, head].T @ direction.detach()).numpy()[: row + 1]
            expected = patterns[layer][head, row, : row + 1] * carried
            found = tables["top_token_attributions"].filter(layer=layer, head=head)
            keys = found["key_position"].to_numpy()
            assert not expected[np.setdiff1d(np.arange(row + 1), keys)].any() and len(set(keys)) == len(keys) > 10
            np.testing.assert_allclose(found["attribution"].to_numpy(), expected[keys], atol=1e-6)
            positive = found.filter(pl.col("attribution") > 0).sort("rank")["attribution"].to_list()
            assert positive == sorted(positive, reverse=True)
            some = expected[sample.key_groups["some"][sample.key_groups["some"] <= row]].sum()
            whole = tables["head_attributions"].filter(layer=layer, head=head)
            assert whole["attribution_some"].item() == pytest.approx(some, abs=1e-6)
            parts = patterns[layer][head, row, : row + 1, None] * (value[: row + 1] @ blocks[:, head].T).numpy()
            output = parts.sum(axis=0)
            shares = parts @ output / (output @ output)
            assert whole["contribution_all_keys"].item() == pytest.approx(1, abs=1e-5)
            inside = sample.key_groups["some"][sample.key_groups["some"] <= row]
            assert whole["contribution_some"].item() == pytest.approx(shares[inside].sum(), abs=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["qwen2", "gemma2"])
def test_half_precision_sums_within_its_tolerance(kind, dtype):
    planned = samples(VOCABULARY)
    facts, tables = attributed(tiny_model(kind).to(dtype), planned)
    assert facts["num_attributed"] == len(planned)
    _, exact = attributed(tiny_model(kind), planned)
    gap = (tables["head_attributions"]["dla"] - exact["head_attributions"]["dla"]).abs()
    assert gap.max() < 0.05 * exact["head_attributions"]["dla"].abs().max()


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_around_the_projection_counts():
    from peft import LoraConfig, inject_adapter_in_model

    model, planned = tiny_model("qwen2"), samples(VOCABULARY)
    _, without = attributed(model, planned)
    torch.manual_seed(1)
    adapter = LoraConfig(r=2, target_modules=["o_proj", "v_proj"], init_lora_weights=False)
    model = inject_adapter_in_model(adapter, model).eval()
    facts, tables = attributed(model, planned)
    assert facts["num_attributed"] == len(planned)
    rows = tables["head_attributions"]
    assert (rows["dla"] - rows["attribution_all_keys"]).abs().max() <= 1e-5
    assert (rows["dla"] - without["head_attributions"]["dla"]).abs().max() > 1e-3
    for sample in planned:
        ids, decoder = torch.from_numpy(sample.input_ids.astype(np.int64)), Decoder(model)
        direct = direct_attribution(decoder, trace(decoder, ids, sample.decision_position, sample.contrast_token_ids))
        mine = rows.filter(sample_id=sample.sample_id)["dla"].to_numpy().reshape(direct.heads.shape)
        np.testing.assert_allclose(mine, direct.heads.numpy(), atol=2e-5)


@pytest.mark.filterwarnings("ignore")
def test_packing_and_spans_change_nothing_else():
    """A sample alone and in a row of three; its spans are sums of its keys, cells those of both."""
    model = tiny_model("qwen2")
    item, period = np.arange(3, 20, dtype=np.int32), np.arange(10, 31, dtype=np.int32)
    spans = (StatementSpan("line_item", "Net income", item), StatementSpan("period", "2020", period))
    planned = [
        replace(
            sample,
            key_groups=sample.key_groups | {"prior_period": period[period < sample.num_tokens]},
            spans=spans if index == 0 else (),
        )
        for index, sample in enumerate(samples(VOCABULARY))
    ]
    _, together = attributed(model, planned, attribution={"top_tokens": 1000})
    _, alone = attributed(model, planned[:1], attribution={"top_tokens": 1000})
    for name in ("head_attributions", "span_attributions"):
        mine = together[name].filter(sample_id="s0")
        for column in (name for name in mine.columns if mine[name].dtype == pl.Float32):
            np.testing.assert_allclose(mine[column], alone[name][column], atol=SPAN_STEP + 2e-6)
    found = alone["span_attributions"]
    assert set(zip(found["kind"], found["span"], found["period"], strict=True)) == {
        ("line_item", "Net income", None),
        ("period", "2020", None),
        ("cell", "Net income", "prior_period"),
    }
    keys = alone["top_token_attributions"]
    for kind, positions in (("line_item", item), ("period", period), ("cell", np.intersect1d(item, period))):
        inside = keys.filter(pl.col("key_position").is_in(positions.tolist())).group_by("layer", "head")
        sums = inside.agg(expected=pl.col("attribution").sum())
        joined = found.filter(kind=kind).join(sums, on=["layer", "head"], how="left").fill_null(0)
        np.testing.assert_allclose(joined["attribution"], joined["expected"], atol=SPAN_STEP / 2 + 2e-6)
        assert joined["attribution"].abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore")
def test_the_contrast_that_the_logits_choose_is_the_one_that_is_attributed():
    """Rules: the runner-up, and labels that part at another row than the decision."""
    model, planned = tiny_model("qwen2"), samples(VOCABULARY)[:1]
    sample = planned[0]
    row, said = sample.decision_position, sample.decision_token_id
    runner = replace(sample, contrast=ContrastRule("said_vs_runner_up", "x"))
    later = LabelToken("b", row + 1, 9)
    labels = (LabelToken("a", row, said), LabelToken("c", row, 11), later)
    best = replace(sample, contrast=ContrastRule("said_vs_best_other", "a"), label_tokens=labels)
    for asked in (runner, best, replace(best, label_tokens=(labels[0], later))):
        _, tables = attributed(model, [asked])
        told = tables["samples"].row(0, named=True)
        at = told["contrast_position"]
        logits = model(torch.from_numpy(sample.input_ids.astype(np.int64))[None]).logits[0, at].detach()
        first = int(sample.input_ids[at + 1])
        others = {"b": 9, "c": 11}
        second = others.get(told["contrast"].partition("|")[2])
        if second is None:
            second = int(logits.index_fill(0, torch.tensor([first]), -torch.inf).argmax())
        decoder = Decoder(model)
        ids = torch.from_numpy(sample.input_ids.astype(np.int64))
        direct = direct_attribution(decoder, trace(decoder, ids, at, (first, second)))
        found = tables["head_attributions"]["dla"].to_numpy().reshape(direct.heads.shape)
        np.testing.assert_allclose(found, direct.heads.numpy(), atol=2e-6)


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_known_is_left_out_and_said():
    planned = samples(VOCABULARY)
    facts, tables = attributed(tiny_model("opt"), planned)
    assert "head_attributions" not in tables and tables["samples"].height == 3
    assert "not known" in facts["why_unattributed"] and facts["num_attributed"] == 0
    for kind in ("hy_v4", "gemma3n_text"):
        facts, tables = attributed(tiny_model(kind), planned)
        assert "head_attributions" not in tables and tables["samples"].height == 3
        assert "several residual streams" in facts["why_unattributed"] and facts["num_attributed"] == 0
    facts, tables = attributed(tiny_model("qwen2"), planned, attribution=False)
    assert "head_attributions" not in tables and not facts["why_unattributed"]
    shared = [replace(sample, contrast_token_ids=(5, 5)) for sample in planned]
    facts, tables = attributed(tiny_model("qwen2"), shared)
    assert "head_attributions" not in tables and facts["num_attributed"] == 0


@pytest.mark.filterwarnings("ignore")
def test_parts_that_do_not_sum_give_no_attribution():
    """A model that adds something of its own behind the MLP is measured, and not attributed."""
    model = tiny_model("qwen2")
    model.model.layers[0].register_forward_hook(lambda _m, _a, output: output + 0.5)
    facts, tables = attributed(model, samples(VOCABULARY))
    assert facts["num_attributed"] == 0 and tables["samples"].height == 3
    assert "do not add up to the margin" in facts["why_unattributed"]
