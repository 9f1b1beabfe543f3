"""``engine.init`` of several outputs of batches: what belongs to them lies among them, beside them or above them."""

import json
import re
from pathlib import Path

import pytest

from engine.config import load_config
from engine.init import main
from engine.inputs.predictions import read_predictions
from tests.fixtures.logged_cases import CASES, Case, lines
from tests.fixtures.service_logs import batch_request, batch_row, langfuse_row, langfuse_score

HALVES = (CASES[:3], CASES[3:])
OTHER = [Case(number, "increase", "increase", True) for number in (50, 51, 52)]


def output(cases):
    return lines(map(batch_row, cases))


def requests(cases):
    return lines(map(batch_request, cases))


def labelled_requests(cases):
    rows = [batch_request(case) for case in cases]
    return lines(
        row | {"body": row["body"] | {"metadata": {"gold": c.target}}} for row, c in zip(rows, cases, strict=True)
    )


def labels(cases, name="gold"):
    return f"key,{name}\n" + "".join(f"request-{case.number},{case.target}\n" for case in cases)


def in_halves(name, content):
    return {name.format(number): content(half) for number, half in enumerate(HALVES, start=1)}


LAYOUTS = {
    "one folder": (
        "",
        in_halves("b_{}_output.jsonl", output) | in_halves("b_{}_input.jsonl", requests) | {"gold.csv": labels(CASES)},
        {"path": "b_*_output.jsonl", "joins": ["b_*_input.jsonl", "gold.csv"]},
    ),
    "folders": (
        "out",
        in_halves("out/{}.jsonl", output) | in_halves("in/{}.jsonl", requests) | in_halves("gold/{}.csv", labels),
        {"path": "out", "joins": ["gold", "in"]},
    ),
    "a folder each": (
        "*/output.jsonl",
        in_halves("{}/output.jsonl", output) | in_halves("{}/input.jsonl", requests) | {"gold.csv": labels(CASES)},
        {"path": "*/output.jsonl", "joins": ["*/input.jsonl", "gold.csv"]},
    ),
    "a pattern": (
        "o?.jsonl",
        in_halves("o{}.jsonl", output) | in_halves("i{}.jsonl", requests) | {"../gold.csv": labels(CASES)},
        {"path": "o?.jsonl", "joins": ["i*.jsonl"], "labels": "none in the file: join"},
    ),
    "beside those of another batch": (
        "o[12].jsonl",
        in_halves("o{}.jsonl", output)
        | in_halves("i{}.jsonl", labelled_requests)
        | {"o3.jsonl": output(OTHER), "i3.jsonl": requests(OTHER), "notes.csv": "a,b\n1,2\n"},
        {"path": "o[12].jsonl", "joins": ["i[12]*.jsonl"]},
    ),
    "beside runs that have the same ids": (
        "now/out",
        in_halves("now/out/{}.jsonl", output)
        | {"now/i.jsonl": requests(CASES), "now/in/i.jsonl": requests(CASES), "now/gold/labels.csv": labels(CASES)}
        | {"now/old/o.jsonl": output(CASES), "now/old/gold.csv": labels(CASES), "now/bad/x.jsonl.gz": "no gzip"},
        {"path": "now/out", "joins": ["now/gold/labels.csv", "now/i.jsonl"]},
    ),
    "one file of half the requests": (
        "",
        {"o.jsonl": output(CASES), "i.jsonl": labelled_requests(CASES[:4]), "notes.csv": "a,b\n1,2\n"},
        {"path": "o.jsonl", "joins": ["i.jsonl"], "cases": CASES[:4], "unread": "notes.csv: no answers"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_several_outputs_lack_is_found(tmp_path, capsys, layout):
    given, files, expected = LAYOUTS[layout]
    top = tmp_path / "top"
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    config_file = tmp_path / "c.yaml"
    assert main([str(top / given), "--output", str(config_file), "--model", "data/demo-model"]) == 0
    said = capsys.readouterr().out
    config = load_config(config_file)[0]
    assert config.predictions.path == str(top / expected["path"])
    assert sorted(join.path for join in config.predictions.join) == [str(top / name) for name in expected["joins"]]
    cases = expected.get("cases", CASES)
    found = read_predictions(config)
    if "labels" in expected:
        assert expected["labels"] in said
        assert len(found.samples) == len(cases)
    else:
        assert [sample.is_correct for sample in found.samples] == [case.is_right for case in cases]
    assert {reject.reason for reject in found.rejects} == ({"no_partner"} if "cases" in expected else set())
    assert f"{len(CASES) - len(cases)} of " in said or "cases" not in expected
    assert expected.get("unread", "") in said


REFUSED = {
    "requests twice": (
        in_halves("o{}.jsonl", output) | in_halves("i{}.jsonl", lambda half: requests([*half, CASES[2]])),
        "i1.jsonl and .*i2.jsonl both hold prompts",
    ),
    "fields of other names": (
        in_halves("o{}.jsonl", output) | {"a.csv": labels(HALVES[0]), "b.csv": labels(HALVES[1], "label")},
        "a.csv and .*b.csv both hold labels",
    ),
    "no pattern": (
        {"one.jsonl": output(HALVES[0]), "two.jsonl": output(HALVES[1]), "three.jsonl": requests(CASES)},
        "one.jsonl, .*two.jsonl hold answers .batch. and .*three.jsonl do not, and no pattern names the first alone",
    ),
    "no pattern of parts": (
        in_halves("o{}.jsonl", output)
        | {"one.jsonl": requests(HALVES[0]), "two.jsonl": requests(HALVES[1]), "three.jsonl": requests(OTHER)},
        "one.jsonl and .*two.jsonl each hold prompts of a part of its rows, and no folder or pattern",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_apart_is_refused(tmp_path, capsys, case):
    files, said = REFUSED[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main([str(tmp_path), "--output", str(tmp_path / "c.yaml")]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert not (tmp_path / "c.yaml").exists()


def test_a_folder_of_observations_and_scores(tmp_path, capsys):
    for number, half in enumerate(HALVES):
        (tmp_path / f"obs-{number}.jsonl").write_text(lines(map(langfuse_row, half)))
        (tmp_path / f"scores-{number}.jsonl").write_text(lines(map(langfuse_score, half)))
    assert main([str(tmp_path), "--output", str(tmp_path / "c.yaml")]) == 0
    assert "obs-*.jsonl: the 2 of" in capsys.readouterr().out
    found = read_predictions(load_config(tmp_path / "c.yaml")[0])
    assert [sample.is_correct for sample in found.samples] == [case.is_right for case in CASES] and not found.rejects


def test_folders_of_other_files_are_read_as_before(tmp_path):
    rows = [
        {"id": f"r{n}", "prompt": "Will EPS increase?", "response": "increase", "label": "increase"} for n in range(4)
    ]
    for name, half in (("a.json", rows[:2]), ("b.json", rows[2:])):
        (tmp_path / name).write_text(json.dumps(half))
    config_file = Path(tmp_path / "c.yaml")
    assert main([str(tmp_path), "--output", str(config_file)]) == 0
    assert load_config(config_file)[0].predictions.path == str(tmp_path)
