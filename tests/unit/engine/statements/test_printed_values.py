"""Numbers and periods as financial tables print them."""

import pytest

from engine.statements.printed_numbers import parse_value
from engine.statements.printed_periods import period_order


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("-1.2", -1.2), ("−1.2", -1.2), ("–1.2", -1.2), ("- 1.2", -1.2), ("+3", 3), ("1.2-", -1.2), ("-0.0", 0)],
        *[("(1,234)", -1234), ("$ (3.4)", -3.4), ("($3.4)", -3.4), ("-$3.4", -3.4), ("$-3.4", -3.4), ("(3.4)%", -3.4)],
        *[("1,234.5", 1234.5), ("1.234,56", 1234.56), ("1 234", 1234), ("1\u202f234,5", 1234.5), ("1'234.50", 1234.5)],
        *[("12%", 12), ("3.4M", 3.4e6), ("3.4 bn", 3.4e9), ("EUR 2k", 2000), ("1.07E+11", 1.07e11), ("3x", 3)],
        *[("29.330", 29.33), ("0,123", 0.123), ("1.234.567", 1234567), ("1,23,456", 123456), (".5", 0.5), ("5.", 5)],
        *[("**1,234**", 1234), ("\\$4", 4), ("1,234*", 1234), ("1971", 1971), ("0", 0), ("US$ 3", 3)],
        *[(text, None) for text in ("", "n/a", "-", "—", "--", "nan", "inf", "12 34", "000", "1,234,56", "3–5", "(5")],
        *[(text, None) for text in ("2012-12-31", "Q3 2012", "FY2012", "t-1", "9" * 400, "1e999", "٣", "see 3", "5)")],
    ],
)
def test_values(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("label", "order"),
    [
        *[("1972", 1972), ("FY2012", 2012), ("FY 12", 2012), ("FY'99", 1999), ("2012E", 2012), ("**1972***", 1972)],
        *[("Q3 2012", 2012.5), ("3Q12", 2012.5), ("2012 Q1", 2012), ("FY12 Q4", 2012.75), ("H2 2012", 2012.5)],
        *[("t", 0), ("T", 0), ("t-1", -1), ("t - 2", -2), ("T–1", -1), ("t−1", -1), ("(t-1)", -1), ("t+1", 1)],
        *[("Year t", 0), ("Fiscal Year t-1", -1), ("Period t+1", 1), ("1972.0", 1972), ("1972.00", None)],
        *[("Current Year", 0), ("Prior Year", -1), ("this year", 0), ("last year", -1), ("Previous Fiscal Year", -1)],
        *[("two years ago", -2), ("next year", 1), ("Year 2", 2), ("FY-1", -1), ("Q2", 0.25), ("2012/13", 2013)],
        *[("2012-01", 2012), ("2012-01-01", 2012), ("1/1/2012", 2012), ("Jan 1, 2012", 2012), ("1 Jan 2012", 2012)],
        *[("Year ended July 1st, 2012", 2012.5), ("Jul-12", 2012.5), ("Jul '12", 2012.5), ("01.07.2012", 2012.5)],
        *[("2012-07", 2012.5), ("Revenue 2012", 2012), ("2012 (USD m)", 2012), ("2011/2012", 2012)],
        *[(label, None) for label in ("", "Item", "Change 2012", "2012 vs 2011", "2012 2010", "19.907", "2,012")],
        *[(label, None) for label in ("Dec 31", "Current Assets", "2012.5", "tt", "t-", "Q5", "H3 12", "S&P 500")],
    ],
)
def test_periods(label, order):
    assert period_order(label) == order


def test_dates_sort_within_their_year():
    labels = ["2011-12-31", "Mar 31, 2012", "30 Jun 2012", "9/30/2012", "31.12.2012", "2013"]
    orders = [period_order(label) or 0.0 for label in labels]
    assert orders == sorted(set(orders))
    assert all(2011 < order <= 2013 for order in orders)
