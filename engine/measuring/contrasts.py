"""What a sample's margin compares: a fixed pair of labels, or the pair that a rule finds in the logits.

The margin of a pair is the difference of two logits at one row, which is that of their log-probabilities there. Labels
part from the said one at rows of their own: whichever is likeliest against it is compared at the row where it parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from engine.encoded_samples import ContrastRule, EncodedSample, LabelToken

Logits = Mapping[int, torch.Tensor]
"""Logits ``[vocabulary]`` by row."""
Decode = Callable[[int], str]
"""Returns the text of a token."""

RUNNER_UP = "said_vs_runner_up"
"""The rule whose second side only the logits tell."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two sides and the row at which they are compared.

    Attributes
    ----------
    first, second
        Names of the two sides: labels, or the text of a token.
    row
        The row that predicts them.
    token_ids
        Their tokens there.
    """

    first: str
    second: str
    row: int
    token_ids: tuple[int, int]

    @property
    def name(self) -> str:
        """Both sides as ``samples.contrast`` has them: ``C|A``."""
        return f"{self.first}|{self.second}"

    def margin(self, logits: Logits) -> float:
        """Return the logit of the first side's token minus that of the second's."""
        first, second = (float(logits[self.row][token]) for token in self.token_ids)
        return first - second


def contrast_of(sample: EncodedSample, logits: Logits, decode: Decode | None = None) -> Contrast | None:
    """Return what a sample's margin compares; None where nothing can be compared.

    Parameters
    ----------
    sample
        Its rule and its labels' tokens.
    logits
        Of every row in ``sample.logit_rows``.
    decode
        Names the runner-up's token; its id does where there is none.
    """
    if sample.contrast.name == RUNNER_UP:
        return _runner_up(sample, logits, decode)
    found = candidates(sample)
    # A single one needs no logits, and may be asked for without.
    return found[0] if len(found) == 1 else min(found, key=lambda contrast: contrast.margin(logits), default=None)


def candidates(sample: EncodedSample) -> list[Contrast]:
    """Return what a sample's margin may compare, as far as its tokens tell; of ``said_vs_runner_up``, nothing."""
    rule = sample.contrast
    if rule.name == RUNNER_UP:
        return []
    if rule.name == "pair":
        tokens = sample.contrast_token_ids
        is_known = len(set(tokens)) == 2
        return [Contrast(rule.first, rule.second, sample.decision_position, tokens)] if is_known else []
    others = [token for token in sample.label_tokens if token.label != rule.first]
    if rule.name == "said_vs_actual" and rule.second not in ("", rule.first):
        others = [token for token in others if token.label == rule.second]
    return [Contrast(rule.first, token.label, token.row, _tokens(sample, token)) for token in others]


def pinned(sample: EncodedSample, contrast: Contrast) -> EncodedSample:
    """Return a sample whose decision row and pair of tokens are those of a contrast, whatever is done to it later."""
    return replace(
        sample,
        decision_position=contrast.row,
        contrast_token_ids=contrast.token_ids,
        contrast=ContrastRule("pair", contrast.first, contrast.second),
    )


def label_logprob_rows(sample: EncodedSample, logits: Logits, contrast: Contrast | None) -> dict[str, list[object]]:
    """Return a sample's columns of ``label_logprobs``: its labels, or the two sides where there are none."""
    tokens = list(sample.label_tokens)
    if not tokens and contrast is not None:
        sides = zip((contrast.first, contrast.second), contrast.token_ids, strict=True)
        tokens = [LabelToken(name, contrast.row, token) for name, token in sides]
    found = {row: torch.log_softmax(logits[row].double(), dim=-1) for row in {token.row for token in tokens}}
    return {
        "sample_id": [sample.sample_id] * len(tokens),
        "label": [token.label for token in tokens],
        "position": [token.row for token in tokens],
        "logprob": [float(found[token.row][token.token_id]) for token in tokens],
    }


def _tokens(sample: EncodedSample, token: LabelToken) -> tuple[int, int]:
    return int(sample.input_ids[token.row + 1]), token.token_id


def _runner_up(sample: EncodedSample, logits: Logits, decode: Decode | None) -> Contrast:
    row, said = sample.decision_position, sample.decision_token_id
    others = logits[row].clone()
    others[said] = -torch.inf
    token = int(others.argmax())
    name = str(token) if decode is None else decode(token)
    return Contrast(sample.contrast.first, name, row, (said, token))
