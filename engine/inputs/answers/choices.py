"""Labels that are merely offered: joined by "or", "and", a stroke or commas, or heading the lines of a list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.words import LabelWord

_GAP = 40
"""Characters between two labels of one choice at most."""
_LIST_SIGN = re.compile(r"[*_`\"'”’»\]}$]*([.):：])(?=[ \t*_]*[^\s*_])")
_SENTENCE_BEFORE = re.compile(r"[.;!][ \t]+[*_\"'`(]*\Z")
_STANDS_FOR = r"(?:is\s+for|stands\s+for|denotes|represents|refers\s+to|steht\s+für|signifie|significa|означает)\s+"
_EXPLAINED = re.compile(
    rf"[*_`\"'”’»)\]]*\s*(?:(?P<alone>{_STANDS_FOR})|(?:means|indicates|bedeutet|for)\s+|(?:=|:=|→|->|=>)\s*)"
    r"[*_`\"'“(]*[^\W\d_]",
    re.IGNORECASE,
)
_SIGNS = 3
"""Letters that a label has fewer of, which is a sign for something."""
_CODED = re.compile(r"(?:\A|[\n,;])[ \t*_>•-]*[\"'`(]?\w{1,2}[\"'`)]?[ \t]*(?:[:=：]|->|→|=>)[ \t*_`\"']*\Z")
_CODE_ENDS = re.compile(r"[*_`\"'”’»)\]]*[ \t]*(?:\Z|[\n,;.])")
_LIST_DRESS = re.compile(r"(?:[\s*_#>`\"'“(\[|•-]|[Oo]ption )*+")


_AS_WELL = (
    r"[*_\"'”]*,?\s*(?:(?:but|and|or|though)\s+)?(?:(?:it|they|eps|earnings)\s+)?(?:might|may|could|can)\s+(?:just\s+)?(?:also|equally|as\s+\w+)\s+"
    r"(?:an?\s+)?|,?\s*(?:(?:aber|und|oder|ebenso)\s+)?(?:er\s+|sie\s+)?(?:könnte\s+|kann\s+)?(?:aber\s+)?(?:auch|ebenso(?:gut)?)\s+|"
    r",?\s*(?:(?:mais|et|ou)\s+)?(?:il\s+)?(?:peut|pourrait)\s+(?:aussi|également)\s+|"
    r",?\s*(?:(?:pero|y|o)\s+)?también\s+(?:puede|podría)\s+|,?\s*(?:(?:ma|e|o)\s+)?(?:può|potrebbe)\s+anche\s+|"
    r",?\s*(?:(?:mas|e|ou)\s+)?também\s+(?:pode|poderia)\s+|,?\s*так\s+и\s+|,?\s*(?:bisa|mungkin)\s+juga\s+|[,，、]?\s*也(?:有)?可能(?:会|會)?|"
    r"(?:する)?(?:とも|可能性も)(?:あり|あれば)?[、,]?|[할]?\s?수도\s있고[,]?\s*|\s+وقد\s+"
)
"""Between two labels of which each is called possible ("might increase, but might also decrease")."""


@cache
def _links(codes: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns of what joins the labels of a choice: by a word or a stroke, and by a comma.

    Words of one letter (o, e, y) count in their own language only; no link begins a sentence or a line.
    """
    mark = r"(?:[^\S\n]|[*_\"'`“”‘’()\[\]<>「」『』]|\.(?=[)\]]))"
    words = [word for word in words_of(languages(), "choices") if len(word) > 1 or not word.isascii()]
    words += words_of(codes, "choices")
    spaced = phrases(word for word in words if word.isascii() or word.isalpha())
    articles = "a|an|the|slight|moderate|strong|option|option:|ein|eine|einen|une|un|una|um|uma|der|die|das|la|le|el"
    filler = rf"(?:(?:{articles}){mark}+){{0,2}}"
    strong = rf"{mark}*,?{mark}*(?:[/|、]|{spaced}){mark}*\n?{mark}*{filler}"
    weak = rf"{mark}*[,،，]{mark}*\n?{mark}*{filler}"
    return re.compile(rf"{strong}|{_AS_WELL}", re.IGNORECASE), re.compile(weak, re.IGNORECASE)


_FEW = 8
"""Words of a text that may be too short to tell its language, so that linking words of all languages count."""


def offered_words(text: str, words: Sequence[LabelWord], denied: Sequence[bool], codes: tuple[str, ...]) -> list[bool]:
    """Return which words are labels of a choice: joined by "or", "and", a stroke, or three and more by commas."""
    strong, weak = _links(codes if len(text) > 200 or len(text.split()) > _FEW else tuple(languages()))
    offered = [False] * len(words)
    live = [index for index, is_denied in enumerate(denied) if not is_denied]
    group: list[int] = []
    is_choice = False
    for place, index in enumerate(live):
        before = live[place - 1] if place else None
        gap = text[words[before].end : words[index].start] if before is not None else "\n"
        is_strong = len(gap) <= _GAP and bool(strong.fullmatch(gap))
        is_again = is_choice and words[index].label in {words[one].label for one in group[-2:]}  # "of A and B, B is …"
        if group and (is_strong or (len(gap) <= _GAP and not is_again and weak.fullmatch(gap))):
            group.append(index)
            is_choice = is_choice or is_strong
        else:
            _mark(offered, words, group, is_choice)
            group, is_choice = [index], False
    _mark(offered, words, group, is_choice)
    return offered


def _mark(offered: list[bool], words: Sequence[LabelWord], group: Sequence[int], is_choice: bool) -> None:
    labels = {words[index].label for index in group}
    if len(labels) > 1 and (is_choice or len(group) > 2):
        for index in group:
            offered[index] = True


def mark_listed(
    offered: list[bool], text: str, words: Sequence[LabelWord], denied: Sequence[bool], order: Sequence[str]
) -> None:
    """Mark labels that head the lines of a list: options in their order ("A) …"), or with words behind ("Up: …")."""
    heads: dict[str, list[int]] = {}
    for index, word in enumerate(words):
        line = text.rfind("\n", max(0, word.start - 20), word.start) + 1
        is_head = (line or word.start < 20) and _LIST_DRESS.fullmatch(text, line, word.start)
        is_head = is_head or _SENTENCE_BEFORE.search(text[max(0, word.start - 8) : word.start])
        sign = _LIST_SIGN.match(text, word.end) if is_head and not denied[index] else None
        if sign:
            heads.setdefault(sign.group(1), []).append(index)
    for sign, group in heads.items():
        labels = [words[index].label for index in group]
        if sign in ":：" or labels == list(order)[: len(labels)]:
            _mark(offered, words, group, is_choice=True)


def explained(text: str, words: Sequence[LabelWord]) -> set[tuple[int, int]]:
    """Return the spans of the labels of a legend, told what they stand for ("1 = up, 0 = down") or coded ("1: yes").

    One alone counts where it is a sign and said to stand for something ("B stands for decline").
    """
    told = [(word, match) for word in words if (match := _EXPLAINED.match(text, word.end))]
    coded = [
        word
        for word in words
        if _CODED.search(text, max(0, word.start - 12), word.start) and _CODE_ENDS.match(text, word.end)
    ]
    spans: set[tuple[int, int]] = set()
    for group in ([word for word, _ in told], coded):
        if len({word.label for word in group}) > 1:
            spans.update((word.start, word.end) for word in group)
    alone = (word for word, match in told if match["alone"] and word.end - word.start < _SIGNS)
    return spans | {(word.start, word.end) for word in alone}
