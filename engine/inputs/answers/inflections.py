"""English inflections of labels that are verbs (increase: increases, increased, increasing), read as the label itself.

A verb's forms in -s and -ed stand where the label itself may stand. Its form in -ing is a participle or part of a name
more often than an answer ("increasing costs", "holding company"), so that it counts in the places alone that are listed
here: all that is said, what is to come, what is asked for, what is advised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from engine.inputs.answers.languages import phrases, words_of

_MOVEMENTS = {
    word: (f"{word.removesuffix('y')}ies" if word.endswith("y") else f"{word}s", f"{stem}ed", f"{stem}ing")
    for word, stem in {
        "increase": "increas", "decrease": "decreas", "decline": "declin", "improve": "improv", "drop": "dropp",
        "worsen": "worsen", "climb": "climb", "strengthen": "strengthen", "weaken": "weaken",
        "deteriorate": "deteriorat", "appreciate": "appreciat", "depreciate": "depreciat", "expand": "expand",
    }.items()
}  # fmt: skip
_IRREGULAR = {
    "rise": ("rises", "", "rising"),
    "fall": ("falls", "", "falling"),
    "grow": ("grows", "", "growing"),
    "shrink": ("shrinks", "", "shrinking"),
}
"""Their past forms are left out: what tells the past is known by its -ed."""
_TRADES = {"buy": ("", "", "buying"), "sell": ("", "", "selling"), "hold": ("", "", "holding")}
"""Who sells, sold or holds is somebody else than who answers."""
_VERBS = {**_MOVEMENTS, **_IRREGULAR, **_TRADES}
_NUM_FORMS = 3

_DRESS = r"[\s*_\"'`“‘(\[$\\{]*"
_DEGREE = r"(?:(?:\w+ly|moderate|slight|modest|strong|still)\s+){0,2}"
_ALONE = re.compile(rf"(?:\A|[\n:：=→>|]|[.!?]\s){_DRESS}(?:-\s)?{_DRESS}{_DEGREE}\Z")
_KEYED = re.compile(rf"[:：=→>|]{_DRESS}\Z")
_ENDS = re.compile(
    r"[*_\"'`”’)\]}$]*(?:\s*\Z|\s*[.;!\n|}<)]|,\s*(?![a-z]+ing\b)|\s+(?:because|since|as|due|given|[-–—(]))"
)
_ADVERBS = r"(?:(?:\w+ly|now|still|again|also|further|even|not|never|no\s+longer)\s+){0,3}[*_\"'`]*"
_TO_COME = re.compile(
    rf"\b(?:(?:will|shall|should|must|may|might|would|to|likely|['’]ll)\s+{_ADVERBS}(?:be|continue|keep|start|begin|resume)|"
    rf"(?:will|to)\s+have\s+been|\b(?:and|or)\s+(?:continue|keep|start|begin|resume))\s+{_ADVERBS}\Z",
    re.IGNORECASE,
)
_FORETOLD = re.compile(
    r"\b(?:predict|expect|forecast|anticipat|foresee|project|suggest|indicat|impl|point)\w*\s+(?:to\s+|at\s+|towards?\s+)?\Z",
    re.IGNORECASE,
)
_PAIRED = re.compile(r"[a-z]ing\s+(?:or|and|nor|rather\s+than|instead\s+of)\s+[*_\"'`]*\Z", re.IGNORECASE)
"""Behind another such form, which it is joined to."""
_SEEN = (
    r"\b(?:(?:point\w*|lean\w*)\s+to(?:wards?)?|suggest\w*|indicat\w*)\s+(?:the\s+|its\s+)?|"
    r"\b(?:I|we)\s+(?:\w+ly\s+)?(?:see|expect|foresee|project|forecast|anticipate|predict)\s+(?:the\s+|its\s+)?"
)
_IS = (
    rf"(?:\s+(?:in|of|for|over)\s+(?:[\w'’-]+\s+){{0,2}}?[\w'’-]+)?(?:\s+(?:is|are|keeps?|continues?|remains?)|['’]s|['’]re)"
    rf"(?:n['’]t)?\s+{_ADVERBS}"
)
_GOES_ON = re.compile(
    r"[*_\"'`”’)\]}$]*(?:\s*\Z|\s*[.,;:!?\n|}<)—–]|\s+(?:in|over|at|by|because|due|as|since|and|but|while|so|for|next|this|"
    r"from|with|given|if|despite|on|during|to|year|again|further|faster|more|than|rather|instead|not|or|now|\w+ly|[-(])(?!\w))",
    re.IGNORECASE,
)
_ADVISED = re.compile(
    r"\b(?:(?:recommend|suggest|advis|advocat|favou?r|propos|prefer|endors)\w*\s+(?:\w+ly\s+)?|"
    r"(?:I|we)(?:\s+(?:would|will|should)|['’](?:d|ll))\s+be\s+|"
    r"(?:recommendation|advice|verdict|rating|answer|best|wise|prudent)\s+(?:is|remains|would\s+be)\s+)[*_\"'`]*\Z",
    re.IGNORECASE,
)
_TRADED = re.compile(
    r"[*_\"'`”’)\]}$]*(?:\s+(?:the|this|these|those|your|my|our|its|any|more)?\s*(?:stocks?|shares?|positions?|equity|"
    r"security|it|now)\b)?"
    r"(?:\s*\Z|\s*[.,;:!?\n|}<)—–]|\s+(?:because|since|as|due|given|for|at|here|now|rather|is|would|seems|looks|appears|"
    r"remains)\b)",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"(?:\A|[\n.!?,:;])\s*(?:\w+,\s*)?[\s*_]*\Z")
CALLED_BEST = re.compile(
    r"(?:\s+(?:the|this|your)\s+(?:stock|shares?|position))?\s+(?:is|seems|looks|appears|remains|would\s+be)\s+"
    r"(?:the\s+|an?\s+|my\s+)?(?:most\s+)?(?:\w+\s+)?(?:recommendation|advice|move|choice|course|option|decision|advisable|prudent|wise|"
    r"best|right|appropriate|sensible|recommended|strategy|answer|call)\b",
    re.IGNORECASE,
)
"""Behind a trade that is called the best thing to do."""
_BEFORE = 80
"""Characters before a form in -ing in which its place is looked for."""


def forms(spellings: Sequence[str]) -> list[str]:
    """Return the forms in -s, -ed and -ing of a label's first spelling that is a known verb; "" for one it lacks."""
    verb = next((word.casefold() for word in spellings if word.casefold() in _VERBS), "")
    return list(_VERBS.get(verb, ("",) * _NUM_FORMS))


def inflected(labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return labels with their inflections behind the configured spellings, at the same place in each.

    What stands at a place for one label stands there for all (``increasing``, ``decreasing``), so that they are
    compared in the same form; a label without a form has its first spelling there.
    """
    found = {label: forms(spellings) for label, spellings in labels.items()}
    if not any(any(some) for some in found.values()):
        return {label: list(spellings) for label, spellings in labels.items()}
    taken = {word.casefold() for spellings in labels.values() for word in spellings}
    most = max(len(spellings) for spellings in labels.values())
    whole = {}
    for label, spellings in labels.items():
        first = spellings[0] if spellings else label
        added = [form if form and (form in spellings or form not in taken) else first for form in found[label]]
        whole[label] = [*spellings, *[first] * (most - len(spellings)), *added]
    return whole


def is_participle(text: str, start: int, end: int) -> bool:
    """Whether a form in -ing is something else than a label where it stands.

    Parameters
    ----------
    text
        The whole text.
    start, end
        Where the form stands.
    """
    before = text[max(0, start - _BEFORE) : start]
    if start <= _BEFORE:
        before = "\n" + before
    if _ALONE.search(before) and _ENDS.match(text, end):
        return False
    if text[start:end].casefold() in {form for trade in _TRADES.values() for form in trade}:
        is_advised = bool(_ADVISED.search(before) or _KEYED.search(before)) and bool(_TRADED.match(text, end))
        return not is_advised and not _is_judged(before, text, end)
    if _TO_COME.search(before) or _PAIRED.search(before) or _is_asked_for(before):
        return not _GOES_ON.match(text, end)
    return not (_FORETOLD.search(before) and _asked().match(text, end))


def _is_judged(before: str, text: str, end: int) -> bool:
    """Whether it is the subject that is called the best thing to do ("selling is the prudent move")."""
    return bool(_BEGINS.search(before)) and bool(CALLED_BEST.match(text, end))


def _is_asked_for(before: str) -> bool:
    """Whether what is asked for is said to move, or seen to ("EPS is increasing", "I see EPS increasing")."""
    return _moving().search(before) is not None


@cache
def _moving() -> re.Pattern[str]:
    return re.compile(rf"{_subjects()}{_IS}\Z|(?:{_SEEN}){_subjects()}\s+{_ADVERBS}\Z", re.IGNORECASE)


@cache
def _asked() -> re.Pattern[str]:
    return re.compile(rf"[*_]*\s+{_subjects()}", re.IGNORECASE)


def _subjects() -> str:
    return phrases([*words_of(("en",), "subjects"), "direction", "trend"])
