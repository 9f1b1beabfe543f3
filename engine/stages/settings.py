"""The analysis that a config asks for, against the tables that its run will have, before any file is read for it."""

from __future__ import annotations

from analyses.settings.checks import check_columns, check_statistics
from analyses.settings.columns import SettingsError
from engine.config import Config
from engine.errors import ConfigError
from engine.schema import head_stats_schema, samples_schema


def check_analysis(config: Config) -> None:
    """Refuse names in ``analysis`` that the run's tables will not have; reads the vocabulary and nothing else.

    Raises
    ------
    ConfigError
        Naming the config path, the value and what there will be, or for key groups that cannot be used.
    """
    from engine.encoding.groups.random_groups import originals_of_random_groups
    from engine.encoding.groups.token_groups import TokenGroups

    groups = TokenGroups.from_config(config)
    key_groups = list(
        dict.fromkeys([*groups.names, *originals_of_random_groups(groups, config.statistics.random_groups)])
    )
    samples = samples_schema(key_groups, config.predictions.keep)
    texts = [field.name for field in samples if str(field.type) == "string"]
    head_stats = head_stats_schema(key_groups, config.statistics.norm_weighted, config.statistics.reading_focus)
    statistics = [field.name for field in head_stats if str(field.type) == "float"]
    try:
        check_columns(config.analysis, samples.names, texts)
        check_statistics(config.analysis, statistics, config.statistics.query_groups)
    except SettingsError as error:
        raise ConfigError(f"{error}.") from None
