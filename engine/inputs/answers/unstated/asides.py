"""Labels that a sentence says aside: in parentheses, in a reason, a condition, or a clause that is only granted."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import pattern_of, phrases, words_of
from engine.inputs.answers.unstated.reporting import FIRST_PERSON
from engine.inputs.answers.unstated.supposed import is_met
from engine.inputs.answers.words import LabelWord

_GAP = 40
"""Characters behind a label in which its clause is looked for."""
_CLAUSE_END = re.compile(r"[,;，；、،؛.!?。！？؟\n]")
_NAMED_AS = re.compile(
    r"\b(?:classif|label|categori|rat|mark|describ|regard|see|view|assess|interpret|treat|identif|tag|read|count|com)\w*"
    r"(?:\s+\w+){0,5}\s+\Z",
    re.IGNORECASE,
)
_AS_PHRASE = re.compile(
    r"\s+(?:an?\s+whole|such|well(?!\s+as)|expected|always|usual|stated|shown|mentioned|\w+\s+as)\b", re.IGNORECASE
)
"""Behind "as", where it begins no clause; nor does the second one of "as good as"."""
_AT_FIRST = re.compile(r"(?:at\s+first|initially)\s+(?:and|but|then|before)\b", re.IGNORECASE)
"""One of two movements, of which the second is no aside ("EPS will increase at first and then decrease")."""
_AS_GOOD = re.compile(r"\b(?:as|so)\s+\w+\s+\Z", re.IGNORECASE)
_WRITER = re.compile(r"\b(?:I|we|my)\s+\w+")
_BEFORE_NOUNS = re.compile(
    r"(?:despite|in\s+spite\s+of|notwithstanding|due\s+to|owing\s+to|thanks\s+to|given|driven\s+by|on\s+the\s+back\s+of|"
    r"trotz|aufgrund|wegen|dank|angesichts|infolge|en\s+raison|grâce\s+à|malgré|compte\s+tenu|à\s+cause|debido|gracias\s+a|"
    r"a\s+pesar|pese\s+a|a\s+causa|grazie\s+a|nonostante|devido|graças\s+a|apesar|из-за|благодаря|несмотря|ввиду)\Z",
    re.IGNORECASE,
)
"""Prepositions, of which a sentence's subject and verb end the part that is aside."""
_SUBJECT = re.compile(
    r"\S+\s+(?:\S+\s+){0,8}?(?:the|this|its|my|our|an)\s+(?:(?:overall|general|whole|final|dominant|prevailing|main|net|most\s+likely)\s+)?"
    r"(?:sentiment|tone|review|text|statement|tweet|headline|message|comment|answer|label|verdict|outlook|mood|impression|"
    r"article|sentence|passage|assessment|prediction|direction|outcome|eps|earnings|company|firm|conclusion|stance|opinion|"
    r"correct\s+answer|best\s+answer|relation\w*|classification)\b(?:\s+(?:of|in|for)\s+(?:[\w'’-]+\s+){0,2}?[\w'’-]+)?(?:\s+as\s+a\s+whole)?\s+"
    r"(?:is|are|remains?|seems?|appears?|feels?|reads|leans|stays|will|would|should|must|skews)\b",
    re.IGNORECASE,
)
"""Behind such a preposition and at least a word that it governs."""
_VERB_SECOND = re.compile(
    r"\s+(?:[^\s,;]+\s+){1,8}?(?:wird|werden|dürfte|dürften|sollte|sollten|ist|sind)\s+"
    r"(?:d(?:er|ie|as)|dies\w+|ihre?|sein|seine|sich|es|er|sie|mit|von|eine?)\s",
    re.IGNORECASE,
)
"""In German, the verb behind such a preposition's noun, and the subject behind it ("Trotz des Anstiegs wird der …")."""
_CONCEDED = re.compile(
    r"[*_\"'”)]*\s+(?:is|was|seems?|looks?|appears?|sounds?|may\s+be|might\s+be)\s+(?:also\s+)?(?:an?\s+|the\s+)?(?:\w+ly\s+)?"
    r"(?:plausible|tempting|possible|reasonable|close|attractive|appealing|defensible|good|viable|decent|partly|partially|"
    r"second|second-best|runner-up)\b[^.;!?\n]{0,60}?[,;—–]?\s*\b(?:but|yet|however|though)\b",
    re.IGNORECASE,
)
"""Behind a label that is granted something before another one is preferred ("B is plausible, but C is better")."""
_POSSIBLE = re.compile(r"\b(?:could|may|might|can)\s+(?:[\w'’-]+\s+){0,3}[*_\"']*\Z", re.IGNORECASE)
_BUT = re.compile(
    r"[^.;!?\n]{0,60}?[,;—–]\s*(?:but|yet|however|though)\b(?!\s+(?:only|just|slightly|modestly|marginally|not\s+(?:by\s+)?much))",
    re.IGNORECASE,
)
"""Around a label that is called possible before another one is expected ("EPS could increase, but I expect …")."""
_ATTRIBUTED = re.compile(
    r"[*_\"'”’)]*\s+(?:\w+\s+)?(?:words?|wordings?|remarks?|comments?|aspects?|elements?|points?|notes?|phrases?|terms?|language|"
    r"expectations?|news|developments?|factors?|signals?|openings?|beginning|start|sides?|surprises?|adjectives?|statements?|"
    r"parts?|things?|experiences?|feedback|mentions?|undertones?|hints?|cues?|indicators?|moments?|sentences?|expressions?|"
    r"connotations?|framing|features?|attributes?|reviews?)\b",
    re.IGNORECASE,
)
"""Behind a mood that is said of a part ("one positive remark")."""
_MOODS = re.compile(r"positive|negative|neutral", re.IGNORECASE)
_THAT = re.compile(r"\b(?:that|which|who|where|when|how|because)\b", re.IGNORECASE)


def is_said_aside(text: str, codes: tuple[str, ...], start: int, word: LabelWord) -> bool:
    """Whether a word stands in parentheses with others, or in a clause that is granted, a reason or a condition.

    Parameters
    ----------
    text
        The whole text.
    codes
        Languages whose words count.
    start
        Where the stretch begins.
    word
        The label's word.
    """
    low = max(start, word.start - 200)
    before = text[low : word.start]
    opened = max(before.rfind("("), before.rfind("（"))
    if opened >= 0 and opened > max(before.rfind(")"), before.rfind("）")):
        closing = re.compile("[)）]").search(text, word.end, word.end + 200)
        inside = text[low + opened + 1 : closing.start() if closing else word.end]
        if inside.strip(" *_`\"'.") != text[word.start : word.end]:
            return True
    clauses = re.split(r"[,;，；、،؛]", before)
    side = _side(codes, clauses[-1])
    is_passed = side is not None and _is_passed(codes, clauses[-1], side)
    is_passed = is_passed or (side is not None and is_met(clauses[-1], codes))
    if side and not is_passed and not _speaks(codes, clauses[-1], side.start()):
        return True
    is_granted = bool(_granting(codes).match(before))
    is_granted = is_granted and (len(clauses) == 1 or bool(_granting(codes).match(clauses[-1])))
    if is_granted and not is_passed:
        return True
    if "en" in codes and (
        _CONCEDED.match(text, word.end) or (_POSSIBLE.search(clauses[-1]) and _BUT.match(text, word.end))
    ):
        return True
    end = _CLAUSE_END.search(text, word.end, word.end + _GAP)
    return bool(pattern_of(codes, "conceded").search(text, word.end, end.end() if end else word.end))


def is_attribute(text: str, word: LabelWord) -> bool:
    """Whether a mood is said of a part of what is judged, in English."""
    return bool(_MOODS.fullmatch(text, word.start, word.end) and _ATTRIBUTED.match(text, word.end))


def _side(codes: tuple[str, ...], clause: str) -> re.Match[str] | None:
    """Return what begins a clause aside: not "as" in "classified as", nor what a hyphen joins ("espera-se")."""
    for side in pattern_of(codes, "sides").finditer(clause):
        is_as = side.group().lower() == "as"
        is_named = is_as and (
            _NAMED_AS.search(clause, 0, side.start())
            or _AS_PHRASE.match(clause, side.end())
            or _AS_GOOD.search(clause[: side.start()])
        )
        is_named = is_named or bool(_AT_FIRST.match(clause, side.start()))
        if not is_named and clause[side.start() - 1 : side.start()] != "-":
            return side
    return None


def _is_passed(codes: tuple[str, ...], clause: str, side: re.Match[str]) -> bool:
    """Whether the sentence's own subject and verb stand behind what is aside ("despite some praise the tone is …")."""
    if not _BEFORE_NOUNS.search(clause, 0, side.end()):
        return False
    if codes != ("en",) and FIRST_PERSON.search(clause, side.end()):
        return True
    if "de" in codes and _VERB_SECOND.match(clause, side.end()):
        return True
    subject = _SUBJECT.search(clause, side.end())
    return subject is not None and not _THAT.search(clause, side.end(), subject.end())


def _speaks(codes: tuple[str, ...], clause: str, start: int) -> bool:
    """Whether the writer speaks in a clause, behind a reason without a comma ("given the sales I expect growth")."""
    is_supposed = pattern_of(codes, "supposing").search(clause, start)
    return not is_supposed and bool(_WRITER.search(clause, start))


@cache
def _granting(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of what begins a sentence with a clause that is only granted (while, whereas)."""
    words = phrases(words_of(codes, "concessives"))
    return re.compile(rf"[\W_]*(?:(?:and|but|so|und|y|et|e)\s+)?{words}", re.IGNORECASE)
