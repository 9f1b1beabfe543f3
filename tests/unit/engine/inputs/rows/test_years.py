"""The year of a row."""

from __future__ import annotations

import datetime

import pytest

from engine.config import Config
from engine.inputs.readers.record import Record
from engine.inputs.rows.years import READ, UNREAD, year_of
from engine.inputs.sample_reader import SampleReader
from engine.planning.flags import CAVEATS_OF_FLAGS
from tests.fixtures.predictions import records

YEARS = [
    ("2001", 2001, ()),
    (2001.0, 2001, ()),
    (-3, -3, ()),
    (7, 7, ()),
    (None, None, ()),
    (" ", None, ()),
    (float("nan"), None, ()),
    ("2001-12-31", 2001, (READ,)),
    ("31.12.2001", 2001, (READ,)),
    (datetime.date(2001, 12, 31), 2001, (READ,)),
    ("Q3 2001", 2001, (READ,)),
    ("FY2001", 2001, (READ,)),
    (20011231, 2001, (READ,)),
    ("200112", 2001, (READ,)),
    ("2001-2002", None, (UNREAD,)),
    (1_700_000_000, None, (UNREAD,)),
    (1_700_000_000_000, None, (UNREAD,)),
    ("last year", None, (UNREAD,)),
]


@pytest.mark.parametrize(("value", "year", "flags"), YEARS, ids=[repr(value) for value, _, _ in YEARS])
def test_a_year_is_read_where_one_is_named_and_the_rest_is_said(value, year, flags):
    assert year_of(value) == (year, flags)


def test_a_sample_holds_the_year_and_the_flag():
    values = records(1)[0] | {"year": "Q3 2001"}
    config = Config.model_validate({"predictions": {"path": "unused"}, "model": {"path": "unused"}})
    sample = SampleReader(config).sample("a", Record(values, number=1))
    assert sample.year == 2001 and READ in sample.flags
    assert {READ, UNREAD} <= set(CAVEATS_OF_FLAGS)
