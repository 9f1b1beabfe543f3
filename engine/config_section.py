"""What every section of the config has in common."""

from __future__ import annotations

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", validate_default=True, coerce_numbers_to_str=True)
"""Keys that a section does not know are refused."""
