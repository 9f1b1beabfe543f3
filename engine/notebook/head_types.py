"""What kind of head each one is, in one text: the thresholds of a run on a run of one sample."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from analyses.questions.heads.head_types import head_types
from analyses.runs.run import Run, open_tables
from engine.config import Config
from engine.errors import UserError
from engine.notebook.analyzer import FinancialAttentionAnalyzer
from engine.schema import COUNT_PREFIX, layout, samples_schema


def analyze_head_types(analyzer: FinancialAttentionAnalyzer, layer_idx: int | None = None) -> pl.DataFrame:
    """Return each head's type with the numbers behind it, as ``analysis/tables/head_types.parquet`` has them.

    One text has no interval, so that no head is called by the vocabulary's name (``note`` says so); a run of many
    samples tests that. (The guide's ``[:, :10].mean()`` is a tenth of the mass on the first ten tokens and shrinks with
    the text's length; its diagonal is at least 1/T.)

    Parameters
    ----------
    analyzer
        One text.
    layer_idx
        One layer; None for all.

    Raises
    ------
    UserError
        When the layer is not known.
    """
    if layer_idx is not None and layer_idx not in analyzer.layer_numbers:
        raise UserError(f"layer_idx: layer {layer_idx} is not among {', '.join(map(str, analyzer.layer_numbers))}.")
    with tempfile.TemporaryDirectory(prefix="headledger-") as folder:
        tables = one_sample_run(analyzer, Path(folder))
        found = head_types(tables, analyzer.config.analysis)
    wanted = analyzer.layer_numbers if layer_idx is None else (layer_idx,)
    return found.filter(pl.col("layer").is_in(wanted))


def one_sample_run(analyzer: FinancialAttentionAnalyzer, folder: Path) -> Run:
    """Return an analyser's tables as a run of one sample, written below a folder."""
    encoded, names = analyzer.encoded, list(analyzer.encoded.key_groups)
    known: dict[str, object] = {
        "sample_id": encoded.sample_id,
        "num_tokens": encoded.num_tokens,
        "num_prompt_tokens": encoded.num_prompt_tokens,
        "sequence_source": encoded.sequence_source,
        **{f"{COUNT_PREFIX}{name}": len(positions) for name, positions in encoded.key_groups.items()},
    }
    schema = samples_schema(names)
    samples = pa.table([pa.array([known.get(field.name)], field.type) for field in schema], names=schema.names)
    frames = {"head_stats": analyzer.head_stats, "baselines": analyzer.baselines}
    tables = {name: frame.to_arrow() for name, frame in frames.items()}
    return run_of_tables(folder, [{"samples": samples, **tables}], analyzer.config)


def run_of_tables(folder: Path, units: Sequence[Mapping[str, pa.Table]], config: Config) -> Run:
    """Write tables as the shards of a finished run, and open it."""
    for number, tables in enumerate(units):
        shard = folder / layout.SHARDS / f"{layout.MEASURE_UNITS}{number:05d}"
        shard.mkdir(parents=True)
        for name, table in tables.items():
            pq.write_table(table, shard / f"{name}.parquet", compression="zstd")
    content = {"config": config.model_dump(mode="json"), "seed": config.run.seed}
    (folder / layout.RUN_YAML).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    (folder / layout.SUCCESS).touch()
    return open_tables(folder)
