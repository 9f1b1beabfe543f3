"""Whether heads fetch what is written: the key that a row weighs most is the token that is written next.

Over the rows i of what the model wrote (each predicts its token ``x_{i+1}``), with ``j_i`` the key of the largest
weight,

    retrieval_h = share of rows with ``j_i`` in the prompt and ``x_{j_i} = x_{i+1}``

(Wu et al. 2024, who count tokens of a needle over the needle's length; here over the rows, so that a text that copies
little has small scores). ``retrieval_chance_h`` is what the same keys would score beside the next tokens of all rows in
turn: ``mean over rows i and i' of [j_i in the prompt and x_{j_i} = x_{i'+1}]``, which a head reaches by looking at
tokens that are written often. With evidence, the same for keys of evidence in place of the prompt's.

Shape legend: ``R`` rows, ``H`` query heads, ``L`` layers that have heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from engine.attention.backends.backend import LayerCall
from engine.attention.layout import SequenceLayout
from engine.attention.readers.strongest_keys import strongest_keys
from engine.encoded_samples import EncodedSample
from engine.errors import UnsupportedModelError
from engine.measuring.fetching.copying import Copier
from engine.schema import EVIDENCE


@dataclass(frozen=True, slots=True)
class RetrievalTarget:
    """What is looked for in one sequence.

    Attributes
    ----------
    rows
        Rows that predict what the model wrote, ascending, ``[R]``.
    sources
        Keys that count: those of the prompt, then, where they are known, those of evidence, bool ``[1 or 2, T]``.
    asked
        Keys whose copy score counts: those of the prompt without the first, ``[n]``.
    num_copyable
        Rows whose next token stands in each of the sources, as many as these.
    """

    rows: torch.Tensor
    sources: torch.Tensor
    asked: torch.Tensor
    num_copyable: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found, float32 ``[L, H]`` each.

    Attributes
    ----------
    scores, chances
        Of the prompt, then of evidence where it is known, ``[1 or 2, L, H]``.
    copies
        Mean copy score of the prompt's tokens; None where the model's parts are not known.
    num_rows, num_copyable
        As in the target.
    """

    scores: torch.Tensor
    chances: torch.Tensor
    copies: torch.Tensor | None
    num_rows: int
    num_copyable: tuple[int, ...]

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Retrieval:
        """Return it with every tensor moved."""
        copies = None if self.copies is None else move(self.copies)
        return Retrieval(move(self.scores), move(self.chances), copies, self.num_rows, self.num_copyable)


def retrieval_target(encoded: EncodedSample, layout: SequenceLayout) -> RetrievalTarget | None:
    """Return what is looked for in a sample; None where the model wrote nothing."""
    written = np.arange(max(encoded.num_prompt_tokens, 1), encoded.num_tokens)
    if not len(written):
        return None
    in_prompt = np.arange(encoded.num_tokens) < encoded.num_prompt_tokens
    sources = [in_prompt]
    if EVIDENCE in encoded.key_groups and EVIDENCE not in encoded.unknown_groups:
        of_evidence = np.zeros_like(in_prompt)
        of_evidence[encoded.key_groups[EVIDENCE]] = True
        sources.append(of_evidence & in_prompt)
    copyable = [int(np.isin(encoded.input_ids[written], encoded.input_ids[source]).sum()) for source in sources]
    device = layout.token_ids.device
    return RetrievalTarget(
        torch.from_numpy(written - 1).to(device),
        torch.from_numpy(np.stack(sources)).to(device),
        torch.arange(1, max(encoded.num_prompt_tokens, 1), device=device),
        tuple(copyable),
    )


class RetrievalSums:
    """What one sequence has found so far, layer by layer.

    Parameters
    ----------
    layout
        The sequence.
    target
        What is looked for.
    layers
        Numbers of the layers that have heads.
    num_heads
        Query heads.
    copier
        The model's copy scores; None where they are not known.
    """

    def __init__(
        self,
        layout: SequenceLayout,
        target: RetrievalTarget,
        layers: tuple[int, ...],
        num_heads: int,
        copier: Copier | None,
    ):
        self.layout, self.target, self.copier = layout, target, copier
        self.fault = ""
        """Why there is no copy score; empty where there is one, or none was asked for."""
        self._places = {layer: place for place, layer in enumerate(layers)}
        shape = len(target.sources), len(layers), num_heads
        empty = layout.indicators.new_empty
        self.scores, self.chances, self.copies = empty(shape), empty(shape), empty(shape[1:])
        ids = layout.token_ids
        self._next = ids[target.rows + 1]
        # How often each token is written: what a key that is looked at would score beside a row drawn at random.
        _, code = ids.unique(return_inverse=True)
        times = torch.bincount(code[target.rows + 1], minlength=int(code.max()) + 1)
        self._expected = times[code].to(layout.indicators) / len(target.rows)

    def add(self, call: LayerCall) -> None:
        """Add a layer; the call is of the whole packed row."""
        place, own = self._places[call.layer_idx], call.of_sequence(self.layout)
        device, ids = own.query.device, self.layout.token_ids
        keys = strongest_keys(own.query, own.key, self.target.rows.to(device), own.masking).to(ids.device)
        is_next = ids[keys] == self._next
        for number, source in enumerate(self.target.sources):
            inside = source[keys]
            self.scores[number, place] = (inside & is_next).to(self.scores).mean(dim=-1)
            self.chances[number, place] = (inside * self._expected[keys]).mean(dim=-1)
        if self.copier is None:
            return
        try:
            found = self.copier.scores(call.layer_idx, own.value, ids.to(device), self.target.asked.to(device))
        except UnsupportedModelError as error:
            self.copier, self.fault = None, str(error)
            return
        self.copies[place] = found.mean(dim=-1).to(self.copies)  # NaN where the prompt is one token

    def found(self) -> Retrieval:
        """Return what was found."""
        copies = None if self.copier is None else self.copies
        target = self.target
        return Retrieval(self.scores, self.chances, copies, len(target.rows), target.num_copyable)
