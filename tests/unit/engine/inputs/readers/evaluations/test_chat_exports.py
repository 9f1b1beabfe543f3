"""Exports of conversations: the branch that was shown is replayed, and what is no text is a reject that says so."""

import json

import pytest

from engine.inputs.predictions import read_predictions
from tests.fixtures import chat_exports as chats
from tests.fixtures.logged_cases import CASES
from tests.fixtures.prediction_files import config

LABELS = [{"conversation": f"c{case.number}", "gold": case.target} for case in CASES]


def read(tmp_path, conversations, **more):
    path = tmp_path / "conversations.json"
    path.write_text(chats.written(conversations))
    return read_predictions(config(path, predictions=more))


def joined(tmp_path, on):
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    fields = {"actual_label": "gold"}
    return [{"path": str(tmp_path / "labels.json"), "on": {on: "conversation"}, "fields": fields}]


@pytest.mark.parametrize("page", ["chatgpt", "claude"])
def test_conversations_with_labels_beside_them(tmp_path, page):
    if page == "chatgpt":
        rows = [
            chats.chatgpt(f"c{case.number}", [chats.said("user", case.question), chats.said("assistant", case.answer)])
            for case in CASES
        ]
    else:
        rows = [chats.claude(f"c{case.number}", [case.question, case.answer]) for case in CASES]
    found = read(tmp_path, rows, join=joined(tmp_path, "conversation_id" if page == "chatgpt" else "uuid"))
    assert [s.sample_id for s in found.samples] == [f"c{case.number}" for case in CASES]
    assert [s.is_correct for s in found.samples] == [case.is_right for case in CASES]
    assert [s.messages[-1].content for s in found.samples] == [case.question for case in CASES]
    assert [s.response for s in found.samples] == [case.answer for case in CASES]


def test_the_branch_that_was_shown_counts_and_the_other_is_said(tmp_path):
    question, answer = CASES[0].question, CASES[0].answer
    messages = [
        chats.said("system", ""),
        chats.said("user", question),
        chats.said("assistant", "Sales first.", kind="thoughts"),
        chats.said("assistant", "Thought for 3 seconds", kind="reasoning_recap"),
        chats.said("assistant", answer),
    ]
    (sample,) = read(tmp_path, [chats.chatgpt("c0", messages, [chats.said("assistant", "decrease")])]).samples
    assert [turn.role for turn in sample.messages] == ["user"] and sample.predicted_label == "increase"
    assert "other_branches" in sample.flags
    assert sample.response.endswith(answer) and "decrease" not in sample.response


def test_the_last_answer_is_the_answer_and_a_question_behind_it_is_none(tmp_path):
    texts = ["Hello.", "Hello, how can I help?", CASES[1].question, CASES[1].answer, "Thanks, and next year?"]
    (sample,) = read(tmp_path, [chats.claude("c1", texts)]).samples
    assert [turn.content for turn in sample.messages] == texts[:3] and sample.response == texts[3]


@pytest.mark.parametrize(
    ("conversation", "reason", "words"),
    [
        (chats.chatgpt("c", [chats.said("user", "Hi.")]), "no_generation", "no answer"),
        (
            chats.chatgpt("c", [chats.said("user", "x", kind="user_editable_context"), chats.said("assistant", "up")]),
            "not_replayed",
            "user_editable_context",
        ),
        (
            chats.chatgpt("c", [chats.said("user", "x"), chats.said("assistant", "1+1", recipient="python")]),
            "not_replayed",
            "uses a tool",
        ),
        (
            chats.chatgpt("c", [chats.said("user", {"asset_pointer": "file"}, kind="multimodal_text")]),
            "not_replayed",
            "multimodal_text",
        ),
        (
            chats.claude("c", ["a", "increase"], chat_messages=[{"sender": "human", "text": "a", "files": ["f.pdf"]}]),
            "not_replayed",
            "files attached",
        ),
        ({**chats.chatgpt("c", [chats.said("user", "x")]), "mapping": []}, "not_replayed", "mapping is no object"),
    ],
    ids=["no-answer", "instructions", "tool", "picture", "file", "no-mapping"],
)
def test_what_cannot_be_replayed_is_a_reject(tmp_path, conversation, reason, words):
    usable = chats.claude("ok", [CASES[0].question, CASES[0].answer])
    if "mapping" in conversation:
        usable = chats.chatgpt("ok", [chats.said("user", CASES[0].question), chats.said("assistant", CASES[0].answer)])
    found = read(tmp_path, [usable, conversation])
    assert [(reject.reason, words in reject.detail) for reject in found.rejects] == [(reason, True)]
    assert [sample.sample_id for sample in found.samples] == ["ok"]


def test_messages_in_a_circle_are_a_reject(tmp_path):
    conversation = chats.chatgpt("c", [chats.said("user", "x"), chats.said("assistant", "increase")])
    conversation["mapping"]["c-0"]["parent"] = "c-1"
    usable = chats.chatgpt("ok", [chats.said("user", CASES[0].question), chats.said("assistant", CASES[0].answer)])
    (reject,) = read(tmp_path, [usable, conversation]).rejects
    assert reject.reason == "not_replayed" and "circle" in reject.detail
