"""The generated reference: every key explained and with an example that is accepted, every code and JSON key named."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from engine import errors
from engine.config import Config
from engine.config.yaml_text import read_yaml_text
from tests.fixtures.places import ROOT

BASE = {"predictions": {"path": "x"}, "model": {"path": "x"}}
NEEDED = {
    "predictions.join[]": {"path": "x", "on": "id"},
    "model.adapter": {"path": "x"},
    "statistics.patterns": {"samples": ["a"], "layers": [0], "heads": [0]},
    "causal.patching": {"counterfactual": "swap_periods"},
    "analysis.families[]": {"name": "words"},
    "analysis.groups[]": {"name": "year", "column": "year", "a": 1, "b": 2},
    "analysis.decodability.targets[]": {"name": "year", "column": "year", "a": 1, "b": 2},
    "analysis.strata[]": {"column": "year"},
    "analysis.hypotheses[]": {"name": "numbers", "key_group": "number"},
}
"""What a section needs beside the key that an example is of."""
TOGETHER = {
    ("causal.patching", "value"): {"counterfactual": "replace"},
    ("causal.patching", "counterfactual"): {"value": None},
    ("decision", "contrast"): {"labels": {"increase": [], "decrease": []}},
    ("analysis.hypotheses[]", "contrast"): {"layers": [0, 5]},
}
"""What an example needs that no other does."""


@pytest.fixture(scope="module")
def reference():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        yield importlib.import_module("reference_pages"), importlib.import_module("config_reference")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def placed(path, content):
    """Return a whole config with a section's content at its path."""
    tree = json.loads(json.dumps(BASE))
    node = tree
    parts = path.split(".") if path else []
    for part in parts[:-1]:
        node = node.setdefault(part.removesuffix("[]"), {})
    if not parts:
        return tree | content
    last = parts[-1]
    if last == "<name>":
        node["a"] = content
    elif last.endswith("[]"):
        node[last[:-2]] = [content]
    else:
        node[last] = node.get(last, {}) | content
    return tree


def test_every_example_is_accepted(reference):
    keys = reference[1].keys()
    assert len(keys) > 140
    for key in keys:
        if not key.example:
            continue
        content = NEEDED.get(key.path, {}) | TOGETHER.get((key.path, key.name), {})
        example = read_yaml_text(key.example)
        Config.model_validate(placed(key.path, content | {key.name: example}))


def test_defaults_and_values_are_those_of_the_models(reference):
    found = reference[1].keys()
    by_name = {(key.path, key.name): key for key in found}
    assert by_name["cluster", "mode"].kind == "`inline`, `local`, `auto`"
    assert by_name["cluster", "mode"].default == "`auto`"
    assert by_name["analysis", "alpha"].default == "`0.05`" and "< 1" in by_name["analysis", "alpha"].kind
    assert by_name["predictions", "path"].default == "required"
    assert by_name["predictions.join[]", "on"].example == "{id: doc_id}"


def test_every_exit_code_and_table_has_its_line(reference):
    pages = reference[0]
    assert set(pages.EXIT_CODES) == {name for name in dir(errors) if name.startswith("EXIT_")}
    text = pages.exit_codes_page()
    assert "| 75 | Stopped" in text and "`ConfigError` | 2 |" in text
    tables = pages.tables_page()
    for column in ("`mass_<key group>`", "`entropy_nats`", "`pvalue_adjusted`", "`field_<name>`"):
        assert column in tables, column


def test_every_key_of_a_runs_files_says_what_it_holds(reference):
    text = reference[0].json_page()
    assert "`num_rejects`" in text and "`seconds`" in text
    assert [line for line in text.splitlines() if line.endswith("|  |")] == [], "nobody says what these hold"
