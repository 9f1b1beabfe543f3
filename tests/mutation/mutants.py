"""Mutants of a file: every small change of its syntax that a slip of the hand could be."""

from __future__ import annotations

import ast
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A file with one fault.

    Attributes
    ----------
    path
        The file, from the repository's root.
    line
        Where the fault is.
    lines
        First and last line of the statement that holds it, without the statements inside.
    kind
        What was changed.
    before, after
        The statement, or its head, as it was and as it is; of a long one what is around the fault.
    source
        The file's text with the fault.
    original, tree
        The file as it was and with the fault, parsed, both with the lines of the file.
    """

    path: str
    line: int
    lines: tuple[int, int]
    kind: str
    before: str
    after: str
    source: str
    original: ast.Module = field(compare=False, repr=False)
    tree: ast.Module = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.before!r} -> {self.after!r}"


_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


def drawn(root: Path, paths: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Return a seeded draw of the mutants of some files, in the files' order."""
    texts = {path: (root / path).read_text(encoding="utf-8") for path in paths}
    every = [
        (path, number) for path, text in texts.items() for number in range(sum(1 for _ in _places(ast.parse(text))))
    ]
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [_mutant(every[slot][0], texts[every[slot][0]], every[slot][1]) for slot in sorted(chosen)]


def _mutant(path: str, text: str, number: int) -> Mutant:
    tree, changed = ast.parse(text), ast.parse(text)
    kind, (node, change) = next(itertools.islice(_places(changed), number, None))
    statement = _statement_of(changed, node)
    before, line = _head(statement), node.lineno
    change()
    before, after = _around(before, _head(statement) if kind != "statement" else "pass")
    source = f"{ast.unparse(ast.fix_missing_locations(changed))}\n"
    return Mutant(path, line, _lines(statement), kind, before, after, source, tree, changed)


def _places(tree: ast.Module) -> Iterator[tuple[str, tuple[ast.stmt | ast.expr, Callable[[], None]]]]:
    """Yield every change that can be made: its kind, the node, and what makes it."""
    ignored = _ignored(tree)
    for parent in ast.walk(tree):
        for _, value in ast.iter_fields(parent):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                for place, statement in enumerate(value):
                    if (
                        isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise)
                        and statement not in ignored
                    ):
                        yield "statement", (statement, lambda body=value, at=place: body.__setitem__(at, ast.Pass()))
    for node in ast.walk(tree):
        if node in ignored:
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
            new = _COMPARISONS[type(node.ops[0])]
            yield "comparison", (node, lambda node=node, new=new: node.ops.__setitem__(0, new()))
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            new = _ARITHMETIC[type(node.op)]
            yield "arithmetic", (node, lambda node=node, new=new: setattr(node, "op", new()))
        elif isinstance(node, ast.BoolOp):
            new = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield "boolean", (node, lambda node=node, new=new: setattr(node, "op", new()))
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            yield "condition", (node, lambda node=node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            new = not node.value if isinstance(node.value, bool) else node.value + 1
            yield "constant", (node, lambda node=node, new=new: setattr(node, "value", new))
        elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield "return", (node, lambda node=node: setattr(node, "value", ast.Constant(None)))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _ignored(tree: ast.Module) -> set[ast.AST]:
    """Return what is no behaviour: texts of documentation, annotations, and blocks for type checkers."""
    ignored: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            ignored.update(ast.walk(node))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            ignored.update(ast.walk(node))
        if isinstance(node, ast.Raise | ast.Assert):  # the words of a message
            ignored.update(inner for inner in ast.walk(node) if inner is not node)
        if isinstance(node, ast.keyword) and node.arg == "slots":  # memory
            ignored.update(ast.walk(node))
        for name in ("annotation", "returns"):
            if (annotation := getattr(node, name, None)) is not None:
                ignored.update(ast.walk(annotation))
    return ignored


def _statement_of(tree: ast.Module, node: ast.AST) -> ast.stmt:
    """Return the innermost statement that holds a node."""
    holders: list[tuple[ast.AST, ast.stmt | None]] = [(tree, None)]
    while holders:
        each, holder = holders.pop()
        holder = each if isinstance(each, ast.stmt) else holder
        if each is node:
            assert holder is not None
            return holder
        holders.extend((inner, holder) for inner in ast.iter_child_nodes(each))
    raise AssertionError("the node is not of this tree")


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """Return first and last line of a statement's head."""
    inner = getattr(statement, "body", None)
    last = inner[0].lineno - 1 if inner else statement.end_lineno or statement.lineno
    return statement.lineno, max(last, statement.lineno)


def _head(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


_LONGEST = 160
"""Characters of a statement that are shown."""


def _around(before: str, after: str) -> tuple[str, str]:
    """Return both texts, or of long ones what is around their first difference."""
    if max(len(before), len(after)) <= _LONGEST or after == "pass":
        return before[:_LONGEST], after
    same = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - _LONGEST // 2)
    return before[start : start + _LONGEST], after[start : start + _LONGEST]
