"""What a config may say of key groups and query groups: names, categories, segments, spans."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.config import KeyGroup
from engine.encoding.groups.default_groups import KNOWN_SEGMENTS, NAMED_SPANS
from engine.errors import ConfigError
from engine.schema import BASELINE_GROUPS, EVIDENCE, QUERY_GROUPS_BUILT_IN
from engine.statements.parser import SPAN_KINDS


def check_groups(
    vocabulary: Mapping[str, list[str]], key_groups: Mapping[str, KeyGroup], query_groups: Sequence[str]
) -> None:
    """Refuse groups that cannot be found in any text.

    Parameters
    ----------
    vocabulary
        Terms per category.
    key_groups
        Definition per key group.
    query_groups
        Names of the query groups.

    Raises
    ------
    ConfigError
        Naming the group, what is unknown, and what is known.
    """
    for name, group in key_groups.items():
        where = f"key_groups.{name}"
        _check_name(where, name)
        _check_vocabulary(where, group, vocabulary)
        _check_segment(where, group)
        _check_spans(where, group)
        _check_other_group(where, group, key_groups)
    for name in query_groups:
        if name not in (*QUERY_GROUPS_BUILT_IN, *key_groups):
            raise ConfigError(
                f"statistics.query_groups: {name!r} is unknown; use {', '.join(QUERY_GROUPS_BUILT_IN)} or a key group "
                f"({', '.join(key_groups)})."
            )


def _check_name(where: str, name: str) -> None:
    if not re.fullmatch(r"\w[\w ]*", name):
        raise ConfigError(f"{where}: a key group's name becomes a column: use letters, digits and underscores.")
    if name in BASELINE_GROUPS:
        raise ConfigError(f"{where}: this name is taken by the baselines of the same name; choose another.")


def _check_vocabulary(where: str, group: KeyGroup, vocabulary: Mapping[str, list[str]]) -> None:
    for category in group.vocabulary or []:
        if category not in vocabulary:
            raise ConfigError(
                f"{where}.vocabulary: {category!r} is not a category of the vocabulary; "
                f"known are {', '.join(vocabulary) or 'none'}."
            )


def _check_segment(where: str, group: KeyGroup) -> None:
    if group.segment is None:
        return
    segment, _, sentence = (part.strip() for part in group.segment.partition(":"))
    if segment not in KNOWN_SEGMENTS or (":" in group.segment and not re.fullmatch(r"-?\d+", sentence)):
        raise ConfigError(
            f"{where}.segment: {group.segment!r} is unknown; known are {', '.join(KNOWN_SEGMENTS)}, and sentences of "
            "the "
            f"prompt's parts and of the thought by number, such as 'thinking: 0' or 'thinking: -1' (the last)."
        )


def _check_spans(where: str, group: KeyGroup) -> None:
    if group.spans is None or group.spans in (*SPAN_KINDS, EVIDENCE):
        return
    kind, separator, name = group.spans.partition(":")
    if kind.strip() not in NAMED_SPANS or not separator or not name.strip():
        raise ConfigError(
            f"{where}.spans: {group.spans!r} is unknown; known are {', '.join(SPAN_KINDS)}, and one line item or "
            f"period by name, such as 'line_item: Net Income' or 'period: 1972'."
        )


def _check_other_group(where: str, group: KeyGroup, key_groups: Mapping[str, KeyGroup]) -> None:
    """Refuse a group that is like, or the complement of, one that it cannot be made from."""
    like, other = group.random_like, group.complement_of
    if like is not None and (like not in key_groups or key_groups[like].vocabulary is None):
        raise ConfigError(f"{where}.random_like: {like!r} must be a key group defined by `vocabulary`.")
    if other is not None and (other not in key_groups or key_groups[other].complement_of):
        raise ConfigError(f"{where}.complement_of: {other!r} must be another key group that is no complement.")
