"""Fine-tunes kept beside their base: found, applied as a hand computes it, or refused."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from engine.config import AdapterSection, Config, load_config
from engine.errors import ConfigError
from engine.model.checkpoints.adapters import check_adapter
from engine.model.facts import read_model_facts
from engine.model.loading import load_model
from engine.storage.fingerprints import take_fingerprints
from tests.fixtures.places import ROOT

BASE = ROOT / "data" / "demo-model"
RANK, ALPHA = 3, 12
needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")


@pytest.fixture
def lora(tmp_path):
    """A LoRA on o_proj and down_proj of the first two layers, as PEFT writes it, and what it adds by hand."""
    return write_lora(tmp_path / "lora")


def write_lora(folder, prefix="base_model.model.model.layers", **settings):
    generator = torch.Generator().manual_seed(0)
    config = json.loads((BASE / "config.json").read_text())
    sizes = {
        "self_attn.o_proj": (config["hidden_size"], config["hidden_size"]),
        "mlp.down_proj": (config["hidden_size"], config["intermediate_size"]),
    }
    tensors, added = {}, {}
    for layer in range(config["num_hidden_layers"]):
        for name, (out, given) in sizes.items():
            b = torch.randn(out, RANK, generator=generator) * 0.1
            a = torch.randn(RANK, given, generator=generator) * 0.1
            tensors[f"{prefix}.{layer}.{name}.lora_A.weight"] = a
            tensors[f"{prefix}.{layer}.{name}.lora_B.weight"] = b
            added[f"model.layers.{layer}.{name}.weight"] = ALPHA / RANK * b @ a
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    told = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": ["o_proj", "down_proj"],
        "base_model_name_or_path": str(BASE),
    }
    (folder / "adapter_config.json").write_text(json.dumps(told | settings))
    return folder, added


def config_of(folder, **adapter):
    model = {"path": str(BASE), "dtype": "float32", "adapter": {"path": str(folder), **adapter}}
    return Config.model_validate({"predictions": {"path": str(BASE / "config.json")}, "model": model})


@needs_peft
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("merge", [True, False])
def test_an_adapter_adds_what_a_hand_computes(lora, merge):
    folder, added = lora
    model = load_model(config_of(folder, merge=merge), torch.device("cpu"))
    plain = load_model(
        Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(BASE)}}), torch.device("cpu")
    )
    assert type(model) is type(plain) and not model.training
    with torch.no_grad():
        for name, weight in plain.float().named_parameters():
            if name in added:
                weight += added[name]
        ids = torch.tensor([[5, 6, 7, 8, 9]])
        torch.testing.assert_close(model(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-4)
    assert any("lora" in name for name, _ in model.named_modules()) != merge


@needs_peft
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_another_model_is_refused_and_not_applied_in_part(tmp_path):
    folder, _ = write_lora(tmp_path / "other", prefix="base_model.model.transformer.blocks")
    with pytest.raises(
        ConfigError, match=r"tensor\(s\) of .* do not meet, such as .*the adapter would be applied in part"
    ):
        load_model(config_of(folder), torch.device("cpu"))


def trained(folder, resized=0, **settings):
    """A fine-tune as PEFT itself writes it, and its logits."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    if resized:
        base.resize_token_embeddings(base.config.vocab_size + resized)
    tuned = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=3, **settings)).eval()
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
        tuned.save_pretrained(folder)
        return tuned(torch.tensor([[5, 6, 7, 8, 9]])).logits


@needs_peft
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["o_proj", "down_proj"], "use_dora": True},
        {"target_modules": ["o_proj"], "use_rslora": True},
        {"target_modules": ["o_proj"], "modules_to_save": ["lm_head", "input_layernorm"]},
        {"target_modules": ["o_proj"], "trainable_token_indices": [5, 7]},
        {"target_modules": ["o_proj"], "resized": 3},
    ],
    ids=["DoRA", "rsLoRA", "saved modules", "tokens", "resized"],
)
def test_fine_tunes_of_peft_give_the_logits_that_peft_gives(tmp_path, settings):
    wanted = trained(tmp_path / "tuned", **settings)
    for merge, place in ((True, None), (False, {"": "cpu"})):
        config = config_of(tmp_path / "tuned", merge=merge)
        config.model.device_map = place
        model = load_model(config, torch.device("cpu"))
        with torch.no_grad():
            torch.testing.assert_close(model(torch.tensor([[5, 6, 7, 8, 9]])).logits, wanted, rtol=1e-4, atol=1e-4)


@needs_peft
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_place_in_the_weights_is_not_merged(tmp_path):
    wanted = trained(tmp_path / "tuned", target_modules=["o_proj"], lora_bias=True)
    with pytest.raises(ConfigError, match=r"cannot be merged into the weights: .*no bias.*merge=false"):
        load_model(config_of(tmp_path / "tuned"), torch.device("cpu"))
    model = load_model(config_of(tmp_path / "tuned", merge=False), torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(model(torch.tensor([[5, 6, 7, 8, 9]])).logits, wanted, rtol=1e-4, atol=1e-4)


@needs_peft
@pytest.mark.filterwarnings("ignore")
def test_what_is_added_to_shared_weights_is_not_merged(tmp_path):
    wanted = trained(tmp_path / "tuned", target_modules=["embed_tokens", "o_proj"])
    with pytest.raises(ConfigError, match=r"model\.adapter\.merge: .* adds to model\.embed_tokens.* lm_head too"):
        load_model(config_of(tmp_path / "tuned"), torch.device("cpu"))
    model = load_model(config_of(tmp_path / "tuned", merge=False), torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(model(torch.tensor([[5, 6, 7, 8, 9]])).logits, wanted)


def test_without_peft_nothing_is_measured(lora, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"model\.adapter: .* peft, which is not installed here.*headledger\[adapters\]"
    ):
        read_model_facts(config_of(lora[0]), needs_model=False)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no adapter_config.json"),
        (
            {"one/adapter_config.json": {}, "two/adapter_config.json": {}},
            r"give one of the adapters in it \(one, two\)",
        ),
        ({"adapter_config.json": {"peft_type": "PREFIX_TUNING"}}, "is a PREFIX_TUNING adapter"),
        ({"adapter_config.json": {"peft_type": "LORA", "alora_invocation_tokens": [5]}}, "begins at its invocation"),
        ({"adapter_config.json": {"peft_type": "LORA"}}, "holds no weights"),
        ({"adapter_config.json": {"peft_type": "LORA"}, "adapter_model.bin": ""}, "only as a pickle"),
    ],
    ids=["nothing", "several", "prefix", "switched", "no weights", "pickle"],
)
def test_folders_that_hold_no_adapter_are_refused(tmp_path, monkeypatch, files, words):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=words):
        check_adapter(AdapterSection(path=str(tmp_path)), allow_pickle=False)
    with pytest.raises(ConfigError, match=r"model\.adapter\.path: no such folder: .*none"):
        check_adapter(AdapterSection(path=str(tmp_path / "none")), allow_pickle=False)


def test_the_folder_of_an_adapter_stands_for_its_base_with_it(lora, tmp_path):
    folder, _ = lora
    shutil.copyfile(BASE / "tokenizer_config.json", folder / "tokenizer_config.json")
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"predictions": {"path": "x"}, "model": {"path": str(folder)}}))
    config, _ = load_config(path)
    assert config.model.path == str(BASE)
    assert config.model.adapter == AdapterSection(path=str(folder))
    assert config.model.tokenizer == str(folder)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ConfigError, match="does not name its base model"):
        load_config(path)


def test_the_fingerprint_holds_base_and_adapter(lora):
    folder, _ = lora
    before = take_fingerprints(config_of(folder), folder).values
    assert before["adapter"].startswith("sha256:")
    (folder / "README.md").write_text("a card")
    assert take_fingerprints(config_of(folder), folder).values == before
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 1}))
    after = take_fingerprints(config_of(folder), folder).values
    assert after["adapter"] != before["adapter"] and after["model"] == before["model"]
