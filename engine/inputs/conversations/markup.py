"""How chat templates mark turns: the families that are known, and what is known of a run's own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from engine.samples import Message

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


@dataclass(frozen=True, slots=True)
class ChatMarkup:
    """What is known of a run's tokenizer and chat template, as far as it tells turns from each other.

    Attributes
    ----------
    tokens
        The tokenizer's special and added tokens.
    template
        The chat template's text; None where prompts are plain text.
    beginning
        The token that begins a text, empty where there is none.
    generation_prompt
        What the template writes between the user's text and the answer.
    opening, between
        What it writes in front of the user's text, and between an answer and the user's next text.
    openings
        Words that the template begins a conversation with, once special tokens are stripped ("system", "user").
    turn_marks
        Patterns of what the template writes between an answer and the next turn, with special tokens and without.
    decode
        Token ids → text, special tokens kept; None where no tokenizer is at hand.
    is_rendering
        Whether a text is what the chat template makes of messages, and of what a record hands to it beside them (None:
        it refuses them); None without a template.
    special
        Pattern of the tokens that decoding leaves out.
    has_bare_system
        Whether the template writes the system part without any mark in front (DeepSeek).
    padding
        Ids of tokens that fill batches.
    begins, ends
        Ids of tokens that begin or end a text.
    adds_first
        Id of the token that tokenizer or template puts in front of every prompt.
    """

    tokens: frozenset[str] = frozenset()
    template: str | None = None
    beginning: str = ""
    generation_prompt: str = ""
    opening: str = ""
    between: str = ""
    openings: tuple[str, ...] = ()
    turn_marks: tuple[re.Pattern[str], ...] = ()
    decode: Callable[[Sequence[int]], str] | None = None
    is_rendering: Callable[[str, Sequence[Message], Mapping[str, object]], bool | None] | None = None
    special: re.Pattern[str] = re.compile(r"(?!)")
    has_bare_system: bool = False
    padding: frozenset[int] = frozenset()
    begins: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()
    adds_first: int | None = None

    def turns(self, text: str) -> MarkedText | None:
        """Return the turns of a rendered conversation; None where the text does not begin as one."""
        return marked_text(text, has_bare_system=self.has_bare_system, special=self.special)

    def owns(self, mark: str) -> bool:
        """Whether a mark is one of this tokenizer or template: elsewhere it is text like any other."""
        parts = re.findall(r"<[|｜]?[^<>]+?[|｜]?>|\[/?[A-Z_]+\]", mark)
        return bool(parts) and all(part in self.tokens or part in (self.template or "") for part in parts)

    def begins_turn_behind(self, text: str, marked: MarkedText) -> bool:
        """Whether the template's own beginning of an answer, whole mark or half of one, follows the last turn."""
        asked, rest = self.generation_prompt.strip(), text[marked.turns[-1].end :]
        before, found, _ = rest.partition(asked) if asked and self.owns(marked.mark) else ("", "", "")
        return bool(found) and not _says_something(before, self.special)

    def begins_with_own_token(self, text: str) -> bool:
        """Whether a text begins with a token that begins texts, or with one of the template's marks of a turn."""
        bare = text.lstrip()
        if (self.beginning and bare.startswith(self.beginning)) or self.special.match(bare):
            return True
        marked = marked_text(text)
        if marked is not None:
            return self.owns(marked.mark)
        marked = self.turns(text) if self.ends_with_generation_prompt(text) else None
        return marked is not None and self.owns(marked.mark)

    def own_marks_inside(self, text: str) -> list[str]:
        """Return the marks of turns and special tokens of this tokenizer that a text holds."""
        if "<" not in text and "[" not in text:
            return []
        marks = [match.group().strip() for family in FAMILIES for match in family.start.finditer(text)]
        own = [mark for mark in marks if self.owns(mark)]
        return [*dict.fromkeys([*own, *(match.group() for match in self.special.finditer(text))])]

    def ends_with_generation_prompt(self, text: str) -> bool:
        """Whether a rendered text ends where an answer begins, or inside one."""
        if text.rstrip().endswith(self.generation_prompt.strip()):
            return True
        marked = self.turns(text)
        if marked is not None:
            return marked.turns[-1].role == "assistant"
        return bool(self.generation_prompt.strip()) and self.generation_prompt.strip() in text

    def is_rendered_in_words(self, text: str) -> bool:
        """Whether a prompt is what a template makes that names roles in words (``USER: … ASSISTANT:``)."""
        opening, asked = (self.special.sub("", part).strip() for part in (self.opening, self.generation_prompt))
        is_in_words = asked == self.generation_prompt.strip() and asked.endswith(":") and opening.endswith(":")
        return is_in_words and text.rstrip().endswith(asked) and opening in text

    def is_stripped(self, text: str) -> bool:
        """Whether a prompt is what the template makes of a conversation, without its special tokens."""
        around = [self.special.sub("", part) for part in (self.opening, self.generation_prompt)]
        if not "".join(around).strip() and len("".join(around)) > 1 and all(around):
            return text.startswith(around[0]) and text.endswith(around[1])  # roles were told by tokens alone
        asked = self.special.sub("", self.generation_prompt).strip()
        if not re.search(r"[^\W\d_]", asked) or asked == self.generation_prompt.strip():
            return False
        return text.rstrip().endswith(asked) and text.lstrip().startswith(self.openings or ("\0",))

    def lacks_turn_ends(self, text: str) -> bool:
        """Whether a turn of a rendered text does not end in the token that the template ends it with."""
        marked = self.turns(text)
        if marked is None or not self.owns(marked.mark):
            return False
        wanted = {"user": _end_of_turn(self.generation_prompt), "assistant": _end_of_turn(self.between)}
        return any(
            turn.mark != following.mark and wanted.get(turn.role, "") not in text[turn.end : following.mark]
            for turn, following in pairwise(marked.turns)
        )

    def without_end(self, text: str) -> str:
        """Return a text without the special tokens at its end, and the white space between and behind those."""
        end = len(text)
        for token in reversed(list(self.special.finditer(text))):
            if text[token.end() : end].strip():
                break
            end = token.start()
        return text[:end]

    def awaits_answer(self, text: str) -> bool:
        """Whether a rendered text ends where an answer begins, or inside one that is not ended."""
        if not self.ends_with_generation_prompt(text):
            return False
        marked = self.turns(text)
        if marked is None or marked.turns[-1].role != "assistant":
            return True
        return not text[marked.turns[-1].end :].strip()


def _end_of_turn(between: str) -> str:
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
            outside.append(_says_something(text[ending.end() : limit], special) if ending else False)
        if len(turns) > 1 and turns[-2].role == "assistant" and _only_ends(turns[-1], text):
            del turns[-1], outside[-1]
        return MarkedText(
            tuple(_with_llama_2_system(text, turns)), first.group().strip(), any(outside[:-1]), outside[-1]
        )
    return None


def _only_ends(turn: MarkedTurn, text: str) -> bool:
    """Whether a turn behind an answer is its end: GLM ends answers with the mark of the next turn."""
    return turn.role in ("user", "observation", "tool") and not text[turn.start :].strip()


def _says_something(text: str, special: re.Pattern[str] | None) -> bool:
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
