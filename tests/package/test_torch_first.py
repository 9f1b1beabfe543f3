"""Torch is installed first, from the index that is named; one that does not answer is said. Indexes are folders."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

from tests.fixtures.places import ROOT

SCRIPT = ROOT / "launch" / "local" / "torch_first.py"


def index_of(folder, version):
    """Write an index with one wheel of a torch that holds nothing."""
    name = f"torch-{version}-py3-none-any.whl"
    (folder / "torch").mkdir(parents=True)
    info = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / "torch" / name, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "torch" / "index.html").write_text(f'<a href="{name}">{name}</a>')
    return folder.as_uri()


@pytest.fixture
def place(tmp_path):
    """Return an environment's Python, and the two indexes: the ordinary one and PyTorch's."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    ordinary, own = index_of(tmp_path / "ordinary", "2.10.0"), index_of(tmp_path / "own", "2.10.0+cpu")
    return tmp_path / "venv" / "bin" / "python", ordinary, own


def installed(place, *arguments):
    """Run the script and return what it said and which torch is there."""
    python, ordinary, _ = place
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment = kept | {"PIP_INDEX_URL": ordinary, "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [python, str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code = "import importlib.metadata as m; print(m.version('torch'))"
    return done.stdout, subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_index_that_is_named_is_looked_at_too(place):
    assert installed(place, place[2]) == ("", "2.10.0+cpu")
    assert installed(place, "file:///nowhere") == ("", "2.10.0+cpu")  # there is one: nothing is installed again


def test_an_empty_index_is_none(place):
    assert installed(place, "") == ("", "2.10.0")


def test_an_index_that_does_not_answer_is_said_with_the_sizes(place):
    said, version = installed(place, "http://127.0.0.1:1/whl/cpu")
    assert version == "2.10.0"
    assert (
        "TORCH_INDEX=http://127.0.0.1:1/whl/cpu: it cannot be reached" in said and "6 GB" in said and "0.8 GB" in said
    )


def test_make_passes_index_and_constraints(tmp_path):
    """What make would run, with and without a choice of one's own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TORCH_", "CONSTRAINTS"))}

    def planned(*settings):
        command = [
            "make",
            "--dry-run",
            "--file",
            str(ROOT / "Makefile"),
            "demo",
            f"VENV={tmp_path / 'venv'}",
            *settings,
        ]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert 'torch_first.py "https://a/b" ' in planned("TORCH_INDEX=https://a/b")
    assert 'torch_first.py "" ' in planned("TORCH_INDEX=")
    assert planned("CONSTRAINTS=constraints.txt").count("-c constraints.txt") == 2
    order = planned()
    assert order.index("torch_first.py") < order.index("--editable .")


def test_the_constraints_fit_the_requirements():
    import tomllib

    from packaging.requirements import Requirement

    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    pinned = {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        wanted = Requirement(text)
        name = wanted.name.lower().replace("_", "-")
        if wanted.marker is None or wanted.marker.evaluate():
            assert name == "setuptools" or wanted.specifier.contains(pinned[name]), f"{text}: {pinned[name]}"
