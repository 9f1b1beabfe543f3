"""The seam of the causal methods: a new one is its part of the config, with one entry, and its table, with another."""

from __future__ import annotations

import json
import shutil
from typing import ClassVar, get_args

import polars as pl
import pyarrow as pa
import pytest
import torch
from pydantic import Field

from engine.causal import method as seam
from engine.causal.method import CausalMethod, SampleRun
from engine.causal.methods import method_of
from engine.causal.tables import HeadValues, Rows, joined
from engine.config import CausalSection, Config
from engine.config.causes.method import MethodSection, RunFacts, check_index
from engine.run import main
from engine.schema import CAUSAL_TABLES
from engine.schema.columns import LAYER, SAMPLE_ID, column, described_schema
from tests.causal.test_causal_runs import table, with_causal


class LensSection(MethodSection):
    """s read off the residual stream that enters some layers (the logit lens)."""

    method: ClassVar[str] = f"{__name__}.Lens"
    layers: list[int] = Field(min_length=1)

    def forwards(self, *, num_layers: int, num_heads: int, num_groups: int) -> float:
        return 0.25 * len(self.layers)

    def check(self, path: str, facts: RunFacts) -> None:
        for index, layer in enumerate(self.layers):
            check_index(f"{path}.layers[{index}]", "layer", layer, facts)


class Lens(CausalMethod[LensSection]):
    tables = ("lenses",)

    def explain(self, settings: LensSection, run: SampleRun):
        entering = torch.stack([run.unchanged.layers[layer].entering[-1] for layer in settings.layers])
        values = run.decoder.logit_difference(entering, run.unchanged.contrast).tolist()
        rows = [{"layer": layer, "s": value} for layer, value in zip(settings.layers, values, strict=True)]
        return {"lenses": Rows(rows)}


LENSES = described_schema(
    "lenses", "one row per sample and layer", [SAMPLE_ID, LAYER, column("s", pa.float32(), "s there", unit="nats")]
)


class WiderCausalSection(CausalSection):
    lens: LensSection | None = None


class WiderConfig(Config):
    causal: WiderCausalSection = WiderCausalSection()


@pytest.fixture
def lens(monkeypatch):
    """Add the method: its field of the causal section, and the entry of its new table in CAUSAL_TABLES."""
    monkeypatch.setattr("engine.config.files.Config", WiderConfig)
    monkeypatch.setitem(CAUSAL_TABLES, "lenses", LENSES)


@pytest.mark.usefixtures("lens")
def test_a_method_of_ones_own_is_planned_run_committed_verified_and_resumed(config_file, monkeypatch, capsys):
    path = with_causal(config_file, "lens", lens={"layers": [1, 0]}, attribution={})
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "lens"
    flop = json.loads((run / "plan.json").read_text())["predicted_flop"]
    assert flop["causal"] == flop["measure"] * (1 + 3 + 2 * 0.25)  # the unchanged run, gradients, and the lens
    frame = table(run, "lenses")
    assert frame.columns == ["sample_id", "layer", "s"] and frame["layer"].to_list() == [1, 0] * 12
    embedding = table(run, "sample_attributions").filter(component="embedding")
    signs = frame.filter(layer=0).join(embedding, on="sample_id").select((pl.col("s") * pl.col("value")).sign())
    assert set(signs["s"]) == {1.0}  # what enters the first layer is the embedding, read off through other norms
    shutil.rmtree(run / "shards" / "causal-00000")
    (run / "_SUCCESS").unlink(missing_ok=True)
    assert main([str(path), "--stage", "collect"]) == 0
    assert table(run, "lenses").equals(frame)
    capsys.readouterr()
    monkeypatch.delitem(CAUSAL_TABLES, "lenses")
    (run / "_SUCCESS").unlink(missing_ok=True)
    assert main([str(path), "--stage", "collect"]) != 0
    assert "lenses.parquet is no table of a run" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("lens")
def test_what_it_cannot_do_is_refused_before_anything_is_read(config_file, capsys):
    path = with_causal(config_file, "refused", lens={"layers": [0, 7]})
    assert main([str(path), "--stage", "plan"]) == 2
    assert "causal.lens.layers[1]: layer 7 is outside 0..1 for this model (2 layers)." in capsys.readouterr().err
    path = with_causal(config_file, "refused", lens={"layer": [0]})
    assert main([str(path), "--stage", "plan"]) == 2
    assert "causal.lens.layer: unknown key (did you mean causal.lens.layers?)" in capsys.readouterr().err


def test_every_part_of_the_config_has_its_method_and_every_table_a_method_that_fills_it():
    fields = CausalSection.model_fields.values()
    parts = [kind for field in fields for kind in get_args(field.annotation) if kind not in (int, type(None))]
    methods = [method_of(part) for part in parts]
    assert len(parts) == len(fields) - 1 and len({type(method) for method in methods}) == len(parts)
    assert {name for method in methods for name in method.tables} == set(CAUSAL_TABLES)


def test_gradients_are_worked_out_once_for_all_methods(config_file, monkeypatch):
    calls = []
    real = seam.head_gradients

    def counted(*args, **kwargs):
        calls.append(kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(seam, "head_gradients", counted)
    patching = {"counterfactual": "swap_periods"}
    path = with_causal(config_file, "shared", attribution={}, attention_gradient={}, patching=patching, max_samples=3)
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "shared"
    assert calls == [{"keeps_outputs": True}] * 3
    assert table(run, "attributions")["sample_id"].n_unique() <= 3
    calls.clear()
    path = with_causal(config_file, "none", knockout={"key_groups": ["number"]}, max_samples=3)
    assert main([str(path), "--stage", "collect"]) == 0
    assert not calls and table(path.parent / "runs" / "none", "knockouts").height


@pytest.mark.parametrize(
    ("parts", "forwards"),
    [
        ({}, 0),
        ({"attribution": {}}, 1 + 3),
        ({"attribution": {}, "attention_gradient": {}, "patching": {"counterfactual": "flip_sign"}}, 1 + 3 + 1),
        ({"ablation": {}}, 1 + 8 * 0.51),
        ({"ablation": {"heads": {"top": 3}, "rows": "decision"}}, 1 + (1 + 3) + 6 * 0.009),
        ({"ablation": {"replace": "mean", "unit": "layer"}}, 1 + 1 + 2 * 0.51),
        ({"amplification": {"heads": [[0, 1], [1, 1]], "unit": "set", "factors": [0, 2, 3]}}, 1 + 3 * 0.51),
        ({"knockout": {}}, 1 + 2 * 5 * 0.009),
        ({"knockout": {"key_groups": ["a"], "rows": "response"}}, 1 + 2 * 0.51),
        ({"matched": {}}, 1 + 1 + (8 + 2) * 0.009),
        ({"matched": {"heads": [[0, 1]], "units": ["head"]}}, 1 + 1 + 0.009),
        # Two heads: 3 edges between them and 2 to the logits, circuits of 0, and of 1, 2, 4 in 1 + 3 orders; of half
        # of the samples, for the others choose.
        ({"circuit": {"heads": [[0, 1], [1, 0]], "replace": "zero"}}, 1 + (1 + 5 * 4) + (13 * 0.51 + 13) / 2),
        (
            {"circuit": {"heads": [[0, 1], [1, 0]], "replace": "zero", "selection": 1}},
            1 + (1 + 5 * 4) + 13 * 0.51 + 13,
        ),
        (
            {"circuit": {"heads": {"ablated": 1}, "steps": 1, "verified": 2}},
            1 + (1 + 8 * 0.51) + (1 + 4) + (2 * 0.51 + 1) / 2,
        ),
        (
            {"circuit": {"heads": {"top": 1}, "steps": 1, "replace": "matched"}},
            1 + (1 + 3) + (1 + 4) + (5 * 0.51 + 1) / 2 + 2,
        ),
    ],
)
def test_what_explaining_a_sample_costs(parts, forwards):
    """Plain forwards in a model of 2 layers x 4 heads with 5 key groups, by the costs in docs/causal.md."""
    section = CausalSection.model_validate(parts)
    assert section.forwards(num_layers=2, num_heads=4, num_groups=5) == pytest.approx(forwards, rel=1e-12)


def test_what_several_methods_say_in_one_table_is_joined():
    schema = pa.schema([("sample_id", pa.string()), ("layer", pa.int32()), ("head", pa.int32())])
    both = (
        schema.append(pa.field("a", pa.float32())).append(pa.field("b", pa.string())).append(pa.field("c", pa.int8()))
    )
    values = joined(HeadValues({"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}), HeadValues({"b": "same"}))
    assert values.table("x", both).to_pylist() == [
        {"sample_id": "x", "layer": layer, "head": head, "a": a, "b": "same", "c": None}
        for layer, head, a in [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)]
    ]
    rows = joined(Rows([{"layer": 0, "head": 1}]), Rows([{"layer": 1, "head": 0}]))
    assert rows.table("y", schema).to_pylist() == [
        {"sample_id": "y", "layer": 0, "head": 1},
        {"sample_id": "y", "layer": 1, "head": 0},
    ]
    assert Rows([]).table("z", schema).schema == schema
    with pytest.raises(AssertionError, match="do not mix"):
        joined(Rows([]), HeadValues({}))
    with pytest.raises(AssertionError, match="the schema has no"):
        HeadValues({"d": torch.zeros(1, 1)}).table("x", schema)
