"""A fault put into functions that are loaded already, so that nothing has to be loaded again to try it."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Collection, Sequence
from types import CodeType, FunctionType

from tests.mutation.mutants import Mutant

Exchange = list[tuple[CodeType, CodeType]]
"""Codes of functions as they are and as they shall be."""


def exchange(mutant: Mutant, file: str) -> Exchange | None:
    """Return the codes that a mutant changes; None where it changes what runs while the file is loaded."""
    original, changed = (compile(tree, file, "exec", dont_inherit=True) for tree in (mutant.original, mutant.tree))
    pairs: Exchange = []
    return pairs if _compared(original, changed, pairs) and pairs else None


def functions_of(files: Collection[str]) -> dict[str, list[FunctionType]]:
    """Return the functions in memory that were made by some files."""
    found: dict[str, list[FunctionType]] = {file: [] for file in files}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename in found:
            found[each.__code__.co_filename].append(each)
    return found


def exchanged(functions: Sequence[FunctionType], pairs: Exchange) -> bool:
    """Give functions their other codes; tell whether the outermost one of them was found."""
    found = False
    for number, (before, after) in enumerate(pairs):
        for function in functions:
            if function.__code__ == before:
                function.__code__ = after
                found = found or not number
    return found


def _compared(original: CodeType, changed: CodeType, pairs: Exchange, *, inside: bool = False) -> bool:
    """Gather the functions that differ, outer ones first; tell whether all that differs is inside of functions."""
    inner, other = ([each for each in code.co_consts if isinstance(each, CodeType)] for code in (original, changed))
    if not inside and (len(inner) != len(other) or _own(original) != _own(changed)):
        return False
    for before, after in zip(inner, other, strict=False):
        if before == after:
            continue
        replaceable = (
            _is_function(before) and before.co_name == after.co_name and before.co_freevars == after.co_freevars
        )
        if replaceable:
            pairs.append((before, after))
        elif not inside and (_is_function(before) or before.co_name.startswith("<")):
            return False  # what runs while the file is loaded, as a comprehension does
        if not _compared(before, after, pairs, inside=inside or replaceable):
            return False
    return True


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and (
        not code.co_name.startswith("<") or code.co_name == "<lambda>"
    )


def _own(code: CodeType) -> tuple[object, ...]:
    constants = tuple((type(each), each) for each in code.co_consts if not isinstance(each, CodeType))
    return code.co_code, code.co_names, repr(constants)
