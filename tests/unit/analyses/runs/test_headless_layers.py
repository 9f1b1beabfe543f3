"""Layers without heads are called that wherever a report draws or counts heads."""

from __future__ import annotations

import json

from analyses.questions.overview.facts import run_facts
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.wording import headless_text
from tests.fixtures.synthetic_run import seal, write_run


def test_a_report_says_which_layers_have_no_heads(tmp_path):
    run_dir = write_run(tmp_path / "run", num_samples=6, num_layers=3, num_heads=2)
    seal(run_dir)
    assert open_tables(run_dir).headless_layers == ()
    plan = json.loads((run_dir / "plan.json").read_text())
    plan["model"] = {**(plan.get("model") or {}), "headless_layers": [0, 3]}
    (run_dir / "plan.json").write_text(json.dumps(plan))
    facts = dict(run_facts(open_tables(run_dir), AnalysisSettings()))
    assert facts["Heads"] == (
        "4 layers x 2 query heads; layers 0 and 3 have no heads (recurrent layers or convolutions)"
    )
    assert headless_text([4]) == "layer 4 has no heads (recurrent layers or convolutions)"
