"""Labels of what is only supposed: "A would be right if C were not", "if costs fall, EPS will increase".

What holds under a condition is not said of the world, whatever the verb; "even if" grants the condition, and "if I had
to choose" is met. "When" and "once" tell a time more often than a condition: what they lead to is said. What would have
to be there is a condition, too ("without a recovery in demand, …"), but for what an answer goes by or leaves out
("without further data", "without a doubt").
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache

from engine.inputs.answers.languages import JOINED, languages, phrases, words_of
from engine.inputs.answers.unstated.phrases import BEGIN, EVENTS
from engine.inputs.answers.words import LabelWord

_PART = re.compile(
    r"[\n!?。！？;；()（）]|\.(?!\d)|[,，]\s*(?=(?:but|yet|so|therefore|thus|hence|aber|also|daher|mais|donc|pero|así|ma|quindi|mas|"
    r"portanto|но|поэтому)\b)|\b(?:but|aber|mais|pero|ma|mas|но|fakat|ama|namun|tetapi)\b(?!\s+for\b)|但是?|然而|不过|不過|しかし|"
    r"だが|하지만|그러나|لكن|लेकिन",
    re.IGNORECASE,
)
"""What ends the part of a sentence that a condition governs."""
_CONDITIONS = {
    "en": "if|unless|but for|were it not|provided", "de": "wenn|falls", "fr": "si", "es": "si", "it": "se",
    "pt": "se|caso", "ru": "если",
}  # fmt: skip
"""Words that begin a condition; of one language only, since they are reflexive in others."""
_CASE = re.compile(
    r"[\s*_\"'(]*(?:if|when|unless|wenn|falls|si|se|если)(?![^\W_])[^,，]*[,，]\s*(?:then\s+|dann\s+)?[*_\"']*",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"\b(?:otherwise|if not|sonst|andernfalls|sinon|altrimenti|de lo contrario|senão)\b|иначе", re.IGNORECASE
)
_COUNTERFACTUAL = re.compile(
    r"\b(?:would|could|might)\s+(?:not\s+)?(?:have|['’]ve)\s+(?:been|[^\W\d_]+ed|grown|risen|fallen|gone)\b",
    re.IGNORECASE,
)
_WRITER = re.compile(
    r"\b(?:I|we)\s+(?:would|could|might|['’]d)|\b(?:I|we)['’]d\b|"
    r"\b(?:had to|have to|forced|must|pressed|asked|choose|pick|guess|müsste|wählen|devais|choisir|tuviera|elegir|"
    r"dovessi|scegliere|tivesse|escolher)\b",
    re.IGNORECASE,
)
"""The writer chooses under a condition that is met ("if I had to choose, it would be A")."""

_FORMS = {
    "ja": r"(?<!か)もし(?!れ|く)|(?<!によ)(?<!比べ)[れえけせてめべげね]ば|"
    r"(?<!も)(?<!あ)(?<!か)たら(?!す|さ|し)|(?<=[るいただくぐすつぬぶむう])なら(?![なずびんうぬ])|場合",
    "ko": r"(?:(?<![반측화장전표])면|경우)(?=[\s,，에은])",
    "tr": r"(?<![^\W_])\w+(?:[aeıiuü]r|m[ae]z|yor|[aeıiuü]rm[ıiuü]ş|ecek|acak)s[ae](?:[mnk]|lar|ler)?(?![^\W_])"
    r"(?!\s+(?:bile|dahi|da|de)(?!\w))"
    r"|(?<![^\W_])(?:halinde|takdirde|durumunda|şartıyla|koşuluyla|sürece)(?![^\W_])",
    "de": BEGIN + r"(?!(?:Seit|Mit|Laut|Statt|Anstatt|Wegen|Neben|Gegen|Zwischen|Nicht|Jetzt|Zuletzt)\b)"
    r"[A-ZÄÖÜ][a-zäöüß]+(?:t|en)\s+(?:sich|es|man|d(?:ie|er|as|em|en)|dies\w+|ihre?|seine?|deren)\s"
    r"[^,.;:]{1,80},\s*(?:so\s+|dann\s+)?"
    r"(?=(?-i:wird|werden|dürfte|dürften|könnte|steigt|sinkt|fällt|ist|kann)\b)",
    "es": BEGIN + r"De\s+(?:no\s+)?[^\W\d_]+(?:ar|er|ir)(?:se|lo|la)?\s+(?=[^,]{2,80},)",
    "en": BEGIN + r"(?:(?:So|Thus|Therefore|And|But),?\s+)?(?-i:[Ss]hould|[Ww]ere|[Hh]ad)\s+(?!(?:I|we|you)\b)"
    r"[^,.;:?]{3,80},(?=[^?]*\Z)",
}  # fmt: skip
"""Conditions that a verb makes by its form or its place ("Should margins recover, …", 需要が回復すれば)."""
_REACH, _EDGE = 80, 12
"""Characters of a condition that are looked at, and before it."""
_FAR = 400
"""Characters between a label and a condition behind it that may govern it."""
_CLAUSE_BEGINS = re.compile(
    r"(?:\A|[,،，、;:：—–(（]|\s-\s|(?<![^\W_])(?:and|so|then|that|dass|und|dann|que|qu['’]|et|donc|y|e|che|allora|что|и|то|bahwa|"
    r"dan|maka|أن|ف|कि|तो|ve)\s)[\s*_\"'“(>]*\Z",
    re.IGNORECASE,
)
_GAP = re.compile(
    r"(?:(?!(?<![^\W_])(?:and|or|but|while|because|since|as|which|that|where|whereas|so|therefore|although|though|even|und|weil|da|"
    r"während|aber|et|car|parce|puisque|mais|y|porque|ya|pero|perché|poiché|ma|pois|mas|потому|так|но|и|karena|tetapi|dan|"
    r"لأن|لكن|क्योंकि|लेकिन|और|çünkü|ama|ve)(?![^\W_])|因为|因為|但|而|所以)[^.;:：；。()（）—–\n])*",
    re.IGNORECASE,
)
"""Between a label and a condition behind it that governs it, not another clause."""
_STOP = re.compile(r"[,،，、:：。.;؛；]|\bthen\b")
_FEW = re.compile(r"\s*(?:\S+\s+){0,6}\S*")
"""The words behind "without" that say what is lacking."""
_A_THING = re.compile(
    r"\s+(?:an?|any|further|additional|new|more|some|eine?[nrms]?|weitere[nrms]?|neue[nrms]?|zusätzliche[nrms]?|une?|un[oa]|uma?|"
    r"nouve\w+|nuev\w+|nuov\w+|nov[oa]s?|[^\W\d_]+\s+(?:de|du|des|d['’]|del|della|dei|di|do|da))(?![^\W_])|\s+d['’]",
    re.IGNORECASE,
)
"""Behind a "without" inside a sentence, something that may come or not; else it tells a manner ("without effort")."""
_BEHIND = frozenset(("tr", "hi", "ja", "ko"))
"""Languages in which what is lacking stands before the word that says so."""
_BARE = frozenset(("ru", "id", "ar"))
"""Languages without articles, in which a thing that may come is told by no word before it."""
_KOREAN = r"|(?<![\uac00-\ud7af])(?:없이(?:는)?|없인)(?=[\s,，])"
"""Korean "without", where it is no part of an adverb (끊임없이)."""


def supposed(text: str, words: Sequence[LabelWord], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words stand in a sentence that only supposes.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    codes
        Languages whose verbs count.
    """
    marked = [False] * len(words)
    if not words or not (_verbs(codes).search(text) or _condition(codes).search(text)):
        return marked
    start, ends = 0, [*(match.start() for match in _PART.finditer(text)), len(text)]
    index, before, last = 0, 0, ""
    for end in ends:
        first = index
        while index < len(words) and words[index].start < end:
            index += 1
        part = text[start:end]
        is_split = len({word.label for word in words[first:index]}) > 1 and bool(_OTHERWISE.search(part))
        if index > first and (is_split or _supposes(part, codes) or _is_case(text, start, end, words[index - 1])):
            marked[first:index] = [True] * (index - first)
        if index > first:
            is_case = _OTHERWISE.search(part) and _condition(codes).search(last)
            if is_case and words[first - 1].label != words[first].label:  # "Yes, if …. Otherwise no."
                marked[before:index] = [True] * (index - before)
            before, last = first, part
        start = end
    return marked


def _is_case(text: str, start: int, end: int, word: LabelWord) -> bool:
    """Whether a label is all that is said for a case ("if profits rise, yes")."""
    if _WRITER.search(text, start, end) or re.search(r"[^\W_]", text[word.end : end]):
        return False
    return bool(_CASE.fullmatch(text, start, word.start))


def _supposes(part: str, codes: tuple[str, ...]) -> bool:
    if _WRITER.search(part):
        return False
    if _COUNTERFACTUAL.search(part):
        return True
    return bool(_verbs(codes).search(part) and _condition(codes).search(part))


@cache
def _verbs(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(phrases(words_of(tuple(dict.fromkeys((*codes, "en"))), "irrealis")), re.IGNORECASE)


@cache
def _condition(codes: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(_CONDITIONS[code] for code in dict.fromkeys((*codes, "en")) if code in _CONDITIONS)
    return re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])|\A[\s*_\"'(]*(?:Had|Were)\s", re.IGNORECASE)


def conditional(text: str, words: Sequence[LabelWord], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words stand in a sentence that holds under a condition alone."""
    marked = [False] * len(words)
    opening = _opening(codes)
    if not words or not opening.search(text):
        return marked
    start, ends = 0, [*(match.start() for match in _PART.finditer(text)), len(text)]
    index = 0
    for end in ends:
        first = index
        while index < len(words) and words[index].start < end:
            index += 1
        if index > first:
            part = text[start:end]
            spans = {(word.start - start, word.end - start) for word in words[first:index]}
            conditions = [one for one in _conditions(part, codes) if one[:2] not in spans]
            begun = next((place for place, _, is_first in conditions if is_first), len(part))
            for place in range(first, index) if conditions else ():
                word = words[place].moved(-start)
                marked[place] = begun < word.start or _is_governed(part, word, conditions)
        start = _behind_mark(text, end)
    return marked


def is_met(clause: str, codes: tuple[str, ...]) -> bool:
    """Whether a clause that ends in a colon is a condition that the writer meets ("if I had to choose:")."""
    if not re.search(r"[:：]\s*[*_\"'“`(]*\Z", clause):
        return False
    return bool(_opening(codes).search(clause)) and not _conditions(clause, codes)


def _behind_mark(text: str, end: int) -> int:
    """Return where the part behind a mark begins."""
    mark = _PART.match(text, end)
    return mark.end() if mark and not mark.group()[-1:].isalpha() else end


def _is_governed(part: str, word: LabelWord, conditions: Sequence[tuple[int, int, bool]]) -> bool:
    """Whether the next condition behind a label governs it, with no other clause between."""
    at = bisect_left(conditions, (word.end, 0, False))
    if at == len(conditions) or conditions[at][0] - word.end > _FAR:
        return False
    return bool(_GAP.fullmatch(part, word.end, conditions[at][0]))


def _conditions(part: str, codes: tuple[str, ...]) -> list[tuple[int, int, bool]]:
    """Return where the conditions of a part of a sentence begin and end, and whether each begins its clause."""
    granted = [match.span() for match in _pattern(codes, "conceded_conditions").finditer(part)]
    starts, ends = {first for first, _ in granted}, {last for _, last in granted}
    found = []
    for match in _opening(codes).finditer(part):
        start, end = match.span()
        if start in starts or end in ends:
            continue
        stop = _STOP.search(part, end, end + _REACH)
        clause = part[end : stop.start() if stop else end + _REACH]
        own = _pattern(codes, "own_conditions")
        ahead = part[max(0, start - _EDGE) : start]
        begins = bool(_CLAUSE_BEGINS.search(ahead if start <= _EDGE else f"x{ahead}"))
        if match.lastgroup in ("absence", "absence_behind"):
            leads = begins or match.lastgroup == "absence_behind" or bool(JOINED.match(match.group()))
            is_event = leads or bool(_BARE.intersection(codes)) or _A_THING.match(part, end)
            if is_event and not _is_without_own(part, match, clause, codes):
                found.append((start, end, leads))
            continue
        is_form = match.lastgroup == "form"
        whole = part[max(0, start - _REACH) : end + len(clause)]
        if own.match(clause.lstrip()) or (_is_joined(codes) and own.search(whole)):
            continue
        found.append((start, end, bool(is_form or JOINED.match(match.group()) or begins)))
    return found


def _is_without_own(part: str, absence: re.Match[str], clause: str, codes: tuple[str, ...]) -> bool:
    """Whether what is lacking is what an answer goes by or leaves out, or leaves no doubt ("without further data")."""
    own, few = _pattern(codes, "own_absences"), _FEW.match(clause)
    if few is not None and own.search(few.group()):
        return True
    start = absence.start()
    is_behind = absence.lastgroup == "absence_behind"
    return is_behind and bool(own.search(_STOP.split(part[max(0, start - _REACH) : start])[-1]))


def _is_joined(codes: tuple[str, ...]) -> bool:
    return bool({"ja", "ko", "tr", "zh"} & set(codes))


@cache
def _pattern(codes: tuple[str, ...], kind: str) -> re.Pattern[str]:
    return re.compile(phrases(words_of(codes, kind)), re.IGNORECASE)


@cache
def _opening(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of what begins a condition, by a word or by the form or place of a verb."""
    known = [code for code in dict.fromkeys((*codes, "en")) if not languages()[code].is_partial]
    forms = "|".join(_FORMS[code] for code in known if code in _FORMS)
    forms += "".join(rf"|{BEGIN}(?:{EVENTS[code]})" for code in known if code in EVENTS)
    before, behind = ([code for code in known if (code in _BEHIND) is is_behind] for is_behind in (False, True))
    return re.compile(
        rf"{phrases(words_of(known, 'conditions'))}|(?P<absence>{phrases(words_of(before, 'absences'))})|"
        rf"(?P<absence_behind>{phrases(words_of(behind, 'absences'))}{_KOREAN if 'ko' in known else ''})|"
        rf"(?P<form>{forms})",
        re.IGNORECASE,
    )
