"""Install torch before everything else, from PyTorch's own index where one is named: ``python torch_first.py [INDEX]``.

PyPI's torch for Linux brings gigabytes of CUDA, which a machine without an NVIDIA driver has no use for. ``make`` calls
this with the index of CPU builds there. Needs nothing but Python and pip. An index that cannot be reached is passed
over with a sentence, since pip itself would go on without a word and take the large build.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_SECONDS = 15
_SIZES = "with CUDA it takes about 6 GB of disk, for CPUs alone 0.8 GB"


def main(arguments: list[str]) -> int:
    """Install what is missing and return the exit code of pip; constraints may follow the index."""
    index, *more = arguments or [""]
    requirement = _requirement()
    if _is_installed():
        return 0
    fault = _fault_of(index) if index else ""
    if fault:
        print(
            f"TORCH_INDEX={index}: {fault}. Torch is taken from the ordinary index: on Linux {_SIZES}.",
            flush=True,
        )
    elif index:
        more = ["--extra-index-url", index, *more]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement, *more]
    return subprocess.run([part for part in command if part], check=False).returncode


def _requirement() -> str:
    """Return what the project asks of torch."""
    project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
    return next(text for text in project["dependencies"] if text.startswith("torch>"))


def _is_installed() -> bool:
    """Whether there is a torch already: whether it fits is pip's to say, when the project is installed."""
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _fault_of(index: str) -> str:
    """Return why an index does not answer; empty where it does."""
    page = f"{index.rstrip('/')}/torch/"
    try:
        with urllib.request.urlopen(f"{page}index.html" if page.startswith("file:") else page, timeout=_SECONDS):
            return ""
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        reason = getattr(error, "reason", None) or error
        return f"it cannot be reached ({' '.join(str(reason).split())})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
