"""Which rows are chosen: filters, seeded draws and fields to keep."""

from datetime import date

import pytest

from engine.inputs.predictions import read_predictions
from tests.fixtures.prediction_files import config, write
from tests.fixtures.predictions import records


def test_selection_is_seeded_balanced_and_accounted_for(tmp_path):
    path = write(tmp_path, records(40))
    settings = {"max_samples": 8, "balance": ["predicted_label"]}
    first, again = (read_predictions(config(path, predictions=settings)) for _ in range(2))
    other = read_predictions(config(path, predictions=settings, run={"seed": 1}))
    assert first.samples == again.samples and first.samples != other.samples
    assert sum(s.predicted_label == "increase" for s in first.samples) == 4
    assert {r.reason for r in first.rejects} == {"not_selected"} and len(first.samples) + len(first.rejects) == 40


def test_filter_keeps_what_it_names(tmp_path):
    found = read_predictions(config(write(tmp_path, records(6)), predictions={"filter": {"year": 1990}}))
    assert {s.year for s in found.samples} == {1990} and {r.reason for r in found.rejects} == {"filtered"}
    assert len(found.samples) == 3 and len(found.rejects) == 3


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({"min": "1990-03-31"}, [0, 1]),
        ({"min": date(1990, 4, 1), "max": date(1990, 12, 31)}, [1]),
        ({"max": "1990-12-30"}, [0]),
        ({"min": "1990-01-01", "not": "1990-12-31T10:00:00"}, [0]),
    ],
)
def test_dates_have_bounds(tmp_path, bounds, kept):
    days = ["1990-03-31", "1990-12-31T10:00:00", None, "soon", 1990]
    rows = [{**row, "sample_id": str(i), "filed": days[i]} for i, row in enumerate(records(5))]
    found = read_predictions(config(write(tmp_path, rows), predictions={"filter": {"filed": bounds}}))
    assert [sample.sample_id for sample in found.samples] == [str(number) for number in kept]
    assert [reject.reason for reject in found.rejects] == ["filtered"] * (5 - len(kept))


def test_rows_that_a_filter_leaves_out_may_repeat_ids(tmp_path):
    rows = [{**row, "id": "a", "v": number} for number, row in enumerate(records(3))]
    found = read_predictions(config(write(tmp_path, rows), predictions={"filter": {"v": 1}}))
    assert [s.sample_id for s in found.samples] == ["a"]
    assert [r.sample_id for r in found.rejects] == ["a (row 1)", "a (row 3)"]
    rows[0].pop("v")
    found = read_predictions(config(write(tmp_path, rows), predictions={"filter": {"v": {"not": [1, 2]}}}))
    assert len(found.samples) == 1, "a row without the field has none of the values"


def test_a_field_to_keep_that_no_record_has_is_refused(tmp_path):
    from engine.errors import ConfigError

    with pytest.raises(ConfigError, match=r"predictions\.keep.*'sectr'"):
        read_predictions(config(write(tmp_path, records(2)), predictions={"keep": ["sectr"]}))
