"""The notebooks run from top to bottom with the models that ship, in one kernel; they are kept with what they show."""

from __future__ import annotations

import os

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fixtures.places import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


LARGEST_KIB = 1200


def test_there_are_three_with_outputs():
    """As docs/make_notebooks.py stores them: run in order, without errors, charts as pictures, nobody's folders."""
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        assert path.stat().st_size < LARGEST_KIB * 1024
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), path.name
        outputs = [output for cell in cells for output in cell.outputs]
        assert any("image/png" in output.get("data", {}) for output in outputs)
        assert not any(output.output_type == "error" for output in outputs)
        assert cells[-1].outputs and "/tmp/tmp" not in path.read_text() and str(ROOT) not in path.read_text()


def test_the_first_picture_takes_less_than_ten_lines():
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS[0], as_version=4).cells if cell.cell_type == "code"]
    lines = [line for line in cells[0].split("import torch")[1].splitlines() if line.strip()]
    assert "plot_attention_heatmap" in lines[-1] and len(lines) < 10


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all: importing torch three times is most of the time."""
    from jupyter_client.manager import KernelManager

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NOTEBOOK_SAMPLES": "12", "OMP_NUM_THREADS": "1"}
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(ROOT), env=environment)
    yield manager
    manager.shutdown_kernel(now=True)


def run_in(kernel, book):
    client = NotebookClient(book, km=kernel, timeout=300, resources={"metadata": {"path": str(ROOT)}})
    client.execute(cleanup_kc=False)  # the kernel is not this notebook's alone, but its channels are
    client.kc.stop_channels()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, kernel):
    book = nbformat.read(path, as_version=4)
    run_in(kernel, book)
    shown = [output for cell in book.cells for output in cell.get("outputs", ())]
    pictures = [output for output in shown if "vega" in "".join(output.get("data", {}).get("text/html", ""))]
    assert pictures, "no chart was shown"
    assert not any(output.output_type == "error" for output in shown)


def test_every_plot_of_a_cell_shows(kernel):
    """A chart that a line makes and drops is shown; one that is named is not, and the last one once."""
    setup = (
        "import torch\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "from engine.notebook import quick_attention_analysis\n"
        "model = AutoModelForCausalLM.from_pretrained('data/demo-model', dtype=torch.float32)\n"
        "tokenizer = AutoTokenizer.from_pretrained('data/demo-model')\n"
        "analyzer = quick_attention_analysis(model, tokenizer, 'Net income fell', layer_idx=0)"
    )
    cells = [
        setup,
        "analyzer.plot_attention_heatmap(layer_idx=0, head_idx=0)\nanalyzer.plot_financial_attention_flow(layer_idx=0)",
        "chart = analyzer.plot_attention_heatmap(0, 0)",
        "for head in range(3):\n    analyzer.plot_attention_heatmap(0, head)\nprint('done')",
        "analyzer.plot_attention_heatmap(0, 0).properties(width=100)\nNone",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    run_in(kernel, book)
    charts = [sum("data" in output for output in cell.outputs) for cell in book.cells]
    assert charts[1:] == [2, 0, 3, 0]
