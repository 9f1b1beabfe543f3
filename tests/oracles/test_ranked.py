"""Choices that were scored one by one: measured where the prompt ends, with rows of the said and of the right "
"choice."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.encoding.encoded_files import read_batches, write_batches
from engine.measuring.measurer import Measurer
from tests.oracles.test_contrasts import plain, planned

GROUPS = ["decision", "answer", "answer_target"]
OPTIONS = ["a net loss", "more inventories", "the income", "costs"]
FIELDS = {"choices": "options", "target": "gold", "choice_scores": "scores"}


def rows():
    """The first row says the right choice, the second another one."""
    made = [{"id": n, "prompt": "Which of these?", "options": OPTIONS, "gold": 2, "scores": [[-9.0, False]] * 4}
            for n in range(2)]  # fmt: skip
    for row, said in zip(made, (2, 1), strict=True):
        row["scores"] = [[-1.0 if place == said else -9.0, False] for place in range(4)]
    return made


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()


@pytest.fixture
def prepared(tmp_path, tiny_model_dir):
    return planned(tmp_path, tiny_model_dir, rows(), {}, FIELDS, {"query_groups": GROUPS})


def test_the_sample_is_the_question_with_the_said_choice(prepared):
    _, tokenizer, samples = prepared
    for sample, said in zip(samples, (2, 1), strict=True):
        assert sample.text.endswith(f" {OPTIONS[said]}") and sample.decision_position == sample.num_prompt_tokens - 1
        assert sample.metadata["predicted_label"] == "ABCD"[said] and sample.metadata["label_source"] == "scores"
        assert sample.metadata["is_correct"] is (said == 2)
        for token in sample.label_tokens:
            other = tokenizer(f" {OPTIONS['ABCD'.index(token.label)]}", add_special_tokens=False)["input_ids"]
            assert other[token.row + 1 - sample.num_prompt_tokens] == token.token_id
    right, wrong = samples
    assert right.companion is None and np.array_equal(right.query_groups["answer"], right.query_groups["answer_target"])
    assert wrong.companion.text.endswith(f" {OPTIONS[2]}") and not len(wrong.query_groups["answer_target"])


def test_the_right_choice_has_its_own_rows(prepared, model):
    config, _, samples = prepared
    found = Measurer(model, config).forward_passes([samples], ["response"])().tables
    companion = replace(samples[1].companion, metadata=samples[1].metadata)
    alone = Measurer(model, config).forward_passes([[companion]], ["response"])().tables
    for table in ("head_stats", "baselines"):
        got, wanted = (
            [
                row
                for row in part[table].to_pylist()
                if row["sample_id"] == "1" and row["query_group"] == "answer_target"
            ]
            for part in (found, alone)
        )
        assert len(got) == len(wanted) > 0
        for one, two in zip(got, wanted, strict=True):
            assert one.keys() == two.keys()
            for name, value in two.items():
                assert one[name] == (pytest.approx(value, abs=2e-6) if isinstance(value, float) else value), name
    said = [
        row for row in found["head_stats"].to_pylist() if row["sample_id"] == "1" and row["query_group"] == "answer"
    ]
    assert any(
        abs(a["mass_response"] - b["mass_response"]) > 1e-3 for a, b in zip(said, got_masses(found), strict=True)
    )
    for sample, row in zip(samples, found["samples"].to_pylist(), strict=True):
        logprobs, token = plain(model, sample), {t.label: t for t in sample.label_tokens}
        first, second = row["contrast"].split("|")
        place = row["contrast_position"]
        own = int(sample.input_ids[place + 1])
        assert first == sample.metadata["predicted_label"] and place == token[second].row
        margin = float(logprobs[place, own] - logprobs[place, token[second].token_id])
        assert row["logit_difference"] == pytest.approx(margin, abs=2e-5)


def got_masses(tables):
    return [
        row
        for row in tables["head_stats"].to_pylist()
        if row["sample_id"] == "1" and row["query_group"] == "answer_target"
    ]


def test_companions_are_written_and_read(prepared, tmp_path):
    _, _, samples = prepared
    write_batches(tmp_path / "unit.parquet", [samples])
    ((first, second),) = read_batches(tmp_path / "unit.parquet")
    assert first.companion is None and second.companion.text == samples[1].companion.text
    assert np.array_equal(second.companion.input_ids, samples[1].companion.input_ids)
    assert second.companion.query_groups.keys() == samples[1].companion.query_groups.keys()
    assert second.label_tokens == samples[1].label_tokens and second.contrast == samples[1].contrast


@pytest.mark.parametrize("scores", [[1.0, 2.0], "x", [1.0, None, 2.0, 3.0], [1, 2, 3, float("nan")]])
def test_scores_that_do_not_fit_the_choices_are_refused(tmp_path, tiny_model_dir, scores):
    from engine.errors import InputError

    broken = [{**row, "scores": scores} for row in rows()]
    with pytest.raises(InputError, match=r"unreadable_choices.*a number for each of 4 choices"):
        planned(tmp_path, tiny_model_dir, json.loads(json.dumps(broken)), {}, FIELDS)
