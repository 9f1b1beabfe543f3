"""The checksum that a manifest, or a plan, has of itself: storage writes it, every reader compares it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MERGED = re.compile(r"[a-z]+-\d{5,}-\d{5,}")


def is_merged_name(name: str) -> bool:
    """Whether a folder has the name of merged units: ``measure-00000-00127``."""
    return _MERGED.fullmatch(name) is not None


def manifest_digest(manifest: Mapping[str, object]) -> str:
    """Return the checksum of all that a manifest or plan says but the checksum itself."""
    content = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_manifest(content: object) -> bool:
    """Whether what a ``manifest.json`` holds is a manifest that nobody changed."""
    if not isinstance(content, dict) or content.get("digest") != manifest_digest(content):
        return False
    shapes = {"sample_ids": list, "rejected_ids": list, "files": dict, "facts": dict}
    if not all(isinstance(content.get(name), shape) for name, shape in shapes.items()):
        return False
    kinds = {"rows": int, "bytes": int, "sha256": str}
    are_whole = (
        isinstance(facts, dict) and all(isinstance(facts.get(name), kind) for name, kind in kinds.items())
        for facts in content["files"].values()
    )
    if not all(are_whole) or not isinstance(content["facts"].get("num_tokens"), int):
        return False
    return "replaces" not in content or _is_sum(content)


def units_of(manifest: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the manifests of the units that a folder holds: those that a merged one replaces, or its own."""
    return manifest.get("replaces") or [manifest]


def _is_sum(merged: Mapping[str, Any]) -> bool:
    """Whether a merged manifest holds the manifests that it replaces, and the ids of all of them in their order."""
    parts = merged["replaces"]
    if not isinstance(parts, list) or not all(is_manifest(part) and "replaces" not in part for part in parts):
        return False
    return bool(parts) and all(
        merged[name] == [sample_id for part in parts for sample_id in part[name]]
        for name in ("sample_ids", "rejected_ids")
    )
