"""The checksum that a manifest, or a plan, has of itself: storage writes it, every reader compares it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


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
    return all(are_whole) and isinstance(content["facts"].get("num_tokens"), int)
