"""Labels that somebody else says, in the languages other than English ("Der Vorstand hofft auf einen Anstieg").

Who speaks is told by the grammar of reporting, not by names: what "according to" governs, the subject of a verb of
saying or thinking in the third person, a speaker behind the statement. What an answer itself goes by (data, a model, an
analysis) and impersonal subjects are nobody else. ``asserted.verb_last`` has the languages whose verb ends a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from engine.inputs.answers.asserted.verb_last import (
    NO_OWNER,
    NOT_PASSIVE,
    own_sources,
    reporting_verbs,
    said_at_end,
)
from engine.inputs.answers.languages import JOINED, NOT_AFTER_TITLE, languages, phrases, words_of
from engine.inputs.answers.unstated.reporting import FIRST_PERSON
from engine.inputs.answers.words import LabelWord

_REACH_BEFORE, _REACH_BEHIND = 240, 80
"""Characters on either side of a label in which is looked for who says it."""
_SENTENCE_END = re.compile(rf"[\n!?;。！？；।]|{NOT_AFTER_TITLE}(?<!\b[A-Z])\.(?!\d)")
_TURNS = re.compile(
    r"(?<![^\W_])(?:aber|doch|jedoch|sondern|dennoch|trotzdem|allerdings|während|mais|cependant|pourtant|toutefois|néanmoins|tandis\s+que|pero|"
    r"sin\s+embargo|aunque|mientras|ma|però|tuttavia|mentre|mas|porém|contudo|entretanto|no\s+entanto|enquanto|но|однако|тогда\s+как|fakat|ama|ancak|"
    r"yine\s+de|oysa|buna\s+(?:karşın|rağmen)|namun|tapi|tetapi|sedangkan|sementara|meski\s+begitu|meskipun\s+demikian)(?![^\W_])|"
    r"但是|但|然而|不过|不過|而我|しかし|だが|ものの|が、|一方|하지만|그러나|반면|لكن|ومع\s+ذلك|بينما|غير\s+أن|إلا\s+أن|في\s+حين|(?<![^\W_])أما|लेकिन|मगर|परंतु|"
    r"फिर\s+भी|जबकि",
    re.IGNORECASE,
)
"""Behind these another one may speak."""
"""Behind people: whose earnings they are ("同社のEPS"); behind a verb: what is expected, by nobody in particular."""
_OPENS = re.compile(r"[\"'“‘«„「『](?:[^\W_]+\s+){0,8}[*_]*\Z")
_NAMES = re.compile(
    r"(?<![^\W_])(?:nennt|nannte|bezeichnet|bezeichnete|nomme|qualifie|appelle|llama|llamó|califica|calificó|definisce|chiama|chamou|chama|"
    r"classifica|classificou|называет|назвал\w*)(?![^\W_])|称为|稱為|称之为|と呼",
    re.IGNORECASE,
)
"""Verbs by which somebody calls something what stands in quotes."""
_SO_TO_SAY = re.compile(
    r"\b(?:genauer|besser|anders|kurz|ehrlich|offen|einfach|knapp|streng|grob|gelinde)\s+gesagt\Z", re.IGNORECASE
)
"""How something is said, by nobody else ("genauer gesagt")."""
_QUOTED_BEHIND = re.compile(r"[^\n.!?。「」]{0,20}[\"'”’»“」』]\s*,?\s*")
_CLAUSE = re.compile(r"[,،;:：(（—–]|\s-\s")
_IMPERSONAL = re.compile(
    r"(?<![^\W_])(?:on|man|l['’]on|se|si|ci\s+si|es|it|ce|c['’]est|cela|ceci|ça|autrement|proprement|eine?s|das|dies|eso|esto|ello|ciò|questo|quello|"
    r"isso|isto|это|что|lo\s+que|o\s+que|ce\s+qui)\s*\Z|(?<![^\W_])(?:wird|werden|wurde|wurden|worden|sein|être|été|ser|sido|essere|stato|быть)(?![^\W_])",
    re.IGNORECASE,
)
"""Subjects that are nobody, and what makes a verb passive ("wird … erwartet")."""
_IN_VIEW = re.compile(
    r"\A[\s*_\"']*(?:pour|para|per)\s+(?:(?:M|MM|Sr|Sra|Sig|Dott)\.|(?:Mme|Mlle|Monsieur|Madame|el\s+señor|la\s+señora|il\s+signor|la\s+signora|o\s+senhor|"
    r"a\s+senhora)\b|(?-i:[^\W\d_a-z][^\W\d_]+\s+[^\W\d_a-z][\w-]+\s*,))",
    re.IGNORECASE,
)
"""In whose view something is: a title, or a first and a last name ("Pour Jean Martin, …")."""
_SO_SAYS = re.compile(r"[\"”“»]?\s*,?\s*[\"”“»]?\s*so\s+(?=(?-i:[A-ZÄÖÜ])|(?:die|der|das)\s)")
_AS_SAID = re.compile(
    r"\A[\s*_\"']*Wie\s+(?=(?:d(?:er|ie|as)|Herr|Frau|ein|eine|unser|ihr)\s|(?-i:[A-ZÄÖÜ]))[^,]{3,60},\s*",
    re.IGNORECASE,
)
"""German: "Wie Frau Krämer mitteilte, …", whatever the verb."""
_TOLD_BEHIND = re.compile(
    r"[\"”“»’]?\s*,\s*[\"”“»’]?\s*(?:(?:a|ont|avait)\s+[^\W\d_]+(?:é|i|u|it|is)\s+(?:le|la|les|l['’]|un|une|M\.|Mme|(?-i:[A-ZÉ]))|"
    r"(?:(?:ha|han|había)\s+[^\W\d_]+(?:ado|ido|icho)|[^\W\d_]+(?:ó|aron|ieron|ijo))\s+(?:el|la|los|las|un|una|(?-i:[A-ZÁ]))|"
    r"(?:ha|hanno)\s+[^\W\d_]+(?:to|so)\s+(?:il|lo|la|i|gli|le|un|una|l['’]|(?-i:[A-Z]))|"
    r"[^\W\d_]+(?:ou|eu|iu|aram|isse)\s+(?:o|a|os|as|um|uma|(?-i:[A-Z])))",
    re.IGNORECASE,
)
"""A comma, a verb of the past and who said it, in French, Spanish, Italian and Portuguese ("…, a confié le gérant")."""
_REPORTED_MOOD = re.compile(r"(?<!\bich )(?<![^\W_])werde(?![^\W_])")
"""German: the mood of what somebody else says ("der Gewinn werde steigen")."""
_THAT_ENDS = re.compile(r"\s+(?:que|qu'|che)\Z")
_COMPARED = re.compile(
    r"(?<![^\W_])(?:\w*yıl\w*|dönem\w*|çeyre\w*|ay\w{0,3}|gün\w*|buna|şuna|duruma)\s*\Z", re.IGNORECASE
)
"""Turkish, before "göre": what something is compared with, not whose word it is."""
_POSTPOSITIONS = re.compile(r"zufolge|göre|[\u0900-\u097f\u3040-\u30ff\uac00-\ud7af]")


def hearsay(text: str, words: Sequence[LabelWord], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words somebody else says.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    codes
        Languages whose words count; of English none does (``voices``, ``unstated.frames``).
    """
    others = tuple(code for code in codes if code != "en" and not languages()[code].is_partial)
    if not others:
        return [False] * len(words)
    return [_is_of_others(text, word, others) for word in words]


def _is_of_others(text: str, word: LabelWord, codes: tuple[str, ...]) -> bool:
    low = max(0, word.start - _REACH_BEFORE)
    for mark in _SENTENCE_END.finditer(text, low, word.start):
        low = mark.end()
    start = low
    for mark in _turning(codes).finditer(text, start, word.start):
        start = mark.end()
    end = min(len(text), word.end + _REACH_BEHIND)
    stops = (_SENTENCE_END.search(text, word.end, end), _turning(codes).search(text, word.end, end))
    end = min((stop.start() for stop in stops if stop), default=end)
    before, behind = text[start : word.start], text[word.end : end]
    place = _said_before(before, text[low:start], codes)
    if place is not None:
        return not FIRST_PERSON.search(before, place) and not (_is_verb_last(codes) and FIRST_PERSON.search(behind))
    if said_at_end(before, behind, codes):
        return True
    return _is_said_behind(before, behind, codes)


def _is_said_behind(before: str, behind: str, codes: tuple[str, ...]) -> bool:
    """Whether who says so stands behind a label, or calls something by it in quotes."""
    quoted = _QUOTED_BEHIND.match(behind)
    said = reporting_verbs(codes).search(behind, quoted.end()) if quoted else None
    if said is not None and not FIRST_PERSON.search(behind):
        return True
    set_off = _behind(codes).search(behind)
    if set_off is not None and not FIRST_PERSON.search(behind, set_off.start()):
        return True
    if "de" in codes and _SO_SAYS.search(behind):
        return True
    if {"fr", "es", "it", "pt"} & set(codes) and _TOLD_BEHIND.match(behind):
        return True
    source = next((found for found in _patterns(codes)[2].finditer(behind)), None)
    if source is not None and re.search(r"[,،]\s*\Z", behind[: source.start()]) and not _is_own(behind, source, codes):
        return not FIRST_PERSON.search(behind, source.start())
    return bool(_OPENS.search(before) and _NAMES.search(before) and not FIRST_PERSON.search(before))


def _said_before(before: str, ahead: str, codes: tuple[str, ...]) -> int | None:
    """Return where the words end by which somebody else says what follows; None where there are none.

    ``ahead`` is what the sentence says up to there.
    """
    by_name, alone, according, own = _patterns(codes)
    last = None
    for found in according.finditer(before):
        if not _is_own(before, found, codes):
            last = found.end()
    for found in by_name.finditer(before):
        last = max(last or 0, found.end())
    for found in alone.finditer(before):
        if not (own.search(before[: found.start()]) or _SO_TO_SAY.search(before, 0, found.end())):
            last = max(last or 0, found.end())
    for found in _thinking(codes).finditer(before):
        if _has_speaker(before, found, ahead, codes):
            last = max(last or 0, found.end())
    if last is None and (view := _IN_VIEW.match(before)) and {"fr", "es", "it", "pt"} & set(codes):
        return view.end()
    told = (_AS_SAID.match(before) if "de" in codes else None) or _as_said(codes).match(before)
    if last is None and told and not own_sources(codes).search(told.group()):
        return told.end()
    if last is None and "de" in codes and (has := _have_said().search(before) or _REPORTED_MOOD.search(before)):
        return has.end()
    return last


def _is_own(text: str, according: re.Match[str], codes: tuple[str, ...]) -> bool:
    """Whether "according to" governs what an answer itself goes by, before it or behind, or its writer."""
    if _POSTPOSITIONS.search(according.group()):
        clauses = _CLAUSE.split(text[: according.start()])
        said = clauses[-1]
        is_own = own_sources(codes).search(said) or FIRST_PERSON.search(said) or _COMPARED.search(said)
        return not said.strip() or bool(is_own)
    governed = text[according.start() :]
    clause = _CLAUSE.search(governed)
    governed = " ".join(governed[: clause.start() if clause else len(governed)].split()[:7])
    return bool(
        _patterns(codes)[3].match(text, according.end()) or ("ar" in codes and own_sources(codes).search(governed))
    )


def _has_speaker(before: str, verb: re.Match[str], sentence: str, codes: tuple[str, ...]) -> bool:
    """Whether a verb of saying or thinking in the third person has somebody for its subject.

    Right behind a comma or a "but" the subject stands before these ("El gerente, en cambio, espera …").
    """
    ahead = _CLAUSE.split(before[: verb.start()])[-1]
    if "ar" in codes and re.match(r"[\u0620-\u064a]", verb.group()):
        behind = re.match(r"\s+(?!(?:أن|إن|بأن|ان|إلى)(?![^\W_]))[^\W_]{2,}", before[verb.end() :])
        subject = f"{ahead} {' '.join(before[verb.end() :].split()[:3])}"
        return bool(behind or re.search(r"[^\W_]", ahead)) and not (
            own_sources(codes).search(subject) or FIRST_PERSON.search(ahead)
        )
    if not ahead.strip():
        ahead = sentence + before[: verb.start()]
    if not re.search(r"[^\W_]", ahead) or _IMPERSONAL.search(ahead) or before[verb.end() : verb.end() + 3] == "-se":
        return False
    return not (own_sources(codes).search(ahead) or FIRST_PERSON.search(ahead))


def _is_verb_last(codes: tuple[str, ...]) -> bool:
    """Whether the verb of who says so may stand behind the label."""
    return bool({"ja", "ko", "tr", "hi"} & set(codes))


@cache
def _turning(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"{_TURNS.pattern}|{phrases(words_of(codes, 'connectors'))}", re.IGNORECASE)


@cache
def _patterns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return patterns of people with a verb of theirs, of verbs of others, of "according to", and of own sources."""
    people, verbs = words_of(codes, "people"), [*words_of(codes, "expects"), *words_of(codes, "reports")]
    spaced, joined = ([word for word in people if bool(JOINED.match(word)) is is_joined] for is_joined in (False, True))
    said = phrases(verbs)
    by_name = (
        rf"{phrases(spaced)}(?:\s+[^\s,.;:]+){{0,5}}?\s+{said}"
        rf"|{phrases(joined)}{NO_OWNER}[^。！？，,]{{0,12}}?{said}{NOT_PASSIVE}"
    )
    alone = [
        word
        for code in codes
        if code not in ("id", "ko", "ja", "zh", "tr", "hi", "ar")
        for word in languages()[code].reports
    ]
    own = rf"\s*(?:[^\s,.;:]+\s+){{0,3}}?{phrases(words_of(codes, 'own_sources'))}"
    return (
        re.compile(by_name, re.IGNORECASE),
        re.compile(phrases(alone), re.IGNORECASE),
        re.compile(phrases(words_of(codes, "according")), re.IGNORECASE),
        re.compile(own, re.IGNORECASE),
    )


@cache
def _thinking(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of verbs in the third person that only somebody can be the subject of, before what is said."""
    spaced = [code for code in codes if code not in ("ja", "ko", "zh", "tr", "hi", "ar")]
    joined = [
        f"{sign}{word}" for sign in ("", "و", "ف") for word in (languages()["ar"].thinks if "ar" in codes else ())
    ]
    return re.compile(phrases([*words_of(spaced, "thinks"), *joined]), re.IGNORECASE)


@cache
def _behind(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of a verb of saying that a comma sets off behind what is said ("…, afirmó Carlos")."""
    spaced = [code for code in codes if code not in ("ja", "ko", "zh", "tr", "hi")]
    verbs = [_THAT_ENDS.sub("", word) for kind in ("thinks", "reports") for word in words_of(spaced, kind)]
    words = r"\s*(?:[^\s,.;:]+\s+){0,8}[^\s,.;:]*"
    return re.compile(
        rf"\A{words}[\"”“»’*_]*\s*[,،]\s*[\"”“»]?\s*{phrases(verbs)}(?!-se\b|\s+(?:wird|werden|que|che|dass)\b)\s+[^\W\d_]",
        re.IGNORECASE,
    )


@cache
def _as_said(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of what a sentence begins with that somebody said before ("Como señaló la auditora, …")."""
    known = [code for code in codes if code in ("fr", "es", "it", "pt")]
    verbs = [_THAT_ENDS.sub("", word) for kind in ("thinks", "reports") for word in words_of(known, kind)]
    return re.compile(
        rf"[\s*_\"']*(?:comme|como|come|conforme)\s+(?:l['’]\s?|lo\s+)?(?:(?:a|ha|han|hanno)\s+)?{phrases(verbs)}[^,]{{2,60}},",
        re.IGNORECASE,
    )


@cache
def _have_said() -> re.Pattern[str]:
    """Return a pattern of German people and the verb before whose participle a label stands ("hat … eingeräumt")."""
    people = phrases(words_of(("de",), "people"))
    return re.compile(rf"{people}\s+(?:hat|haben|hatte|hatten)\s+(?:[^\s,.;:]+\s+){{0,3}}\Z", re.IGNORECASE)
