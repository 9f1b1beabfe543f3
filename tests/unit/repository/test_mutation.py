"""The tool that puts faults into the code: what it draws, and that drawing it twice gives the same."""

from __future__ import annotations

import ast

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


def test_a_seed_draws_the_same_again_and_another_seed_others(tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    first, again, other = (drawn(tmp_path, ["code.py"], 5, seed) for seed in (1, 1, 2))
    assert first == again != other and len(first) == 5
