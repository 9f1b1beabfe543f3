"""What is known of the chat template of a run: which marks are its own, and where its turns end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.inputs.conversations.turn_marks import FAMILIES, MarkedText, end_of_turn, marked_text, says_something
from engine.samples import Message


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
        return bool(found) and not says_something(before, self.special)

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
        wanted = {"user": end_of_turn(self.generation_prompt), "assistant": end_of_turn(self.between)}
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
