"""Answers that go through the labels and say yes or no to each ("(A) no (B) yes (C) no", a table of ticks)."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.denied.denials import CHECK, CROSS
from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.mentions import Reading
from engine.inputs.answers.words import LabelWord, LabelWords, folded

_MOST = 600
"""Characters of an answer that is looked at: longer ones say more than verdicts."""
_RIGHT = (
    "yes", "y", "true", "correct", "right", "是", "对", "對", "正确", "正確", "正解", "верно", "правильно", "richtig",
    "wahr", "vrai", "correcto", "verdadero", "corretto", "vero", "correto", "verdadeiro", "benar", "doğru", "सही",
    "맞음", "정답", "صحيح",
)  # fmt: skip
_WRONG = (
    "no", "n", "false", "not correct", "nein", "non", "nee", "nei", "nej", "não", "nao", "нет", "неверно",
    "неправильно", "hayır", "tidak", "bukan", "नहीं", "不", "不是", "否", "错", "錯", "不正確", "不正确", "不正解",
    "いいえ", "아니오", "아니요", "아님", "لا", "خطأ", "nie", "ne", "ei", "όχι", "không", "לא", "خیر", "ไม่ใช่",
)  # fmt: skip
_HEADER = re.compile(
    r"\s*(?:\|[ \t]*)?[^\W_][\w ]{0,30}\|[ \t]*(?:is )?(?:the )?"
    r"(?:correct|right|true|answer|verdict|chosen|selected|choice|prediction)[ \t?]*\|?[ \t]*\n(?:[ \t|:-]+\n)?",
    re.IGNORECASE,
)
_LEAD = re.compile(r"[\W_]*(?:(?:my |the )?(?:final )?(?:answers?|verdicts?)\b[ \t*_]*[:：][\W_]*)?", re.IGNORECASE)


def verdict_rows(text: str, labels: LabelWords) -> Reading | None:
    """Return the one label of an answer that says yes or no to each, and nothing else; None where it is no such list.

    A conflict where it says yes to none or to several. Between a label and its verdict may stand what the label is of
    ("A. Paris: no"), where each has a line of its own.

    Parameters
    ----------
    text
        The whole answer.
    labels
        The label words.
    """
    if len(text) > _MOST:
        return None
    header = _HEADER.match(text)
    start = header.end() if header else 0
    lead = _LEAD.match(text, start)
    rows = _rows(text, lead.end() if lead else start, labels)
    names = tuple(word.label for word, _ in rows)
    if len(names) < 2 or len(set(names)) < len(names):
        return None
    said_yes = [word for word, is_right in rows if is_right]
    if len(said_yes) == 1:
        return Reading(said_yes[0])
    return Reading(None, "ambiguous_label", tuple(word.label for word in said_yes) or names, is_conflict=True)


def _rows(text: str, start: int, labels: LabelWords) -> list[tuple[LabelWord, bool]]:
    """Return each label with whether it is said to be right; none where anything else is said."""
    rows: list[tuple[LabelWord, bool]] = []
    while start < len(text):
        row = _row().match(text, start)
        place = labels.spelled.get(folded(row["label"])) if row else None
        if row is None or place is None:
            return []
        rows.append((LabelWord(*place, *row.span("label")), row["right"] is not None))
        start = row.end()
    return rows


@cache
def _row() -> re.Pattern[str]:
    """Return a pattern of a label with its verdict and the marks around them."""
    right = phrases([*_RIGHT, *words_of(languages(), "affirms")])
    wrong = phrases([*_WRONG, *words_of(languages(), "wrong")])
    label = r"(?:(?:options?|choices?)\s+)?(?P<label>[^\W_](?:[\w /-]{0,38}?[^\W_])??)"
    text = r"(?:[.)\]:|]+[*_]*[ \t]+[^\n]{1,120}?(?=[^\w\n]{1,6}[^\n]{0,20}(?:\n|\Z)))??"
    says = rf"(?:(?:is|=)\s+)?(?:(?P<right>{CHECK}|{right})|{CROSS}|{wrong})"
    between = r"(?![^\W_])\W{0,12}?_{0,2}"
    # Without a text first, so that a verdict is never taken for one.
    return re.compile(rf"{label}{text}{between}{says}(?=(?P<rest>[\W_]*))(?P=rest)", re.IGNORECASE)
