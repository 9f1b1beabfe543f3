"""The tool that puts faults into the code: what it draws, and that drawing it twice gives the same."""

from __future__ import annotations

import ast
import gc
import json
import time

import pytest

from tests.fixtures.places import ROOT
from tests.mutation import __main__ as tool
from tests.mutation.by_hand import SLIPS, by_hand
from tests.mutation.exchanged import exchange, exchanged, functions_of
from tests.mutation.mutants import drawn

CODE = '''"""Text that is no behaviour: 1 + 1."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import that
LIMIT: int = 5
def f(a: int, b) -> int:
    """More text."""
    if a < b and b is not None:
        raise ValueError("1 + 1")
    return a + b * LIMIT
'''


def test_every_kind_of_slip_is_drawn_and_each_changes_the_code(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    mutants = drawn(tmp_path, ["code.py"], 1000, 1)
    assert [str(mutant) for mutant in mutants] == [str(mutant) for mutant in drawn(tmp_path, ["code.py"], 1000, 2)]
    kinds = {mutant.kind for mutant in mutants}
    assert kinds == {"statement", "comparison", "arithmetic", "boolean", "condition", "constant", "return"}
    whole = ast.unparse(ast.parse(CODE))
    assert all(mutant.source.strip() != whole for mutant in mutants)
    assert len({mutant.source for mutant in mutants}) == len(mutants)
    assert all(
        "More text" in mutant.source and "'1 + 1'" in mutant.source.replace('"', "'")
        for mutant in mutants
        if mutant.kind != "statement"
    )
    assert all("import that" in mutant.source for mutant in mutants)


def test_faults_by_hand_follow_the_code():
    """There are as many as were promised, and each changes its file's functions and nothing that loading runs."""
    found = {room: by_hand(ROOT, room) for room in SLIPS}
    assert sum(map(len, found.values())) == 21
    for mutant in (mutant for mutants in found.values() for mutant in mutants):
        assert exchange(mutant, str(ROOT / mutant.path)), mutant


@pytest.fixture
def loaded(tmp_path):
    """The code of above in a file, and loaded from it."""
    (tmp_path / "code.py").write_text(CODE)
    names = {}
    exec(compile(CODE, str(tmp_path / "code.py"), "exec", dont_inherit=True), names)
    return tmp_path, names["f"]


def test_a_fault_is_put_into_functions_that_are_loaded(loaded):
    folder, function = loaded
    file = str(folder / "code.py")
    (swapped,) = (mutant for mutant in drawn(folder, ["code.py"], 1000, 1) if mutant.after == "return a - b * LIMIT")
    assert function(9, 1) == 14
    gc.collect()
    assert exchanged(functions_of([file])[file], exchange(swapped, file)) and function(9, 1) == 4


def test_what_runs_while_a_file_is_loaded_needs_it_loaded_again(loaded):
    folder, function = loaded
    for mutant in drawn(folder, ["code.py"], 1000, 1):
        pairs = exchange(mutant, str(folder / "code.py"))
        assert (pairs is None) == ("LIMIT: int" in mutant.before), mutant
        assert pairs is None or (len(pairs) == 1 and pairs[0][0] == function.__code__)


def test_a_seed_draws_the_same_again_and_another_seed_others(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    first, again, other = (drawn(tmp_path, ["code.py"], 5, seed) for seed in (1, 1, 2))
    assert first == again != other and len(first) == 5


PROJECT = {
    "engine/__init__.py": "",
    "engine/sums.py": """
from functools import cache
MOST = 3
NAMES = tuple(name for name in ("a", "b"))
def total(values):
    result = 0
    for value in values:
        result = result + value
    return result
def is_many(values):
    return len(values) > MOST
@cache
def doubled(value):
    return value * 2
def counted_down(number):
    while number > 0:
        number = number - 1
    return number
def never_called(value):
    return value + 1
""",
    "tests/__init__.py": "",
    "tests/test_sums.py": """
import pytest
from engine import sums
@pytest.fixture(scope="module")
def made():
    return sums.total([1, 2])
def test_at_first_nothing_is_looked_at(made):
    assert made is not None
def test_the_second_user_of_the_fixture_looks_at_it(made):
    assert made == 3
def test_many():
    assert sums.is_many("four") and not sums.is_many("on")
def test_something_is_doubled():
    assert sums.doubled(7)
def test_seven_is_doubled():
    assert sums.doubled(7) == 14
def test_down():
    assert sums.counted_down(5) == 0
def test_names():
    assert sums.NAMES == ("a", "b")
""",
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """What the tool says of every mutant of a small project, by the changed line."""
    for name, text in PROJECT.items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setitem(tool.ROOMS, "sums", tool.Room(("engine/sums.py",), ("tests",)))
    monkeypatch.setattr(tool, "_LIBRARIES", ())
    copy, results = tmp_path / "copy", tmp_path / "results.jsonl"
    mutants = drawn(copy, ["engine/sums.py"], 1000, 1)
    share = tool._Pass(copy, "sums", 2.0, time.monotonic() + 600, results).run(mutants)
    assert (copy / "engine" / "sums.py").read_text() == PROJECT["engine/sums.py"], "a mutant is left"
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(rows) == len(mutants)
    verdicts = {(mutant.line, mutant.after): row for mutant, row in zip(mutants, rows, strict=True)}
    assert len(verdicts) == len(mutants)
    return share, verdicts, lambda: tool._Pass(copy, "sums", 2.0, time.monotonic() + 600, results).run(mutants), results


@pytest.mark.soak
def test_mutants_are_killed_by_the_tests_over_their_line_and_the_others_told(judged, capsys):
    share, verdicts, again, results = judged
    assert "test_the_second_user" in verdicts[8, "result = result - value"]["said"], "it shares what the first one made"
    assert "test_seven" in verdicts[14, "return value + 2"]["said"], "what is remembered is forgotten between tests"
    assert verdicts[3, "MOST = 4"]["verdict"] == verdicts[4, "pass"]["verdict"] == "killed", "the file was loaded again"
    assert verdicts[17, "number = number + 1"]["verdict"] == "killed by time"
    survivors = {where for where, row in verdicts.items() if not row["verdict"].startswith("killed")}
    never_called = {(20, "return value - 1"), (20, "return value + 2"), (20, "return None")}
    assert survivors == {(11, "return len(values) >= MOST")} | never_called
    assert share == pytest.approx(100 * (1 - len(survivors) / len(verdicts)))
    before = len(results.read_text().splitlines())
    assert again() == share
    said = capsys.readouterr().out
    assert (
        all(f"engine/sums.py:{line}: " in said for line, _ in survivors) and f"{len(verdicts)} mutants killed" in said
    )
    assert len(results.read_text().splitlines()) == before + len(survivors), "only survivors are tried again"
