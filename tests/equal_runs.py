"""Proof that a change moved nothing: two run directories are compared bit for bit.

``python -m tests.equal_runs BEFORE AFTER``

Every Parquet file of the run before (its plan, shards, rejects and analysis) must stand in the run after with the same
rows, columns, types and bits; not-a-number and the sign of zero count. A file or column that is gone is a failure; new
ones are listed and are none. ``plan.json`` is compared on the keys that it had before, checksums of files aside, which
cover new columns too. Times, machines and attempts (``run.yaml``, manifests, ``progress.json``) are not compared.

Exit code 0 when all is equal, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_UNSIGNED = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
_NAMED = 6


@dataclass
class Comparison:
    """What two run directories have in common: files and columns compared, differences, and what is new."""

    num_files: int = 0
    num_columns: int = 0
    differences: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare all Parquet files, and the plan, of two run directories."""
    found = Comparison()
    old, new = _tables(before), _tables(after)
    if not old:
        found.differences.append(f"{before}: holds no Parquet file")
    found.new += [f"{name}: new file" for name in sorted(new - old)]
    for name in sorted(old):
        if name in new:
            _compare_tables(name, pq.read_table(before / name), pq.read_table(after / name), found)
        else:
            found.differences.append(f"{name}: the file is gone")
    _compare_plans(before / "plan.json", after / "plan.json", found)
    return found


def _tables(run_dir: Path) -> set[str]:
    return {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*.parquet")}


def _compare_tables(name: str, old: pa.Table, new: pa.Table, found: Comparison) -> None:
    found.num_files += 1
    found.new += [f"{name}: new column {column}" for column in new.column_names if column not in old.column_names]
    other: list[str] = []
    if old.num_rows != new.num_rows:
        found.differences.append(f"{name}: {old.num_rows} rows before, {new.num_rows} after")
        return
    for column in old.column_names:
        found.num_columns += 1
        if column not in new.column_names:
            found.differences.append(f"{name}: the column {column} is gone")
        elif old.schema.field(column).type != new.schema.field(column).type:
            types = f"{old.schema.field(column).type} before, {new.schema.field(column).type} after"
            found.differences.append(f"{name}: {column} is {types}")
        elif not same_bits(old.column(column), new.column(column)):
            other.append(column)
    if other:
        more = f" and of {len(other) - _NAMED} more columns" if len(other) > _NAMED else ""
        found.differences.append(f"{name}: values of {', '.join(other[:_NAMED])}{more} differ")


def same_bits(old: pa.ChunkedArray | pa.Array, new: pa.ChunkedArray | pa.Array) -> bool:
    """Whether two arrays of one type hold the same nulls and the same bits, lists and structs included."""
    if isinstance(old, pa.ChunkedArray):
        old = pa.concat_arrays(old.chunks) if old.chunks else pa.array([], old.type)
    if isinstance(new, pa.ChunkedArray):
        new = pa.concat_arrays(new.chunks) if new.chunks else pa.array([], new.type)
    if len(old) != len(new) or not old.is_null().equals(new.is_null()):
        return False
    if pa.types.is_list(old.type) or pa.types.is_large_list(old.type):
        return pc.list_value_length(old).equals(pc.list_value_length(new)) and same_bits(old.flatten(), new.flatten())
    if pa.types.is_struct(old.type):
        return all(same_bits(a, b) for a, b in zip(old.flatten(), new.flatten(), strict=True))
    old, new = old.drop_null(), new.drop_null()
    if pa.types.is_floating(old.type):
        whole = _UNSIGNED[old.type.bit_width]
        old, new = old.view(whole), new.view(whole)
    return old.equals(new)


def _compare_plans(before: Path, after: Path, found: Comparison) -> None:
    if not before.exists():
        return
    old = json.loads(before.read_text())
    new = json.loads(after.read_text()) if after.exists() else {}
    for name in ("checksums", "digest"):  # they cover new columns too
        old.pop(name, None)
    found.differences += [f"plan.json: {key} differs" for key in old if old[key] != new.get(key)]
    found.new += [f"plan.json: new key {key}" for key in new if key not in old and key not in ("checksums", "digest")]


def main(arguments: list[str] | None = None) -> int:
    """Print what differs and what is new; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.equal_runs", description="Compare two run directories.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    found = compare_runs(options.before, options.after)
    for line in found.new:
        print(f"new        {line}")
    for line in found.differences:
        print(f"DIFFERENT  {line}")
    verdict = "differ" if found.differences else "equal, bit for bit"
    print(f"{found.num_columns} columns of {found.num_files} files: {verdict}.")
    return 1 if found.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
