"""Who says, or concludes, what is to come: the one list for all that asks whose word a label is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from engine.inputs.answers.languages import phrases, words_of


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CONCLUDING = _words(
    """
    predict forecast expect anticipate foresee say claim argue believe think assume assert conclude
    guess
    """
)
"""Verbs of a conclusion, which the writer may draw as well as others."""
INFERRING = _words(
    """
    project infer suppose declare presume answer choose pick select state
    """
)
"""Further ones, of which only a denial or somebody else's modal tells that nobody draws it."""
_SUPPOSING = ("project", "state", "declare", "presume", "suppose")
TELLING = _words(
    """
    write report warn tell note hint claim insist swear announce guide boast promise tout rumour rumor
    allege quote shout reply whisper remark tweet post joke hear dream imagine pretend assure reckon
    maintain contend urge ask wonder fear hope want wish
    """
)
"""Verbs of what somebody tells, wishes or supposes."""
QUOTING = _words(
    """
    say answer reply write claim shout whisper insist argue think ask cry mutter declare read
    """
)
"""Verbs that stand behind a quotation."""
NAMING = _words(
    """
    call describe term label dub brand hail characterise characterize portray tout deem
    """
)
"""Verbs by which somebody gives something a name ("he calls the results 'positive'")."""
_WITH_BASE = frozenset(
    _words(
        """
        shout boast promise tout joke imagine pretend assure urge ask wonder fear hope want say think
        believe predict expect anticipate argue assume conclude foresee
        """
    )
)
"""Verbs whose plain form is told from a noun ("they hope"); of the others only forms in -s and of the past count."""
_PAST = {
    "say": "said", "think": "thought", "write": "wrote", "tell": "told", "foresee": "foresaw|foreseen",
    "swear": "swore", "hear": "heard", "dream": "dreamt|dreamed", "read": "read", "forecast": "forecasted",
    "choose": "chose|chosen",
}  # fmt: skip

FIRST_PERSON = re.compile(
    r"(?<![^\W_])(?:ich|wir|mein\w*|unser\w*|je|nous|mon|ma|notre|yo|nosotros|mi|nuestr\w+|espero|preveo|creo|pienso|concluyo|anticipo|"
    r"predigo|considero|estimo|opino|io|noi|prevedo|credo|penso|ritengo|concludo|stimo|mio|mia|eu|nós|prevejo|acredito|acho|concluo|"
    r"minha|meu|я|мы|ожидаю|прогнозирую|считаю|думаю|полагаю|предполагаю|мой|моя|моё|bekliyorum|düşünüyorum|öngörüyorum|inanıyorum|sanıyorum|bekliyoruz|düşünüyoruz|"
    r"öngörüyoruz|tahminim|tahminimce|kanaatimce|kanımca|görüşümce|bence|bana|benim|ben|biz|sonucuna\s+varıyorum|saya|kami|أتوقع|أعتقد|"
    r"نتوقع|أستنتج|أرى|نرى|أظن|أرجح|أقدر|رأيي|توقعي|استنتاجي|تقديري|برأيي|أنا|मैं|मैंने|मुझे|मेरा|मेरी|मेरे|हम|हमें|हमारा|हमारी|हमारे)(?![^\W_])|(?<![^\W_])j['’]|我|笔者|私|筆者|と思います|と考えます|予想します|予測します|저는|나는|제가|제\s생각|저희|필자",
    re.IGNORECASE,
)
"""The writer, in languages other than English."""


def finite(verbs: Iterable[str], is_behind_name: bool = False) -> str:
    """Return a pattern of the finite forms of some verbs: in -s, of the past, and plain where that is no noun.

    ``is_behind_name`` says that who speaks is asked for, too, so that a noun can be none.
    """
    forms: list[str] = []
    for verb in dict.fromkeys(verbs):
        forms += [_third_person(verb), _past(verb)]
        if is_behind_name or verb in _WITH_BASE:
            forms.append(verb)
    return f"(?:{'|'.join(sorted(forms, key=lambda form: -len(form)))})"


def any_form(verbs: Iterable[str]) -> str:
    """Return a pattern of some verbs in any form."""
    forms: list[str] = []
    for verb in dict.fromkeys(verbs):
        stem = verb.removesuffix("e")
        forms += [verb, _third_person(verb), _past(verb), f"{stem if verb != 'foresee' else verb}ing"]
    return f"(?:{'|'.join(sorted(forms, key=lambda form: -len(form)))})"


def _third_person(verb: str) -> str:
    if verb.endswith(("sh", "ch", "s")):
        return f"{verb}es"
    is_y = verb.endswith("y") and verb[-2] not in "aeo"
    return f"{verb[:-1]}ies" if is_y else f"{verb}s"


def _past(verb: str) -> str:
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("y"):
        return f"{verb[:-1]}ied"
    return f"{verb}d" if verb.endswith("e") else f"{verb}ed"


_THEY_SAY = "|".join((*CONCLUDING, *(verb for verb in TELLING if verb not in ("tell", "read")), *_SUPPOSING))
OTHERS_SAID = re.compile(
    rf"(?<=\bthey )(?:(?:\w+ly|also|all|both|still)\s+)?(?:{_THEY_SAY})\b|"
    rf"\b(?:{finite(CONCLUDING)}|has\s+it|(?:stat|declar|confirm|stress|emphasi[sz]|reiterat|acknowledg|admitt|explain|comment|"
    r"add|mention)(?:ed|e?s)\s+that)\b",
    re.IGNORECASE,
)
"""Finite verbs by which somebody concludes."""
OTHERS_WHO = re.compile(
    r"\b(?:consensus|analysts?|experts?|economists?|investors?|traders?|forecasters?|critics?|bulls?|bears?|optimists?|pessimists?|"
    r"street|market|management|board|ceo|cfo|people|others|press|media|commentators?|observers?)"
    r"(?:\s+(?:of|at|in|from)\s+(?:[\w'’-]+\s+){0,2}[\w'’-]+)?\s*,\s*(?:who|which)\s[^,]*\Z",
    re.IGNORECASE,
)
"""A clause about others, up to where a label stands ("the consensus, which sees an increase, …")."""


@cache
def offices() -> re.Pattern[str]:
    """Return a pattern of who speaks for somebody else, by an office, in English ("Our CEO, Jane Doe, stated …")."""
    return re.compile(phrases(words_of(("en",), "speakers")), re.IGNORECASE)
