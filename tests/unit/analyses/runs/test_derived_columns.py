"""Columns that follow from others, and the words of a run."""

import polars as pl
import pytest

from analyses.runs.derived_columns import levels_of, ordered_levels, with_derived
from analyses.settings.analysis import DERIVED_COLUMNS
from analyses.wording import cluster_noun, plural


def samples(**columns):
    given = {
        "predicted_label": ["up", "down", "flat"],
        "contrast_probability": [0.9, 0.9, 0.9],
        "label_surprisal": [0.0, 1.0, None],
        "certainty": ["High", " low", None],
        "magnitude": ["banana", "Slight", "Large"],
    }
    return pl.DataFrame(given | columns)


def test_the_probability_of_the_label_follows_the_contrast():
    found = with_derived(samples(), {"config": {"decision": {"contrast": ["up", "down"]}}})
    assert found["label_probability"].to_list() == pytest.approx([0.9, 0.1, None])
    without = with_derived(samples(), {})
    assert without["label_probability"].to_list() == pytest.approx([1.0, 0.36787944117144233, None])
    assert set(DERIVED_COLUMNS) <= set(found.columns)


def test_words_are_ranked_only_where_all_of_them_are_on_one_scale():
    found = with_derived(samples(), {})
    assert found["certainty_level"].to_list() == [2.0, 1.0, None] and found["magnitude_level"].is_null().all()
    assert ordered_levels(pl.Series(["Significant", "Slight", "Moderate"])) == ["slight", "moderate", "significant"]
    assert ordered_levels(pl.Series([], dtype=pl.String)) is None
    assert levels_of(pl.Series(["Medium", "High", "Low"])).to_list() == [2.0, 3.0, 1.0]


def test_a_column_that_is_there_already_stays():
    given = samples(label_probability=[0.5, 0.5, 0.5])
    assert with_derived(given, {})["label_probability"].to_list() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("field", "noun"), [("company_id", "company"), ("cluster", "cluster"), (None, "cluster"), ("Patient ID", "patient")]
)
def test_a_cluster_is_called_what_the_field_says(field, noun):
    assert cluster_noun(field) == noun
    assert plural("company") == "companies" and plural("patient") == "patients"
