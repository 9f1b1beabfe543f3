"""Mistakes in config and input are told before torch is loaded, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fixtures.places import ROOT

CODE = (
    "import sys; from engine.run import main; code = main(sys.argv[1:]); "
    "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules))); raise SystemExit(code)"
)


def refused(*arguments):
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("run.nam=x", 2, "unknown key"),
        ("decision.labels=[a]", 2, "decision"),
        ("predictions.format=jsonn", 2, "did you mean json?"),
        ("analysis.alpha=3", 2, "alpha"),
        ("predictions.path=nothing.json", 3, "no such file"),
        ("predictions.path={empty}", 3, "the file is empty"),
        ("predictions.path={cut}", 3, "is not valid JSON"),
    ],
    ids=["key", "labels", "format", "analysis", "no-file", "empty", "cut"],
)
def test_a_mistake_is_told_before_torch_is_loaded(config_file, tmp_path, override, code, words):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "cut.json").write_text('{"company_id": 1')
    override = override.format(empty=tmp_path / "empty.csv", cut=tmp_path / "cut.json")
    returned, loaded, said = refused(str(config_file), override)
    assert (returned, loaded) == (code, "[]") and words in said and "Traceback" not in said
