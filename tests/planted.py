"""A model with known answers: weights set by hand on a Qwen2 architecture, so that each head does one thing.

Layer 0 has a previous-token head (which also writes the previous token's code into the residual stream), a
duplicate-token head, a first-token head, a self head, a uniform head and a vocabulary head. Layer 1 has an induction
head, which reads what the previous-token head wrote, and a verdict head, which alone decides the label: it reads the
word ``rose`` or ``fell`` of the line item ``Earnings`` and writes +1 or -1 into the direction that the output head
turns into the two labels.

Why it is exact: every residual dimension that is used holds +1 or -1, so RMSNorm divides by a known constant; heads
that look at relative positions use the fast rotary frequencies and heads that look at tokens the slow ones, which do
not turn at all within a text; scores differ by more than 30, so weights are 0 or equal shares to 1e-12; MLPs are 0.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

CODE = 64
HEAD_DIM = 128
SHARPNESS = 120.0
FIRST = "<|begin|>"
VOCABULARY = ("sales", "profit", "assets")
VERDICTS = ("rose", "fell")
LABELS = ("Increase", "Decrease")
ITEMS = ("Turnover", "Costs", "Holdings", "Cash")
CHAT_TEMPLATE = (
    "{{- '" + FIRST + "' -}}{%- for m in messages -%}{{- '<|' + m['role'] + '|>' + m['content'] + '<|end|>' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
TOKENS = [
    FIRST, "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unknown|>", " ", "\n", "|", ":", ".", '"', "{", "}",
    "-", "?", *"0123456789", *ITEMS, "Earnings", "t", "is", "the", "Will", "earnings", "rise", "or", "fall", "because",
    "of", "and", "direction", "Item", "Be", "brief", *VOCABULARY, *VERDICTS, *LABELS,
]  # fmt: skip

HEADS = {
    "previous_token": (0, 0),
    "duplicate_token": (0, 1),
    "first_token": (0, 2),
    "self": (0, 3),
    "uniform": (0, 4),
    "vocabulary": (0, 5),
    "induction": (1, 0),
    "verdict": (1, 1),
}
"""Layer and head of each planted behaviour; the other heads of layer 1 are uniform and write nothing."""

# Residual stream: token code, code of the previous token, a constant, three flags, the verdict.
_CODE, _PREVIOUS, _ONE = slice(0, CODE), slice(CODE, 2 * CODE), 2 * CODE
_IS_FIRST, _IS_VOCABULARY, _IS_VERDICT, _POLARITY, _VERDICT = range(2 * CODE + 1, 2 * CODE + 6)
HIDDEN = 2 * CODE + 16


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words, single digits, spaces and signs."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    vocabulary = {token: index for index, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"<\|[a-z]+\|>|[A-Za-z]+|\d|\s|[^\sA-Za-z\d]"), "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<|unknown|>", eos_token="<|end|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def token_codes() -> torch.Tensor:
    """Return a +-1 code per token, ``[vocabulary, CODE]``, any two far enough apart to be told apart."""
    generator = torch.Generator().manual_seed(3)
    codes: list[torch.Tensor] = []
    while len(codes) < len(TOKENS):
        code = torch.randint(0, 2, (CODE,), generator=generator).float() * 2 - 1
        if all(float(code @ other) <= CODE * 0.45 for other in codes):
            codes.append(code)
    return torch.stack(codes)


def build_model() -> Qwen2ForCausalLM:
    """Return the planted model: 2 layers, 6 query heads, each with its own KV head."""
    config = Qwen2Config(
        vocab_size=len(TOKENS), hidden_size=HIDDEN, intermediate_size=8, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=6, head_dim=HEAD_DIM, max_position_embeddings=1024, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e24}, rms_norm_eps=0.0,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        model.model.embed_tokens.weight.copy_(_embedding())
        first, second = (layer.self_attn for layer in model.model.layers)
        for attention in (first, second):
            attention.o_proj.weight.zero_()
        _positional(first, HEADS["previous_token"][1], offset=1)
        _carry(first, HEADS["previous_token"][1], _CODE, _PREVIOUS, _rms(0))
        _same_code(first, HEADS["duplicate_token"][1], _CODE, _rms(0))
        _flagged(first, HEADS["first_token"][1], _IS_FIRST, _rms(0))
        _positional(first, HEADS["self"][1], offset=0)
        _flagged(first, HEADS["vocabulary"][1], _IS_VOCABULARY, _rms(0))
        _same_code(second, HEADS["induction"][1], _PREVIOUS, _rms(1))
        _flagged(second, HEADS["verdict"][1], _IS_VERDICT, _rms(1))
        _carry(second, HEADS["verdict"][1], slice(_POLARITY, _POLARITY + 1), slice(_VERDICT, _VERDICT + 1), _rms(1))
        model.lm_head.weight[TOKENS.index("Increase"), _VERDICT] = 1.0
        model.lm_head.weight[TOKENS.index("Decrease"), _VERDICT] = -1.0
    return model


def logit_difference(verdict: str) -> float:
    """Return logit(Increase) - logit(Decrease) that the verdict head's word gives, after the final norm."""
    squares = _rms(1) ** 2 * HIDDEN + 1
    return (2.0 if verdict == "rose" else -2.0) / (squares / HIDDEN) ** 0.5


def _rms(layer: int) -> float:
    """Return the root mean square of the residual stream before a layer: the number of +-1 dimensions is known."""
    used = CODE + 5 + (CODE if layer else 0)
    return (used / HIDDEN) ** 0.5


def _embedding() -> torch.Tensor:
    table = torch.zeros(len(TOKENS), HIDDEN)
    table[:, _CODE] = token_codes()
    table[:, _ONE] = 1
    flags = {_IS_FIRST: (FIRST,), _IS_VOCABULARY: VOCABULARY, _IS_VERDICT: VERDICTS, _POLARITY: ("rose",)}
    for column, tokens in flags.items():
        table[:, column] = -1
        for token in tokens:
            table[TOKENS.index(token), column] = 1
    return table


def _rows(head: int) -> slice:
    return slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)


def _slow(count: int) -> torch.Tensor:
    """Return dimensions of a head whose rotary frequency is too slow to turn: HF pairs dimension f with f + d/2."""
    half = HEAD_DIM // 2
    slowest = torch.arange(half - count // 2 - count % 2, half)
    return torch.cat((slowest, slowest + half))[:count]


def _positional(attention, head: int, offset: int) -> None:
    """Let a head look ``offset`` positions back: score = sum over frequencies of A cos((i - j - offset) theta)."""
    half = HEAD_DIM // 2
    angles = offset * (1e24 ** (-torch.arange(half, dtype=torch.float64) / half))
    amplitude = (SHARPNESS * HEAD_DIM**0.5) ** 0.5
    attention.k_proj.bias[_rows(head)] = torch.cat((torch.ones(half), torch.zeros(half))) * amplitude
    attention.q_proj.bias[_rows(head)] = torch.cat((angles.cos(), -angles.sin())).float() * amplitude


def _same_code(attention, head: int, read: slice, rms: float) -> None:
    """Let a head look at the keys whose code (of the token, or of the one before) equals the query token's."""
    amplitude = (SHARPNESS * HEAD_DIM**0.5 / CODE) ** 0.5 * rms
    rows = _rows(head).start + _slow(CODE)
    for row, source, target in zip(rows, range(CODE), range(read.start, read.stop), strict=True):
        attention.q_proj.weight[row, source] = amplitude
        attention.k_proj.weight[row, target] = amplitude


def _flagged(attention, head: int, flag: int, rms: float) -> None:
    """Let a head look evenly at the keys that carry a flag."""
    amplitude = (SHARPNESS * HEAD_DIM**0.5) ** 0.5
    row = _rows(head).start + int(_slow(1)[0])
    attention.q_proj.bias[row] = amplitude
    attention.k_proj.weight[row, flag] = amplitude * rms


def _carry(attention, head: int, source: slice, target: slice, rms: float) -> None:
    """Let a head write what it reads from one part of the residual stream into another."""
    start = _rows(head).start
    for index in range(source.stop - source.start):
        attention.v_proj.weight[start + index, source.start + index] = rms
        attention.o_proj.weight[target.start + index, start + index] = 1.0


def save(folder: Path) -> None:
    """Save model and tokenizer below a folder.

    Apart, because beside a Qwen2 config transformers would replace the tokenizer's rules by Qwen2's own.
    """
    build_model().save_pretrained(folder / "model")
    build_tokenizer().save_pretrained(folder / "tokenizer")


def records(count: int, seed: int = 0) -> list[dict]:
    """Return predictions of the planted model: the verdict's label, right for two rows in three."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        verdict = VERDICTS[index % 2]
        label = LABELS[VERDICTS.index(verdict)]
        rows = [f"|{item}|{rng.randint(0, 9)}.{rng.randint(0, 9)}|{rng.randint(0, 9)}.{rng.randint(0, 9)}|"
                for item in rng.sample(ITEMS, 3)]  # fmt: skip
        rows.insert(rng.randint(0, 3), f"|Earnings|{rng.randint(0, 9)}.{rng.randint(0, 9)}|{verdict}|")
        table = "\n".join(["|Item|t-1|t|", *rows])
        words = " and ".join(rng.sample(VOCABULARY, 2))
        prompt = f"{table}\nWill earnings rise or fall?"
        answer = f'because of {words}\n{{"direction": "{label}"}}'
        wrong = index % 3 == 2
        actual = label if not wrong else LABELS[1 - LABELS.index(label)]
        made.append(
            {"company_id": index // 2, "year": 2000 + index % 2, "actual_label": actual.lower(),
             "predicted_direction": label.lower(), "certainty": "High", "magnitude": "Slight", "reason": "",
             "is_match": not wrong, "full_model_response": f"system\nBe brief\nuser\n{prompt}\nassistant\n{answer}"}
        )  # fmt: skip
    return made


def write_config(folder: Path, count: int = 24) -> Path:
    """Write model, predictions and an inline config to a folder; return the config's path."""
    save(folder / "planted")
    (folder / "planted.json").write_text(json.dumps(records(count)))
    path = folder / "planted.yaml"
    path.write_text(
        f"""
run: {{name: planted, output: {folder / "runs"}}}
predictions: {{path: {folder / "planted.json"}}}
model:
  path: {folder / "planted" / "model"}
  tokenizer: {folder / "planted" / "tokenizer"}
  dtype: float32
  device: cpu
decision: {{field: direction}}
vocabulary: {{theme: [{", ".join(VOCABULARY)}]}}
key_groups:
  theme: {{vocabulary: [theme]}}
  verdict: {{regex: "rose|fell"}}
  statement: {{segment: statement}}
statistics: {{query_groups: [all, decision, response, theme], random_groups: 2, rollout: true}}
analysis: {{permutations: 100}}
visualization: {{formats: [html]}}
cluster: {{mode: inline, samples_per_shard: 6, tokens_per_batch: 400}}
"""
    )
    return path
