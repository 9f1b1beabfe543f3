"""Keys of something else than the answer: the letter in "Grade: A" or "Credit rating: B" is no choice of an option."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import NOT_AFTER_LETTER, languages, phrases, words_of
from engine.inputs.answers.words import LabelWord

GRADED = frozenset(
    (
        "rating", "outlook", "trend", "sentiment", "bewertung", "stimmung", "sentimiento", "tendencia", "tendance",
        "sentimento", "tendenza", "tendência", "тенденция", "тональность", "duygu", "sentimen", "情感", "趋势", "趨勢",
        "感情", "見通し", "감정", "전망", "भावना",
    )
)  # fmt: skip
"""Nouns of cues that hold grades, too: a letter behind them is one."""
_CLASSES = frozenset(
    (
        "class", "category", "klasse", "kategorie", "clase", "categoría", "classe", "catégorie", "categoria", "класс",
        "категория", "sınıf", "kategori", "kelas", "类别", "類別", "الفئة", "श्रेणी", "वर्ग",
    )
)  # fmt: skip
"""Nouns of cues that a letter behind them may be a name of: an answer where no other is stated."""
_ANSWERS = (
    "ans",
    "solution",
    "pick",
    "correct",
    "right",
    "best",
    "selected",
    "chosen",
    "predicted",
    "mine",
    "final",
    "ok",
    "okay",
    "sure",
    "alright",
    "well",
    "yes",
    "y",
    "vote",
    "right one",
    "correct one",
    "best one",
)
_LISTS = re.compile(r"\b(?:list|lists|options|choices|candidates|sheet|key|bank|pool)\b", re.IGNORECASE)
_KEY = re.compile(
    r"(?:\A|[\n.;,|{(!?—–<]|\s-)[\s*_#>\"'`•\d.)-]*(?P<key>[^\W\d_][^\n:=.;,|{}!?：<>]{0,40}?)[\s*_\"'`)\]]*[:=：>|][\s*_\"'`(\[$]*\Z"
)
_SUBJECT = re.compile(
    r"(?:\A|[\n.;,|{(!?—–])[\s*_#>\"'`•-]*(?P<key>[^\W\d_][^\n=.;,|{}!?：<>]{0,60}?)\s*"
    r"(?:=|\s(?:is|was|are|were|equals?|ist|est|es|è|é))[\s:*_\"'`(\[$]*\Z"
)
"""What a number is said to be."""
_JUDGED = re.compile(
    r"\b(?:it|this|that|mine|es|das|ce|c|eso|esto|questo|isso|это|statement|sentence|review|text|claim|pair|headline|tweet|"
    r"hypothesis|premise|relation\w*|comment|message|document|article|passage|example|case)\Z",
    re.IGNORECASE,
)
"""Pronouns, and what is judged: a number said of these is an answer."""
_COUNTED = re.compile(
    r"\b(?:number|count|total|sum|ratio|amount|share|rank|index|difference|average|mean|median|probability|confidence|id|"
    r"weight|level|step|code|anzahl|summe|nombre|número|numero|somme|suma)\b",
    re.IGNORECASE,
)
_GRADES = re.compile(r"\b(?:grade|rating|score|mark|blood type|letter grade|blood group)\Z", re.IGNORECASE)
_TAGS = frozenset(
    ("b", "i", "u", "em", "strong", "p", "div", "span", "mark", "code", "br", "li", "td", "font", "center")
)
_MOST_WORDS = 4
_REACH = 70


def is_of_other_key(text: str, word: LabelWord) -> bool:
    """Whether a letter or a number is the value of a key that names no answer ("Grade: A", "Score: 1")."""
    spelling = text[word.start : word.end]
    before = text[max(0, word.start - _REACH) : word.start]
    match = _KEY.search(before)
    if spelling.isdecimal():
        return _is_measure(match or _SUBJECT.search(before))
    if word.end - word.start != 1 or not spelling.isalpha():
        return False
    if match is None:
        said = _SUBJECT.search(before)
        return bool(said and _GRADES.search(said["key"]))
    if len(match["key"].split()) > _MOST_WORDS:
        return False
    key = match["key"].strip(" *_\"'`")
    if key.lower() in _TAGS:
        return False
    named, last = _answer_words()
    return bool(_LISTS.search(key) or _wrong().search(key)) or not (named.search(key) or last.search(key))


def _is_measure(match: re.Match[str] | None) -> bool:
    """Whether what a number is said of names no answer: a count, a score, a figure."""
    key = match["key"].strip(" *_\"'`") if match else ""
    if not key or key.lower() in _TAGS:
        return False
    if _is_graded_by_others(key):
        return True
    last = _answer_words()[1]
    is_named = any(nouns.search(key) for nouns in _nouns()) or last.search(key) or _JUDGED.search(key)
    return not is_named or bool(_COUNTED.search(key) or _LISTS.search(key) or _wrong().search(key))


def _is_graded_by_others(key: str) -> bool:
    """Whether a key is a noun that holds grades, and other words before it say whose ("Customer rating: 4")."""
    graded = _nouns()[0].search(key)
    lead = key[: graded.start()] if graded else ""
    return bool(re.search(r"[^\W_]", _modifiers().sub(" ", lead)))


@cache
def _modifiers() -> re.Pattern[str]:
    return re.compile(phrases(words_of(languages(), "modifiers")), re.IGNORECASE)


def noun_rank(cue: str) -> int:
    """Return how well the noun of a cue stands for an answer when its value is a letter: 0 not at all, 1, 2 fully."""
    graded, classes, full = _nouns()
    if full.search(cue):
        return 2
    if classes.search(cue):
        return 1
    return 0 if graded.search(cue) else 2


@cache
def _nouns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return patterns of nouns that hold grades, that name classes, and of all others."""
    nouns = words_of(languages(), "nouns")
    full = [noun for noun in nouns if noun not in GRADED and noun not in _CLASSES]
    found = [re.compile(f"{NOT_AFTER_LETTER}{phrases(some)}", re.IGNORECASE) for some in (GRADED, _CLASSES, full)]
    return found[0], found[1], found[2]


@cache
def _wrong() -> re.Pattern[str]:
    return re.compile(phrases([*words_of(languages(), "wrong"), *words_of(languages(), "former")]), re.IGNORECASE)


@cache
def _answer_words() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns of nouns by which a key names an answer, and of words that do so at its end ("Overall: B")."""
    nouns = [noun for noun in words_of(languages(), "nouns") if noun not in GRADED and noun not in _CLASSES]
    words = [word for kind in ("concludes", "connectors") for word in words_of(languages(), kind)]
    last = rf"{phrases([*words, *_ANSWERS])}\Z"
    return re.compile(phrases(nouns), re.IGNORECASE), re.compile(last, re.IGNORECASE)
