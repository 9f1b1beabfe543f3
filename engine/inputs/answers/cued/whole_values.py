"""Values that mean one label without its spelling: true of yes and no, "4 out of 5" of labels that are a scale."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from engine.inputs.answers.cued.truths import truths
from engine.inputs.answers.cued.unlabelled import NEXT_KEY
from engine.inputs.answers.inflections import inflected
from engine.inputs.answers.languages import FULL_WIDTH, languages, phrases, words_of
from engine.inputs.answers.mentions import Reading, fillers
from engine.inputs.answers.words import LabelWord, LabelWords

_LEAST_STEPS = 3
"""Labels that are a scale at least; two numbers are codes ("Score: 1" may be a score of anything)."""
_MOST = 120
"""Characters of a value that is looked at."""
_OPENS, _CLOSES = r"[\s*_`\"'“‘«»(\[{$\\「『]*", r"[*_`\"'”’»)\]}$\\」』]*"
_ENDS = (
    rf"{_CLOSES}\s*(?:\Z|\n|[.,;:!…。，；：、！)}}\]|](?!\d)|</|<\||[-–—](?!\d)|[\u2600-\u27bf\U0001f300-\U0001faff]"
    r"|\((?!\s*\d)|(?:because|since|as|due|given)\b)"
)
_TRUTH = re.compile(rf"(?P<truth>[^\W\d_]+){_ENDS}", re.IGNORECASE)
_ANOTHER_KEY = re.compile(
    r"[^\n]{0,40}?[\"'“]?\b(?:scale|max|maximum|max_score|out_of)[\"'”]?\s*[:=]\s*(?P<highest>\d+)\b", re.IGNORECASE
)
_HEDGE = (
    r"(?:\s*(?:(?:or|oder|ou|o)\s+)?(?:maybe|perhaps|possibly|probably|even|rather|almost|vielleicht|eher|peut-être|plutôt|quizás?|"
    r"tal\s+vez|forse|talvez|возможно|belki|mungkin|可能|或许|多分))?"
)
_BOUND = re.compile(r"[:=]\s*[<>≥≤≈~]=?\s*\Z")
"""Before a number that only bounds a rating ("Score: >3")."""
_STARS = re.compile(rf"{_OPENS}(?:[★⭐🌟]\uFE0F?\s?)+(?:☆\s?)*{_ENDS}")
"""A rating that is drawn: there is no word in it that another label could stand for."""


class WholeValues:
    """Reads values that stand for a label as a whole: words of truth, and ratings.

    Parameters
    ----------
    labels
        The label words.

    Attributes
    ----------
    is_scale
        Whether the labels are the numbers of a scale (1 to 5).
    """

    def __init__(self, labels: LabelWords):
        self._labels = labels
        self._truths = truths(inflected(labels.labels))
        self._steps = _steps(labels)
        self.is_scale = bool(self._steps)

    def read(self, text: str, start: int, end: int, is_all: bool = False) -> Reading | None:
        """Return what a value means as a whole; None where it is no such value.

        A rating on another scale, or of several numbers, is a reading without a word that names the value.

        Parameters
        ----------
        text
            The whole text.
        start, end
            The value.
        is_all
            Whether nothing else may stand there (a line): "True, sales fell" grants something, "1. Sales fell" is an
            item of a list.
        """
        end = min(end, start + _MOST)
        return self._rating(text, start, end, is_all) or self._truth(text, start, end, is_all)

    def _truth(self, text: str, start: int, end: int, is_all: bool) -> Reading | None:
        led = fillers().match(text, start, end) if self._truths else None
        found = _TRUTH.match(text, led.end(), end) if led else None
        known = self._truths.get(found["truth"].casefold()) if found else None
        if found is None or known is None:
            return None
        label, spelling = known
        behind = text[found.end("truth") : end]
        key = NEXT_KEY.search(behind)
        behind = behind[: key.start()] if key else behind
        if is_all and re.search(r"[^\W_]", behind):
            return None
        others = {word.label for word in self._labels.find(behind, is_prose=True)}
        others |= {
            self._truths[word.casefold()][0]
            for word in re.findall(r"[^\W\d_]{4,}", behind)
            if word.casefold() in self._truths
        }
        if others - {label}:
            labels = tuple(dict.fromkeys((label, *sorted(others))))
            return Reading(None, "ambiguous_label", labels, value=text[start:end].strip())
        return Reading(LabelWord(label, spelling, *found.span("truth")))

    def _rating(self, text: str, start: int, end: int, is_all: bool) -> Reading | None:
        if not self._steps:
            return None
        bound = _BOUND.search(text, max(0, start - 4), start)
        if bound:
            return Reading(None, "no_label", value=text[bound.start() + 1 : end].strip())
        plain = text[start:end].translate(FULL_WIDTH)
        stars = _STARS.match(plain)
        if stars:
            return Reading(None, "no_label", value=stars.group().strip())
        found = next((match for one in _ratings() if (match := one.match(plain))), None)
        if found is None:
            return None
        given = found.groupdict()
        if is_all and not given.get("highest") and re.search(r"[^\W_]", plain[found.end() :]):
            return None
        number = re.sub(r"[.,]0+\Z", "", given["number"])
        if given.get("second"):
            labels = [self._steps.get(one) for one in (number, given["second"])]
            named = tuple(label for label in dict.fromkeys(labels) if label)
            return Reading(None, "ambiguous_label", named, value=found.group().strip())
        behind = _ANOTHER_KEY.match(text, start + found.end())
        highest = given.get("highest") or (behind["highest"] if behind else None)
        label = self._steps.get(number)
        if label is None or (highest and int(highest) != max(map(int, self._steps))):
            return Reading(None, "no_label", value=found.group().strip(" \t\n*_`\"'(),.;"))
        place = start + found.start("number")
        spelling = self._labels.spelled.get(number, (label, 0))[1]
        return Reading(LabelWord(label, spelling, place, place + len(number)))


def _steps(labels: LabelWords) -> Mapping[str, str]:
    """Return the labels of a scale by their numbers: every label is a number, and the next one higher by one."""
    names = list(labels.labels)
    if len(names) < _LEAST_STEPS or not all(name.isdecimal() for name in names):
        return {}
    numbers = sorted(int(name) for name in names)
    if numbers[0] not in (0, 1) or numbers != list(range(numbers[0], numbers[0] + len(names))):
        return {}
    return {str(int(name)): name for name in names}


@cache
def _ratings() -> tuple[re.Pattern[str], ...]:
    """Return patterns of ratings: out of a highest one, behind it, on a scale, and several numbers or a fraction."""
    codes = tuple(languages())
    of = rf"(?:/|／|{phrases(words_of(codes, 'out_of'))}(?:\s+a)?(?:\s+(?:possible|maximum(?:\s+of)?))?)"
    units = rf"(?:\s?(?:{phrases(words_of(codes, 'rating_units'))}|[★⭐]\uFE0F?))?"
    number, highest = r"(?P<number>\d+(?:[.,]\d+)?)", r"(?P<highest>\d{1,3})(?:[.,]0+)?(?![\d/.,]*\d)"
    joined = rf"\s*(?:[-–—~,;]|{phrases(words_of(codes, 'choices'))}\.?|to|bis|à|a|до|至|到){_HEDGE}\s*"
    several = rf"{number}{units}(?:\s*{of}\s*\d+(?:[.,]0+)?)?{joined}"
    several += rf"(?P<second>\d+(?:[.,]\d+)?){units}\s*(?:\(?{of}\s*\d+\)?)?"
    texts = (
        several,
        rf"{number}{units}\s*\(?\s*{of}\s*{highest}\)?{units}(?=\s*\(|{_ENDS})",
        rf"(?:{of}\s*)?{highest}\s*(?:点満点中|点中|分中的?|분의|점\s?만점에|점\s?만점\s?중|점\s?중|üzerinden|में\s+से|[:：]){units}\s*{number}{units}",
        rf"(?:on\s+)?an?\s+scale\s+(?:of|from)\s+\d+\s*(?:to|[-–])\s*{highest}\s*[:,]\s*{number}{units}",
        r"(?P<number>\d+[.,]\d+)",
        rf"(?P<number>\d+){units}",
    )
    drawn = r"(?:[★⭐🌟☆]\uFE0F?\s?)*"
    return tuple(
        re.compile(rf"{_OPENS}{drawn}{_OPENS}{text}{'' if text.endswith(')') else _ENDS}", re.IGNORECASE)
        for text in texts
    )
