"""Conversations as the assistants' own web pages export them: ChatGPT's ``conversations.json``, and Claude's.

ChatGPT writes a tree of messages (``mapping``), in which a question that was asked or answered again is a branch: the
branch that was shown last (``current_node``) is the conversation. Claude writes a list (``chat_messages``). The last
answer of each is the answer; neither holds scores, which ``predictions.join`` puts beside them.

Source: the files that "Export data" of both pages writes; there is no published specification of either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.readers.evaluations.log_records import LogRow, inner, items_of, raw_records
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record

OTHER_BRANCHES = "other_branches"
"""Flag of a conversation of which other branches (questions or answers that were replaced) are not measured."""

_SENDERS = {"human": "user", "assistant": "assistant"}
_SHOWN_ONLY = frozenset(("reasoning_recap",))
"""Contents that the page shows and the model never wrote ("Thought for 12 seconds")."""
_Turn = dict[str, object]


class UnreplayedError(ValueError):
    """A conversation holds what cannot be put before a model again."""


class ChatExportReader(Reader):
    """Whole conversations."""

    suffixes = (".json",)

    def recognises(self, head: FileHead) -> bool:
        """Whether its first conversation is one of ChatGPT's or Claude's."""
        found = set(head.first_object())
        return {"mapping", "current_node"} <= found or {"uuid", "chat_messages"} <= found

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per conversation; one that cannot be replayed has a problem."""
        for record in raw_records(file, limits, on_bytes):
            yield record if record.problem else _record(record)


def _record(record: Record) -> Record:
    raw = record.values
    name = next((str(raw[key]) for key in ("conversation_id", "id", "uuid") if raw.get(key)), "")
    row = LogRow(raw, name, "messages")
    try:
        turns = _of_tree(raw, row) if "mapping" in raw else _of_list(raw)
    except UnreplayedError as error:
        return row.record(record, str(error), "not_replayed")
    if not any(turn["role"] == "assistant" for turn in turns):
        return row.record(record, "The conversation holds no answer.", "no_generation")
    while turns and turns[-1]["role"] != "assistant":
        turns.pop()  # a question that was never answered
    row.given["messages"] = turns
    return row.record(record)


def _of_tree(raw: Mapping[str, object], row: LogRow) -> list[_Turn]:
    """Return the messages of the branch that was shown last, the first one first."""
    nodes = raw.get("mapping")
    if not isinstance(nodes, Mapping):
        raise UnreplayedError("The conversation's mapping is no object.")
    place, path = raw.get("current_node"), []
    while isinstance(place, str) and place in nodes and len(path) <= len(nodes):
        path.append(nodes[place])
        place = inner(nodes[place], "parent")
    if len(path) > len(nodes):
        raise UnreplayedError("The conversation's messages answer each other in a circle.")
    spoken = [node for node in nodes.values() if isinstance(inner(node, "message"), Mapping)]
    on_path = [node for node in path if isinstance(inner(node, "message"), Mapping)]
    if len(spoken) > len(on_path):
        row.flags.append(OTHER_BRANCHES)
    turns: list[_Turn] = []
    thought = ""
    for node in reversed(on_path):
        message = inner(node, "message")
        assert isinstance(message, Mapping), "only nodes with a message are on the path"
        turn = _spoken(message)
        if turn is None:
            continue
        if turn["role"] == "assistant":
            model = inner(message, "metadata", "model_slug")
            if isinstance(model, str) and model:
                row.given["model"] = model
            if turn.pop("is_thought", False):
                thought = "\n".join(filter(None, (thought, str(turn["content"]))))
                continue
            if thought:
                turn["reasoning_content"], thought = thought, ""
        turns.append(turn)
    if isinstance(row.given.get("model"), str):
        row.one_of.append(OneOf("model", str(row.given["model"]), "run"))
    return turns


def _spoken(message: Mapping[str, object]) -> _Turn | None:
    """Return one message of ChatGPT's; None of what was never part of the text.

    Raises
    ------
    UnreplayedError
        At tools, pictures and the like.
    """
    role, content = inner(message, "author", "role"), message.get("content")
    kind = inner(content, "content_type")
    if kind in _SHOWN_ONLY:
        return None
    if kind == "thoughts":
        texts = [inner(part, "content") for part in items_of(inner(content, "thoughts"))]
        return {"role": role, "content": "\n".join(text for text in texts if isinstance(text, str)), "is_thought": True}
    if role == "tool" or message.get("recipient", "all") not in ("all", None):
        raise UnreplayedError("The conversation uses a tool, which its export does not hold in the model's own words.")
    parts = items_of(inner(content, "parts"))
    if kind not in ("text", "multimodal_text") or not all(isinstance(part, str) for part in parts):
        raise UnreplayedError(f"The conversation holds {kind!r}, which cannot be replayed as text.")
    text = "".join(part for part in parts if isinstance(part, str))
    return {"role": role, "content": text} if text or role == "user" else None


def _of_list(raw: Mapping[str, object]) -> list[_Turn]:
    """Return the messages of a conversation of Claude's."""
    turns: list[_Turn] = []
    for message in items_of(raw.get("chat_messages")):
        sender = inner(message, "sender")
        role = _SENDERS.get(sender) if isinstance(sender, str) else None
        if role is None:
            raise UnreplayedError(f"The conversation holds a message of {sender!r}.")
        if items_of(inner(message, "attachments")) or items_of(inner(message, "files")):
            raise UnreplayedError("The conversation has files attached, which its export does not hold as they were.")
        turns.append(_said(role, message))
    return turns


def _said(role: str, message: object) -> _Turn:
    """Return one message of Claude's: its texts, and its thought."""
    parts = items_of(inner(message, "content"))
    kinds = [inner(part, "type") for part in parts]
    other = [kind for kind in kinds if kind not in ("text", "thinking")]
    if other:
        raise UnreplayedError(f"The conversation holds {other[0]!r}, which cannot be replayed as text.")
    texts = {
        kind: "".join(str(inner(part, kind) or "") for part, own in zip(parts, kinds, strict=True) if own == kind)
        for kind in ("text", "thinking")
    }
    turn: _Turn = {"role": role, "content": texts["text"] if parts else inner(message, "text")}
    return {**turn, "reasoning_content": texts["thinking"]} if texts["thinking"] else turn
