"""What docstrings, comments, pages and scripts name is there: modules, what modules hold, files of Python.

``CHANGELOG.md`` may name what was; tests fail by themselves when what they import is gone.
"""

import ast
import re

import pytest

from tests.fixtures.places import ROOT

FOLDERS = ("engine", "analyses", "docs", "config", "launch")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".sh", ".sbatch", ".c"}
TEXTS = sorted(
    [ROOT / name for name in ("README.md", "Makefile", "pyproject.toml")]
    + [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
)
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("engine", "analyses", "tests", "data", "docs", "launch", "config")
    for path in (ROOT / folder).rglob("*.py")
}

DOTTED = re.compile(r"(?<![\w./-])(?:engine|analyses)(?:\.[A-Za-z]\w*)+")
"""A module from the top, with or without what it holds: ``engine.schema``, ``engine.run.main``."""

OF_A_MODULE = re.compile(r"`(?:[a-z_]+\.)*([a-z_]+)\.([A-Z]\w*)(?:\.\w+)*(?:\(\))?`")
"""A class or constant after the last part of its module's name, as docstrings write it."""

FILE = re.compile(r"(?<![\w.$/{}-])(?:[\w-]+/)*[\w-]+\.py\b")

OTHERS = {"sitecustomize.py", "zero_to_fp32.py"}
"""Files of Python's own, and the one that DeepSpeed puts beside a checkpoint in shares."""

ELSEWHERE = re.compile(r"^Sources?: .*?(?=\n\n|\"{3})", re.MULTILINE | re.DOTALL)
"""A paragraph that names files of other projects, from which a format is known."""

FOREIGN = {"alt", "np", "os", "pa", "pl", "pq", "ray", "torch", "transformers", "triton"}
"""Libraries, by the names that they have in our code."""


def holds(path: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", SOURCES[path]) is not None


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a room, a module, or something that a module holds."""
    parts = dotted.split(".")
    for number in range(len(parts), 0, -1):
        base = "/".join(parts[:number])
        module = next((path for path in (f"{base}.py", f"{base}/__init__.py") if path in SOURCES), None)
        if module is not None:
            return number == len(parts) or holds(module, parts[number])
    return False


def unresolved(text: str) -> list[str]:
    """Return what a text names and nobody finds."""
    text = ELSEWHERE.sub("", text)
    missing = [name for name in DOTTED.findall(text) if not name.endswith(".py") and not resolves(name)]
    for match in OF_A_MODULE.finditer(text):
        ends = f"/{match[1]}.py", f"/{match[1]}/__init__.py"
        if match[1] not in FOREIGN and not any(path.endswith(ends) and holds(path, match[2]) for path in SOURCES):
            missing.append(match[0])
    files = set(FILE.findall(text)) - OTHERS
    return missing + sorted(name for name in files if not any(f"/{path}".endswith(f"/{name}") for path in SOURCES))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_named_is_there(path):
    assert unresolved(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("see engine.schema.layout and ``engine.run``", []),
        ("``analyses.charts.parts.Menus``, tests/equal_runs.py, ``layout.ANALYSIS``, ``np.Inf``", []),
        ("as engine.model_facts says", ["engine.model_facts"]),
        ("``engine.run.nobody``", ["engine.run.nobody"]),
        ("``summaries.Overview``", ["`summaries.Overview`"]),
        ("# see charts_heads.py", ["charts_heads.py"]),
    ],
    ids=["modules", "things", "old module", "old thing", "old class", "old file"],
)
def test_the_search_sees_what_is_gone(text, missing):
    assert unresolved(text) == missing


LARGEST_SHARE_OF_ANY = 3.0
"""Names ``Any`` per 1,000 lines; today about 2.5. It only goes down."""


def num_any(source: str) -> int:
    """Count the name in annotations and casts; its import and prose do not count."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("package", ["engine", "analyses"])
def test_types_are_said(package):
    own = [source for path, source in SOURCES.items() if path.startswith(f"{package}/")]
    share = 1000 * sum(map(num_any, own)) / sum(source.count("\n") for source in own)
    assert 0 < share <= LARGEST_SHARE_OF_ANY, f"{share:.2f} times Any per 1,000 lines of {package}: name the type"


def test_any_is_counted_where_it_is_a_type():
    source = '"""Any."""\n\nfrom typing import Any\n\n# Any.\nrows: list[Any] = []\n\n\ndef f(x: Any) -> None: ...\n'
    assert num_any(source) == 2
