"""A question of the answer's own that it answers yes: "Will EPS increase? Yes."."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from engine.inputs.answers.languages import JOINED, languages, phrases, words_of
from engine.inputs.answers.mentions import Mentions, Reading, weighed

_SIGNS = "?？؟"
_QUESTION = re.compile(rf"[^{_SIGNS}\n.!。！]*(?:\.(?=\d)[^{_SIGNS}\n.!。！]*)*[{_SIGNS}]")
_DRESS = r"[\s*_\"'“”‘’»«)\]（(>-]*"
_ASKS = re.compile(r"[\W_]*(?:so[\s,]+)?(?:will|would|is|are|does|do\s+(?:I|we)|shall|should)\b", re.IGNORECASE)
_ASKING = re.compile(r"[\W_]*(?:apakah|هل|क्या)(?![^\W_])", re.IGNORECASE)
"""What asks and elsewhere means whether, behind which no label counts."""
_TURNS = re.compile(
    r"(?<![^\W_])(?:but|however|although|though|yet|unless|if|when|not|aber|jedoch|allerdings|wenn|falls|mais|si|toutefois|pero|"
    r"aunque|sin embargo|ma|però|tuttavia|se|mas|porém|но|однако|если|fakat|ama|eğer|tapi|tetapi|namun|jika|"
    r"kalau)(?![^\W_])|"
    r"但|不过|不過|如果|しかし|ただ|もし|하지만|만약|لكن|إذا|लेकिन|अगर|मगर",
    re.IGNORECASE,
)
"""What takes a yes half back."""


def is_asked(text: str) -> bool:
    """Return whether an answer says yes or no to a question of its own, in any language."""
    return _replied().search(text) is not None


def answered_question(mentions: Mentions, spelled: Collection[str]) -> Reading | None:
    """Return the label that the one question of an answer asks for and that it says yes to.

    The question comes first, is the only one, names one label and asks whether it will be, of what is asked for; a
    yes stands right behind it, and nothing that names another label or takes the yes half back. None elsewhere.

    Parameters
    ----------
    mentions
        Of the whole text.
    spelled
        Spellings of labels, which are no yes.
    """
    text = mentions.text
    question = _QUESTION.match(text)
    if question is None or any(sign in text[question.end() :] for sign in _SIGNS):
        return None
    yes = _affirmed().match(text, question.end())
    if yes is None or yes["said"].casefold() in spelled:
        return None
    asked = mentions.within(0, question.end())
    labels = {mention.word.label for mention in asked}
    asking = _ASKING.match(question.group())
    is_open = asking is not None and not _denying(mentions.codes).search(question.group(), asking.end())
    if len(labels) != 1 or (any(mention.is_denied for mention in asked) and not is_open):
        return None
    later = mentions.within(question.end(), len(text))
    if any(mention.word.label not in labels or mention.is_denied for mention in later):
        return None
    if _TURNS.search(text, yes.end()) or _asks_less(mentions.codes).search(question.group()):
        return None
    if mentions.codes == ("en",) and not _ASKS.match(question.group()):
        return None
    word = asked[-1].word
    reading = weighed(mentions, Reading(word), question.end())
    return Reading(word, is_asked=True) if reading.word and not reading.is_beside else None


@cache
def _affirmed() -> re.Pattern[str]:
    return re.compile(rf"{_DRESS}(?P<said>{phrases(words_of(languages(), 'affirms'))})", re.IGNORECASE)


@cache
def _replied() -> re.Pattern[str]:
    words = [word for kind in ("affirms", "refuses") for word in words_of(languages(), kind)]
    return re.compile(rf"[{_SIGNS}]{_DRESS}{phrases(words)}", re.IGNORECASE)


@cache
def _denying(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(phrases(words_of(codes, "before")), re.IGNORECASE)


@cache
def _asks_less(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of words of a question that asks for what could be, what was, or what others think."""
    words = words_of(codes, "not_asked")
    joined = "|".join(re.escape(word) for word in words if JOINED.match(word) or word.endswith("ebilir"))
    return re.compile(rf"{phrases(words)}{'|' + joined if joined else ''}", re.IGNORECASE)
