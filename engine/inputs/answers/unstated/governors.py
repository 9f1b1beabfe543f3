"""What governs a label of movement in an English sentence: where it is nothing that foretells, it states nothing.

The lists hold what foretells ("points to an increase", "the outlook is an increase", "it is clear that …"), since what
does not is without number ("the CEO wants an increase", "the myth that EPS will increase persists").
"""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import phrases, words_of

_FORETELLS = re.compile(
    r"(?:predict|forecast|expect|anticipat|foresee|foresaw|project|estimat|guess|say|said|think|thought|believ|conclud|infer|"
    r"assum|see|seen|show|suggest|indicat|impl|point|signal|support|favou?r|mean|lead|led|result|translat|tip|tilt|lean|tend|"
    r"speak|call|argu|choos|chose|pick|select|go|going|went|opt|bet|settl|answer|label|hint|confirm|justif|warrant|caus|driv|"
    r"produc|bring|yield|creat|trigger|boost|fuel|contribut|consist|compatible|line|head|have|having|be|is|being|been|remain|"
    r"reflect|prompt|giv|read|mark|rat|classif|assess|judg|view|spell|herald|promis|foreshadow|outlook|likelihood|"
    r"probability|direction|prediction|expectation|sign|evidence|indication|case|projection|conclusion|verdict|vote|potential|"
    r"room|toward|ahead|with|experienc|ventur|stat|deduc|look|find|found|chance|odds|possib|risk|prospect)\w*|"
    r"than|more|or|and|nor|not|but|versus|vs|over|rather",
    re.IGNORECASE,
)
_NOUN = re.compile(
    r"(?:(?P<before>[\w'’-]+)\s+)?(?P<governor>[\w'’-]+)\s+(?:(?:to|towards?|for|in|into|of|on|with|as|that|by|not|only|also|"
    r"indeed|at|from|over|me|us|one|\w+ly)\s+){0,2}(?:an?|some|another|further)\s+(?:[\w'’-]+\s+){0,3}?[*_\"']*\Z",
    re.IGNORECASE,
)
"""A movement with an article, and the word that governs it."""
_CALLED = re.compile(
    r"\b(?:I|we)(?:['’](?:d|ll))?\s+(?:[\w'’-]+\s+){0,3}?(?:classify|call|label|rate|mark|describe|regard|view|see|interpret|read|judge|"
    r"consider|count|treat|categori[sz]e|tag|deem|assess)\s+(?:this|it|that|them|these)\s+(?:as\s+)?(?:an?|another)\s+"
    r"(?:[\w'’-]+\s+){0,3}?[*_\"']*\Z",
    re.IGNORECASE,
)
"""What the writer calls it ("I'd classify this as a decrease")."""
_PREPOSITIONS = frozenset(
    ("to", "toward", "towards", "for", "in", "into", "of", "on", "with", "at", "by", "from", "as")
)
_COPULAS = frozenset(("is", "was", "be"))
_FORETOLD = re.compile(
    r"\b(?:answer|prediction|forecast|outlook|direction|outcome|result|conclusion|verdict|expectation|scenario|likel\w+|"
    r"probab\w+|plausible|call|view|guess|estimate|trend|it|this|that|there|choice|assessment|judge?ment|eps|earnings|impact|"
    r"effect|option|opinion|sense|belief|thesis|pick|label|bet|projection|trajectory|what|response|implication|signal|change|"
    r"movement|move|indication|upshot|takeaway|reading|summary|point|fact|consequence|which|picture|finding|safest|best)s?\b",
    re.IGNORECASE,
)
"""Of what it may be said that it is a movement."""
_BOUND_FOR = re.compile(
    r"\b(?:poised|positioned|set|headed|heading|bound|primed|slated|destined|in|due|ready|on\s+(?:track|course))\s+for\s+"
    r"(?:an?|some|another|further)\s+(?:[\w'’-]+\s+){0,3}?[*_\"']*\Z",
    re.IGNORECASE,
)
"""What moves is about to ("poised for an increase")."""
_IN_MY_VIEW = re.compile(
    r"(?:\A|[\s,;:—–])(?:(?:in|to|from|by)\s+(?:my|our)\s+(?:[\w'’-]+\s+){0,2}?(?:opinion|view|judge?ment|estimat\w+|assessment|"
    r"mind|perspective|reading|analysis|eyes|experience|belief|point\s+of\s+view|reckoning)|for\s+(?:me|us)|"
    r"(?:based|judging|going|relying)\s+(?:up)?on\s+(?:[\w'’-]+\s+){1,6}?|given\s+(?:[\w'’-]+\s+){1,6}?|"
    r"(?:on|all\s+things)\s+(?:balance|considered)|at\s+(?:this|the)\s+(?:point|moment)|"
    r"(?:in|for|over|during)\s+(?:the\s+)?(?:next|coming|following|upcoming|current)\s+(?:fiscal\s+)?(?:years?|quarters?|periods?))\s*"
    r"(?=(?:an?|some|another|further)\s+(?:[\w'’-]+\s+){0,3}?[*_\"']*\Z)",
    re.IGNORECASE,
)
"""The writer, or what the writer goes by, at a clause's beginning, without a comma before what it says."""
_PREDICATED = re.compile(
    r"[*_\"'’]*(?:\s+(?:in|of|for)\s+(?:[\w'’-]+\s+){0,4}?[\w'’-]+)?\s+(?:is|seems|appears|looks|remains|will|should|must)\b",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"\b(?:reject|disagree|question|dispute|deny|myth|unconvinced|unpersuaded|challenge|oppose|refute|dismiss|contest|struggl\w+|"
    r"forgiven|temptation|tempting|fallac\w+|mistak\w+|illusion|danger|rumou?rs?|would\s+love|['’]d\s+love|want(?:s|ed)?|would\s+like|"
    r"['’]d\s+like|longing|look(?:s|ed|ing)\s+for|target\w*|goal|aim|wish|bull\s+case|bear\s+case)\b",
    re.IGNORECASE,
)
"""In the clause before a movement: verbs and nouns by which it is refused, or wished for."""
_NOT_REFUSED = re.compile(r"\b(?:no|not|without|beyond|little|cannot|never|hard)\b|n['’]t\b", re.IGNORECASE)
_TIMED = re.compile(r"(?:\A|[\s,;:(—–])(?:before|until|till|lest|whenever|by\s+the\s+time)\s[^,]*\Z", re.IGNORECASE)
_CLAUSE_AS_SUBJECT = re.compile(
    r"[\s*_\"'(>-]*(?:that\b|to\s+(?:say|claim|conclude|predict|expect|argue|believe|think|assume|suggest)\b)",
    re.IGNORECASE,
)
_FINITE = re.compile(
    r"[^.!?;,\n]*?\s(?:is|would|seems|appears|looks|remains|strikes|sounds|requires|goes|runs)\b", re.IGNORECASE
)
_ALONE = re.compile(r"[\s*_\"'(>-]*(?:an?|any)\s+(?:[\w'’-]+\s+)?[*_\"']*\Z", re.IGNORECASE)
_OF_WHAT = r"[*_\"'’]*(?:\s+(?:in|of|for)\s+(?:[\w'’-]+\s+){0,3}?[\w'’-]+)?"
_STRIKES = re.compile(
    rf"{_OF_WHAT}\s+(?:strikes|seems?|sounds?|looks?|feels?)\s+(?:me\s+|us\s+)?(?:as\s+)?(?:too\s+)?(?:im|un|far|hard|odd|wrong)\w*",
    re.IGNORECASE,
)
_FOUND_HARD = re.compile(
    rf"{_OF_WHAT}\s+(?:(?:very|too|quite|rather)\s+)?(?:hard|difficult|tough|im\w+|un\w+)\s+(?:to\s+\w+|\Z|[,.])",
    re.IGNORECASE,
)
_NEEDS = re.compile(
    r"\b(?:needs?|require[sd]?|takes?)\s+[^,.;]{1,40}\bto\s+[*_\"']*\Z|\b(?:intended|meant|designed|supposed|needed|required|used)\s+to\s+[*_\"']*\Z",
    re.IGNORECASE,
)
_BARELY = re.compile(r"\bonly\s+(?:through|by|with|via|on)\b", re.IGNORECASE)
_PEAKED = re.compile(
    rf"{_OF_WHAT}\s+(?:peaked|plateaued|topped|tapered|stagnated|eased|cooled|abated|ebbed|waned|slackened|flattened)\b",
    re.IGNORECASE,
)
_OTHERS_HAVE = re.compile(
    r"\b(?:consensus|analysts?|street|bulls|bears|market|management|guidance)\s+(?:has|have|sees?|had)\b", re.IGNORECASE
)


def is_ungoverned(ahead: str, before: str, behind: str) -> bool:
    """Return whether a movement is governed by nothing that foretells it.

    Parameters
    ----------
    ahead
        Its sentence, up to the movement.
    before
        Its clause, up to the movement.
    behind
        The rest of its sentence.
    """
    if _TIMED.search(ahead) or (_CLAUSE_AS_SUBJECT.match(ahead) and _FINITE.match(behind)):
        return True
    if _STRIKES.match(behind) or _PEAKED.match(behind) or _BARELY.search(behind) or _OTHERS_HAVE.search(before):
        return True
    if _NEEDS.search(before) or (_ALONE.search(before) and _FOUND_HARD.match(behind)):
        return True
    if _REFUSED.search(before) and not _NOT_REFUSED.search(before):
        return True
    noun = _NOUN.search(before)
    if noun is None or noun["before"] is None or _BOUND_FOR.search(before) or _CALLED.search(before):
        return False
    if _IN_MY_VIEW.search(before) and _PREDICATED.match(behind):
        return False
    governor = noun["governor"].casefold()
    if governor in _PREPOSITIONS:
        governor = noun["before"].casefold()
    if not _FORETELLS.fullmatch(governor):
        return not _things().fullmatch(governor)
    if governor.endswith("ing") and noun["before"].casefold() in ("for", "from", "about", "against", "without"):
        return True
    return governor in _COPULAS and not _FORETOLD.search(before[: noun.start("governor")])


@cache
def _things() -> re.Pattern[str]:
    """Return a pattern of what moves: "EPS an increase" is no sentence, and a table's row."""
    return re.compile(
        phrases([word for kind in ("subjects", "others", "neighbours") for word in words_of(("en",), kind)]),
        re.IGNORECASE,
    )
