"""What keys carry through heads, as numbers per sample: one block per table and layer, so that memory stays small.

An attribution is positive towards the first side of the sample's contrast. Where that side is the same label in every
sample, each number comes in two forms: ``first`` is towards that label, ``said`` towards what the sample said. Where a
rule chooses the contrast, its first side is what was said, and there is ``said`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.runs.key_groups import asked_key_groups
from analyses.runs.run import Run
from engine.schema import ATTRIBUTION_PREFIX, ATTRIBUTION_TABLES, CELL

KEYS: dict[str, type[pl.DataType]] = {
    "kind": pl.String,
    "keys": pl.String,
    "period": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
}
"""What says which attribution a row is about."""

WHOLE_HEAD, KEY_GROUP, LINE_ITEM = "head", "key_group", "line_item"
"""Kinds beside ``engine.schema.CELL``: all keys of a head, a key group, a line item of the statement."""

FIRST, SAID = "first", "said"


@dataclass(frozen=True)
class AttributionBlock:
    """Numbers per sample and attribution.

    Attributes
    ----------
    keys
        One row per attribution, columns as in ``KEYS``.
    measures
        ``said`` and, with a fixed contrast, ``first``: float64 ``[samples, attributions]`` in nats over the rows of
        ``Run.samples``, NaN where a sample has none.
    """

    keys: pl.DataFrame
    measures: Mapping[str, np.ndarray]


def has_attributions(run: Run) -> bool:
    """Whether any sample of the run was attributed."""
    return ATTRIBUTION_TABLES[0] in run.tables


def attributed(run: Run) -> np.ndarray:
    """Return which samples were, ``[samples]`` booleans."""
    if not has_attributions(run):
        return np.zeros(len(run.samples), dtype=bool)
    known = run.tables[ATTRIBUTION_TABLES[0]].select(pl.col("sample_id").unique()).collect()["sample_id"]
    return run.samples["sample_id"].is_in(known.to_list()).to_numpy()


def first_side(run: Run) -> str | None:
    """Return the label that is the first side of every sample's contrast; None where a rule chooses."""
    pairs = run.samples["contrast"].drop_nulls().unique().to_list()
    named = run.section("decision").get("contrast")
    is_fixed = len(pairs) == 1 and not isinstance(named, str)
    return pairs[0].partition("|")[0] if is_fixed else None


def attribution_blocks(run: Run) -> Iterator[AttributionBlock]:
    """Yield every attribution of the run, a table and a layer at a time."""
    if not has_attributions(run):
        return
    towards = _towards(run)
    for layer in range(run.num_layers):
        for block in (_groups(run, layer), _spans(run, layer)):
            if block is not None:
                keys, values = block
                yield AttributionBlock(keys, {name: values * sign[:, None] for name, sign in towards.items()})


def _towards(run: Run) -> dict[str, np.ndarray]:
    """Return what an attribution is multiplied with in each form, ``[samples]``; NaN where the said side is neither."""
    first = first_side(run)
    if first is None:
        return {SAID: np.ones(len(run.samples))}
    second = run.samples["contrast"].drop_nulls()[0].partition("|")[2]
    said = run.samples["predicted_label"]
    sign = pl.select(pl.when(said == first).then(1.0).when(said == second).then(-1.0)).to_series()
    return {SAID: sign.fill_null(float("nan")).to_numpy(), FIRST: np.ones(len(run.samples))}


def _indexed(run: Run, name: str, layer: int) -> pl.LazyFrame:
    index = pl.LazyFrame({"sample_id": run.samples["sample_id"], "row": np.arange(len(run.samples))})
    return run.tables[name].filter(pl.col("layer") == layer).join(index, on="sample_id", how="inner")


def _groups(run: Run, layer: int) -> tuple[pl.DataFrame, np.ndarray] | None:
    """Return what all keys and each key group carry through the heads of a layer; a group that a text lacks is NaN.

    Random vocabularies are left out.
    """
    name = ATTRIBUTION_TABLES[0]
    groups = [
        group for group in asked_key_groups(run) if f"{ATTRIBUTION_PREFIX}{group}" in run.tables[name].collect_schema()
    ]
    columns = ["dla", *(f"{ATTRIBUTION_PREFIX}{group}" for group in groups)]
    frame = _indexed(run, name, layer).select("row", "head", *columns).collect()
    if frame.is_empty():
        return None
    values = np.full((len(run.samples), len(columns), run.num_heads), np.nan)
    values[frame["row"].to_numpy(), :, frame["head"].to_numpy()] = frame.select(columns).to_numpy()
    for place, group in enumerate(groups, start=1):
        count = f"count_{group}"
        if count in run.samples.columns:
            values[(run.samples[count] == 0).fill_null(False).to_numpy(), place] = np.nan
    named = [(WHOLE_HEAD, None), *((KEY_GROUP, group) for group in groups)]
    keys = [(kind, group, None, layer, head) for kind, group in named for head in range(run.num_heads)]
    return pl.DataFrame(keys, schema=KEYS, orient="row"), values.reshape(len(values), -1)


def _spans(run: Run, layer: int) -> tuple[pl.DataFrame, np.ndarray] | None:
    """Return what each line item and each of its cells carries; periods are key groups already."""
    name = ATTRIBUTION_TABLES[2]
    if name not in run.tables:
        return None
    frame = _indexed(run, name, layer).filter(pl.col("kind").is_in([LINE_ITEM, CELL]))
    frame = frame.select("row", "kind", "span", "period", "head", "attribution").collect()
    if frame.is_empty():
        return None
    spans = frame.select("kind", "span", "period").unique().sort("kind", "span", "period", nulls_last=True)
    frame = frame.join(spans.with_row_index("at"), on=["kind", "span", "period"], nulls_equal=True)
    values = np.full((len(run.samples), len(spans), run.num_heads), np.nan)
    values[frame["row"].to_numpy(), frame["at"].to_numpy(), frame["head"].to_numpy()] = frame["attribution"].to_numpy()
    keys = [(*span, layer, head) for span in spans.iter_rows() for head in range(run.num_heads)]
    return pl.DataFrame(keys, schema=KEYS, orient="row"), values.reshape(len(values), -1)
