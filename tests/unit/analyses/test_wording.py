"""Names in words that a run's config gives."""

import pytest

from analyses.settings.analysis import AnalysisSettings
from analyses.wording import difference_text, key_group_label, named_by, signed_text, statement_noun, statistic_label


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


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-1.4, 3, "-1.40"), (0.6, 2, "+0.60"), (123.4, 3, "+123"), (-0.00347, 3, "-0.00347"), (12345.0, 3, "+1.23e+04")],
)
def test_digits_that_are_zero_stand_too(value, digits, text):
    assert signed_text(value, digits) == text


def test_ends_of_an_interval_have_the_same_digits():
    assert [difference_text("collision", value) for value in (0.49, 0.6)] == ["+0.49", "+0.60"]
