"""Labels in a frame that states nothing: an aim ("plans to increase EPS"), a supposition, a conclusion nobody draws.

English alone. What may govern a label is a closed list here and everything else states nothing, since verbs and
adjectives of doubt are without number ("it would be rash to predict an increase").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache

from engine.inputs.answers.languages import NOT_AFTER_TITLE, phrases, words_of
from engine.inputs.answers.unstated.governors import is_ungoverned
from engine.inputs.answers.unstated.reporting import CONCLUDING, INFERRING, OTHERS_SAID, OTHERS_WHO, any_form, offices
from engine.inputs.answers.words import LabelWord


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REACH = 160
_SENTENCE_END = re.compile(rf"[\n!?;。！？；]|{NOT_AFTER_TITLE}\.(?!\d)")
_CLAUSE_END = re.compile(
    r"[,:()–—]|\s-\s|\b(?:but|(?<!has )(?<!have )(?<!had )yet|however|although|though|because|since|so|therefore|thus|"
    r"hence)\b",
    re.IGNORECASE,
)
_ADVERB = r"(?:(?:\w+ly|further|again|also|now|then|even|still|indeed|soon|go|move)\s+)"
_SAY = rf"(?:{any_form((*CONCLUDING, *INFERRING))}|(?:bet|bets|betting)\s+on|call(?:s|ed|ing)?\s+for)"
"""Verbs by which somebody concludes."""
_MEAN = (
    r"(?:mean|impl[yi]|suggest|indicat|guarante|warrant|justif[yi]|support|signal|count\s+on|mistak|lead|translat|result|"
    r"point)"
    r"(?:e?s|e?d|e|ing)?"
)
"""Verbs by which something is a reason for a conclusion."""
_TO = re.compile(
    rf"(?P<governor>[^\W\d_][\w'’-]*\W{{1,3}}(?:\w+ly\W{{1,3}})?)?\bto\s+(?P<others>(?:[\w'’-]+\s+){{1,5}}and\s+)?{_ADVERB}{{0,2}}[*_\"']*\Z",
    re.IGNORECASE,
)
"""An infinitive right before its verb, or before another one that "and" joins."""
_PREDICTS = _words(
    """
    expected likely unlikely going set bound poised projected forecast forecasted predicted anticipated estimated
    due sure certain apt prone liable destined slated scheduled positioned primed track course expect expects
    predict seem seems seemed appear appears appeared look looks looking tend tends continue continues continuing
    continued begin begins start starts about believed thought said assumed ought has have lead leads leading led
    cause causes causing caused point points pointing pointed according close closer attributed contribute
    contributes contributing contributed translate translates amount amounts tilt tilts lean leans inclined up down
    back next related compared relative respect owing thanks similar subject prior guided forecasts anticipate able
    enough return returns changed change moved switched revised from
    """
)
"""What an infinitive of movement may follow without a subject that moves ("is expected to increase")."""
_SAID_FREELY = _words(
    """
    reasonable fair safe logical sensible plausible natural justified appropriate prudent sound easy right correct
    possible valid realistic best inclined going have has had able ready happy confident comfortable need needs
    compelled forced led lead leads leading prompt prompts allow allows me us one enough sufficient ought
    reason reasons evidence basis grounds case tend lean prefer choose decide decided proceed continue willing
    prepared obliged time is required asked pushed driven likely sufficient wise fitting straightforward opt cause
    causes used apply
    """
)
"""What an infinitive of concluding may follow ("it is safe to say")."""
_TO_SAY = re.compile(
    rf"(?P<twice>\b(?:not|never)\s+|n['’]t\s+)?\b(?P<governor>[^\W\d_][\w'’-]*)\W{{1,3}}to\s+(?:\w+ly\s+)?{_SAY}\b",
    re.IGNORECASE,
)
_BETWEEN = (
    r"(?:\s+(?!(?:I|we|my|our|and|but|so|yet|which|who|doubts?|doubted|only|just|merely|simply|help|choice|hesitat\w*|"
    r"otherwise|question|wonder|surpris\w*|difficult|hard|wrong|incorrect|crazy|premature|"
    r"irrational|implausible|absurd|un\w+|less|matter|problem|alternative|later|longer|change|far-fetched|why|wait|if)\b)"
    r"(?:(?:would|do|did|can|could|should|will)\s+(?:I|we)|[\w'’-]+)){0,5}?"
)
_NOT_SAID = re.compile(
    r"(?:(?:\b(?:not|cannot|never|nothing|nobody|neither|hardly|fail(?:s|ed)?|(?:refuse|decline)(?:s|d)?(?=\s+to\b)|"
    rf"no(?=\s+\w+\s+(?:would|do)))\b|n['’]t\b){_BETWEEN}\s+(?:to\s+)?(?:{_SAY}|{_MEAN}|conclusions?|predictions?|claims?)\b"
    rf"|\b(?:no|without|little|few){_BETWEEN}\s+(?:to|for|of|in|on\s+which\s+to|that\s+would\s+make\s+me)\s+(?:{_SAY}|{_MEAN})\b"
    rf"|\bwithout\s+{_SAY}\b)",
    re.IGNORECASE,
)
"""A denial, and a verb of concluding in the same clause ("cannot in good conscience predict")."""
_OTHERS_SAY = re.compile(
    rf"(?P<whose>\b(?:my|our|this|the)\s+(?:\w+\s+)?)?\b(?P<who>[^\W\d_][\w'’-]*)\s+(?:would|might|may|could|will)\s+(?:\w+ly\s+)?{_SAY}\b",
    re.IGNORECASE,
)
_NOT_FINITE = re.compile(
    r"\b(?:to|the|an?|as|than|will|would|can|could|may|might|must|should|is|are|be|been|being|was|were|am|do|does|did|"
    r"not|generally|widely|n['’]t|['’]s|['’]re|and|or|with|of|by|in|for|this|that|its|their|my|our|\w+ly|most|more|than|less|previously)\s+\Z|"
    r"[^\w\s'’]\s*\Z|\A\s*\Z",
    re.IGNORECASE,
)
"""What stands before a verb that somebody else's name does not."""
_SOURCES = re.compile(
    r"\b(?:I|we|me|my|us|our|it|this|that|these|those|which|what|all|everything|models?|data|evidence|figures?|numbers?|analysis|"
    r"trends?|trajectory|statements?|ratios?|results?|growth|signs?|factors?|indicators?|signals?|picture|outlook|history|"
    r"fundamentals|pattern|prediction|answer|assessment|one|you)\b",
    re.IGNORECASE,
)
"""Who or what speaks for the writer: the writer, pronouns, and what the writer reads."""
_OFTEN_SAID = re.compile(
    r"\bit\s+is\s+(?:\w+\s+)?(?:said|believed|thought|claimed|argued|held|rumou?red|feared|hoped)\s+that\b"
    rf"|\b(?:was|were|had\s+been)\s+(?:[\w'’-]+\s+)?{_SAY}\s+(?:that|to|by)\b",
    re.IGNORECASE,
)
_WISHED = re.compile(
    r"\b(?:wish(?:es|ed)?|hop(?:es|ed|ing)|(?:I|we|they|you)\s+(?:\w+ly\s+)?hope|longs?\s+for|longing\s+for|dream\w*\s+of|"
    r"pray\w*|crave\w*|deserve\w*|aspire\w*|would\s+(?:like|love|prefer)\s+to\s+see|if\s+only)\b"
    r"|\A[\W_]*as\s+(?:if|though)\b",
    re.IGNORECASE,
)
_EXPECTED = re.compile(
    rf"\b{any_form((*CONCLUDING, *INFERRING, 'see', 'forecast'))}\s+(?:it|them|this|that|these|those|both)\W+\Z|"
    r"\b(?:chang|revis|updat|correct|switch|adjust|amend|alter)\w*\s+(?:my|our|the|this)\s+(?:\w+\s+)?(?:answer|prediction|forecast|"
    r"verdict|response|estimate|assessment|conclusion|label|classification|rating|choice|call|view|outlook)\W+\Z",
    re.IGNORECASE,
)
"""A pronoun, or an answer, of which a change is said ("I expect it to increase", "I change my answer to decrease")."""
_RESISTS = _words(
    """
    yet struggling struggles struggle struggled slow reluctant weak hard unable loath
    """
)
"""What denies an infinitive of any subject ("EPS has yet to increase")."""
_IN_THEORY = re.compile(
    r"[\s*_\"'(>-]*(?:(?:and|but|so)\s+)?(?:hypothetically|theoretically|in\s+theory|on\s+paper|in\s+principle|ideally|"
    r"in\s+(?:an?|the)\s+(?:ideal|perfect|best|hypothetical)\s+(?:world|case|scenario)|for\s+the\s+sake\s+of\s+argument)\b"
    r"(?![^.!?\n]*\b(?:but|however|yet)\b)",
    re.IGNORECASE,
)
_WELCOME = re.compile(
    r"[\s*_\"'(>-]*(?:an?|any)\s+(?:[\w'’-]+\s+)?[*_\"']*\Z",
    re.IGNORECASE,
)
_NOT_COMING = re.compile(
    r"[*_\"'’]*(?:\s+(?:in|of)\s+(?:[\w'’-]+\s+){0,3}?[\w'’-]+)?\s+(?:would|was|were|could|might)\s+"
    rf"(?!be\s+(?:the|my|an?|more|most|likely|expected|consistent|supported|due|driven)\b|seem|appear|follow|make|be\s+{_SAY}\b|"
    rf"(?:\w+ly\s+)?{_SAY}\b(?!\s+by\s+(?!me\b|us\b|the\s+model\b))|my\b|the\b|more\b|most\b|likely\b)",
    re.IGNORECASE,
)
"""Behind a movement that only might be welcome, or was somebody else's."""
_OWN = _words(
    """
    i we you one it this that which these those model and then evidence data analysis trend numbers figures
    """
)
_OF_MODEL = frozenset(("model",))
_AT_FIRST = re.compile(
    r"\b(?:at\s+first|initially|originally|earlier|previously|before|once|until\s+(?:now|then))\b[\s,]+(?:I|we)\s+\w+"
    r"|\b(?:I|we)\s+(?:had\s+)?(?:at\s+first|initially|originally|first|once|previously)\s+\w+"
    r"|\b(?:I|we)\s+(?:was|were)\s+(?:\w+ly\s+)?(?:going|about|tempted|inclined|ready|prepared)\s+to\b",
    re.IGNORECASE,
)
_SUPPOSE = re.compile(
    r"(?:.*,)?[\s*_\"'(>-]*(?:(?:and|but|now|so|or|just|for\s+a\s+moment,?)\s+)*(?:let(?:['’]s|\s+us|\s+me)?\s+)?"
    r"(?:suppose|supposing|imagine|imagining|assume|assuming|pretend|presume|presuming|hypothesi[sz]e|picture|what\s+if|"
    r"if\s+we\s+(?:assume|suppose|imagine))\b",
    re.IGNORECASE,
)
_INVERTED = re.compile(r"[\s*_\"'(>-]*(?:Had|Were|Should)\s+(?!(?:I|we|you)\b)[^\W\d_]", re.ASCII)
_IRREALIS = re.compile(r"\b(?:would|could|might)\b|['’]d\b", re.IGNORECASE)
_ONLY_IF = re.compile(r"\bonly\s+(?:if|when|in\s+case|where|under|provided)\b", re.IGNORECASE)
_THOUGHT = re.compile(
    r"(?<!\bmy )(?<!\bour )\b(?:idea|notion|claim|hypothesis|suggestion|assumption|belief|thought|theory|argument|"
    r"possibility|"
    r"scenario|view|opinion|assertion|contention|premise|proposition|conclusion|prediction|forecast)s?\s+(?:of|that)\b",
    re.IGNORECASE,
)
_GERUND = re.compile(
    r"[\s*_\"'(>-]*(?:predicting|forecasting|concluding|expecting|anticipating|assuming|claiming|saying|choosing|calling|"
    r"betting|picking|arguing)\b",
    re.IGNORECASE,
)
_PREDICATE = re.compile(
    r"[^,.!?;\n]{0,60}?\b(?:is|are|was|were|seems?|looks?|appears?|sounds?|remains?|must|should|can|cannot|fails?|rests|"
    r"lacks?|needs?|requires?|would|strikes|has|makes|contradicts|ignores)\b(?P<said>[^.!?;\n]{0,60})",
    re.IGNORECASE,
)
_AFFIRMED = re.compile(
    r"\b(?:supported|supports|likely|right|correct|true|valid|justified|reasonable|plausible|convincing|sound|strong|clear|mine|my|"
    r"warranted|confirmed|consistent|reinforced|backed|compelling|sensible|holds|based|driven|due|safe|safest|best|most|"
    r"expected|well|logical|grounded|favou?red|prudent|the\s+way)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:not|un\w+|in\w+correct|hardly|never|no|least|im\w+|less)\b|n['’]t\b", re.IGNORECASE)
_HAPPENED = re.compile(
    r"[*_\"'’]*(?:\s+(?:in|of|for)\s+(?:[\w'’-]+\s+){0,3}?[\w'’-]+)?\s+(?:"
    r"did\s+not\s+|didn['’]t\s+|(?:has|have|had)\s+(?!to\b|continued|yet\s+to|been\s+(?:predicted|expected|chosen|selected|driven))"
    r"|(?:lost|came|went|gave|ran|stopped|stalled|paused|halted|slowed|faded|ended|reversed|turned)\b"
    r"|(?:is|are|was|were)\s+(?:\w+ly\s+)?(?!continuing|accelerating|becoming|coming|looking|going|gaining|building|being|"
    r"getting|materiali|following|stemming|resulting|emerging|taking|reflecting|strengthening)[a-z]+ing\b)",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"\b(?:the|this|that|its|their|such|recent|any)\s+(?:[\w'’-]+\s+){0,2}[*_\"']*\Z", re.IGNORECASE)
"""Before a movement that is taken as given, not foretold."""


def unasserted(text: str, words: Sequence[LabelWord], moving: Collection[str], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words stand in a frame that states nothing.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    moving
        Labels of movement.
    codes
        Languages of the text; frames are known in English alone.
    """
    if "en" not in codes:
        return [False] * len(words)
    return [_is_unasserted(text, word, word.label in moving) for word in words]


def _is_unasserted(text: str, word: LabelWord, is_moving: bool) -> bool:
    low = max(0, word.start - _REACH)
    start = low
    for stop in _SENTENCE_END.finditer(text, low, word.start):
        start = stop.end()
    stop = _SENTENCE_END.search(text, word.end, word.end + _REACH)
    end = stop.start() if stop else min(len(text), word.end + _REACH)
    clause = start
    for mark in _CLAUSE_END.finditer(text, start, word.start):
        clause = mark.end()
    sentence, before, behind = text[start:end], text[clause : word.start], text[word.end : end]
    if is_moving and (_is_aim(before, behind) or _has_happened(before, behind)):
        return True
    if is_moving and is_ungoverned(text[start : word.start], before, behind):
        return True
    if is_moving and _WELCOME.fullmatch(before) and _NOT_COMING.match(behind):
        return True
    if _IN_THEORY.match(sentence) or _WISHED.search(before):
        return True
    return _is_supposed(sentence, text[start : word.start], before, behind) or _is_nobodys(
        before, behind, text[start:clause]
    )


def _is_aim(before: str, behind: str) -> bool:
    """Whether a movement is what somebody wants, or is there to be reached ("in order to increase EPS, …")."""
    aim = _TO.search(before)
    if aim is None:
        return False
    if aim["governor"] is None:
        return not before[: aim.start()].strip(" \t*_\"'>-") and "," in behind
    governor = re.sub(r"\W+(?:\w+ly\W+)?\Z", "", aim["governor"]).casefold()
    if _EXPECTED.search(before[: aim.end("governor")]):
        return False
    if governor in _RESISTS:
        return True
    if governor in _PREDICTS or re.search(r"\bfrom\b[^,.]*\Z", before[: aim.end("governor")], re.IGNORECASE):
        return False
    return not _subject().search(before[: aim.end("governor")])


def _has_happened(before: str, behind: str) -> bool:
    """Whether a movement that is given has come or gone ("the increase in EPS has stalled")."""
    return bool(_GIVEN.search(before) and _HAPPENED.match(behind))


def _is_supposed(sentence: str, ahead: str, before: str, behind: str) -> bool:
    supposed = _SUPPOSE.match(ahead)
    if supposed and not re.search(r",|\bthen\b", ahead[supposed.end() :]):
        return True
    if _INVERTED.match(sentence) and _IRREALIS.search(sentence):
        return True
    return bool(_ONLY_IF.search(behind) or _ONLY_IF.search(before))


def _is_nobodys(before: str, behind: str, ahead: str) -> bool:
    """Whether a conclusion is named that the writer does not draw; the sentence says ``ahead`` before its clause."""
    sentence = ahead + before
    if (" who " in sentence or " which " in sentence) and OTHERS_WHO.search(sentence):
        return True
    if _AT_FIRST.search(before) or _NOT_SAID.search(before) or _OFTEN_SAID.search(before) or _is_hearsay(before, ahead):
        return True
    drawn = _TO_SAY.search(before)
    if drawn and not drawn["twice"] and drawn["governor"].casefold() not in _SAID_FREELY:
        return True
    said = _OTHERS_SAY.search(before)
    if said:
        who = said["who"].casefold()
        if who not in _OWN and not said["whose"]:
            return True
        if who in _OF_MODEL and not said["whose"]:
            return True
    if not (_THOUGHT.search(before) or _GERUND.match(before)):
        return False
    predicate = _PREDICATE.match(behind)
    return bool(predicate) and (not _AFFIRMED.search(predicate["said"]) or bool(_DENIED.search(predicate["said"])))


def _is_hearsay(before: str, ahead: str) -> bool:
    """Whether somebody else concludes ("the press predicted an increase", "Ms. Alvarez, the treasurer, thinks …")."""
    said = None
    for said in OTHERS_SAID.finditer(before):  # noqa: B007
        pass
    if said is None:
        return False
    who = before[: said.start()]
    if not who.strip() and ahead.rstrip().endswith(",") and offices().search(ahead):
        return not re.match(r"\s+(?:to|by)\b", before[said.end() :])
    if not who.strip() and ahead.rstrip().endswith(",") and said.group().endswith(("s", "that")):
        return not (_SOURCES.search(ahead) or _subject().search(ahead))
    return not (_NOT_FINITE.search(who) or _SOURCES.search(who) or _subject().search(who))


@cache
def _subject() -> re.Pattern[str]:
    """Return a pattern of what moves by itself: what is asked for and what moves beside it, but no pronoun."""
    kinds = ("subjects", "neighbours", "others", "figures")
    names = [
        word for kind in kinds for word in words_of(("en",), kind) if word not in ("it", "cash", "tax", "interest")
    ]
    return re.compile(phrases(names), re.IGNORECASE)
