"""The contract of a run directory: every table's columns with types, units, ranges and grain.

The only room both sides share: ``engine`` writes these tables, ``analyses`` reads them. Loads pyarrow and nothing else.
"""

from engine.schema.attribution_tables import ATTRIBUTION_TABLES, CELL, CELL_PERIODS
from engine.schema.causal_tables import ATTENTION_GRADIENT_PREFIX, CAUSAL_TABLES, attributions_schema, causal_schema
from engine.schema.columns import (
    ATTRIBUTION_PREFIX,
    BASE_STATISTICS,
    BASELINE_PREFIX,
    CENTROID_PREFIX,
    CONCENTRATION_PREFIX,
    CONTRIBUTION_PREFIX,
    COUNT_PREFIX,
    DRIFT_PREFIX,
    KEPT_PREFIX,
    LOOKBACK_STATISTICS,
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
    EVIDENCE,
    PATTERN_GROUPS,
    PERIOD_GROUPS,
    POSITION_GROUPS,
    QUERY_GROUPS_BUILT_IN,
    SEGMENT_GROUPS,
    STATEMENT_GROUPS,
)
from engine.schema.head_tables import head_stats_schema
from engine.schema.reading_tables import (
    FEWEST_SENTENCES,
    MOST_SENTENCES,
    READING_TABLES,
    RECEIVED_TABLES,
    SENTENCES_APART,
)
from engine.schema.sample_tables import REJECTS_SCHEMA, SEQUENCE_SOURCES, baselines_schema, samples_schema
from engine.schema.tables import MEASURE_TABLES, OPTIONAL_TABLES, table_schema

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
    "CENTROID_PREFIX",
    "CONCENTRATION_PREFIX",
    "CONTRIBUTION_PREFIX",
    "COUNT_PREFIX",
    "DEFAULT_KEY_GROUPS",
    "DRIFT_PREFIX",
    "EVIDENCE",
    "FEWEST_SENTENCES",
    "KEPT_PREFIX",
    "LOOKBACK_STATISTICS",
    "MASS_PREFIX",
    "MEASURE_TABLES",
    "MOST_SENTENCES",
    "NORM_MASS_PREFIX",
    "OPTIONAL_TABLES",
    "PATTERN_GROUPS",
    "PERIOD_GROUPS",
    "POSITION_GROUPS",
    "QUERY_GROUPS_BUILT_IN",
    "READING_TABLES",
    "RECEIVED_TABLES",
    "REJECTS_SCHEMA",
    "SCHEMA_VERSION",
    "SEGMENT_GROUPS",
    "SENTENCES_APART",
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
