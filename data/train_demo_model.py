"""Train the demo model: tokenizer, curriculum of jittered statements, float16 weights.

Usage: ``python -m data.train_demo_model [--output data/demo-model]`` (two cores; README.md has the time).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from data.curriculum import DRILL, FULL, Curriculum, Pair, Stage
from data.demo_tokenizer import END, END_OF_TEXT, train_tokenizer
from data.prompts import SYSTEM_PROMPT, messages
from data.samples import labelled, load_samples
from data.scorecard import fit_scorecard

HERE = Path(__file__).resolve().parent
SEED = 20
THREADS = 2
CONTEXT = 2048
VOCABULARY_SIZE = 1200
TOKENIZER_TEXTS = 600
IGNORED = -100
CHAT_TEXT = "system\n{system}\nuser\nassistant\n"


@dataclass(frozen=True)
class Phase:
    """Stages under one optimiser and one cosine of the learning rate, from `peak` to `floor`."""

    stages: tuple[Stage, ...]
    peak: float
    floor: float


#: Copying first, then whole answers; the later phases sharpen the comparisons (see README.md).
PHASES = (
    Phase(
        (
            Stage("drills", 1000, 6, (1.0, 0.0, 0.0, 0.0)),
            Stage("short", 700, 6, (0.2, 0.8, 0.0, 0.0)),
            Stage("full", 800, 8, (0.05, 0.15, 0.8, 0.0)),
        ),
        2e-3,
        5e-5,
    ),
    Phase((Stage("sharpen", 900, 8, (0.0, 0.05, 0.45, 0.5)),), 1.5e-3, 2e-5),
    Phase((Stage("sharpen more", 600, 8, (0.0, 0.05, 0.3, 0.65)),), 1.5e-3, 2e-5),
)
WARM_UP_STEPS = 100


def make_model(vocabulary: int, end_id: Any, pad_id: Any) -> Qwen2ForCausalLM:
    """Make a fresh Qwen2 model with 8 query heads over 2 key-value heads in each of 6 layers."""
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.08,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    return Qwen2ForCausalLM(config)


def float32_attention(
    module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float | None = None, **_: Any
) -> tuple[torch.Tensor, None]:
    """Causal attention in float32 inside a bfloat16 autocast.

    PyTorch's backward pass of bfloat16 attention is five times slower on CPUs. Batches are padded on
    the right only, so the causal mask is all that is needed and `mask` is not looked at.
    """
    groups = module.num_key_value_groups
    with torch.autocast("cpu", enabled=False):
        key, value = key.float().repeat_interleave(groups, 1), value.float().repeat_interleave(groups, 1)
        mixed = functional.scaled_dot_product_attention(query.float(), key, value, is_causal=True, scale=scaling)
    return mixed.transpose(1, 2).contiguous(), None


class Encoder:
    """Turns pairs of texts into padded token ids and targets; prompts carry no loss."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.core = tokenizer.backend_tokenizer

    def __call__(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and targets ``[batch, length]``; targets are already shifted by one position."""
        coded = [self.one(pair) for pair in pairs]
        length = max(len(ids) for ids, _ in coded)
        ids = torch.full((len(pairs), length), self.tokenizer.pad_token_id)
        targets = torch.full((len(pairs), length), IGNORED)
        for row, (whole, wanted) in enumerate(coded):
            ids[row, : len(whole)] = torch.tensor(whole)
            targets[row, : len(wanted)] = torch.tensor(wanted)
        return ids, targets

    def one(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Ids and shifted targets of one pair."""
        head: list[int] = []
        if pair.user is not None:
            chat = messages(pair.user)
            text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            head = self.core.encode(text, add_special_tokens=False).ids
        tail = self.core.encode(pair.answer, add_special_tokens=False)
        if pair.judged is None:
            answer = [*tail.ids, self.tokenizer.eos_token_id]
        else:
            inside = [any(a < end and start < b for start, end in pair.judged) for a, b in tail.offsets]
            answer = [i if use else IGNORED for i, use in zip(tail.ids, inside, strict=True)]
        targets = [*[IGNORED] * len(head), *answer]
        return head + tail.ids, targets[1 : 1 + len(head + tail.ids)]


def learning_rate(phase: Phase, step: int, steps: int) -> float:
    """Warm-up, then a cosine from the peak to the floor."""
    if step < WARM_UP_STEPS:
        return phase.peak * (step + 1) / WARM_UP_STEPS
    progress = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return phase.floor + 0.5 * (phase.peak - phase.floor) * (1 + math.cos(math.pi * progress))


def prepare(model: Any) -> None:
    """Set up fast training on a CPU: float32 attention, and compiled code where a compiler exists."""
    AttentionInterface.register("float32_causal", float32_attention)
    model.set_attn_implementation("float32_causal")
    if shutil.which("g++"):
        model.model.compile(dynamic=True)


def loss_of(model: Any, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) over the judged tokens, linear layers in bfloat16."""
    wanted = targets != IGNORED
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids).last_hidden_state
        logits = model.lm_head(hidden[wanted])
    return functional.cross_entropy(logits.float(), targets[wanted])


def train(model: Any, encode: Encoder, curriculum: Curriculum, phase: Phase) -> list[dict[str, Any]]:
    """Teacher-forced training of one phase; returns a log of mean losses (nats per judged token)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.peak, betas=(0.9, 0.98), weight_decay=0.01)
    steps, started, tokens = sum(stage.steps for stage in phase.stages), time.monotonic(), 0
    log: list[dict[str, Any]] = []
    losses: list[float] = []
    for step, (stage, pairs) in enumerate(curriculum.batches(phase.stages)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(phase, step, steps)
        ids, targets = encode(pairs)
        tokens += ids.numel()
        loss = loss_of(model, ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            seconds = round(time.monotonic() - started, 1)
            entry = {"stage": stage, "step": step + 1, "loss": round(sum(losses) / len(losses), 4)}
            log.append({**entry, "seconds": seconds, "tokens": tokens})
            losses.clear()
            print(json.dumps(log[-1]), flush=True)
    return log


def save(model: Any, tokenizer: Any, output: Path, record: dict[str, Any]) -> None:
    """Write float16 weights, tokenizer and training log next to `output`, then swap the folders."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".demo-model-") as folder:
        fresh = Path(folder) / "fresh"
        weights = {name: value.to(torch.float16) for name, value in model.state_dict().items()}
        # A copy: the two share their settings otherwise, and training would go on with the attention set below.
        plain = type(model)(copy.deepcopy(model.config)).to(torch.float16)
        plain.load_state_dict(weights)
        plain.set_attn_implementation("sdpa")
        plain.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        (fresh / "training_log.json").write_text(json.dumps(record, indent=1) + "\n")
        if output.exists():
            shutil.rmtree(output)
        fresh.replace(output)


def start_or_resume(args: argparse.Namespace, source: Curriculum) -> tuple[Any, Any, list[dict[str, Any]]]:
    """Make a fresh model and tokenizer, or load (``--resume``) the saved ones with the phases they have had."""
    if args.resume:
        model = Qwen2ForCausalLM.from_pretrained(args.resume, dtype=torch.float32)
        record = json.loads((args.resume / "training_log.json").read_text())
        return model, PreTrainedTokenizerFast.from_pretrained(args.resume), record["phases"]
    chat = CHAT_TEXT.format(system=SYSTEM_PROMPT)
    pairs = [source.pair(FULL if i % 3 else DRILL) for i in range(TOKENIZER_TEXTS)]
    corpus = [text for pair in pairs for text in (chat, pair.user or "", pair.answer)]
    tokenizer = train_tokenizer(corpus, VOCABULARY_SIZE, CONTEXT)
    end_id, pad_id = (tokenizer.convert_tokens_to_ids(name) for name in (END, END_OF_TEXT))
    return make_model(len(tokenizer), end_id, pad_id), tokenizer, []


def main() -> None:
    """Train phase by phase; after each, the folder holds a loadable model and its log."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "demo-model")
    parser.add_argument("--resume", type=Path, help="a folder saved after an earlier phase")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(THREADS)
    training = labelled(load_samples(), "train")
    teacher = fit_scorecard([s.statement for s in training], [s.label or "" for s in training])
    model, tokenizer, phases = start_or_resume(args, Curriculum(training, teacher, args.seed + 1))
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} tokens in the vocabulary", flush=True)
    prepare(model)
    for number in range(len(phases), len(PHASES)):
        started, used = time.monotonic(), time.process_time()
        curriculum = Curriculum(training, teacher, args.seed + 100 * number)
        log = train(model, Encoder(tokenizer), curriculum, PHASES[number])
        measured = {
            "wall_seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(time.process_time() - used, 1),
            "tokens": log[-1]["tokens"],
        }
        phases.append({**measured, "log": log[3::4]})
        record = {"seed": args.seed, "threads": THREADS, "torch": torch.__version__, "phases": phases}
        save(model, tokenizer, args.output, record)


if __name__ == "__main__":
    main()
