"""What a model path may name that is no model: named, with what to give instead."""

import json
import re
import shutil

import pytest
import torch

from engine.config import Config
from engine.errors import ConfigError
from engine.model.facts import read_model_facts
from engine.model.loading import load_model
from tests.fixtures.places import ROOT

MODEL = ROOT / "data" / "demo-model"
ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "some/base"}


def config_of(path):
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(path), "dtype": "float32"}})


def folder_of(tmp_path, files):
    for name, content in files.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path / "model"


@pytest.fixture
def demo(tmp_path):
    return shutil.copytree(MODEL, tmp_path / "model", copy_function=shutil.copyfile)


def with_settings(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation"])
@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3", "eager"])
def test_the_attention_that_a_config_asks_for_is_ignored(demo, key, name):
    with_settings(demo, **{key: name})
    config = config_of(demo)
    facts, warning = read_model_facts(config, needs_model=True)
    assert (facts.num_layers, facts.num_parameters, warning) == (6, 1234304, "")
    model = load_model(config, torch.device("cpu"))
    plain = load_model(config_of(MODEL), torch.device("cpu"))
    assert model.config._attn_implementation == plain.config._attn_implementation
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, plain(ids).logits)


@pytest.mark.parametrize("needs_model", [True, False])
def test_an_adapter_alone_names_its_base(tmp_path, needs_model):
    folder = folder_of(tmp_path, {"adapter_config.json": ADAPTER, "adapter_model.safetensors": "x"})
    with pytest.raises(ConfigError, match=r"no model of its own but a LORA adapter of some/base.*merge_and_unload"):
        read_model_facts(config_of(folder), needs_model)


@pytest.mark.parametrize("needs_model", [True, False])
def test_an_adapter_beside_whole_weights_is_refused(demo, needs_model):
    (demo / "adapter_config.json").write_text(json.dumps(ADAPTER))
    with pytest.raises(ConfigError, match=r"whole weights and beside them an adapter.*some/base.*adapter_model\.\*"):
        read_model_facts(config_of(demo), needs_model)
    (demo / "adapter_config.json").write_text("no JSON")
    with pytest.raises(ConfigError, match="a base model that it does not name"):
        load_model(config_of(demo), torch.device("cpu"))
    (demo / "adapter_config.json").unlink()
    (demo / "adapter_model.safetensors").write_text("x")
    with pytest.raises(ConfigError, match="whole weights and beside them an adapter"):
        read_model_facts(config_of(demo), needs_model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layer_types": ["none"]}, r"validate_layer_type': ValueError: .*layer_types"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "made.Own"}}, r"Set model\.trust_remote_code=true if you"),
    ],
    ids=["layers", "code"],
)
def test_a_config_that_cannot_be_read_says_why(demo, settings, words):
    with_settings(demo, **settings)
    with pytest.raises(ConfigError, match=words):
        read_model_facts(config_of(demo), needs_model=True)
    assert re.search(words, read_model_facts(config_of(demo), needs_model=False)[1])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"model-q4.gguf": "x", "README.md": "x"}, "a GGUF file.*model-q4.gguf.*name it in model.gguf_file"),
        ({"config.json": {"model_type": "qwen2"}, "m.gguf": "x"}, "GGUF"),
        ({"Modelfile": "FROM x"}, "Ollama"),
        ({"model.onnx": "x", "genai_config.json": {}}, "ONNX"),
        ({"weights.npz": "x"}, "MLX"),
        ({"tf_model.h5": "x"}, "TensorFlow or Flax"),
        ({"consolidated.00.pth": "x", "params.json": {}}, "publisher's own layout"),
        ({"consolidated.safetensors": "x", "params.json": {}}, "publisher's own layout"),
        ({"best.ckpt": "x"}, r"PyTorch pickled \(best.ckpt\).*load_state_dict"),
        ({"model.bin": "x", "config.json": {"model_type": "qwen2"}}, r"pickled \(model.bin\)"),
        ({"checkpoint-500/config.json": {}, "checkpoint-1500/config.json": {}}, "checkpoint-1500'"),
        (
            {"one/adapter_config.json": {}, "two/adapter_config.json": {}},
            "adapters in folders of their own: give the base",
        ),
        ({"global_step100/x": "x", "config.json": {"model_type": "qwen2"}}, "DeepSpeed"),
        ({"snapshots/abc/config.json": {}, "refs/main": "abc"}, "hub's cache: give .*abc"),
    ],
    ids=lambda value: next(iter(value)).replace("/", "-") if isinstance(value, dict) else "",
)
def test_folders_of_another_kind_are_named(tmp_path, files, words):
    folder = folder_of(tmp_path, files)
    config = Config.model_validate(
        {"predictions": {"path": "x"}, "model": {"path": str(folder), "dtype": "float32", "allow_pickle": True}}
    )
    with pytest.raises(ConfigError, match=words) as caught:
        read_model_facts(config, needs_model=True)
    assert "\n" not in str(caught.value)


def test_a_file_instead_of_its_folder(tmp_path):
    folder = folder_of(tmp_path, {"model.gguf": "x", "model.safetensors": "x"})
    with pytest.raises(ConfigError, match=r"is a file\. It is a GGUF file"):
        read_model_facts(config_of(folder / "model.gguf"), needs_model=True)
    with pytest.raises(ConfigError, match=r"is a file\. Give the folder that it lies in"):
        read_model_facts(config_of(folder / "model.safetensors"), needs_model=True)


def test_pointers_of_git_lfs_are_no_weights(demo):
    (demo / "model.safetensors").unlink()
    (demo / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ConfigError, match="git lfs pull"):
        read_model_facts(config_of(demo), needs_model=True)


def test_weights_that_mlx_quantised(demo):
    with_settings(demo, quantization={"group_size": 64, "bits": 4})
    with pytest.raises(ConfigError, match="MLX quantised to 4 bits"):
        read_model_facts(config_of(demo), needs_model=True)


def test_a_config_alone_is_enough_to_plan_with(demo):
    (demo / "model.safetensors").unlink()
    assert read_model_facts(config_of(demo), needs_model=False)[0].num_layers == 6


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("models/demo-modle", "did you mean models/demo-model?"),
        ("./model/demo-model", "did you mean models?"),
        ("~/demo-model", "write the whole path"),
        ("models/demo-model/checkpoint-1/best", "holds no 'checkpoint-1'"),
        ("/nowhere-at-all/model", "'/' holds no 'nowhere-at-all'"),
    ],
    ids=["last part", "first part", "home", "deeper", "absolute"],
)
def test_a_mistyped_folder_is_no_name_on_the_hub(tmp_path, monkeypatch, path, words):
    (tmp_path / "models" / "demo-model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for needs_model in (True, False):
        with pytest.raises(ConfigError, match=r"model\.path: no such folder") as refused:
            read_model_facts(config_of(path), needs_model)
        assert words in str(refused.value)


def test_a_name_on_the_hub_is_none(tmp_path, monkeypatch):
    from engine.model.checkpoints.folders import refuse_missing_folder

    monkeypatch.chdir(tmp_path)
    for name in ("Qwen/Qwen2-7B-Instruct", "gpt2"):
        refuse_missing_folder("model.path", name)
