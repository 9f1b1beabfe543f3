"""What is published works from a folder without a checkout: demo, queries, a notebook's cell, configs by name."""

from __future__ import annotations

import subprocess
import tarfile
import venv
import zipfile

import pytest

from tests.package.environments import Installed

SMALL = (
    "predictions.max_samples=8",
    "cluster.mode=inline",
    "cluster.replicas=null",
    "statistics.random_groups=0",
)
"""The demo cut short."""

LARGEST_MIB = 15

CELL = """
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from engine.config.examples import EXAMPLES
from engine.notebook import quick_attention_analysis

folder = EXAMPLES / "data" / "demo-model"
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
analyzer = quick_attention_analysis(model, tokenizer, "Net income rose by 5 million, so EPS will increase")
print(analyzer.vocabulary_name, analyzer.plot_attention_heatmap(0, 0).to_dict()["$schema"], folder)
"""


def test_the_wheel_holds_what_runs_and_little_else(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < LARGEST_MIB * 2**20
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "engine/py.typed",
        "analyses/py.typed",
        "engine/attention/backends/tile_kernel.c",
        "engine/examples/config/demo.yaml",
        "engine/examples/config/vocabulary/financial.yaml",
        "engine/examples/data/demo-model/model.safetensors",
        "analyses/reporting/templates/report.html.j2",
        "engine/inputs/answers/language_data/en.toml",
    ):
        assert name in names, name
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"engine", "analyses"}
    assert not [name for name in names if name.startswith("engine/examples/") and name.endswith(".py")]


def test_the_sdist_builds_the_same(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        links = [member.name for member in members if member.issym()]
    assert links == [] and archive.stat().st_size < LARGEST_MIB * 2**20


def test_metadata(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as members:
        (name,) = [name for name in members.namelist() if name.endswith(".dist-info/METADATA")]
        text = members.read(name).decode()
    for extra in ("gpu", "peft", "logs", "view", "docs", "test", "peers"):
        assert f"Provides-Extra: {extra}\n" in text
    assert "Requires-Dist: huggingface-hub" in text and "Classifier: Typing :: Typed" in text


def test_from_any_folder(installed):
    """The demo's measurement, query and export over its tables, and the first cell of a notebook."""
    said = installed.run("headledger", "demo", "--stage", "collect", *SMALL)
    assert "Measured and verified: 8 samples" in said
    rows = installed.run("headledger", "query", "runs/demo", "SELECT COUNT(*) AS n FROM samples")
    assert "8" in rows
    assert '"margin"' in installed.run("headledger", "export", "runs/demo")
    told = installed.run("python", "-c", CELL)
    assert told.startswith("financial ") and str(installed.root) in told


def test_configs_and_vocabularies_by_name(installed):
    assert "285" in installed.run("headledger", "plan", "eps")
    said = installed.run("headledger", "run", "nowhere", code=2)
    assert "no such config file" in said and "eps" in said
    (installed.folder / "mine.jsonl").write_text(
        '{"company_id": 1, "year": 2001, "actual_label": "increase", "predicted_direction": "increase", '
        '"prompt": "Net income rose. Will EPS rise?", "response": "increase"}\n'
    )
    assert "Wrote config.yaml" in installed.run("headledger", "init", "mine.jsonl")
    said = installed.run("headledger", "plan", "config.yaml", "vocabulary=finance", "model.path=nowhere", code=2)
    assert "finance" in said


def test_every_command_says_what_it_takes(installed):
    said = installed.run("headledger", "--help")
    for name in ("run", "init", "plan", "report", "query", "export", "demo"):
        assert f"\n  {name} " in said
        assert f"usage: headledger {name}" in installed.run("headledger", name, "--help")
    assert installed.run("headledger", "--version").startswith("headledger 0.")
    assert "'diagnose' is no command" in installed.run("headledger", "diagnose", code=2)


@pytest.mark.soak
def test_the_whole_install(built, tmp_path):
    """With everything that the package needs, from the registries that pip is set up with: minutes, gigabytes."""
    venv.create(tmp_path / "venv", with_pip=True)
    (wheel,) = built.glob("*.whl")
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    Installed(tmp_path / "venv", tmp_path).run("headledger", "demo", *SMALL)
    assert (tmp_path / "runs" / "demo" / "analysis" / "report.html").is_file()


@pytest.mark.soak
def test_the_whole_demo(installed):
    said = installed.run("headledger", "demo", "run.name=whole")
    assert "285 samples" in said and (installed.folder / "runs/whole/analysis/report.html").is_file()
    assert "runs/whole" in installed.run("headledger", "report", "runs/whole")
