"""Unit tests lie in rooms that are called as those of the code; what several tests build from lies in one folder."""

import ast

from tests.fixtures.places import ROOT

UNIT = ROOT / "tests" / "unit"


def test_unit_tests_mirror_the_rooms():
    assert sorted(path.name for path in UNIT.glob("test_*.py")) == [], "these need a room"
    for package in ("engine", "analyses"):
        rooms = {path.parent.relative_to(UNIT) for path in (UNIT / package).rglob("test_*.py")}
        assert rooms and [str(room) for room in sorted(rooms) if not (ROOT / room / "__init__.py").is_file()] == []


def test_nothing_is_imported_from_a_conftest():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        found = [node.module for node in imports if (node.module or "").endswith("conftest")]
        assert found == [], f"{path.relative_to(ROOT)}: tests/fixtures is for what is imported"
