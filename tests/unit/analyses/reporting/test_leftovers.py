"""What a killed analysis left behind is swept by the next one, and what another is writing is not."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyses.report import main
from analyses.reporting.write import _replace, _sweep

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def dead():
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folders_of_dead_and_forgotten_analyses_go(tmp_path, dead):
    old = [f".analysis-{dead}", f".analysis-{HOST}-{dead}", f".analysis-{HOST}-{os.getpid()}", f".analysis-{HOST}-1"]
    kept = [f".analysis-{HOST}-{os.getppid()}", f".analysis-elsewhere-{dead}", ".analysis-notes"]
    for name in (*old, *kept):
        (tmp_path / name).mkdir()
    two_days_ago = time.time() - 48 * 3600
    os.utime(tmp_path / f".analysis-{HOST}-1", (two_days_ago, two_days_ago))
    _sweep(tmp_path, tmp_path / "analysis")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize("has_new", [True, False])
def test_an_analysis_that_was_moved_aside_comes_back_where_no_new_one_stands(tmp_path, dead, has_new):
    earlier = tmp_path / f".analysis-earlier-{HOST}-{dead}"
    earlier.mkdir()
    (earlier / "report.html").write_text("earlier")
    if has_new:
        (tmp_path / "analysis").mkdir()
        (tmp_path / "analysis" / "report.html").write_text("new")
    _sweep(tmp_path, tmp_path / "analysis")
    assert (tmp_path / "analysis" / "report.html").read_text() == ("new" if has_new else "earlier")
    assert [path.name for path in tmp_path.iterdir()] == ["analysis"]


def test_ctrl_c_is_a_sentence(tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("analyses.reporting.write.analyze", interrupted)
    monkeypatch.setattr("analyses.query.run_query", interrupted)
    assert main([str(tmp_path)]) == 75
    from analyses.query import main as query

    assert query([str(tmp_path), "SELECT 1"]) == 75
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith("Interrupted: ") for line in said)


def test_an_earlier_analysis_stays_until_the_new_one_stands(tmp_path, monkeypatch):
    target, building = tmp_path / "analysis", tmp_path / ".analysis-new"
    for folder, content in ((target, "earlier"), (building, "new")):
        folder.mkdir()
        (folder / "report.html").write_text(content)
    rename = Path.rename

    def fails_for_the_new(self, other):
        if self == building:
            kept = [path for path in tmp_path.glob("*earlier*/report.html") if path.read_text() == "earlier"]
            assert kept, "it is gone before the new one stands"
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fails_for_the_new)
    with pytest.raises(OSError, match="No space left"):
        _replace(target, building)
    assert (target / "report.html").read_text() == "earlier"
    monkeypatch.setattr(Path, "rename", rename)
    _replace(target, building)
    assert (target / "report.html").read_text() == "new" and [path.name for path in tmp_path.iterdir()] == ["analysis"]
