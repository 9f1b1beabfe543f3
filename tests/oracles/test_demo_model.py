"""The demo model on its own recorded predictions: statistics against float64 loops over its queries and keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.attention.backends.choice import BackendChoice
from engine.attention.layout import sequence_layout
from engine.config import load_config
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.tokenizer import load_tokenizer
from engine.inputs.predictions import read_predictions
from engine.measuring.probe import Probe
from engine.model.loading import load_model
from engine.schema import BASE_STATISTICS
from engine.tolerances import tolerance
from tests.fixtures.places import ROOT
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import QUANTITY


@pytest.fixture(scope="module", params=["auto", "blocked"])
def measured(request):
    """Two demo samples measured in one packed forward, with the first one's queries and keys kept aside."""
    overrides = [
        f"predictions.path={ROOT}/data/predictions_demo.json",
        f"model.path={ROOT}/data/demo-model",
        f"vocabulary={ROOT}/config/vocabulary/financial.yaml",
    ]
    config, _ = load_config(ROOT / "config" / "eps.yaml", overrides)
    encoder = Encoder(config, load_tokenizer(config), TokenGroups.from_config(config), 2048)
    samples = [encoder.encode(sample) for sample in read_predictions(config).samples[:2]]
    kept = {}

    def keeping(self, call, row, output):
        part = call.of_sequence(row.layouts[0])
        kept[call.layer_idx] = (part.query.clone(), part.key.clone(), part.masking)
        return attend(self, call, row, output)

    attend = BackendChoice.attend
    BackendChoice.attend = keeping
    try:
        layouts = [sequence_layout(samples[0], 0, torch.device("cpu"))]
        layouts.append(sequence_layout(samples[1], samples[0].num_tokens, torch.device("cpu")))
        ids = torch.cat([layout.token_ids for layout in layouts])
        found = Probe(load_model(config, torch.device("cpu")), attention=request.param).measure(ids, layouts)
    finally:
        BackendChoice.attend = attend
    return samples[0], found[0], kept


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (3, 5), (5, 7)])
def test_every_statistic_of_a_head_equals_the_oracle(measured, layer, head):
    sample, found, kept = measured
    query, key, masking = kept[layer]
    kv_head = head // (query.shape[0] // key.shape[0])
    pattern = oracle.pattern(query[head], key[kv_head], masking.scaling)
    rows = [oracle.row_statistics(pattern, i, sample.input_ids, sample.key_groups) for i in range(sample.num_tokens)]
    names = [*BASE_STATISTICS, *(f"mass_{name}" for name in sample.key_groups)]
    for group, positions in enumerate(sample.query_groups.values()):
        means = oracle.group_mean([rows[i] for i in positions])
        for index, name in enumerate(names):
            value = float(found.layers[layer].means[head, group, index])
            if means[name] is None:
                assert np.isnan(value)
                continue
            allowed = tolerance(QUANTITY.get(name, "mass"))
            assert abs(value - means[name]) <= allowed.atol + allowed.rtol * abs(means[name]), (name, group)
    decision = found.layers[layer].decision_pattern[head].numpy()
    np.testing.assert_allclose(decision, pattern[sample.decision_position], atol=tolerance("weight").atol)
