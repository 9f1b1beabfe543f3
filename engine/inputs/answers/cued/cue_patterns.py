"""What a cue is, and the patterns of the cues of all languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.unstated.keys import GRADED

VALUE = 400
"""Characters of a value at most."""
_SENTENCE_END = re.compile(r"[!?。！？؟।]|(?<!\.)(?<!\bvs)(?<!\bapprox)(?<!\bca)\.(?![.\d])|\n|\\n")


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue and the stretch of its value.

    Attributes
    ----------
    start
        Where the cue begins.
    value_start, value_end
        The value: a sentence, what stands in braces or in a tag, or what a pattern caught.
    is_said
        Whether it is said in a sentence ("the answer is"), not marked by a sign.
    is_final
        Whether it says that it is the last word: final, corrected, boxed, the configured pattern.
    is_configured
        Whether it is the configured pattern.
    """

    start: int
    value_start: int
    value_end: int
    is_said: bool
    is_final: bool
    is_configured: bool = False


def sentence_end(text: str, start: int, limit: int) -> int:
    """Return where the sentence ends that a value begins; dots in a row end none."""
    match = _SENTENCE_END.search(text, start, min(limit, len(text)))
    return match.start() if match else min(limit, len(text))


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of cues: nouns, what may stand before one, and what makes it a cue behind it."""

    noun: re.Pattern[str]
    lead: re.Pattern[str]
    marked: re.Pattern[str]
    said_noun: re.Pattern[str]
    said: re.Pattern[str]
    modified: re.Pattern[str]


@cache
def patterns(names: tuple[str, ...], is_scale: bool = False) -> Patterns:
    """Return the patterns of the cues of all languages: their nouns, what may stand before and what must behind.

    ``is_scale`` says that the labels are the numbers of a scale, so that scores are answers, too.
    """
    codes = tuple(languages())

    def words(*kinds: str) -> list[str]:
        return [word for kind in kinds for word in words_of(codes, kind)]

    modifiers = phrases([*words("modifiers"), *names])
    leads = phrases([*words("modifiers", "connectors", "final"), *names, "here is", "and", "in conclusion", "overall"])
    scores = words("scores") if is_scale else []
    nouns = phrases([*words("nouns"), *scores])
    flags = re.IGNORECASE
    tail = rf"(?:[ \t_-]*(?:{modifiers}|{nouns}|\d{{2,4}}|\([^()\n]{{0,20}}\)|\[[^\[\]\n]{{0,20}}\])){{0,6}}"
    sign = r"[ \t]*[*_`\"'”’)\]}】」\\]*[ \t]*(?:[:：=→|>]|--?>|[ \t][-–—][ \t])"
    heading = r"[ \t]*[*_#]*[ \t]*(?=\n)"
    start = r"[\n.!?。！？:：;{,，(>|<」\]]"
    copulas = phrases(words("copulas"))
    joined = r"(?:\s*:|\s*：)?(?:\s+that\b)?"
    return Patterns(
        noun=re.compile(nouns, flags),
        lead=re.compile(rf"{start}(?P<dress>[\s*_#>\"'“`{{(\[<|\\•\d.)-]{{0,16}})(?:{leads}[\s_,-]*){{0,7}}\Z", flags),
        marked=re.compile(rf"{tail}(?:{sign}|(?P<heading>{heading}))", flags),
        said_noun=re.compile(phrases([*words("said_nouns"), *(_said_scores() if is_scale else ())]), flags),
        said=re.compile(rf"{tail}\s*{copulas}{joined}[\s*_`\"'“(\[$]*", flags),
        modified=re.compile(rf"(?:{modifiers}[\s_-]*){{1,6}}\Z", flags),
    )


def _said_scores() -> list[str]:
    """Return nouns of scores with a word before them that makes them the writer's ("my score", not "their score")."""
    return [
        f"{modifier} {score}"
        for language in languages().values()
        for score in (*language.scores, *GRADED.intersection(language.nouns))
        for modifier in language.modifiers
    ]
