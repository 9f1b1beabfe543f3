"""Execute the notebooks and store what they show: ``python docs/make_notebooks.py``, from the repository's root.

Charts are stored as pictures, which any viewer shows without a script; run by a reader, they are interactive.
"""

from __future__ import annotations

import os
import re
import sys
from itertools import count
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
_PICTURES = "import altair; altair.renderers.enable('png', scale_factor=0.75)"
_FOLDER = re.compile(r"/tmp/tmp\w+")


def executed(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of all its cells."""
    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_code_cell(_PICTURES))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    client = NotebookClient(book, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}})
    client.execute(env=environment)
    del book.cells[0]
    numbers = count(1)
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = next(numbers)
            cell.outputs = [_tidied(output, cell.execution_count) for output in cell.outputs if not _is_noise(output)]
    book.metadata = {"kernelspec": book.metadata["kernelspec"], "language_info": {"name": "python"}}
    return book


def _is_noise(output: nbformat.NotebookNode) -> bool:
    """Whether an output is what libraries write beside a cell's own: progress bars."""
    return output.output_type == "stream" and output.name == "stderr"


def _tidied(output: nbformat.NotebookNode, number: int) -> nbformat.NotebookNode:
    """Leave out what is another machine's: names of temporary folders, and the text beside a picture."""
    if "text" in output:
        output["text"] = _FOLDER.sub("/tmp/…", output["text"])
    data = output.get("data", {})
    if "image/png" in data:
        data["text/plain"] = "a chart"
    for kind in ("text/plain", "text/html"):
        if kind in data:
            data[kind] = _FOLDER.sub("/tmp/…", data[kind])
    if "execution_count" in output:
        output["execution_count"] = number
    return output


if __name__ == "__main__":
    for place in sorted((ROOT / "notebooks").glob("*.ipynb")):
        nbformat.write(executed(place), place)
        print(place.name, f"{place.stat().st_size / 1024:.0f} KiB", file=sys.stderr)
