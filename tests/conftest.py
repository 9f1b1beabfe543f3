"""Fixtures that need no download: a random Qwen2 with its own tokenizer, and predictions in the users' format."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when it is imported; without it each miss waits for retries

import pytest
import torch

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

LONGEST = (
    "tests/unit/test_readme.py",
    "tests/faults/test_processes.py",
    "tests/faults/test_cluster.py",
    "tests/faults/test_drivers.py",
    "tests/causal/test_causal_analyses.py",
    "tests/faults/test_disk.py",
)
"""Files of minutes, which start first so that none is left to run alone at the end."""

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared material is not beside this checkout")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.relative_to(ROOT).as_posix(), len(order)))


CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

ITEMS = ("Total Asset", "Current Liabilities", "Inventories", "Sales (net)", "Net Income (Loss)", "Earnings per Share")


def statement(rng: random.Random) -> str:
    """Return a small two-period table in the users' layout."""
    rule = "-" * 40
    rows = [f"| {item:<24} | {rng.uniform(-5, 90):.3f} | {rng.uniform(-5, 90):.3f} |" for item in ITEMS]
    header = "| Account Items            | t-1 | t |"
    return "\n".join(["Below is the Balance Sheet:", rule, header, rule, *rows, rule])


def answer(label: str, rng: random.Random) -> str:
    """Return an answer that talks about both labels before its JSON block names one."""
    reasoning = rng.choice(
        [
            "Sales increase while costs decrease, so the margin may rise.",
            "The assistant notes that inventories increased and net income decreased from 12.5 to 9.75.",
            "Revenue growth is up; total asset is down 3.1%.",
        ]
    )
    block = {
        "direction_of_eps_change": label.title(),
        "magnitude_of_change": "Moderate",
        "certainty_of_assessment": rng.choice(["High", "Medium", "Low"]),
        "reason": "Margins increase or decrease with costs.",
    }
    return f"### Analysis\n{reasoning}\n```json\n{json.dumps(block, indent=2)}\n```"


def record(index: int, rng: random.Random, label: str | None = None) -> dict:
    """Return one prediction record with exactly the users' fields."""
    label = label or rng.choice(["increase", "decrease"])
    actual = rng.choice(["increase", "decrease"])
    question = "Based on the following financial statements, assess whether EPS will increase or decrease:\n\n"
    transcript = (
        "system\nYou are a helpful assistant.\nuser\n"
        f"{question}{statement(rng)}\n\nAnswer in JSON: <Increase/Decrease>\nassistant\n{answer(label, rng)}"
    )
    return {
        "company_id": 1000 + index // 2,
        "year": 1990 + index % 2,
        "actual_label": actual,
        "predicted_direction": label,
        "magnitude": "Moderate",
        "certainty": "Medium",
        "reason": "Margins.",
        "is_match": label == actual,
        "full_model_response": transcript,
    }


def records(count: int, seed: int = 0) -> list[dict]:
    """Return records of both labels, right and wrong ones."""
    rng = random.Random(seed)
    labels = ["increase", "decrease"]
    return [record(index, rng, labels[index % 2]) for index in range(count)]


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer like Qwen2's, with single digits and ChatML tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=[AddedToken(token, special=True) for token in specials],
    )  # fmt: skip
    tokenizer.train_from_iterator([row["full_model_response"] for row in records(12, seed=7)], trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    """A random Qwen2 of 2 layers, 4 query heads and 2 KV heads, with biases and norm gains away from their defaults."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    randomize(model, seed=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def randomize(model: torch.nn.Module, seed: int, scale: float = 0.2) -> None:
    """Move every parameter off its initial value, so that biases and norm gains count."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)


@pytest.fixture
def predictions_file(tmp_path: Path) -> Path:
    """Twelve predictions in the users' format."""
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(records(12)))
    return path


@pytest.fixture
def config_file(tmp_path: Path, predictions_file: Path, tiny_model_dir: Path) -> Path:
    """An inline config for the twelve predictions, its run directory below ``tmp_path``."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"""
run: {{name: test, output: {tmp_path / "runs"}}}
predictions: {{path: {predictions_file}}}
model: {{path: {tiny_model_dir}, dtype: float32, device: cpu}}
vocabulary: {ROOT / "config" / "vocabulary" / "financial.yaml"}
cluster: {{mode: inline, samples_per_shard: 5, tokens_per_batch: 1200}}
visualization: {{formats: [html]}}
analysis: {{permutations: 50}}
"""
    )
    return path
