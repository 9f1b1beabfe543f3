"""Patterns of what denies a label: words before and behind it, doubts, wrong answers and those of others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from engine.inputs.answers.languages import HANGUL, JOINED, LETTER, UNSPACED, languages, phrase, phrases, words_of
from engine.inputs.answers.unstated.walls import CLOSED, DASHED, WRAP

MARKS = r"(?-i:[^\S\n]|[_*\"'’‘“”`«»-])"
STOPS = rf".!?;:,،؛؟，、。！？；：\n|()（）{CLOSED}{DASHED}"
_JOINED_REACH = 10
_NEXT_CLAUSE = rf"(?-i:(?<=[{UNSPACED}])[ ](?=[{UNSPACED}]))"
"""A blank in a script that puts none between words."""
_NOUNS_OF_ANSWERS = (
    "answers",
    "options",
    "choices",
    "letter",
    "one",
    "opción",
    "opcion",
    "opção",
    "opzione",
    "antworten",
)
_WRONG_ANSWERS = ("오답", "誤答", "distractor")
_ANSWERS_OF_OTHERS = (
    "إجابتك", "جوابك", "توقعك", "إجابته", "إجابتها", "schülerantwort", "cevabın", "cevabınız", "yanıtın", "yanıtınız",
)  # fmt: skip
_AT_FIRST = (
    r"(?:first|initial|original|starting|erste[rnms]?|ursprüngliche[rnms]?|anfängliche[rnms]?|premi(?:er|ère)|initiale?|primer[ao]?|"
    r"inicial|prim[ao]|iniziale|primeir[ao]|перв\w{2}|изначальн\w{2}|первоначальн\w{2})"
)
_WAS = r"(?:was|were|had\s+been|war|était|fut|era|fue|foi|был[аои]?)"
"""An answer that came first, and was the answer no longer ("my first answer was C")."""
_GIVEN = (
    "guess",
    "pick",
    "selection",
    "guidance",
    "expectation",
    "response",
    "forecast",
    "answers",
    "cevabı",
    "yanıtı",
    "إجابة",
)
"""What others give, beside the nouns of answers."""
_NAMED = (
    r"(?-i:(?<![^\W_])(?!(?:It|That|What|Here|Today|Question|Problem|Task|Exercise|Item|Test|Riddle)\b)[A-Z]\w+)['’]s"
)
"""The name of somebody, by which an answer is theirs ("Peter's answer")."""
_BY = r"(?:(?:given\s+|made\s+)?(?:of|by|from)\s+(?:the\s+)?)?"
_VERDICTS = frozenset(
    ("correct", "incorrect", "right", "wrong", "true", "false", "valid", "invalid", "accurate", "inaccurate")
)
_IS = re.compile(r"\b(?:is|was|are)\s+(?:(?:\w+ly|also|indeed|thus|therefore)\s+)?[*_\"']*\Z", re.IGNORECASE)
_HANDED = r"(?<!here is )(?<!here's )(?<!here’s )(?<!this is )(?<!these are )"
_WHICH = (
    r"(?:(?:which|that|this|it)\s+(?:is|was)|(?:that|it)['’]s|was|ce\s+qui\s+est|c['’]est|lo\s+(?:cual|que)\s+es|il\s+che\s+è|"
    r"o\s+que\s+é|что|das\s+ist)"
)
_BUT = r"(?:but|yet|aber|mais|pero|ma|mas|но)"
_ADVERBS = ("clearly", "obviously", "definitely", "simply", "also", "offensichtlich", "eindeutig")
_SENTENCE_ENDS = r"(?=[*_\"'”’)]*(?:[.!。！]|\s*\Z|[ \t]*\n))"
_MODALS = (
    r"(?:(?:will|should|may|might|could|must|would|is\s+(?:expected|likely|set|going|bound)\s+to|has|wird|dürfte|soll|va|"
    r"devrait|deve|debería|akan|должен)\s+(?:soon\s+|now\s+|also\s+|probably\s+|likely\s+)?)?"
)
_OF_WHAT = (
    r"(?:\s+(?:in|of|for|der|des|im|bei|de|du|del|della|di|do|da|en|dans|nel)\s+[^\W\d_]+(?:\s+[^\W\d_]+){0,2}?"
    r"|\s+(?:trend|streak|phase|cycle|momentum))?"
)
_RUNS = r"(?:趋势|趨勢|的趋势|势头|勢頭)?(?:即将|即將|已经|已經|已|将|將)?"


def pattern_before(words: list[str], breaks: list[str]) -> str:
    """Return a pattern of a denial that reaches to the end of the searched text: at most three words lie between.

    In a script without spaces a word of one sign reaches over one, a longer one over several.
    """
    spaced = [word for word in words if not JOINED.match(word)]
    hangul = [word for word in words if re.match(f"[{HANGUL}]", word)]
    runs = [word for word in words if JOINED.match(word) and word not in hangul]
    stop = phrases([word for word in breaks if not JOINED.match(word)])
    halt = phrases([word for word in breaks if JOINED.match(word)])
    parts: list[str] = []
    if spaced:
        marks = rf"(?:{MARKS}|{CLOSED}(?=[{CLOSED} \t]+(?-i:[^\W\d_A-ZÀ-ÞА-Я])))+"
        between = rf"(?:{marks}\(?(?!{stop}){LETTER}+(?:['’]{LETTER}*)?\)?){{0,3}}{marks}[(\[]?"
        parts.append(f"{phrases(spaced)}(?:{between}|(?:{MARKS}|{CLOSED})+)")
    if hangul:
        parts.append(rf"(?-i:(?<![{HANGUL}])){phrases(hangul)}")
    for some, reach in (([w for w in runs if len(w) == 1], 1), ([w for w in runs if len(w) > 1], 7)):
        if some:
            parts.append(rf"{phrases(some)}(?:(?!{halt})[^{STOPS}]){{0,{reach}}}?")
    return rf"(?:{'|'.join(parts)})\Z" if parts else "(?!)"


def pattern_after(words: list[str], breaks: list[str], verbs: list[str]) -> str:
    """Return a pattern of a denial that begins right behind the label word: at most three words lie between.

    Where a line was broken right behind the label, the denial begins the next one: what follows a label on a line of
    its own is another sentence.
    """
    joined = [word for word in words if JOINED.match(word)]
    endings = [word for word in words if word.startswith("*")]
    spaced = [word for word in words if word not in joined]
    stop = phrases([word for word in breaks if not JOINED.match(word)])
    halt = phrases([word for word in breaks if JOINED.match(word)])
    between = rf"(?:{MARKS}+(?!{stop}){LETTER}+(?:['’]{LETTER}*)?){{0,3}}?"
    parts: list[str] = []
    if spaced:
        parts.append(rf"(?:{CLOSED}+[ \t]+|{between}{MARKS}+){phrases(spaced)}")
    if endings:
        parts.append(rf"{LETTER}*{between}(?:{MARKS}+)?(?:{'|'.join(phrase(word) for word in endings)})")
    if joined:
        run = rf"(?![ ][{UNSPACED}])(?:(?!{halt})(?!{_NEXT_CLAUSE})[^{STOPS}]){{0,{_JOINED_REACH}}}?"
        parts.append(rf"(?:[ ]|{run}){phrases(joined)}")
    new_line = _other_line([*words, *verbs])
    return rf"{new_line}(?:{'|'.join(parts)})" if parts else "(?!)"


def _other_line(words: Iterable[str]) -> str:
    """Return what refuses the next line right behind a label, unless it goes on with one of some words."""
    return rf"(?![ \t*_]*{WRAP}(?!\s*{phrases(words)}))"


def pattern_doubted(words: list[str], breaks: list[str], verbs: list[str], codes: tuple[str, ...]) -> str:
    """Return a pattern of a doubt behind the label word ("an increase in EPS seems rather doubtful").

    Up to nine words lie before the verb, and up to two, which are no function words, behind it.
    """
    if not words or not verbs:
        return "(?!)"
    stop = phrases([word for word in breaks if not JOINED.match(word) and word != "rather"])
    inner = phrases([word for word in words_of(codes, "function_words") if word not in verbs])
    any_word = rf"{LETTER}+(?:['’]{LETTER}*)?"
    before = rf"(?:{MARKS}+(?!{stop}){any_word}){{0,9}}?"
    between = rf"(?:,[^,.\n]{{1,30}},)?(?:{MARKS}+(?!{stop}|{inner}){any_word}){{0,2}}?"
    article = r"(?:as\s+)?(?:(?:the|an?|die|eine?|l[ae]|une?|una?|uma?|o|il)\s+)?"
    return rf"{_other_line(verbs)}{before}{MARKS}+{phrases(verbs)}{between}{MARKS}+{article}{phrases(words)}"


@cache
def wrong_answers() -> re.Pattern[str]:
    """Return a pattern of what calls the answer that follows wrong or given up, in any language, to the label."""
    wrong = phrases([*words_of(languages(), "wrong"), *words_of(languages(), "former")])
    nouns = phrases([*words_of(languages(), "nouns"), *_NOUNS_OF_ANSWERS])
    between = r"[\s*_\"'“”-]{0,4}"
    which = r"(?:(?:que|qui|che|that|which|yang|die|das)\s+(?:es|est|è|é|is|ist)?\s*)?"
    at_first = rf"(?:{_AT_FIRST}\s+(?:\w+\s+)?{nouns}|{nouns}\s+{_AT_FIRST})(?:\s+I\s+\w+)?\s+{_WAS}\b"
    return re.compile(
        rf"{at_first}(?!\s+(?:right|correct|indeed|confirmed|richtig|bonne|correct[ao]|верн\w+)\b)(?:\s*[:：])?[^,.:!?;\n]{{0,24}}\Z|"
        rf"(?:{phrases(_WRONG_ANSWERS)}|{wrong}{between}(?:{LETTER}+[\s_]+)?{nouns}|{nouns}{between}{which}{wrong})[^,.!?;\n。，；！？]{{0,24}}\Z",
        re.IGNORECASE,
    )


@cache
def answers_of_others() -> re.Pattern[str]:
    """Return a pattern of what makes the answer that follows somebody else's, in any language, to the label."""
    owners = phrases(words_of(languages(), "owners"))
    nouns = phrases([*words_of(languages(), "said_nouns"), *_GIVEN])
    between = r"[\s*_\"'“”-]{0,4}"
    inner = rf"(?:{LETTER}+[\s_]+)?"
    return re.compile(
        rf"(?:{_HANDED}(?:{owners}|{_NAMED}){between}{inner}{nouns}|"
        rf"(?<!\bto ){nouns}{between}{_BY}{owners}|{phrases(_ANSWERS_OF_OTHERS)})"
        r"[^,.!?;\n。，；！？]{0,24}\Z",
        re.IGNORECASE,
    )


def is_judged(said: str, before: str) -> bool:
    """Return whether a label is a verdict on somebody's answer, not that answer ("the student's answer is wrong")."""
    return said in _VERDICTS and bool(_IS.search(before))


def pattern_ended(words: list[str]) -> str:
    """Return a pattern of what says right behind a movement that it ends ("the increase in sales will stop")."""
    spaced, joined = [w for w in words if not JOINED.match(w)], [w for w in words if JOINED.match(w)]
    parts = [rf"{_OF_WHAT}\s+{_MODALS}{phrases(spaced)}"] if spaced else []
    parts += [rf"{_RUNS}{phrases(joined)}"] if joined else []
    return "|".join(parts) or "(?!)"


def pattern_judged(judged: list[str], refusals: list[str], verbs: list[str], denials: list[str]) -> str:
    """Return a pattern of a verdict on the label that ends the sentence ("A, which is wrong", "A. Wrong.")."""
    if not judged:
        return "(?!)"
    wrong, dress = phrases(judged), r"[*_\"'”’)]*"
    link = rf"(?:\s*[,，]\s*(?:{_WHICH}\s*)?|[.!。]\s+(?:{_WHICH}\s+)?)"
    said = rf"\s+{phrases(verbs)}\s+(?:{LETTER}+\s+){{1,5}}?{_BUT}\s+(?:(?:it|actually|{phrases(verbs)})\s+){{0,3}}"
    isnt = phrases([*judged, *denials, "isn't", "is not"])
    bracketed = rf"[ \t]*[(\[]\s*{_WHICH}\s*{wrong}\s*[)\]]"
    no = rf"|{dress}[,，.!]\s*{phrases(refusals)}(?=[.!]?\s*\Z)" if refusals else ""
    linked = rf"{link}(?:{phrases(_ADVERBS)}\s+)?{wrong}{_SENTENCE_ENDS}"
    return rf"{dress}{bracketed}|{dress}{linked}|{dress}{said}{isnt}{_SENTENCE_ENDS}{no}"
