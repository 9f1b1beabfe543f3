"""Gold passages of a record as token positions, in every form that a prompt is recorded in."""

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from engine.config import KeyGroup
from engine.encoding.encoded_files import read_batches, write_batches
from engine.encoding.groups.evidence_groups import evidence_groups, with_evidence
from engine.errors import ConfigError
from engine.inputs.outcomes.evidence import evidence_of
from engine.run import main
from engine.samples import RowRejected
from tests.fixtures.encoded_rows import ANSWER, encode, whole

PROMPT = "Sales rose by 3 % in 1990. Costs fell. Será así. Will EPS increase or decrease?"
GOLD = "Sales rose by 3 %"
FIELDS = {"predictions": {"fields": {"evidence": "gold"}}}


def run(tmp_path, folder, rows, source="fields", **sections):
    predictions = {"path": str(tmp_path / "rows.json"), "fields": {"evidence": "gold"}}
    return encode(tmp_path, folder, rows, source, predictions=predictions, **sections)


def row(gold, **others):
    return {"prompt": PROMPT, "response": ANSWER, "gold": gold, **others}


def passage(sample):
    """The evidence's tokens as one text."""
    return "".join(sample.token_text(place) for place in sample.key_groups["evidence"])


@pytest.mark.parametrize(
    "gold",
    [GOLD, [GOLD], [0, 17], [[0, 17]], [[0.0, 17.0]], json.dumps([[0, 17]]), json.dumps([GOLD]), f"  {GOLD}\n"],
    ids=["text", "texts", "pair", "pairs", "floats", "pairs in a CSV", "texts in a CSV", "blanks"],
)
def test_texts_and_pairs_of_characters_are_the_same_tokens(tmp_path, tokenizer_dir, gold):
    encoded, rejects = run(tmp_path, tokenizer_dir, [row(gold)])
    assert not rejects
    sample = encoded["r0"]
    assert passage(sample) == GOLD and sample.unknown_groups == ()
    assert sample.key_groups["evidence"].max() < sample.num_prompt_tokens
    assert not {"no_evidence", "evidence_repeated", "evidence_cuts_words"} & set(sample.metadata["flags"])


def test_several_passages_are_one_group(tmp_path, tokenizer_dir):
    encoded, _ = run(tmp_path, tokenizer_dir, [row([[27, 37], GOLD])])
    assert passage(encoded["r0"]) == f"{GOLD} Costs fell" or passage(encoded["r0"]) == f"{GOLD}Costs fell"


@pytest.mark.parametrize("form", ["messages", "system", "rendered", "token ids", "template none"])
def test_every_form_of_a_prompt(tmp_path, tokenizer_dir, form):
    turns = [{"role": "user", "content": PROMPT}]
    rendered, ids, _ = whole(tokenizer_dir, turns)
    given, source, sections = {"gold": [[0, 17], "Costs fell"]}, "fields", {}
    if form in ("messages", "system"):
        before = [{"role": "system", "content": "Be brief."}] if form == "system" else []
        given["messages"], source = [*before, *turns, {"role": "assistant", "content": ANSWER}], "messages"
    elif form == "rendered":
        start = rendered.index(PROMPT)
        given |= {"prompt": rendered, "response": ANSWER, "gold": [[start, start + 17], "Costs fell"]}
    elif form == "token ids":
        given |= {"prompt": PROMPT, "response": ANSWER, "prompt_token_ids": ids}
    else:
        given |= {"prompt": PROMPT, "response": ANSWER}
        sections["prompt"] = {"chat_template": "none"}
    encoded, rejects = run(tmp_path, tokenizer_dir, [given], source, **sections)
    assert not rejects
    assert passage(encoded["r0"]).replace(GOLD, "").strip() == "Costs fell"


def test_a_prompt_that_begins_with_blanks_moves_nothing(tmp_path, tokenizer_dir):
    encoded, rejects = run(tmp_path, tokenizer_dir, [row([[3, 20]], prompt=f"\n\n {PROMPT} ")])
    assert not rejects and passage(encoded["r0"]).strip() == GOLD


def test_texts_work_in_transcripts_and_pairs_are_refused_there(tmp_path, tokenizer_dir):
    transcript = f"user\n{PROMPT}\nassistant\n{ANSWER}"
    rows = [{"full_model_response": transcript, "gold": gold} for gold in (GOLD, [[5, 22]])]
    encoded, rejects = run(tmp_path, tokenizer_dir, rows, "transcript")
    assert passage(encoded["r0"]).strip() == GOLD
    assert rejects["r1"].startswith("evidence_without_text") and "Texts of the prompt work everywhere" in rejects["r1"]


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ("Sales rose by 4 %", "evidence_not_found"),
        ("assistant", "evidence_not_found"),
        ([[0, 500]], "evidence_out_of_range"),
        ([[17, 0]], "evidence_out_of_range"),
        ([[-3, 5]], "evidence_out_of_range"),
        ([[5, 6]], "evidence_out_of_range"),
        ([[0, 17], [70, 900]], "evidence_out_of_range"),
        (3.5, "bad_evidence"),
        ([{"start": 0}], "bad_evidence"),
        ([[0, 1, 2]], "bad_evidence"),
        ([[0, True]], "bad_evidence"),
        ([[0, 1.5]], "bad_evidence"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_its_reason(tmp_path, tokenizer_dir, gold, reason):
    encoded, rejects = run(tmp_path, tokenizer_dir, [row(gold), row(GOLD)])
    assert list(encoded) == ["r1"] and rejects["r0"].startswith(reason)


def test_what_is_doubtful_is_flagged(tmp_path, tokenizer_dir):
    rows = [row("3 %", prompt=f"3 % or 13 %? {PROMPT}"), row([[1, 16]]), row("e")]
    encoded, _ = run(tmp_path, tokenizer_dir, rows)
    first, second, third = (encoded[f"r{number}"] for number in range(3))
    # Whole words alone: the 3 of 13 is none.
    assert "evidence_repeated" in first.metadata["flags"] and len(first.key_groups["evidence"]) == 2 * len(
        AutoTokenizer.from_pretrained(tokenizer_dir)("3 %")["input_ids"]
    )
    assert "evidence_cuts_words" in second.metadata["flags"]
    assert {"evidence_repeated", "evidence_cuts_words"} <= set(third.metadata["flags"])


@pytest.mark.parametrize("gold", [None, "", [], "  "], ids=["null", "empty", "no passages", "blanks"])
def test_a_row_without_evidence_has_unknown_groups(tmp_path, tokenizer_dir, gold):
    groups = {
        "numbers": {"regex": r"\d"},
        "elsewhere": {"complement_of": "evidence"},
        "evidence": {"spans": "evidence"},
    }
    encoded, rejects = run(tmp_path, tokenizer_dir, [row(gold), row(GOLD)], key_groups=groups)
    assert not rejects
    sample, known = encoded["r0"], encoded["r1"]
    assert sample.unknown_groups == ("elsewhere", "evidence") and "no_evidence" in sample.metadata["flags"]
    assert not len(sample.key_groups["evidence"]) and not len(sample.key_groups["elsewhere"])
    assert len(sample.key_groups["numbers"]) and known.unknown_groups == ()
    assert len(known.key_groups["elsewhere"]) == known.num_tokens - len(known.key_groups["evidence"])
    write_batches(tmp_path / "unit.parquet", [[sample, known]])
    again = read_batches(tmp_path / "unit.parquet")[0]
    assert [one.unknown_groups for one in again] == [sample.unknown_groups, ()]
    np.testing.assert_array_equal(again[1].key_groups["evidence"], known.key_groups["evidence"])


def test_the_group_is_there_where_a_field_is_named_and_else_not(tmp_path, tokenizer_dir):
    own = {"numbers": KeyGroup(regex=r"\d")}
    assert with_evidence(own, None) == own and list(with_evidence(own, "gold")) == ["numbers", "evidence"]
    assert evidence_groups(with_evidence(own, "gold")) == ("evidence",)
    with pytest.raises(ConfigError, match=r"name it in predictions\.fields\.evidence"):
        with_evidence({"gold": KeyGroup(spans="evidence")}, None)
    with pytest.raises(ConfigError, match="this name is taken by the gold passages"):
        with_evidence({"evidence": KeyGroup(regex=r"\d")}, "gold")


def test_what_a_field_holds():
    assert evidence_of(float("nan"), "gold", None).texts == ()
    assert evidence_of(["a", [1, 2]], "gold", "abc").spans == ((1, 2),)
    assert evidence_of("[1, 2]", "gold", None).texts == ("[1, 2]",)
    with pytest.raises(RowRejected, match=r"predictions\.fields\.evidence"):
        evidence_of(b"x", "gold", None)


def test_the_plan_counts_rows_without_evidence_and_doubtful_ones(tmp_path, tokenizer_dir, capsys):
    rows = [
        row(gold, id=f"r{number}", actual_label="increase") for number, gold in enumerate([GOLD, None, [[1, 16]], "?!"])
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    config = {
        "run": {"output": str(tmp_path / "out"), "name": "gold"},
        "predictions": {"path": str(tmp_path / "rows.json"), "fields": {"evidence": "gold"}},
        "prompt": {"source": "fields"},
        "model": {"path": str(tokenizer_dir)},
        "decision": {"field": None},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert main([str(tmp_path / "config.yaml"), "--stage", "plan"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "In 1 sample(s) the record names no gold passage" in said and "evidence_cuts_words" in said
    plan = json.loads((tmp_path / "out" / "gold" / "plan.json").read_text())
    assert plan["samples_by_flag"]["no_evidence"] == 1 and plan["rejects_by_reason"] == {"evidence_not_found": 1}
    assert plan["key_groups"][-1] == "evidence"
