"""Margins of every contrast and shape of label set, against the model's own plain forward in float64."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.causal.explainer import Explainer
from engine.causal.method import CausalInputs
from engine.config import CausalSection, Config
from engine.encoding.encoder import Encoder
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.tokenizer import load_tokenizer
from engine.inputs.predictions import read_predictions
from engine.measuring.measurer import Measurer
from engine.model.decoder import Decoder
from tests.fixtures.family_judgement import double

OPTIONS = ["a net loss", "more inventories", "the income", "costs"]
LETTERS = ["A", "B", "C", "D"]
MOVES = ["increase", "incremental", "decrease", "no change", "no chance"]


def choice_rows():
    """Four options each: said by letter and by text, right and wrong, in another order each time."""
    rows = []
    for number in range(4):
        options = OPTIONS[number:] + OPTIONS[:number]
        said = (f"Answer: {LETTERS[number]}", f"Answer: {options[number]}")[number % 2]
        question = f"Which? {options}"
        rows.append({"id": number, "options": options, "right": (2, "C", options[2], 1)[number], "prompt": question,
                     "response": said})  # fmt: skip
    return rows


def move_rows():
    return [
        {"id": label, "prompt": "Sales fell. What happens?", "response": f"Answer: {label}.", "actual_label": actual}
        for label, actual in zip(MOVES, [*MOVES[1:], None], strict=True)
    ]


SHAPES = {
    "two": ([row for row in move_rows() if row["id"] in ("increase", "decrease")],
            {"labels": ["increase", "decrease"]}, {}),
    "five": (move_rows(), {"labels": MOVES}, {}),
    "choices": (choice_rows(), {}, {"choices": "options", "target": "right"}),
}  # fmt: skip
RULES = ("default", "pair", "said_vs_best_other", "said_vs_actual", "said_vs_runner_up")


def contrast_setting(rule, shape):
    if rule == "default":
        return {}
    if rule == "pair":
        return {"contrast": ["increase", "decrease"]} if shape != "choices" else {}
    return {"contrast": rule}


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()


def planned(tmp_path, tiny_model_dir, rows, decision, fields, statistics=None):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    config = Config.model_validate(
        {
            "predictions": {"path": str(path), "fields": fields},
            "model": {"path": str(tiny_model_dir), "device": "cpu"},
            "prompt": {"source": "fields"},
            "decision": {"field": None, **decision},
            "key_groups": {"response": {"segment": "response"}},
            "statistics": statistics or {},
        }
    )
    tokenizer = load_tokenizer(config)
    encoder = Encoder(config, tokenizer, TokenGroups.from_config(config), None)
    return config, tokenizer, [encoder.encode(sample) for sample in read_predictions(config).samples]


def plain(model, sample):
    """Log-probabilities of every row by the model's own forward, float64."""
    ids = torch.tensor(sample.input_ids.tolist())
    with torch.no_grad():
        return double(model)(ids[None]).logits[0].log_softmax(-1)


def expected_margin(rule, sample, logprobs, tokenizer):
    """By another way than ours: words in the answer's place, one by one, and the first token that differs."""
    said = sample.contrast.first if rule != "pair" else None
    if rule == "said_vs_runner_up":
        row = sample.decision_position
        own = int(sample.input_ids[row + 1])
        best = max((token for token in range(logprobs.shape[1]) if token != own), key=lambda t: float(logprobs[row, t]))
        return f"{said}|{tokenizer.decode([best])}", float(logprobs[row, own] - logprobs[row, best]), row
    if rule == "pair":
        first, second = sample.contrast_token_ids
        row = sample.decision_position
        return "increase|decrease", float(logprobs[row, first] - logprobs[row, second]), row
    others = {token.label: token for token in sample.label_tokens if token.label != said}
    actual = sample.metadata["actual_label"]
    if rule == "said_vs_actual" and actual not in (None, said):
        others = {actual: others[actual]}
    margins = {
        label: float(logprobs[token.row, int(sample.input_ids[token.row + 1])] - logprobs[token.row, token.token_id])
        for label, token in others.items()
    }
    best = min(margins, key=margins.__getitem__)
    return f"{said}|{best}", margins[best], others[best].row


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rule", RULES)
def test_margins_are_those_of_a_plain_forward(tmp_path, tiny_model_dir, model, shape, rule):
    rows, decision, fields = SHAPES[shape]
    setting = contrast_setting(rule, shape)
    config, tokenizer, samples = planned(tmp_path, tiny_model_dir, rows, decision | setting, fields)
    meant = "pair" if rule in ("default", "pair") and shape == "two" else "pair" if rule == "pair" else rule
    meant = "said_vs_best_other" if meant == "default" or (rule == "pair" and shape == "choices") else meant
    found = Measurer(model, config, lambda token: tokenizer.decode([token])).forward_passes([samples], ["response"])()
    by_id = {row["sample_id"]: row for row in found.tables["samples"].to_pylist()}
    labels = found.tables["label_logprobs"].to_pylist()
    assert len(by_id) == len(rows) and not found.rejects
    for sample in samples:
        logprobs, row = plain(model, sample), by_id[sample.sample_id]
        name, margin, place = expected_margin(meant, sample, logprobs, tokenizer)
        if len(set(sample.contrast_token_ids)) == 1 and meant == "pair":
            assert row["contrast"] is None and row["logit_difference"] is None
            continue
        assert (row["contrast"], row["contrast_position"]) == (name, place)
        assert row["logit_difference"] == pytest.approx(margin, abs=2e-5)
        assert row["contrast_probability"] == pytest.approx(1 / (1 + 2.718281828459045**-margin), abs=1e-5)
        for entry in (entry for entry in labels if entry["sample_id"] == sample.sample_id):
            token = next(token for token in sample.label_tokens if token.label == entry["label"])
            assert entry["position"] == token.row
            assert entry["logprob"] == pytest.approx(float(logprobs[token.row, token.token_id]), abs=2e-5)


def test_tokens_of_labels_are_those_of_the_answer_with_another_word(tmp_path, tiny_model_dir):
    """Every other label's token continues the recorded answer as the tokenizer writes it with that label."""
    for rows, decision, fields in SHAPES.values():
        _, tokenizer, samples = planned(tmp_path, tiny_model_dir, rows, decision, fields)
        for sample, row in zip(samples, rows, strict=True):
            assert len(sample.label_tokens) == (len(row["options"]) if "options" in row else len(decision["labels"]))
            answer = tokenizer(row["response"], add_special_tokens=False)["input_ids"]
            said = row["response"].removeprefix("Answer: ").rstrip(".")
            for token in sample.label_tokens:
                if "options" in row:
                    word = token.label if said in LETTERS else row["options"][LETTERS.index(token.label)]
                else:
                    word = token.label
                other = tokenizer(f"Answer: {word}{'.' * row['response'].endswith('.')}", add_special_tokens=False)
                other = other["input_ids"]
                place = token.row + 1 - sample.num_prompt_tokens
                assert other[:place] == answer[:place] and other[place] == token.token_id
                assert word == said or other[place] != answer[place]


@pytest.mark.parametrize("shape", ["five", "choices"])
@pytest.mark.parametrize("rule", RULES[2:])
def test_causes_are_those_of_the_same_margin(tmp_path, tiny_model_dir, model, shape, rule):
    rows, decision, fields = SHAPES[shape]
    config, _, samples = planned(tmp_path, tiny_model_dir, rows, decision | {"contrast": rule}, fields)
    measured = Measurer(model, config).forward_passes([samples], ["response"])().tables["samples"].to_pylist()
    settings = CausalSection.model_validate(
        {"attribution": {}, "ablation": {"heads": [[1, 2]], "replace": "zero", "rows": "all"}}
    )
    explainer = Explainer(Decoder(model), settings, 4096)
    for sample, row in zip(samples, measured, strict=True):
        parts = explainer.explain(sample, CausalInputs())
        heads = float(parts["attributions"].columns["dla"].sum())
        others = sum(part["value"] for part in parts["sample_attributions"].rows)
        assert heads + others == pytest.approx(row["logit_difference"], abs=1e-4)
        assert parts["sample_attributions"].rows[0]["logit_difference"] == pytest.approx(
            row["logit_difference"], abs=1e-4
        )
        assert parts["sample_attributions"].rows[0]["contrast"] == row["contrast"]
        assert parts["attributions"].columns["contrast"] == row["contrast"]
        effect = parts["interventions"].rows[0]
        assert effect["contrast"] == row["contrast"]
        assert effect["logit_difference"] == pytest.approx(row["logit_difference"] + effect["change"], abs=1e-4)


def test_a_free_answer_is_compared_with_the_runner_up(tmp_path, tiny_model_dir, model):
    rows = [{"id": n, "prompt": "How much?", "response": f"It is {n}50."} for n in (1, 7)]
    config, tokenizer, samples = planned(tmp_path, tiny_model_dir, rows, {"span": "last_number"}, {})
    found = (
        Measurer(model, config, lambda token: tokenizer.decode([token]))
        .forward_passes([samples], ["response"])()
        .tables
    )
    for sample, row in zip(samples, found["samples"].to_pylist(), strict=True):
        logprobs = plain(model, sample)
        name, margin, place = expected_margin("said_vs_runner_up", sample, logprobs, tokenizer)
        assert (row["contrast"], row["contrast_position"], row["label_source"]) == (name, place, "span")
        assert row["logit_difference"] == pytest.approx(margin, abs=2e-5)
        pair = [e for e in found["label_logprobs"].to_pylist() if e["sample_id"] == row["sample_id"]]
        assert [entry["label"] for entry in pair] == name.split("|")
        assert pair[0]["logprob"] - pair[1]["logprob"] == pytest.approx(margin, abs=2e-5)
