"""SQL over a run's tables: ``python -m analyses.query RUN_DIR "SELECT ..." [--output F] [--schema]``.

Tables are those of ``shards/*/`` (samples, head_stats, ...) and of ``analysis/tables``; of two tables of one name the
run's own is meant. ``rejects`` is always there, if need be without rows. Nothing else can be read
(``analyses.querying.fence``).
"""

from __future__ import annotations

from engine.interruptions import answer_early_signals, stop_answering

if __name__ == "__main__":
    answer_early_signals()  # before anything else is loaded

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from analyses.querying.fence import QueryError, fenced
from analyses.runs.run import Run, open_tables
from analyses.runs.units import RunError, scan_table, table_files
from engine.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_STOPPED,
    LocaleError,
    check_names,
    print_anything,
    printable,
)
from engine.schema import REJECTS_SCHEMA, layout

ROWS_PRINTED = 60

_FORMULA = r"^[=+\-@\t\r]"


def run_query(run_dir: Path, sql: str, *, partial: bool = False) -> pl.DataFrame:
    """Return the answer to a query over a run's tables.

    Parameters
    ----------
    run_dir
        A run directory.
    sql
        One SELECT (or WITH, FROM, SHOW TABLES, EXPLAIN), in Polars' SQL.
    partial
        Whether a run without ``_SUCCESS``, or with damaged shards, is acceptable.

    Raises
    ------
    RunError
        When the directory is no finished run.
    QueryError
        When the query is refused, or is wrong.
    """
    tables = open_tables(run_dir, partial=partial)
    _say_left_out(tables)
    return answer_query(query_frames(tables), sql)


def query_frames(run: Run) -> dict[str, pl.LazyFrame]:
    """Return the tables that a query may read, by name; of two tables of one name the run's own."""
    frames: dict[str, pl.LazyFrame] = {path.stem: scan_table([path]) for path in _analysis_files(run.run_dir)}
    frames["rejects"] = _no_rejects()
    return frames | {**run.tables, "samples": run.samples.lazy()}


def answer_query(frames: Mapping[str, pl.LazyFrame], sql: str) -> pl.DataFrame:
    """Return the answer to a query over tables.

    Raises
    ------
    QueryError
        When the query is refused, or is wrong.
    """
    query = fenced(sql, frames)
    try:
        context = pl.SQLContext(dict(frames), register_globals=False)
        return context.execute(query, eager=False).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # '1.5'::NUMERIC(5, 6) is a panic
        reason = str(error).splitlines()[0]
        raise QueryError(f"the query is wrong: {reason}. Tables: {', '.join(sorted(frames))}.") from error


def _say_left_out(run: Run) -> None:
    if run.left_out:
        print(printable(f"Partial: {run.left_out}."), file=sys.stderr)


def _no_rejects() -> pl.LazyFrame:
    empty = pl.from_arrow(REJECTS_SCHEMA.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return empty.lazy()


def _analysis_files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / layout.ANALYSIS / "tables").glob("*.parquet"))


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


def csv_text(answer: pl.DataFrame) -> str:
    """Return an answer as CSV: lists as text, and nothing in it that a spreadsheet would run."""
    return _without_formulas(_flat(answer)).write_csv()


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


def main(arguments: Sequence[str] | None = None, prog: str = "python -m analyses.query") -> int:
    """Run the command line, called ``prog`` in its help; return its exit code."""
    print_anything()
    parser = argparse.ArgumentParser(prog=prog, description="SQL over a run's tables.")
    parser.add_argument("run_dir", type=Path, help="run directory")
    parser.add_argument("sql", nargs="?", help="one query")
    parser.add_argument("--output", type=Path, help="file to write: .csv, .parquet, .json or .jsonl")
    parser.add_argument("--schema", action="store_true", help="print every table and column with its unit and meaning")
    parser.add_argument("--partial", action="store_true", help="accept an unfinished run")
    options = parser.parse_args(arguments)
    if not options.schema and options.sql is None:
        parser.error("give a query, or --schema")
    try:
        stop_answering()
        check_names([options.run_dir, *([options.output] if options.output else [])])
        if options.schema:
            _say_left_out(open_tables(options.run_dir, partial=True))
            print(printable(describe(options.run_dir)))
        if options.sql is not None:
            answer = run_query(options.run_dir, options.sql, partial=options.partial)
            if options.output is not None:
                write_answer(answer, options.output)
                print(f"{options.output}: {len(answer):,} rows")
            else:
                _print(answer)
    except RunError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return EXIT_INPUT
    except QueryError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return EXIT_CONFIG
    except LocaleError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except KeyboardInterrupt:
        print("Interrupted: the query was stopped; start it again.", file=sys.stderr)
        return EXIT_STOPPED
    except Exception as error:
        print(printable(f"error: the query failed: {type(error).__name__}: {error}"), file=sys.stderr)
        return EXIT_FAILED
    return EXIT_DONE


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
        print(printable(str(answer)))
    print(f"{len(answer):,} rows" if len(answer) <= ROWS_PRINTED else f"{len(answer):,} rows, {ROWS_PRINTED} shown")


if __name__ == "__main__":
    raise SystemExit(main())
