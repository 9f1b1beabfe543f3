"""Key groups that a config need not name, and the patterns, segments and spans that it may."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config import KeyGroup
from engine.encoded_samples import SEGMENTS
from engine.errors import ConfigError
from engine.schema import DEFAULT_KEY_GROUPS, PATTERN_GROUPS, POSITION_GROUPS, SEGMENT_GROUPS, STATEMENT_GROUPS

_PATTERNS = {
    "number": r"\d+(?:[.,]\d+)*",
    "percentage": r"[-+]?\d+(?:[.,]\d+)*\s?%",
    "year": r"(?<![\d.,])(?:19|20)\d{2}(?![\d%]|[.,]\d)",
}
"""The default key groups that are found by a regular expression."""

KNOWN_SEGMENTS = (
    "prompt",
    "answer",
    *(name for name in SEGMENTS if name not in ("template", "response")),
    *POSITION_GROUPS,
)
"""What ``segment`` may name; a sentence of it by its number (``thinking: 0``, ``thinking: -1``)."""

NAMED_SPANS = ("line_item", "period")
"""Kinds of ``spans`` that may name one of them: ``line_item: Net Income``."""


def default_key_groups(vocabulary: Mapping[str, list[str]], union: str = "vocabulary") -> dict[str, KeyGroup]:
    """Return the key groups of a config that names none.

    Parts of financial statements are left out where there is a vocabulary and it is of something else.

    The union of the vocabulary (named after its file) and one group per category; numbers, percentages and years; the
    statement's line items, current and prior period, large and small amounts; the chat segments, the answer and its
    reasoning, the first ten tokens and the first.
    """
    groups: dict[str, KeyGroup] = {}
    if vocabulary:
        groups[union] = KeyGroup(vocabulary=list(vocabulary))
        groups.update({category: KeyGroup(vocabulary=[category]) for category in vocabulary})
    built_in = (union, *DEFAULT_KEY_GROUPS)
    clashing = [category for category in vocabulary if category in built_in]
    if clashing:
        raise ConfigError(
            f"vocabulary: {clashing[0]!r} is the name of a default key group ({', '.join(built_in)}); rename the "
            f"category, or define the run's key_groups yourself."
        )
    groups.update({name: KeyGroup(regex=_PATTERNS[name]) for name in PATTERN_GROUPS})
    is_finance = not vocabulary or is_financial(vocabulary)
    if is_finance:
        groups.update({name: KeyGroup(spans=name) for name in STATEMENT_GROUPS})
    groups.update({name: KeyGroup(segment=name) for name in SEGMENT_GROUPS if is_finance or name != "statement"})
    return groups


_FINANCE = frozenset(
    (
        "assets",
        "balance sheet",
        "cash flow",
        "costs",
        "debt",
        "dividend",
        "earnings",
        "ebitda",
        "eps",
        "equity",
        "income",
        "liabilities",
        "margin",
        "net income",
        "profit",
        "revenue",
        "sales",
        "turnover",
    )
)
"""Terms or categories by which a vocabulary is one of finance, in whatever words its others are."""


def is_financial(vocabulary: Mapping[str, list[str]]) -> bool:
    """Whether a vocabulary is of finance: one of its categories or terms says so."""
    said = {name.casefold().replace("_", " ") for name in vocabulary}
    said |= {term.casefold() for terms in vocabulary.values() for term in terms}
    return bool(_FINANCE & said) or "financial" in said
