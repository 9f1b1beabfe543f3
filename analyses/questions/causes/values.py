"""What causal units measured, as numbers per sample: one block per kind of cause and layer, so that memory stays small.

Everything is a change of s, the margin of the sample's contrast: its first side's logit minus its second's. Heads
that support whatever the model says push s up in some samples and down in others, so each number comes in two forms:
``change`` is that of s itself; ``lead`` is change x sign(s), the change of the lead of the label that the model
favours. A head whose removal has a negative ``lead`` supports the model's answers; one with a ``change`` favours a
label.

s holds the part in question, so the ``lead`` of a head of pure noise is negative too: its noise decides close calls.
Where effects are compared with attention, ``CausalBlock.without`` takes the sign of s without the part instead: after
the intervention, or less what a gradient or an attribution says is the part's own; of s itself where nothing else is
left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.runs.run import Run
from engine.schema import ATTENTION_GRADIENT_PREFIX, CAUSAL_TABLES

KEYS: dict[str, type[pl.DataType]] = {
    "kind": pl.String,
    "unit": pl.String,
    "replace": pl.String,
    "rows": pl.String,
    "factor": pl.Float64,
    "key_group": pl.String,
    "counterfactual": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
    "first_layer": pl.Int32,
    "last_layer": pl.Int32,
    "members": pl.String,
}
"""What says which cause a row is about; those that a kind does not have are null."""

MATCHED = "matched_patching"

KINDS = ("ablation", "amplification", "knockout", MATCHED, "dla", "head_gradient", "attention_gradient", "patching")
"""Interventions first, then what gradients and the frozen model say without one."""

MEASURED = KINDS[:4]
"""Kinds that were found by intervening."""

_INTERVENTION_KEYS = ("kind", "unit", "replace", "rows", "factor", "layer", "head", "members")
_KNOCKOUT_KEYS = ("kind", "rows", "key_group", "first_layer", "last_layer")


@dataclass(frozen=True)
class CausalBlock:
    """Numbers per sample and cause.

    Attributes
    ----------
    keys
        One row per cause, columns as in ``KEYS``.
    measures
        ``lead``, ``change`` (nats), of interventions ``flip`` (0 or 1) and of matched patching ``restored`` (share):
        float64 ``[samples, causes]`` over the rows of ``Run.samples``, NaN where a sample has none.
    without
        As ``lead``, by the sign of s without the part.
    others
        Of samples that another one's state was put into, the row of that one in ``Run.samples``, ``[samples]`` int64,
        -1 where there is none; None where nothing of another sample is in the numbers.
    """

    keys: pl.DataFrame
    measures: Mapping[str, np.ndarray]
    without: np.ndarray
    others: np.ndarray | None = None


NOTHING_LEFT = 1e-6
"""Share of s below which what is left of it without a part is rounding."""


def _is_measured(keys: tuple[str, ...]) -> bool:
    """Return whether the keys are those of something that was done to the model, counterfactuals included."""
    return bool({"replace", "rows", "counterfactual"} & set(keys))


def has_causes(run: Run) -> bool:
    """Whether the run holds any causal table."""
    return any(name in run.tables for name in CAUSAL_TABLES)


def causal_blocks(run: Run) -> Iterator[CausalBlock]:
    """Yield every cause that the run measured, a layer of a kind at a time."""
    for table, blocks in BLOCKS.items():
        if table in run.tables:
            yield from blocks(run)


def _interventions(run: Run) -> Iterator[CausalBlock]:
    frame = _indexed(run, "interventions").with_columns(
        members=pl.when(pl.col("unit") == "head").then(None).otherwise(pl.col("members").list.join(" "))
    )
    for kind in _values_of(frame, "kind"):
        for layer in _values_of(frame.filter(pl.col("kind") == kind), "layer"):
            here = pl.col("layer").is_null() if layer is None else pl.col("layer") == layer
            yield _effect_block(run, frame.filter((pl.col("kind") == kind) & here), _INTERVENTION_KEYS)


def _knockouts(run: Run) -> Iterator[CausalBlock]:
    frame = _indexed(run, "knockouts").with_columns(kind=pl.lit("knockout"))
    for first in _values_of(frame, "first_layer"):
        yield _effect_block(run, frame.filter(pl.col("first_layer") == first), _KNOCKOUT_KEYS)


def _attributions(run: Run) -> Iterator[CausalBlock]:
    difference = run.samples.select("sample_id", before=pl.col("logit_difference").cast(pl.Float64)).lazy()
    frame = _indexed(run, "attributions").join(difference, on="sample_id")
    names = [name for name in frame.collect_schema().names() if name.startswith(ATTENTION_GRADIENT_PREFIX)]
    for layer in _values_of(frame, "layer"):
        part = frame.filter(pl.col("layer") == layer)
        for kind in ("dla", "head_gradient"):
            given = part.with_columns(kind=pl.lit(kind), change=pl.col(kind))
            yield _block(run, given, ("kind", "layer", "head"), ("change",))
        for name in names:
            group = name.removeprefix(ATTENTION_GRADIENT_PREFIX)
            given = part.with_columns(kind=pl.lit("attention_gradient"), key_group=pl.lit(group), change=pl.col(name))
            yield _block(run, given, ("kind", "key_group", "layer", "head"), ("change",))


def _patching(run: Run) -> Iterator[CausalBlock]:
    frame = _indexed(run, "patching").with_columns(
        kind=pl.lit("patching"), change=pl.col("effect"), before=pl.col("logit_difference")
    )
    for layer in _values_of(frame, "layer"):
        part = frame.filter(pl.col("layer") == layer)
        yield _block(run, part, ("kind", "counterfactual", "layer", "head"), ("change",))


def _matched(run: Run) -> Iterator[CausalBlock]:
    """Yield what right predictions' decision rows restore in wrong ones.

    ``restored`` has the mean r = sum c / sum g, c the change of s towards the right prediction's and g the gap between
    the two: of each sample r + (c - r g) / mean g, so that its clustered error is the linearised ratio's (Cochran 1977,
    section 6.3).
    """
    frame = _indexed(run, MATCHED).with_columns(kind=pl.lit(MATCHED))
    others = _matched_rows(run, frame)
    for layer in _values_of(frame, "layer"):
        part = frame.filter(pl.col("layer") == layer)
        gap = pl.col("matched_logit_difference") - (pl.col("logit_difference") - pl.col("change"))
        given = part.with_columns(gap=gap.abs(), towards=pl.col("change") * gap.sign())
        keys = ("kind", "unit", "layer", "head")
        block = _effect_block(run, given, keys, ("gap", "towards"))
        measures = dict(block.measures)
        gaps, changes = measures.pop("gap"), measures.pop("towards")
        known = ~np.isnan(changes)
        number = np.maximum(known.sum(axis=0), 1)
        mean_gap = np.where(known, gaps, 0.0).sum(axis=0) / number
        mean_gap[mean_gap == 0] = np.nan
        ratio = np.where(known, changes, 0.0).sum(axis=0) / number / mean_gap
        measures["restored"] = ratio + (changes - ratio * gaps) / mean_gap
        yield CausalBlock(block.keys, measures, block.without, others)


def _matched_rows(run: Run, frame: pl.LazyFrame) -> np.ndarray:
    """Return the row of every sample's right prediction, -1 where it has none."""
    pairs = frame.select("row", "matched_id").unique().collect()
    found = np.full(len(run.samples), -1, dtype=np.int64)
    known = pairs["matched_id"].replace_strict(run.rows_of, default=-1, return_dtype=pl.Int64)
    found[pairs["row"].to_numpy()] = known.to_numpy()
    return found


BLOCKS: dict[str, Callable[[Run], Iterator[CausalBlock]]] = {
    "interventions": _interventions,
    "knockouts": _knockouts,
    "attributions": _attributions,
    "patching": _patching,
    MATCHED: _matched,
}
"""Table of a run to what makes blocks of it, in the order of the report; a new causal table gets a row."""


def _indexed(run: Run, name: str) -> pl.LazyFrame:
    """Return a table with each sample's row in ``samples``; rows of samples that are not there are left out."""
    index = pl.LazyFrame({"sample_id": run.samples["sample_id"], "row": np.arange(len(run.samples))})
    return run.tables[name].join(index, on="sample_id", how="inner")


def _values_of(frame: pl.LazyFrame, column: str) -> list:
    return frame.select(column).unique().collect()[column].sort(nulls_last=True).to_list()


def _effect_block(run: Run, frame: pl.LazyFrame, keys: tuple[str, ...], more: tuple[str, ...] = ()) -> CausalBlock:
    given = frame.with_columns(
        before=pl.col("logit_difference") - pl.col("change"), flip=pl.col("is_flipped").cast(pl.Float64)
    )
    return _block(run, given, keys, ("change", "flip", *more), is_measured=True)


def _block(
    run: Run, frame: pl.LazyFrame, keys: tuple[str, ...], names: tuple[str, ...], *, is_measured: bool = False
) -> CausalBlock:
    """Turn rows with ``row``, ``change`` and ``before`` into matrices, one column per distinct value of ``keys``."""
    change, before = pl.col("change").cast(pl.Float64), pl.col("before").cast(pl.Float64)
    # Interventions change s by so much; gradients and attributions say how much of s is the part's own.
    rest = before + change if is_measured or _is_measured(keys) else before - change
    is_nothing = rest.abs() <= NOTHING_LEFT * before.abs()
    values = frame.select(
        "row",
        *keys,
        lead=change * before.sign(),
        without=change * pl.when(is_nothing).then(before.sign()).otherwise(rest.sign()),
        **{name: pl.col(name).cast(pl.Float64) for name in names},
    ).collect()
    causes = values.select(keys).unique().sort(keys, nulls_last=True).with_row_index("cause")
    at = values.join(causes, on=list(keys), nulls_equal=True, how="left", maintain_order="left")["cause"].to_numpy()
    rows = values["row"].to_numpy()
    measures: dict[str, np.ndarray] = {}
    for name in ("lead", "without", *names):
        measures[name] = np.full((len(run.samples), len(causes)), np.nan)
        measures[name][rows, at] = values[name].fill_null(float("nan")).to_numpy()
    whole = causes.select(
        pl.col(name).cast(kind) if name in keys else pl.lit(None, dtype=kind).alias(name) for name, kind in KEYS.items()
    )
    without = measures.pop("without")
    return CausalBlock(whole, measures, without)
