"""Rows of predictions, in any shape, become samples or rejects with a reason."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import InputError
from engine.inputs.predictions import read_predictions
from engine.inputs.transcripts import split_transcript
from engine.samples import Message
from tests.fixtures.prediction_files import config, read_one, with_answer, write
from tests.fixtures.predictions import records


def test_every_row_becomes_a_sample(tmp_path):
    rows = records(10)
    found = read_predictions(config(write(tmp_path, rows)))
    assert (found.num_rows, len(found.samples), found.rejects) == (10, 10, [])
    for row, sample in zip(rows, found.samples, strict=True):
        assert sample.sample_id == f"{row['company_id']}-{row['year']}"
        assert (sample.cluster, sample.year) == (str(row["company_id"]), row["year"])
        assert (sample.predicted_label, sample.actual_label) == (row["predicted_direction"], row["actual_label"])
        assert sample.is_correct == row["is_match"] and sample.label_source == "field"
        assert sample.response[sample.label_start : sample.label_end] == row["predicted_direction"].title()
        rebuilt = "\n".join(f"{m.role}\n{m.content}" for m in sample.messages) + f"\nassistant\n{sample.response}"
        assert rebuilt == row["full_model_response"]


def test_the_same_records_in_four_formats(tmp_path):
    rows = records(6)
    wide = [{**row, "company_id": str(row["company_id"])} for row in rows]
    paths = [write(tmp_path, rows)]
    lines = tmp_path / "p.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    parquet = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist(wide), parquet)
    table = tmp_path / "p.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    expected = read_predictions(config(paths[0])).samples
    for path in (lines, parquet, table):
        assert read_predictions(config(path)).samples == expected, path


def test_columns_are_mapped(tmp_path):
    rows = [{"firm": 1, "fy": 2001, "truth": "Increase", "said": "DECREASE.", "q": "Will EPS rise?", "a": "Decrease"}]
    fields = {"cluster": "firm", "year": "fy", "actual": "truth", "predicted": "said", "prompt": "q", "response": "a"}
    found = read_predictions(config(write(tmp_path, rows), predictions={"fields": fields}, prompt={"source": "fields"}))
    (sample,) = found.samples
    assert (sample.cluster, sample.year, sample.actual_label, sample.predicted_label) == (
        "1",
        2001,
        "increase",
        "decrease",
    )
    assert sample.raw_predicted_label == "DECREASE." and sample.messages == (Message("user", "Will EPS rise?"),)


def test_chat_messages(tmp_path):
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "It will increase."}]
    rows = [{"id": 7, "predicted_direction": "increase", "messages": messages}, {"id": 8, "messages": "no list"}]
    found = read_predictions(config(write(tmp_path, rows), prompt={"source": "messages"}))
    assert [s.sample_id for s in found.samples] == ["7"] and found.samples[0].label_start == len("It will ")
    assert [(r.sample_id, r.reason) for r in found.rejects] == [("8", "no_roles")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (with_answer('{"direction_of_eps_change": "<Increase/Decrease>"}', "<increase/decrease>"), "template_echo"),
        (with_answer('{"direction_of_eps_change": "<Increase/Decrease>"}', "error"), "template_echo"),
        (with_answer('{"direction_of_eps_change": "Uncertain"}', "uncertain"), "no_label"),
        (with_answer('{"direction_of_eps_change": "Increase or decrease"}', "error"), "ambiguous_label"),
        (with_answer("I cannot tell.", "error"), "no_label"),
        (with_answer("I cannot tell.", "increase"), "no_decision"),
        (with_answer("   ", "increase"), "no_response"),
        ({"company_id": 1, "year": 2, "predicted_direction": "increase"}, "missing_field"),
        ({"company_id": 1, "year": 2, "full_model_response": "no roles here"}, "no_roles"),
        ({"company_id": 1, "year": 2, "full_model_response": None}, "missing_field"),
        ([1, 2], "unreadable_row"),
    ],
    ids=[
        "echo in both",
        "echo in the answer",
        "label of no task",
        "two labels",
        "no label anywhere",
        "label in the record only",
        "empty answer",
        "no transcript",
        "no roles",
        "null transcript",
        "a list",
    ],
)
def test_unusable_rows_are_rejected_with_a_reason(tmp_path, row, reason):
    found = read_predictions(config(write(tmp_path, [*records(2), row, *records(4)[2:]])))
    assert len(found.samples) == 4
    (reject,) = found.rejects
    assert reject.reason == reason and reject.detail


def test_roles_are_lines_and_the_first_assistant_counts():
    text = "system\nBe kind.\nuser\nQ?\nuser\nmore\nassistant\nHello\nassistant\nagain"
    messages, response = split_transcript(text)
    assert messages == (Message("system", "Be kind."), Message("user", "Q?\nuser\nmore"))
    assert response == "Hello\nassistant\nagain"
    messages, _ = split_transcript("user\nan assistant\nassistant\nok")
    assert messages == (Message("user", "an assistant"),)


def test_kept_special_tokens_give_the_same_roles():
    kept = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA increase<|im_end|>"
    assert split_transcript(kept) == ((Message("system", "S"), Message("user", "U")), "A increase")


def test_no_row_with_a_decision(tmp_path):
    rows = [with_answer("nothing", "error"), {**with_answer("x", "error"), "year": 5}]
    with pytest.raises(InputError, match=r"none of 2 row.*2 no_label"):
        read_predictions(config(write(tmp_path, rows)))


def test_windows_line_ends_of_the_file_are_not_the_models(tmp_path):
    row = records(1)[0]
    windows = {**row, "full_model_response": row["full_model_response"].replace("\n", "\r\n")}
    one, other = (read_predictions(config(write(tmp_path, [r]))).samples for r in (row, windows))
    assert one == other


def test_llama_transcripts_with_kept_tokens():
    text = (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nUp or down?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nincrease<|eot_id|>"
    )
    assert split_transcript(text) == ((Message("user", "Up or down?"),), "increase")


def test_structured_prompts_and_messages(tmp_path):
    parts = [
        {"role": "User", "content": [{"type": "text", "text": "Up"}, {"type": "text", "text": "?"}]},
        {"from": "gpt", "value": "increase"},
    ]
    rows = [
        {"id": 1, "messages": parts},
        {"id": 2, "messages": str(parts)},
        {"id": 3, "messages": {"messages": parts}},
        {"id": 4, "messages": [{"role": "user", "content": None}, parts[1]]},
        {"id": 5, "messages": [{"content": "x"}]},
    ]
    found = read_predictions(config(write(tmp_path, rows), prompt={"source": "messages"}))
    assert [sample.messages for sample in found.samples] == [(Message("user", "Up?"),)] * 3
    assert [reject.reason for reject in found.rejects] == ["not_text", "no_roles"]
    rows = [
        {"id": 1, "prompt": parts, "response": "increase"},
        {"id": 2, "prompt": "?", "response": {"a": "increase"}},
        {"id": 3, "prompt": "?", "response": "increase"},
    ]
    found = read_predictions(config(write(tmp_path, rows), prompt={"source": "fields"}))
    assert [reject.reason for reject in found.rejects] == ["not_text", "not_text"] and len(found.samples) == 1


def test_lines_that_could_be_roles_are_flagged(tmp_path):
    sample = read_one(tmp_path, 'First thoughts.\nuser\nand more\n{"direction_of_eps_change": "Increase"}', "increase")
    assert sample.flags == ("role_lines_inside",)
