"""Of four labels, the head that decides between the said one and the rest is found; a fixed pair names another."""

import json

import pytest
import torch

from engine.causal.explainer import Explainer
from engine.causal.method import CausalInputs
from engine.config import CausalSection, Config
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.inputs.predictions import read_predictions
from engine.model.decoder import Decoder
from tests.fixtures import planted_choices as planted

SETTINGS = {"ablation": {"heads": "all", "replace": "zero", "rows": "all"}, "attribution": {}}


def explained(tmp_path, model, contrast):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(planted.records()[:12]))
    config = Config.model_validate(
        {
            "predictions": {"path": str(path), "fields": {"choices": "options", "target": "gold"}},
            "model": {"path": "planted"},
            "prompt": {"source": "fields"},
            "decision": {"field": None, "labels": list(planted.LETTERS), **contrast},
        }
    )
    encoder = Encoder(config, planted.build_tokenizer(), TokenGroups.from_config(config), None)
    samples = [encoder.encode(sample) for sample in read_predictions(config).samples]
    explainer = Explainer(Decoder(model), CausalSection.model_validate(SETTINGS), 4096)
    return samples, [explainer.explain(sample, CausalInputs()) for sample in samples]


def effects(parts):
    """Mean change of the margin by head."""
    rows = [row for part in parts for row in part["interventions"].rows]
    heads = {(row["layer"], row["head"]) for row in rows}
    return {
        head: sum(row["change"] for row in rows if (row["layer"], row["head"]) == head) / len(parts) for head in heads
    }


def plain_effect(samples, head, first, other_of):
    """The same by the model's own forward, with the head's columns of W_O set to zero."""
    whole, without = planted.build_model(), planted.build_model()
    size = whole.config.head_dim
    with torch.no_grad():
        without.model.layers[0].self_attn.o_proj.weight[:, head[1] * size : (head[1] + 1) * size] = 0
        changes = []
        for sample in samples:
            ids = torch.tensor(sample.input_ids.tolist())[None]
            before, after = (m(ids).logits[0, sample.decision_position] for m in (whole, without))
            tokens = [planted.TOKENS.index(letter) for letter in (first, other_of(before))]
            changes.append(float((after[tokens[0]] - after[tokens[1]]) - (before[tokens[0]] - before[tokens[1]])))
    return sum(changes) / len(changes)


def likeliest_other(logits):
    return max("ABD", key=lambda letter: float(logits[planted.TOKENS.index(letter)]))


def test_the_deciding_head_is_found_with_its_effect(tmp_path):
    samples, parts = explained(tmp_path, planted.build_model(), {})
    found = effects(parts)
    assert max(found, key=lambda head: abs(found[head])) == planted.DECIDES
    for head in (planted.DECIDES, planted.DIVIDES):
        assert found[head] == pytest.approx(plain_effect(samples, head, "C", likeliest_other), abs=1e-4)
    assert found[planted.DECIDES] < -2 * abs(found[planted.DIVIDES])


def test_a_fixed_pair_would_name_another_head(tmp_path):
    samples, parts = explained(tmp_path, planted.build_model(), {"contrast": ["A", "B"]})
    rows = [row for part in parts for row in part["interventions"].rows]
    size = {
        head: sum(abs(row["change"]) for row in rows if row["head"] == head[1])
        for head in (planted.DECIDES, planted.DIVIDES)
    }
    assert size[planted.DIVIDES] > 0.5 * len(samples) and size[planted.DECIDES] < 0.2 * size[planted.DIVIDES]
