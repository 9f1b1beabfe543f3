"""The model is left as it was: after use, after exceptions, when nested; limits and refusals name their numbers."""

from __future__ import annotations

import pytest
import torch

from engine.errors import ConfigError, UserError
from engine.notebook import (
    AttentionHook,
    AttentionInterventions,
    FinancialAttentionAnalyzer,
    attention_gradients,
    quick_attention_analysis,
    trace_attention_flow,
)
from tests.fixtures.models import random_model

TEXT = "Net income increased from 3 to 5 while sales of the company fell."


def state(model):
    return (
        model.config._attn_implementation,
        [module.training for module in model.modules()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in model.modules()],
        [(name, p.requires_grad, p.grad, p.dtype) for name, p in model.named_parameters()],
        model.generation_config,
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )


def use_everything(model, tokenizer):
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    analyzer = quick_attention_analysis(model, tokenizer, TEXT)
    trace_attention_flow(analyzer, -1)
    with AttentionHook(model):
        model.generate(ids, max_new_tokens=2, do_sample=False)
    attention_gradients(model, ids, 5)
    AttentionInterventions(model, tokenizer).ablate_attention_head(1, 1, ids, max_new_tokens=2)


@pytest.mark.parametrize(
    ("kind", "implementation"),
    [("qwen2", "sdpa"), ("qwen2", "eager"), ("gpt2", "sdpa"), ("gpt2", "eager")],
)
def test_everything_restores_the_model(kind, implementation, tokenizer):
    model = random_model(kind, tokenizer, implementation)
    model.train()
    before = state(model)
    use_everything(model, tokenizer)
    assert state(model) == before
    with pytest.raises(ZeroDivisionError), AttentionHook(model), AttentionHook(model):
        raise ZeroDivisionError
    with pytest.raises(UserError, match="max_bytes"), AttentionHook(model, max_bytes=10):
        model(tokenizer(TEXT, return_tensors="pt").input_ids)
    assert state(model) == before


def test_flex_attention_is_observed_through_sdpa(tokenizer):
    """Without a forward of its own, which would compile for many seconds."""
    model = random_model("qwen2", tokenizer)
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    expected = quick_attention_analysis(model, tokenizer, TEXT).attention_weights["layer_0"]
    model.set_attn_implementation("flex_attention")
    with AttentionHook(model) as hook:
        model.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0)
    torch.testing.assert_close(hook.attention_weights["layer_0"], expected, atol=1e-5, rtol=0)
    found = quick_attention_analysis(model, tokenizer, TEXT).attention_weights["layer_0"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert model.config._attn_implementation == "flex_attention"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype, tokenizer):
    model = random_model("llama", tokenizer).to(dtype)
    plain = quick_attention_analysis(random_model("llama", tokenizer), tokenizer, TEXT)
    found = quick_attention_analysis(model, tokenizer, TEXT)
    difference = (found.head_stats["mass_financial"] - plain.head_stats["mass_financial"]).abs().max()
    assert difference < (1e-5 if dtype == torch.float64 else 3e-2)
    use_everything(model, tokenizer)
    assert model.dtype == dtype


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_what_the_model_computes_does_not_change_under_the_hook(pair, implementation):
    model, tokenizer = pair
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        with torch.no_grad():
            plain = model(ids).logits
            written = model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)
            with AttentionHook(model) as outer, AttentionHook(model, layers=[1]) as inner:
                assert torch.equal(model(ids).logits, plain)
                assert torch.equal(model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0), written)
        assert list(inner.attention_weights) == ["layer_1"]
        assert torch.equal(inner.attention_weights["layer_1"], outer.attention_weights["layer_1"])
        with pytest.raises(KeyError, match="kept are layer_1"):
            inner.attention_weights["layer_0"]
        assert model.config._attn_implementation == implementation
    finally:
        model.set_attn_implementation(before)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_patterns_are_those_of_eager_attention_in_padded_batches(kind, implementation, tokenizer):
    model = random_model(kind, tokenizer, "eager")
    texts = [tokenizer(text)["input_ids"] for text in (TEXT, "Sales fell")]
    longest = max(map(len, texts))
    ids = torch.tensor([[0] * (longest - len(own)) + own for own in texts])
    mask = torch.tensor([[0] * (longest - len(own)) + [1] * len(own) for own in texts])
    with torch.no_grad():
        expected = model(ids, attention_mask=mask, output_attentions=True).attentions
        model.set_attn_implementation(implementation)
        with AttentionHook(model) as hook:
            model(ids, attention_mask=mask)
    for layer, eager in enumerate(expected):
        found = hook.attention_weights[f"layer_{layer}"]
        real = mask[:, None, :, None].bool().expand_as(found)
        torch.testing.assert_close(found[real], eager[real], atol=1e-5, rtol=0)
        assert not found[~real].any()


def test_the_limit_is_named_and_enough(tokenizer):
    model = random_model("qwen2", tokenizer)
    number = len(tokenizer(TEXT)["input_ids"])
    needed = 4 * 4 * number * (number + 1) // 2
    with pytest.raises(UserError, match=f"take {needed:,} bytes .*give max_bytes={needed}"):
        quick_attention_analysis(model, tokenizer, TEXT, layer_idx=0, max_bytes=needed - 1)
    analyzer = quick_attention_analysis(model, tokenizer, TEXT, layer_idx=0, max_bytes=needed)
    assert analyzer.head_stats["layer"].max() == 2
    with pytest.raises(UserError, match="max_bytes"):
        analyzer.attention_weights["layer_2"]
    with pytest.raises(UserError, match="max_bytes"):
        attention_gradients(model, tokenizer(TEXT, return_tensors="pt").input_ids, 1, max_bytes=10)


def test_a_tokenizer_without_offsets_is_refused_with_a_way_out(tokenizer):
    class Slow:
        is_fast, eos_token_id = False, None

        def __call__(self, text, **options):
            return tokenizer(text, return_tensors=options.get("return_tensors"))

    model = random_model("qwen2", tokenizer)
    with pytest.raises(ConfigError, match=r"Slow gives no character offsets.*AttentionHook"):
        quick_attention_analysis(model, Slow(), TEXT)
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    with AttentionHook(model) as hook, torch.no_grad():
        model(ids)
    found = FinancialAttentionAnalyzer(hook.attention_weights, ids, tokenizer)
    assert found.encoded.text == TEXT
    assert "".join(found.identify_financial_tokens()["token"]).split()[:1] == ["Net"]
    assert AttentionInterventions(model, Slow()).ablate_attention_head(0, 0, ids, max_new_tokens=1).change != 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, t: quick_attention_analysis(m, t, TEXT, layer_idx=31), r"layer 31 is outside 0\.\.2 .*3 layers"),
        (lambda m, t: AttentionHook(m, layers=[3]).__enter__(), r"layer 3 is outside 0\.\.2"),
        (lambda m, t: quick_attention_analysis(m, t, TEXT).plot_attention_heatmap(0, 9), r"head 9 is outside 0\.\.3"),
        (lambda m, t: quick_attention_analysis(m, t, ""), "no token"),
        (lambda m, t: quick_attention_analysis(m, t, 7), "a text or a record"),
        (lambda m, t: quick_attention_analysis(m, t, "word " * 3000), "longer_than_context"),
        (lambda m, t: quick_attention_analysis(m, t, {"full_model_response": "nothing"}), r"sample: \w+"),
        (lambda m, t: FinancialAttentionAnalyzer({"layer_0": torch.rand(1, 2, 3, 3)}, ["a", "b", "c"]), "sum to 1"),
        (lambda m, t: FinancialAttentionAnalyzer({"layer_0": torch.rand(2, 2, 3, 3)}, ["a", "b", "c"]), "shape"),
        (lambda m, t: FinancialAttentionAnalyzer({}, ["a"]), "holds no layer"),
        (lambda m, t: FinancialAttentionAnalyzer({"layer_0": torch.ones(1, 1, 1, 1)}, ...), "convert_ids_to_tokens"),
        (lambda m, t: attention_gradients(m, torch.ones(2, 3, dtype=torch.long), 1), "one text has"),
        (lambda m, t: attention_gradients(m, torch.ones(1, 3, dtype=torch.long), 10**6), "no token id"),
        (lambda m, t: trace_attention_flow(quick_attention_analysis(m, t, "Sales"), 99), "outside"),
        (lambda m, t: AttentionInterventions(m, t, ("up", "up")).ablate_attention_head(0, 0, [1, 2]), "told apart"),
    ],
    ids=[
        "layer of an analysis", "layer of a hook", "head of a heatmap", "empty text", "number for a text", "long text",
        "record without an answer", "rows that are no shares", "wrong shape", "no layer", "no tokenizer", "two texts",
        "unknown token", "position of a flow", "labels that are one",
    ],
)  # fmt: skip
def test_mistakes_are_named(call, message, loaded):
    with pytest.raises(UserError, match=message):
        call(*loaded["qwen2"])
