"""The contract of a run directory: every table's columns with types, units, ranges and grain.

The only room both sides share: ``engine`` writes these tables, ``analyses`` reads them. Loads pyarrow and nothing else.
"""

from engine.schema.attribution_tables import ATTRIBUTION_TABLES, CELL, CELL_PERIODS
from engine.schema.causal_tables import ATTENTION_GRADIENT_PREFIX, CAUSAL_TABLES, attributions_schema, causal_schema
from engine.schema.columns import (
    ATTRIBUTION_PREFIX,
    BASE_STATISTICS,
    BASELINE_PREFIX,
    CONTRIBUTION_PREFIX,
    COUNT_PREFIX,
    KEPT_PREFIX,
    MASS_PREFIX,
    NORM_MASS_PREFIX,
    SCHEMA_VERSION,
    described_schema,
    fits_schema,
    is_readable_schema,
    same_schema,
)
from engine.schema.groups import (
    AMOUNT_GROUPS,
    BASELINE_GROUPS,
    DEFAULT_KEY_GROUPS,
    PATTERN_GROUPS,
    PERIOD_GROUPS,
    POSITION_GROUPS,
    QUERY_GROUPS_BUILT_IN,
    SEGMENT_GROUPS,
    STATEMENT_GROUPS,
)
from engine.schema.tables import (
    MEASURE_TABLES,
    OPTIONAL_TABLES,
    REJECTS_SCHEMA,
    SEQUENCE_SOURCES,
    baselines_schema,
    head_stats_schema,
    samples_schema,
    table_schema,
)

__all__ = [
    "AMOUNT_GROUPS",
    "ATTENTION_GRADIENT_PREFIX",
    "ATTRIBUTION_PREFIX",
    "ATTRIBUTION_TABLES",
    "BASELINE_GROUPS",
    "BASELINE_PREFIX",
    "BASE_STATISTICS",
    "CAUSAL_TABLES",
    "CELL",
    "CELL_PERIODS",
    "CONTRIBUTION_PREFIX",
    "COUNT_PREFIX",
    "DEFAULT_KEY_GROUPS",
    "KEPT_PREFIX",
    "MASS_PREFIX",
    "MEASURE_TABLES",
    "NORM_MASS_PREFIX",
    "OPTIONAL_TABLES",
    "PATTERN_GROUPS",
    "PERIOD_GROUPS",
    "POSITION_GROUPS",
    "QUERY_GROUPS_BUILT_IN",
    "REJECTS_SCHEMA",
    "SCHEMA_VERSION",
    "SEGMENT_GROUPS",
    "SEQUENCE_SOURCES",
    "STATEMENT_GROUPS",
    "attributions_schema",
    "baselines_schema",
    "causal_schema",
    "described_schema",
    "fits_schema",
    "head_stats_schema",
    "is_readable_schema",
    "same_schema",
    "samples_schema",
    "table_schema",
]
