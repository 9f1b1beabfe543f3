"""Advice that works when it is followed."""

import shutil

import pytest

from engine.errors import RunFailedError
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import verify
from tests.fixtures.places import ROOT


def test_a_folder_that_is_no_unit_is_to_be_moved_away(tmp_path):
    root = shutil.copytree(ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0", tmp_path / "run")
    run_dir = RunDirectory(root)
    counts = verify(run_dir)
    surplus = shutil.copytree(root / "shards" / "measure-00000", root / "shards" / "measure-00000 (copy)")
    with pytest.raises(RunFailedError, match=r"'measure-00000 \(copy\)' is not in the plan.*Move it out of") as refused:
        verify(run_dir)
    assert "command again" not in str(refused.value)
    surplus.rename(tmp_path / "elsewhere")
    assert verify(run_dir) == counts


def test_a_damaged_plan_is_to_be_brought_back(tmp_path):
    root = shutil.copytree(ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0", tmp_path / "run")
    units = root / "plan" / "units.json"
    whole = units.read_text()
    units.write_text(whole.replace("s7", "s8"))
    with pytest.raises(RunFailedError, match=r"plan/units\.json: is missing or damaged.*bring the file back"):
        verify(RunDirectory(root))
    units.write_text(whole)
    assert verify(RunDirectory(root))["samples"] == 8
