"""What an answer says without a cue or a bare label: its conclusion in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from engine.inputs.answers.asserted.frames import is_english, is_stated
from engine.inputs.answers.languages import NOT_AFTER_TITLE, languages, pattern_of, phrases, words_of
from engine.inputs.answers.mentions import Mentions, Reading, is_of_subject, main_label, weighed
from engine.inputs.answers.unstated.asides import is_attribute
from engine.inputs.answers.unstated.keys import is_of_other_key
from engine.inputs.answers.unstated.movements import is_future, other_verdict, speaks_of_subject
from engine.inputs.answers.words import LabelWord

_SENTENCE = re.compile(
    rf"[^\n.!?。！？؟।]+(?:(?:[.!?](?=\d)|(?!{NOT_AFTER_TITLE}\.)\.(?=\s+[^\W\d_]))[^\n.!?。！？؟।]*)*[.!?。！？؟।]*"
)
_MARKUP_WORDS = frozenset(("boxed", "text", "b", "strong", "textbf", "mathrm"))
_PRONOUN = re.compile(
    r"[\W_]*(?:(?:and|but|so|then|now|next|und|aber)\s+)?"
    r"(?:my|our|mein|meine|mon|ma|mi|mio|mia|minha|meu|it|they|this|that|these|i|we|he|she|there|es|sie|er|ich|wir|il|elle|je|nous|yo|ella|io|noi|ele|ela|eu|он|она|я|мы)\b",
    re.IGNORECASE,
)
_WRITER = re.compile(r",\s*(?:I|we)\s+(?:[\w'’]+\s+){1,4}(?:it|they|this|that)\b", re.IGNORECASE)
"""A writer who speaks of what was named before, behind a reason ("given the sales, I would say it will …")."""
_QUESTION = re.compile(r"[?？؟][\s*_\"'”)\]]*\Z")


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the sentences say: the label's word, and every label that a concluding sentence names."""

    reading: Reading
    labels: frozenset[str]


def conclusion(mentions: Mentions, subject: re.Pattern[str] | None = None) -> Conclusion:
    """Return the label of an answer's conclusion in prose.

    The last sentence that names a label and concludes (therefore, I predict, answer, …) or says nothing but the label;
    conditional ones (if, would, …) count only where there is no other. Without any of these, all sentences that name a
    label have to name the same, and not while another one speaks of the subject: what they are about is not understood.
    Questions, lists of labels, labels aside and what follows ``Reason:`` state nothing.

    Parameters
    ----------
    mentions
        Of the whole text.
    subject
        What the label is asked of, where the config's field names it.
    """
    naming = [_Sentence.of(mentions, *match.span()) for match in _sentences(mentions)]
    naming = [sentence for sentence in naming if sentence.labels]
    telling = [s for s in naming if not s.is_question and not s.is_explanation]
    telling = [s for s in telling if not s.is_nobodys] or telling
    telling = [s for s in telling if s.is_concluding or s.reading.word or not s.is_list] or telling
    concluding = [s for s in telling if s.is_concluding]
    certain = [s for s in concluding if not s.is_conditional]
    chosen = certain or concluding or telling
    heard = frozenset(label for s in concluding or telling[-1:] for label in s.labels)
    if not chosen:
        labels = tuple(dict.fromkeys(label for s in naming for label in s.labels))
        is_denied = any(mention.is_denied for mention in mentions.items)
        reason = "ambiguous_label" if naming else "denied_label" if is_denied else "no_label"
        return Conclusion(Reading(None, reason, labels), frozenset())
    chosen = [_weighed(mentions, s) for s in chosen]
    chosen = _to_come(mentions, _of_what_is_asked(mentions, telling, chosen))
    decided = [s for s in chosen if s.is_decided and not s.reading.is_beside]
    last = (decided or chosen)[-1]
    if not _is_asserted(mentions, last):
        return Conclusion(Reading(None, "ambiguous_label", tuple(sorted({*heard, *last.labels}))), heard)
    if _is_told_otherwise(mentions, last) or _answers_others(mentions, telling, last):
        return Conclusion(Reading(None, "ambiguous_label", tuple(sorted({*heard, *last.labels}))), heard)
    if decided:
        return Conclusion(last.reading, heard)
    labels = tuple(dict.fromkeys(label for s in chosen for label in s.labels))
    if (
        chosen[-1].reading.is_beside
        or (len(labels) > 1 and chosen[-1].reading.word)
        or _is_of_another(mentions, chosen, subject)
    ):
        return Conclusion(Reading(None, "ambiguous_label", labels), heard)
    return Conclusion(chosen[-1].reading, heard)


def _is_asserted(mentions: Mentions, sentence: _Sentence) -> bool:
    """Whether a sentence states the label that it names, in English, whose frames are known."""
    word, text = sentence.reading.word, mentions.text
    if word is None or sentence.says_only:
        return True
    if not is_english(text, mentions.codes, mentions.is_told, text[word.start : word.end]):
        return True
    is_moving = word.label in mentions.signs
    is_own = is_moving and is_of_subject(mentions, word, sentence.start)
    is_own = is_own and not _is_of_past(text, sentence, word)
    named = mentions.within(sentence.start, sentence.end)
    is_only = not any(one.word.label != word.label and not one.is_denied for one in named)
    return is_stated(
        text, sentence.start, sentence.end, word, is_moving=is_moving, is_of_subject=is_own, is_only=is_only
    )


def _of_what_is_asked(mentions: Mentions, telling: Sequence[_Sentence], chosen: list[_Sentence]) -> list[_Sentence]:
    """Return the sentences that name a label of what is asked for, where all others are said of something else.

    Where everything that concludes is said of something else, other sentences are looked at, but for those of the past.
    """
    of_others = [s for s in chosen if s.reading.is_beside]
    if not of_others:
        return chosen
    some = chosen if len(of_others) < len(chosen) else [_weighed(mentions, s) for s in telling]
    own = [s for s in some if s.reading.word and not s.reading.is_beside and not s.is_conditional]
    is_rest = all(s in own or s.reading.is_beside for s in some)
    words = [s.reading.word for s in own if s.reading.word]
    if not is_rest or len({word.label for word in words}) != 1:
        return chosen
    is_own = all(
        is_of_subject(mentions, word, s.start) and not _is_of_past(mentions.text, s, word)
        for s, word in zip(own, words, strict=True)
    )
    return own if is_own else chosen


def _to_come(mentions: Mentions, chosen: list[_Sentence]) -> list[_Sentence]:
    """Return the sentences that tell what is to come, where all others tell the past, in English."""
    text, words = mentions.text, [s.reading.word for s in chosen]
    if mentions.codes != ("en",) or len({word.label for word in words if word}) < 2:
        return chosen
    past = [
        word is not None and word.label in mentions.signs and _is_of_past(text, s, word)
        for s, word in zip(chosen, words, strict=True)
    ]
    coming = [s for s, is_past in zip(chosen, past, strict=True) if not is_past]
    is_all = any(past) and coming and all(is_future(text[s.start : s.end]) for s in coming)
    return coming if is_all else chosen


def _weighed(mentions: Mentions, sentence: _Sentence) -> _Sentence:
    return replace(sentence, reading=weighed(mentions, sentence.reading, sentence.end))


def _is_of_past(text: str, sentence: _Sentence, word: LabelWord) -> bool:
    return text[word.start : word.end].lower().endswith("ed") and not is_future(text[sentence.start : sentence.end])


def _is_told_otherwise(mentions: Mentions, chosen: _Sentence) -> bool:
    """Whether another sentence tells another movement of what is asked for, of which the chosen one does not speak."""
    text, topic = mentions.text, mentions.topic
    sign = mentions.signs.get(chosen.labels[0]) if chosen.reading.word else None
    if sign is None or chosen.says_only or speaks_of_subject(text, chosen.start, chosen.end, topic):
        return False
    spans = {(mention.word.start, mention.word.end) for mention in mentions.items}
    return any(
        is_future(match.group()) and other_verdict(text, *match.span(), topic, sign, spans, is_of_subject=True)
        for match in _SENTENCE.finditer(text)
        if not _QUESTION.search(match.group())
    )


def _answers_others(mentions: Mentions, telling: Sequence[_Sentence], chosen: _Sentence) -> bool:
    """Whether the chosen sentence answers the last of several questions that got different answers."""
    answers = [s for s in telling if s.says_only and mentions.text[: s.start].rstrip(" \t*_\"'").endswith("?")]
    return any(chosen.start == s.start for s in answers) and len({s.labels for s in answers}) > 1


def _is_of_another(mentions: Mentions, chosen: Sequence[_Sentence], subject: re.Pattern[str] | None) -> bool:
    """Whether an answer speaks of the subject, but in no sentence that names a label, nor by a pronoun there."""
    if subject is None or not subject.search(mentions.text):
        return False
    texts = [mentions.text[s.start : s.end] for s in chosen]
    return not any(subject.search(text) or _PRONOUN.match(text) or _WRITER.search(text) for text in texts)


def subject_words(field: str | None) -> tuple[str, ...]:
    """Return the words of what the label is asked of, by the field's name (eps in direction_of_eps_change)."""
    codes = tuple(languages())
    general = {word for kind in ("nouns", "modifiers", "function_words") for word in words_of(codes, kind)}
    words = re.split(r"[\W_]+", field or "")
    return tuple(word for word in words if len(word) > 1 and word.casefold() not in general)


def subject_of(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return a pattern of what the label is asked of; None where its words are not known."""
    return re.compile(phrases(words), re.IGNORECASE) if words else None


def _sentences(mentions: Mentions) -> list[re.Match[str]]:
    """Return the sentences that name a label."""
    return [m for m in _SENTENCE.finditer(mentions.text) if mentions.within(*m.span())]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence that names labels, where it stands, and what kind of sentence it is.

    One is nobody's where others say all its labels, or they hold under a condition or of a part.
    One that is decided concludes by more than words that are said of any subject (expected, likely).
    """

    start: int
    end: int
    reading: Reading
    labels: tuple[str, ...]
    is_concluding: bool
    is_decided: bool
    is_conditional: bool
    is_question: bool
    is_explanation: bool
    is_list: bool
    is_nobodys: bool
    says_only: bool

    @classmethod
    def of(cls, mentions: Mentions, start: int, end: int) -> _Sentence:
        named = [
            m for m in mentions.within(start, end) if not m.is_denied and not is_of_other_key(mentions.text, m.word)
        ]
        reading = main_label(mentions, start, end, is_weighed=False)
        sentence = mentions.text[start:end]
        codes = _with_english(mentions.codes)
        concluding = [match.group() for match in pattern_of(codes, "concludes").finditer(sentence)]
        is_led = bool(_led(codes).match(sentence))
        tentative = pattern_of(codes, "tentative")
        says_only = _says_only(mentions, start, end)
        if reading.word and is_of_other_key(mentions.text, reading.word):
            reading = Reading(None, "no_label")
        labels = (reading.word.label,) if reading.word else tuple(dict.fromkeys(m.word.label for m in named))
        return cls(
            start=start,
            end=end,
            reading=reading,
            labels=labels,
            is_concluding=bool(concluding) or says_only or is_led,
            is_decided=says_only or is_led or any(not tentative.fullmatch(word) for word in concluding),
            is_conditional=bool(pattern_of(codes, "conditional").search(sentence)),
            is_question=bool(_QUESTION.search(sentence)),
            is_explanation=reading.is_aside or bool(_explaining().match(sentence)),
            is_list=bool(named) and all(mention.is_offered for mention in named),
            is_nobodys=bool(named)
            and all(one.is_of_others or one.is_conditional or is_attribute(mentions.text, one.word) for one in named),
            says_only=says_only,
        )


@cache
def _led(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of a sentence's beginning that leads to its conclusion (so, therefore)."""
    return re.compile(rf"[\W_]*+(?:and\s+)?{phrases(words_of(codes, 'connectors'))}", re.IGNORECASE)


def _says_only(mentions: Mentions, start: int, end: int) -> bool:
    pieces: list[str] = []
    place = start
    for mention in mentions.within(start, end):
        pieces.append(mentions.text[place : mention.word.start])
        place = mention.word.end
    pieces.append(mentions.text[place:end])
    return all(word.lower() in _MARKUP_WORDS for piece in pieces for word in re.findall(r"[^\W_]+", piece))


@cache
def _explaining() -> re.Pattern[str]:
    words = phrases(words_of(languages(), "explains"))
    return re.compile(rf"[\W_]*+(?:\w+\s+){{0,2}}{words}[^:：\n]{{0,30}}[:：]", re.IGNORECASE)


def _with_english(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*codes, "en")))
