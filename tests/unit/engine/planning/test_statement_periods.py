"""What the plan says of statements: periods that have a header and no figure."""

import json

import pytest

from engine.run import main

WHOLE = (
    "|  | 2023 |  | 2022 |  |\n|---|---|---|---|---|\n| Sales | $ | 10,988 | $ | 5,899 |\n"
    "| Costs |  | 7,000 |  | 4,100 |"
)
EMPTY = "| Item | 2023 | 2022 |\n|---|---|---|\n| Sales |  | 5,899 |\n| Costs | - | 4,100 |"
HTML = "<table><tr><td></td><td>2023</td><td>2022</td></tr><tr><td>Sales</td><td>5</td><td></td></tr></table>"


@pytest.mark.parametrize(
    ("statements", "number"), [([WHOLE, WHOLE], 0), ([WHOLE, EMPTY], 1), ([EMPTY, HTML], 2)], ids=["none", "one", "two"]
)
def test_periods_without_figures_are_counted(config_file, tmp_path, statements, number):
    rows = [
        {"id": str(place), "prompt": f"Read.\n\n{text}\n\nWill EPS rise?", "response": "increase"}
        for place, text in enumerate(statements)
    ]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    overrides = ["prompt.source=fields", "prompt.chat_template=none", "decision.field=null"]
    assert main([str(config_file), f"predictions.path={path}", *overrides, "--stage", "plan"]) == 0
    plan = json.loads((config_file.parent / "runs" / "test" / "plan.json").read_text())
    assert plan["num_samples_with_periods"] == 2
    assert plan["samples_by_flag"].get("period_without_figures", 0) == number
    warnings = [warning for warning in plan["warnings"] if "period_without_figures" in warning]
    assert len(warnings) == min(number, 1) and all(f"In {number} sample(s)" in warning for warning in warnings)
