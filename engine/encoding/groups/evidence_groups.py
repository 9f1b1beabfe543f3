"""The key group of gold passages: there where the config names a field of them, and unknown where a record has none."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config import KeyGroup
from engine.errors import ConfigError
from engine.schema import EVIDENCE


def with_evidence(key_groups: Mapping[str, KeyGroup], field: str | None) -> dict[str, KeyGroup]:
    """Return the key groups of a config with ``evidence``, where ``predictions.fields.evidence`` names a field.

    Raises
    ------
    ConfigError
        When another key group has that name, or evidence is asked for and no field is named.
    """
    groups, own = dict(key_groups), KeyGroup(spans=EVIDENCE)
    if field is None:
        asking = next((name for name, group in groups.items() if group.spans == EVIDENCE), None)
        if asking is not None:
            raise ConfigError(
                f"key_groups.{asking}.spans: {EVIDENCE!r} are the gold passages of the records, and no field holds "
                f"them; name it in predictions.fields.evidence."
            )
        return groups
    if groups.get(EVIDENCE, own) != own:
        raise ConfigError(
            f"key_groups.{EVIDENCE}: this name is taken by the gold passages of predictions.fields.evidence "
            f"({field!r}); rename the key group, or leave the field out."
        )
    return groups if EVIDENCE in groups else {**groups, EVIDENCE: own}


def evidence_groups(key_groups: Mapping[str, KeyGroup]) -> tuple[str, ...]:
    """Return the key groups that hold gold passages, or all but these."""
    own = {name for name, group in key_groups.items() if group.spans == EVIDENCE}
    return tuple(name for name, group in key_groups.items() if name in own or group.complement_of in own)
