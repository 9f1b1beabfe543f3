"""Charts are exported by a process that may die alone: the rest of an analysis goes on and says so."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import altair as alt
import polars as pl
import pytest

from analyses.charts import export
from analyses.charts.export import ChartFiles, export_charts
from analyses.charts.files import write_chart
from tests.fixtures.places import ROOT
from tests.fixtures.synthetic_run import add_metadata, seal, write_run

QUICK = {"permutations": 9, "decodability": False, "hypotheses": [], "correlations": [], "strata": []}
CHART = alt.Chart(pl.DataFrame({"x": [1, 2], "y": [3, 4]})).mark_point().encode(x="x:Q", y="y:Q").to_dict()


def files(folder: Path, *names: str, formats=("svg",)) -> list[ChartFiles]:
    return [ChartFiles(CHART, f"The {name}", folder / name, formats) for name in names]


def test_files_are_those_that_are_written_in_this_process(tmp_path):
    (tmp_path / "there").mkdir()
    exported = export_charts(files(tmp_path, "a", formats=("svg", "png", "html", "json")))
    assert exported.bundle and not exported.problem and not exported.undrawn
    for path in write_chart(CHART, "The a", tmp_path / "there" / "a", ("svg", "png", "html", "json")):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    assert export_charts([]) == export.Exported()


def dying(monkeypatch, doomed: str) -> None:
    """Let the exporting process die by a signal at some charts."""
    real = subprocess.run

    def run(command, **options):
        code = (
            "import os, signal\nfrom analyses.charts import export\nreal = export.write_chart\n"
            f"def write(specification, title, stem, formats):\n    if stem.name in {doomed!r}:\n"
            "        os.kill(os.getpid(), signal.SIGTRAP)\n    return real(specification, title, stem, formats)\n"
            "export.write_chart = write\nexport.serve()"
        )
        return real([command[0], "-c", code], **options)

    monkeypatch.setattr("analyses.charts.export.subprocess.run", run)


def test_a_chart_that_kills_the_process_costs_itself(tmp_path, monkeypatch):
    dying(monkeypatch, "b")
    exported = export_charts(files(tmp_path, "a", "b", "c"))
    assert exported.undrawn == ("b",) and exported.bundle
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "c.svg"]
    assert exported.problem.startswith("1 of 3 charts could not be drawn: the process that draws them died (SIGTRAP).")


def test_a_process_that_dies_at_every_chart_is_given_up(tmp_path, monkeypatch):
    dying(monkeypatch, "abcdefg")
    exported = export_charts(files(tmp_path, *"abcdefg"))
    assert exported.undrawn == tuple("abcdefg") and not list(tmp_path.iterdir())
    assert exported.problem.startswith("7 of 7 charts")


def test_a_chart_that_cannot_be_written_names_itself(tmp_path):
    for formats in (("svg",), ("json",)):  # the second in this process, where the script of a page is there already
        with pytest.raises(RuntimeError, match=r"a: FileNotFoundError.*nowhere"):
            export_charts(files(tmp_path / "nowhere", "a", formats=formats))


def test_specifications_and_pages_alone_start_no_process_again(tmp_path, monkeypatch):
    first = export_charts(files(tmp_path, "a", formats=("json", "html")))
    monkeypatch.setattr(export, "_run", lambda tasks: pytest.fail("a process was started"))
    again = export_charts(files(tmp_path, "b", formats=("json", "html")))
    assert again == first and (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    one, other = ((tmp_path / f"{name}.html").read_text() for name in "ab")
    assert other == one.replace("<title>The a<", "<title>The b<")


@pytest.mark.parametrize(
    ("formats", "count", "left"),
    [(("json", "html"), "1 of 1 charts", ["a.json"]), (("json",), "The report's", ["a.json"])],
)
def test_a_page_whose_script_cannot_be_made_is_missing_alone(tmp_path, monkeypatch, formats, count, left):
    monkeypatch.setattr(export, "_BUNDLES", {})
    monkeypatch.setattr(export, "_run", lambda tasks: (0, -5))
    exported = export_charts(files(tmp_path, "a", formats=formats))
    assert not exported.bundle and exported.problem.startswith(count) and "(SIGTRAP)" in exported.problem
    assert sorted(path.name for path in tmp_path.iterdir()) == left


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    write_run(path, num_samples=30, num_layers=2, num_heads=2, num_clusters=10, num_shards=1)
    add_metadata(path, {"analysis": QUICK, "visualization": {"formats": ["svg"]}})
    return seal(path)


def test_an_analysis_under_a_limit_of_addresses_goes_on_without_charts(run_dir, tmp_path):
    """``ulimit -v`` as batch systems set it: V8 reserves more when it starts."""
    root = shutil.copytree(run_dir, tmp_path / "run")
    limit = 12 * 2**30
    done = subprocess.run(
        [sys.executable, "-m", "analyses.report", str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 0, done.stderr
    said = "charts could not be drawn: the process that draws them died"
    assert said in done.stdout and "12.0 GiB (ulimit -v)" in done.stdout
    analysis = root / "analysis"
    assert said in (analysis / "report.html").read_text()
    assert said in " ".join((analysis / "analysis_summary_report.txt").read_text().split())
    facts = json.loads((analysis / "attention_analysis_results.json").read_text())
    assert said in json.dumps(facts)
    assert not list((analysis / "visualizations").iterdir()) and list((analysis / "tables").iterdir())


def test_many_charts_are_drawn_by_several_processes_and_lost_ones_stay_in_their_order(tmp_path, monkeypatch):
    names = [f"chart_{one:02d}" for one in range(2 * export._FEWEST_CHARTS)]
    monkeypatch.setattr(export, "num_cores", lambda: 2)
    dying(monkeypatch, ["chart_03", "chart_12"])
    started, run = [], export._run
    monkeypatch.setattr(export, "_run", lambda tasks: started.append(len(tasks)) or run(tasks))
    exported = export_charts(files(tmp_path, *names))
    assert exported.undrawn == ("chart_03", "chart_12") and exported.problem.startswith("2 of 16 charts")
    assert sorted(path.stem for path in tmp_path.iterdir()) == [n for n in names if n not in exported.undrawn]
    assert len(started) == 4, "two processes, and one more after each death"
