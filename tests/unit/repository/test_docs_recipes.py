"""Each recipe of docs/recipes.md runs as it stands and answers something."""

import re

import polars as pl
import pytest

from analyses.reporting.write import analyze
from tests.fixtures.places import ROOT
from tests.fixtures.synthetic_run import add_metadata, add_texts, write_run

TEXT = (ROOT / "docs" / "recipes.md").read_text()
FIRST, *RECIPES = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    write_run(
        path, num_samples=60, num_layers=2, num_heads=3, num_shards=2, planted={("decision", "mass_profit", 1, 2): 0.2}
    )
    add_texts(path)
    add_metadata(path, {"analysis": {"permutations": 99, "decodability": False}, "visualization": {"formats": []}})
    return analyze(path).directory.parent


def test_there_are_ten():
    assert len(RECIPES) == 10 and len(re.findall(r"^## \d+\. .*\?$", TEXT, flags=re.MULTILINE)) == 10


@pytest.mark.parametrize("slot", range(len(RECIPES)))
def test_every_recipe_answers(run_dir, slot):
    names = {}
    exec(FIRST.replace("runs/demo", str(run_dir)), names)
    exec(RECIPES[slot], names)
    answer = names["recipe"]
    assert isinstance(answer, pl.DataFrame) and answer.height > 0
    empty = [name for name in answer.columns if answer[name].is_null().all()]
    assert empty == []
    if slot == 9:
        strongest = answer.row(0, named=True)
        assert (strongest["statistic"], strongest["layer"], strongest["head"]) == ("mass_profit", 1, 2)
