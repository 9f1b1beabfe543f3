"""The language of a text, told by its script, for Latin and Cyrillic by the share of function words of a language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from engine.inputs.answers.languages import ARABIC, ELSEWHERE, HANGUL, Language, languages, words_of

_SCRIPTS = {
    "hangul": HANGUL,
    "kana": "\u3041-\u3096\u30a1-\u30fa",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "arabic": ARABIC,
    "devanagari": "\u0900-\u0963\u0966-\u097f",
    "cyrillic": "\u0400-\u052f",
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "hebrew": "\u05d0-\u05ea",
    "thai": "\u0e00-\u0e7f",
    "bengali": "\u0980-\u09ff",
    "tamil": "\u0b80-\u0bff",
    "telugu": "\u0c00-\u0c7f",
    "georgian": "\u10a0-\u10ff",
    "armenian": "\u0530-\u058f",
    "khmer": "\u1780-\u17ff",
    "burmese": "\u1000-\u109f",
    "lao": "\u0e80-\u0eff",
}
_LETTERS = {script: re.compile(f"[{signs}]") for script, signs in _SCRIPTS.items()}
_OTHER_ALPHABETS = {
    "arabic": "[\u067e\u0686\u0698\u06a9\u06af\u06cc\u06d2\u0679\u0688]",
    "cyrillic": "[іїєґўјљњћђџѓќѕқңғұһө]",
}
"""Letters of other languages in a script that we have one of: Persian, Urdu; Ukrainian, Serbian, Kazakh, …."""
_SAMPLED = 2_000
"""Characters from either end of an answer that its language is told by."""
_LEAST_SHARE = 0.15
"""Share of a text's words that must be function words of a language."""
_FEW_WORDS = 4
"""Up to so many words say nothing of a language, and hold no denial that we know, when none of them is known."""
_FEW_HITS = 2
"""Function words at least by which a language is named of which cues alone are known."""
_LOUDER = 1.5
"""How many times as many of its words a text has to hold as of any language that more is known of."""
UNDETERMINED = "undetermined"
SHORT = "too short to tell"


@dataclass(frozen=True, slots=True)
class Heard:
    """The language that most of a text is in, by name, and the codes of those whose words are looked for in it.

    A language of which only cues are known is named, but not told: its denials are few.
    """

    name: str
    codes: tuple[str, ...]

    @property
    def is_told(self) -> bool:
        """Whether it is a language with data."""
        return any(language.name == self.name for language in languages().values() if not language.is_partial)


def language_of(text: str) -> Heard:
    """Return the language of a text; a script without data by its name, ``undetermined`` below the share."""
    sample = text if len(text) <= 2 * _SAMPLED else f"{text[:_SAMPLED]} {text[-_SAMPLED:]}"
    scripts = ("latin", "kana", "han") if sample.isascii() else tuple(_LETTERS)
    counts = {script: len(_LETTERS[script].findall(sample)) for script in scripts}
    if counts["kana"] and counts["kana"] * 10 >= counts["han"]:
        counts["kana"], counts["han"] = counts["kana"] + counts["han"], 0
    counts = {script: count for script, count in counts.items() if count}
    if not counts:
        return Heard(SHORT, ("en",))
    # A sign of Han or Hangul says about as much as two letters.
    weights = {script: count * (2 if script in ("han", "hangul", "kana") else 1) for script, count in counts.items()}
    largest = max(weights, key=lambda script: weights[script])
    codes: list[str] = []
    name = UNDETERMINED
    for script in weights:
        heard, some = _in_script(script, sample)
        codes += some
        if script == largest:
            name = heard
    return Heard(name, tuple(sorted(dict.fromkeys(codes or ["en"]))))


def _in_script(script: str, text: str) -> tuple[str, list[str]]:
    """Return the language that a text's words in one script are in, and the codes that come into question."""
    written = [language for language in languages().values() if script in language.scripts]
    known = [language for language in written if not language.is_partial]
    partial = [language for language in written if language.is_partial]
    found = [word.casefold() for word in re.findall(rf"[{_SCRIPTS[script]}]+", text)]
    other = _OTHER_ALPHABETS.get(script)
    if other and re.search(other, text, re.IGNORECASE):
        return _among(partial, found, 0) or (
            f"another language in {script.title()} script",
            [language.code for language in partial],
        )
    if not known:
        return (partial[0].name, [partial[0].code]) if partial else (f"{script.title()} script", [])
    if not any(language.function_words for language in known) or script in ("arabic", "devanagari"):
        return known[0].name, [known[0].code]
    scores = _scores(known, found)
    best = max(scores.values())
    of_partial = _among(partial, found, best)
    if of_partial is not None:
        return of_partial
    leading = [language for language in known if scores[language.code] == best]
    if not best and script == "latin" and re.search("[ğşı]", text):
        return SHORT if len(found) <= _FEW_WORDS else UNDETERMINED, ["en", "tr"]
    if not best:
        return SHORT if len(found) <= _FEW_WORDS else UNDETERMINED, ["en"] if script == "latin" else [
            language.code for language in known
        ]
    is_other = sum(word in _spoken_elsewhere() for word in found) >= best
    if len(leading) == 1 and best >= _LEAST_SHARE * len(found) and not is_other:
        return leading[0].name, [leading[0].code]
    name = SHORT if len(found) <= _FEW_WORDS else UNDETERMINED
    return name, [code for code, score in scores.items() if score]


def _scores(among: Sequence[Language], found: Sequence[str]) -> dict[str, int]:
    """Return how many words of a text speak for each of some languages."""
    scores = {language.code: 0 for language in among}
    spoken = _spoken_in(tuple(scores))
    for word, count in Counter(found).items():
        for code in spoken.get(word, ()):
            scores[code] += count
    return scores


def _among(partial: Sequence[Language], found: Sequence[str], best: int) -> tuple[str, list[str]] | None:
    """Return the languages of which cues alone are known that speak far louder than the best of all others."""
    counts = Counter(found)
    scores = {
        language.code: sum(counts[word] for word in language.function_words & counts.keys())
        for language in partial
        if language.function_words
    }
    most = max(scores.values(), default=0)
    if most < _FEW_HITS or most <= _LOUDER * best or most < _LEAST_SHARE * len(found):
        return None
    codes = [code for code, score in scores.items() if score == most]
    return " or ".join(languages()[code].name for code in codes), codes


@cache
def _spoken_in(codes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the languages, of some, that each word speaks for."""
    words = {word for code in codes for word in _telling_words(code)}
    return {word: tuple(code for code in codes if word in _telling_words(code)) for word in words}


@cache
def _spoken_elsewhere() -> frozenset[str]:
    """Return denials of languages without data that say nothing in those with data."""
    told = (_telling_words(code) for code, language in languages().items() if not language.is_partial)
    return frozenset(ELSEWHERE).difference(*told)


@cache
def _telling_words(code: str) -> frozenset[str]:
    """Return words that speak for a language: its function words, its denials and what it leads to answers with."""
    language = languages()[code]
    kinds = (
        language.function_words,
        language.before,
        language.after,
        language.nouns,
        language.connectors,
        language.yields,
        language.chances,
    )
    return frozenset(
        word.rstrip("*").casefold() for kind in kinds for text in kind for word in text.split() if word[0] != "*"
    ) | frozenset((*language.function_words, *_said_alone(code)))


def _said_alone(code: str) -> set[str]:
    """Return words of saying, conditions and subjects of a language that are no function words of English ("will")."""
    kinds = ("conditions", "according", "expects", "reports", "thinks", "subjects")
    said = (word for kind in kinds for word in words_of((code,), kind))
    words = {word.rstrip("*").casefold() for word in said if not re.search(r"\s|\*.", word)}
    return words if code == "en" else words.difference(languages()["en"].function_words)
