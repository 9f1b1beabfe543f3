"""What a model, an input file or a query may not do."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from analyses.query import QueryError, run_query
from analyses.query import main as query
from analyses.reporting.write import analyze
from engine.run import main
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records

EVIL = [
    "../../../../outside",
    "/etc/outside",
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '=HYPERLINK("http://x")',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "a\x00b",
    "..",
    "C:\\outside",
    "{{7*7}}",
    '"><img src=x onerror=alert(3)>',
]


def test_code_that_comes_with_a_model_does_not_run(lab, tmp_path):
    """``trust_remote_code`` is off unless it is set; with it the same code runs, so that this test could fail."""
    canary = tmp_path / "canary"
    model = shutil.copytree(lab.faulty(), tmp_path / "model")
    code = model / "faulty_model.py"
    code.write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n{code.read_text()}")
    for trust, runs in (("false", False), ("true", True)):
        options = [f"model.path={model}", f"model.trust_remote_code={trust}", "predictions.max_samples=2"]
        assert main(lab.arguments(f"trust-{trust}", *options)) == 0
        assert canary.exists() == runs


class Exploit:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_in_pickles_need_a_word(config_file, tiny_model_dir, tmp_path, capsys):
    from safetensors.torch import load_file

    model = tmp_path / "pickled"
    shutil.copytree(tiny_model_dir, model)
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(tensors, model / "pytorch_model.bin")
    assert main([str(config_file), f"model.path={model}"]) == 2
    said = capsys.readouterr().err
    assert "pickle" in said and "model.allow_pickle=true" in said
    assert main([str(config_file), f"model.path={model}", "model.allow_pickle=true", "--stage", "collect"]) == 0
    owned = tmp_path / "owned"
    torch.save({**tensors, "evil": Exploit(owned)}, model / "pytorch_model.bin")
    options = [f"model.path={model}", "model.allow_pickle=true", "run.name=owned", "--stage", "collect"]
    assert main([str(config_file), *options]) == 2
    assert not owned.exists(), "even allowed pickles may hold nothing but tensors"


def test_no_pickle_is_read_from_a_run_directory(lab, tmp_path):
    """Neither by import nor by a planted file: everything in a run is Parquet, JSON, YAML or text."""
    readers = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for path in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "analyses").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        nodes = list(ast.walk(tree))
        imported = {name.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
        imported |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not imported & readers and not calls & {"torch.load", "np.load", "numpy.load", "yaml.unsafe_load"}
    owned = tmp_path / "owned"
    shutil.copytree(lab.run("whole"), lab.run("planted"))
    for name in ("plan.pkl", "model.pt", "shards/measure-00000/samples.pkl"):
        (lab.run("planted") / name).write_bytes(pickle.dumps(Exploit(owned)))
    run_yaml = lab.run("planted") / "run.yaml"
    run_yaml.write_text(run_yaml.read_text() + f"evil: !!python/object/apply:pathlib.Path.touch [{owned}]\n")
    assert lab.here("planted", stage="verify") == 1
    assert not owned.exists()


@pytest.fixture(scope="module")
def evil_run(tmp_path_factory, tiny_model_dir):
    """A run whose ids, clusters, labels' spellings and kept fields are written by an enemy."""
    folder = tmp_path_factory.mktemp("evil")
    rows = [
        {**row, "id": name, "company_id": name, "certainty": name, "note": name}
        for name, row in zip(EVIL, records(len(EVIL)), strict=True)
    ]
    (folder / "predictions.json").write_text(json.dumps(rows))
    (folder / "config.yaml").write_text(
        f"run: {{name: evil, output: {folder / 'runs'}}}\n"
        f"predictions: {{path: {folder / 'predictions.json'}, fields: {{id: id}}, keep: [note]}}\n"
        f"model: {{path: {tiny_model_dir}, dtype: float32, device: cpu}}\n"
        f"vocabulary: {ROOT / 'config' / 'vocabulary' / 'financial.yaml'}\n"
        "cluster: {mode: inline, samples_per_shard: 5}\nvisualization: {formats: [html]}\n"
        "analysis: {permutations: 9, decodability: false}\n"
    )
    before = {path for path in folder.rglob("*") if "runs" not in path.parts}
    assert main([str(folder / "config.yaml")]) == 0
    assert {path for path in folder.rglob("*") if "runs" not in path.parts} == before
    assert {path.name for path in (folder / "runs").iterdir()} == {"evil"}
    return folder / "runs" / "evil"


def test_ids_stay_inside_the_output_and_are_kept_as_they_are(evil_run):
    names = {path.name for path in evil_run.rglob("*")}
    assert not [name for name in names for evil in EVIL if len(evil) > 2 and evil in name]
    found = pl.read_parquet(evil_run / "shards" / "*" / "samples.parquet")["sample_id"].to_list()
    rejected = pl.read_parquet(evil_run / "rejects.parquet")["sample_id"].to_list()
    assert sorted([*found, *rejected]) == sorted(name.strip() if name not in found else name for name in EVIL)


def test_ids_are_text_in_the_report(evil_run):
    pages = [evil_run / "analysis" / "report.html", *(evil_run / "analysis").rglob("*.html")]
    for page in pages:
        content = page.read_text()
        for evil in ("<script>alert(", "<img src=x", "onerror=alert(3)>"):
            assert evil not in content, (page, evil)
    assert "49" not in [line.strip() for line in pages[0].read_text().splitlines()]


def test_csv_holds_no_formulas(evil_run, tmp_path):
    """A spreadsheet takes a cell that begins with = + - @ for a formula; numbers stay numbers."""
    path = tmp_path / "answer.csv"
    sql = 'SELECT sample_id, "cluster", certainty, logit_difference FROM samples'
    assert query([str(evil_run), sql, "--output", str(path)]) == 0
    lines = pl.read_csv(path)
    for column in ("sample_id", "cluster", "certainty"):
        assert not [value for value in lines[column] if value and value[0] in "=+-@\t\r"], column
    assert lines["logit_difference"].dtype == pl.Float64
    assert {value.removeprefix("'") for value in lines["sample_id"]} == set(run_query(evil_run, sql)["sample_id"])


def test_queries_read_the_run_only(evil_run, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nhunter2\n")
    for source in (
        f"read_csv('{secret}')",
        f"READ_CSV('{secret}')",
        f"(SELECT * FROM scan_csv('{secret}'))",
        f"'{secret}'",
    ):
        with pytest.raises(QueryError):
            run_query(evil_run, f"SELECT * FROM {source}")
    assert analyze(evil_run).report.exists()
