import json
import random

import pytest
from transformers import AutoTokenizer

from analyses.wording import key_group_label
from engine.config import Config, KeyGroup
from engine.encoded_samples import SEGMENTS
from engine.encoding.encoder import Encoder
from engine.encoding.groups.default_groups import default_key_groups
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.tokenizer import load_tokenizer
from engine.errors import ConfigError
from engine.inputs.predictions import read_predictions
from engine.samples import RowRejected
from engine.schema import BASELINE_GROUPS, DEFAULT_KEY_GROUPS, QUERY_GROUPS_BUILT_IN
from tests.fixtures.places import ROOT, SHARED, needs_shared
from tests.fixtures.predictions import record, records

VOCABULARY = str(ROOT / "config" / "vocabulary" / "financial.yaml")


def encode(path, tokenizer, max_tokens=None, **sections):
    sections.setdefault("vocabulary", VOCABULARY)
    predictions = {"path": str(path), **sections.pop("predictions", {})}
    config = Config.model_validate({"predictions": predictions, "model": {"path": str(tokenizer)}, **sections})
    encoder = Encoder(config, load_tokenizer(config), TokenGroups.from_config(config), max_tokens)
    return [encoder.encode(sample) for sample in read_predictions(config).samples]


def write(tmp_path, rows):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    return path


def answered(text, label="increase", index=0):
    row = record(index, random.Random(0), label)
    head = row["full_model_response"].partition("\nassistant\n")[0]
    return {**row, "full_model_response": f"{head}\nassistant\n{text}"}


def test_the_model_sees_template_prompt_and_answer(tmp_path, tokenizer_dir):
    rows = records(3)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    for row, sample in zip(rows, encode(write(tmp_path, rows), tokenizer_dir), strict=True):
        prompt = sample.input_ids[: sample.num_prompt_tokens]
        assert tokenizer.decode(sample.input_ids) == sample.text
        assert tokenizer.decode(sample.input_ids, skip_special_tokens=True) == row["full_model_response"]
        assert tokenizer.decode(prompt).endswith("<|im_start|>assistant\n")
        assert tokenizer.decode(prompt).startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")


def test_the_decision_row_predicts_the_label_inside_its_field(tmp_path, tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    for row, sample in zip(records(4), encode(write(tmp_path, records(4)), tokenizer_dir), strict=True):
        before = sample.text[: sample.char_starts[sample.decision_position + 1]]
        assert before.endswith('"direction_of_eps_change": "') and before.count("direction_of_eps_change") == 1
        increase, decrease = sample.contrast_token_ids
        assert sample.decision_token_id == (increase if row["predicted_direction"] == "increase" else decrease)
        assert increase != decrease
        word = tokenizer.decode(sample.input_ids[sample.decision_position + 1 :])
        assert word.startswith(row["predicted_direction"].title())


def test_hedged_labels_decide_at_the_label_word(tmp_path, tokenizer_dir):
    (sample,) = encode(write(tmp_path, [answered('{"direction_of_eps_change": "Moderate Increase"}')]), tokenizer_dir)
    token = sample.decision_position + 1
    assert "Moderate" in sample.text[: sample.char_ends[token - 1]].split("direction")[-1]
    assert sample.token_text(token).strip() and "Increase".startswith(sample.token_text(token).strip())


def test_labels_that_share_their_first_tokens_part_later(tmp_path, tokenizer_dir):
    decision = {"labels": {"qzqup": [], "qzqdown": []}, "contrast": ["qzqup", "qzqdown"], "field": None}
    (sample,) = encode(write(tmp_path, [answered("It is qzqdown", "qzqdown")]), tokenizer_dir, decision=decision)
    start = sample.text.rindex("qzqdown")
    assert sample.char_starts[sample.decision_position + 1] == start + len("qzq")
    assert len(set(sample.contrast_token_ids)) == 2 and sample.decision_token_id == sample.contrast_token_ids[1]


def test_a_truth_is_contrasted_with_its_opposite(tmp_path, tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    decision = {"labels": {"yes": [], "no": []}, "contrast": ["yes", "no"], "field": None}
    rows = [answered('{"answer": true}', "yes"), answered('{"answer": false}', "no", 1)]
    for row, sample in zip(rows, encode(write(tmp_path, rows), tokenizer_dir, decision=decision), strict=True):
        yes, no = (tokenizer.decode([token]).strip() for token in sample.contrast_token_ids)
        assert yes and "true".startswith(yes) and no and "false".startswith(no), row


def test_upper_case_labels_are_contrasted_in_upper_case(tmp_path, tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    (sample,) = encode(write(tmp_path, [answered('{"direction_of_eps_change": "INCREASE"}')]), tokenizer_dir)
    assert "DECREASE".startswith(tokenizer.decode([sample.contrast_token_ids[1]]))


def test_labels_spelled_with_capitals_are_contrasted_as_the_answer_writes_them(tmp_path, tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    decision = {"labels": {"Increase": [], "Decrease": []}}
    rows = [answered('{"direction_of_eps_change": "decrease"}', "decrease")]
    (sample,) = encode(write(tmp_path, rows), tokenizer_dir, decision=decision)
    first, second = (tokenizer.decode([i]) for i in sample.contrast_token_ids)
    assert "increase".startswith(first) and "decrease".startswith(second)


def test_a_third_label_keeps_its_row_where_the_labels_first_differ(tmp_path, tokenizer_dir):
    labels = {"move up": [], "move down": [], "stay": []}
    decision = {"labels": labels, "contrast": ["move up", "move down"], "field": None}
    rows = [answered("It will stay", "stay"), answered("It will move down", "move down", index=2)]
    stay, down = encode(write(tmp_path, rows), tokenizer_dir, decision=decision)
    assert stay.text[stay.char_starts[stay.decision_position + 1] :].strip().startswith("stay")
    assert len(set(stay.contrast_token_ids)) == 1 and len(set(down.contrast_token_ids)) == 2
    assert "pair_parts_later" in stay.metadata["flags"] and "pair_parts_later" not in down.metadata["flags"]


def test_segments_cover_statement_instruction_and_response(tmp_path, tokenizer_dir):
    (sample,) = encode(write(tmp_path, records(1)), tokenizer_dir)
    text = {}
    for code, name in enumerate(SEGMENTS):
        spans = [
            (s, e) for s, e, c in zip(sample.char_starts, sample.char_ends, sample.segments, strict=True) if c == code
        ]
        text[name] = "".join(sample.text[s:e] for s, e in spans)
    assert text["system"].strip() == "You are a helpful assistant."
    assert text["statement"].startswith("Below is the Balance Sheet:") and text["statement"].count("|") == 28
    assert "assess whether EPS" in text["instruction"] and "Answer in JSON" in text["instruction"]
    assert text["response"].startswith("### Analysis") and text["template"].count("<|im_start|>") == 3
    assert sum(map(len, text.values())) == len(sample.text)


def test_key_groups_are_words_and_phrases_not_tokens(tmp_path, tokenizer_dir):
    text = 'The group ups its net\nincome; EPS. {"direction_of_eps_change": "Increase"}'
    (sample,) = encode(write(tmp_path, [answered(text)]), tokenizer_dir)
    offset = sample.text.index("The group ups")

    def members(name):
        return {i for i in sample.key_groups[name] if sample.char_starts[i] >= offset}

    def tokens(word):
        start = sample.text.index(word, offset)
        overlap = (sample.char_starts < start + len(word)) & (sample.char_ends > start)
        return set(overlap.nonzero()[0])

    assert tokens("net\nincome") <= members("profit") and tokens("EPS") <= members("profit")
    assert not (tokens("group") | tokens("ups")) & members("change")
    assert tokens("Increase") <= members("change") and members("change") <= members("financial")


def test_default_groups_partition_and_bound(tmp_path, tokenizer_dir):
    for sample in encode(write(tmp_path, records(3)), tokenizer_dir):
        groups = sample.key_groups
        assert list(groups)[:8] == [
            "financial",
            "revenue",
            "profit",
            "balance_sheet",
            "change",
            "operations",
            "time",
            "number",
        ]
        union = set().union(*(set(groups[name]) for name in list(groups)[1:7]))
        assert union == set(groups["financial"])
        assert list(groups["first_token"]) == [0] and list(groups["beginning"]) == list(range(10))
        assert set(groups["reasoning"]) < set(groups["response"])
        assert list(sample.query_groups["decision"]) == [sample.decision_position]
        assert len(sample.query_groups["response"]) == sample.num_tokens - sample.num_prompt_tokens


def test_percentages_and_years_are_numbers_of_their_own(tmp_path, tokenizer_dir):
    text = 'In 1997 sales of 2001.5 fell 3.1 % to 20010, i.e. -12%. {"direction_of_eps_change": "Increase"}'
    (sample,) = encode(write(tmp_path, [answered(text)]), tokenizer_dir)
    start = sample.text.index("In 1997")

    def said(name):
        inside = [i for i in sample.key_groups[name] if sample.char_starts[i] >= start]
        return "".join(sample.token_text(i) for i in inside).replace(" ", "")

    assert said("percentage") == "3.1%-12%" and said("year") == "1997"
    assert said("number") == "19972001.53.12001012"


def test_regex_complement_and_query_groups_from_the_config(tmp_path, tokenizer_dir):
    groups = {"percent": {"regex": r"\d+(\.\d+)?%"}, "rest": {"complement_of": "percent"}}
    (sample,) = encode(
        write(tmp_path, [answered('down 3.1% {"direction_of_eps_change": "Increase"}')]),
        tokenizer_dir,
        key_groups=groups,
        statistics={"query_groups": ["all", "percent"]},
    )
    assert "".join(sample.token_text(i) for i in sample.key_groups["percent"]).strip() == "3.1%"
    assert len(sample.key_groups["percent"]) + len(sample.key_groups["rest"]) == sample.num_tokens
    assert list(sample.query_groups["percent"]) == list(sample.key_groups["percent"])


def test_a_sample_longer_than_the_context_is_rejected(tmp_path, tokenizer_dir):
    with pytest.raises(RowRejected, match=r"do not fit into the model's context of 100"):
        encode(write(tmp_path, records(1)), tokenizer_dir, max_tokens=100)


@needs_shared
def test_the_real_record_with_the_real_tokenizer():
    path = SHARED / "data" / "predictions_checkpoint_sample.json"
    tokenizer = AutoTokenizer.from_pretrained(SHARED / "data" / "qwen2-tokenizer")
    first, second = encode(path, SHARED / "data" / "qwen2-tokenizer", max_tokens=32768)
    assert abs(first.num_tokens - 2640) < 10
    assert (
        tokenizer.decode([first.decision_token_id]) == "Decre"
        and first.token_text(first.decision_position + 1) == "Decre"
    )
    assert [tokenizer.decode([i]) for i in first.contrast_token_ids] == ["Increase", "Decre"]
    assert [tokenizer.decode([i]) for i in second.contrast_token_ids] == [" Increase", " Decre"]
    assert second.metadata["label_source"] == "repaired_json" and second.metadata["flags"] == ["hedged_label"]


def test_every_default_key_group_has_a_definition_and_a_name_in_words():
    groups = default_key_groups({"assets": ["cash"]}, "financial")
    assert tuple(groups) == ("financial", "assets", *DEFAULT_KEY_GROUPS)
    assert not [name for name in DEFAULT_KEY_GROUPS if key_group_label(name).endswith(" terms")]
    TokenGroups({"assets": ["cash"]}, groups, (*QUERY_GROUPS_BUILT_IN, "assets"))


@pytest.mark.parametrize("taken", [*BASELINE_GROUPS, "a-b"])
def test_names_that_a_key_group_cannot_have(taken):
    with pytest.raises(ConfigError, match=rf"key_groups\.{taken}: "):
        TokenGroups({}, {taken: KeyGroup(regex="x")}, ["all"])
