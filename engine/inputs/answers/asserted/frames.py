"""Frames in which an English sentence states a label; in any other one it only names it.

What states nothing is without number ("Everyone answered D.", "Sign up.", "COVID came back negative."), so the
frames that do are listed here: the writer concludes, something is to come, something points to it, what is judged is
said to be it, or nothing else is said. A label that no frame holds is a reject, which costs a row; a label that is read
where none is stated would cost the truth of all numbers.
"""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.asserted.phrases import (
    ADVISES,
    ATTRIBUTED,
    BOLD,
    BOUND_FOR,
    CASES,
    CHANGED_TO,
    CHECKED,
    CHOSEN,
    CLASSED,
    CLAUSE,
    COMING,
    COULD,
    DEGREES,
    ENGLISH,
    EXISTS,
    GOES_ON,
    HAS,
    I_AM,
    IMPERATIVE,
    JUDGED_SO,
    JUDGED_THINGS,
    KEYS,
    LABELS,
    LED,
    LESSER,
    LETTER_JUDGED,
    MAKES,
    MOODS,
    NOUN_BETWEEN,
    OF_STOCK,
    ONLY,
    ONLY_NAMED,
    OVERALL,
    PACE,
    PLACE,
    POINTS,
    PREDICATE,
    PROVES,
    REACH,
    REVIEWER,
    SIGNS,
    SPECIAL,
    STOP,
    TO_COME,
    TRADES,
    UNDERGOES,
    VERBS_OF_PROOF,
    WOULD,
    WRITER,
    YES_OR_NO,
)
from engine.inputs.answers.asserted.voices import KEY, is_undone
from engine.inputs.answers.inflections import CALLED_BEST
from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.words import LabelWord


def is_english(text: str, codes: tuple[str, ...], is_told: bool, label: str = "") -> bool:
    """Return whether a text is English enough for its frames to be asked for.

    Parameters
    ----------
    text
        An answer.
    codes
        The languages that come into question.
    is_told
        Whether its language could be told, which then is the only one of ``codes`` in its script.
    label
        The label's word: an English one makes prose English enough of which the language cannot be told. A text
        without a function word of any language ("Sales 12, Costs 9 increase") is no prose.
    """
    if is_told:
        return codes == ("en",)
    if any(languages()[code].is_partial for code in codes):
        return False
    if label.casefold() in _english_labels():
        words = re.findall(r"[^\W\d_]+", text[:2_000].casefold())
        return bool(ENGLISH.search(text[:2_000])) or not _function_words().isdisjoint(words)
    return "en" in codes and bool(ENGLISH.search(text[:2_000]))


@cache
def _function_words() -> frozenset[str]:
    return frozenset(words_of(languages(), "function_words"))


@cache
def _english_labels() -> frozenset[str]:
    """Return words that name labels in English."""
    moving = [word for kind in ("rises", "falls", "levels") for word in words_of(("en",), kind)]
    return frozenset(word.casefold() for word in (*moving, *LABELS.split()) if word.isascii())


def is_stated(
    text: str,
    start: int,
    end: int,
    word: LabelWord,
    *,
    is_moving: bool,
    is_of_subject: bool,
    is_only: bool,
) -> bool:
    """Return whether a sentence states the label that it names.

    Parameters
    ----------
    text
        The whole answer.
    start, end
        The characters of the sentence.
    word
        The label's word in it.
    is_moving
        Whether the label is one of movement (increase, up).
    is_of_subject
        Whether that movement is said of what is asked for, right before it ("EPS increase").
    is_only
        Whether the sentence names no other label.
    """
    raw = text[max(start, word.start - REACH) : word.start]
    before = CHECKED.sub("", raw)
    behind = SPECIAL.sub("", text[word.end : min(end, word.end + REACH)])
    is_opinion = text[word.start : word.end].casefold() in MOODS and bool(
        HAS.search(before) and ATTRIBUTED.match(behind)
    )
    if is_undone(before, behind, text[end : end + 200]) and not (is_opinion and REVIEWER.match(before)):
        return False
    if is_opinion or CHOSEN.search(raw) or CHANGED_TO.search(before):
        return True
    if COULD.search(before) or (is_moving and PACE.search(before)):
        return False
    if (is_only and _is_alone(before, behind)) or (BOLD.search(before) and not re.search(r"[^\W_]", before)):
        return True
    if _is_keyed(before, behind):
        return True
    if YES_OR_NO.fullmatch(text, word.start, word.end) and not before.strip(SIGNS) and CLAUSE.match(behind):
        return True
    ends = bool(STOP.match(behind) or GOES_ON.match(behind))
    writer = WRITER.search(before)
    if writer and (is_moving or ends):
        return True
    if LED.search(before) and (is_moving or ends) and not ONLY_NAMED.search(before):
        return True
    if is_moving:
        return (is_of_subject and not _object().match(behind)) or _moves(before, behind)
    return _is_predicated(text, before, behind, word, ends)


def _is_alone(before: str, behind: str) -> bool:
    """Whether a clause says nothing but the label, what moves, and words of degree."""
    if not STOP.match(behind) and not GOES_ON.match(behind):
        return False
    places = list(PLACE.finditer(before))
    said = before[places[-1].end() :] if places else before
    is_first = not before[: len(before) - len(said)].strip()
    return bool(_plain().fullmatch(said)) and (is_first or bool(STOP.match(behind) or OVERALL.match(behind)))


def _is_keyed(before: str, behind: str) -> bool:
    key = KEY.search(before)
    return bool(key and STOP.match(behind) and _answer_keys().search(key["key"]))


@cache
def _answer_keys() -> re.Pattern[str]:
    """Return a pattern of words by which a key says that its value is the answer, or what moves."""
    words = [*words_of(("en",), "nouns"), *words_of(("en",), "subjects"), *KEYS.split("|")]
    return re.compile(phrases(words), re.IGNORECASE)


def _moves(before: str, behind: str) -> bool:
    return bool(
        IMPERATIVE.match(before)
        or TO_COME.search(before)
        or WOULD.search(before)
        or POINTS.search(before)
        or UNDERGOES.search(before)
        or BOUND_FOR.search(before)
        or EXISTS.search(before)
        or PREDICATE.search(before)
        or I_AM.search(before)
        or LESSER.search(before)
        or CLASSED.search(before)
        or re.search(
            r"\b(?:rather\s+than|instead\s+of|more\s+\w+\s+than|not\s+only)\b[^.;!?]*\Z", before, re.IGNORECASE
        )
        or JUDGED_SO.match(behind)
        or (not re.search(r"[^\W_]", _plain().sub("", before, count=1)) and COMING.match(behind))
    )


def _is_predicated(text: str, before: str, behind: str, word: LabelWord, ends: bool) -> bool:
    said = text[word.start : word.end]
    if said.casefold() in MOODS and not JUDGED_THINGS.search(f"{before} {' '.join(behind.split()[:2])}"):
        return False
    if said.casefold() in PROVES and VERBS_OF_PROOF.search(before):
        return True
    if CASES.match(behind):
        return False
    if said.casefold() in TRADES and ADVISES.search(before) and OF_STOCK.match(behind):
        return True
    if said.casefold() in TRADES and said.casefold().endswith("ing") and CALLED_BEST.match(behind):
        return True
    if LETTER_JUDGED.match(behind) or (JUDGED_SO.match(behind) and not _past_only(behind)):
        is_head = bool(_plain().fullmatch(before)) and bool(NOUN_BETWEEN.match(behind))
        return len(said) == 1 or is_head or bool(PREDICATE.search(before))
    if ONLY.search(before) or MAKES.search(before) or LESSER.search(before):
        return True
    if said.casefold() not in MOODS and I_AM.search(before) and ends:
        return True
    return ends and bool(
        PREDICATE.search(before) or CLASSED.search(before) or IMPERATIVE.match(before) or _points_to_class(before)
    )


def _past_only(behind: str) -> bool:
    return bool(re.match(r"[*_`\"'”’»)\]}$]*\s+(?:was|were|looked|seemed|appeared)\b", behind, re.IGNORECASE))


def _points_to_class(before: str) -> bool:
    return bool(POINTS.search(before)) and not re.search(
        r"\b(?:mention|contain|report|record|carr)\w*\s", before, re.IGNORECASE
    )


@cache
def _object() -> re.Pattern[str]:
    """Return a pattern of what is asked for right behind a movement: then something else moves it."""
    return re.compile(rf"[\s*_]+(?:its\s+|the\s+)?{phrases(words_of(('en',), 'subjects'))}", re.IGNORECASE)


@cache
def _plain() -> re.Pattern[str]:
    """Return a pattern of what may stand before a label that is all that is said: degrees, hedges, what moves."""
    kinds = ("fillers", "subjects", "modifiers", "connectors", "nouns")
    words = [*DEGREES.split("|"), *(word for kind in kinds for word in words_of(("en",), kind))]
    return re.compile(rf"(?>{phrases(words)}|textbf|text|mathrm|boxed|[\W_\d])*+", re.IGNORECASE)
