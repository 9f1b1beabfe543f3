"""Marks of turns by families of chat templates, and the turns of a text that holds such marks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Span = tuple[int, int]

ROLES = {"model": "assistant", "gpt": "assistant", "bot": "assistant", "ai": "assistant", "human": "user"}
"""Other names of the roles."""


@dataclass(frozen=True, slots=True)
class Family:
    """Chat markup that several models share.

    Attributes
    ----------
    start
        What begins a turn: its role is the group ``role``, or that of ``roles`` for the text matched.
    end
        What ends it, beside the next turn's beginning and the text's end.
    roles
        Role by mark, for families whose marks are roles.
    """

    start: re.Pattern[str]
    end: re.Pattern[str]
    roles: Mapping[str, str] = field(default_factory=dict)

    def role(self, match: re.Match[str]) -> str:
        """Return the role that a mark stands for."""
        name = match.groupdict().get("role") or self.roles.get(match.group().strip(), "user")
        return ROLES.get(name.strip().lower(), name.strip().lower())


_LINE = r"[ \t]*\r?\n"

_DEEPSEEK = {"<｜User｜>": "user", "<｜Assistant｜>": "assistant", "<|User|>": "user", "<|Assistant|>": "assistant"}

_COHERE = {"SYSTEM": "system", "USER": "user", "CHATBOT": "assistant"}

FAMILIES = (
    # ChatML: Qwen, Yi, SmolLM, Phi-4 (with <|im_sep|>)
    Family(
        re.compile(r"<\|im_start\|>\s*(?P<role>\w+)(?:\r?\n|<\|im_sep\|>(?:\r?\n)?)"),
        re.compile(r"<\|im_end\|>|<\|endoftext\|>"),
    ),
    # Llama 3 and Llama 4
    Family(
        re.compile(r"<\|start_header_id\|>\s*(?P<role>\w+)\s*<\|end_header_id\|>\s*"),
        re.compile(r"<\|eot_id\|>|<\|eom_id\|>|<\|end_of_text\|>"),
    ),
    Family(
        re.compile(r"<\|header_start\|>\s*(?P<role>\w+)\s*<\|header_end\|>\s*"),
        re.compile(r"<\|eot\|>|<\|eom\|>|<\|end_of_text\|>"),
    ),
    # Gemma
    Family(re.compile(r"<start_of_turn>\s*(?P<role>\w+)\r?\n"), re.compile(r"<end_of_turn>|<eos>")),
    Family(re.compile(r"<\|turn>\s*(?P<role>\w+)\r?\n"), re.compile(r"<turn\|>|<eos>")),
    # gpt-oss
    Family(
        re.compile(r"<\|start\|>\s*(?P<role>\w+)(?:<\|channel\|>[^<]*)?(?:<\|constrain\|>[^<]*)?<\|message\|>"),
        re.compile(r"<\|end\|>|<\|return\|>|<\|call\|>"),
    ),
    # Granite
    Family(
        re.compile(r"<\|start_of_role\|>\s*(?P<role>\w+)\s*<\|end_of_role\|>"),
        re.compile(r"<\|end_of_text\|>"),
    ),
    # Phi-3, Zephyr, GLM, Falcon 3
    Family(
        re.compile(rf"<\|(?P<role>system|user|assistant|observation|tool)\|>(?:{_LINE})?"),
        re.compile(r"<\|end\|>|<\|endoftext\|>|</s>"),
    ),
    # DeepSeek
    Family(
        re.compile("|".join(map(re.escape, _DEEPSEEK))), re.compile(r"<[｜|]end▁of▁sentence[｜|]>"), dict(_DEEPSEEK)
    ),
    # Command R
    Family(
        re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(?:SYSTEM|USER|CHATBOT)_TOKEN\|>"),
        re.compile(r"<\|END_OF_TURN_TOKEN\|>"),
        {f"<|START_OF_TURN_TOKEN|><|{name}_TOKEN|>": role for name, role in _COHERE.items()},
    ),
    # Llama 2 and Mistral
    Family(
        re.compile(r"\[INST\][ ]?|[ ]?\[/INST\]|\[SYSTEM_PROMPT\]|\[AVAILABLE_TOOLS\]|\[TOOL_RESULTS\]"),
        re.compile(r"</s>|\[/SYSTEM_PROMPT\]|\[/AVAILABLE_TOOLS\]|\[/TOOL_RESULTS\]"),
        {
            "[INST]": "user",
            "[/INST]": "assistant",
            "[SYSTEM_PROMPT]": "system",
            "[AVAILABLE_TOOLS]": "tools",
            "[TOOL_RESULTS]": "tool",
        },
    ),
)

_BEGINNINGS = re.compile(
    r"(?:<\|begin_of_text\|>|<\|endoftext\|>|<\|startoftext\|>|<bos>|<s>|<[｜|]begin▁of▁sentence[｜|]>|\[gMASK\]|<sop>|"
    r"<BOS_TOKEN>|\s)*"
)
"""Tokens that begin a text in front of its first turn."""

ROLE_LINE = re.compile(r"^(system|user|assistant|model)[ \t]*\r?$", re.MULTILINE)
"""A role on a line of its own, as transcripts without special tokens have them."""

_NOTHING = re.compile(
    "|".join(
        [_BEGINNINGS.pattern, *dict.fromkeys(family.end.pattern for family in FAMILIES), r"<\|?pad\|?>|\[PAD\]|<unk>"]
    )
)
"""What may stand outside turns: tokens that begin or end a text, and those that batches are filled with."""

_SYSTEM_OF_LLAMA_2 = re.compile(r"\s*<<SYS>>\n?(?P<system>.*?)\n?<</SYS>>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MarkedTurn:
    """A turn of a rendered conversation: its role, where its mark begins, and the characters of its content."""

    role: str
    mark: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A rendered conversation.

    Attributes
    ----------
    turns
        Its turns in order.
    mark
        The text that begins its first turn.
    is_interrupted, is_followed
        Whether text stands outside the turns, between two of them or behind the last: then somebody wrote marks into
        a text, and where turns begin and end is not known for certain.
    """

    turns: tuple[MarkedTurn, ...]
    mark: str
    is_interrupted: bool = False
    is_followed: bool = False

    @property
    def answered(self) -> int:
        """Number of turns before the answer; all of them where the text ends before one.

        An answer in channels is several turns of the assistant's (gpt-oss).
        """
        number = len(self.turns)
        if self.turns[-1].role != "assistant":
            return number
        number -= 1
        while self.mark.startswith("<|start|>") and number and self.turns[number - 1].role == "assistant":
            number -= 1
        return number

    def answer_span(self, text: str) -> Span:
        """Return the characters of the answer, empty at the text's end where there is none."""
        if self.answered == len(self.turns):
            return len(text), len(text)
        first, last = self.turns[self.answered], self.turns[-1]
        is_channel = self.mark.startswith("<|start|>")  # the model writes the channel's name too
        start = text.find("assistant", first.mark) + len("assistant") if is_channel else first.start
        return start, last.end


def end_of_turn(between: str) -> str:
    """Return the token that ends a turn, in what a template writes from there to the next one's text."""
    for family in FAMILIES:
        begin, end = family.start.search(between), family.end.search(between)
        if begin is not None and end is not None and end.end() <= begin.start():
            return end.group()
    return ""


def marked_text(
    text: str, *, has_bare_system: bool = False, special: re.Pattern[str] | None = None
) -> MarkedText | None:
    """Return the turns of a text whose special tokens were kept; None where it does not begin with such a mark.

    Marks further inside belong to what somebody wrote, unless the template has a bare system part in front, in which
    no line is a role.

    Parameters
    ----------
    text
        What was recorded.
    has_bare_system
        Whether the template writes the system part without a mark.
    special
        Tokens that say nothing where they stand outside turns, beside those that are known.
    """
    begin = _BEGINNINGS.match(text)
    at = begin.end() if begin else 0
    for family in FAMILIES:
        first = family.start.match(text, at)
        head = ""
        if first is None and family.roles and ((begin and begin.group().strip()) or has_bare_system):
            first = family.start.search(text, at)  # a system part in front of the first mark, as DeepSeek writes it
            head = text[at : first.start()] if first else ""
        if first is None or ROLE_LINE.search(head):
            continue
        starts = list(family.start.finditer(text, first.start()))
        turns = [MarkedTurn("system", at, at, first.start())] if head.strip() else []
        outside = []
        for index, match in enumerate(starts):
            limit = starts[index + 1].start() if index + 1 < len(starts) else len(text)
            ending = family.end.search(text, match.end(), limit)
            turns.append(
                MarkedTurn(family.role(match), match.start(), match.end(), ending.start() if ending else limit)
            )
            outside.append(says_something(text[ending.end() : limit], special) if ending else False)
        if len(turns) > 1 and turns[-2].role == "assistant" and _only_ends(turns[-1], text):
            del turns[-1], outside[-1]
        return MarkedText(
            tuple(_with_llama_2_system(text, turns)), first.group().strip(), any(outside[:-1]), outside[-1]
        )
    return None


def _only_ends(turn: MarkedTurn, text: str) -> bool:
    """Whether a turn behind an answer is its end: GLM ends answers with the mark of the next turn."""
    return turn.role in ("user", "observation", "tool") and not text[turn.start :].strip()


def says_something(text: str, special: re.Pattern[str] | None) -> bool:
    """Whether a text outside turns is more than tokens that begin, end or fill texts."""
    rest = _NOTHING.sub("", text)
    return bool((special.sub("", rest) if special else rest).strip())


def _with_llama_2_system(text: str, turns: list[MarkedTurn]) -> list[MarkedTurn]:
    """Return turns with the system part that Llama 2 writes into the first user's turn as one of its own."""
    for index, turn in enumerate(turns):
        match = _SYSTEM_OF_LLAMA_2.match(text, turn.start, turn.end) if turn.role == "user" else None
        if match:
            system = MarkedTurn("system", turn.mark, match.start("system"), match.end("system"))
            return [*turns[:index], system, MarkedTurn("user", turn.mark, match.end(), turn.end), *turns[index + 1 :]]
    return turns
