"""Which statistics a model's kind leaves out is said in the plan."""

from __future__ import annotations

import re

import pytest

from engine.config import Config
from engine.measuring.checking.coverage import left_out
from engine.model.decoder import Decoder
from engine.model.facts import skeleton
from tests.fixtures.tiny_models import tiny_config


def config_of(folder, kind, **statistics):
    tiny_config(kind).save_pretrained(folder)
    model = {"path": str(folder)}
    return Config.model_validate({"predictions": {"path": "x"}, "model": model, "statistics": statistics})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "statistics", "words"),
    [
        ("qwen2", {"retrieval": True}, []),
        ("granitemoehybrid", {}, []),
        ("opt", {}, ["statistics.attribution will be left out, all else is measured: OPTDecoderLayer has a part"]),
        ("opt", {"attribution": False}, []),
        ("opt", {"contribution": True}, [r"statistics.attribution \(and statistics.contribution\) will be left out"]),
        ("gemma4_text", {}, ["model type 'gemma4_text' adds more to its residual stream"]),
        ("nanochat", {}, ["model type 'nanochat' mixes several residual streams"]),
        (
            "bert",
            {"retrieval": True},
            ["statistics.attribution will be left out", "statistics.retrieval will have no copy scores"],
        ),
        ("qwen3_next", {"retrieval": True}, ["statistics.retrieval will have no copy scores, .* has a gate"]),
    ],
)
def test_a_plan_says_what_is_left_out(tmp_path, kind, statistics, words):
    found = left_out(config_of(tmp_path, kind, **statistics))
    assert len(found) == len(words)
    for sentence, expected in zip(found, words, strict=True):
        assert re.search(expected, sentence)


def test_a_model_that_cannot_be_read_leaves_nothing_out_in_the_plan():
    nowhere = {"predictions": {"path": "x"}, "model": {"path": "nowhere"}}
    assert left_out(Config.model_validate(nowhere)) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("num_experts", "names"), [(0, ["GraniteMoeHybridMLP"]), (4, ["GraniteMoeHybridMoE", "GraniteMoeHybridMLP"])]
)
def test_an_mlp_for_every_token_is_part_of_the_mlp(num_experts, names):
    config = tiny_config("granitemoehybrid")
    config.num_local_experts = num_experts
    decoder = Decoder(skeleton(config), allows_headless=True)
    assert [type(mlp).__name__ for mlp in decoder.mlps[1]] == names and decoder.mlps[0] == ()
