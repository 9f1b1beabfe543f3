"""One sample: its tokens with a weight each, and the statement as a table whose figures carry their tokens' weight."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from analyses.viewing.source import ViewedRun

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that nobody sees but that would hide or reorder what follows; they are shown by their number."""

KEEPING = "statistics.decision_rows: [{sample}]"
"""The config that keeps whole rows of every head of a sample."""


@dataclass(frozen=True)
class Weights:
    """What the tokens are shaded by.

    Attributes
    ----------
    values
        ``[tokens]``, 0..1; NaN where nothing was kept of a token.
    what
        What it is, in words, with what is missing and the config that keeps more.
    """

    values: np.ndarray
    what: str


@dataclass(frozen=True)
class Cell:
    """A cell of the statement's table: its text, and the share of the attention that its tokens get."""

    text: str
    weight: float
    is_number: bool


def weights_of(viewed: ViewedRun, sample_id: str, num_tokens: int, layer: int, by: str) -> Weights:
    """Return what shades the tokens of a sample.

    Parameters
    ----------
    layer
        Decoder layer.
    by
        ``mean`` the layer's decision row over all heads, a head's number, ``rollout``, or ``attribution``.
    """
    if by == "attribution":
        return _by_attribution(viewed, sample_id, num_tokens)
    if by == "rollout" or by == "mean":
        return _by_layer(viewed, sample_id, num_tokens, layer, by)
    return _by_head(viewed, sample_id, num_tokens, layer, int(by))


def _by_layer(viewed: ViewedRun, sample_id: str, num_tokens: int, layer: int, by: str) -> Weights:
    rows = viewed.rows("decision_rows", sample_id)
    column = "rollout" if by == "rollout" else "pattern"
    own = rows if rows.is_empty() else rows.drop_nulls(column)
    own = own if own.is_empty() or by == "rollout" else own.filter(layer=layer)
    if own.is_empty():
        setting = "statistics.rollout: true" if by == "rollout" else "statistics.decision_rows: true"
        keys = _top_keys(viewed, sample_id, num_tokens, layer, None)
        if by == "rollout" or keys is None:
            return Weights(np.full(num_tokens, np.nan), f"Not kept in this run; {setting} keeps it.")
        return Weights(keys, f"Layer {layer}: mean over heads of the keys that were kept; {setting} keeps whole rows.")
    what = "Rollout over all layers" if by == "rollout" else f"Layer {layer}: the decision row, mean over its heads"
    return Weights(_padded(own[column][-1].to_numpy(), num_tokens), f"{what}.")


def _by_head(viewed: ViewedRun, sample_id: str, num_tokens: int, layer: int, head: int) -> Weights:
    rows = viewed.rows("decision_head_rows", sample_id)
    own = rows if rows.is_empty() else rows.filter(layer=layer, head=head)
    if len(own):
        return Weights(_padded(own["pattern"][0].to_numpy(), num_tokens), f"Head {layer}.{head}: its decision row.")
    keeping = KEEPING.format(sample=sample_id)
    keys = _top_keys(viewed, sample_id, num_tokens, layer, head)
    if keys is None:
        return Weights(np.full(num_tokens, np.nan), f"Head {layer}.{head}: nothing was kept of it; {keeping} keeps it.")
    share = 100 * float(np.nansum(keys))
    what = f"Head {layer}.{head}: its top keys, which hold {share:.0f} % of its attention; {keeping} keeps whole rows."
    return Weights(keys, what)


def _top_keys(viewed: ViewedRun, sample_id: str, num_tokens: int, layer: int, head: int | None) -> np.ndarray | None:
    rows = viewed.rows("decision_top_keys", sample_id)
    if rows.is_empty():
        return None
    own = rows.filter(pl.col("layer") == layer, pl.col("key_position") < num_tokens)
    own = own if head is None else own.filter(head=head)
    num_heads = own["head"].n_unique() if len(own) else 1
    values = np.zeros(num_tokens)
    np.add.at(values, own["key_position"].to_numpy(), own["weight"].to_numpy().astype(np.float64) / num_heads)
    return values


def _by_attribution(viewed: ViewedRun, sample_id: str, num_tokens: int) -> Weights:
    """Weigh every key with what it carries towards the answer through all heads, so far as it was kept."""
    keys = viewed.rows("top_token_attributions", sample_id)
    if keys.is_empty():
        none = (
            "Not kept of this sample: statistics.attribution: {top_tokens: 5} does, where a sample has a contrast of "
            "labels and the model's parts are known."
        )
        return Weights(np.full(num_tokens, np.nan), none)
    side = -1.0 if (viewed.run.samples["logit_difference"][viewed.run.rows_of[sample_id]] or 1.0) < 0 else 1.0
    carried = np.zeros(num_tokens)
    kept = keys.filter(pl.col("key_position") < num_tokens)
    np.add.at(carried, kept["key_position"].to_numpy(), side * kept["attribution"].cast(pl.Float64).to_numpy())
    towards = np.clip(carried, 0.0, None)
    total, against = float(towards.sum()), float(-np.clip(carried, None, 0.0).sum())
    what = (
        "By attribution: what each token carries through the heads towards the side that led, in nats "
        f"({total:.2f} in all), as shares of their sum; of every head only the top tokens of each sign were kept. "
        f"Tokens that carry against it ({against:.2f} nats) are not shaded."
    )
    return Weights(towards / total if total > 0 else towards, what)


def _padded(pattern: np.ndarray, num_tokens: int) -> np.ndarray:
    values = np.zeros(num_tokens)
    length = min(num_tokens, len(pattern))
    values[:length] = pattern[:length]
    return values


def shown_tokens(tokens: pl.DataFrame) -> list[str]:
    """Return the tokens' texts, what nobody sees by its number; ``tokens`` in order of their positions.

    Tokens that share a character (parts of an emoji) show it once, with the first of them.
    """
    shown, reached = [], 0
    for token, start, end in tokens.select("token", "char_start", "char_end").iter_rows():
        own = token or ""
        if start is not None and end is not None:
            own = own[max(0, reached - start) :]
            reached = max(reached, end)
        shown.append(_UNSEEN.sub(lambda match: f"\\u{ord(match.group()):04x}", own))
    return shown


def segments_of(tokens: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Return the runs of one segment as (name, first position, position after the last)."""
    runs, position = [], 0
    for name, group in groupby(tokens["segment"].fill_null("template").to_list()):
        length = len(list(group))
        runs.append((name, position, position + length))
        position += length
    return runs


_BORDERS = re.compile(r"[|\t]|\s{2,}")
_NUMBER = re.compile(r"\(?[-+−$€£]?\s?\d[\d,.]*\s?%?\)?")


def statement_rows(
    shown: Sequence[str], values: np.ndarray, segments: Sequence[tuple[str, int, int]]
) -> list[list[Cell]]:
    """Return the rows of the statement's tables: lines with a number that have several cells.

    A cell is what stands between bars, tabs or two blanks; its weight is that of the tokens in it, a token that reaches
    over a border being shared by its characters.
    """
    rows: list[list[Cell]] = []
    for name, first, last in segments:
        if name != "statement":
            continue
        text = "".join(shown[first:last])
        each = np.concatenate(
            [
                np.full(len(piece), 0.0 if np.isnan(weight) else weight / max(len(piece), 1))
                for piece, weight in zip(shown[first:last], values[first:last], strict=True)
            ]
            or [np.zeros(0)]
        )
        start = 0
        for line in text.splitlines(keepends=True):
            cells = _cells(line, each[start : start + len(line)])
            if len(cells) > 1 and any(cell.is_number for cell in cells):
                rows.append(cells)
            start += len(line)
    return rows


def _cells(line: str, weights: np.ndarray) -> list[Cell]:
    cells, start = [], 0
    for end, after in [*((match.start(), match.end()) for match in _BORDERS.finditer(line)), (len(line), len(line))]:
        if text := line[start:end].strip():
            cells.append(Cell(text, float(weights[start:end].sum()), bool(_NUMBER.fullmatch(text))))
        start = after
    return cells
