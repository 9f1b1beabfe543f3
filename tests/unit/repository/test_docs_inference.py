"""docs/inference.md names every setting, every table with its columns, and shows settings that can be used."""

import re

import polars as pl
import pytest
import yaml

from analyses.questions.registry import QUESTIONS
from analyses.reporting.write import analyze
from analyses.settings.analysis import AnalysisSettings, HeadTypes
from analyses.settings.checks import check_columns
from analyses.settings.decodability import DecodabilitySettings
from engine.schema import samples_schema
from tests.fixtures.places import ROOT
from tests.fixtures.synthetic_run import add_metadata, write_run

TEXT = (ROOT / "docs" / "inference.md").read_text()
TABLE_ROWS = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", TEXT, flags=re.MULTILINE))


def test_every_setting_is_explained_with_its_default():
    for name in AnalysisSettings.model_fields:
        assert re.search(rf"^\| `{name}` \| ", TEXT, flags=re.MULTILINE), name
    for name in DecodabilitySettings.model_fields:
        assert f"`decodability.{name}`" in TEXT or f"`.{name}`" in TEXT, name
    for name, value in HeadTypes():
        assert f"`{name}` {value:g}" in TEXT, name


def test_the_example_can_be_used():
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    check_columns(AnalysisSettings.from_mapping(yaml.safe_load(example)["analysis"]), samples_schema([]).names)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "run", num_samples=60, num_layers=2, num_heads=2)
    quick = {"permutations": 9, "decodability": {"folds": 3, "repeats": 1, "permutations": 1}}
    add_metadata(run_dir, {"analysis": quick, "visualization": {"formats": []}})
    return {path.stem: pl.read_parquet_schema(path) for path in (analyze(run_dir).directory / "tables").iterdir()}


def test_every_table_and_column_is_listed_with_its_meaning(tables):
    declared = {table.name: table for question in QUESTIONS for table in question.tables}
    elsewhere = {name for name, table in declared.items() if table.is_optional} - set(tables)
    assert set(tables) == set(declared) - elsewhere
    assert elsewhere == {
        "transfer",
        "circuit_edges",
        "circuit_faithfulness",
        "probes",
        "retrieval_heads",
        "retrieval_differences",
        "evidence_heads",
        "reading_differences",
    }
    tables = tables | {name: declared[name].schema for name in elsewhere}
    rows = re.findall(r"^\| `(\w+)`(.*?) \| (.*) \|$", TEXT.replace("\\|", "\x1f"), flags=re.MULTILINE)
    for name, schema in tables.items():
        listed = re.findall(r"`(\w+)`", TABLE_ROWS[name])
        if name == "head_means":
            assert set(listed) < set(schema)
        else:
            assert listed == list(schema), name
        assert f"| `{name}` | {declared[name].grain} |" in TEXT
        for column in declared[name].columns:
            meaning = "; ".join(column.metadata.values()).replace("|", "\x1f")
            places = [place for listed_name, place, text in rows if (listed_name, text) == (column.name, meaning)]
            assert any(not place or f"`{name}`" in place for place in places), (name, column.name)
