"""Scores of Langfuse that name traces alone: joined with the only answer of a trace, and said where it has several."""

import json

import pytest

from engine.inputs.predictions import read_predictions
from tests.fixtures.logged_cases import CASES, lines
from tests.fixtures.prediction_files import config
from tests.fixtures.service_logs import langfuse_row, langfuse_score, langfuse_trace

RIGHT = [case.is_right for case in CASES]
ROWS = [
    row for case in CASES for row in (langfuse_row(case, id=f"span-{case.number}", type="SPAN"), langfuse_row(case))
]
OF_TRACES = [langfuse_score(case, observation_id=None) for case in CASES]
FIRST = CASES[0]
DRAFTED = langfuse_row(FIRST, id="draft-0", name="draft")
FAILED = langfuse_row(FIRST, id="failed-0", level="ERROR")


def save(folder, name, content):
    (folder / name).write_text(content, "utf-8")
    return folder / name


def traces(rows_of_first=(), scores=None):
    """Return traces with their observations, of which the first one has more."""
    of_first = langfuse_trace(FIRST, langfuse_row(FIRST), *rows_of_first, scores=scores)
    return [of_first, *(langfuse_trace(case, langfuse_row(case)) for case in CASES[1:])]


def correct(found):
    return {sample.sample_id: sample.is_correct for sample in found.samples}


WHOLE = {
    "scores behind their observations": ("a.jsonl", lines([*ROWS, *OF_TRACES])),
    "scores before their observations": ("a.jsonl", lines([*OF_TRACES, *ROWS])),
    "a list of both": ("a.json", json.dumps([*ROWS, *OF_TRACES])),
    "traces in lines": ("a.jsonl", lines(traces())),
    "traces in a list": ("a.json", json.dumps(traces())),
    "two lists in one object": ("a.json", json.dumps({"observations": ROWS, "scores": OF_TRACES}, indent=1)),
    "with a call that failed": ("a.jsonl", lines([*ROWS, FAILED, *OF_TRACES])),
}


@pytest.mark.parametrize("shape", WHOLE)
def test_scores_of_traces_count_for_their_only_answer(tmp_path, shape):
    found = read_predictions(config(save(tmp_path, *WHOLE[shape])))
    assert list(correct(found).values()) == RIGHT
    assert {reject.reason for reject in found.rejects} <= {"no_generation", "sample_error"}


@pytest.mark.parametrize("is_inside", [True, False], ids=["inside traces", "in rows of their own"])
def test_a_score_of_a_trace_with_several_answers_counts_for_none_of_them(tmp_path, is_inside):
    rows = traces([DRAFTED]) if is_inside else [*ROWS, DRAFTED, *OF_TRACES]
    file = save(tmp_path, "a.jsonl", lines(rows))
    found = read_predictions(config(file))
    assert correct(found) == dict(zip([f"obs-{c.number}" for c in CASES], [None, *RIGHT[1:]], strict=True)) | {
        "draft-0": None
    }
    flagged = {sample.sample_id for sample in found.samples if "trace_score_unassigned" in sample.flags}
    assert flagged == {"obs-0", "draft-0"}
    advised = {"filter": {"name": "ask"}, "fields": {"correct": "trace_scores.judge.value"}}
    chosen = {sample.sample_id: sample for sample in read_predictions(config(file, predictions=advised)).samples}
    assert chosen["obs-0"].is_correct and "trace_score_unassigned" not in chosen["obs-0"].flags


def test_a_score_that_names_its_observation_counts_among_several(tmp_path):
    own = {"name": "judge", "value": 0.0, "observationId": "draft-0"}
    of_trace = {"name": "style", "value": 1.0}
    file = save(tmp_path, "a.jsonl", lines(traces([DRAFTED], [of_trace, own])))
    assert correct(read_predictions(config(file)))["draft-0"] is False


def test_scores_of_nothing_are_rejects(tmp_path):
    strays = [
        langfuse_score(FIRST, id="s-1", trace_id="trace-99", observation_id=None),
        langfuse_score(FIRST, id="s-2", observation_id="span-0"),
    ]
    found = read_predictions(config(save(tmp_path, "a.jsonl", lines([*ROWS, *OF_TRACES, *strays]))))
    details = {reject.sample_id: reject.detail for reject in found.rejects if reject.reason == "no_partner"}
    assert set(details) == {"s-1", "s-2"} and "trace 'trace-99'" in details["s-1"]
    assert list(correct(found).values()) == RIGHT
    empty = langfuse_trace(FIRST, scores=[]) | {"id": "trace-empty"}
    found = read_predictions(config(save(tmp_path, "b.jsonl", lines([*traces(), empty]))))
    assert [reject.reason for reject in found.rejects] == ["no_generation"]


ON = {"by observation": {"id": "observation_id"}, "by trace": {"trace_id": "trace_id"}}


@pytest.mark.parametrize("on", ON)
def test_a_file_of_scores_is_joined_whichever_id_they_name(tmp_path, on):
    scores = [langfuse_score(c) if c.number % 2 else langfuse_score(c, observation_id=None) for c in CASES]
    save(tmp_path, "s.jsonl", lines(scores))
    join = {"path": str(tmp_path / "s.jsonl"), "on": ON[on], "fields": {"verdict": "value"}}
    more = {"join": [join], "fields": {"correct": "verdict"}}
    file = save(tmp_path, "o.jsonl", lines(ROWS))
    assert list(correct(read_predictions(config(file, predictions=more))).values()) == RIGHT
    save(tmp_path, "o.jsonl", lines([*ROWS, DRAFTED]))
    found = read_predictions(config(file, predictions=more))
    assert correct(found)["obs-0"] is None and correct(found)["draft-0"] is None
    assert {s.sample_id for s in found.samples if "trace_score_unassigned" in s.flags} == {"obs-0", "draft-0"}
    chosen = read_predictions(config(file, predictions={**more, "filter": {"name": "ask"}}))
    assert list(correct(chosen).values()) == RIGHT


def test_rows_of_ones_own_are_joined_by_the_trace_alone(tmp_path):
    rows = [{"id": c.number, "trace": f"trace-{c.number}", "prompt": c.question, "response": c.answer} for c in CASES]
    save(tmp_path, "s.jsonl", lines(map(langfuse_score, CASES)))
    join = {"path": str(tmp_path / "s.jsonl"), "on": {"trace": "trace_id"}, "fields": {"verdict": "value"}}
    found = read_predictions(
        config(
            save(tmp_path, "o.jsonl", lines(rows)),
            predictions={"join": [join], "fields": {"correct": "verdict"}},
            prompt={"source": "fields"},
        )
    )
    assert list(correct(found).values()) == RIGHT
