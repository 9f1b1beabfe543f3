"""Valid JSON or YAML of another shape in a run directory is told in a sentence that names the file."""

import json
from pathlib import Path

import pytest

from engine.errors import RunFailedError
from engine.schema.manifests import is_manifest, manifest_digest
from engine.storage.run_directory import RunDirectory
from tests.fixtures.places import ROOT

STORED = ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0"
PLAN = json.loads((STORED / "plan.json").read_text())
READS = {
    "plan.json": lambda run_dir: run_dir.plan.read(),
    "plan/units.json": lambda run_dir: run_dir.plan.units(),
    "plan/causal.json": lambda run_dir: run_dir.plan.causal_units(),
    "run.yaml": RunDirectory.read_run_yaml,
}
RUN = "config: {config}\nversion: 1\nversions: {{}}\nschema_version: 1\nfingerprints: {other}\ntimings: {{}}\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.json", "[]"),
        ("plan.json", "{}"),
        ("plan.json", "3"),
        ("plan.json", "[" * 100_000),
        ("plan.json", json.dumps(PLAN | {"checksums": 3})),
        ("plan.json", json.dumps(PLAN | {"num_rows": "many"})),
        ("plan.json", json.dumps(PLAN | {"model": []})),
        ("plan.json", json.dumps(PLAN | {"key_groups": {}})),
        ("plan/units.json", "[1]"),
        ("plan/units.json", '{"a": 1}'),
        ("plan/units.json", "5"),
        ("plan/units.json", '[{"name": "measure-00000", "sample_ids": 3}]'),
        ("plan/units.json", '[{"name": 1, "sample_ids": []}]'),
        ("plan/causal.json", "[]"),
        ("plan/causal.json", '{"units": [], "partners": [], "screened": {}, "fingerprints": {}}'),
        ("run.yaml", RUN.format(config=5, other="{}")),
        ("run.yaml", RUN.format(config="{run: {}, prompt: 3}", other="{}")),
        ("run.yaml", RUN.format(config="{run: {}}", other="[a]")),
        ("run.yaml", "[" * 5000),
        ("run.yaml", "config: " + "9" * 5000),
    ],
)
def test_a_record_of_another_shape_is_damaged(tmp_path: Path, name: str, text: str):
    (tmp_path / "plan").mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(RunFailedError, match="is damaged") as refused:
        READS[name](RunDirectory(tmp_path))
    assert str(refused.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [{"files": []}, {"files": {"a": 3}}, {"facts": {}}, {"sample_ids": None}, {"digest": "0"}, {}],
    ids=["files", "file", "facts", "ids", "digest", "none"],
)
def test_a_manifest_of_another_shape_is_none(change):
    whole = json.loads(next(STORED.glob("shards/*/manifest.json")).read_text())
    content = {**whole, **change}
    if "digest" not in change:
        content["digest"] = manifest_digest(content)
    assert is_manifest(content) == (not change)
    content.pop("files")
    assert not is_manifest(content | {"digest": manifest_digest(content)}) and not is_manifest([content])
