"""Tokens as people read them, and long patterns cut or summed so that a chart stays readable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import EllipsisType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

from engine.encoded_samples import SEGMENTS, EncodedSample
from engine.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Region = tuple[int, int]
"""First position and one past the last."""

_MARKS = {"Ġ": " ", "▁": " ", "Ċ": "\n", "ĉ": "\t", "č": "\r"}
"""What tokenizers write for blanks and line ends."""


def visible(token: str, max_length: int = 18) -> str:
    """Return a token with its blanks made visible, cut where it is long."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    shown = shown if shown.strip() else "␣" * max(len(shown), 1)
    return shown if len(shown) <= max_length else f"{shown[: max_length - 1]}…"


def text_of_tokens(tokens: Sequence[str]) -> tuple[str, list[int], list[int]]:
    """Return the text that tokens make, and where each of them begins and ends in it.

    Byte-level (``Ġ``), SentencePiece (``▁``) and WordPiece (``##``) spellings are understood, and plain texts.
    """
    texts = [str(token) for token in tokens]
    # Only WordPiece writes no blank at all; elsewhere ## is Markdown.
    has_blanks = any(sign in text for text in texts for sign in (*_MARKS, " ", "\n"))
    is_wordpiece = not has_blanks and any(re.match(r"##\w", text) for text in texts)
    pieces = []
    for number, text in enumerate(texts):
        piece = text
        if is_wordpiece:
            piece = text.removeprefix("##") if text.startswith("##") or not number else f" {text}"
        for mark, plain in _MARKS.items():
            piece = piece.replace(mark, plain)
        pieces.append(piece)
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return "".join(pieces), [end - len(piece) for end, piece in zip(ends, pieces, strict=True)], ends


@dataclass(frozen=True, slots=True)
class Cut:
    """What is shown of a pattern.

    Attributes
    ----------
    rows, keys
        Edges of the bins along rows and keys; a bin is one token unless something is summed.
    row_labels, key_labels
        One for each bin.
    note
        What was left out or summed, in words; empty when nothing was.
    """

    rows: np.ndarray
    keys: np.ndarray
    row_labels: list[str]
    key_labels: list[str]
    note: str

    @property
    def is_summed(self) -> bool:
        """Whether any bin holds more than one token."""
        return bool((np.diff(self.rows) > 1).any() or (np.diff(self.keys) > 1).any())


def choose_cut(
    encoded: EncodedSample,
    max_tokens: int,
    window: Region | None = None,
    rows: Region | None = None,
    keys: Region | None = None,
    aggregate: str | int | None = None,
) -> Cut:
    """Return what to show of a text's pattern.

    Parameters
    ----------
    encoded
        The text.
    max_tokens
        Bins along a side at most.
    window
        The same tokens as rows and keys.
    rows, keys
        A region with rows and keys of its own.
    aggregate
        ``segments`` sums over the chat's parts, a number over so many neighbouring tokens; None sums only where the
        region is longer than ``max_tokens``.

    Raises
    ------
    UserError
        For regions outside of the text and unknown aggregations.
    """
    if window is not None and (rows is not None or keys is not None):
        raise UserError("window: give either window, or rows and keys.")
    row_region = _region("window" if window else "rows", window or rows, encoded.num_tokens)
    key_region = _region("window" if window else "keys", window or keys, encoded.num_tokens)
    edges = [_edges(encoded, region, max_tokens, aggregate) for region in (row_region, key_region)]
    labels = [_labels(encoded, own) for own in edges]
    note = []
    if window is not None or rows is not None or keys is not None:
        note.append(
            f"rows {row_region[0]}–{row_region[1] - 1} and keys {key_region[0]}–{key_region[1] - 1} of "
            f"{encoded.num_tokens} tokens"
        )
    cut = Cut(edges[0], edges[1], labels[0], labels[1], "")
    if cut.is_summed:
        what = "the chat's parts" if aggregate == "segments" else f"{int(np.diff(edges[1]).max())} neighbouring tokens"
        note.append(f"cells are means over rows of sums over keys, of {what}")
    return Cut(edges[0], edges[1], labels[0], labels[1], "; ".join(note))


def _region(name: str, region: Region | None, num_tokens: int) -> Region:
    if region is None:
        return 0, num_tokens
    first, end = (int(place) + num_tokens if place < 0 else int(place) for place in region)
    if not 0 <= first < end <= num_tokens:
        raise UserError(
            f"{name}: {tuple(region)} is no part of the text's {num_tokens} tokens; give (first, end) with "
            f"0 <= first < end <= {num_tokens}, negative numbers counting from the end."
        )
    return first, end


def _edges(encoded: EncodedSample, region: Region, max_tokens: int, aggregate: str | int | None) -> np.ndarray:
    first, end = region
    if aggregate == "segments":
        inner = np.flatnonzero(np.diff(encoded.segments[first:end])) + 1 + first
        return np.concatenate([[first], inner, [end]])
    if aggregate is not None and (not isinstance(aggregate, int) or isinstance(aggregate, bool) or aggregate < 1):
        raise UserError(f"aggregate: {aggregate!r} is unknown; give 'segments', a number of tokens, or None.")
    size = max(1, -(-(end - first) // max_tokens)) if aggregate is None else int(aggregate)
    if (end - first) / size > 4 * max_tokens:
        raise UserError(
            f"aggregate: {size} token(s) a cell make {-(-(end - first) // size)} cells along a side, which nobody can "
            f"read; give at least {-(-(end - first) // (4 * max_tokens))}, a smaller region, or None."
        )
    return np.append(np.arange(first, end, size), end)


def _labels(encoded: EncodedSample, edges: np.ndarray) -> list[str]:
    labels = []
    for first, end in pairwise(edges.tolist()):
        if end - first == 1:
            labels.append(visible(encoded.token_text(int(first))))
            continue
        part = encoded.text[encoded.char_starts[first] : encoded.char_ends[end - 1]]
        codes = set(encoded.segments[first:end].tolist())
        name = f"{SEGMENTS[codes.pop()]}: " if len(codes) == 1 and end - first > 1 else ""
        labels.append(f"{first}–{end - 1} {name}{visible(' '.join(part.split()))}")
    return labels


def summed_pattern(pattern: torch.Tensor, cut: Cut) -> pl.DataFrame:
    """Return the shown part of a pattern ``[T, T]`` as ``row, key, row_label, key_label, weight``."""
    whole = pattern.double().numpy()
    over_keys = np.add.reduceat(whole[:, : cut.keys[-1]], cut.keys[:-1], axis=1)
    sums = np.add.reduceat(over_keys[: cut.rows[-1]], cut.rows[:-1], axis=0)
    weights = sums / np.diff(cut.rows)[:, None]
    row, key = np.nonzero(cut.keys[None, :-1] < cut.rows[1:, None])
    return pl.DataFrame(
        {
            "row": row.astype(np.int32),
            "key": key.astype(np.int32),
            "row_label": [cut.row_labels[place] for place in row],
            "key_label": [cut.key_labels[place] for place in key],
            "weight": np.round(weights[row, key], 6),
        }
    )


def token_texts(
    tokens: Sequence[str] | Sequence[int] | torch.Tensor | EllipsisType | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> list[str]:
    """Return texts of tokens that are given as texts, or as ids with their tokenizer.

    Raises
    ------
    UserError
        When there is one text as a whole, or ids without a tokenizer.
    """
    if tokens is None or isinstance(tokens, str | EllipsisType):
        raise UserError(
            "tokens: give the texts of the tokens, one for each row of the patterns: "
            "tokenizer.convert_ids_to_tokens(input_ids[0]). For a text as a whole, take "
            "FinancialAttentionAnalyzer.from_text(model, tokenizer, text)."
        )
    if isinstance(tokens, torch.Tensor):
        tokens = tokens.flatten().tolist()
    listed = list(tokens)
    texts = [token for token in listed if isinstance(token, str)]
    if len(texts) == len(listed):
        return texts
    if tokenizer is None:
        raise UserError("tokens: these are ids; give their tokenizer too, or their texts.")
    return [str(token) for token in tokenizer.convert_ids_to_tokens([int(token) for token in listed])]
