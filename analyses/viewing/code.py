"""Python code that makes a view again from the run's files, for notebooks: every view has an export of this kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_START = "import polars as pl\n\nrun = {run!r}\n"


def samples_code(run_dir: Path, asked: Mapping[str, str]) -> str:
    """Return code for the list of samples: all of them, filtered by a column and sorted as they are."""
    code = _START.format(run=str(run_dir.resolve())) + 'samples = pl.read_parquet(f"{run}/shards/*/samples.parquet")\n'
    column, value = asked.get("column", ""), asked.get("value", "")
    if column and value:
        text = f"pl.col({column!r}).cast(pl.String)"
        conditions = {
            "is": f"{text}.str.to_lowercase() == {value.lower()!r}",
            "not": f"{text}.str.to_lowercase() != {value.lower()!r}",
            "least": f"pl.col({column!r}).cast(pl.Float64) >= float({value!r})",
            "most": f"pl.col({column!r}).cast(pl.Float64) <= float({value!r})",
            "has": f"{text}.str.contains({value!r}, literal=True)",
        }
        code += f"samples = samples.filter({conditions.get(asked.get('op', 'is'), conditions['is'])})\n"
    if words := asked.get("q"):
        code += (
            'texts = pl.scan_parquet(f"{run}/shards/*/tokens.parquet").sort("sample_id", "position")\n'
            'texts = texts.group_by("sample_id").agg(text=pl.col("token").str.join(""))\n'
            f'found = texts.filter(pl.col("text").str.contains_any([{words!r}], ascii_case_insensitive=True))\n'
            'samples = samples.filter(pl.col("sample_id").is_in(found.collect()["sample_id"].implode()))\n'
        )
    if sort := asked.get("sort"):
        code += f"samples = samples.sort({sort!r}, descending={asked.get('down') == '1'}, nulls_last=True)\n"
    return code + "print(samples)\n"


def sample_code(run_dir: Path, sample_id: str, layer: int, by: str) -> str:
    """Return code for one sample's tokens with the weight that shades them."""
    start = _START.format(run=str(run_dir.resolve())) + f"sample_id, layer = {sample_id!r}, {layer}\n"
    read = 'own = pl.scan_parquet(f"{{run}}/shards/*/{table}.parquet").filter(sample_id=sample_id{more}).collect()\n'
    code = start + (
        'tokens = pl.scan_parquet(f"{run}/shards/*/tokens.parquet").filter(sample_id=sample_id).collect()\n'
        'tokens = tokens.sort("position")\n'
    )
    if by in ("mean", "rollout"):
        column = "pattern" if by == "mean" else "rollout"
        code += read.format(table="decision_rows", more=", layer=layer" if by == "mean" else "")
        code += f"row = own.drop_nulls({column!r}).select(weight=pl.col({column!r}).explode())\n"
        code += 'row = row.with_row_index("position").with_columns(pl.col("position").cast(pl.Int32))\n'
        return code + 'print(tokens.join(row, on="position", how="left"))\n'
    if by == "attribution":
        code += read.format(table="top_token_attributions", more="")
        code += 'own = own.group_by("key_position").agg(pl.col("attribution").cast(pl.Float64).sum())\n'
    else:
        code += read.format(table="decision_top_keys", more=f", layer=layer, head={int(by)}")
    return code + 'print(tokens.join(own, left_on="position", right_on="key_position"))\n'


def head_code(run_dir: Path, where: tuple[int, int], query_group: str, statistic: str) -> str:
    """Return code for one head's value in every sample."""
    return _START.format(run=str(run_dir.resolve())) + (
        'stats = pl.scan_parquet(f"{run}/shards/*/head_stats.parquet")\n'
        f"stats = stats.filter(layer={where[0]}, head={where[1]}, query_group={query_group!r})\n"
        'samples = pl.scan_parquet(f"{run}/shards/*/samples.parquet")\n'
        f'values = stats.select("sample_id", {statistic!r}).join(samples, on="sample_id").collect()\n'
        f"print(values.sort({statistic!r}, descending=True, nulls_last=True))\n"
    )


def sql_code(run_dir: Path, sql: str) -> str:
    """Return code for a query."""
    return (
        "from pathlib import Path\n\nfrom analyses.query import run_query\n\n"
        f"print(run_query(Path({str(run_dir.resolve())!r}), {sql!r}))\n"
    )
