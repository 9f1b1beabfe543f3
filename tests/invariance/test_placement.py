"""The same tables wherever a model's parts lie: in memory, on disk, on several GPUs."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
import torch
from accelerate.hooks import attach_align_device_hook_on_blocks
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM

from engine.attention.group_means import GroupMeans
from engine.attention.layout import SequenceLayout
from engine.attention.matches import TokenMatches
from engine.config import Config, load_config
from engine.measuring.probe import Probe
from engine.model.loading import load_model
from engine.run import main
from tests.fixtures.places import ROOT

SCATTERED = {
    "model.embed_tokens": "cpu",
    "model.layers.0": "disk",
    "model.layers.1": "cpu",
    "model.rotary_emb": "cpu",
    "model.norm": "disk",
    "lm_head": "disk",
}
EVERYTHING = [
    "predictions.max_samples=4",
    "statistics.norm_weighted=true",
    "statistics.rollout=true",
    "statistics.decision_rows=true",
    "causal={attribution: {}, attention_gradient: {}, ablation: {heads: {top: 2}, replace: mean}, "
    "amplification: {heads: [[0, 1], [1, 2]], factors: [2.0], rows: decision}, "
    "patching: {counterfactual: swap_periods}, knockout: {rows: response, key_groups: [statement], window: 1}}",
]


def tables(run):
    """Return every table of every unit of a run."""
    paths = sorted(run.glob("shards/*/*.parquet"))
    return {f"{path.parent.name}/{path.name}": pl.read_parquet(path) for path in paths}


@pytest.fixture
def reference(config_file):
    assert main([str(config_file), "--stage", "collect", "run.name=reference", *EVERYTHING]) == 0
    found = tables(config_file.parent / "runs" / "reference")
    for name in ("head_stats", "attributions", "interventions", "knockouts", "patching"):
        assert any(frame.height for path, frame in found.items() if path.endswith(f"/{name}.parquet")), name
    return found


@pytest.mark.parametrize(
    "placement",
    [[f"model.device_map={json.dumps(SCATTERED)}"], ["model.device_map=auto", "model.max_memory={cpu: 60KB}"]],
    ids=["named", "auto"],
)
def test_parts_on_disk_change_no_number(config_file, reference, placement, capsys):
    config, _ = load_config(config_file, placement)
    assert "disk" in load_model(config, torch.device("cpu")).hf_device_map.values()
    assert main([str(config_file), "--stage", "collect", "run.name=spread", *EVERYTHING, *placement]) == 0
    found = tables(config_file.parent / "runs" / "spread")
    assert found.keys() == reference.keys()
    for name, frame in reference.items():
        assert frame.equals(found[name]), name
    # Where parts lie is no part of what was measured: the same run goes on with the whole model in memory.
    shutil.rmtree(config_file.parent / "runs" / "spread" / "shards" / "measure-00000")
    assert main([str(config_file), "--stage", "collect", "run.name=spread", *EVERYTHING]) == 0
    assert tables(config_file.parent / "runs" / "spread").keys() == reference.keys()


def test_answers_of_a_model_on_disk(config_file):
    from engine.interventions.edits import HeadEdit
    from engine.interventions.knockouts import Knockout
    from engine.samples import Prompt
    from engine.workers.replica import Replica

    settings = ["generation.enabled=true", "generation.max_new_tokens=6"]
    prompts = [Prompt(str(number), text) for number, text in enumerate(["<|im_start|>user\nSales", "Net income"])]
    knocked = {"0": [Knockout(0, 1, (1, 2))]}
    answers = []
    for placement in ([], [f"model.device_map={json.dumps(SCATTERED)}"]):
        replica = Replica(load_config(config_file, [*settings, *placement])[0])
        answers.append(
            [
                replica.generate(prompts),
                replica.generate(prompts, edits=[HeadEdit(1, (0,))]),
                replica.generate(prompts, knockouts=knocked),
            ]
        )
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.device_map={model.layers.0: disk}"], ["model.device_map", "Every part needs a place"]),
        pytest.param(
            [f"model.device_map={json.dumps(SCATTERED | {'model.layer.1': 'cpu'})}"],
            ["no part 'model.layer.1'"],
            # accelerate's warning of the mistake that this is about
            marks=pytest.mark.filterwarnings("ignore:The following device_map keys do not match:UserWarning"),
            id="a misspelt part",
        ),
        ([f"model.device_map={json.dumps(SCATTERED | {'lm_head': 1})}"], ["names GPU 1", "no GPU", "cpu"]),
        (["model.device_map=balanced"], ["model.device_map"]),
        (["model.max_memory={cpu: much}"], ["model.max_memory", "30GiB"]),
        (["model.max_memory={cpu: 1GiB}"], ["model.max_memory", "device_map: auto"]),
        (["model.device_map=auto", "model.max_memory={1: 1GiB}"], ["model.max_memory: names GPU 1", "no GPU"]),
        (["cluster.gpus_per_replica=1.5"], ["cluster.gpus_per_replica", "1.5", "whole number"]),
    ],
)
def test_places_that_there_are_not(config_file, capsys, overrides, words):
    assert main([str(config_file), "--stage", "collect", *overrides]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words) and "Traceback" not in said, said


def test_shared_weights_are_not_torn_apart(config_file, capsys):
    places = {"model": "cpu", "lm_head": "disk"}
    overrides = [f"model.path={ROOT / 'data' / 'demo-model'}", f"model.device_map={json.dumps(places)}"]
    assert main([str(config_file), "--stage", "collect", *overrides]) == 2
    assert "the same weights" in capsys.readouterr().err


def _config(**sections):
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": "x"}, **sections})


def test_a_replica_asks_for_gpus_that_are_not_visible(monkeypatch):
    from engine.errors import ConfigError
    from engine.model import loading

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="asks for 2 GPUs, and 1 are visible"):
        loading._placement(_config(cluster={"gpus_per_replica": 2}), torch.device("cuda"))


def test_two_devices_where_there_are_no_two_gpus(tiny_model_dir, monkeypatch):
    """Every operation of a packed forward stays on one device: torch's fake tensors refuse those that mix two.

    Without GPUs, PyTorch knows two devices, of which the second computes shapes only.
    """
    first, second = "cpu", "meta"
    monkeypatch.setattr(GroupMeans, "is_finite", lambda self: True)  # fake tensors have no values to ask for
    monkeypatch.setattr(TokenMatches, "_is_dense", lambda *_: True)
    monkeypatch.setattr("engine.attention.interface.learnt_mask", lambda **_: None)  # causal, without asking values
    monkeypatch.setattr(torch, "equal", lambda *_: True)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    places = {
        "model.embed_tokens": first,
        "model.rotary_emb": first,
        "model.layers.0": first,
        "model.layers.1": second,
        "model.norm": second,
        "lm_head": first,
    }
    tokens = (5, 7)
    with FakeTensorMode():
        for name, module in model.named_modules():
            place = next((device for part, device in places.items() if f"{name}.".startswith(f"{part}.")), first)
            for tensors in (module._parameters, module._buffers):
                for key, value in tensors.items():
                    tensors[key] = None if value is None else torch.ones(value.shape, device=place)
        attach_align_device_hook_on_blocks(model, {"": first, **places}, dict.fromkeys(places, False))
        layouts = [
            SequenceLayout(
                start,
                torch.zeros(number, dtype=torch.int64, device=first),
                torch.ones(number, 2, device=first),
                torch.ones(3, number, device=first),
                number - 1,
            )
            for start, number in zip((0, 5), tokens, strict=True)
        ]
        ids = torch.cat([layout.token_ids for layout in layouts])
        found = Probe(model, norm_weighted=True, with_rollout=True, attention="blocked").measure(ids, layouts)
    assert [str(one.logits.device) for one in found] == [first, first]
    assert [tuple(one.rollout.shape) for one in found if one.rollout is not None] == [(number,) for number in tokens]
