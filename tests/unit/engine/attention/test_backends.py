"""The seam of attention backends: a new one is a file and a row, and which one computes is the config's word."""

from __future__ import annotations

import pytest
import torch

from engine.attention.backends import registry, tile_kernel
from engine.attention.backends.choice import BackendChoice
from engine.attention.backends.registry import BACKENDS, BackendRow
from engine.config import load_config
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.tokenizer import load_tokenizer
from engine.errors import ConfigError, RunFailedError
from engine.inputs.predictions import read_predictions
from engine.workers.replica import Replica
from tests.unit.engine.attention.toy_backend import ToyBackend

CPU = torch.device("cpu")


@pytest.fixture
def with_toy(monkeypatch):
    """One more row in the registry, after the others."""
    monkeypatch.setitem(BACKENDS, "toy", BackendRow(ToyBackend.__module__))


def measured(config_file, attention):
    """Return a replica and the tables that it measures of three predictions with a backend."""
    config, _ = load_config(config_file, [f"model.attention={attention}"])
    replica, groups = Replica(config), TokenGroups.from_config(config)
    encoder = Encoder(config, load_tokenizer(config), groups, 2048)
    samples = [encoder.encode(sample) for sample in read_predictions(config).samples[:3]]
    return replica, replica.measurer.forward_passes([samples[:2], samples[2:]], list(groups.key_groups))()


def test_a_backend_is_one_file_and_one_row(config_file, with_toy):
    replica, result = measured(config_file, "toy")
    _, expected = measured(config_file, "blocked")
    toy = replica.measurer.probe.backend.backends["toy"]
    assert isinstance(toy, ToyBackend) and set(toy.layers) == {0} and len(toy.layers) >= 2
    assert result.facts["fallback_layers"] == {"blocked": [1]}
    assert result.facts["attention"] == "toy" and result.tables.keys() == expected.tables.keys()
    assert all(table.equals(expected.tables[name]) for name, table in result.tables.items())


def test_auto_prefers_the_registrys_order(with_toy, monkeypatch):
    assert list(BackendChoice("auto", torch.device("meta")).backends) == ["blocked", "toy"]
    monkeypatch.setattr(registry, "BACKENDS", {"toy": BACKENDS["toy"], **BACKENDS})
    monkeypatch.setattr("engine.attention.backends.choice.BACKENDS", registry.BACKENDS)
    assert BackendChoice("auto", torch.device("meta")).method == "toy"


def test_the_config_knows_the_names_of_the_registry(config_file, with_toy):
    for name in ("auto", "blocked", "fused", "toy"):
        assert load_config(config_file, [f"model.attention={name}"])[0].model.attention == name
    for unknown in ("tiled", "flash"):
        with pytest.raises(ConfigError, match=r"model.attention: .*'auto', 'blocked', 'fused' or 'toy'.*given"):
            load_config(config_file, [f"model.attention={unknown}"])


def test_a_missing_source_is_a_broken_installation_and_no_reason_for_other_numbers(monkeypatch, tmp_path):
    monkeypatch.setattr(tile_kernel, "SOURCE", tmp_path / "tile_kernel.c")
    monkeypatch.setenv("CC", "no-such-compiler")
    tile_kernel.tile_kernel.cache_clear()
    try:
        with pytest.raises(RunFailedError, match=r"tile_kernel\.c is missing.*install.*model.attention=blocked"):
            BackendChoice("auto", CPU)
        assert BackendChoice("blocked", CPU).method == "blocked"
    finally:
        tile_kernel.tile_kernel.cache_clear()
