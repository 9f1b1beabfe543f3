"""Names in words that a run's config gives."""

import pytest

from analyses.settings.analysis import AnalysisSettings
from analyses.wording import key_group_label, named_by, statement_noun, statistic_label


def test_the_statement_is_called_as_the_config_has_it():
    nouns = AnalysisSettings.from_mapping({"nouns": {"statement": "review"}}).nouns
    with named_by(nouns):
        assert key_group_label("statement") == "the review" and key_group_label("number") == "numbers"
        assert statistic_label("mass_statement") == "Weight on the review"
        with pytest.raises(ValueError, match="stop"), named_by({}):
            assert statement_noun() == "statement"
            raise ValueError("stop")
        assert statement_noun() == "review"
    assert key_group_label("statement") == "the statement"
