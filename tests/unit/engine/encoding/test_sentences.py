"""Sentences by rule, and the parts of a sequence as query groups and key groups."""

import json

import numpy as np
import pytest

from engine.config import Config
from engine.encoded_samples import SEGMENTS
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.sentences import sentence_spans
from engine.encoding.tokenizer import load_tokenizer
from engine.errors import ConfigError
from engine.inputs.predictions import read_predictions

THOUGHT = "Sales rose to 3.5. Costs fell! So up?"
ANSWER = "Sales rise. Answer: increase."


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It is 3.5 of 1.000.000. Right.", ["It is 3.5 of 1.000.000.", "Right."]),
        ("a line\nanother\n\nlast", ["a line", "another", "last"]),
        ("売上は増えた。費用も。", ["売上は増えた。", "費用も。"]),
        ('He said "yes." Then no.', ['He said "yes."', "Then no."]),
        ("क्या हुआ। ठीक है।", ["क्या हुआ।", "ठीक है।"]),
        ("Wait... what", ["Wait...", "what"]),
        ("  \n ", []),
    ],
)
def test_sentences(text, sentences):
    assert [text[first:last] for first, last in sentence_spans(text)] == sentences


@pytest.fixture
def encoded(tmp_path, tokenizer_dir):
    def make(query_groups, key_groups, response=f"<think>{THOUGHT}</think>\n{ANSWER}", **decision):
        path = tmp_path / "p.json"
        path.write_text(json.dumps([{"id": 1, "prompt": "Sales fell. And now?", "response": response}]))
        config = Config.model_validate(
            {
                "predictions": {"path": str(path)},
                "model": {"path": str(tokenizer_dir)},
                "prompt": {"source": "fields"},
                "statistics": {"query_groups": query_groups},
                "key_groups": {name: {"segment": segment} for name, segment in key_groups.items()},
                "decision": {"field": None, **decision},
            }
        )
        encoder = Encoder(config, load_tokenizer(config), TokenGroups.from_config(config), None)
        return encoder.encode(*read_predictions(config).samples)

    return make


def text_at(sample, positions):
    return "".join(sample.token_text(int(position)) for position in positions)


def test_query_groups_are_the_parts_of_the_sequence(encoded):
    sample = encoded(["all", "prompt", "thinking", "answer", "decision", "response", "reasoning", "span"], {})
    rows = sample.query_groups
    parts = [rows["prompt"], rows["thinking"], rows["answer"]]
    assert np.array_equal(np.sort(np.concatenate(parts)), rows["all"]), "three parts that are all"
    assert np.array_equal(rows["response"], np.sort(np.concatenate(parts[1:])))
    assert THOUGHT in text_at(sample, rows["thinking"]) and "Sales rise" not in text_at(sample, rows["thinking"])
    assert text_at(sample, rows["answer"]).strip() == ANSWER
    assert ANSWER.startswith(text_at(sample, rows["reasoning"]).strip()) and rows["reasoning"][-1] == rows["decision"]
    assert text_at(sample, rows["span"] + 1).strip() == "increase" and rows["span"][0] == rows["decision"][0]


def test_a_sequence_without_a_thought_is_as_before(encoded):
    sample = encoded(["reasoning", "thinking", "answer", "response"], {}, ANSWER)
    prompt, decision = sample.num_prompt_tokens, sample.decision_position
    assert sample.query_groups["reasoning"].tolist() == list(range(prompt, decision + 1))
    assert not len(sample.query_groups["thinking"])
    assert np.array_equal(sample.query_groups["answer"], sample.query_groups["response"])


def test_key_groups_by_segment_and_sentence(encoded):
    groups = {"own": "thinking", "asked": "prompt", "said": "answer", "first": "thinking: 0", "last": "thinking: -1",
              "second": "instruction: 1", "none": "thinking: 7"}  # fmt: skip
    sample = encoded(["decision", "said"], groups)
    found = {name: text_at(sample, positions) for name, positions in sample.key_groups.items()}
    assert found["first"].endswith("Sales rose to 3.5.") and "Costs" not in found["first"]
    assert found["last"].strip().startswith("So up?") and found["second"].strip() == "And now?"
    assert found["none"] == "" and found["said"].strip() == ANSWER and "Sales fell" in found["asked"]
    assert np.array_equal(sample.query_groups["said"], sample.key_groups["said"]), "the config's own group"
    inside = sample.segments == SEGMENTS.index("thinking")
    assert sample.sentences[inside].max() == 2 and (sample.sentences[sample.query_groups["said"]] == -1).all()


@pytest.mark.parametrize("segment", ["thinking: x", "thoughts", "thinking:"])
def test_unknown_segments_are_refused(encoded, segment):
    with pytest.raises(ConfigError, match=r"key_groups\.own\.segment.*thinking: 0"):
        encoded(["decision"], {"own": segment})


def test_a_free_answer_decides_at_its_first_token(encoded):
    sample = encoded(["decision", "span"], {}, "It costs 12,750 now.", span="last_number")
    assert text_at(sample, sample.query_groups["span"] + 1).strip() == "12,750"
    assert sample.query_groups["span"][0] == sample.decision_position and len(sample.query_groups["span"]) > 1
    assert sample.contrast.name == "said_vs_runner_up" and sample.label_tokens == ()
