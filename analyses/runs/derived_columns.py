"""Columns of samples that follow from others: how likely the model found its label, words on a scale as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from analyses.settings.analysis import DERIVED_COLUMNS

SCALES: tuple[tuple[str, ...], ...] = (
    ("none", "very low", "low", "moderate", "medium", "high", "very high"),
    ("none", "tiny", "slight", "small", "minor", "moderate", "medium", "large", "significant", "major", "huge"),
    ("very unlikely", "unlikely", "possible", "likely", "very likely", "certain"),
    ("very negative", "negative", "neutral", "mixed", "positive", "very positive"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("no", "maybe", "yes"),
    ("uncertain", "unsure", "confident", "certain"),
)
"""Words in rising order. A text column is on a scale when all of its values are words of that scale, in any case."""


def ordered_levels(values: pl.Series) -> list[str] | None:
    """Return the words of a text column from the lowest to the highest, in lower case; None when on no scale."""
    levels = set(values.drop_nulls().cast(pl.String).str.strip_chars().str.to_lowercase())
    for scale in SCALES:
        if levels and levels <= set(scale):
            return [word for word in scale if word in levels]
    return None


def levels_of(values: pl.Series) -> pl.Series:
    """Return the place of each value on its scale, 1 for the lowest word present; null where it is on none."""
    words = ordered_levels(values) or []
    ranks = {word: float(place) for place, word in enumerate(words, start=1)}
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    return text.replace_strict(ranks, default=None, return_dtype=pl.Float64)


def with_derived(samples: pl.DataFrame, run: Mapping[str, object]) -> pl.DataFrame:
    """Add ``DERIVED_COLUMNS`` to samples; a column of that name that is there already stays as it is.

    Parameters
    ----------
    samples
        With every column of the contract.
    run
        Content of ``run.yaml``: ``config.decision.contrast`` says whose probability ``contrast_probability`` is in runs
        whose samples do not say so themselves.
    """
    added = {
        "label_probability": _label_probability(samples, _contrast(run)),
        "certainty_level": levels_of(samples["certainty"]),
        "magnitude_level": levels_of(samples["magnitude"]),
    }
    assert set(added) == set(DERIVED_COLUMNS)
    return samples.with_columns(column.alias(name) for name, column in added.items() if name not in samples.columns)


def _label_probability(samples: pl.DataFrame, contrast: Sequence[str]) -> pl.Series:
    """Return the probability of the said label: of two where the contrast is known, else of its first token."""
    of_first = pl.col("contrast_probability").cast(pl.Float64)
    label = pl.col("predicted_label")
    if "contrast" in samples.columns:
        sides = pl.col("contrast")
        is_first = sides.str.starts_with(label + "|")
        chosen = pl.when(is_first).then(of_first).when(sides.str.ends_with(pl.lit("|") + label)).then(1 - of_first)
    elif len(contrast) == 2:
        chosen = pl.when(label == contrast[0]).then(of_first).when(label == contrast[1]).then(1 - of_first)
    else:
        chosen = (-pl.col("label_surprisal").cast(pl.Float64)).exp()
    return samples.select(chosen).to_series()


def _contrast(run: Mapping[str, object]) -> tuple[str, ...]:
    config = run.get("config")
    decision = config.get("decision") if isinstance(config, Mapping) else None
    contrast = decision.get("contrast") if isinstance(decision, Mapping) else None
    return tuple(map(str, contrast)) if isinstance(contrast, list | tuple) else ()


_SAME = ("num_tokens", "predicted_label", "number")


def copied_rows(samples: pl.DataFrame, head_stats: pl.LazyFrame, statistics: Sequence[str]) -> list[np.ndarray]:
    """Return the rows of ``samples`` of each set of copies: every number of every head is the same, bit for bit.

    The length, the said label and the margin (without one, the label's surprisal) are looked at first, so that head
    statistics are read of few samples. Samples without margin and surprisal are not told apart, and are no copies; nor
    is anything where all samples are alike.
    """
    number = pl.coalesce("logit_difference", "label_surprisal").cast(pl.Float64).fill_nan(None).alias("number")
    own = samples.with_row_index("row").select("row", "sample_id", "num_tokens", "predicted_label", number)
    likely = own.drop_nulls("number").filter(pl.struct(_SAME).is_duplicated())
    if likely.is_empty():
        return []
    read = head_stats.filter(pl.col("sample_id").is_in(likely["sample_id"].to_list()))
    row = pl.struct("query_group", "layer", "head", *statistics).hash()
    hashed = read.select("sample_id", row=row).group_by("sample_id").agg(told=pl.col("row").sum(), size=pl.len())
    sets = (
        likely.join(hashed.collect(), on="sample_id").sort("row").group_by(*_SAME, "told", "size", maintain_order=True)
    )
    found = [rows.to_numpy().astype(np.int64) for rows in sets.agg("row")["row"] if len(rows) > 1]
    return [rows for rows in found if len(rows) < len(samples)]
