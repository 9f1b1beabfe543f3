"""Key groups and query groups as token positions, always by character offsets, never by token text.

Vocabulary terms are whole words and phrases: "up" is not in "group", and "net income" is found although no token
holds it. A token belongs to a match when it shares at least one character with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from engine.config import Config, KeyGroup
from engine.config.user_patterns import UserPattern
from engine.encoded_samples import EncodedSample, IntArray
from engine.encoding.groups.default_groups import default_key_groups
from engine.encoding.groups.evidence_groups import evidence_groups, with_evidence
from engine.encoding.groups.group_checks import check_groups
from engine.encoding.structure import positions_in_spans, span_key
from engine.encoding.terms import Terms, Words
from engine.encoding.tokenized_text import TokenizedText
from engine.encoding.vocabulary import load_vocabulary, union_name
from engine.errors import ConfigError
from engine.schema import QUERY_GROUPS_BUILT_IN

_NOWHERE = np.array([], dtype=np.int32)


class TokenGroups:
    """The run's key groups and query groups, applied to one text at a time.

    Parameters
    ----------
    vocabulary
        Terms per category.
    key_groups
        Definition per key group, in the order of the tables' columns.
    query_groups
        Names: built-in query groups or key groups used as rows.

    Raises
    ------
    ConfigError
        When a name is unknown or taken, or a regular expression is none.
    """

    def __init__(
        self, vocabulary: Mapping[str, list[str]], key_groups: Mapping[str, KeyGroup], query_groups: Iterable[str]
    ):
        self.vocabulary = dict(vocabulary)
        self.key_groups = dict(key_groups)
        self.query_groups = tuple(query_groups)
        check_groups(self.vocabulary, self.key_groups, self.query_groups)
        self.terms = {
            name: Terms(term for category in group.vocabulary for term in self.vocabulary[category])
            for name, group in self.key_groups.items()
            if group.vocabulary is not None
        }
        self._expressions = {
            name: _expression(name, group.regex) for name, group in self.key_groups.items() if group.regex is not None
        }

    @classmethod
    def from_config(cls, config: Config) -> TokenGroups:
        """Read the vocabulary and the groups of a config; the default key groups when it names none."""
        vocabulary = load_vocabulary(config.vocabulary)
        key_groups = config.key_groups
        if key_groups is None:
            key_groups = default_key_groups(vocabulary, union_name(config.vocabulary))
        key_groups = with_evidence(key_groups, config.predictions.fields.evidence)
        return cls(vocabulary, key_groups, config.statistics.query_groups)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the key groups in column order."""
        return tuple(self.key_groups)

    def unknown(self, tokenized: TokenizedText) -> tuple[str, ...]:
        """Return the key groups of evidence where it is not known which tokens are, as the record does not say."""
        return () if tokenized.has_evidence else evidence_groups(self.key_groups)

    def key_positions(self, tokenized: TokenizedText) -> dict[str, IntArray]:
        """Return the sorted token positions of every key group, those of random ones empty: they are drawn later."""
        words = Words(tokenized.text) if self.terms else None
        positions = {
            name: self._own_positions(name, group, tokenized, words)
            for name, group in self.key_groups.items()
            if group.complement_of is None
        }
        return self._with_complements(positions, tokenized.num_tokens, self.unknown(tokenized))

    def _own_positions(self, name: str, group: KeyGroup, tokenized: TokenizedText, words: Words | None) -> IntArray:
        if words is not None and name in self.terms:
            return tokenized.positions_of(self.terms[name].spans(words))
        if name in self._expressions:
            return tokenized.positions_of(match.span() for match in self._expressions[name].matches(tokenized.text))
        if group.spans is not None:
            return tokenized.positions_of(tokenized.char_spans.get(span_key(group.spans), ()))
        if group.segment is not None:
            return tokenized.segment_positions(group.segment)
        return _NOWHERE

    def _with_complements(
        self, positions: Mapping[str, IntArray], num_tokens: int, unknown: Collection[str]
    ) -> dict[str, IntArray]:
        """Return the positions of all groups in column order, complements from those of the groups they leave out.

        What is not known has no complement.
        """
        everything = np.arange(num_tokens, dtype=np.int32)
        return {
            name: positions[name]
            if group.complement_of is None
            else _NOWHERE
            if group.complement_of in unknown
            else np.setdiff1d(everything, positions[group.complement_of], assume_unique=True)
            for name, group in self.key_groups.items()
        }

    def with_drawn_groups(self, sample: EncodedSample, drawn: Iterable[str]) -> EncodedSample:
        """Return an encoded sample with the positions of groups that were drawn after it was encoded."""
        words = Words(sample.text)
        found = {
            name: positions_in_spans(self.terms[name].spans(words), sample.char_starts, sample.char_ends)
            for name in drawn
        }
        keys = self._with_complements(sample.key_groups | found, sample.num_tokens, sample.unknown_groups)
        rows = {
            name: keys[name] if self._is_key_group(name) else sample.query_groups[name] for name in self.query_groups
        }
        companion = None if sample.companion is None else self.with_drawn_groups(sample.companion, drawn)
        return replace(sample, key_groups=keys, query_groups=rows, companion=companion)

    def _is_key_group(self, name: str) -> bool:
        """Whether a query group's rows are the positions of a key group; four names stand for themselves."""
        return name in self.key_groups and name not in QUERY_GROUPS_BUILT_IN[:4]

    def query_positions(self, key_positions: Mapping[str, IntArray], text: TokenizedText) -> dict[str, IntArray]:
        """Return the sorted row positions of every query group, of a text whose key groups are known."""
        built_in: dict[str, Callable[[], IntArray]] = {
            "all": lambda: np.arange(text.num_tokens, dtype=np.int32),
            "decision": lambda: np.array([text.decision_position], dtype=np.int32),
            "span": text.label_rows,
            "answer_target": text.target_rows,
        }
        return {
            name: key_positions[name]
            if self._is_key_group(name)
            else built_in[name]()
            if name in built_in
            else text.segment_positions(name)
            for name in self.query_groups
        }


def _expression(name: str, text: str) -> UserPattern:
    where = f"key_groups.{name}.regex"
    try:
        return UserPattern(where, text, re.MULTILINE)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from None
