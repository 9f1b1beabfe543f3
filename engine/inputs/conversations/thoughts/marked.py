"""Thoughts in what a model wrote: where they stand, and where the answer begins behind them.

A thought is never an answer: labels are read behind the last one. What marks thoughts differs between models; the table
holds the marks that are known to be in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ASKED_FOR = (
    "reasoning",
    "reflection",
    "analysis",
    "scratch[_-]?pad",
    "inner_monologue",
    "internal_monologue",
    "inner_thoughts",
    "chain_of_thought",
    "cot",
    "think(?:ing)?_process",
    "thought_process",
    "reasoning_(?:content|process|steps)",
    "(?:think|thinking|thoughts?|reasoning)[_-](?:block|box|chain|log|notes?|section|space|steps?|trace)",
)
"""Names of tags around a thought that a prompt asks for; they may explain an answer behind it as well."""
_TRAINED = ("think", "thinking", "thought", "thoughts", "antthinking", r"[a-z]{2,12}[:_]think(?:ing)?")
"""Names of tags that models write by themselves: Qwen, DeepSeek, GLM, Phi and others ``think``, others with their name
before it (``seed:think``, ``longcat_think``)."""
_LEADING = ("reason", "rationale", "internal", "plan", "planning", "deliberation", "deep_think", "deepthink", "draft")
"""Names of tags that hold a thought where they begin what a model wrote, and may be anything elsewhere."""
_ESCAPED = r"(?:think|thinking|thought|reasoning)"
_PAIRS = (
    *((rf"<\s*{word}(?:\s[^<>\n]*)?>", rf"<\s*/\s*{word}\s*>") for word in (*_ASKED_FOR, *_TRAINED)),
    (r"\[(?:THINK|REASONING)\]", r"\[/(?:THINK|REASONING)\]"),  # Magistral
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker, Sky-T1
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    (r"<\|channel>thought\b", r"<channel\|>"),  # Gemma 4
    (r"<unused94>(?:thought\b)?", r"<unused95>"),  # MedGemma
    (r"<\|(?:think(?:ing)?|thought|reasoning)\|>", r"<\|/(?:think(?:ing)?|thought|reasoning)\|>"),
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    (r"Here is my thought process:", r"Here is my response:"),  # Granite 3.2
    (r"<\|(?:think(?:ing)?|reasoning)_start\|>", r"<\|(?:think(?:ing)?|reasoning)_end\|>"),
    (r"<\|(?:start|begin)_(?:of_)?think(?:ing)?\|>", r"<\|end_(?:of_)?think(?:ing)?\|>"),
    (rf"&lt;\s*{_ESCAPED}\s*&gt;", rf"&lt;\s*/\s*{_ESCAPED}\s*&gt;"),  # escaped for a page
    *((rf"<\s*{word}(?:\s[^<>\n]*)?>", rf"<\s*/\s*{word}\s*>") for word in _LEADING),
    (
        r"<details[^<>\n]*>\s*<summary>[^<\n]{0,40}(?:reason|think|thought|analysis)[^<\n]{0,40}</summary>",
        r"</details>",
    ),
    (r"(?<![^\n])```[ \t]*(?:thinking|think|thoughts?|reasoning)[ \t]*(?=\n)", r"(?<=\n)[ \t]*```(?=\s|\Z)"),
)
_NUM_NAMED = len(_PAIRS) - 2
"""Pairs whose closing mark says what it closes."""
_FIRST_LEADING = _NUM_NAMED - len(_LEADING)
_FIRST = r"(?=[<\[◁Hh&`])"
"""What every mark begins with: one look at a sign rules out all of them."""
_OPENS = re.compile(
    f"{_FIRST}(?:{'|'.join(f'(?P<o{index}>{first})' for index, (first, _) in enumerate(_PAIRS))})", re.IGNORECASE
)
_CLOSES = re.compile(
    f"{_FIRST}(?:{'|'.join(f'(?P<c{index}>{last})' for index, (_, last) in enumerate(_PAIRS[:_NUM_NAMED]))})",
    re.IGNORECASE,
)
_HINT = re.compile(r"[<◁]|\[/?[TtRr]|[Hh]ere is my|&lt;|```[ \t]*[TtRr]")
"""What a text without any mark lacks: most answers are done with at one look."""
_CLOSE_OF = [re.compile(last, re.IGNORECASE) for _, last in _PAIRS]
_CLOSING_TEXT = (
    *("[/THINK]", "<|end_of_thought|>", "<|END_THINKING|>", "<|inner_suffix|>", "<channel|>", "<unused95>"),
    *("<|think_end|>", "<|end_think|>", "&lt;/think&gt;", "</details>"),
)

_CHANNEL = re.compile(
    r"(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE_CHANNEL = re.compile(r"\s*(?:assistant\s?)?(?:analysis|commentary)")
_BARE_FINAL = re.compile(r"assistant\n?final")
_MARK = re.compile(
    r"<\|[^<>|]*\|>|</[^<>\n]{1,40}>|<(?:answer|response|output|solution|final|final_answer|s)>|\[/?(?:INST|THINK)\]",
    re.IGNORECASE,
)
"""What may stand around an answer without being one: special tokens, ends of tags, tags of an answer."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Thoughts:
    """The thoughts of what a model wrote.

    Attributes
    ----------
    spans
        Characters of each thought with its marks, in order.
    start, end
        Where the answer stands.
    problem
        ``unclosed_thought``, ``thought_without_answer`` or empty.
    """

    spans: tuple[Span, ...]
    start: int
    end: int
    problem: str = ""


def thoughts_of(text: str, *, is_open: bool = False) -> Thoughts:
    """Return where a model's text thinks and where it answers.

    Parameters
    ----------
    text
        What the model wrote.
    is_open
        Whether the prompt opened a thought already, as many templates do, so that the text only closes it.
    """
    channels = _channels(text)
    if channels is not None:
        return channels
    spans = _tagged(text, is_open=is_open)
    if not spans:
        return Thoughts((), 0, len(text))
    start = spans[-1][1]
    if start < 0:
        first = spans[-1][0]
        spans[-1] = (first, len(text))
        if _is_asked_for(text, first) and says_something(text[spans[-2][1] if len(spans) > 1 else 0 : first]):
            return Thoughts(tuple(spans), spans[-2][1] if len(spans) > 1 else 0, first)  # a cut explanation
        return Thoughts(tuple(spans), len(text), len(text), "unclosed_thought")
    if says_something(text[start:]):
        return Thoughts(tuple(spans), start, len(text))
    begin = next((last for (_, last), (first, _) in _gaps(spans) if says_something(text[last:first])), None)
    if begin is None:
        return Thoughts(tuple(spans), start, len(text), "thought_without_answer")
    return Thoughts(tuple(spans), begin, min(first for first, _ in spans if first >= begin))


def opens_thought(prompt: str) -> bool:
    """Whether a rendered prompt ends inside a thought, which the model then goes on with."""
    opens = [match for match in _OPENS.finditer(prompt) if match.end() == len(prompt.rstrip())]
    if not opens:
        return False
    return not _CLOSES.search(prompt, opens[-1].end())


def closing_mark(prompt: str) -> str:
    """Return the text that closes the thought which a prompt opens at its end."""
    match = next(match for match in _OPENS.finditer(prompt) if match.end() == len(prompt.rstrip()))
    pattern = _CLOSE_OF[int((match.lastgroup or "o0")[1:])]
    named = match.group().strip()
    plain = f"</{named[1:-1].strip()}>"
    if pattern.fullmatch(plain):
        return plain
    return next((text for text in _CLOSING_TEXT if pattern.fullmatch(text)), "```")


def without_open_mark(text: str) -> str:
    """Return a text without the mark that opens a thought at its beginning, and without the blanks behind it."""
    bare = text.lstrip()
    match = _OPENS.match(bare)
    return bare[match.end() :].lstrip() if match else text


def has_open_mark(text: str) -> bool:
    """Whether a text begins with the mark that opens a thought."""
    return bool(_OPENS.match(text.lstrip()))


def says_something(text: str) -> bool:
    """Whether a text holds a letter or a digit beside marks."""
    return any(sign.isalnum() for sign in _MARK.sub(" ", text))


def first_said(text: str, start: int, stop: int) -> int:
    """Return the first letter or digit beside marks; ``stop`` where there is none."""
    for mark in [*_MARK.finditer(text, start, stop), None]:
        end = mark.start() if mark else stop
        found = next((place for place in range(start, end) if text[place].isalnum()), None)
        if found is not None:
            return found
        start = mark.end() if mark else stop
    return stop


def _is_asked_for(text: str, position: int) -> bool:
    opening = _OPENS.match(text, position)
    return bool(opening) and int((opening.lastgroup or "o0")[1:]) < len(_ASKED_FOR)


def _gaps(spans: list[Span]) -> list[tuple[Span, Span]]:
    """Return neighbouring thoughts, the last pair first; what lies between them, or before the first, may answer."""
    return list(reversed(list(zip([(0, 0), *spans[:-1]], spans, strict=True))))


def _tagged(text: str, *, is_open: bool) -> list[Span]:
    """Return thoughts between marks; the last one's end is -1 where it is never closed."""
    spans: list[Span] = []
    if not is_open and not _HINT.search(text):
        return spans
    if is_open or _closes_first(text):
        last = _first_close(text)
        spans.append((0, last if last is not None else -1))
        if last is None:
            return spans
    cursor = spans[-1][1] if spans else 0
    while (opening := _next_open(text, cursor, spans[-1][1] if spans else 0)) is not None:
        closing = _CLOSE_OF[int((opening.lastgroup or "o0")[1:])].search(text, opening.end())
        if closing is None:
            if spans or _begins_line(text, opening.start()):
                spans.append((opening.start(), -1))
                return spans
            cursor = opening.end()  # spoken of, not used
            continue
        spans.append((opening.start(), closing.end()))
        cursor = closing.end()
    stray = [close for close in _CLOSES.finditer(text, cursor) if not _is_quoted(text, close)]
    if stray and spans and _closes_again(text, spans, stray):
        spans = [(spans[0][0], stray[-1].end())]
    return spans


def _closes_first(text: str) -> bool:
    """Whether a thought is closed that the text did not open."""
    closing = next((match for match in _CLOSES.finditer(text) if not _is_quoted(text, match)), None)
    if closing is None:
        return False
    kind = (closing.lastgroup or "c0")[1:]
    return not any(
        (opening.lastgroup or "")[1:] == kind and not _is_quoted(text, opening)
        for opening in _OPENS.finditer(text, 0, closing.start())
    )


def _first_close(text: str) -> int | None:
    """Return the end of the mark that closes an open thought: the last of those that follow without an opening."""
    last: int | None = None
    for closing in _CLOSES.finditer(text):
        if _is_quoted(text, closing):
            continue
        if last is not None and _OPENS.search(text, last, closing.start()):
            break
        last = closing.end()
    return last


def _closes_again(text: str, spans: list[Span], stray: list[re.Match[str]]) -> bool:
    """Whether a mark closes once more what was closed already, so that all before it belongs to the thought."""
    kinds = {(closing.lastgroup or "c")[1:] for closing in stray}
    used = {(match.lastgroup or "o")[1:] for first, _ in spans if (match := _OPENS.match(text, first))}
    return bool(kinds & used)


def _next_open(text: str, cursor: int, behind: int) -> re.Match[str] | None:
    """Return the next mark that opens a thought; ``behind`` is where the one before ends."""
    for match in _OPENS.finditer(text, cursor):
        leads_only = int((match.lastgroup or "o0")[1:]) >= _FIRST_LEADING
        if not _is_quoted(text, match) and not (leads_only and says_something(text[behind : match.start()])):
            return match
    return None


def _begins_line(text: str, position: int) -> bool:
    before = text[:position].rpartition("\n")[2].rstrip()
    return before.endswith(">") or not before.strip(" \t>*#-")


def _is_quoted(text: str, match: re.Match[str]) -> bool:
    """Whether a mark is spoken of, in quotes or as code."""
    before, after = text[max(match.start() - 1, 0) : match.start()], text[match.end() : match.end() + 1]
    return before in ("`", '"', "'", "“") and after in ("`", '"', "'", "”")


def _channels(text: str) -> Thoughts | None:
    """Return the thoughts of a text in channels (gpt-oss): all but the final one; None where it has none."""
    marks = list(_CHANNEL.finditer(text))
    if not marks:
        return _bare_channels(text)
    finals = [mark for mark in marks if mark["name"] == "final"]
    if not finals:
        end = _CHANNEL_END.search(text, marks[-1].end())
        problem = "thought_without_answer" if end else "unclosed_thought"
        return Thoughts(((0, len(text)),), len(text), len(text), problem)
    start = finals[-1].end()
    ending = _CHANNEL_END.search(text, start)
    end = ending.start() if ending else len(text)
    spans = ((0, start),) if len(marks) > 1 else ()
    problem = "" if says_something(text[start:end]) else "thought_without_answer"
    return Thoughts(spans, start, end, problem)


def _bare_channels(text: str) -> Thoughts | None:
    """Return the same of a text that lost its special tokens: ``analysis…assistantfinal…``."""
    begin = _BARE_CHANNEL.match(text)
    final = None
    for match in _BARE_FINAL.finditer(text):
        final = match
    if begin and final:
        problem = "" if says_something(text[final.end() :]) else "thought_without_answer"
        return Thoughts(((0, final.end()),), final.end(), len(text), problem)
    if begin and re.match(r"\s*(?:assistant\s?)?(?:analysis|commentary)[A-Z\d\"'“(*{]", text):
        return Thoughts(((0, len(text)),), len(text), len(text), "unclosed_thought")
    bare = re.match(r"\s*(?:assistant\n?)?final(?=[A-Z{\[\"*#`\d])", text)
    return Thoughts((), bare.end(), len(text)) if bare else None
