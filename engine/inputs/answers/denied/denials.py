"""Which label words of a text are denied: by a word before or behind, a contrast, or a comparison."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise

from engine.inputs.answers.denied.comparisons import SENTENCE_END, compared_labels
from engine.inputs.answers.denied.denial_patterns import (
    STOPS,
    answers_of_others,
    is_judged,
    pattern_after,
    pattern_before,
    pattern_doubted,
    pattern_ended,
    pattern_judged,
    wrong_answers,
)
from engine.inputs.answers.languages import ELSEWHERE, HANGUL, LETTER, UNSPACED, phrases, words_of
from engine.inputs.answers.unstated.walls import CLOSED, DASHED, walled
from engine.inputs.answers.words import LabelWord

_REACH_BEFORE, _REACH_AFTER = 80, 60
_REACH_OF_DOUBT = 100
"""Characters in which a denial is looked for."""
_PREFIX = re.compile(rf"[^\W\d_{UNSPACED}{HANGUL}]{{1,10}}\Z")
_ENDING = "…"
"""Marks a configured negation that stands behind the label."""


_UNBELIEVED_REACH = 120
_REFUSALS = ("no", "no way", "never", "hardly", "not at all", "nein", "kaum", "nie", "non", "não", "нет", "いいえ")
"""Answers to a question, or to a row, that deny the label that it asks for ("Would it increase? Hardly.")."""
CROSS, CHECK = r"(?:\[ ?\]|\( ?\)|[☐□○✗✘❌🚫👎])", r"(?:\[[xX✓]\]|\([xX✓]\)|[☑☒✅✓✔👍])"
"""Signs at an option that deny it, among them an empty box, or choose it."""
_SIGN_BEFORE = re.compile(rf"(?:(?P<cross>{CROSS})|{CHECK})[ \t*_\"'(]*\Z")
_SIGN_BEHIND = re.compile(rf"[*_\"')]*[ \t:=|]*(?:(?P<cross>{CROSS}|(?<=[:=] )[nN](?=[ \t]*(?:\Z|[\n,;|])))|{CHECK})")
_LINE_OF_SIGNS = re.compile(rf"[ \t>*•-]*(?:{CROSS}|{CHECK})")
_NEGATED = re.compile(r"(?:≠|!=|¬|(?:\A|[\s(])!|\\neg\b\$?|(?<![\d.,])0(?:\.0+)?\s?%?(?=[ \t]))[ \t]*[*_\"'`]*\Z")
"""Signs of negation before a label, and amounts of nothing ("0 % increase")."""
_LESS_OF_FIRST = re.compile(
    r"\b(?:less|worse|weaker|inferior|poorer|weniger|schlechter|schwächer|moins|pire|menos|peor|pior|meno|peggio\w*|хуже|менее)\b",
    re.IGNORECASE,
)
"""Between two labels that are compared: the second is meant."""
_STRUCK = re.compile(r"(?:(?:\A|[\s*_\"'(>])~~|<(?:s|del|strike)>)[*_\"']*\Z")
_JOINED_GAP = 16
_PLURAL = re.compile(r"[*_`\"')]*\s+(?:are|were|aren't|sind|sont|son|sono|são|seem|look)\b", re.IGNORECASE)
"""Behind the last of several labels: what is said of all of them."""
_ANOTHER_CLAUSE = re.compile(r"[ \t]+(?:it|they|he|she|this|that|das|es|sie|ce|c'est)\b", re.IGNORECASE)
_YES_OR_NO = frozenset(("yes", "no", "ja", "nein", "oui", "non"))
_LESS = re.compile(r"\b(?:less|weniger|moins|menos|meno)\s+\Z", re.IGNORECASE)
_VERDICT_ENDS = r"(?=[*_\"'”]*(?:\s*\Z|[ \t]*[)）\n.,;!]|\s+(?:because|since|as|due|given|weil|da|car|porque)\b))"
"""Behind a verdict in a bracket or behind a dash: nothing, so that "(unlikely to reverse)" is none on the label."""

_SIGN_REACH = 60
"""Characters of markup between a sign and its label, at most."""


class Denials:
    """The denials of some languages, or of a config.

    Parameters
    ----------
    codes
        Languages whose words count.
    configured
        Words that stand in place of the languages' own; those that begin with … stand behind the label.
    spelled
        Spellings of labels, which deny nothing.
    is_told
        Whether the text's language is one of these; where not, denials of other languages count as well.
    """

    def __init__(
        self, codes: tuple[str, ...], configured: Sequence[str] | None, spelled: Collection[str], is_told: bool = True
    ):
        before, after, judged = (words_of(codes, kind) for kind in ("before", "after", "judged"))
        if not is_told:
            before, after = [*before, *ELSEWHERE], [*after, *ELSEWHERE]
        unbelieved, doubted = words_of(codes, "unbelieved"), words_of(codes, "doubted")
        excused = words_of(codes, "not_denials")
        if configured is not None:
            before = [word for word in configured if not word.startswith(_ENDING)]
            after = [word.lstrip(_ENDING + " ") for word in configured if word.startswith(_ENDING)]
            judged, unbelieved, doubted = [], [], []
        before, after, judged = (_without(words, spelled) for words in (before, after, judged))
        breaks = words_of(codes, "breaks")
        self._before = re.compile(pattern_before(before, breaks), re.IGNORECASE)
        self._contrast = re.compile(pattern_before(words_of(codes, "contrasts"), breaks), re.IGNORECASE)
        ends = [*breaks, *words_of(codes, "sides"), *words_of(codes, "relatives")]
        verbs = words_of(codes, "verbs")
        doubted = [*doubted, *words_of(codes, "wrong")] if doubted else []
        self._after = re.compile(pattern_after(after, ends, verbs), re.IGNORECASE)
        self._doubted = re.compile(pattern_doubted(doubted, ends, verbs, codes), re.IGNORECASE)
        self._judged = re.compile(
            rf"(?:[^\w\n.!?,(（{DASHED}\-–—]{{1,5}}(?:as\s+)?{phrases(judged)}|[^\w\n.!?,]{{1,5}}{phrases(judged)}{_VERDICT_ENDS})",
            re.IGNORECASE,
        )
        self._unbelieved = re.compile(phrases(unbelieved), re.IGNORECASE)
        self._clause_end = re.compile(
            rf"[,;:.!?\n()（）。！？；，、،؛؟{CLOSED}{DASHED}]|{phrases(breaks)}", re.IGNORECASE
        )
        self._ended = re.compile(pattern_ended(words_of(codes, "ends") if judged else []), re.IGNORECASE)
        refusals = _without(("no", "nein", "non", "não", "нет"), spelled)
        self._verdict = re.compile(pattern_judged(judged, refusals, verbs, after), re.IGNORECASE)
        self._agreeing = frozenset((*_YES_OR_NO, *words_of(codes, "judged"), *words_of(codes, "wrong")))
        nothing = re.compile("(?!)")
        self._wrong = wrong_answers() if configured is None else nothing
        self._others = answers_of_others() if configured is None else nothing
        answers = phrases(_without((*judged, *_REFUSALS), spelled) if judged else ())
        self._refused = re.compile(
            rf"[^\n.!?:;]{{0,40}}(?:[?？:：={DASHED}]|(?<=[)）])|[ \t][(\[])[ \t*_]*{answers}"
            r"(?=[*_\"'”)\]]*(?:\s*\Z|[ \t]*[\n.!,;]))",
            re.IGNORECASE,
        )
        choices = phrases([*words_of(codes, "choices"), "and", "or"])
        self._joint = re.compile(
            rf"[\s*_\"'`()]*(?:[,;/&]|{choices})[\s*_\"'`()]*(?:{choices}[\s*_\"'`()]*)?", re.IGNORECASE
        )
        self._excused = re.compile(phrases(excused), re.IGNORECASE)
        filler = rf"(?:{LETTER}+\W+){{0,3}}?"
        self._than = re.compile(
            rf"\W*(?:{LETTER}+\W+){{0,4}}?{phrases(words_of(codes, 'than'))}(?!\s+auch\b)\W+{filler}", re.IGNORECASE
        )
        self._over = re.compile(rf"\W*{phrases(words_of(codes, 'over'))}\W+{filler}", re.IGNORECASE)
        self._yields = re.compile(
            rf"[^{STOPS}]{{0,8}}?{phrases(words_of(codes, 'yields'))}[^.!?。]{{0,10}}", re.IGNORECASE
        )

    def of(self, text: str, words: Sequence[LabelWord]) -> list[bool]:
        """Return whether each of a text's label words is denied."""
        text = walled(text)
        denied = [self._denial_before(text, _token_start(text, word.start)) is not None for word in words]
        for index, word in enumerate(words):
            following = words[index + 1] if index + 1 < len(words) else None
            denied[index] = denied[index] or self._is_denied_after(text, word, following)
        self._deny_clauses(text, words, denied)
        self._deny_joined(text, words, denied)
        for index, (word, following) in enumerate(pairwise(words)):
            gap = text[word.end : following.start] if following.start - word.end <= _REACH_AFTER else "\n"
            if word.label == following.label or SENTENCE_END.search(gap):
                continue
            compared = compared_labels(text, word, gap, following)
            if compared is not None:
                first, second = compared
                denied[index] = denied[index] if first is None else first
                denied[index + 1] = denied[index + 1] if second is None else second
            elif self._than.fullmatch(gap) and _LESS.search(text, max(0, word.start - 12), word.start):
                denied[index] = denied[index + 1] = True
            elif self._than.fullmatch(gap) and _LESS_OF_FIRST.search(gap):
                denied[index] = True
            elif self._than.fullmatch(gap):
                denied[index + 1] = not denied[index]
            elif self._over.fullmatch(gap):
                denied[index + 1] = denied[index + 1] or not denied[index]
            elif self._yields.fullmatch(gap):
                denied[index], denied[index + 1] = True, self._is_denied_after(text, following, None)
        return denied

    def _deny_clauses(self, text: str, words: Sequence[LabelWord], denied: list[bool]) -> None:
        """Deny what stands in a clause that is not believed, is struck out, or is refused behind a question."""
        starts = [word.start for word in words]
        for match in self._unbelieved.finditer(_blanked(self._excused, text)) if words else ():
            limit = min(len(text), match.end() + _UNBELIEVED_REACH)
            end = self._clause_end.search(text, match.end(), limit)
            for index in range(bisect_left(starts, match.end()), bisect_left(starts, end.start() if end else limit)):
                denied[index] = True
        line = 0
        for index, word in enumerate(words):
            before, last = text[max(0, word.start - 60) : word.start], words[index - 1].end if index else 0
            line = max(line, text.rfind("\n", last, word.start) + 1)
            said = text[word.start : word.end].casefold()
            is_negated = word.end - word.start > 1 and _NEGATED.search(before)
            if (
                is_negated
                or _STRUCK.search(before)
                or _is_crossed(text, word, line)
                or self._is_no_answer(before, said)
            ):
                denied[index] = True
            elif not index or SENTENCE_END.search(text, last, word.start):
                refused = None if said in _YES_OR_NO else self._refused.match(text, word.end)
                is_own = refused and not (index + 1 < len(words) and words[index + 1].start < refused.end())
                denied[index] = denied[index] or bool(is_own)

    def _is_no_answer(self, before: str, said: str) -> bool:
        """Whether the words before a label call it a wrong answer, or somebody else's that it does not judge."""
        is_others = not is_judged(said, before) and self._others.search(before)
        return bool(is_others or self._wrong.search(before))

    def _deny_joined(self, text: str, words: Sequence[LabelWord], denied: list[bool]) -> None:
        """Deny what is joined to a word that a denial stands behind ("A, B and C are wrong"), or to a wrong answer."""
        is_plural = False
        for index in range(len(words) - 1, 0, -1):
            gap = text[words[index - 1].end : words[index].start] if denied[index] else "\n"
            if len(gap) >= _JOINED_GAP or not self._joint.fullmatch(gap):
                is_plural = False
                continue
            is_plural = is_plural or any(mark.isalnum() or mark == "/" for mark in gap)
            is_plural = is_plural or bool(_PLURAL.match(text, words[index].end))
            denied[index - 1] = denied[index - 1] or is_plural
        for index, (word, following) in enumerate(pairwise(words)):
            gap = text[word.end : following.start] if denied[index] else "\n"
            if len(gap) < _JOINED_GAP and self._joint.fullmatch(gap):
                is_wrong = self._wrong.search(text[max(0, word.start - 60) : word.start])
                is_pair = "," not in gap and any(mark.isalpha() for mark in gap)
                denied[index + 1] = denied[index + 1] or is_pair or bool(is_wrong)

    def reaches(self, text: str, position: int) -> bool:
        """Whether what stands before a position denies what begins there."""
        return self._denial_before(walled(text), position) is not None

    def _denial_before(self, text: str, position: int) -> int | None:
        """Return where the denial before a position begins; None when there is none."""
        low = max(0, position - _REACH_BEFORE)
        window = _blanked(self._excused, text)[low:position]
        match = self._before.search(window) or self._contrast.search(window)
        return low + match.start() if match else None

    def _is_denied_after(self, text: str, word: LabelWord, following: LabelWord | None) -> bool:
        is_bracketed = text[word.start - 1 : word.start] + text[word.end : word.end + 1] in ("()", "[]")
        start = word.end + is_bracketed
        end = min(len(text), start + _REACH_OF_DOUBT)
        whole = _blanked(self._excused, text)[start:end]
        window = whole[:_REACH_AFTER]
        if self._judged.match(window):
            return True
        said = text[word.start : word.end].casefold()
        if self._ended.match(window) or (said not in self._agreeing and self._verdict.match(whole)):
            return True
        if said in _YES_OR_NO and _ANOTHER_CLAUSE.match(window):
            return False
        limit = following.start - start if following and following.start < end else len(whole)
        match = self._after.match(window[:limit]) or self._doubted.match(whole[:limit])
        if match is None:
            return False
        if following is not None:
            other = self._denial_before(text, _token_start(text, following.start))
            if other is not None and 0 <= other - start < match.end():
                return False  # it denies the next label word
        return True


def _is_crossed(text: str, word: LabelWord, line: int) -> bool:
    """Whether a sign at a label denies it: the one before it where the line begins with one, else the one behind.

    ``line`` is where the label's line begins; searched for each label alone, a line of many labels would take hours.
    """
    before = _SIGN_BEFORE.search(text, max(line - 1, word.start - _SIGN_REACH, 0), word.start)
    behind = _SIGN_BEHIND.match(text, word.end)
    is_leading = bool(_LINE_OF_SIGNS.match(text, line))
    sign = before if before and (is_leading or not behind) else behind
    return bool(sign and sign["cross"])


@cache
def language_denials(
    codes: tuple[str, ...], configured: tuple[str, ...] | None, spelled: frozenset[str], is_told: bool = True
) -> Denials:
    """Return the denials of some languages, compiled once."""
    return Denials(codes, configured, spelled, is_told)


@lru_cache(maxsize=8)
def _blanked(excused: re.Pattern[str], text: str) -> str:
    """Return a text without the phrases that only look like a denial; others of the same length stand for them."""
    return excused.sub(lambda match: "·" * len(match.group()), text)


def _token_start(text: str, position: int) -> int:
    """Return where the letters begin that stand right before a label word, such as an Arabic article."""
    low = max(0, position - 10)
    match = _PREFIX.search(text, low, position)
    return match.start() if match else position


def _without(words: Iterable[str], spelled: Collection[str]) -> list[str]:
    return [word for word in words if word.casefold() not in spelled]
