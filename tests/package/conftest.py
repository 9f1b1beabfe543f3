"""The wheel, built as a release builds it and installed into an environment of its own, over this one's packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.fixtures.places import ROOT
from tests.package.environments import Installed

SOURCES = (
    "engine",
    "analyses",
    "config",
    "data",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "CHANGELOG.md",
    "CITATION.cff",
)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Return a folder with sdist and wheel; the wheel is built from the unpacked sdist, as ``python -m build`` does."""
    root = tmp_path_factory.mktemp("built")
    source, dist = root / "source", root / "dist"
    source.mkdir()
    dist.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in SOURCES:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(place, source / name)
    _build(source, "build_sdist", dist)
    (archive,) = dist.glob("*.tar.gz")
    shutil.unpack_archive(archive, root, filter="data")
    _build(root / archive.name.removesuffix(".tar.gz"), "build_wheel", dist)
    return dist


def _build(source: Path, hook: str, dist: Path) -> None:
    code = f"from setuptools import build_meta; build_meta.{hook}({str(dist)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory) -> Installed:
    """Return an environment with the wheel alone installed, and this environment's packages to import from."""
    root = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(root, with_pip=False)
    python, (wheel,) = root / "bin" / "python", built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    done = subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    here = [path for path in sys.path if Path(path).name == "site-packages"]
    # A line of a .pth file puts a folder behind the environment's own, and reads no .pth file of that folder: a
    # checkout installed there in editable form stays out of sight.
    (root / "lib" / version / "site-packages" / "packages.pth").write_text("\n".join(here) + "\n")
    return Installed(root, tmp_path_factory.mktemp("elsewhere"))
