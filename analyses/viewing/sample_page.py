"""What the page of one sample shows: facts, tokens with their shades, the statement's table, menus and exports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from analyses.viewing.links import (
    PICTURES,
    TABLES,
    Asked,
    NotThereError,
    asked_name,
    asked_number,
    downloads,
    shown_value,
)
from analyses.viewing.single_sample import segments_of, shown_tokens, statement_rows, weights_of
from analyses.viewing.source import ViewedRun
from analyses.wording import segment_label, statement_noun, value_text, visible_token

NUM_HEAVIEST = 12
"""Tokens that are named above the text, the heaviest."""

_FACTS = (
    "is_correct",
    "predicted_label",
    "actual_label",
    "certainty",
    "cluster",
    "year",
    "logit_difference",
    "label_probability",
    "num_tokens",
)


def shown_sample(viewed: ViewedRun, run: int, asked: Asked, prefix: str, action: str) -> dict[str, object]:
    """Return what the template shows of a sample.

    Parameters
    ----------
    run
        Number of its run in addresses.
    prefix
        Of the sample's own fields in what is asked.
    action
        The page that its menus lead to.

    Raises
    ------
    NotThereError
        When the run has no such sample, or kept no tokens of it.
    """
    sample_id = asked.get(f"{prefix}id", "")
    tokens = tokens_of(viewed, sample_id)
    layer, by = layer_and_way(viewed, asked, prefix)
    weights = weights_of(viewed, sample_id, len(tokens), layer, by)
    values = np.nan_to_num(weights.values)
    top = float(values.max(initial=0.0)) or 1.0
    shown, segments = shown_tokens(tokens), segments_of(tokens)
    statement = statement_rows(shown, values, segments)
    most = max((cell.weight for row in statement for cell in row), default=0.0) or 1.0
    row = viewed.run.samples.row(viewed.run.rows_of[sample_id], named=True)
    own = {name: value for name, value in asked.items() if name not in (f"{prefix}layer", f"{prefix}by")}
    plain = {"run": str(run), "id": sample_id, "layer": str(layer), "by": by}
    heaviest = [at for at in np.argsort(-values, kind="stable")[:NUM_HEAVIEST] if values[at] > 0]
    return {
        "id": sample_id,
        "facts": [
            (name.replace("_", " "), shown_value(row[name], name)) for name in _FACTS if row.get(name) is not None
        ],
        "action": action,
        "prefix": prefix,
        "kept": list(own.items()),
        "layers": [(one, str(one)) for one in range(viewed.run.num_layers)],
        "layer": layer,
        "ways": _ways(viewed, layer),
        "by": by,
        "what": weights.what,
        "exports": downloads("/sample", plain, (*PICTURES, *TABLES)),
        "heaviest": [(visible_token(shown[at]), value_text("max_weight", float(values[at]))) for at in heaviest],
        "noun": statement_noun(),
        "statement": [
            [{"text": cell.text, "is_number": cell.is_number, **_shade(cell.weight, most)} for cell in cells]
            for cells in statement
        ],
        "segments": _parts(shown, values, top, segments, row["decision_position"]),
    }


def _parts(
    shown: Sequence[str],
    values: np.ndarray,
    top: float,
    segments: Sequence[tuple[str, int, int]],
    decision: int | None,
) -> list[tuple[str, str, list[dict[str, object]]]]:
    """Return the parts of the text: segment, what it is called, and its tokens with their shades.

    ``decision`` is the row that decides; the token that it wrote, the next one, is marked, as in the report.
    """
    decided = -1 if decision is None else decision + 1
    tokens: list[dict[str, object]] = [
        {"text": text, "position": at, "is_decided": at == decided, **_shade(values[at], top)}
        for at, text in enumerate(shown)
    ]
    return [(name, segment_label(name), tokens[start:end]) for name, start, end in segments]


def tokens_of(viewed: ViewedRun, sample_id: str) -> pl.DataFrame:
    """Return a sample's tokens in order of their positions."""
    if sample_id not in viewed.run.rows_of:
        raise NotThereError(f"{viewed.name} has no sample {sample_id!r}. The list of samples has all of them.")
    tokens = viewed.rows("tokens", sample_id)
    if tokens.is_empty():
        raise NotThereError(f"{viewed.name} kept no tokens of sample {sample_id!r}.")
    return tokens.sort("position")


def layer_and_way(viewed: ViewedRun, asked: Asked, prefix: str) -> tuple[int, str]:
    """Return the layer that is asked for, and what shades the tokens."""
    layers = viewed.run.num_layers
    layer = asked_number(asked, f"{prefix}layer", layers, default=layers - 1)
    return layer, asked_name(asked, f"{prefix}by", [name for name, _ in _ways(viewed, layer)], "mean")


def _ways(viewed: ViewedRun, layer: int) -> list[tuple[str, str]]:
    heads = [(str(head), f"head {layer}.{head}") for head in range(viewed.run.num_heads)]
    return [("mean", "the layer, mean of its heads"), *heads, ("rollout", "rollout"), ("attribution", "attribution")]


def _shade(weight: float, top: float) -> dict[str, str]:
    return {"shade": f"{min(1.0, weight / top):.3f}", "share": value_text("max_weight", weight)}
