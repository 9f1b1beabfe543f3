"""docs/inference.md names every setting, every table with its columns, and shows settings that can be used."""

import re
from dataclasses import fields

import polars as pl
import pytest
import yaml

from analyses.decodability_settings import DecodabilitySettings
from analyses.described_tables import COLUMNS, GRAINS
from analyses.report import analyze
from analyses.settings import HEAD_TYPE_THRESHOLDS, AnalysisSettings, check_settings
from engine.schema import samples_schema
from tests.conftest import ROOT
from tests.synthetic_run import add_metadata, write_run

TEXT = (ROOT / "docs" / "inference.md").read_text()
TABLE_ROWS = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", TEXT, flags=re.MULTILINE))


def test_every_setting_is_explained_with_its_default():
    for entry in fields(AnalysisSettings):
        assert re.search(rf"^\| `{entry.name}` \| ", TEXT, flags=re.MULTILINE), entry.name
    for entry in fields(DecodabilitySettings):
        assert f"`decodability.{entry.name}`" in TEXT or f"`.{entry.name}`" in TEXT, entry.name
    for name, value in HEAD_TYPE_THRESHOLDS.items():
        assert f"`{name}` {value:g}" in TEXT, name


def test_the_example_can_be_used():
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    check_settings(yaml.safe_load(example)["analysis"], {}, samples_schema([]).names)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "run", num_samples=60, num_layers=2, num_heads=2)
    quick = {"permutations": 9, "decodability": {"folds": 3, "repeats": 1, "permutations": 1}}
    add_metadata(run_dir, {"analysis": quick, "visualization": {"formats": []}})
    return {path.stem: pl.read_parquet_schema(path) for path in (analyze(run_dir).directory / "tables").iterdir()}


def test_every_table_and_column_is_listed_with_its_meaning(tables):
    assert set(tables) == {name for name in GRAINS if not name.startswith("compared_")}
    for name, schema in tables.items():
        listed = re.findall(r"`(\w+)`", TABLE_ROWS[name])
        if name == "head_means":
            assert set(listed) < set(schema)
        else:
            assert listed == list(schema), name
        for column in listed:
            assert f"| `{column}` | {COLUMNS[column]} |" in TEXT.replace("\\|", "|"), column
