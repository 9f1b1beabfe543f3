"""What uniform attention would give: rows of the table ``baselines``."""

from __future__ import annotations

import numpy as np

from engine.attention.masking import Chunk, Window, first_visible_of
from engine.encoded_samples import EncodedSample, IntArray
from engine.measuring.measured import TARGET, Measured
from engine.schema import BASELINE_PREFIX


def baseline_rows(sample: Measured) -> dict[str, object]:
    """Return a sample's columns of ``baselines``."""
    encoded = sample.encoded
    windows = [_effective(window, encoded.num_tokens) for window in sample.found.windows]
    numbers = sample.layer_numbers
    layers: list[int | None] = [None] if len(set(windows)) == 1 else list(numbers)
    by_window = {window: baselines(encoded, window) for window in set(windows)}
    if sample.companion is not None:
        place = list(encoded.query_groups).index(TARGET)
        for window, found in by_window.items():
            found[place] = baselines(sample.companion.encoded, window)[place]
    names = [*encoded.key_groups, "duplicate", "induction"]
    columns: dict[str, object] = {
        "sample_id": [encoded.sample_id] * (len(layers) * len(encoded.query_groups)),
        "query_group": [group for group in encoded.query_groups for _ in layers],
        "layer": [layer for _ in encoded.query_groups for layer in layers],
    }
    for index, name in enumerate(names):
        columns[BASELINE_PREFIX + name] = np.array(
            [
                by_window[windows[0 if layer is None else numbers.index(layer)]][row, index]
                for row in range(len(encoded.query_groups))
                for layer in layers
            ]
        )
    return columns


def _effective(window: Window, num_tokens: int) -> Window:
    """Return a window, or None where a sequence is too short for it to hide a key."""
    size = window.size if isinstance(window, Chunk) else window
    return window if size is not None and size < num_tokens else None


def baselines(encoded: EncodedSample, window: Window) -> np.ndarray:
    """Return what uniform attention would give, float64 ``[query group, key group + 2]``.

    The last two columns are the duplicate and induction baselines, means over rows with a match; NaN where a query
    group has no row that counts.
    """
    rows = np.arange(encoded.num_tokens)
    lowest = first_visible_of(rows, window)
    visible = rows + 1 - lowest
    shares = np.empty((encoded.num_tokens, len(encoded.key_groups) + 2))
    for index, positions in enumerate(encoded.key_groups.values()):
        below = np.zeros(encoded.num_tokens + 1)
        below[1:][positions] = 1
        below = np.cumsum(below)
        shares[:, index] = (below[rows + 1] - below[lowest]) / visible
    shares[:, [place for place, name in enumerate(encoded.key_groups) if name in encoded.unknown_groups]] = np.nan
    duplicates, inductions = _match_counts(encoded.input_ids, lowest)
    shares[:, -2] = np.where(duplicates > 0, duplicates / visible, np.nan)
    shares[:, -1] = np.where(inductions > 0, inductions / visible, np.nan)
    result = np.full((len(encoded.query_groups), shares.shape[1]), np.nan)
    for row, positions in enumerate(encoded.query_groups.values()):
        chosen = shares[positions]
        counted = ~np.isnan(chosen)
        with np.errstate(invalid="ignore"):
            result[row] = np.where(counted, chosen, 0).sum(axis=0) / counted.sum(axis=0)
    return result


def _match_counts(token_ids: IntArray, lowest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per row, how many visible keys are duplicate and how many are induction matches."""
    _, token = np.unique(token_ids, return_inverse=True)
    first = token.astype(np.int64) * len(token_ids)  # places of one token are neighbours, in the order of the text
    rows = np.arange(len(token_ids))
    places = np.sort(first + rows)
    earlier = np.searchsorted(places, first + rows)
    duplicates = earlier - np.searchsorted(places, first + lowest)
    inductions = earlier - np.searchsorted(places, first + np.maximum(lowest - 1, 0))
    return duplicates, inductions
