"""A label that an answer says without a word around it: at the beginning of its first line, or alone on the last."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.inputs.answers.asserted.voices import is_quoted
from engine.inputs.answers.languages import languages, pattern_of
from engine.inputs.answers.mentions import Mention, Mentions, Reading, fillers
from engine.inputs.answers.words import LabelWord

_SENTENCE_CLOSERS = " \t\r\n.!*_`\"'”’»)]}$"
_STOP = re.compile(r"[.!?。！？][*_\"'”)]*\s+")
_INTERJECTION = re.compile(r"[*_\"'(]*[^\W\d_]+(?:\s[^\W\d_]+)?,\s*")
_ANSWERED = re.compile(r"[*_`\"']*(?:,\s|[.!][*_`\"']*(?:\s|\Z)|，|。)")
_BEHIND = re.compile(
    r"[*_`\"'”’»)）\]}$」』]*"
    r"(?:\s*\Z|[ \t]*\n|[.!。！](?!\d)|[,;:，；：、)](?!\d)|[ \t]+[-–—](?!>)|[ \t]*[(（—–]|[*_]+\s*[-–—:])"
)


_CASE_BEHIND = re.compile(
    r"[*_\"'”]*\s*[(,]\s*(?:only\s+)?(?:if|when|unless|falls|wenn|si|se|если)(?![^\W_])", re.IGNORECASE
)
_ITEM = re.compile(r"[ \t>]*(?:[-*•+]|\d{1,2}[.)]|\[ ?\])[ \t]+")
_QUOTED = 80
"""Characters behind a quoted label in which is told who says it."""


def bare_label(mentions: Mentions) -> Reading:
    """Return the label that the first line begins with, or that is all the last line says; a conflict is ambiguous."""
    leading = _leading(mentions)
    later = _later(mentions, leading) if leading else None
    if leading and later:
        return Reading(None, "ambiguous_label", (leading.label, later.label), is_conflict=True)
    cases = _cases(mentions, leading) if leading else _listed(mentions)
    if len(cases) > 1:
        return Reading(None, "ambiguous_label", cases, is_conflict=True)
    trailing = _trailing(mentions) or (_closing(mentions) if leading else None)
    words = [word for word in (leading, trailing) if word]
    labels = tuple(dict.fromkeys(word.label for word in words))
    if len(labels) > 1:
        return Reading(None, "ambiguous_label", labels, is_conflict=True)
    return Reading(words[0]) if words else Reading(None, "no_label")


def _leading(mentions: Mentions) -> LabelWord | None:
    text = mentions.text
    first = _first(mentions.items)
    if first is None or first.is_denied or first.is_offered:
        return None
    word = first.word
    line = text.rfind("\n", 0, word.start) + 1
    if text[:line].strip(" \t\r\n*_#>-") or not fillers().fullmatch(text, line, word.start):
        return None
    if is_quoted(text[word.end : word.end + _QUOTED]):
        return None
    reason = pattern_of(tuple(languages()), "sides")
    behind = _BEHIND.match(text, word.end) or _spaced(reason, text, word.end)
    return word if behind else None


def _later(mentions: Mentions, leading: LabelWord) -> LabelWord | None:
    """Return another label that a later line answers with ("Yes, I am sure."); lines of letters explain options."""
    for mention in mentions.items:
        word = mention.word
        line = mentions.text.rfind("\n", 0, word.start) + 1
        is_said = word.label != leading.label and not mention.is_denied and not mention.is_offered
        if not is_said or line <= leading.end or word.end - word.start < 2:
            continue
        if not mentions.text[line : word.start].strip(" \t*_\"'") and _ANSWERED.match(mentions.text, word.end):
            return word
    return None


def _cases(mentions: Mentions, leading: LabelWord) -> tuple[str, ...]:
    """Return the labels of a first line that gives each for a case ("increase (if audited) / decrease (if not)")."""
    text = mentions.text
    if not _CASE_BEHIND.match(text, leading.end):
        return ()
    end = text.find("\n", leading.end)
    words = [mention.word for mention in mentions.within(leading.start, end if end >= 0 else len(text))]
    return tuple(dict.fromkeys(word.label for word in words))


def _listed(mentions: Mentions) -> tuple[str, ...]:
    """Return the labels of a list's items, where the last lines of an answer are items that say a label each."""
    labels: list[str] = []
    text = mentions.text.rstrip()
    end = len(text)
    while end > 0:
        line = text.rfind("\n", 0, end) + 1
        said = [mention.word for mention in mentions.within(line, end) if not mention.is_denied]
        item = _ITEM.match(text, line, end)
        is_all = len(said) == 1 and item and not text[item.end() : said[0].start].strip(" \t*_`\"'")
        if not is_all or text[said[0].end : end].strip(" \t\r*_`\"'.,;"):
            break
        labels.append(said[0].label)
        end = max(line - 1, 0)
    return tuple(dict.fromkeys(reversed(labels)))


def _trailing(mentions: Mentions) -> LabelWord | None:
    """Return the label that is all that the last line says, where there are other lines before it."""
    text = mentions.text.rstrip()
    line = text.rfind("\n") + 1
    last = [m for m in mentions.within(line, len(text)) if not m.is_denied and not m.is_offered]
    if not line or len(last) != 1 or not fillers().fullmatch(text, line, last[0].word.start):
        return None
    word = last[0].word
    return word if not re.search(r"[^\W_]|\?", text[word.end :]) else None


def _closing(mentions: Mentions) -> LabelWord | None:
    """Return the label that is all that the last sentence says, but for an interjection ("Hmm, B.")."""
    text = mentions.text
    start = max((match.end() for match in _STOP.finditer(text.rstrip(_SENTENCE_CLOSERS))), default=0)
    last = [m for m in mentions.within(start, len(text)) if not m.is_denied and not m.is_offered]
    if not start or len(last) != 1 or re.search(r"[^\W_]|\?", text[last[0].word.end :]):
        return None
    interjection = _INTERJECTION.match(text, start, last[0].word.start)
    begin = interjection.end() if interjection else start
    return last[0].word if fillers().fullmatch(text, begin, last[0].word.start) else None


def _first(items: Sequence[Mention]) -> Mention | None:
    return items[0] if items else None


def _spaced(pattern: re.Pattern[str], text: str, position: int) -> bool:
    blank = re.compile(r"[*_`\"'”’»)\]}$]*\s+").match(text, position)
    return bool(blank and pattern.match(text, blank.end()))
