"""Retrieval scores, copy scores and attention to evidence, as numbers per sample and head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.runs.run import Run
from analyses.runs.values import baseline_values, statistic_blocks
from engine.schema import EVIDENCE, MASS_PREFIX

PROMPT = "prompt"
SOURCES = {PROMPT: "", EVIDENCE: "evidence_"}
"""Where heads may fetch from, and what columns of the table ``retrieval`` begin with."""

_TABLE = "retrieval"


@dataclass(frozen=True)
class Fetched:
    """What heads fetch from one source, over the rows of ``Run.samples``; NaN where a sample has no value.

    Attributes
    ----------
    scores, chances
        float64 ``[samples, layers * heads]``.
    copyable
        Share of rows whose next token stands in the source, ``[samples]``.
    """

    scores: np.ndarray
    chances: np.ndarray
    copyable: np.ndarray


def is_measured(run: Run) -> bool:
    """Whether the run looked for what heads fetch."""
    return _TABLE in run.tables


def has_evidence(run: Run) -> bool:
    """Whether the run has a key group of gold passages."""
    return EVIDENCE in run.key_groups


def _values(run: Run, columns: list[str]) -> np.ndarray:
    """Return columns of the table, float64 ``[columns, samples, layers * heads]``."""
    known = [name for name in columns if name in run.tables[_TABLE].collect_schema()]
    frame = run.tables[_TABLE].select("sample_id", "layer", "head", *known).collect()
    found = np.full((len(columns), len(run.samples), run.num_layers * run.num_heads), np.nan)
    rows = frame["sample_id"].replace_strict(run.rows_of, default=None, return_dtype=pl.Int64)
    frame = frame.with_columns(row=rows).drop_nulls("row")
    place = (frame["layer"] * run.num_heads + frame["head"]).to_numpy()
    for number, name in enumerate(columns):
        if name in known:
            found[number, frame["row"].to_numpy(), place] = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return found


def fetched(run: Run, source: str) -> Fetched:
    """Return what heads fetch from the prompt or from the evidence."""
    prefix = SOURCES[source]
    names = [f"{prefix}retrieval", f"{prefix}retrieval_chance", f"num_{prefix}copyable", "num_rows"]
    scores, chances, copyable, rows = _values(run, names)
    # The same for every head of a sample; layers without heads have no row.
    share = np.full(len(scores), np.nan)
    known = ~np.isnan(copyable)
    some = known.any(axis=1)
    first = known.argmax(axis=1)
    at = np.arange(len(scores))
    share[some] = (copyable[at, first] / rows[at, first])[some]
    return Fetched(scores, chances, share)


def copy_scores(run: Run) -> np.ndarray:
    """Return copy scores ``[samples, layers * heads]``; NaN where they are not known."""
    return _values(run, ["copy_score"])[0]


def evidence_mass(run: Run, query_group: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return attention to evidence ``[samples, layers * heads]``, and its baseline ``[samples, layers]`` if known."""
    (_, block) = next(iter(statistic_blocks(run, query_group, (f"{MASS_PREFIX}{EVIDENCE}",))))
    return block[:, 0].astype(np.float64), baseline_values(run, query_group, EVIDENCE)
