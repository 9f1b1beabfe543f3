"""The tool that puts faults into the code: what it draws, and that drawing it twice gives the same."""

from __future__ import annotations

import ast
import gc

import pytest

from tests.fixtures.places import ROOT
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
    exec(compile(CODE, str(tmp_path / "code.py"), "exec"), names)
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
