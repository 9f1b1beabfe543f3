"""The users' first real file, made anew with outcomes known in advance: every row is used or says why not."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
import pytest

from engine.config import Config
from engine.inputs.predictions import read_predictions
from engine.run import main
from tests.fixtures.users_file import BROKEN, HEDGES, users_file


@pytest.fixture(scope="module")
def cases():
    return users_file()


@pytest.fixture(scope="module")
def path(cases, tmp_path_factory):
    path = tmp_path_factory.mktemp("users") / "predictions_checkpoint_1800.json"
    path.write_text(json.dumps([row for row, _ in cases], indent=1))
    return path


def test_the_file_is_as_the_real_one(cases):
    labels = Counter(row["predicted_direction"] for row, _ in cases)
    assert len(cases) == 1836 and (labels["increase"], labels["decrease"]) == (559, 398)
    assert (labels["error"], labels["<increase/decrease>"]) == (560, 122) == (sum(BROKEN.values()), 122)
    assert len(HEDGES) == 29 and sum(number for number, _ in HEDGES.values()) == 197
    assert sum(labels[hedge] for hedge in HEDGES) == 197


def test_every_row_is_accounted_for_as_known_in_advance(cases, path):
    config = Config.model_validate({"predictions": {"path": str(path)}, "model": {"path": "m"}})
    found = read_predictions(config)
    assert found.num_rows == 1836 == len(found.samples) + len(found.rejects)
    expected = {f"{row['company_id']}-{row['year']}": case for row, case in cases}
    for sample in found.samples:
        case = expected.pop(sample.sample_id)
        assert (sample.predicted_label, sample.label_source) == (case.label, case.source), sample
        assert set(sample.flags) == set(case.flags)
        word = sample.response[sample.label_start : sample.label_end].lower()
        assert word.startswith(sample.answer_label), "the decision stands in the label's word"
        recovered = "High" if "certainty_of_assessment" in sample.response else "Error"
        assert sample.certainty == (recovered if sample.raw_predicted_label == "error" else "Medium")
    for reject in found.rejects:
        assert reject.reason == expected.pop(reject.sample_id).reason, reject
    assert not expected
    sources = Counter(sample.label_source for sample in found.samples)
    reasons = Counter(reject.reason for reject in found.rejects)
    assert sources == {"field": 957 + 123, "repaired_json": 380, "json": 92, "response_text": 50}
    assert reasons == {"template_echo": 125, "no_label": 87, "ambiguous_label": 22}


def test_the_plan_says_all_of_it(cases, config_file, tmp_path, capsys):
    """Of every fourth row, which holds some of all kinds."""
    few = cases[::4]
    path = tmp_path / "few.json"
    path.write_text(json.dumps([row for row, _ in few], indent=1))
    used = [case for _, case in few if not case.reason]
    assert main([str(config_file), f"predictions.path={path}", "--stage", "plan"]) == 0
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    assert (plan["num_rows"], plan["num_samples"], plan["num_rejects"]) == (459, len(used), 459 - len(used))
    assert plan["samples_by_label_source"] == Counter(case.source for case in used)
    assert set(plan["samples_by_label_source"]) == {"field", "repaired_json", "json", "response_text"}
    assert plan["rejects_by_reason"] == Counter(case.reason for _, case in few if case.reason)
    assert set(plan["rejects_by_reason"]) == {"template_echo", "no_label", "ambiguous_label"}
    flags = Counter(flag for case in used for flag in case.flags)
    # The small tokenizer joins blanks to some words and not to others, which is a flag of its own.
    assert plan["samples_by_flag"].pop("decision_beside_word") > 0 and plan["samples_by_flag"] == flags
    assert set(flags) == {"hedged_label", "contradiction"}
    assert plan["num_samples_with_statement"] == plan["num_samples_with_periods"] == len(used)
    folder = config_file.parent / "runs" / "test" / "plan"
    printed = capsys.readouterr().out
    assert (folder / "plan.txt").read_text().strip() in printed
    told = f"repaired_json {plan['samples_by_label_source']['repaired_json']}", f"hedged_label {flags['hedged_label']}"
    for words in ("template_echo", *told, f"{len(used)} of {len(used)} samples hold a table"):
        assert words in printed
    rejects = pl.read_parquet(folder / "rejects.parquet")
    units = pl.concat([pl.read_parquet(file) for file in sorted((folder / "encoded").glob("*.parquet"))])
    ids = [*rejects["sample_id"], *units["sample_id"]]
    assert len(ids) == len(set(ids)) == 459
