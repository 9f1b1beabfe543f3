"""The comparison of run directories tells equal bits from equal numbers."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.equal_runs import compare_runs, main

TABLE = pa.table(
    {
        "id": ["a", "b", None],
        "value": pa.array([0.0, float("nan"), None], pa.float32()),
        "list": pa.array([[1.0], [], None], pa.list_(pa.float32())),
    }
)


def write(folder, table=TABLE, plan=None):
    folder.mkdir()
    pq.write_table(table, folder / "t.parquet")
    (folder / "plan.json").write_text(json.dumps(plan or {"num_rows": 3}))
    return folder


def test_the_same_run_is_equal(tmp_path):
    found = compare_runs(write(tmp_path / "a"), write(tmp_path / "b"))
    assert (found.differences, found.new, found.num_columns) == ([], [], 3)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("value", pa.array([-0.0, float("nan"), None], pa.float32())),
        ("value", pa.array([0.0, None, None], pa.float32())),
        ("value", pa.array([0.0, 1e-45, None], pa.float32())),
        ("value", pa.array([0.0, float("nan"), None], pa.float64())),
        ("list", pa.array([[], [1.0], None], pa.list_(pa.float32()))),
        ("list", pa.array([[1.0], None, None], pa.list_(pa.float32()))),
        ("id", pa.array(["a", "c", None])),
    ],
    ids=["sign of zero", "null for NaN", "smallest number", "type", "list lengths", "null list", "text"],
)
def test_other_bits_differ(tmp_path, name, values):
    other = TABLE.set_column(TABLE.column_names.index(name), name, values)
    assert len(compare_runs(write(tmp_path / "a"), write(tmp_path / "b", other)).differences) == 1


def test_what_is_gone_fails_and_what_is_new_is_listed(tmp_path, capsys):
    more = TABLE.append_column("more", pa.array([1, 2, 3]))
    less, full = write(tmp_path / "less"), write(tmp_path / "more", more, {"num_rows": 3, "new": 1})
    assert main([str(less), str(full)]) == 0
    assert "new column more" in capsys.readouterr().out
    assert main([str(full), str(less)]) == 1
    assert "the column more is gone" in capsys.readouterr().out
    (less / "t.parquet").unlink()
    assert main([str(full), str(less)]) == 1
    assert "the file is gone" in capsys.readouterr().out
    assert main([str(less), str(full)]) == 1, "an empty directory proves nothing"
