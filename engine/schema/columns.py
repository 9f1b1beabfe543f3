"""What columns of all tables share: prefixes, statistics, units, ranges and descriptions."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

SCHEMA_VERSION = "1.4"
"""Major and minor version of the tables.

The major one rises when a column changes meaning, type or name, or is gone; the minor one when something is added.
Readers accept every minor version of their major one. Runs that say 1 are of 1.0.
"""


BASE_STATISTICS = (
    "entropy_nats",
    "entropy_normalized",
    "diagonal",
    "diagonal_excluding_first",
    "first_token",
    "previous_token",
    "mean_distance",
    "mean_relative_distance",
    "max_weight",
    "collision",
    "duplicate_token",
    "induction",
)
"""Statistics of ``head_stats`` that need no key group, in column order."""


MASS_PREFIX = "mass_"


NORM_MASS_PREFIX = "norm_mass_"


ATTRIBUTION_PREFIX = "attribution_"


CONTRIBUTION_PREFIX = "contribution_"


CENTROID_PREFIX = "centroid_"


DRIFT_PREFIX = "drift_"


CONCENTRATION_PREFIX = "concentration_"


LOOKBACK_STATISTICS = ("lookback_ratio", "lookback_ratio_per_token")
"""Statistics of ``head_stats`` with ``statistics.reading_focus``, over rows that see prompt and answer."""


BASELINE_PREFIX = "baseline_"


COUNT_PREFIX = "count_"


KEPT_PREFIX = "field_"


def schema_major(version: object) -> int | None:
    """Return the major part of a version that a run states, as ``1``, ``"1"`` or ``"1.1"``; None where it is none."""
    major, _, minor = str(version).partition(".")
    return int(major) if major.isdecimal() and (minor or "0").isdecimal() else None


def is_readable_schema(version: object) -> bool:
    """Whether tables of a version can be read: those of every minor version of our major one."""
    return schema_major(version) == schema_major(SCHEMA_VERSION)


def same_schema(version: object, other: object) -> bool:
    """Whether two stated versions are one; 1 is 1.0."""
    return _in_full(version) == _in_full(other)


def _in_full(version: object) -> str:
    text = str(version)
    return text if "." in text else f"{text}.0"


def fits_schema(found: pa.Schema, expected: pa.Schema) -> bool:
    """Whether a file's schema is the expected one, as far as the minor version that wrote it knew its columns.

    A file of an earlier minor version lacks the columns that came later; one of a later version has more.
    """
    version = (found.metadata or {}).get(b"headledger_schema_version", b"").decode()
    if same_schema(version, SCHEMA_VERSION) or not is_readable_schema(version):
        return found.equals(expected)
    known = [field for field in expected if not _came_after(field, version)]
    shared = [found.field(field.name) for field in known if field.name in found.names]
    more = len(found) - len(shared)
    return pa.schema(shared).equals(pa.schema(known)) and (more == 0 or _minor(version) > _minor(SCHEMA_VERSION))


def _came_after(field: pa.Field, version: str) -> bool:
    since = (field.metadata or {}).get(b"since", b"").decode()
    return bool(since) and _minor(since) > _minor(version)


def _minor(version: str) -> int:
    return int(_in_full(version).partition(".")[2])


def column(
    name: str, kind: pa.DataType, description: str, *, unit: str = "", span: str = "", since: str = ""
) -> pa.Field:
    """Return a field that explains itself; ``since`` is the minor version of the schema that it came with."""
    metadata = {"description": description}
    if unit:
        metadata["unit"] = unit
    if span:
        metadata["range"] = span
    if since:
        metadata["since"] = since
    return pa.field(name, kind, metadata=metadata)


def list_of(kind: pa.DataType) -> pa.DataType:
    """Return a list type whose items are named as Parquet names them, so that schemas survive a round trip."""
    return pa.list_(pa.field("element", kind))


def described_schema(table: str, grain: str, fields: Iterable[pa.Field]) -> pa.Schema:
    """Return the schema of a table with its grain."""
    metadata = {"headledger_table": table, "headledger_schema_version": SCHEMA_VERSION, "grain": grain}
    return pa.schema(list(fields), metadata=metadata)


SAMPLE_ID = column("sample_id", pa.string(), "Identifier of the prediction, unique in a run")


LAYER = column("layer", pa.int32(), "Decoder layer, counted from 0", span="0..num_layers-1")


HEAD = column("head", pa.int32(), "Query head, counted from 0", span="0..num_heads-1")
