"""What may differ between two parts of one run, and what ``run.yaml`` keeps of the earlier one."""

from __future__ import annotations

import copy

import pytest

from engine.config import Config
from engine.errors import ConfigError
from engine.storage.identity import adopt_analysis_settings, is_measured_alike, record_timing, write_run_yaml
from engine.storage.run_directory import RunDirectory

GIVEN = {
    "run": {"name": "one"},
    "predictions": {"path": "p.json"},
    "model": {"path": "model"},
    "vocabulary": {"a": ["b"]},
}


def config(**sections):
    given = copy.deepcopy(GIVEN)
    for name, values in sections.items():
        given.setdefault(name, {}).update(values)
    return Config.model_validate(given)


@pytest.fixture
def run_dir(tmp_path):
    """A run directory with the ``run.yaml`` of the plain config."""
    found = RunDirectory(tmp_path / "one")
    found.start()
    write_run_yaml(config(), found, {"model": "sha256:0"}, {"plan": 1.23456})
    return found


FREE = {
    "analysis": {"alpha": 0.01},
    "run": {"output": "elsewhere"},
    "cluster": {"max_retries": 5},
    "visualization": {"formats": ["html"]},
    "causal": {"max_samples": 3},
}
MEASURED = {
    "statistics": {"top_keys": 3},
    "cluster": {"tokens_per_batch": 800},
    "model": {"revision": "other"},
    "causal": {"attribution": {}},
    "run": {"seed": 8},
}


@pytest.mark.parametrize("section", FREE)
def test_what_numbers_do_not_depend_on_is_measured_alike(run_dir, section):
    other = config(**{section: FREE[section]})
    assert is_measured_alike(other, run_dir.read_run_yaml())
    adopt_analysis_settings(other, run_dir)
    assert run_dir.read_run_yaml()["config"] == other.model_dump(mode="json")


@pytest.mark.parametrize("section", MEASURED)
def test_what_numbers_depend_on_is_named(run_dir, section):
    other = config(**{section: MEASURED[section]})
    assert not is_measured_alike(other, run_dir.read_run_yaml())
    before = run_dir.read_run_yaml()
    with pytest.raises(ConfigError, match=rf"was measured with another {section}"):
        adopt_analysis_settings(other, run_dir)
    assert run_dir.read_run_yaml() == before


def test_a_key_that_one_side_lacks_is_a_difference_and_the_name_is_none(run_dir):
    record = run_dir.read_run_yaml()
    assert is_measured_alike(config(run={"name": "another"}), record)
    assert is_measured_alike(config(), {**record, "config": {**record["config"], "causal": None}})
    unknown = copy.deepcopy(record)
    unknown["config"]["statistics"]["of_a_later_version"] = 1
    assert not is_measured_alike(config(), unknown)


def test_nothing_is_adopted_where_nothing_was_measured(tmp_path):
    adopt_analysis_settings(config(), RunDirectory(tmp_path / "none"))
    record_timing(RunDirectory(tmp_path / "none"), "plan", 1.0)
    assert not list(tmp_path.iterdir())


def test_timings_of_other_stages_stay(run_dir):
    assert run_dir.read_run_yaml()["timings"] == {"plan": 1.235}
    write_run_yaml(config(), run_dir, {"model": "sha256:0"}, {"collect": 2.00049})
    record_timing(run_dir, "analyze", 3.99951)
    record = run_dir.read_run_yaml()
    assert record["timings"] == {"plan": 1.235, "collect": 2.0, "analyze": 4.0}
    assert record["fingerprints"] == {"model": "sha256:0"} and record["device"] is None and record["debug"] is False


def test_run_yaml_says_how_the_first_unit_was_measured(run_dir):
    from engine.storage.planned.units import PlannedUnit

    run_dir.plan.write_units([PlannedUnit("measure-00000", ["a"]), PlannedUnit("measure-00001", ["b"])])
    for number, device in enumerate(("cpu", "mps")):
        facts = {"num_tokens": 1, "device": device, "attention": "blocked", "fallback_layers": {"blocked": [number]}}
        run_dir.ledger.commit(f"measure-{number:05d}", ["ab"[number]], {}, [], facts)
    write_run_yaml(config(), run_dir, {}, {}, is_debug=True)
    record = run_dir.read_run_yaml()
    assert (record["device"], record["attention"], record["fallback_layers"]) == ("cpu", "blocked", {"blocked": [0]})
    assert record["debug"] is True and record["seed"] == config().run.seed and record["code"].startswith("sha256:")
