r"""What an answer states behind a cue: ``Answer:``, ``the answer is``, ``\boxed{}``, ``####``, a configured pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.config.user_patterns import UserPattern
from engine.inputs.answers.cued.corrections import corrections, waits
from engine.inputs.answers.cued.cue_patterns import VALUE, Cue, patterns, sentence_end
from engine.inputs.answers.cued.unlabelled import heads_account, unlabelled
from engine.inputs.answers.cued.whole_values import WholeValues
from engine.inputs.answers.denied.denials import Denials
from engine.inputs.answers.languages import languages, pattern_of
from engine.inputs.answers.mentions import Mentions, Reading, head_label, main_label
from engine.inputs.answers.unstated.keys import noun_rank
from engine.inputs.answers.unstated.several import several_answers
from engine.inputs.answers.words import LabelWord, LabelWords

_BEFORE = 100
"""Characters before a cue's noun in which its other words and the beginning of its line are looked for."""
_BOXED = re.compile(r"\\f?boxed\s*\{")
_DOUBLE = re.compile(r"\[\[([^\[\]\n]{1,40})\]\]")
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?=[^\s#])", re.MULTILINE)
_VALUE_START = re.compile(r"(?:[\s*_`\"'“‘«(（>\[{$\\|#•「『]|-(?!\d))*(?:\\?text\w*\{|\\?math\w+\{)?[\s*_`\"'“(\[]*")
_CLOSING = re.compile(r"</")


@dataclass(frozen=True, slots=True)
class CueReader:
    """Finds the cues of all languages, and those of a config.

    Attributes
    ----------
    labels
        The label words.
    whole
        What values mean as a whole.
    pattern
        ``decision.pattern``: its first group is the value, or what follows it on the line.
    names
        Words of the decision's field, which may stand in a cue too ("EPS direction:").
    """

    labels: LabelWords
    whole: WholeValues
    pattern: UserPattern | None = None
    names: tuple[str, ...] = ()

    def stated(self, mentions: Mentions, denials: Denials) -> Reading:
        """Return the label that the answer's cues state, or why they state none."""
        stated: dict[int, list[tuple[Cue, Reading]]] = {}
        failed: list[Reading] = []
        cues = list(self._cues(mentions.text))
        cues += corrections(mentions, max((cue.start for cue in cues), default=-1))
        for cue in cues:
            reading = self._read(mentions, denials, cue)
            if heads_account(mentions, cue):
                continue
            instead = None
            if not cue.is_said and not reading.is_conflict:
                instead = unlabelled(mentions, cue.start, cue.value_start, cue.value_end, reading)
            if instead:
                failed.append(instead)
            elif reading.word or reading.is_conflict:
                stated.setdefault(self._rank(mentions.text, cue, reading), []).append((cue, reading))
            elif reading.value or reading.reason != "no_label":
                failed.append(reading)
        for rank in (2, 1):
            if rank in stated:
                return _decided(mentions.text, stated[rank])
        values = [reading for reading in failed if reading.value]
        return (values or failed or [Reading(None, "no_label")])[-1]

    def _read(self, mentions: Mentions, denials: Denials, cue: Cue) -> Reading:
        if not cue.is_said:
            mentions = mentions.without_conditions()
        configured = self.exact_word(mentions.text, cue.value_start, cue.value_end) if cue.is_configured else None
        if configured:
            return Reading(configured)
        if denials.reaches(mentions.text, cue.start):
            return Reading(None, "denied_label")
        whole = self.whole.read(mentions.text, cue.value_start, cue.value_end)
        if whole:
            return whole
        several = several_answers(mentions, self.labels, cue.value_start, cue.value_end)
        if several:
            return several
        head = head_label(mentions, cue.value_start, cue.value_end)
        if head:
            return Reading(head)
        reading = main_label(mentions, cue.value_start, cue.value_end, is_first=True)
        if (
            reading.is_aside
            or reading.is_beside
            or (reading.labels and reading.reason == "ambiguous_label" and not reading.is_share)
        ):
            value = mentions.text[cue.value_start : cue.value_end].strip()
            return Reading(None, reading.reason or "no_label", reading.labels, is_aside=reading.is_aside, value=value)
        if reading.word is None and reading.reason == "no_label":
            word = self.exact_word(mentions.text, cue.value_start, cue.value_end)
            return Reading(word) if word else reading
        return reading

    def _rank(self, text: str, cue: Cue, reading: Reading) -> int:
        """Return 2, or less for a letter behind a noun that holds grades (0) or names classes (1)."""
        word = reading.word
        is_letter = word is not None and word.end - word.start == 1 and text[word.start].isalpha()
        return 2 if cue.is_said or cue.is_final or not is_letter else noun_rank(text[cue.start : cue.value_start])

    def correction(self, mentions: Mentions, denials: Denials, after: int) -> LabelWord | None:
        """Return the label that an answer corrects itself to, or calls its final one, behind a position."""
        cues = [cue for cue in self._cues(mentions.text, after) if cue.is_final and not cue.is_configured]
        cues += corrections(mentions, after - 1)
        cues = [cue for cue in cues if cue.start >= after]
        readings = [self._read(mentions, denials, cue) for cue in sorted(cues, key=lambda cue: cue.start)]
        words = [reading.word for reading in readings if reading.word]
        return words[-1] if words else None

    def exact_word(self, text: str, start: int, end: int) -> LabelWord | None:
        """Return the label word that is all a stretch says, in any case."""
        stretch = text[start:end]
        words = self.labels.find(stretch) if len(stretch) < 100 and self.labels.exact(stretch) else []
        return words[-1].moved(start) if words else None

    def _cues(self, text: str, first: int = 0) -> Iterator[Cue]:
        """Yield every cue; words before ``first`` correct none."""
        yield from self._configured(text)
        for match in _BOXED.finditer(text):
            yield Cue(match.start(), match.end(), _brace_end(text, match.end()), False, True)
        for match in _DOUBLE.finditer(text):
            if self.exact_word(text, *match.span(1)):
                yield Cue(match.start(), *match.span(1), False, True)
        for match in _HASHES.finditer(text):
            end = _line_end(text, match.end())
            if self.exact_word(text, match.end(), sentence_end(text, match.end(), end)):
                yield Cue(match.start(), match.end(), sentence_end(text, match.end(), end), False, True)
        words = patterns(self.names, self.whole.is_scale)
        for match in words.noun.finditer(text):
            behind = words.marked.match(text, match.end())
            lead = _lead(words.lead, text, match.start()) if behind else None
            if behind is not None and lead is not None:
                yield _marked_cue(text, lead, behind, first)
        for match in words.said_noun.finditer(text):
            behind = words.said.match(text, match.end())
            if behind is not None and not _is_supposed(text, match.start()):
                end = sentence_end(text, behind.end(), behind.end() + VALUE)
                if text[end : end + 1] not in ("?", "？", "؟"):
                    start = _modified_start(words.modified, text, match.start())
                    yield Cue(start, behind.end(), end, True, _is_final(text, start, behind.end(), first))

    def _configured(self, text: str) -> Iterator[Cue]:
        for match in self.pattern.matches(text) if self.pattern else ():
            start, end = match.span(1) if match.re.groups else (match.end(), _line_end(text, match.end()))
            if start >= 0:
                yield Cue(match.start(), start, end, False, True, is_configured=True)


def _decided(text: str, stated: list[tuple[Cue, Reading]]) -> Reading:
    """Return the label of the cues that are final; of those marked by a sign where none is; else of all.

    The last one counts alone where a word of correction stands between it and the one before.
    """
    stated = sorted(stated, key=lambda each: each[0].start)
    places = [cue.start for cue, _ in stated]
    between = text[max(places[-2:][0], places[-1] - 60) : places[-1]]
    if stated[-1][0].is_final and stated[-1][1].word and waits().search(between):
        return stated[-1][1]
    for some in (
        [reading for cue, reading in stated if cue.is_final],
        [reading for cue, reading in stated if not cue.is_said],
        [reading for _, reading in stated],
    ):
        named = [(reading.word.label,) if reading.word else reading.labels for reading in some]
        labels = tuple(dict.fromkeys(label for labels in named for label in labels))
        if len(labels) == 1:
            return some[-1]
        if labels:
            return Reading(None, "ambiguous_label", labels, is_conflict=True)
    raise AssertionError("one of the lists holds what was stated")


@dataclass(frozen=True, slots=True)
class _Lead:
    """Where a cue's words begin, and whether its line is dressed as a heading."""

    start: int
    is_heading: bool


def _lead(pattern: re.Pattern[str], text: str, position: int) -> _Lead | None:
    """Return the beginning of a cue whose noun stands at a position; None when other words stand before it."""
    if text[max(0, position - 1) : position] == "/":
        return None
    low = max(0, position - _BEFORE)
    window = ("\n" if low == 0 else "") + text[low:position]
    match = pattern.search(window)
    if match is None or window[match.end("dress") - 2 : match.end("dress")] == "</":
        return None
    dress = match["dress"]
    start = low + match.end("dress") - (1 if low == 0 else 0)
    return _Lead(max(start, 0), "#" in dress or "**" in dress or "__" in dress)


def _marked_cue(text: str, lead: _Lead, behind: re.Match[str], since: int) -> Cue:
    is_bare = behind["heading"] is not None and not lead.is_heading
    start = _VALUE_START.match(text, behind.end())
    first = start.end() if start else behind.end()
    end = sentence_end(text, first, first + VALUE)
    if text[behind.end() - 1 : behind.end()] == ">":
        closing = _CLOSING.search(text, first, first + VALUE)
        end = closing.start() if closing else end
    if is_bare or text[end : end + 1] in ("?", "？", "؟"):
        end = first
    return Cue(lead.start, first, end, False, _is_final(text, lead.start, behind.end(), since))


def _modified_start(pattern: re.Pattern[str], text: str, position: int) -> int:
    low = max(0, position - _BEFORE)
    match = pattern.search(text[low:position])
    return low + match.start() if match else position


def _is_final(text: str, start: int, end: int, first: int) -> bool:
    """Whether a cue says that it is final, or follows words of correction, none of them before ``first``."""
    codes = tuple(languages())
    if pattern_of(codes, "final").search(text, start, end):
        return True
    return bool(pattern_of(codes, "corrections").search(text, max(first, start - 60), max(first, start)))


def _is_supposed(text: str, position: int) -> bool:
    """Whether a cue stands in a clause that supposes: if the answer is A, whether the answer is B."""
    clause = re.split(r"[.!?\n,;。！？，；،؛؟]", text[max(0, position - _BEFORE) : position])[-1]
    return bool(pattern_of(tuple(languages()), "supposing").search(clause))


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start, start + VALUE)
    return end if end >= 0 else min(len(text), start + VALUE)


def _brace_end(text: str, start: int) -> int:
    """Return where the brace that was opened before a position closes; the limit where it never does."""
    depth = 1
    limit = min(len(text), start + VALUE)
    for place in range(start, limit):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return limit


def field_words(field: str | None) -> tuple[str, ...]:
    """Return the words of a field's name, which may stand in a cue as well."""
    parts: Iterable[str] = re.split(r"[\W_]+", field) if field else ()
    return tuple(part for part in parts if part)
