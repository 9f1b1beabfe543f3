"""``TextStatistics``: the numbers of one text, wherever its patterns come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
import torch

from engine.config import Config
from engine.encoded_samples import SEGMENTS, EncodedSample
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.vocabulary import union_name
from engine.errors import UserError
from engine.measuring.tables.baselines import baseline_rows
from engine.measuring.tables.unit import head_rows, record_batch
from engine.notebook.frames import RowSummary, frame_of, mass_and_lift, row_summary
from engine.notebook.hook import LayerPatterns
from engine.notebook.sources import Source, table_source
from engine.schema import table_schema

_TOP = 10
"""Tokens that ``analyze_prediction_attention`` names by default."""


class TextStatistics:
    """What the heads of a model look at in one text, in numbers.

    Parameters
    ----------
    source
        Where the statistics come from.
    config
        Names vocabulary and key groups; ``look`` is its section ``visualization``.
    """

    def __init__(self, source: Source, config: Config):
        self._source, self.config = source, config
        self.look = config.visualization

    @property
    def encoded(self) -> EncodedSample:
        """The text as tokens with their groups."""
        return self._source.encoded

    @property
    def attention_weights(self) -> LayerPatterns:
        """Patterns by ``layer_<number>``."""
        return self._source.patterns

    @property
    def vocabulary_name(self) -> str:
        """The key group that is the whole vocabulary.

        Raises
        ------
        UserError
            When the config's key groups hold no vocabulary.
        """
        name = union_name(self.config.vocabulary)
        if name not in self.encoded.key_groups:
            raise UserError(
                f"key_groups: {name!r}, the whole vocabulary, is not among {', '.join(self.encoded.key_groups)}."
            )
        return name

    @cached_property
    def tokens(self) -> pl.DataFrame:
        """One row per token: ``position, token, segment``, and ``categories``, the vocabulary's that hold it."""
        encoded = self.encoded
        inside = {name: set(encoded.key_groups[name].tolist()) for name in _categories(self.config)}
        return pl.DataFrame(
            {
                "position": np.arange(encoded.num_tokens, dtype=np.int32),
                "token": encoded.token_texts(),
                "segment": [SEGMENTS[code] for code in encoded.segments],
                "categories": [
                    [name for name, positions in inside.items() if position in positions]
                    for position in range(encoded.num_tokens)
                ],
            },
            schema_overrides={"categories": pl.List(pl.String)},
        )

    @cached_property
    def head_stats(self) -> pl.DataFrame:
        """One row per query group, layer and head, with every statistic of the table ``head_stats``."""
        norm_weighted = self.config.statistics.norm_weighted and self._source.measured is not None
        schema = table_schema("head_stats", list(self.encoded.key_groups), norm_weighted)
        return frame_of(record_batch(head_rows(table_source(self._source), schema), schema))

    @cached_property
    def baselines(self) -> pl.DataFrame:
        """What uniform attention would give, per query group, as in the table ``baselines``."""
        schema = table_schema("baselines", list(self.encoded.key_groups))
        return frame_of(record_batch(baseline_rows(table_source(self._source)), schema))

    def identify_financial_tokens(self) -> pl.DataFrame:
        """Return the tokens of the vocabulary's terms: ``position, token, categories``.

        Terms are whole words and phrases found by characters, whatever the tokenizer makes of them; as many as
        ``count_financial`` of the table ``samples``.
        """
        found = self.encoded.key_groups[self.vocabulary_name]
        return self.tokens.filter(pl.col("position").is_in(found.tolist())).drop("segment")

    def compute_financial_attention_scores(self, key_groups: Sequence[str] | None = None) -> pl.DataFrame:
        """Return every head's mass on key groups beside what uniform attention would give.

        Parameters
        ----------
        key_groups
            The whole vocabulary and its categories by default.

        Returns
        -------
        polars.DataFrame
            ``query_group, layer, head, key_group``, ``mass`` (0..1, a sum over keys, mean over the group's rows),
            ``baseline`` and ``lift`` (mass over baseline; null where that is 0). Query group ``financial`` has the
            attention between financial terms.
        """
        names = [self.vocabulary_name, *_categories(self.config)] if key_groups is None else list(key_groups)
        for name in names:
            if name not in self.encoded.key_groups:
                raise UserError(f"key_groups: {name!r} is unknown; known are {', '.join(self.encoded.key_groups)}.")
        return mass_and_lift(self.head_stats, self.baselines, names)

    def analyze_prediction_attention(
        self, prediction_token: str | None = None, top: int = _TOP
    ) -> dict[str, RowSummary]:
        """Return what the row that predicts a word looks at, per layer.

        Parameters
        ----------
        prediction_token
            The word. Of a recorded prediction whose label it is, the decision row counts; otherwise the row before the
            word's last occurrence; where the text does not hold it (a prompt), the last row, which would predict it.
            None: the decision row.
        top
            How many tokens to name.

        Returns
        -------
        dict
            ``layer_<number>`` to ``position`` (the row), ``financial_attention`` (``mean`` over heads, ``max`` and
            ``by_head`` of its mass on the vocabulary) and ``top_attended_tokens``, pairs of token and weight, the mean
            over heads.
        """
        position = self.prediction_row(prediction_token)
        rows, _ = self._source.rows(position)
        financial = self.encoded.key_groups[self.vocabulary_name]
        return {
            f"layer_{layer}": row_summary(row, position, self.encoded, financial, top)
            for layer, row in zip(self._source.layer_numbers, rows, strict=True)
        }

    def prediction_row(self, prediction_token: str | None) -> int:
        """Return the row that predicts a word, as ``analyze_prediction_attention`` chooses it."""
        encoded = self.encoded
        label = str(encoded.metadata.get("predicted_label") or "")
        if prediction_token is None or prediction_token.strip().casefold() == label.casefold() != "":
            return encoded.decision_position
        pattern = rf"(?<!\w){re.escape(prediction_token.strip())}(?!\w)"
        found = list(re.finditer(pattern, encoded.text, re.IGNORECASE))
        if not found:
            return encoded.num_tokens - 1
        first = int(np.searchsorted(encoded.char_ends, found[-1].start(), side="right"))
        return max(first - 1, 0)

    def rows_of(self, position: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return a position's row in every layer and head ``[L, H, T]`` and its rollout ``[T]``.

        Raises
        ------
        UserError
            When there is no such position.
        """
        number = self.encoded.num_tokens
        if not -number <= position < number:
            raise UserError(f"target_token_pos: {position} is outside 0..{number - 1}, the text's tokens.")
        return self._source.rows(position % number)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """Layers that are known."""
        return self._source.layer_numbers


def _categories(config: Config) -> list[str]:
    """Return the names of the key groups that are one category of the vocabulary each."""
    groups = TokenGroups.from_config(config).key_groups
    return [name for name, group in groups.items() if group.vocabulary is not None and len(group.vocabulary) == 1]
