"""``engine.init``: a config that runs, from a file alone."""

import json

import pytest

from engine.config import load_config
from engine.drafting.draft import UNKNOWN_MODEL
from engine.init import main
from engine.inputs.predictions import read_predictions
from tests.fixtures.evaluation_logs import LOGS, write_log
from tests.fixtures.harness_logs import lm_eval_choice_row, lm_eval_row
from tests.fixtures.logged_cases import CASES, MODEL, Case, lines
from tests.fixtures.places import ROOT
from tests.fixtures.service_logs import langfuse_row, langfuse_score


def drafted(tmp_path, path, *options):
    output = tmp_path / "config.yaml"
    assert main([str(path), "--output", str(output), "--overwrite", *options]) == 0
    return load_config(output)[0]


@pytest.mark.parametrize("name", LOGS)
def test_a_config_for_every_log(tmp_path, capsys, name):
    path, _ = write_log(name, tmp_path)
    config = drafted(tmp_path, path, "--model", "data/demo-model")
    said = capsys.readouterr().out
    assert "samples to measure       6" in said and "Next: python -m engine.run" in said
    found = read_predictions(config)
    assert [sample.is_correct for sample in found.samples] == [case.is_right for case in CASES]
    recorded = {"arrow", "batch", "lm-eval", "lm-eval-choices", "lighteval"}
    if name not in recorded:
        assert drafted(tmp_path, path).model.path == MODEL


@pytest.mark.parametrize("name", ["predictions_demo.json", "sentiment/predictions.jsonl"])
def test_the_examples_of_the_project(tmp_path, name):
    config = drafted(tmp_path, ROOT / "data" / name)
    assert config.model.path == UNKNOWN_MODEL
    found = read_predictions(config)
    assert not found.rejects and None not in {sample.is_correct for sample in found.samples}
    assert config.decision.field == ("direction_of_eps_change" if "demo" in name else "sentiment")
    assert (config.vocabulary is None) == ("sentiment" in name)


def batch(folder):
    path, _ = write_log("batch", folder)
    (folder / "labels.jsonl").unlink()
    return path


def csv(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in [list(rows[0]), *(row.values() for row in rows)])


def labels_of(cases, key="request", truth="outcome", **more):
    return [{key: f"request-{c.number}", "firm": f"F{c.number}", truth: c.target, **more} for c in cases]


STRAY = Case(9, "increase", "increase", True)
LABEL_FILES = {
    "csv": ("labels.csv", csv(labels_of(CASES))),
    "json lines": ("labels.jsonl", lines(labels_of(CASES[::-1], "custom_id", "gold"))),
    "json": ("labels.json", json.dumps(labels_of(CASES, "Batch Id", "y"))),
    "inside": ("labels.jsonl", lines([{"meta": row} for row in labels_of(CASES)])),
    "verdicts": ("graded.csv", csv([{"rid": f"request-{c.number}", "passed": c.is_right} for c in CASES])),
}


@pytest.mark.parametrize("is_named", [False, True], ids=["beside it", "named"])
@pytest.mark.parametrize("shape", LABEL_FILES)
def test_labels_of_a_batch_are_joined(tmp_path, capsys, shape, is_named):
    path = batch(tmp_path)
    name, text = LABEL_FILES[shape]
    folder = tmp_path / "other" if is_named else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    requests = next(file for file in tmp_path.glob("*.jsonl") if file not in (path, folder / name))
    options = ("--join", str(folder / name), "--join", str(requests)) if is_named else ()
    config = drafted(tmp_path, path, "--model", "data/demo-model", *options)
    assert [sample.is_correct for sample in read_predictions(config).samples] == [case.is_right for case in CASES]
    assert f"{folder / name}, by custom_id" in (said := capsys.readouterr().out) and "for 6 of 6 ids\n" in said


def test_what_a_file_of_labels_lacks_is_said(tmp_path, capsys):
    path = batch(tmp_path)
    rows = labels_of([*CASES[1:], STRAY])
    rows[0]["outcome"] = ""
    (tmp_path / "labels.csv").write_text(csv(rows))
    config = drafted(tmp_path, path, "--model", "data/demo-model")
    said = capsys.readouterr().out
    for part in (
        "by custom_id = request: outcome as actual_label, for 5 of 6 ids",
        "; 1 of ",
        "have no row there and are left out (rejects no_partner), such as request-0",
        "1 of its ids have no answer in",
        "such as request-9",
        "1 of its rows leave outcome empty",
        "rejects, no_partner",
    ):
        assert part in said
    assert "by custom_id = request" in (tmp_path / "config.yaml").read_text()
    assert [sample.is_correct for sample in read_predictions(config).samples] == [
        None,
        *(c.is_right for c in CASES[2:]),
    ]


AMBIGUOUS = {
    "two files": ({"a.csv": csv(labels_of(CASES)), "b.jsonl": lines(labels_of(CASES))}, "both hold labels"),
    "ids twice": ({"a.csv": csv(labels_of([*CASES, CASES[2]]))}, "1 value(s) of 'request', such as request-2, stand"),
    "two fields": (
        {"a.csv": csv([row | {"other": f"request-{5 - place}"} for place, row in enumerate(labels_of(CASES))])},
        "its fields 'request' and 'other' all hold values of 'custom_id'",
    ),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_labels_of_which_nobody_knows_which_are_meant_are_refused(tmp_path, capsys, case):
    path = batch(tmp_path)
    files, said = AMBIGUOUS[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main([str(path), "--output", str(tmp_path / "config.yaml")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "config.yaml").exists()


def test_files_that_hold_no_labels_of_a_batch(tmp_path, capsys):
    path = batch(tmp_path)
    (tmp_path / "notes.csv").write_text(csv(labels_of([STRAY])))
    (tmp_path / "other_batch.jsonl").write_text(path.read_text())
    (tmp_path / "numbers.csv").write_text("a,b\n1,0\n2,1\n")
    drafted(tmp_path, path, "--model", "data/demo-model")
    assert "none in the file: join" in capsys.readouterr().out
    options = ["--join", str(tmp_path / "notes.csv"), "--output", str(tmp_path / "c.yaml")]
    assert main([str(path), *options]) == 2
    assert "holds nothing that belongs to" in capsys.readouterr().err


def test_labels_behind_many_others_are_found_and_more_files_than_are_looked_at_are_said(tmp_path, capsys):
    path = batch(tmp_path)
    others = [Case(100 + number, "increase", "decrease", False) for number in range(2_100)]
    (tmp_path / "labels.csv").write_text(csv(labels_of([*others, *CASES])))
    for number in range(50):
        (tmp_path / f"x{number:02d}.csv").write_text("a,b\n1,2\n")
    config = drafted(tmp_path, path)
    said = capsys.readouterr().out
    assert "for 6 of 6 ids; 2,100 of its ids have no answer in" in said
    assert "not looked at            2 further file(s) near it" in said
    assert [sample.is_correct for sample in read_predictions(config).samples] == [case.is_right for case in CASES]


def test_numbers_of_rows_that_are_alike_are_no_ids_unless_a_person_says_so(tmp_path, capsys):
    path = batch(tmp_path)
    for name in (path.name, "requests.jsonl"):
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("request-", ""))
    table = tmp_path / "metrics.csv"
    table.write_text(csv([{"epoch": c.number, "phase": c.target} for c in CASES]))
    drafted(tmp_path, path)
    assert "metrics.csv" not in capsys.readouterr().out
    config = drafted(tmp_path, path, "--join", str(table), "--join", str(tmp_path / "requests.jsonl"))
    assert [sample.is_correct for sample in read_predictions(config).samples] == [case.is_right for case in CASES]
    table.rename(tmp_path / "m.csv").write_text(csv([{"question_id": c.number, "phase": c.target} for c in CASES]))
    assert "by custom_id = question_id: phase" in (drafted(tmp_path, path) and capsys.readouterr().out)


def test_labels_that_are_named_come_before_those_of_a_log(tmp_path):
    path, _ = write_log("inspect-json", tmp_path)
    ids = [sample.sample_id for sample in read_predictions(drafted(tmp_path, path)).samples]
    rows = [
        {"key": one, "gold": {"increase": "decrease", "decrease": "increase"}[c.target]}
        for one, c in zip(ids, CASES, strict=True)
    ]
    (tmp_path / "gold.csv").write_text(csv(rows))
    config = drafted(tmp_path, path, "--join", str(tmp_path / "gold.csv"))
    assert [sample.actual_label for sample in read_predictions(config).samples] == [row["gold"] for row in rows]


LANGFUSE = {
    "of traces": ("scores.jsonl", [langfuse_score(case, observation_id=None) for case in CASES]),
    "in a folder beside": ("scores/a.jsonl", [langfuse_score(case, observation_id=None) for case in CASES]),
    "words": (
        "scores.jsonl",
        [langfuse_score(c, value=None, string_value="correct" if c.is_right else "incorrect") for c in CASES],
    ),
}


@pytest.mark.parametrize("shape", LANGFUSE)
def test_scores_of_langfuse_are_joined_whatever_they_name(tmp_path, shape):
    name, scores = LANGFUSE[shape]
    path = tmp_path / ("observations_v2" if "/" in name else "") / "o.jsonl"
    for file, rows in ((tmp_path / name, scores), (path, map(langfuse_row, CASES))):
        file.parent.mkdir(exist_ok=True)
        file.write_text(lines(rows))
    found = read_predictions(drafted(tmp_path, path))
    assert [sample.is_correct for sample in found.samples] == [case.is_right for case in CASES]


def test_scores_of_traces_with_several_answers_alone_are_not_used(tmp_path, capsys):
    path = tmp_path / "o.jsonl"
    path.write_text(lines(langfuse_row(case, id=f"{part}-{case.number}") for case in CASES for part in "ab"))
    (tmp_path / "s.jsonl").write_text(lines([langfuse_score(case, observation_id=None) for case in CASES]))
    config = drafted(tmp_path, path)
    assert "each score names a trace alone" in capsys.readouterr().out
    flags = {flag for sample in read_predictions(config).samples for flag in sample.flags}
    assert config.predictions.fields.correct is None and "trace_score_unassigned" in flags


ROWS = [
    {
        "uid": f"q{number}",
        "meta": {"question": f"What is {number} + 10?", "group": number // 2},
        "model_output": f"We add them. The answer is {number + 10}.",
        "gold": str(number + 10),
        "judge_score": 0.25 * (number % 5),
    }
    for number in range(8)
]


def test_rows_of_ones_own(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(ROWS))
    config = drafted(tmp_path, path)
    fields = config.predictions.fields
    assert (fields.prompt, fields.response, fields.actual) == ("meta.question", "model_output", "gold")
    assert (fields.id, fields.cluster, fields.correct) == ("uid", "meta.group", "judge_score")
    assert (config.decision.span, config.decision.threshold) == ("cue", 0.5)
    found = read_predictions(config)
    assert [sample.is_correct for sample in found.samples] == [row["judge_score"] >= 0.5 for row in ROWS]
    assert [sample.cluster for sample in found.samples] == [str(number // 2) for number in range(8)]
    assert "0.5: judge_score is a number from 0 to 1" in capsys.readouterr().out


SCALES = {
    "1 to 5": (range(1, 6), 3.0, "a guess, on a scale from 1 to 5"),
    "0 to 10": (range(0, 11, 2), 5.0, "a guess, on a scale from 0 to 10"),
    "0 to 100": ((12.5, 80, 96), 50.0, "a guess, on a scale from 0 to 100"),
    "0 to 1": ((0.1, 0.9), 0.5, "from 0.1 to 0.9"),
    "below 0": ((-3, 5), 1.0, "a guess, on a scale from -3 to 5"),
}


@pytest.mark.parametrize("scale", SCALES)
def test_scores_are_parted_in_the_middle_of_their_scale(tmp_path, capsys, scale):
    values, threshold, said = SCALES[scale]
    rows = [row | {"judge_score": value} for row, value in zip(ROWS, [*values] * 8, strict=False)]
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(rows))
    config = drafted(tmp_path, path)
    assert (config.predictions.fields.correct, config.decision.threshold) == ("judge_score", threshold)
    assert said in capsys.readouterr().out
    found = read_predictions(config).samples
    assert [sample.is_correct for sample in found] == [row["judge_score"] >= threshold for row in rows]


def test_a_score_that_is_right_or_wrong_comes_before_grades(tmp_path, capsys):
    rows = [lm_eval_row(case, metrics=["bleu", "exact_match"], bleu=23.5) for case in CASES]
    rows[0]["exact_match"] = None
    path = tmp_path / "samples_eps.jsonl"
    path.write_text(lines(rows))
    config = drafted(tmp_path, path)
    assert "Took 'exact_match', the first; others: bleu." in capsys.readouterr().out
    assert (config.predictions.fields.correct, config.decision.threshold) == ("exact_match", None)
    path.write_text(json.dumps({"version": 2, "status": "error", "eval": {}, "samples": []}))
    assert main([str(path.rename(tmp_path / "log.json")), "--output", str(tmp_path / "d.yaml")]) == 3
    assert "holds no row" in capsys.readouterr().err


def test_places_of_choices_are_no_scores(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "judge_score"} for row in ROWS]
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([row | {"correct": place % 4} for place, row in enumerate(rows)]))
    assert drafted(tmp_path, path).predictions.fields.correct is None


@pytest.mark.parametrize("is_listed", [False, True], ids=["explained", "several"])
def test_true_answers_with_an_explanation_or_several_are_found(tmp_path, is_listed):
    rows = [
        {
            "id": f"r{n}",
            "question": "?",
            "output": f"So\n#### {n}",
            "answer": [str(n), f"n{n}"] if is_listed else f"It\n#### {n}",
        }
        for n in range(8)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(rows))
    found = read_predictions(drafted(tmp_path, path)).samples
    assert [sample.is_correct for sample in found] == [True] * 8


@pytest.mark.parametrize(
    "names",
    [("input", "actualOutput", "expectedOutput"), ("inputs", "outputs", "targets"), ("Query", "Model Output", "Gold")],
)
def test_names_in_other_spellings_are_found(tmp_path, names):
    rows = [dict(zip(names, (c.question, c.answer, c.target), strict=True)) for c in CASES]
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(rows))
    fields = drafted(tmp_path, path).predictions.fields
    assert (fields.prompt, fields.response, fields.actual) == names


def test_messages_are_found(tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": c.question}, {"from": "gpt", "value": c.answer}]} for c in CASES
    ]
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{**row, "label": case.target} for row, case in zip(rows, CASES, strict=True)]))
    config = drafted(tmp_path, path)
    assert (config.prompt.source, config.predictions.fields.messages) == ("messages", "conversations")
    assert len(read_predictions(config).samples) == len(CASES)


def test_tasks_of_one_folder_keep_their_own_filters_and_scores(tmp_path, capsys):
    folder = tmp_path / "org__tiny"
    folder.mkdir()
    stamp = "2026-01-21T03-44-18.458309"
    rows = [lm_eval_row(case, kind) for kind in ("strict-match", "flexible-extract") for case in CASES]
    (folder / f"samples_eps_{stamp}.jsonl").write_text(lines(rows))
    (folder / f"samples_mmlu_{stamp}.jsonl").write_text(lines(map(lm_eval_choice_row, CASES)))
    (folder / f"results_{stamp}.json").write_text('{"model_name": "org/tiny"}')
    config = drafted(tmp_path, folder)
    said = capsys.readouterr().out
    assert "'strict-match' of 'strict-match', 'flexible-extract' in samples_eps" in said
    assert "as each file's first score says: exact_match of samples_eps" in said
    assert [sample.is_correct for sample in read_predictions(config).samples] == [c.is_right for c in CASES] * 2


def test_what_it_was_not_told_it_asks(tmp_path, capsys, monkeypatch):
    path, _ = write_log("lm-eval", tmp_path)
    assert drafted(tmp_path, path).predictions.filter == {"filter": "strict-match"}
    assert "Took 'strict-match', the first; others: flexible-extract." in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: "2")
    assert drafted(tmp_path, path).predictions.filter == {"filter": "flexible-extract"}


def test_files_that_cannot_be_drafted_from(tmp_path, capsys):
    output = tmp_path / "config.yaml"
    assert main([str(tmp_path / "none.json"), "--output", str(output)]) == 3
    (tmp_path / "bad.jsonl").write_text("{]\n{]\n")
    assert main([str(tmp_path / "bad.jsonl"), "--output", str(output)]) == 3
    assert not output.exists()
    output.write_text("mine")
    path, _ = write_log("promptfoo", tmp_path)
    assert main([str(path), "--output", str(output)]) == 2 and output.read_text() == "mine"
    assert all("\n" not in line for line in capsys.readouterr().err.splitlines())
