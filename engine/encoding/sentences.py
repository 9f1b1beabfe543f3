"""Sentences by rule, in any language: they end at a stop behind which a blank follows, or at the end of a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from engine.encoded_samples import IntArray

_CLOSING = "\"'”’»」』)\\]*_"
_END = re.compile(rf"[.!?…؟।۔]+[{_CLOSING}]*(?=\s|$)|[。！？｡]+[{_CLOSING}]*|\n+")
"""A stop of scripts with blanks between words needs one behind it, so that 3.5 is one number."""


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return the characters of each sentence of a stretch of text, without blanks around it."""
    end = len(text) if end is None else end
    spans: list[tuple[int, int]] = []
    edges = [match.end() for match in _END.finditer(text, start, end)]
    for first, last in zip([start, *edges], [*edges, end], strict=True):
        part = text[first:last]
        if part.strip():
            spans.append((first + len(part) - len(part.lstrip()), first + len(part.rstrip())))
    return spans


def sentence_numbers(
    text: str, stretches: Sequence[Sequence[tuple[int, int]]], starts: IntArray, ends: IntArray
) -> IntArray:
    """Return the number of every token's sentence, counted from 0 in each group of stretches; -1 outside of them.

    A token that reaches over two sentences belongs to the one that it begins in.
    """
    numbers = np.full(len(starts), -1, dtype=np.int32)
    for parts in stretches:
        spans = [span for part in parts for span in sentence_spans(text, *part)]
        for number, (first, last) in reversed(list(enumerate(spans))):
            inside = (ends > first) & (starts < last)
            numbers[inside] = np.where(numbers[inside] < 0, number, np.minimum(numbers[inside], number))
    return numbers
