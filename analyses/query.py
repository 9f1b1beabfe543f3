"""SQL over a run's tables: ``python -m analyses.query RUN_DIR "SELECT ..." [--output F] [--schema]``.

Tables are those of ``shards/*/`` (samples, head_stats, ...) and of ``analysis/tables``; of two tables of one name the
run's own is meant. ``rejects`` is always there, if need be without rows. Nothing else can be read:
statements other than queries, and Polars' table functions such as ``read_csv``, are refused.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from analyses.run_tables import open_tables
from analyses.units import RunError, scan_table, table_files
from engine.schema import REJECTS_SCHEMA

EXIT_FAILED, EXIT_USAGE, EXIT_INPUT = 1, 2, 3

ROWS_PRINTED = 60

_QUERY = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|from|show|explain|values)\b", re.IGNORECASE | re.DOTALL
)

_FORMULA = r"^[=+\-@\t\r]"

_TABLE_FUNCTION = re.compile(r"\b(read|scan)_\w+", re.IGNORECASE)


class QueryError(ValueError):
    """A query is refused or wrong; the message says why."""


def run_query(run_dir: Path, sql: str, *, partial: bool = False) -> pl.DataFrame:
    """Return the answer to a query over a run's tables.

    Parameters
    ----------
    run_dir
        A run directory.
    sql
        One SELECT (or WITH, FROM, SHOW TABLES, EXPLAIN), in Polars' SQL.
    partial
        Whether a run without ``_SUCCESS`` is acceptable.

    Raises
    ------
    RunError
        When the directory is no finished run.
    QueryError
        When the query is refused, or is wrong.
    """
    check_query(sql)
    tables = open_tables(run_dir, partial=partial)
    if tables.left_out.problems:
        print(f"Partial: {tables.left_out}.", file=sys.stderr)
    frames: dict[str, pl.LazyFrame] = {path.stem: scan_table([path]) for path in _analysis_files(run_dir)}
    frames["rejects"] = _no_rejects()
    frames |= {**tables.tables, "samples": tables.samples.lazy()}
    try:
        context = pl.SQLContext(frames)
        return context.execute(sql, eager=False).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise QueryError(f"the query is wrong: {reason}. Tables: {', '.join(sorted(frames))}.") from error


def check_query(sql: str) -> None:
    """Refuse whatever is no query over the run's tables.

    The names of table functions are refused wherever they stand, in strings and comments too: a check that told them
    apart would have to parse SQL exactly as Polars does.
    """
    if not _QUERY.match(sql):
        raise QueryError("only queries are allowed: SELECT, WITH, FROM, VALUES, SHOW TABLES or EXPLAIN.")
    found = _TABLE_FUNCTION.search(sql)
    if found:
        raise QueryError(
            f"{found.group(0)!r} is refused: queries read the run's tables only, no other files. "
            "Use Polars in Python to join other data."
        )


def _no_rejects() -> pl.LazyFrame:
    empty = pl.from_arrow(REJECTS_SCHEMA.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return empty.lazy()


def _analysis_files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "analysis" / "tables").glob("*.parquet"))


def describe(run_dir: Path) -> str:
    """Return every table with its grain, columns, types, units, ranges and descriptions."""
    files = {name: paths[0] for name, paths in table_files(run_dir).items()}
    files |= {path.stem: path for path in _analysis_files(run_dir) if path.stem not in files}
    blocks: list[str] = []
    for name, path in files.items():
        schema = pq.read_schema(path)
        grain = (schema.metadata or {}).get(b"grain", b"").decode()
        lines = [f"{name}{f'  ({grain})' if grain else ''}"]
        width = max(len(column) for column in schema.names)
        for field in schema:
            details = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
            about = [details.get("description", ""), details.get("unit", ""), details.get("range", "")]
            kind = str(field.type).replace("large_", "")
            lines.append(f"  {field.name:<{width}}  {kind:<12} {'; '.join(part for part in about if part)}".rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def write_answer(answer: pl.DataFrame, path: Path) -> None:
    """Write an answer as CSV, Parquet or JSON by the file's suffix.

    Raises
    ------
    QueryError
        When the suffix is another, or the file cannot be written.
    """
    writers = {
        ".csv": _without_formulas(_flat(answer)).write_csv,
        ".parquet": answer.write_parquet,
        ".json": answer.write_json,
        ".jsonl": answer.write_ndjson,
    }
    if path.suffix.lower() not in writers:
        raise QueryError(f"--output {path}: unknown suffix {path.suffix!r}; known: {', '.join(writers)}.")
    try:
        writers[path.suffix.lower()](path)
    except OSError as error:
        raise QueryError(f"--output {path}: cannot be written ({error}).") from error


def _flat(answer: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with lists as text: CSV has no lists."""
    lists = [name for name, kind in answer.schema.items() if isinstance(kind, pl.List)]
    return answer.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists)


def _without_formulas(answer: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with ' before text that a spreadsheet would run: ids and labels come from anybody's file."""
    texts = [name for name, kind in answer.schema.items() if kind == pl.String]
    return answer.with_columns(
        pl.when(pl.col(name).str.contains(_FORMULA) & pl.col(name).cast(pl.Float64, strict=False).is_null())
        .then("'" + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m analyses.query", description="SQL over a run's tables.")
    parser.add_argument("run_dir", type=Path, help="run directory")
    parser.add_argument("sql", nargs="?", help="one query")
    parser.add_argument("--output", type=Path, help="file to write: .csv, .parquet, .json or .jsonl")
    parser.add_argument("--schema", action="store_true", help="print every table and column with its unit and meaning")
    parser.add_argument("--partial", action="store_true", help="accept an unfinished run")
    options = parser.parse_args(arguments)
    if not options.schema and options.sql is None:
        parser.error("give a query, or --schema")
    try:
        if options.schema:
            open_tables(options.run_dir, partial=True)
            print(describe(options.run_dir))
        if options.sql is not None:
            answer = run_query(options.run_dir, options.sql, partial=options.partial)
            if options.output is not None:
                write_answer(answer, options.output)
                print(f"{options.output}: {len(answer):,} rows")
            else:
                _print(answer)
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except QueryError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        print(f"error: the query failed: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _print(answer: pl.DataFrame) -> None:
    shown = pl.Config(
        tbl_rows=ROWS_PRINTED,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="MARKDOWN",
        fmt_str_lengths=60 if answer.width > 4 else 1000,
        tbl_width_chars=-1,
    )
    with shown:
        print(answer)
    print(f"{len(answer):,} rows" if len(answer) <= ROWS_PRINTED else f"{len(answer):,} rows, {ROWS_PRINTED} shown")


if __name__ == "__main__":
    raise SystemExit(main())
