"""Key groups and query groups as token positions, always by character offsets, never by token text.

Vocabulary terms are whole words and phrases: "up" is not in "group", and "net income" is found although no token
holds it. A token belongs to a match when it shares at least one character with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

from engine.config import Config, KeyGroup
from engine.errors import ConfigError
from engine.random_vocabulary import WordCensus
from engine.samples import SEGMENTS, EncodedSample, IntArray
from engine.schema import QUERY_GROUPS_BUILT_IN
from engine.statements import SPAN_KINDS

NUM_BEGINNING_TOKENS = 10
"""Length of the built-in key group ``beginning``."""

PATTERNS = {
    "number": r"\d+(?:[.,]\d+)*",
    "percentage": r"[-+]?\d+(?:[.,]\d+)*\s?%",
    "year": r"(?<![\d.,])(?:19|20)\d{2}(?![\d%]|[.,]\d)",
}
"""The default key groups that are found by a regular expression."""

POSITION_SEGMENTS = ("response", "reasoning", "beginning", "first_token")
"""Segments defined by token position rather than by chat role."""

KNOWN_SEGMENTS = (*SEGMENTS[1:-1], *POSITION_SEGMENTS)

NAMED_SPANS = ("line_item", "period")
"""Kinds of ``spans`` that may name one of them: ``line_item: Net Income``."""

_DEFAULT_SPANS = ("line_item", "current_period", "prior_period", "magnitude_large", "magnitude_small")

CharSpans = Mapping[str, Sequence[tuple[int, int]]]
"""Character spans by kind, or by ``kind: name`` in lower case."""


class TokenGroups:
    """The run's key groups and query groups, applied to one sample at a time.

    Parameters
    ----------
    vocabulary
        Terms per category.
    key_groups
        Definition per key group, in the order of the tables' columns.
    query_groups
        Names: built-in query groups or key groups used as rows.
    """

    def __init__(
        self, vocabulary: Mapping[str, list[str]], key_groups: Mapping[str, KeyGroup], query_groups: Iterable[str]
    ):
        self.vocabulary = dict(vocabulary)
        self.key_groups = dict(key_groups)
        self.query_groups = tuple(query_groups)
        self._refuse_unknown_names()
        self._patterns = {name: self._pattern(name, group) for name, group in self.key_groups.items()}

    @classmethod
    def from_config(cls, config: Config) -> TokenGroups:
        """Read the vocabulary and the groups of a config; the default key groups when it names none."""
        vocabulary = load_vocabulary(config.vocabulary)
        key_groups = config.key_groups
        if key_groups is None:
            key_groups = default_key_groups(vocabulary, union_name(config.vocabulary))
        return cls(vocabulary, key_groups, config.statistics.query_groups)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the key groups in column order."""
        return tuple(self.key_groups)

    def random_groups(self, num_random: int) -> dict[str, str]:
        """Return which group each random group is like: those of the config, then ``random_<like>_<number>``.

        Raises
        ------
        ConfigError
            When random groups are wanted and no key group is a vocabulary.
        """
        wanted = {name: group.random_like for name, group in self.key_groups.items() if group.random_like}
        if num_random:
            like = next((name for name, group in self.key_groups.items() if group.vocabulary), None)
            if like is None:
                raise ConfigError("statistics.random_groups: needs a key group that is a vocabulary; there is none.")
            wanted.update({f"random_{like}_{number}": like for number in range(1, num_random + 1)})
        return wanted

    def censuses(self, num_random: int) -> dict[str, WordCensus]:
        """Return an empty census for each key group that random groups are like; every sample's text goes into it."""
        found = {}
        for like in dict.fromkeys(self.random_groups(num_random).values()):
            pattern = self._patterns[like]
            assert pattern is not None
            found[like] = WordCensus(pattern)
        return found

    def with_random_groups(self, censuses: Mapping[str, WordCensus], num_random: int, seed: int) -> TokenGroups:
        """Return these groups with every random group drawn from the censuses of all texts."""
        wanted = self.random_groups(num_random)
        groups, vocabulary = dict(self.key_groups), dict(self.vocabulary)
        for like, census in censuses.items():
            names = [name for name, original in wanted.items() if original == like]
            for name, words in zip(names, census.draw(len(names), seed), strict=True):
                vocabulary[name], groups[name] = words, KeyGroup(vocabulary=[name])
        return TokenGroups(vocabulary, groups, self.query_groups)

    def _refuse_unknown_names(self) -> None:
        for name, group in self.key_groups.items():
            where = f"key_groups.{name}"
            if not re.fullmatch(r"\w[\w ]*", name):
                raise ConfigError(f"{where}: a key group's name becomes a column: use letters, digits and underscores.")
            if name in ("duplicate", "induction"):
                raise ConfigError(f"{where}: this name is taken by the baselines of the same name; choose another.")
            for category in group.vocabulary or []:
                if category not in self.vocabulary:
                    raise ConfigError(f"{where}.vocabulary: {category!r} is not a category of the vocabulary; "
                                      f"known are {', '.join(self.vocabulary) or 'none'}.")  # fmt: skip
            if group.segment is not None and group.segment not in KNOWN_SEGMENTS:
                raise ConfigError(
                    f"{where}.segment: {group.segment!r} is unknown; known are {', '.join(KNOWN_SEGMENTS)}."
                )
            self._refuse_unknown_spans(where, group)
            like = group.random_like
            if like is not None and (like not in self.key_groups or self.key_groups[like].vocabulary is None):
                raise ConfigError(f"{where}.random_like: {like!r} must be a key group defined by `vocabulary`.")
            other = group.complement_of
            if other is not None and (other not in self.key_groups or self.key_groups[other].complement_of):
                raise ConfigError(f"{where}.complement_of: {other!r} must be another key group that is no complement.")
        for name in self.query_groups:
            if name not in (*QUERY_GROUPS_BUILT_IN, "reasoning", *self.key_groups):
                raise ConfigError(
                    f"statistics.query_groups: {name!r} is unknown; use {', '.join(QUERY_GROUPS_BUILT_IN)}, reasoning "
                    f"or a key group ({', '.join(self.key_groups)})."
                )

    def _refuse_unknown_spans(self, where: str, group: KeyGroup) -> None:
        if group.spans is None or group.spans in SPAN_KINDS:
            return
        kind, separator, name = group.spans.partition(":")
        if kind.strip() not in NAMED_SPANS or not separator or not name.strip():
            raise ConfigError(
                f"{where}.spans: {group.spans!r} is unknown; known are {', '.join(SPAN_KINDS)}, and one line item or "
                f"period by name, such as 'line_item: Net Income' or 'period: 1972'."
            )

    def _pattern(self, name: str, group: KeyGroup) -> re.Pattern[str] | None:
        if group.vocabulary is not None:
            return term_pattern([term for category in group.vocabulary for term in self.vocabulary[category]])
        if group.regex is not None:
            try:
                return re.compile(group.regex, re.MULTILINE)
            except re.error as error:
                raise ConfigError(
                    f"key_groups.{name}.regex: {group.regex!r} is not a regular expression: {error}."
                ) from None
        return None

    def key_positions(
        self,
        text: str,
        char_starts: IntArray,
        char_ends: IntArray,
        segments: IntArray,
        num_prompt_tokens: int,
        decision_position: int,
        char_spans: CharSpans | None = None,
    ) -> dict[str, IntArray]:
        """Return the sorted token positions of every key group.

        Parameters
        ----------
        text
            What the model saw.
        char_starts, char_ends
            Character span of each token, shape ``[T]``.
        segments
            Segment code of each token, shape ``[T]``.
        num_prompt_tokens, decision_position
            As in ``EncodedSample``.
        char_spans
            Where the statement's line items, periods and cells stand.
        """
        num_tokens = len(char_starts)
        found: dict[str, IntArray] = {}
        for name, group in self.key_groups.items():
            pattern = self._patterns[name]
            if pattern is not None:
                spans = (match.span() for match in pattern.finditer(text))
                found[name] = positions_in_spans(spans, char_starts, char_ends)
            elif group.spans is not None:
                spans = (char_spans or {}).get(span_key(group.spans), ())
                found[name] = positions_in_spans(spans, char_starts, char_ends)
            elif group.random_like is not None:
                found[name] = np.array([], dtype=np.int32)  # drawn once all texts are known
            elif group.segment is not None:
                found[name] = segment_positions(group.segment, segments, num_prompt_tokens, decision_position)
        self._complete(found, num_tokens)
        return {name: found[name] for name in self.key_groups}

    def _complete(self, found: dict[str, IntArray], num_tokens: int) -> None:
        """Add the complements of the other groups."""
        everything = np.arange(num_tokens, dtype=np.int32)
        for name, group in self.key_groups.items():
            if group.complement_of is not None:
                found[name] = np.setdiff1d(everything, found[group.complement_of], assume_unique=True)

    def with_drawn_groups(self, sample: EncodedSample, drawn: Iterable[str]) -> EncodedSample:
        """Return an encoded sample with the positions of groups that were drawn after it was encoded."""
        keys = dict(sample.key_groups)
        for name in drawn:
            pattern = self._patterns[name]
            assert pattern is not None
            spans = (match.span() for match in pattern.finditer(sample.text))
            keys[name] = positions_in_spans(spans, sample.char_starts, sample.char_ends)
        self._complete(keys, sample.num_tokens)
        keys = {name: keys[name] for name in self.key_groups}
        queries = self.query_positions(keys, sample.num_tokens, sample.num_prompt_tokens, sample.decision_position)
        return replace(sample, key_groups=keys, query_groups=queries)

    def query_positions(
        self, key_positions: Mapping[str, IntArray], num_tokens: int, num_prompt_tokens: int, decision_position: int
    ) -> dict[str, IntArray]:
        """Return the sorted row positions of every query group."""
        built_in = {
            "all": np.arange(num_tokens, dtype=np.int32),
            "decision": np.array([decision_position], dtype=np.int32),
            "response": np.arange(num_prompt_tokens, num_tokens, dtype=np.int32),
            "reasoning": np.arange(num_prompt_tokens, decision_position + 1, dtype=np.int32),
        }
        return {name: built_in[name] if name in built_in else key_positions[name] for name in self.query_groups}


def load_vocabulary(source: str | dict[str, list[str]] | None) -> dict[str, list[str]]:
    """Return terms per category from a YAML file or from the config itself.

    Raises
    ------
    ConfigError
        When the file is missing, is not YAML or is no mapping of names to lists of terms.
    """
    if source is None:
        return {}
    where = "vocabulary"
    if isinstance(source, str):
        where = source
        try:
            loaded = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"vocabulary: {source}: no such file.") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"vocabulary: {source} cannot be read as YAML: {' '.join(str(error).split())}.") from None
    else:
        loaded = source
    if not isinstance(loaded, dict) or not all(isinstance(terms, list) and terms for terms in loaded.values()):
        raise ConfigError(f"{where}: must map each category to a non-empty list of terms.")
    return {str(category): [str(term) for term in terms] for category, terms in loaded.items()}


def union_name(source: str | dict[str, list[str]] | None) -> str:
    """Return the name of the key group that is the whole vocabulary: its file's, or ``vocabulary``."""
    stem = Path(source).stem if isinstance(source, str) else ""
    return re.sub(r"[^\w ]+", "_", stem) or "vocabulary"


def span_key(spans: str) -> str:
    """Return the key of a group of spans, in which case and blanks of a name do not count."""
    return ": ".join(" ".join(part.split()).casefold() for part in spans.split(":", 1))


def default_key_groups(vocabulary: Mapping[str, list[str]], union: str = "vocabulary") -> dict[str, KeyGroup]:
    """Return the key groups of a config that names none.

    The union of the vocabulary (named after its file) and one group per category; numbers, percentages and years; the
    statement's line items, current and prior period, large and small amounts; the chat segments, the answer and its
    reasoning, the first ten tokens and the first.
    """
    groups: dict[str, KeyGroup] = {}
    if vocabulary:
        groups[union] = KeyGroup(vocabulary=list(vocabulary))
        groups.update({category: KeyGroup(vocabulary=[category]) for category in vocabulary})
    built_in = (union, *PATTERNS, *_DEFAULT_SPANS, "system", "statement", "instruction", *POSITION_SEGMENTS)
    clashing = [category for category in vocabulary if category in built_in]
    if clashing:
        raise ConfigError(
            f"vocabulary: {clashing[0]!r} is the name of a default key group ({', '.join(built_in)}); rename the "
            f"category, or define the run's key_groups yourself."
        )
    groups.update({name: KeyGroup(regex=pattern) for name, pattern in PATTERNS.items()})
    groups.update({name: KeyGroup(spans=name) for name in _DEFAULT_SPANS})
    for segment in ("system", "statement", "instruction", *POSITION_SEGMENTS):
        groups[segment] = KeyGroup(segment=segment)
    return groups


def term_pattern(terms: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches any of the terms as whole words, the longest first, whatever the case."""
    ordered = sorted({" ".join(term.split()) for term in terms}, key=lambda term: (-len(term), term))
    if not ordered:
        return re.compile(r"(?!)")  # matches nothing
    # Terms by first letter: one look at a character rules out all others, which makes the search several times faster.
    by_letter: dict[str, list[str]] = {}
    for term in ordered:
        pattern = r"\s+".join(re.escape(word) for word in term.split(" "))
        letter = term[:1].lower()
        by_letter.setdefault(letter if len(letter) == 1 else term[:1], []).append(pattern)
    parts = (f"(?={re.escape(letter)})(?:{'|'.join(terms)})" for letter, terms in by_letter.items())
    return re.compile(rf"(?<!\w)(?=[{re.escape(''.join(by_letter))}])(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)


def positions_in_spans(spans: Iterable[tuple[int, int]], char_starts: IntArray, char_ends: IntArray) -> IntArray:
    """Return the positions of tokens that share at least one character with any of the spans.

    ``char_starts`` and ``char_ends`` never decrease, so all spans are found by one bisection each.
    """
    edges = np.array([span for span in spans if span[1] > span[0]], dtype=np.int64).reshape(-1, 2)
    if not len(edges):
        return np.array([], dtype=np.int32)
    first = np.searchsorted(char_ends, edges[:, 0], side="right")
    last = np.searchsorted(char_starts, edges[:, 1], side="left")
    # How many spans each token lies in: one more from a span's first token on, one fewer from behind its last.
    changes = np.zeros(len(char_starts) + 1, dtype=np.int64)
    np.add.at(changes, first, 1)
    np.add.at(changes, np.maximum(first, last), -1)
    return np.flatnonzero((np.cumsum(changes[:-1]) > 0) & (char_ends > char_starts)).astype(np.int32)


def segment_positions(segment: str, segments: IntArray, num_prompt_tokens: int, decision_position: int) -> IntArray:
    """Return the token positions of a chat segment or of a part defined by position."""
    num_tokens = len(segments)
    if segment == "response":
        return np.arange(num_prompt_tokens, num_tokens, dtype=np.int32)
    if segment == "reasoning":
        return np.arange(num_prompt_tokens, decision_position + 1, dtype=np.int32)
    if segment == "beginning":
        return np.arange(min(NUM_BEGINNING_TOKENS, num_tokens), dtype=np.int32)
    if segment == "first_token":
        return np.zeros(1, dtype=np.int32)
    return np.flatnonzero(segments == SEGMENTS.index(segment)).astype(np.int32)
