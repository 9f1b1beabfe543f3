"""What a run directory says of itself: records that come back from their files as they were written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.errors import RunFailedError
from engine.run import main
from engine.schema import layout
from engine.schema.manifests import manifest_digest
from engine.storage.planned.plan import Plan
from engine.storage.planned.units import CausalPlan, CircuitPlan, Partner, PlannedUnit, ScreenedHeads
from engine.storage.records import LedgerRow
from engine.storage.run_directory import RunDirectory


@pytest.fixture
def planned(config_file):
    assert main([str(config_file), "--stage", "plan"]) == 0
    return RunDirectory(config_file.parent / "runs" / "test")


def test_a_plan_comes_back_as_it_was_written(planned):
    plan = planned.plan.read()
    content = json.loads((planned.root / layout.PLAN).read_text())
    assert content.pop("digest") == manifest_digest(content)
    assert json.dumps(plan.to_json()) == json.dumps(content)  # keys and their order too
    assert (plan.num_samples, plan.num_shards, plan.model.num_layers, plan.model.dtype) == (12, 3, 2, "float32")
    assert plan.predicted_flop.measure > 0 and set(plan.checksums) == {layout.PLANNED_UNITS, layout.PLAN_REJECTS}


def test_keys_of_other_versions_are_passed_over_and_missing_ones_named(planned):
    content = planned.plan.read().to_json()
    older = {name: value for name, value in content.items() if name not in ("is_causal", "predicted_flop")}
    plan = Plan.from_json({**older, "of_a_later_version": 1})
    assert plan.is_causal is False and plan.predicted_flop is None and plan.key_groups == content["key_groups"]
    del content["num_rows"]
    with pytest.raises(ValueError, match="it lacks num_rows"):
        Plan.from_json(content)


@pytest.mark.parametrize("content", ["{", "{}", '{"num_rows": 12}', "[]"], ids=["cut off", "empty", "poor", "list"])
def test_a_damaged_plan_is_named(planned, content):
    path = planned.root / layout.PLAN
    path.write_text(content)
    with pytest.raises(RunFailedError, match=r"plan\.json: is damaged .*--fresh"):
        planned.plan.read()
    path.unlink()
    assert planned.plan.read() is None and planned.plan.damage() == []


def test_a_plan_that_was_changed_is_named_and_one_without_a_checksum_is_read(planned):
    path = planned.root / layout.PLAN
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"num_tokens": content["num_tokens"] + 1}))
    with pytest.raises(RunFailedError, match=r"plan\.json: is damaged"):
        planned.plan.read()
    del content["digest"]  # as earlier versions wrote it
    path.write_text(json.dumps(content))
    assert planned.plan.read().num_samples == 12


def test_units_of_a_plan_have_checksums(planned):
    units = planned.plan.units()
    assert [unit.name for unit in units] == ["measure-00000", "measure-00001", "measure-00002"]
    assert sum(len(unit.sample_ids) for unit in units) == 12 and all(len(unit.sha256) == 64 for unit in units)
    path = planned.plan.check_encoded("measure-00001")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunFailedError, match=r"measure-00001\.parquet: is missing or damaged"):
        planned.plan.check_encoded("measure-00001")


def test_a_causal_plan_comes_back_as_it_was_written():
    plan = CausalPlan(
        units=[PlannedUnit("causal-00000", ["a", "b"], "measure-00003")],
        partners={"a": Partner("measure-00003", "b"), "b": Partner("measure-00003", "a")},
        screened=ScreenedHeads([(0, 1), (1, 3)], [(0, 2)]),
        fingerprints={"head_means": "0123"},
    )
    content = json.loads(json.dumps(plan.to_json()))
    assert content == {
        "units": [{"name": "causal-00000", "source": "measure-00003", "sample_ids": ["a", "b"]}],
        "partners": {"a": ["measure-00003", "b"], "b": ["measure-00003", "a"]},
        "screened": {"top": [[0, 1], [1, 3]], "random": [[0, 2]]},
        "fingerprints": {"head_means": "0123"},
    }
    assert CausalPlan.from_json(content) == plan
    edges = [["number", [1, 3], "v"], [[0, 1], [1, 3], "q"], [[0, 1], None, "logits"]]
    with_circuit = replace(plan, circuit=CircuitPlan([(0, 1), (1, 3)], ["number"], edges, [[1, 0]], ["b"]))
    content = json.loads(json.dumps(with_circuit.to_json()))
    assert content["circuit"]["heads"] == [[0, 1], [1, 3]] and content["circuit"]["edges"] == edges
    assert CausalPlan.from_json(content) == with_circuit


def test_a_ledger_row_passes_through_json():
    row = LedgerRow("measure-00000", "committed", num_samples=3, num_tokens=7, seconds=0.5)
    assert LedgerRow(**json.loads(json.dumps(row.to_json()))) == row
