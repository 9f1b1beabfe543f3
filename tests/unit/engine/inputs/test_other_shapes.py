"""JSON that holds tables by columns, lists of something else, or what Python printed; and what is said of it."""

from __future__ import annotations

import json

import pytest

from engine.config import Config, load_config
from engine.errors import InputError
from engine.init import main
from engine.inputs.outcomes.correctness import verdict_of
from engine.inputs.predictions import read_predictions

ROWS = [
    {"id": f"a{n}", "prompt": f"Firm {n}: will EPS increase?", "response": said, "actual_label": "increase"}
    for n, said in enumerate(["increase", "decrease", "increase"])
]
NAMES = list(ROWS[0])


def read(path, **predictions):
    return read_predictions(
        Config.model_validate(
            {
                "predictions": {"path": str(path), **predictions},
                "model": {"path": "m"},
                "prompt": {"source": "fields"},
                "decision": {"field": None},
            }
        )
    )


@pytest.mark.parametrize(
    "tree",
    [
        {name: [row[name] for row in ROWS] for name in NAMES},
        {"columns": NAMES, "data": [list(row.values()) for row in ROWS], "ncols": 4, "nrows": 3, "column_types": {}},
        {"results": ROWS, "errors": [], "warnings": ["slow"], "meta": {"model": "m"}},
    ],
    ids=["columns-as-lists", "weights-and-biases", "beside-lists-of-something-else"],
)
def test_tables_in_an_object(tmp_path, tree):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(tree))
    found = read(path)
    assert [(sample.sample_id, sample.predicted_label) for sample in found.samples] == [
        ("a0", "increase"),
        ("a1", "decrease"),
        ("a2", "increase"),
    ]


@pytest.mark.parametrize(
    "tree",
    [{"results": ROWS, "failed": ROWS}, {"columns": ["a", "a"], "data": [[1, 2]], "n": 1}, {"a": [1, 2], "b": [3]}],
)
def test_several_lists_of_records_are_refused(tmp_path, tree):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match="lists inside"):
        read(path)


@pytest.mark.parametrize("text", [repr(ROWS), "\n".join(map(repr, ROWS))], ids=["list", "lines"])
def test_what_python_printed_is_called_so(tmp_path, text):
    path = tmp_path / ("rows.json" if text.startswith("[") else "rows.jsonl")
    path.write_text(text)
    with pytest.raises(InputError, match=r"as Python prints it: write it with json\.dumps"):
        read(path)


def test_a_field_one_level_deeper_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"data": row}) for row in ROWS))
    with pytest.raises(InputError, match=r"such as data\.prompt"):
        read(path)


def test_keys_of_joins_are_alike_as_ids_are(tmp_path):
    path, other = tmp_path / "rows.jsonl", tmp_path / "labels.csv"
    path.write_text("\n".join(json.dumps({**row, "id": n, "actual_label": None}) for n, row in enumerate(ROWS)))
    other.write_text("id,actual_label\n0.0,increase\n1.0,increase\n2.0,decrease\n")
    found = read(path, join=[{"path": str(other), "on": "id"}])
    assert [sample.actual_label for sample in found.samples] == ["increase", "increase", "decrease"]


@pytest.mark.parametrize(("marks", "says"), [("✓✔✅☑", True), ("✗✘❌✖", False)])
def test_marks_are_verdicts(marks, says):
    assert {verdict_of(mark, None).is_correct for mark in [*marks, f"{marks[-1]}\ufe0f"]} == {says}


def drafted(tmp_path, rows):
    path, output = tmp_path / "rows.json", tmp_path / "config.yaml"
    path.write_text(json.dumps(rows))
    code = main([str(path), "--output", str(output), "--overwrite"])
    return code, load_config(output)[0]


def test_a_score_that_is_never_filled_says_nothing(tmp_path):
    code, config = drafted(tmp_path, [{**row, "score": float("nan")} for row in ROWS])
    assert code == 0 and config.predictions.fields.correct is None


def test_answers_inside_objects_are_found(tmp_path, capsys):
    asked = [[{"role": "user", "content": row["prompt"]}] for row in ROWS]
    rows = [
        {"request": {"messages": m}, "output": {"text": row["response"]}} for m, row in zip(asked, ROWS, strict=True)
    ]
    code, config = drafted(tmp_path, rows)
    fields = config.predictions.fields
    assert code == 0 and (fields.messages, fields.response) == ("request.messages", "output.text")
    code, _ = drafted(tmp_path, [{"request": {"messages": m}, "x": 1} for m in asked])
    assert code == 3 and "response among" in capsys.readouterr().out


def test_free_answers_without_numbers_are_no_numbers(tmp_path):
    rows = [
        {**row, "response": f"Sure, here it is.\nDone {word}.", "actual_label": "0"}
        for row, word in zip(ROWS, "abc", strict=True)
    ]
    assert drafted(tmp_path, rows)[1].decision.span == "last_line"


@pytest.mark.parametrize("kind", [float, bool, str])
def test_labels_that_answers_say_as_yes_and_no(tmp_path, kind):
    texts = ["Yes.", "No, it is not.", "yes", "No."]
    rows = [
        {**row, "response": said, "actual_label": kind(n < 2)}
        for n, (row, said) in enumerate(zip([*ROWS, ROWS[0]], texts, strict=True))
    ]
    rows = [{**row, "id": f"q{n}"} for n, row in enumerate(rows)]
    code, config = drafted(tmp_path, rows)
    assert code == 0 and sorted(config.decision.labels) == ["no", "yes"]
    found = read_predictions(config)
    assert [sample.is_correct for sample in found.samples] == [True, False, False, True]


def test_fields_are_found_by_their_names_in_other_languages(tmp_path):
    rows = [
        {"frage": row["prompt"], "antwort": row["response"], "gold": said}
        for row, said in zip(ROWS, ["increase", "decrease", "increase"], strict=True)
    ]
    code, config = drafted(tmp_path, rows)
    assert code == 0 and (config.predictions.fields.prompt, config.predictions.fields.response) == ("frage", "antwort")
