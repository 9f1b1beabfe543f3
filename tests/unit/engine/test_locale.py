"""A locale that knows ASCII only: names that it cannot write are refused in a sentence, by every command."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from engine.errors import LocaleError, name_in
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}


def command(*arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if name not in ("LANG", "PYTHONIOENCODING")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment | ASCII,
        cwd=cwd,
        capture_output=True,
        check=False,
        timeout=200,
    )


def check_refused(done, name="r\\xe9sultats"):
    message = done.stderr.decode("ascii").strip()
    assert (done.returncode, message.count("\n")) == (2, 0), message
    assert name in message and "PYTHONUTF8=1 or LC_ALL=C.UTF-8" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ("engine.run", "CONFIG", "run.output=résultats", "--stage", "plan"),
        ("engine.run", "CONFIG", "--predictions", "résultats.json", "--stage", "plan"),
        ("engine.run", "résultats.yaml"),
        ("analyses.report", "résultats"),
        ("analyses.query", "résultats", "select 1"),
    ],
    ids=["override", "predictions", "config", "report", "query"],
)
def test_an_argument_that_cannot_be_written_is_refused(config_file, tmp_path, arguments):
    check_refused(command(*(str(config_file) if part == "CONFIG" else part for part in arguments), cwd=tmp_path))


def test_names_inside_of_configs_are_refused(config_file, tmp_path):
    tree = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    tree["run"]["output"] = "résultats"
    config_file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    check_refused(command("engine.run", str(config_file), "--stage", "plan", cwd=tmp_path))


def test_names_inside_of_folders_are_refused(config_file, tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "résultats.json").write_text(json.dumps(records(2)), encoding="utf-8")
    check_refused(command("engine.run", str(config_file), "predictions.path=inputs", "--stage", "plan", cwd=tmp_path))


def test_texts_that_it_cannot_print_do_not_end_a_run(config_file, tmp_path):
    rows = [row | {"note": "é"} for row in records(4)]
    rows[3]["predicted_direction"] = rows[3]["full_model_response"] = "größer"
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    done = command("engine.run", str(config_file), f"predictions.path={path}", "--stage", "plan", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"samples to measure" in done.stdout


def test_the_name_around_a_character():
    assert name_in(UnicodeEncodeError("ascii", 'x "a/é.json" y', 5, 6, "no")) == "a/é.json"
    assert "a/\\xe9" in str(LocaleError("a/é"))
