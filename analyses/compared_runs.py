"""Several runs side by side: one table and one page in the first run's ``analysis`` folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import jinja2
import polars as pl

from analyses.described_tables import write_table


def compare_runs(run_dirs: Sequence[Path]) -> pl.DataFrame:
    """Return one row per run: samples, accuracy, tests, findings, head types. Each run must be analysed already."""
    rows = []
    for run_dir in run_dirs:
        folder = run_dir / "analysis" / "tables"
        accuracy = pl.read_parquet(folder / "accuracy.parquet", glob=False).row(0, named=True)
        tests = pl.read_parquet(folder / "group_differences.parquet", glob=False).drop_nulls("pvalue")
        types = pl.read_parquet(folder / "head_types.parquet", glob=False)
        row = {
            "run": str(run_dir),
            "num_samples": accuracy["num_samples"],
            "accuracy": accuracy["value"],
            "accuracy_ci_low": accuracy["ci_low"],
            "accuracy_ci_high": accuracy["ci_high"],
            "num_layers": int(types["layer"].n_unique()),
            "num_heads": len(types),
            "num_tests": len(tests),
            "smallest_pvalue_adjusted": tests["pvalue_adjusted"].min(),
            "num_replicated": int(tests["is_replicated"].fill_null(False).sum()),
        }
        counts = dict(types["head_type"].value_counts().iter_rows())
        rows.append(row | {f"share_{name}": count / len(types) for name, count in sorted(counts.items())})
    return pl.concat([pl.DataFrame([row]) for row in rows], how="diagonal_relaxed")


def write_comparison(run_dirs: Sequence[Path]) -> Path:
    """Write ``compared_runs.html`` and ``tables/compared_runs.parquet`` and return the page."""
    compared = compare_runs(run_dirs)
    folder = run_dirs[0] / "analysis"
    write_table(compared, folder / "tables", "compared_runs")
    environment = jinja2.Environment(loader=jinja2.PackageLoader("analyses"), autoescape=True, trim_blocks=True)
    names = [name for name in compared.columns if name != "run"]
    rows = [(name.replace("_", " "), [_shown(value) for value in compared[name]]) for name in names]
    reports = [run_dir / "analysis" / "report.html" for run_dir in run_dirs]
    links = [
        (run_dir.resolve().name, quote(os.path.relpath(report, folder)))
        for run_dir, report in zip(run_dirs, reports, strict=True)
    ]
    page = environment.get_template("compared_runs.html.j2").render(links=links, rows=rows)
    path = folder / "compared_runs.html"
    path.write_text(page, encoding="utf-8")
    return path


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"
