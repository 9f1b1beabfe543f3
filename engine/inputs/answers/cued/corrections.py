"""What an answer takes back behind its last cue: "Correction: B", "No wait, B."."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from engine.inputs.answers.cued.cue_patterns import VALUE, Cue, sentence_end
from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.mentions import Mentions, ends_clause, fillers


def corrections(mentions: Mentions, after: int) -> Iterator[Cue]:
    """Yield what an answer takes back behind its last cue: "Correction: B", "No wait, B."; the label must follow."""
    for match in _corrected().finditer(mentions.text, after + 1):
        end = sentence_end(mentions.text, match.end(), match.end() + VALUE)
        following = mentions.within(match.end(), end)
        if (
            _says_more_than_no(mentions, match)
            or not following
            or following[0].is_of_others
            or mentions.text[end : end + 1] in ("?", "？", "؟")
        ):
            continue
        word = following[0].word
        is_all = not re.search(r"[^\W_]", mentions.text[word.end : end])
        if fillers().fullmatch(mentions.text, match.end(), word.start) and (is_all or ends_clause(mentions, word)):
            yield Cue(match.start(), match.end(), word.end, False, True)


def _says_more_than_no(mentions: Mentions, match: re.Match[str]) -> bool:
    """Whether a label stands in words of correction, but for the no that they begin with ("No, wait: yes")."""
    said = [mention.word for mention in mentions.within(*match.span())]
    if len(said) != 1 or match["taken_back"] is None:
        return bool(said)
    return mentions.text[said[0].start : said[0].end].lower() != "no" or said[0].start >= match.start("taken_back")


@cache
def _corrected() -> re.Pattern[str]:
    words = phrases(words_of(languages(), "corrections"))
    between = r"(?:[\s*_,.:!…—–，。：-]|it's|it\s+should\b|no\b(?=[\s,.:…—–-]*\w)){0,12}"
    start = r"(?:\A|[\n.!?…,;:(—–。，；！-])[\s*_#>(]{0,6}"
    return re.compile(
        rf"{start}(?:(?:no\b,?\s{{1,3}})?(?P<taken_back>(?:{words}{between}){{1,3}})|no,\s)", re.IGNORECASE
    )


@cache
def waits() -> re.Pattern[str]:
    """Return a pattern of a correction right before a box or the end of a stretch."""
    return re.compile(rf"{phrases(words_of(languages(), 'corrections'))}[\s*_,.:!…—–-]*(?:\\|\$|\Z)", re.IGNORECASE)
