"""Bad input through the command line: a clear message, or a reject with its reason, and neighbours kept."""

from __future__ import annotations

import gzip
import json
import math

import polars as pl
import pytest

from engine.run import main
from tests.fixtures.predictions import records
from tests.unit.engine.test_run import refused


def lines(rows):
    return [json.dumps(row).encode() for row in rows]


def planned(config_file, path, *overrides):
    """Plan a file and return its plan and its rejects; every row must be in a unit or in the rejects, once."""
    assert main([str(config_file), f"predictions.path={path}", *overrides, "--stage", "plan"]) == 0
    run = config_file.parent / "runs" / "test"
    plan = json.loads((run / "plan.json").read_text())
    rejects = pl.read_parquet(run / "plan" / "rejects.parquet")
    units = [pl.read_parquet(file)["sample_id"] for file in sorted((run / "plan" / "encoded").glob("*.parquet"))]
    ids = [*rejects["sample_id"], *(sample_id for unit in units for sample_id in unit)]
    assert len(ids) == len(set(ids)) == plan["num_rows"] == plan["num_samples"] + plan["num_rejects"]
    return plan, {row["sample_id"]: (row["reason"], row["detail"]) for row in rejects.to_dicts()}


def huge(rows):
    rows[2]["full_model_response"] += "x" * 100 * 2**20
    return lines(rows)


def huge_within_the_limit(rows):
    rows[2]["full_model_response"] += " increase" * 10**6
    return lines(rows)


def invalid_utf8(rows):
    made = lines(rows)
    made[2] = made[2].replace(b"Total Asset", b"Total \xff\xfe Asset")
    return made


def lone_surrogate(rows):
    made = lines(rows)
    made[2] = made[2].replace(b"Total Asset", b"Total \\ud83d Asset")
    return made


def cut_off(rows):
    made = lines(rows)
    made[-1] = made[-1][:200]
    return made


def null_transcript(rows):
    rows[2]["full_model_response"] = None
    return lines(rows)


def nan_transcript(rows):
    rows[2]["full_model_response"] = math.nan
    return lines(rows)


def empty_answer(rows):
    rows[2]["full_model_response"] = rows[2]["full_model_response"].partition("\nassistant\n")[0] + "\nassistant\n \n"
    return lines(rows)


def a_list_instead(rows):
    rows[2]["full_model_response"] = ["system", "user"]
    return lines(rows)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    ("spoil", "row", "reason", "words"),
    [
        (huge, 3, "row_too_large", "16,777,216 bytes"),
        (huge_within_the_limit, 3, "longer_than_context", "characters"),
        (invalid_utf8, 3, "unreadable_row", "UTF-8"),
        (lone_surrogate, 3, "unreadable_row", "surrogate"),
        (null_transcript, 3, "missing_field", "full_model_response"),
        (nan_transcript, 3, "missing_field", "full_model_response"),
        (empty_answer, 3, "no_response", "no answer"),
        (a_list_instead, 3, "not_text", "list"),
    ],
)
def test_a_bad_row_costs_itself(config_file, tmp_path, spoil, row, reason, words, as_list, compressed):
    if compressed and spoil is huge:
        return  # a hundred megabytes are compressed in another test
    made = spoil(records(8))
    content = b"[" + b",\n".join(made) + b"]" if as_list else b"\n".join(made)
    path = tmp_path / f"bad.{'json' if as_list else 'jsonl'}{'.gz' if compressed else ''}"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if compressed else content)
    plan, rejects = planned(config_file, path)
    assert (plan["num_samples"], plan["rejects_by_reason"]) == (7, {reason: 1})
    ((sample_id, found),) = rejects.items()
    assert sample_id in ("row-3", "1001-1990") and found[0] == reason and words in found[1], found


def test_a_cut_last_line_is_a_reject(config_file, tmp_path):
    path = tmp_path / "cut.jsonl"
    path.write_bytes(b"\n".join(cut_off(records(8))))
    plan, rejects = planned(config_file, path)
    assert plan["num_samples"] == 7 and rejects["row-8"][0] == "unreadable_row"


def test_a_cut_list_is_refused_with_the_rows_before_it(config_file, tmp_path, capsys):
    path = tmp_path / "cut.json"
    path.write_bytes(b"[" + b",".join(cut_off(records(8))))
    refused(capsys, [config_file, f"predictions.path={path}"], 3, str(path), "7 whole", "cut off")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([7, "7", 7.0, 8], ["'7'", "rows 1, 2, 3", "7, 7.0 and '7' are one"]),
        (["a", "b", "a", "c"], ["'a'", "rows 1, 3", "predictions.fields.id"]),
    ],
)
def test_ids_that_differ_only_in_type_or_not_at_all(config_file, tmp_path, capsys, ids, words):
    path = tmp_path / "ids.json"
    path.write_text(json.dumps([{**row, "id": name} for row, name in zip(records(4), ids, strict=True)]))
    refused(capsys, [config_file, f"predictions.path={path}"], 3, str(path), *words)


def test_null_and_nan_fields_of_a_usable_row(config_file, tmp_path):
    rows = records(8)
    rows[0] |= {"actual_label": None, "certainty": math.nan, "magnitude": None, "year": math.nan}
    rows[1] |= {"company_id": None, "predicted_direction": math.nan}
    rows[2] |= {"predicted_direction": "INCREASE!!", "actual_label": "  Decrease. "}
    path = tmp_path / "nulls.json"
    path.write_text(json.dumps(rows))
    plan, _ = planned(config_file, path)
    assert plan["num_samples"] == 8 and plan["samples_by_is_correct"]["None"] == 1
    assert plan["samples_by_label_source"] == {"field": 7, "json": 1}
    units = [pl.read_parquet(f) for f in (config_file.parent / "runs/test/plan/encoded").glob("*.parquet")]
    kept = {row["sample_id"]: json.loads(row["metadata"]) for unit in units for row in unit.to_dicts()}
    assert kept["row-1"]["certainty"] in ("High", "Medium", "Low"), "the answer says it where the record does not"
    assert kept["row-1"]["is_correct"] is None and kept["row-2"]["cluster"] is None
    assert (kept["1001-1990"]["predicted_label"], kept["1001-1990"]["actual_label"]) == ("increase", "decrease")


def test_a_folder_of_files_is_read_in_order_and_says_what_it_leaves(config_file, tmp_path, capsys):
    folder = tmp_path / "many"
    folder.mkdir()
    rows = records(12)
    (folder / "a.json").write_text(json.dumps(rows[:4]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines(rows[4:9])), mtime=0))
    pl.DataFrame(rows[9:]).write_csv(folder / "c.csv")
    (folder / "notes.txt").write_text("not a prediction")
    plan, _ = planned(config_file, folder)
    assert plan["num_samples"] == 12 and [name.rsplit("/", 1)[1] for name in plan["files"]] == [
        "a.json",
        "b.jsonl.gz",
        "c.csv",
    ]
    assert "notes.txt" in capsys.readouterr().out
    plan, _ = planned(config_file, f"{folder}/*.js*", "run.name=test")
    assert plan["num_samples"] == 9


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.json", b"", ["empty"]),
        ("empty.jsonl", b"\n\n", ["empty"]),
        ("wide.json", b"\xff\xfe[\x00]\x00", ["UTF-16", "UTF-8"]),
        ("broken.jsonl.gz", gzip.compress(b"{}" * 1000, mtime=0)[:-20], ["broken.jsonl.gz"]),
        ("broken.parquet", b"PAR1 and nothing else", ["Parquet"]),
        ("text.txt", b"increase", ["unknown suffix"]),
    ],
    ids=["nothing", "empty lines", "UTF-16", "cut off gzip", "no Parquet", "unknown suffix"],
)
def test_files_that_cannot_be_read(config_file, tmp_path, capsys, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    refused(capsys, [config_file, f"predictions.path={path}"], 3, str(path), *words)
