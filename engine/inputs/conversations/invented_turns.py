"""Where a model's turn ends: at an end token, or where it goes on by itself to write the user's turn or an example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from engine.inputs.conversations.thoughts.marked import first_said
from engine.inputs.conversations.turn_marks import FAMILIES

_ENDS = re.compile(
    r"<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|<\|eom_id\|>|<\|eot\|>|<\|end_of_text\|>|<end_of_turn>|<turn\|>|<eos>|"
    r"</s>|<[｜|]end▁of▁sentence[｜|]>|<\|END_OF_TURN_TOKEN\|>|<\|return\|>|<\|end\|>(?!\s*<\|start\|>\s*assistant)"
)
"""Tokens that end a turn: what stands behind them is another one."""
_CLOSINGS = re.compile(rf"{_ENDS.pattern}|<\|(?:user|observation)\|>")
"""Tokens that end a turn where nothing stands behind them: of GLM the next turn's mark."""
_FILLS = re.compile(rf"{_CLOSINGS.pattern}|<\|?pad\|?>|\[PAD\]|<\|finetune_right_pad(?:_id)?\|>", re.IGNORECASE)
"""These, and tokens that batches are filled with."""
_STARTS = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<\|header_start\|>|<start_of_turn>|<\|turn>|<\|start_of_role\|>|"
    r"<\|START_OF_TURN_TOKEN\|>"
)
"""Tokens that begin a turn, whatever follows them."""
_NAMES = (
    r"(?:Human|User|Question|Query|Customer|Student|Interviewer|Usuario|Utilisateur|Benutzer|Frage|Pregunta|Pergunta|"
    r"Domanda|Soru|Вопрос|Пользователь|Pertanyaan|Pengguna|Utente|"
    r"Usuário|Kullanıcı|Q)"
)
_NEXT = r"(?:next|new|another|second|third|further|additional|final|follow[ -]?up)[ \t]+"
_SPOKEN = re.compile(
    rf"^[ \t]*(?:\*\*|__)?(?:{_NAMES}|USER|HUMAN|QUESTION)[ \t]*\d{{0,4}}(?:\*\*|__)?[ \t]*[:：](?:\*\*|__)?"
    rf"|^[ \t]*(?:\*\*|__)?(?i:{_NEXT}(?:question|query|task|problem)|follow[ -]?up)[ \t]*\d{{0,4}}(?:\*\*|__)?"
    rf"[ \t]*[:：]"
    rf"|^[ \t]*\d{{1,2}}[.)][ \t]*(?:Question|QUESTION)[ \t]*[:：]"
    rf"|^[ \t]*Q[2-9][.)][ \t]+(?=\S)"
    rf"|^[ \t]*(?:问题?|問題?|用户|質問|ユーザー|질문|사용자|السؤال|سؤال|المستخدم|प्रश्न|सवाल|उपयोगकर्ता)[ \t]*[:：]"
    rf"|^[ \t]*#{{1,4}}[ \t]*(?:{_NAMES}|Instruction|Input|Prompt|System)s?[ \t]*\d{{0,4}}[ \t]*[:：]?[ \t]*$"
    rf"|^[ \t]*#{{1,4}}[ \t]*(?:{_NAMES}|Instruction|Input|Prompt)[ \t]*[:：]"
    rf"|^[ \t]*(?:Instruction)[ \t]*[:：]",
    re.MULTILINE,
)
"""Lines that begin with the name of whoever asks."""
_GIVEN = (
    r"(?:Input|Text|Prompt|Problem|Task|Context|Passage|Sentence|Statement|Premise|Review|Article|News|Headline|Tweet|"
    r"Document|Case|Sample|Scenario|Company)"
)
_ASKED = (
    r"(?:Output|Label|Completion|Solution|Response|Answer|Sentiment|Prediction|Class|Category|Direction|Hypothesis|"
    r"Question|Result)"
)
_NAMED = r"^[ \t]*(?:#{{1,4}}[ \t]*)?(?:\*\*|__)?{names}[ \t]*\d{{0,4}}(?:\*\*|__)?[ \t]*[:：]"
_PAIRS = (
    (re.compile(_NAMED.format(names=_GIVEN), re.M | re.I), re.compile(_NAMED.format(names=_ASKED), re.M | re.I)),
    (re.compile(r"^[ \t]*(?:user|human)[ \t]*\r?$", re.M), re.compile(r"^[ \t]*(?:assistant|model)[ \t]*\r?$", re.M)),
    (
        re.compile(r"^[ \t]*\[?(?:User|Human|USER|HUMAN)\]?[ \t]*\r?$", re.M),
        re.compile(r"^[ \t]*\[?(?:Assistant|AI|Model|Bot|ASSISTANT)\]?[ \t]*\r?$", re.M),
    ),
    (re.compile(r"^[ \t]*<question>", re.M | re.I), re.compile(r"<answer>", re.I)),
    (
        re.compile(r"^[ \t]*(?:user|human)(?:[ \t]+input)?[ \t]*[:：]", re.M | re.I),
        re.compile(r"^[ \t]*(?:assistant|model|ai)(?:[ \t]+output)?[ \t]*[:：]", re.M | re.I),
    ),
    (re.compile(r"(?<=\S)user\r?\n\r?\n"), re.compile(r"(?<=\S)assistant\r?\n\r?\n")),  # Llama 3, stripped
)
"""Lines that begin another example or turn where a line of the second kind follows: ``Input: … Output: …``."""
_NUMBERED = re.compile(
    r"^[ \t]*(?:#{1,4}[ \t]*)?(?:\*\*|__)?(?:Example|Exercise)[ \t]*#?\d{1,4}(?:\*\*|__)?[ \t]*(?:[:：.]|\r?$)",
    re.M | re.I,
)
_LEAST_LINE, _MOST_LINE = 20, 300
"""Characters of the prompt's first or last line, which begins another example where an answer repeats it."""
_LINE_NAME = re.compile(r"^[ \t]*(?:\*\*)?([^\W\d_][^:：\n]{0,30}?)(?:\*\*)?[ \t]*[:：]", re.MULTILINE)


def invented_turns(
    text: str, start: int, *, marks: Sequence[re.Pattern[str]] = (), prompt: str = "", end: int | None = None
) -> list[int]:
    """Return where a model's text could begin another turn, behind an answer that is not empty, in order.

    Parameters
    ----------
    text
        What the model wrote.
    start, end
        Where its answer stands, behind the thought.
    marks
        What the chat template writes between an answer and the next turn, with special tokens and without.
    prompt
        The user's text: names of lines that its examples begin with begin another example.
    """
    stop = len(text) if end is None else end
    patterns = (_ENDS, _STARTS, *(family.start for family in FAMILIES), _SPOKEN, _NUMBERED, *marks, *_examples(prompt))
    places = {match.start() for pattern in patterns for match in pattern.finditer(text, start, stop)}
    places |= set(_paired(text, start, stop))
    said, more = first_said(text, start, stop), _last_more(text, start, stop)
    return [place for place in sorted(places) if said < place <= more]


def ended_once(text: str, tokens: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """Return what a model wrote up to the first of the tokens that end its turn, that one included, and flags.

    Behind it stand further ones, padding and the template's line end, which the model neither wrote nor saw. An end
    token of another tokenizer is plain text, and stays as it was recorded.

    Parameters
    ----------
    text
        What the model wrote, up to the next turn.
    tokens
        The tokenizer's special and added tokens; empty where no tokenizer is at hand.
    """
    first, end = None, len(text)
    for token in reversed(list(_FILLS.finditer(text))):
        if text[token.end() : end].strip():
            break
        first, end = token, token.start()
    if first is None:
        return text, ()
    if tokens and first.group() not in tokens:
        return text, ("foreign_end_token",)
    kept = text[: first.end() if _CLOSINGS.match(first.group()) else first.start()]
    return kept, ("padding_left_out",) if kept != text else ()


def _paired(text: str, start: int, stop: int) -> Iterable[int]:
    """Yield where a line names what is given, and a later one what is asked for."""
    for given, asked in _PAIRS:
        last = max((match.start() for match in asked.finditer(text, start, stop)), default=-1)
        yield from (match.start() for match in given.finditer(text, start, stop) if match.start() < last)


def _last_more(text: str, start: int, stop: int) -> int:
    """Return the last character that is more than the end of a turn; -1 where there is none."""
    end = stop
    for token in reversed(list(_FILLS.finditer(text, start, stop))):
        if text[token.end() : end].strip():
            break
        end = token.start()
    return start + len(text[start:end].rstrip()) - 1 if text[start:end].strip() else -1


def _examples(prompt: str) -> list[re.Pattern[str]]:
    """Return patterns of the prompt's own first and last line, and of those that begin an example in it.

    Examples are looked for in a prompt that ends with the name of what it asks for:

    ``Review: … Sentiment: positive … Review: … Sentiment:`` is gone on with by another ``Review:``.
    """
    names = [(match.group(1).strip(), match) for match in _LINE_NAME.finditer(prompt)]
    lines = [line.strip() for line in (prompt.strip().split("\n", 1)[0], prompt.strip().rpartition("\n")[2])]
    own = [line for line in dict.fromkeys(lines) if _LEAST_LINE <= len(line) <= _MOST_LINE]
    again = [re.compile(rf"^[ \t]*{re.escape(line)}[ \t]*\r?$", re.MULTILINE) for line in own]
    if len(names) < 2 or prompt[names[-1][1].end() :].strip(" \t\r\n*"):
        return again
    asked = names[-1][0]
    counts: dict[str, int] = {}
    for name, _ in names:
        counts[name] = counts.get(name, 0) + 1
    begins = {name for name, match in names if not prompt[: match.start()].strip()}
    wanted = [name for name, count in counts.items() if name != asked and (count > 1 or name in begins)]
    return again + [
        re.compile(rf"^[ \t]*(?:\*\*)?{re.escape(name)}(?:\*\*)?[ \t]*[:：]", re.MULTILINE) for name in wanted
    ]
