import random
import re

import pytest

from engine.encoding.random_vocabulary import WordCensus
from engine.encoding.terms import Terms, Words
from engine.encoding.vocabulary import term_pattern

PARTS = (
    *("up", "UP", "Net", "income", "net  income", "net\nincome", "İst", "ıi", "i", "s", "ſ", "\u212a", "k", "straße"),
    *("STRASSE", "ss", "'", "’", "-", "_", "1", "9", ".", " ", "  ", "\n", "%", "%up", "S&P", "s&p 500", "500", "é"),
    *("E\u0301", "\u0345", "ι", "Ι", "foo-bar", "don't", "year-over-year", "year", "over", "a", "ab", "ﬁ", "中", "文"),
)
VOCABULARIES = {
    "phrases": ["up", "net income", "income", "net income up"],
    "letters of one kind": ["s", "k", "i", "ı", "İst", "straße", "ss", "ι", "é"],
    "signs inside": ["S&P 500", "s&p", "500", "year-over-year", "year", "over", "don't", "don"],
    "signs first": ["%up", "up"],
    "a mark that is a letter": ["\u0345a", "ι"],
    "other scripts": ["中", "ﬁ"],
    "none": [],
}


@pytest.mark.parametrize("terms", VOCABULARIES.values(), ids=VOCABULARIES)
def test_the_same_is_found_as_by_trying_the_pattern_everywhere(terms):
    rng, made, pattern, found = random.Random(1), Terms(terms), term_pattern(terms), 0
    for _ in range(3000):
        text = "".join(rng.choices(PARTS, k=rng.randint(0, 14)))
        expected = [match.span() for match in pattern.finditer(text)]
        assert made.spans(Words(text)) == expected, text
        found += len(expected)
    assert found or not terms


def test_letters_that_match_each_other_begin_the_same_word():
    """All characters that Python's matcher takes for one whatever the case, and the one mark that is met by letters."""
    every = (chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000)
    cased = [sign for sign in every if sign != sign.lower() or sign != sign.upper()]
    text = "".join(cased)
    for sign in cased:
        for other in re.findall(re.escape(sign), text, re.IGNORECASE):
            assert Words(f"{other}").starts.keys() == Words(sign).starts.keys() or "\u0345" in (sign, other)


def test_a_census_is_the_same_made_in_parts():
    rng, terms = random.Random(2), Terms(["net income", "up", "don't"])
    texts = ["".join(rng.choices(PARTS, k=40)) for _ in range(60)]
    whole = WordCensus(terms)
    for text in texts:
        whole.add(text)
    parts = [texts[40:], texts[:7], texts[7:40]]
    merged = WordCensus(terms)
    for part in parts:
        counted = WordCensus(terms)
        for text in part:
            counted.add(text)
        merged.merge(counted.counts())
    assert merged.counts() == whole.counts() and merged.draw(3, seed=5) == whole.draw(3, seed=5)


def test_positions_are_means_of_fractions():
    census = WordCensus(Terms(["up"]))
    census.add("aa up aa")
    census.add("bbbb AA")
    assert census.outside["aa"].count == 3 and census.inside["up"].position == 3 / 8
    assert census.outside["aa"].position == pytest.approx((0 + 6 / 8 + 5 / 7) / 3, abs=1e-15)
    assert census.outside["bbbb"].position == 0
