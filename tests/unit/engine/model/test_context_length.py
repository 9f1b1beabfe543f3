"""How long a text a model takes: one answer for plans, notebooks and generated answers."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest
import transformers as hf

from engine.config import GenerationSection
from engine.errors import UserError
from engine.generation.generator import Generator
from engine.model.rotary import context_length
from engine.notebook.workbench import Workbench
from engine.run import main
from engine.samples import Prompt
from tests.fixtures.models import randomize
from tests.fixtures.predictions import records

STATED, FACTOR = 64, 4.0


@pytest.fixture(scope="module")
def stretched_dir(tmp_path_factory, tokenizer_dir):
    """A random Llama that states 64 positions, which dynamic scaling stretches to 256."""
    folder = tmp_path_factory.mktemp("dynamic")
    tokenizer = hf.AutoTokenizer.from_pretrained(tokenizer_dir)
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=STATED,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": FACTOR},
    )
    model = hf.LlamaForCausalLM(config)
    randomize(model, seed=3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stretched(stretched_dir):
    return hf.AutoModelForCausalLM.from_pretrained(stretched_dir), hf.AutoTokenizer.from_pretrained(stretched_dir)


def text_of(tokenizer, num_tokens):
    """Return a text of exactly so many tokens."""
    ids = tokenizer(" revenue 12" * num_tokens, add_special_tokens=False)["input_ids"][:num_tokens]
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == num_tokens
    return text


@pytest.mark.parametrize("name", ["max_position_embeddings", "n_positions", "max_seq_len"])
def test_three_names_state_it(name):
    config = SimpleNamespace(**{name: 77})
    config.get_text_config = lambda: config
    assert context_length(config) == 77


def test_no_name_no_length():
    config = SimpleNamespace(get_text_config=SimpleNamespace)
    assert context_length(config) is None


def test_only_dynamic_scaling_stretches_what_is_stated():
    assert context_length(hf.GPT2Config(n_positions=512)) == 512
    scalings = {"dynamic": 256, "linear": STATED, "yarn": STATED}
    for kind, expected in scalings.items():
        rope = {"rope_type": kind, "rope_theta": 1e4, "factor": FACTOR}
        assert context_length(hf.LlamaConfig(max_position_embeddings=STATED, rope_parameters=rope)) == expected, kind


def test_a_run_takes_what_lies_between_both_lengths(config_file, tmp_path, stretched_dir):
    rows = records(3)
    for row, number in zip(rows, (1, 25, 60), strict=True):
        answer = '{"direction_of_eps_change": "Increase"}'
        row |= {
            "predicted_direction": "increase",
            "full_model_response": f"user\n{' profit' * number}\nassistant\n{answer}",
        }
    (tmp_path / "predictions.json").write_text(json.dumps(rows))
    assert main([str(config_file), f"model.path={stretched_dir}", "--stage", "collect"]) == 0
    run = tmp_path / "runs" / "test"
    samples = pl.concat([pl.read_parquet(file) for file in (run / "shards").glob("*/samples.parquet")])
    lengths = sorted(samples["num_tokens"])
    assert len(lengths) == 2 and lengths[0] < STATED < lengths[1] <= 256
    rejects = pl.concat([pl.read_parquet(file) for file in run.rglob("rejects.parquet")])
    assert "context of 256" in " ".join(rejects["detail"])


def test_a_notebook_takes_what_a_run_takes(stretched):
    model, tokenizer = stretched
    bench = Workbench(model, tokenizer)
    encoded = bench.encode(text_of(tokenizer, 150))
    assert encoded.num_tokens == 150 and bench.measure(encoded).is_finite()
    with pytest.raises(UserError, match="256"):
        bench.encode(text_of(tokenizer, 257))


def answers(stretched, prompts, batch_size=4):
    model, tokenizer = stretched
    settings = GenerationSection(enabled=True, max_new_tokens=6, batch_size=batch_size)
    return Generator(model, tokenizer, settings).answers(prompts)


def test_generation_answers_what_a_run_takes(stretched):
    tokenizer = stretched[1]
    long, full, too_long = (Prompt(str(num), text_of(tokenizer, num)) for num in (150, 254, 257))
    answered = answers(stretched, [long, full, too_long])
    assert answered[0].num_tokens == 6 or not answered[0].is_cut
    assert 0 < answered[1].num_tokens <= 2 and answered[2].num_tokens == 0


def test_an_answer_does_not_depend_on_longer_neighbours_or_earlier_texts(stretched):
    tokenizer = stretched[1]
    prompts = [Prompt(str(num), text_of(tokenizer, num)) for num in (20, 90, 150)]
    together = answers(stretched, prompts)
    assert [answers(stretched, [prompt])[0] for prompt in prompts] == together
