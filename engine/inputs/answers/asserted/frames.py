"""Frames in which an English sentence states a label; in any other one it only names it.

What states nothing is without number ("Everyone answered D.", "Sign up.", "COVID came back negative."), so the
frames that do are listed here: the writer concludes, something is to come, something points to it, what is judged is
said to be it, or nothing else is said. A label that no frame holds is a reject, which costs a row; a label that is read
where none is stated would cost the truth of all numbers.
"""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.asserted.voices import KEY, is_undone
from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.words import LabelWord

_ADVERBS = (
    r"(?:\w+ly\s+|(?:go|move|trend|head|come|edge|turn)\s+|now\s+|then\s+|also\s+|again\s+|still\s+|indeed\s+|even\s+|soon\s+|"
    r"well\s+|further\s+|not\s+only\s+)"
)
_CHECKED = re.compile(r"\[[xX✓✔]\]|\([xX✓]\)|[☑☒✅✓✔👍➡→]\uFE0F?")
"""Signs that choose what stands behind them."""
_REACH = 300
"""Characters on either side of a label in which its frame is looked for."""
_DRESS = r"[*_`\"'“‘«(\[$\\]*"
_BETWEEN = r"(?:[^\s.;!?]+\s+)"
_CONCLUDES = (
    r"(?:predict|forecast|expect|anticipat|foresee|project|conclu|believ|think|say|answer|choos|pick|select|go|going|opt|"
    r"lean|vot|call|classif|label|rat|rank|mark|judg|consider|see|seeing|land|settl|guess|bet|assess|estimat|find|deem|"
    r"view|infer|suspect|prefer|recommend|assign|giv|regard|categori[sz]|categori|upgrad|downgrad|revis|chang|switch|"
    r"maintain|reiterat|stick|stay|assum|tag|identif|interpret|read|treat|put|arriv|end\s+up|submit|vouch|propos|determin)"
    r"(?:y|ies|ied|e|es|ed|ing|t|ting|ded|ude|uded|uding|s)?"
)
_WRITER = re.compile(
    rf"\b(?:I|we|let\s+me|let['’]s)(?:['’](?:m|d|ll|ve|re))?\s+{_BETWEEN}{{0,6}}?{_CONCLUDES}\b(?P<rest>[^.;!?\n]*)\Z",
    re.IGNORECASE,
)
_IMPERATIVE = re.compile(
    rf"\A[\W_]*(?:{_BETWEEN}{{0,8}}?,\s*)?(?:expect|look\s+for|go\s+with|predicting|expecting|forecasting|anticipat\w+|"
    rf"predict|leaning|going\s+with|choosing|picking|voting)\b[^.;!?\n]*\Z",
    re.IGNORECASE,
)
_TO_COME = re.compile(
    rf"(?:\b(?:will|shall|should|must|may|might|likely|going\s+to|gonna|has\s+to|have\s+to)|['’]ll|"
    rf"\b(?:{_CONCLUDES}|likely|set|bound|poised|due|sure|certain|slated|destined|positioned|headed|on\s+(?:track|course)|"
    r"tends?|seems?|appears?|allows?\s+\w+(?:\s+\w+){0,2}|continues?|remains?\s+likely|cause[sd]?\s+\w+(?:\s+\w+){0,2})\s+to|"
    r"\bthan\s+to|\b(?:that|than)\s+(?:it|eps|earnings)\s+will)\s+"
    rf"{_ADVERBS}{{0,3}}{_DRESS}\Z",
    re.IGNORECASE,
)
_WOULD = re.compile(rf"\bwould\s+(?:most\s+)?(?:likely|probably|presumably|then|therefore)\s+{_DRESS}\Z", re.IGNORECASE)
_POINTS = re.compile(
    r"\b(?:suggest|indicat|point|support|impl|signal|lead|led|result|translat|mean|favou?r|show|confirm|bring|caus|driv|"
    r"justif|warrant|yield|produc|underpin|tip|tilt|head|contribut|augur|"
    r"consist|compatible|spell|herald|convey|express|reflect|display|demonstrat|reveal|belong|fall|carr|contain|trend|"
    r"correspond|amount|lean)\w*\s+(?:[^\s.;!?]+\s+){0,6}?"
    rf"{_DRESS}\Z",
    re.IGNORECASE,
)
_UNDERGOES = re.compile(
    r"\b(?:will|should|likely|to|may|must|can|company|firm|bank|group|corporation|eps|earnings|it|profits?|shareholders?|I|we|you)\s+"
    r"(?:\w+ly\s+)?(?:see|experience|post|report|record|enjoy|suffer|show)s?\s+(?:[^\s.;!?]+\s+){0,5}?"
    rf"{_DRESS}\Z",
    re.IGNORECASE,
)
"""What moves, or the writer, and a verb of undergoing ("the company will likely see an increase")."""
_EXISTS = re.compile(
    r"\b(?:there\s+(?:will|should|is|may|might)\b|probability|chance|likelihood|odds|potential|prospects?|room)\b[^.;!?\n]{0,60}\Z",
    re.IGNORECASE,
)
_IS = (
    r"(?:(?:is|are|be|it['’]s|that['’]s|this\s+is|seems?|appears?|looks?|sounds?|reads|remains?|was|=|feels?|"
    r"would\s+be|must\s+be|has\s+to\s+be|should\s+be|equals)|(?:\w+)['’]s)"
)
_PREDICATE = re.compile(
    rf"\b{_IS}\s+(?:(?:as|about|of|in|under|that|to\s+be)\s+)?(?:(?:\w+ly|very|quite|rather|more|most|the|an?|option|choice|"
    r"letter|answer|correct|right|best|likely|therefore|thus|hence|then|so|overall|both|in|an?|clear|slight|moderate|strong|"
    rf"small|significant|modest|further|class|label|category|not\s+[^\s,;]+[,;]?\s+but)\s+){{0,5}}{_DRESS}\Z",
    re.IGNORECASE,
)
_I_AM = re.compile(
    rf"\b(?:I['’]m|I\s+am|we\s+are|we['’]re)\s+(?:\w+ly\s+|very\s+|quite\s+){{0,2}}{_DRESS}\Z", re.IGNORECASE
)
_CLASSED = re.compile(
    r"\b(?:is|are|be|been|can|should|I|we|it|best|therefore|hence)\s+(?:\w+\s+){0,3}(?:classif|label|rat|categori|mark|describ|"
    rf"regard|view|interpret|read|tagged|assess|seen|judged|considered)\w*\s+(?:[^\s.;!?,]+\s+){{0,4}}?{_DRESS}\Z",
    re.IGNORECASE,
)
_LED = re.compile(
    r"(?:\A|[\s,;:—–(-])(?:so|therefore|thus|hence|consequently|accordingly|as\s+a\s+result|overall|in\s+(?:conclusion|summary|"
    r"short|total)|all\s+in\s+all|ultimately|finally|altogether|on\s+balance|in\s+the\s+end|to\s+conclude|leaving|leaves|"
    r"which\s+makes|that\s+makes|this\s+makes|makes\s+it|hence\s+the)\b[^.;!?\n]{0,120}\Z",
    re.IGNORECASE,
)
_VERBS_OF_PROOF = re.compile(
    r"\b(?:evidence|text|premise|passage|article|document|source|abstract|context|paper|study|claim|statement|sentence|report|"
    rf"this|it|data|hypothesis|I|we)\s+(?:\w+ly\s+)?{_DRESS}\Z",
    re.IGNORECASE,
)
_PROVES = frozenset(
    (
        "supports",
        "support",
        "refutes",
        "refute",
        "entails",
        "entail",
        "contradicts",
        "contradict",
        "agrees",
        "agree",
        "disagrees",
        "disagree",
        "favors",
        "favours",
        "confirms",
        "rejects",
        "implies",
    )
)
_STOP = re.compile(r"[*_`\"'”’»)\]}$]*(?:\s*\Z|\s*[.,;:!?…)\]—–\n|]|\s+[-(])")
_GOES_ON = re.compile(
    r"[*_`\"'”’»)\]}$]*\s+(?:because|since|as|due|for|given|here|rather|instead|and\s+not|not|than|over|with|in|based|thanks|"
    r"owing|overall|on\s+balance|out\s+of|stars?|points?|next|this|by|from|at|during|to|if\s+anything|compared|versus|answer|option|choice|label|"
    r"class|category|sentiment|review|tone|outlook|one|of\s+(?:the|its|a|eps)|it\s+is|is\s+my|is\s+the)\b",
    re.IGNORECASE,
)
_AFFIRMED = (
    r"(?:likely|expected|probable|plausible|correct|right|best|true|answer|choice|option|supported|warranted|clear|evident|certain|"
    r"inevitable|coming|ahead|predicted|forecast|forecasted|projected|anticipated|driven|due|most|more|safest|my|mine|moderate|"
    r"follow|follows|materiali[sz]e|occur|happen|continue|in\s+store|in\s+sight|hard\s+to\s+(?:deny|avoid|dispute)|difficult\s+to\s+"
    r"(?:deny|avoid)|assured|guaranteed|on\s+the\s+(?:cards|way)|what|consistent|justified|reasonable|the\s+one|only|small|slight|"
    r"strong|large|modest|significant|substantial|small|called\s+for|indicated|foreseeable|preferred|favou?red)"
)
_JUDGED_SO = re.compile(
    rf"[*_`\"'”’»)\]}}$]*(?:(?!\b(?:I|we|you|so|that|which|who)\b)[^.;!?\n]){{0,90}}?\s(?:is|are|seems?|appears?|looks?|remains?|will|should|must|may|can|has\s+to|have\s+to|"
    rf"strikes\s+me\s+as)\b[^.;!?\n]{{0,50}}?\b{_AFFIRMED}\b",
    re.IGNORECASE,
)
_NOUN_BETWEEN = re.compile(
    r"[*_`\"'”’»)\]}$]*(?:\s+(?:sentiment|label|review|class|answer|option|choice|category|rating|verdict|tone|outlook|relation|"
    r"one|stance|emotion|topic|intent)){0,2}\s+(?:is|are|seems?|appears?|looks?|remains?|must|should|has|will)\b",
    re.IGNORECASE,
)
_LETTER_JUDGED = re.compile(
    r"[*_`\"'”’»)\]}$.]*(?:\s*\([^()\n]{0,80}\))?\s+(?:(?:is|seems?|appears?|looks?|remains?|must\s+be|has\s+to\s+be|should\s+be)\s+"
    rf"[^.;!?\n]{{0,40}}?\b{_AFFIRMED}\b|it\s+is\b|wins\b|fits\b|matches\b|holds\b|works\b|follows\b|satisfies\b|"
    r"(?:best|correctly|accurately|alone|clearly)\b|describes\b|makes\s+(?:the\s+most\s+)?sense|answers\s+(?:the|this)|addresses\b|"
    r"(?:is|are)\s+what\b)",
    re.IGNORECASE,
)
_ONLY = re.compile(rf"\b(?:only|just)\s+(?:option\s+|choice\s+|answer\s+)?{_DRESS}\Z", re.IGNORECASE)
_MAKES = re.compile(
    rf"\b(?:makes|leaves|leaving|making)\s+(?:us\s+|me\s+)?(?:with\s+)?(?:only\s+|just\s+)?(?:option\s+|choice\s+)?{_DRESS}\Z",
    re.IGNORECASE,
)
_LESSER = re.compile(
    rf"\b(?:worse|weaker|poorer|inferior|less\s+\w+)\s+(?:than|to)\s+(?:an?\s+)?{_DRESS}\Z|\bprefer\s+(?:an?\s+)?{_DRESS}\Z",
    re.IGNORECASE,
)
_SIGNS = " \t*_\"'`(>-"
_YES_OR_NO = re.compile(r"yes|no|true|false", re.IGNORECASE)
_CLAUSE = re.compile(r"[*_\"']*\s+(?:it|they|this|that|there|he|she|I|we|the|you|eps)\b", re.IGNORECASE)
"""Behind a yes that begins its sentence without a comma ("No it does not.")."""
_BOLD = re.compile(r"[*_]{2}\s*\Z")
_CASES = re.compile(r"[*_`\"'”’»)\]]*\s+(?:only\s+)?(?:if|when|unless|provided|where|otherwise)\b", re.IGNORECASE)
_PACE = re.compile(
    r"\b(?:pace|rate|speed|extent|magnitude|size|momentum)\s+of\s+(?:the\s+|this\s+|its\s+)?(?:decline|decrease|increase|growth|"
    r"fall|loss\w*|rise|deterioration|change|improvement|erosion)\b",
    re.IGNORECASE,
)
"""What moves where a movement itself slows or gathers pace."""
_KEYS = (
    "grade|final|overall|conclusion|one|verdict|correct|evaluation|status|assessment|summary|bottom line|net|mine|so|"
    "tl;dr|score|rating|my view|my take|take|opinion|stance|emotion|topic|intent|relation|tone|polarity|veracity|"
    "signal|position|eps|earnings|profit|me"
)
_LABELS = (
    "positive negative neutral true false yes no buy sell hold entailment contradiction spam ham up down increase "
    "decrease correct incorrect right wrong supports refutes toxic agree disagree good bad high low bullish "
    "bearish a b c d e f g h"
)
_MOODS = frozenset(("positive", "negative", "neutral"))
_JUDGED_THINGS = re.compile(
    r"\b(?:reviews?|sentiments?|tone|texts?|statements?|comments?|tweets?|messages?|it|it['’]s|this|that|these|overall|"
    r"feedback(?!\s+loop)|opinions?|outlook|mood|impression|attitude|author|reviewer|writer|customer|user|speaker|headline|article|"
    r"sentence|passage|news|language|wording|words|response|answer|experience|verdict|label|class|polarity|feeling|view|post|"
    r"document|phrase|remark|report|rating|stance|assessment|conclusion|emotion|I|we|I['’]d|guidance|trend|direction|signal|"
    r"implication|impact|effect|so|therefore|thus|hence)\b",
    re.IGNORECASE,
)
"""What is judged where a sentiment is said of it."""
_ENGLISH = re.compile(
    r"(?<![^\W_])(?:the|is|are|was|that|this|these|you|she|he|they|we|i|it|to|of|for|and|or|return|said|says|came|will|would|could|"
    r"not|with|from|have|has|my|your|our|their|about|print|please|by|be|been|if|when|which|who|what|only|very|next|year)(?![^\W_])",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[,;:—–]\s+|\s[-–—]\s|\b(?:but|yet|and|so)\s+|\A", re.IGNORECASE)


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
        The label's word: an English one makes a text English enough of which the language cannot be told.
    """
    if is_told:
        return codes == ("en",)
    if any(languages()[code].is_partial for code in codes):
        return False
    if label.casefold() in _english_labels():
        return True
    return "en" in codes and bool(_ENGLISH.search(text[:2_000]))


@cache
def _english_labels() -> frozenset[str]:
    """Return words that name labels in English."""
    moving = [word for kind in ("rises", "falls", "levels") for word in words_of(("en",), kind)]
    return frozenset(word.casefold() for word in (*moving, *_LABELS.split()) if word.isascii())


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
    before = _CHECKED.sub("", text[max(start, word.start - _REACH) : word.start])
    behind = text[word.end : min(end, word.end + _REACH)]
    if is_undone(before, behind, text[end : end + 200]):
        return False
    if is_moving and _PACE.search(before):
        return False
    if (is_only and _is_alone(before, behind)) or (_BOLD.search(before) and not re.search(r"[^\W_]", before)):
        return True
    if _is_keyed(before, behind):
        return True
    if _YES_OR_NO.fullmatch(text, word.start, word.end) and not before.strip(_SIGNS) and _CLAUSE.match(behind):
        return True
    ends = bool(_STOP.match(behind) or _GOES_ON.match(behind))
    writer = _WRITER.search(before)
    if writer and (is_moving or ends):
        return True
    if _LED.search(before) and (is_moving or ends) and not _ONLY_NAMED.search(before):
        return True
    if is_moving:
        return (is_of_subject and not _object().match(behind)) or _moves(before, behind)
    return _is_predicated(text, before, behind, word, ends)


_ONLY_NAMED = re.compile(r"\b(?:mention|read|ask|see\s+(?:appendix|section)|list)\w*\b", re.IGNORECASE)


def _is_alone(before: str, behind: str) -> bool:
    """Whether a clause says nothing but the label, what moves, and words of degree."""
    if not _STOP.match(behind) and not _GOES_ON.match(behind):
        return False
    places = list(_PLACE.finditer(before))
    said = before[places[-1].end() :] if places else before
    is_first = not before[: len(before) - len(said)].strip()
    return bool(_plain().fullmatch(said)) and (is_first or bool(_STOP.match(behind)))


def _is_keyed(before: str, behind: str) -> bool:
    key = KEY.search(before)
    return bool(key and _STOP.match(behind) and _answer_keys().search(key["key"]))


@cache
def _answer_keys() -> re.Pattern[str]:
    """Return a pattern of words by which a key says that its value is the answer, or what moves."""
    words = [*words_of(("en",), "nouns"), *words_of(("en",), "subjects"), *_KEYS.split("|")]
    return re.compile(phrases(words), re.IGNORECASE)


def _moves(before: str, behind: str) -> bool:
    return bool(
        _IMPERATIVE.match(before)
        or _TO_COME.search(before)
        or _WOULD.search(before)
        or _POINTS.search(before)
        or _UNDERGOES.search(before)
        or _EXISTS.search(before)
        or _PREDICATE.search(before)
        or _I_AM.search(before)
        or _LESSER.search(before)
        or _CLASSED.search(before)
        or re.search(
            r"\b(?:rather\s+than|instead\s+of|more\s+\w+\s+than|not\s+only)\b[^.;!?]*\Z", before, re.IGNORECASE
        )
        or _JUDGED_SO.match(behind)
        or (not re.search(r"[^\W_]", _plain().sub("", before, count=1)) and _COMING.match(behind))
    )


_DEGREES = (
    "hmm|ok|okay|well|yes|no|is|mostly|very|quite|rather|slightly|clearly|overall|maybe|perhaps|possibly|"
    "strongly|it's|to|small|significant|modest|final|in conclusion|in short|in summary|still|finally|"
    "likewise|more|some|sure|definitely|somewhat|highly|extremely|a bit|largely|mildly|otherwise|option|"
    "choice"
)
"""Words of degree and hedges that may stand before a label that is all that is said."""
_COMING = re.compile(
    r"[*_`\"']*(?:\s+(?:in|of)\s+(?:[\w'’-]+\s+){0,3}?[\w'’-]+)?\s*(?:(?:expected|likely|predicted|projected|forecast|anticipated|ahead)\b|"
    r"[.!]?\s*\Z)",
    re.IGNORECASE,
)


def _is_predicated(text: str, before: str, behind: str, word: LabelWord, ends: bool) -> bool:
    said = text[word.start : word.end]
    if said.casefold() in _MOODS and not _JUDGED_THINGS.search(f"{before} {' '.join(behind.split()[:2])}"):
        return False
    if said.casefold() in _PROVES and _VERBS_OF_PROOF.search(before):
        return True
    if _CASES.match(behind):
        return False
    if _LETTER_JUDGED.match(behind) or (_JUDGED_SO.match(behind) and not _past_only(behind)):
        is_head = bool(_plain().fullmatch(before)) and bool(_NOUN_BETWEEN.match(behind))
        return len(said) == 1 or is_head or bool(_PREDICATE.search(before))
    if _ONLY.search(before) or _MAKES.search(before) or _LESSER.search(before):
        return True
    if said.casefold() not in _MOODS and _I_AM.search(before) and ends:
        return True
    return ends and bool(
        _PREDICATE.search(before) or _CLASSED.search(before) or _IMPERATIVE.match(before) or _points_to_class(before)
    )


def _past_only(behind: str) -> bool:
    return bool(re.match(r"[*_`\"'”’»)\]}$]*\s+(?:was|were|looked|seemed|appeared)\b", behind, re.IGNORECASE))


def _points_to_class(before: str) -> bool:
    return bool(_POINTS.search(before)) and not re.search(
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
    words = [*_DEGREES.split("|"), *(word for kind in kinds for word in words_of(("en",), kind))]
    return re.compile(rf"(?>{phrases(words)}|textbf|text|mathrm|boxed|[\W_\d])*+", re.IGNORECASE)
