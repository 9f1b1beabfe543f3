"""The run directory's own files and folders."""

from __future__ import annotations

import json

import pytest

from engine.errors import RunFailedError
from engine.schema import layout
from engine.storage.json_files import damaged, read_json, write_json
from engine.storage.planned.units import PlannedUnit
from engine.storage.run_directory import RunDirectory


@pytest.fixture
def run_dir(tmp_path):
    found = RunDirectory(tmp_path / "run")
    found.start()
    return found


def test_json_is_readable_by_people(tmp_path):
    """Words of other languages stand as they are, two blanks a level, and the file ends as a text does."""
    content = {"wörter": ["名", 1], "none": None}
    write_json(tmp_path / "file.json", content)
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert text == '{\n  "wörter": [\n    "名",\n    1\n  ],\n  "none": null\n}\n'
    assert read_json(tmp_path / "file.json") == content and read_json(tmp_path / "other.json") is None


def test_the_reason_of_damage_is_one_short_line(tmp_path):
    said = str(damaged(tmp_path / "file", ValueError("a\n  b " + "x" * 500)))
    assert f"{tmp_path / 'file'}: is damaged (a b {'x' * 96})." in said


def test_runs_are_set_aside_one_after_the_other(run_dir):
    for number in (1, 2, 3):
        run_dir.start()
        (run_dir.root / "which").write_text(str(number))
        aside = run_dir.set_aside()
        assert aside == run_dir.root.with_name(f"run.previous-{number}") and not run_dir.root.exists()
        assert (aside / "which").read_text() == str(number)


def test_a_session_has_a_folder_of_its_own_and_removes_that_of_another(run_dir):
    other = run_dir.incoming / "another session" / "half"
    other.mkdir(parents=True)
    run_dir.ledger.shards.rmdir()
    with run_dir.session() as session:
        assert not other.parent.exists() and session.root == run_dir.root
        assert run_dir.ledger.shards.is_dir(), "a run that was set aside has none"
        assert session.incoming.is_dir() and session.incoming.parent == run_dir.incoming
        assert session.ledger.incoming == session.incoming and session.ledger.shards == run_dir.ledger.shards
        assert session.preparation.incoming == session.incoming
        assert not session.is_stop_requested() and not list(session.incoming.iterdir())
        session.request_stop()
        assert session.is_stop_requested() and not run_dir.is_stop_requested()
    assert run_dir.incoming.is_dir() and not session.incoming.exists()
    session.request_stop()
    assert not session.incoming.exists(), "asked to stop after its end, it makes nothing"


def test_notes_of_units_that_are_committed_go(run_dir):
    units = [PlannedUnit("measure-00000", ["a"]), PlannedUnit("measure-00001", ["b"])]
    run_dir.ledger.commit("measure-00000", ["a"], {}, [], {"num_tokens": 1})
    run_dir.journals.mkdir()
    for unit in units:
        (run_dir.journals / f"{unit.name}.jsonl").touch()
    assert run_dir.missing_units(units) == units[1:]
    assert [path.name for path in run_dir.journals.iterdir()] == ["measure-00001.jsonl"]


def test_files_are_written_as_they_are_read(run_dir):
    run_dir.write_json("a.json", {"x": 1})
    assert run_dir.read_json("a.json") == {"x": 1} and run_dir.read_json("b.json") is None
    run_dir.write_lines("lines.txt", iter(["ä", "\ud800"]))
    assert (run_dir.root / "lines.txt").read_bytes() == "ä\n\\ud800\n".encode()
    run_dir.write_text("text.txt", "ä")
    assert (run_dir.root / "text.txt").read_bytes() == "ä".encode()


WHOLE = {
    "config": {"run": {}, "causal": None},
    "version": "1",
    "versions": {},
    "schema_version": 1,
    "fingerprints": {},
    "timings": {},
}


def test_run_yaml_comes_back_in_its_order_and_without_any_key_it_is_damaged(run_dir):
    assert run_dir.read_run_yaml() is None
    run_dir.write_run_yaml(WHOLE | {"wörter": "ü"})
    assert run_dir.read_run_yaml() == WHOLE | {"wörter": "ü"}
    text = (run_dir.root / layout.RUN_YAML).read_text(encoding="utf-8")
    assert text.startswith("config:") and "wörter: ü" in text
    for name in WHOLE:
        run_dir.write_run_yaml({key: value for key, value in WHOLE.items() if key != name})
        with pytest.raises(RunFailedError, match=r"run\.yaml: is damaged \(it must hold config, version, versions"):
            run_dir.read_run_yaml()


@pytest.mark.parametrize("section", ["run", "predictions", "model", "prompt", "decision", "statistics", "cluster"])
def test_a_section_that_is_no_mapping_is_named(run_dir, section):
    run_dir.write_run_yaml(WHOLE | {"config": {section: "words"}})
    with pytest.raises(RunFailedError, match=rf"\({section} must hold settings by their names\)"):
        run_dir.read_run_yaml()


def test_a_run_is_published_until_it_is_withdrawn(run_dir):
    assert not run_dir.is_published()
    run_dir.withdraw()
    (run_dir.root / layout.SUCCESS).write_text(json.dumps({}))
    assert run_dir.is_published()
    run_dir.withdraw()
    assert not run_dir.is_published()
