"""Norm-weighted masses behind a gate: exact in decision rows, refused in the plan for means over rows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.attention.layout import NUM_BASE, sequence_layout
from engine.config import Config
from engine.errors import ConfigError, UnsupportedModelError
from engine.measuring.measurer import Measurer
from engine.measuring.probe import Probe
from engine.model.facts import read_model_facts
from engine.model.projections import output_projection
from tests.fixtures.family_judgement import _softmax_in_float64, double, own_patterns, samples
from tests.fixtures.tiny_models import VOCABULARY, tiny_config, tiny_model

GATED = ("afmoe", "axk2", "bailing_hybrid", "beam", "laguna", "lfm3", "qwen3_5_text", "qwen3_next")


def config_of(path, groups):
    statistics = {"norm_weighted": True, "query_groups": groups}
    return Config.model_validate(
        {"predictions": {"path": "x"}, "model": {"path": str(path), "device": "cpu"}, "statistics": statistics}
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["qwen3_next", "bitnet", "roberta"])
def test_the_plan_refuses_means_and_says_what_can_be_measured(tmp_path, kind):
    tiny_config(kind).save_pretrained(tmp_path)
    words = "outside of its attention" if kind == "roberta" else r"statistics\.query_groups=\[decision\]"
    with pytest.raises(ConfigError, match=rf"statistics\.norm_weighted: .*'{kind}'.*{words}"):
        read_model_facts(config_of(tmp_path, ["all", "decision"]), needs_model=False)
    if kind != "roberta":
        read_model_facts(config_of(tmp_path, ["decision"]), needs_model=False)


def in_rows_alone(length):
    sample = samples(VOCABULARY, (length,))[0]
    sample.query_groups.clear()
    sample.query_groups["decision"] = np.array([sample.decision_position], dtype=np.int32)
    return sample


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", GATED)
def test_decision_rows_weigh_each_key_by_what_it_adds_behind_the_gate(kind):
    """The oracle hands each key's value alone to the model's own gate and projection, in float64."""
    model, own, planned = tiny_model(kind), double(tiny_model(kind)), [in_rows_alone(10), in_rows_alone(7)]
    layouts = [
        sequence_layout(planned[0], 0, torch.device("cpu")),
        sequence_layout(planned[1], 10, torch.device("cpu")),
    ]
    ids = torch.cat([layout.token_ids for layout in layouts])
    found = Probe(model, norm_weighted=True, is_decision_alone=True).measure(ids, layouts)
    for sample, measured in zip(planned, found, strict=True):
        _, patterns = own_patterns(own, sample)
        for number, layer in zip(measured.layer_numbers, measured.layers, strict=True):
            weighed = patterns[number][:, sample.decision_position] * added_norms(own, sample, number)
            shares = [weighed[:, positions].sum(1) / weighed.sum(1) for positions in sample.key_groups.values()]
            masses = layer.means[:, 0, NUM_BASE + len(shares) :]
            np.testing.assert_allclose(masses, np.stack(shares, axis=1), atol=2e-5, err_msg=f"layer {number}")


def added_norms(own, sample, number):
    """``||W_O^h (g_i * v_j)||`` of the decision row i, ``[H, T]``: one forward for each key."""
    ids, row = torch.from_numpy(sample.input_ids.astype(np.int64))[None], sample.decision_position
    norms = []
    for key in range(sample.num_tokens):
        given = []
        with ValueAlone(own, number, row, key, given), torch.no_grad(), _softmax_in_float64():
            own(ids, use_cache=False)
        ((projection, reached, num_heads),) = given
        blocks = projection.weight.unflatten(1, (num_heads, -1))
        parts = torch.einsum("ohd,hd->ho", blocks, reached.reshape(num_heads, -1))
        norms.append(parts.norm(dim=1))
    return torch.stack(norms, dim=1).detach().numpy()


class ValueAlone:
    """Lets a layer's attention give one row one key's value; keeps what then reaches its projection."""

    def __init__(self, own, number, row, key, given):
        self.parts = own, number, row, key, given

    def __enter__(self):
        own, number, row, key, given = self.parts
        homes: set[Any] = {sys.modules[type(module).__module__] for module in own.modules()}
        self.before = {home: home.eager_attention_forward for home in homes if hasattr(home, "eager_attention_forward")}
        self.hooks = []

        def changed(attend):
            def call(module, query, keys, value, *arguments, **options):
                output, weights = attend(module, query, keys, value, *arguments, **options)
                if module.layer_idx == number:
                    heads = query.shape[1]
                    output = output.clone()
                    output[0, row] = value[0].repeat_interleave(heads // value.shape[1], dim=0)[:, key]
                    projection = output_projection(module)
                    assert isinstance(projection, nn.Module)

                    def see(_module, inputs):
                        given.append((projection, inputs[0].reshape(query.shape[2], -1)[row], heads))

                    self.hooks.append(projection.register_forward_pre_hook(see))
                return output, weights

            return call

        for home, attend in self.before.items():
            home.eager_attention_forward = changed(attend)

    def __exit__(self, *_):
        for home, attend in self.before.items():
            home.eager_attention_forward = attend
        for hook in self.hooks:
            hook.remove()


@pytest.mark.filterwarnings("ignore")
def test_a_run_measures_decision_rows_and_no_others():
    planned = [in_rows_alone(30), in_rows_alone(12)]
    measurer = Measurer(tiny_model("qwen3_next"), config_of("tiny", ["decision"]))
    table = measurer.forward_passes([planned], list(planned[0].key_groups))().tables["head_stats"]
    assert set(table["query_group"].to_pylist()) == {"decision"}
    assert all(abs(value - 1) < 1e-5 for value in table["norm_mass_all_keys"].to_pylist())
    layout = sequence_layout(samples(VOCABULARY, (20,))[0], 0, torch.device("cpu"))
    with pytest.raises(UnsupportedModelError, match=r"statistics\.norm_weighted: layer \d+ changes"):
        Probe(tiny_model("qwen3_next"), norm_weighted=True).measure(layout.token_ids, [layout])
