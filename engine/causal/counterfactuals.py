"""Counterfactual statements: the same prompt with its figures edited, token for token as long as the recorded one.

Attribution patching compares heads position by position, so an edit that changes the number of tokens of the prompt
makes a sample unusable; it is turned away with its reason, never padded or cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from engine.config import PatchingSection
from engine.encoded_samples import SEGMENTS, EncodedSample
from engine.samples import RowRejected
from engine.statements.parser import Cell, LineItem, Table, parse_statement
from engine.statements.printed_numbers import parse_value

Tokenize = Callable[[str], list[int]]
"""Token ids of a rendered prompt, as the encoder makes them."""


class Change(NamedTuple):
    """Characters ``start`` to ``end`` of a text, and what stands there instead."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """An edited sample.

    Attributes
    ----------
    sample
        The sample with other token ids; everything else is that of the recorded one.
    edit
        What was changed: character in the text, figure before and after, such as ``512: 12.5 -> 9.75``.
    """

    sample: EncodedSample
    edit: str


def counterfactual(sample: EncodedSample, section: PatchingSection, tokenize: Tokenize) -> Counterfactual:
    """Edit the statement of a sample.

    Parameters
    ----------
    sample
        The recorded sample.
    section
        Which edit, and of which line items; all of them when none is named.
    tokenize
        The encoder's tokenisation of prompts.

    Raises
    ------
    RowRejected
        When there is nothing to edit, or the edit changes the number of tokens.
    """
    end = int(sample.char_starts[sample.num_prompt_tokens])
    prompt = sample.text[:end]
    changes = sorted(_changes(sample, prompt, section))
    if not changes:
        wanted = ", ".join(section.line_items) or "any line item"
        raise RowRejected("causal", "no_counterfactual", f"{section.counterfactual} finds no figures of {wanted}.")
    recorded = sample.input_ids[: sample.num_prompt_tokens].tolist()
    if tokenize(prompt) != recorded:
        raise RowRejected("causal", "prompt_tokens_differ", "The prompt's text does not give its recorded tokens.")
    edited = tokenize(_edited(prompt, changes))
    if len(edited) != len(recorded):
        raise RowRejected(
            "causal",
            "counterfactual_changes_token_count",
            f"{section.counterfactual} makes {len(edited)} prompt tokens of {len(recorded)}: "
            f"{_described(prompt, changes)}.",
        )
    ids = np.concatenate([np.array(edited, dtype=np.int32), sample.input_ids[sample.num_prompt_tokens :]])
    return Counterfactual(replace(sample, input_ids=ids), _described(prompt, changes))


def _changes(sample: EncodedSample, prompt: str, section: PatchingSection) -> Iterator[Change]:
    wanted = {" ".join(name.split()).casefold() for name in section.line_items}
    for table in _tables(sample, prompt):
        for item in table.items:
            if not wanted or " ".join(item.name.split()).casefold() in wanted:
                yield from _item_changes(table, item, section)


def _tables(sample: EncodedSample, prompt: str) -> Sequence[Table]:
    """Return the tables of the user's statement; those of other parts of the prompt are left alone."""
    places = np.flatnonzero(sample.segments == SEGMENTS.index("statement"))
    if not len(places):
        return ()
    start, end = int(sample.char_starts[places[0]]), int(sample.char_ends[places[-1]])
    return [table for table in parse_statement(prompt).tables if table.start < end and table.end > start]


def _item_changes(table: Table, item: LineItem, section: PatchingSection) -> Iterator[Change]:
    cells = {cell.column: cell for cell in item.cells if cell.value is not None}
    current = None if table.current is None else cells.get(table.current.index)
    prior = None if table.prior is None else cells.get(table.prior.index)
    if section.counterfactual == "swap_periods":
        if current is not None and prior is not None and current.text != prior.text:
            yield Change(current.start, current.end, prior.text)
            yield Change(prior.start, prior.end, current.text)
        return
    for cell in cells.values() if section.counterfactual == "flip_sign" else [current]:
        if cell is not None and cell.value is not None:
            text = _other_text(cell, section)
            if text != cell.text:
                yield Change(cell.start, cell.end, text)


def _other_text(cell: Cell, section: PatchingSection) -> str:
    if section.counterfactual == "replace":
        return section.value or cell.text
    if section.counterfactual == "flip_sign":
        bare = cell.text.strip("()-−")
        return bare if (cell.value or 0) < 0 else f"({bare})" if cell.text != bare else f"-{bare}"
    return _scaled(cell.text, section.factor)


def _scaled(text: str, factor: float) -> str:
    """Return a printed number multiplied, with its decimals and its grouping; itself when it cannot be."""
    first = next((place for place, sign in enumerate(text) if sign.isdigit()), len(text))
    last = max((place for place, sign in enumerate(text) if sign.isdigit()), default=-1) + 1
    value = parse_value(text[first:last])
    if value is None:
        return text
    _, _, decimals = text[first:last].partition(".")
    grouping = "," if "," in text[first:last] else ""
    return f"{text[:first]}{value * factor:{grouping}.{len(decimals)}f}{text[last:]}"


def _edited(text: str, changes: Sequence[Change]) -> str:
    parts, place = [], 0
    for start, end, other in changes:
        parts += [text[place:start], other]
        place = end
    return "".join([*parts, text[place:]])


def _described(text: str, changes: Sequence[Change]) -> str:
    return "; ".join(f"{start}: {text[start:end]} -> {other}" for start, end, other in changes)
