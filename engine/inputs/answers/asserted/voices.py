"""Whose voice names a label, in English: somebody else's, a first guess, a quotation, a mention of the word.

The verbs are those of ``unstated.reporting``. The lists are open, so that a frame that states (``frames``) is asked for
as well.
"""

from __future__ import annotations

import re

from engine.inputs.answers.unstated.reporting import CONCLUDING, NAMING, QUOTING, TELLING, finite

_DRESS = r"[*_`\"'“‘«(\[$\\]*"
KEY = re.compile(
    rf"(?:\A|[\n.;,|{{(!?—–-])\s*{_DRESS}(?P<key>[^\n.;:!?|]{{1,60}})[*_\"'`)\]]*\s*[:=→|–—-]+>?\s*{_DRESS}\Z"
)
_NO_KEYS = re.compile(
    r"\b(?:consensus|analysts?|street|market|guidance|management|prior|previous|last|former|baseline|naive|users?|students?|others?|"
    r"examples?|options?|choices|labels|todo|train\w*|\w+-shot|shot|annotators?|raters?|laut|selon|según|sources?|notes?|expected\s+by|old|original|initial|first|placeholder|instinct|competitors?|peers?|"
    r"bulls?|bears?|critics?|press|media|template|format|default|scenario|case|hypothetical\w*|argument|legend|question|prompt|"
    r"task|input|gold|reference|target|actual|true\s+label|history|yesterday|before|headline|title|quote|word|synonyms?|antonyms?|"
    r"opposite|distractors?|trap|if\b[^:]*|when\b[^:]*|suppose\w*|imagine\w*|pretend\w*|goal|aim|wish|hope)\b",
    re.IGNORECASE,
)
_OWN_KEY = re.compile(
    r"\bmy\s+(?:final\s+)?(?:answer|prediction|verdict|conclusion|response|forecast)\b|\bto\s+answer\b|"
    r"\bif\s+(?:I|we|you|forced|pressed|asked|pushed|made|required)\b",
    re.IGNORECASE,
)
_EXCEPTED = re.compile(
    r"\A[\W_]*(?:unless(?!\s+(?:I|we)\b)|provided|supposing|were\b|had\b|as\s+long\s+as)\b", re.IGNORECASE
)
_MAYBE_NOT = re.compile(r"\b(?:might|may|could)\b", re.IGNORECASE)
_NOT_SO = re.compile(
    r"\b(?:might|may|could)\s+(?:\w+\s+)?not\b|\bor\s+(?:it\s+)?(?:might|may|could)?\s*not\b", re.IGNORECASE
)
_REPORTED = re.compile(rf"\b{finite(TELLING)}\b", re.IGNORECASE)
_NOUNS = re.compile(r"remarks|notes|reports?|claims|hopes|fears|wishes|reported", re.IGNORECASE)
_NOUN_BEFORE = re.compile(
    r"\b(?:the|some|these|those|its|their|his|her|any|many|few|all|no|positive|negative|critical|annual|quarterly|financial|"
    r"foot|insurance|high|of|in|on|from|with|as|and|than|revenue|income|profits?|growth|sales|earnings|eps|losses|loss|figures?)\s+\Z",
    re.IGNORECASE,
)
"""Before a noun, or what was reported ("the notes", "growth reported at 12 %")."""
_ACCORDING = re.compile(
    r"\baccording\s+to\s+(?!(?:[\w'’-]+\s+){0,4}?(?:data|figures?|numbers?|trends?|statements?|text|passage|analysis|premise|table|"
    r"information|ratios?|sheets?|reports?|filings?|results?|context|rules?|laws?|theory|theorem|formula|document|article|principles?|"
    r"calculations?|evidence|definition|abstract|study|me|us)\b)",
    re.IGNORECASE,
)
"""Whose word a sentence is, where it is not what is judged."""
_OWN_CLAUSE = re.compile(
    r"(?!\s*(?:that|whether|how|which|who)\b)[^.;]*?\b(?:I|we|eps|earnings|profits?|income|company|firm|sentiment|review|tone|text|answer|"
    r"label|direction|relation|overall|therefore|thus|hence|it|option|choice)\b",
    re.IGNORECASE,
)
"""Behind a break, a clause with a subject of its own."""
_OWN_REPORT = re.compile(
    r"\b(?:I|we|which|that|this|it|data|evidence|figures?|numbers?|statements?|company|firm|results?|trends?)\s+(?:\w+ly\s+|have\s+|has\s+)?\Z",
    re.IGNORECASE,
)
_SAID_BY = re.compile(
    rf"[*_,.!?]*[\"'”’»]+[,]?\s*(?:(?!I\b|we\b)[^\W\d_][\w'’]*\s+){{0,4}}?{finite(QUOTING)}\b(?!\s+I\b)",
    re.IGNORECASE,
)
"""Behind a quotation, who said it."""
_SAID_BEHIND = re.compile(
    r"(?:[,;]|\s[—–-])\s*(?!I\b|we\b|(?:as|since|because|although|though|while|which|who|and|but|given|after|with|where|when|if|"
    rf"so|that|this|it|despite|notwithstanding|in|on|due|owing|thanks|amid|by|for|from|like|even|except|apart|besides|not|"
    rf"rather)\b)(?:[\w'’]+\.?\s+){{1,4}}{finite((*CONCLUDING, *TELLING), is_behind_name=True)}\b"
    r"(?!\s+(?:to|by|that|an?|the|its)\b)|"
    r"\baccording\s+to\s+(?!(?:the\s+|my\s+|our\s+|these\s+|this\s+|its\s+)?(?:data|figures?|numbers?|trend|statements?|text|passage|"
    r"analysis|premise|table|information|ratios?)\b)",
    re.IGNORECASE,
)
"""Behind a label, who else says so ("EPS to decrease, sources say")."""
_OR_NOT = re.compile(r"\b(?:maybe|perhaps|possibly|or)\s+not\b", re.IGNORECASE)
_LEVEL = (
    r"(?:(?:stay|remain|hold|keep|be|stagnat)\w*\s+)?(?:at\s+least\s+|roughly\s+|about\s+|largely\s+)?"
    r"(?:flat|stable|steady|unchanged|constant|the\s+same|stagnat\w+|sideways)"
)
_OR_FLAT = re.compile(rf"[*_\"']*\s+(?:slightly\s+|modestly\s+)?or\s+{_LEVEL}\b", re.IGNORECASE)
_FLAT_OR = re.compile(rf"\b{_LEVEL}\s+or\s+(?:\w+ly\s+|to\s+)*[*_\"']*\Z", re.IGNORECASE)
"""Another outcome than a label's, joined by "or" ("EPS will increase or stay flat")."""
_OR_WILL_IT = re.compile(
    r"[\s.…,—–-]*or\s+(?:will|would|does|do|is|are|can)\s+(?:it|they)\b[^.!?\n]{0,20}\?", re.IGNORECASE
)
_AS_SAID = re.compile(
    rf"[\W_]*(?:as\s+(?!(?:(?:the|these|this|our|my|its)\s+)?(?:I|we|data|figures?|numbers?|trends?|statements?|tables?|analysis|ratios?|"
    rf"above|models?|evidence|it|this|that|they)\b)[^,.;:]{{2,60}}\s(?:puts?\s+it|{finite((*TELLING, *QUOTING))})\b|"
    r"in\s+the\s+words\s+of\s[^,.;:]{2,60}|(?:to\s+quote|quoting)\s[^,.;:]{2,60})[^,.;:]{0,40}[,:]",
    re.IGNORECASE,
)
"""A sentence's beginning that says whose words it is ("As the chairman put it, …")."""
_NO_VIEW = re.compile(
    r"[^.!?\n]{0,40}\b(?:but|yet|however|though|although)\b,?\s+(?:I|we)\s+(?:\w+ly\s+)?(?:(?:have|take|hold|offer|make)\s+no\s+(?:\w+\s+)?"
    r"(?:view|opinion|position|idea|prediction|forecast|stance)|(?:will\s+not|won['’]t|do\s+not|don['’]t|cannot|can['’]t)\s+"
    r"(?:predict|commit|take\s+a|know|agree|share)\b)",
    re.IGNORECASE,
)
"""A writer who says no more than what was said by others."""
_QUOTES = re.compile(r"\s*[:,]\s*[*_]*[\"“«„'‘][^\"”»]*\Z")
"""Behind a report, words that it quotes up to where a label stands."""
_SAID = re.compile(
    rf"\b(?!(?:I|we|it|this|that|which|answers?|predictions?|conclusions?|outputs?|labels?|fields?|results?|models?|verdicts?)\b)"
    rf"[^\W\d_][\w'’-]*\s+(?:\w+ly\s+|has\s+|have\s+)?{finite((*QUOTING, *CONCLUDING))}(?={_QUOTES.pattern})",
    re.IGNORECASE,
)
"""Somebody and a verb of saying before such words ('Management said: "We will …')."""
_FIRST_GUESS = re.compile(
    r"\b(?:first|initial|original|early|earlier|previous|gut|knee-jerk|old|former)\s+(?:\w+\s+)?(?:instinct|guess|thought|answer|impression|"
    r"reaction|prediction|idea|take|read|reading|hunch|choice|pick|inclination|response|verdict|hypothesis)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\b(?:the\s+)?(?:word|term|string|token|phrase|spelling|label|key|name|variable|literal|verb|noun)s?\s+[\"'“‘`*]+\Z",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(?P<who>(?:[\w'’-]+\s+){{0,2}}){finite(NAMING)}\s+(?:[\w'’-]+\s+){{0,6}}?(?:as\s+)?[*_]*[\"'“‘«]+\Z",
    re.IGNORECASE,
)
_WRITER = re.compile(r"\b(?:I|we|is|are|be|best|can|should|my|our)\s", re.IGNORECASE)
"""Who gives a name in quotes that is the writer's own verdict ("I would label it 'positive'")."""
_PEOPLE = re.compile(
    r"\b(?:bulls?|bears?|optimists?|pessimists?|analysts?|critics?|experts?|economists?|traders?|investors?|forecasters?|"
    r"reviewers?|colleagues?|friends?|students?|people|others|everyone|everybody|somebody|someone|anyone|nobody|"
    r"he|she|ceo|cfo|management|consensus|wall\s+street|the\s+market|press|media|rumou?rs?|headlines?(?!\s+(?:is|are|was|were|seems?|reads?|sounds?|has|conveys?|carries|expresses)\b)|pundits?|commentators?|"
    r"observers?|insiders?|grandmother|grandfather|mother|father|brother|sister|boss|teacher|professor|model\s+card)"
    r"(?:\s+(?:in|of|at|who|with)\s+[^.;,]{1,40}?)?\s+(?:\w+ly\s+|have\s+|has\s+|had\s+|would\s+|might\s+|may\s+|will\s+)?"
    r"(?!should\b|factors?\b|signs?\b|indicators?\b|ratios?\b|likely\b|of\b|and\b|or\b|would\b|that\b)[a-z]+(?<!ly)\b",
    re.IGNORECASE,
)
"""People other than the writer, with a verb of theirs."""
_CONVINCED = re.compile(
    r"\b(?!(?:I|we|it|this|that|which|evidence|data|model)\b)[^\W\d_][\w'’-]*\s+(?:is|are|was|were|remains?|seems?|sounds?)\s+(?:\w+ly\s+|very\s+|quite\s+)?"
    r"(?:confident|convinced|optimistic|hopeful|certain|sure|adamant|of\s+the\s+(?:opinion|view))\s+(?:that|about)\b|"
    r"\b(?!(?:model|let)['’])[^\W\d_]+['’]s?\s+(?:own\s+)?(?:view|opinion|belief|expectation|position|take|estimate|hope|guess)\s+(?:is|was|remains)\b",
    re.IGNORECASE,
)
"""Somebody other than the writer who is sure of something ("the board is confident that …")."""
_CLAUSES = re.compile(r"[,;:—–]|\b(?:but|yet|so|and|while|whereas|because)\b", re.IGNORECASE)


def is_quoted(behind: str) -> bool:
    """Return whether a label ends what somebody else is quoted to say ('"Increase," she said')."""
    return bool(_SAID_BY.match(behind))


def _is_reported(before: str) -> bool:
    """Whether somebody else's report reaches up to a label: no noun, not the writer's, no clause of its own behind."""
    report = None
    for found in _REPORTED.finditer(before):
        if not (_NOUNS.fullmatch(found.group()) and _NOUN_BEFORE.search(before, 0, found.start())):
            report = found
    if report is None or not before[: report.start()].strip() or _OWN_REPORT.search(before[: report.start()]):
        return False
    breaks = list(_CLAUSES.finditer(before, report.end()))
    return not breaks or bool(_QUOTES.match(before, report.end())) or not _OWN_CLAUSE.match(before, breaks[-1].end())


def _is_said_behind(behind: str) -> bool:
    """Whether somebody else says so behind a label, not by a noun ("…; negative remarks are few")."""
    return any(
        not (_NOUNS.search(found.group()) and _NOUN_BEFORE.search(re.sub(r"[^\W\d_]+\Z", "", found.group())))
        for found in _SAID_BEHIND.finditer(behind)
    )


def is_undone(before: str, behind: str, following: str) -> bool:
    """Return whether a sentence is somebody else's, a first guess, about a word, an exception, or taken half back.

    Parameters
    ----------
    before, behind
        Its text on either side of the label.
    following
        What follows the sentence.
    """
    if (
        _is_reported(before)
        or _SAID.search(before)
        or _AS_SAID.match(before)
        or _ACCORDING.search(before)
        or _CONVINCED.search(before)
    ):
        return True
    key = KEY.search(before)
    if (key and _NO_KEYS.search(key["key"]) and not _OWN_KEY.search(key["key"])) or is_quoted(behind):
        return True
    people = None
    for people in _PEOPLE.finditer(before):  # noqa: B007
        pass
    if people is not None and not _CLAUSES.search(before, people.end()):
        return True
    if _NO_VIEW.match(behind) or _OR_FLAT.match(behind) or _FLAT_OR.search(before):
        return True
    if _is_said_behind(behind) or _OR_NOT.search(behind) or _OR_WILL_IT.match(behind + following):
        return True
    named = _NAMED.search(before)
    if named and named["who"].strip() and not _WRITER.search(named["who"]):
        return True
    if _FIRST_GUESS.search(before) or _QUOTED.search(before) or _EXCEPTED.match(before):
        return True
    return bool(_MAYBE_NOT.search(before) and _NOT_SO.search(behind + following[:80]))
