"""Objects around a model: every function that takes a model names what to give instead."""

import pytest
import torch
from transformers import pipeline

from engine.errors import UserError
from engine.model.wrapped import refuse_wrapped
from engine.notebook import (
    AttentionHook,
    AttentionInterventions,
    ComparativeAnalyzer,
    FinancialAttentionAnalyzer,
    attention_gradients,
    quick_attention_analysis,
    run_interpretability_experiment,
)

# What torch.compile imports warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")


@pytest.fixture
def model(loaded):
    return loaded["demo"][0]


ENTRIES = {
    "quick_attention_analysis": lambda model, tokenizer: quick_attention_analysis(model, tokenizer, "Sales rose."),
    "from_text": lambda model, tokenizer: FinancialAttentionAnalyzer.from_text(model, tokenizer, "Sales rose."),
    "AttentionHook": lambda model, _: AttentionHook(model),
    "AttentionInterventions": AttentionInterventions,
    "ComparativeAnalyzer": ComparativeAnalyzer,
    "attention_gradients": lambda model, _: attention_gradients(model, torch.tensor([[1, 2]]), 3),
    "run_interpretability_experiment": lambda model, tokenizer: run_interpretability_experiment(
        ["Sales rose."], model=model, tokenizer=tokenizer
    ),
}


class PeftModel(torch.nn.Module):
    """Named and shaped as peft's."""

    def __init__(self, model):
        super().__init__()
        self.base_model = model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.base_model, name)


WRAPPED = {
    "pipeline": (
        lambda model, tokenizer: pipeline("text-generation", model=model, tokenizer=tokenizer),
        "pipeline.model",
    ),
    "DataParallel": (lambda model, _: torch.nn.DataParallel(model), "model.module"),
    "compiled": (lambda model, _: torch.compile(model), "model._orig_mod"),
    "adapter": (lambda model, _: PeftModel(model), "merge_and_unload"),
    "name": (lambda *_: "Qwen/Qwen2-7B-Instruct", "AutoModelForCausalLM.from_pretrained"),
    "tokenizer": (lambda _, tokenizer: tokenizer, "no model of transformers"),
    "module": (lambda *_: torch.nn.Linear(2, 2), "no model of transformers"),
}


@pytest.mark.parametrize("entry", ENTRIES, ids=ENTRIES)
@pytest.mark.parametrize("kind", WRAPPED, ids=WRAPPED)
def test_what_wraps_a_model_is_named_with_what_to_give(model, tokenizer, entry, kind):
    wrap, words = WRAPPED[kind]
    with pytest.raises(UserError) as caught:
        ENTRIES[entry](wrap(model, tokenizer), tokenizer)
    assert str(caught.value).startswith("model: ") and words in str(caught.value)


def test_an_adapter_inside_a_model_is_named(model, monkeypatch):
    refuse_wrapped(model)
    monkeypatch.setattr(model, "_hf_peft_config_loaded", True, raising=False)
    with pytest.raises(UserError, match=r"load_adapter.*merge_and_unload"):
        refuse_wrapped(model)


def test_wrappers_in_wrappers_are_named(model):
    with pytest.raises(UserError, match=r"Give model\._orig_mod.*There it is DataParallel"):
        refuse_wrapped(torch.compile(torch.nn.DataParallel(model)))
