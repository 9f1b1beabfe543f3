import csv
import json
import random
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import Config
from engine.errors import InputError
from engine.predictions import read_predictions
from engine.samples import Message
from engine.transcripts import split_transcript
from tests.conftest import answer, record, records


def config(path, **sections):
    predictions = {"path": str(path), **sections.pop("predictions", {})}
    return Config.model_validate({"predictions": predictions, "model": {"path": "m"}, **sections})


def write(tmp_path, rows, name="p.json"):
    path = tmp_path / name
    path.write_text(json.dumps(rows))
    return path


def with_answer(text, predicted, rng=None):
    row = record(0, rng or random.Random(0), "increase")
    head = row["full_model_response"].partition("\nassistant\n")[0]
    return {
        **row,
        "company_id": 7777,
        "predicted_direction": predicted,
        "full_model_response": f"{head}\nassistant\n{text}",
    }


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
    ("text", "predicted", "label", "source", "flags"),
    [
        ('{"direction_of_eps_change": "Increase"}', "increase", "increase", "field", ()),
        ('{"direction_of_eps_change": "Increase"}', " INCREASE! ", "increase", "field", ()),
        ('{"direction_of_eps_change": "Increase"}', "error", "increase", "json", ()),
        ('```json\n{"direction_of_eps_change": "Decrease", "reason": "a "b" c"}\n```', "error", "decrease",
         "repaired_json", ()),
        ('```json\n{\n"direction_of_eps_change": "Moderate Increase",\n"x": 1\n"\n}\n```', "error", "increase",
         "repaired_json", ("hedged_label",)),
        ('{"direction_of_eps_change": "Slight decrease"}', "slight decrease", "decrease", "field", ("hedged_label",)),
        ('{"direction_of_eps_change": "Decrease"}', "increase", "increase", "field", ("contradiction",)),
        ("EPS will decrease. Margins increase. So: increase", "increase", "increase", "field", ()),
        ("Costs increased. Therefore EPS will likely decrease.", "error", "decrease", "response_text", ()),
        ("**direction_of_eps_change**: Increase", "error", "increase", "repaired_json", ()),
        ("Direction of EPS change: Decrease", "error", "decrease", "repaired_json", ()),
        ('{"direction_of_eps_change": "Decrease"}', "<increase/decrease>", "decrease", "json", ()),
        ('{"direction_of_eps_change": "Increase", "prior_direction_of_eps_change": "Decrease"}', "error", "increase",
         "json", ()),
        ('{"Direction_of_EPS_Change": "Decrease"}', "error", "decrease", "json", ()),
        ('{"result": {"direction_of_eps_change": "Decrease"}, "n": [1]}', "error", "decrease", "json", ()),
        ('{"direction_of_eps_change": "\u0131ncrease"}', "error", "increase", "json", ("hedged_label",)),
        ('{"direction_of_eps_change": ["Increase"]}', "error", "increase", "json", ()),
        ('{\\"direction_of_eps_change\\": \\"Decrease\\"}', "error", "decrease", "repaired_json", ()),
    ],
)  # fmt: skip
def test_labels_are_recovered_and_say_how(tmp_path, text, predicted, label, source, flags):
    found = read_predictions(config(write(tmp_path, [with_answer(text, predicted)])))
    (sample,) = found.samples
    assert (sample.predicted_label, sample.label_source, sample.flags) == (label, source, flags)


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
)
def test_unusable_rows_are_rejected_with_a_reason(tmp_path, row, reason):
    found = read_predictions(config(write(tmp_path, [*records(2), row, *records(4)[2:]])))
    assert len(found.samples) == 4
    (reject,) = found.rejects
    assert reject.reason == reason and reject.detail


def test_the_last_json_field_is_the_decision(tmp_path):
    text = (
        '{"direction_of_eps_change": "Decrease"} ... on reflection\n{"direction_of_eps_change": "Increase"} or decrease'
    )
    (sample,) = read_predictions(config(write(tmp_path, [with_answer(text, "increase")]))).samples
    assert sample.label_start == text.rindex("Increase") and sample.label_source == "field"


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


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.json", "[]", "holds no prediction"),
        ("p.json", "[{", "not valid JSON"),
        ("p.json", '{"a": 1}', "must hold a list"),
        ("p.json", '"text"', "must hold a list"),
        ("p.txt", "[]", "unknown suffix"),
        ("p.parquet", "PAR0", "not a readable Parquet"),
        ("p.json", "\ud800", "not UTF-8"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=words):
        read_predictions(config(path))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_predictions(config(tmp_path / "none.json"))


def test_duplicate_ids_are_refused_by_name(tmp_path):
    rows = records(4)
    with pytest.raises(InputError, match=r"1 sample id\(s\).*'1000-1990'.*company_id and year"):
        read_predictions(config(write(tmp_path, [*rows, rows[0]])))


def test_no_row_with_a_decision(tmp_path):
    rows = [with_answer("nothing", "error"), {**with_answer("x", "error"), "year": 5}]
    with pytest.raises(InputError, match=r"none of 2 row.*2 no_label"):
        read_predictions(config(write(tmp_path, rows)))


def test_broken_lines_of_json_lines_are_rejects(tmp_path):
    path = tmp_path / "p.jsonl"
    good = records(2)
    path.write_text(json.dumps(good[0]) + "\n{broken\n" + json.dumps(good[1]) + "\n[1]\n")
    found = read_predictions(config(path))
    assert len(found.samples) == 2 and found.num_rows == 4
    assert [(r.sample_id, r.reason) for r in found.rejects] == [
        ("row-2", "unreadable_row"),
        ("row-4", "unreadable_row"),
    ]


def test_the_conclusion_decides_in_prose(tmp_path):
    text = "I expect a decrease of 3.5 percent. Sales did increase, though."
    (sample,) = read_predictions(config(write(tmp_path, [with_answer(text, "error")]))).samples
    assert (sample.predicted_label, sample.label_start) == ("decrease", text.index("decrease"))
    both = "In conclusion it may increase or decrease."
    with pytest.raises(InputError, match="no_label"):
        read_predictions(config(write(tmp_path, [with_answer(both, "error")])))


def test_single_letters_are_labels_in_their_own_case(tmp_path):
    row = {"id": 1, "prompt": "A or B?", "response": "I choose A. It has a good margin, a bit."}
    decision = {"labels": {"A": [], "B": []}, "field": None}
    found = read_predictions(config(write(tmp_path, [row]), decision=decision, prompt={"source": "fields"}))
    assert found.samples[0].predicted_label == "A" and found.samples[0].label_start == len("I choose ")


def test_windows_line_ends_of_the_file_are_not_the_models(tmp_path):
    row = records(1)[0]
    windows = {**row, "full_model_response": row["full_model_response"].replace("\n", "\r\n")}
    one, other = (read_predictions(config(write(tmp_path, [r]))).samples for r in (row, windows))
    assert one == other


def test_llama_transcripts_with_kept_tokens():
    text = ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nUp or down?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nincrease<|eot_id|>")  # fmt: skip
    assert split_transcript(text) == ((Message("user", "Up or down?"),), "increase")


def test_float_ids_and_other_delimiters(tmp_path):
    rows = [{**row, "company_id": float(row["company_id"]), "year": float(row["year"])} for row in records(2)]
    parquet = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    assert [s.sample_id for s in read_predictions(config(parquet)).samples] == ["1000-1990", "1000-1991"]
    table = tmp_path / "p.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)  # a CSV of a frame of floats: "1000.0"
    samples = read_predictions(config(table)).samples
    assert [s.sample_id for s in samples] == ["1000-1990", "1000-1991"]
    assert [(s.cluster, s.year) for s in samples] == [("1000", 1990), ("1000", 1991)]


def test_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(records(2)).encode())
    assert len(read_predictions(config(path)).samples) == 2


def test_selection_is_seeded_balanced_and_accounted_for(tmp_path):
    path = write(tmp_path, records(40))
    settings = {"max_samples": 8, "balance": ["predicted_label"]}
    first, again = (read_predictions(config(path, predictions=settings)) for _ in range(2))
    other = read_predictions(config(path, predictions=settings, run={"seed": 1}))
    assert first.samples == again.samples and first.samples != other.samples
    assert sum(s.predicted_label == "increase" for s in first.samples) == 4
    assert {r.reason for r in first.rejects} == {"not_selected"} and len(first.samples) + len(first.rejects) == 40


def test_filter_keeps_what_it_names(tmp_path):
    found = read_predictions(config(write(tmp_path, records(6)), predictions={"filter": {"year": 1990}}))
    assert {s.year for s in found.samples} == {1990} and {r.reason for r in found.rejects} == {"filtered"}
    assert len(found.samples) == 3 and len(found.rejects) == 3


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({"min": "1990-03-31"}, [0, 1]),
        ({"min": date(1990, 4, 1), "max": date(1990, 12, 31)}, [1]),
        ({"max": "1990-12-30"}, [0]),
        ({"min": "1990-01-01", "not": "1990-12-31T10:00:00"}, [0]),
    ],
)
def test_dates_have_bounds(tmp_path, bounds, kept):
    days = ["1990-03-31", "1990-12-31T10:00:00", None, "soon", 1990]
    rows = [{**row, "sample_id": str(i), "filed": days[i]} for i, row in enumerate(records(5))]
    found = read_predictions(config(write(tmp_path, rows), predictions={"filter": {"filed": bounds}}))
    assert [sample.sample_id for sample in found.samples] == [str(number) for number in kept]
    assert [reject.reason for reject in found.rejects] == ["filtered"] * (5 - len(kept))


def test_other_labels_than_finance(tmp_path):
    row = {"id": "a", "predicted_direction": "positive", "prompt": "Great film.", "response": "Sentiment: Positive"}
    decision = {"labels": {"positive": ["positive"], "negative": ["negative"]}, "contrast": ["positive", "negative"],
                "field": None}  # fmt: skip
    found = read_predictions(config(write(tmp_path, [row]), decision=decision, prompt={"source": "fields"}))
    assert found.samples[0].response[found.samples[0].label_start :] == "Positive"


@pytest.mark.parametrize(
    ("labels", "answer", "label", "word"),
    [
        ({"up": ["steigt", "Zunahme"], "down": ["fällt", "Abnahme"]}, "Umsatz steigt, der Gewinn fällt.", None, ""),
        ({"up": ["steigt"], "down": ["fällt"]}, "Kosten steigen. Der Gewinn FÄLLT also.", "down", "FÄLLT"),
        ({"up": ["增加"], "down": ["减少"]}, "因此每股收益将增加。", "up", "增加"),
        ({"up": ["上昇"], "down": ["下落"]}, "結論:来年は下落すると予想します。", "down", "下落"),
        ({"up": ["زيادة"], "down": ["انخفاض"]}, "أتوقع انخفاض الأرباح.", "down", "انخفاض"),
        ({"entailment": [], "neutral": [], "contradiction": []}, "The answer is Neutral.", "neutral", "Neutral"),
        ({"1": [], "0": []}, "I rate it 10 of 10. Answer: 1", "1", "1"),
        ({"very good": [], "good": []}, "Overall it is very  good.", "very good", "very  good"),
    ],
)
def test_labels_of_other_tasks_and_languages(tmp_path, labels, answer, label, word):
    row = {"id": 1, "prompt": "?", "response": answer}
    made = config(write(tmp_path, [row]), decision={"labels": labels, "field": None}, prompt={"source": "fields"})
    if label is None:
        with pytest.raises(InputError, match="no_label"):
            read_predictions(made)
        return
    (sample,) = read_predictions(made).samples
    assert sample.predicted_label == label and sample.label_source == "response_text"
    assert sample.response[sample.label_start : sample.label_end] == word


def test_certainty_and_magnitude_of_error_rows_come_from_the_answer(tmp_path):
    text = ('{"direction_of_eps_change": "Increase", "magnitude_of_change": "Slight",\n'
            '"certainty_of_assessment": "<High/Medium/Low>", "reason": "a "b""}')  # fmt: skip
    row = {**with_answer(text, "error"), "certainty": "Error", "magnitude": "Error"}
    (sample,) = read_predictions(config(write(tmp_path, [row]))).samples
    assert (sample.magnitude, sample.certainty) == ("Slight", "Error"), "a template is no answer"
    (sample,) = read_predictions(config(write(tmp_path, [{**row, "magnitude": "Large"}]))).samples
    assert sample.magnitude == "Large", "what the record says counts first"


def test_answers_of_the_fixture_name_both_labels_before_the_decision():
    assert "increase" in answer("decrease", random.Random(1)).lower()


def read_one(tmp_path, text, predicted="error", **sections):
    path = write(tmp_path, [with_answer(text, predicted)])
    try:
        (sample,) = read_predictions(config(path, **sections)).samples
    except InputError as error:
        return str(error)
    return sample


@pytest.mark.parametrize(
    "conclusion",
    [
        "**Final Answer:**\n\nIncrease", "## Prediction\n\n**Increase**", "### Increase", "\\boxed{Increase}",
        "<direction_of_eps_change>Increase</direction_of_eps_change>", "| direction_of_eps_change | Increase |",
        "direction_of_eps_change → Increase", "The direction_of_eps_change is Increase.",
        "Therefore I predict an increase. A better forecast would need costs to decrease.",
        "I predict that EPS will increase. If demand falls, EPS would likely decrease.",
        "EPS is unlikely to decrease. I expect an increase.", "Not a decrease but an increase is what I predict.",
    ],
)  # fmt: skip
def test_what_is_stated_last_outranks_what_was_expected_before(tmp_path, conclusion):
    sample = read_one(tmp_path, f"Costs are expected to decrease next year.\n\n{conclusion}")
    assert sample.predicted_label == "increase"
    assert sample.response[sample.label_start : sample.label_end].lower() == "increase"
    assert sample.label_source == "repaired_json" or "prose_disagrees" in sample.flags


@pytest.mark.parametrize("said", ["No increase", "Unlikely to increase", "not expected to increase", "non-increase"])
def test_a_denied_label_is_none(tmp_path, said):
    assert "denied_label" in read_one(tmp_path, '{"direction_of_eps_change": "' + said + '"}')
    assert "denied_label" in read_one(tmp_path, "No idea.", said)
    assert "denied_label" in read_one(tmp_path, f"My answer: {said}.", None)
    assert "no_label" in read_one(tmp_path, "No idea.", None)
    labels = {"labels": {"yes": ["yes"], "no": ["no"]}, "field": "answer"}
    sample = read_one(tmp_path, '{"answer": "No"}', decision=labels)
    assert sample.predicted_label == "no", "a label is no denial"


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (["up", "down"], '{"direction_of_eps_change": "UP"}', "up"),
        (["up", "down"], "direction_of_eps_change: **Up**", "up"),
        (["yes", "no"], "**Answer: No**", "no"),
        (["yes", "no"], "No, it does not.", "no"),
        (["A", "B"], '{"direction_of_eps_change": "b"}', "B"),
        (["increase", "decrease"], '{"direction_of_eps_change": "MODERATE_INCREASE"}', "increase"),
        (["increase", "decrease"], "Final answer: _decrease_", "decrease"),
        (["1", "0"], '{"direction_of_eps_change": 1}', "1"),
        (["increase", "decrease"], '{"direction_of_eps_change": "Slight "increase" seen", "reason": "x"}', "increase"),
        (["increase", "decrease"], '{"direction_of_eps_change": "\\"Increase\\""}', "increase"),
        (["increase", "decrease"], '{"direction_of_eps_change": "Moderate\nIncrease", "n": 1}', "increase"),
        (["increase", "decrease"], '{"direction_of_eps_change": {\n "label": "Increase"\n}}', "increase"),
    ],
)
def test_values_in_other_dress(tmp_path, labels, text, label):
    sample = read_one(tmp_path, text, decision={"labels": labels})
    assert sample.predicted_label == label == sample.answer_label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('```json\n{"F": "Decrease"}\n```\nOn reflection:\n{"F": "Increase"}', "increase"),
        ('{"F": "Increase"}\nNote: F: one of increase or decrease.', "increase"),
        ('{"F": "Increase", "r": 1}\n{"F": ', "increase"),
        ('{"F": "Increase", "reason": "F: costs decrease"}', "increase"),
        ('{"F": "Increase"}\nThe format was {"F": "<Increase/Decrease>"}', "increase"),
        ("F: I must choose between increase and decrease.\nTherefore I predict an increase.", None),
    ],
)
def test_label_and_decision_come_from_the_same_place(tmp_path, text, label):
    sample = read_one(tmp_path, text.replace("F", "direction_of_eps_change"))
    if label is None:
        assert "ambiguous_label" in sample
        return
    assert (sample.predicted_label, sample.answer_label, sample.flags) == (label, label, ())


def test_structured_prompts_and_messages(tmp_path):
    parts = [{"role": "User", "content": [{"type": "text", "text": "Up"}, {"type": "text", "text": "?"}]},
             {"from": "gpt", "value": "increase"}]  # fmt: skip
    rows = [
        {"id": 1, "messages": parts}, {"id": 2, "messages": str(parts)}, {"id": 3, "messages": {"messages": parts}},
        {"id": 4, "messages": [{"role": "user", "content": None}, parts[1]]}, {"id": 5, "messages": [{"content": "x"}]},
    ]  # fmt: skip
    found = read_predictions(config(write(tmp_path, rows), prompt={"source": "messages"}))
    assert [sample.messages for sample in found.samples] == [(Message("user", "Up?"),)] * 3
    assert [reject.reason for reject in found.rejects] == ["not_text", "no_roles"]
    rows = [{"id": 1, "prompt": parts, "response": "increase"}, {"id": 2, "prompt": "?", "response": {"a": "increase"}},
            {"id": 3, "prompt": "?", "response": "increase"}]  # fmt: skip
    found = read_predictions(config(write(tmp_path, rows), prompt={"source": "fields"}))
    assert [reject.reason for reject in found.rejects] == ["not_text", "not_text"] and len(found.samples) == 1


def test_rows_that_a_filter_leaves_out_may_repeat_ids(tmp_path):
    rows = [{**row, "id": "a", "v": number} for number, row in enumerate(records(3))]
    found = read_predictions(config(write(tmp_path, rows), predictions={"filter": {"v": 1}}))
    assert [s.sample_id for s in found.samples] == ["a"]
    assert [r.sample_id for r in found.rejects] == ["a (row 1)", "a (row 3)"]
    rows[0].pop("v")
    found = read_predictions(config(write(tmp_path, rows), predictions={"filter": {"v": {"not": [1, 2]}}}))
    assert len(found.samples) == 1, "a row without the field has none of the values"


def test_a_field_to_keep_that_no_record_has_is_refused(tmp_path):
    from engine.errors import ConfigError

    with pytest.raises(ConfigError, match=r"predictions\.keep.*'sectr'"):
        read_predictions(config(write(tmp_path, records(2)), predictions={"keep": ["sectr"]}))


def test_lines_that_could_be_roles_are_flagged(tmp_path):
    sample = read_one(tmp_path, 'First thoughts.\nuser\nand more\n{"direction_of_eps_change": "Increase"}', "increase")
    assert sample.flags == ("role_lines_inside",)
