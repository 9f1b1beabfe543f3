"""JSON files of a run directory: written whole, and refused in a sentence where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.errors import RunFailedError
from engine.machine.atomic_files import replace_file


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    replace_file(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, or None when it is not there.

    Raises
    ------
    RunFailedError
        When it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, reason: Exception) -> RunFailedError:
    """Return the error of a file without which a run cannot go on."""
    return RunFailedError(
        f"{path}: is damaged ({' '.join(str(reason).split())[:100]}). Bring it back from a copy, or "
        f"start anew with --fresh, which sets this run directory aside and deletes nothing."
    )
