"""The sentiment model's own tokenizer: byte-level BPE, split the way Llama 3 splits, with its chat template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from transformers import PreTrainedTokenizerFast

from data.demo_tokenizer import train_byte_level_bpe

#: Llama 3's pre-tokenizer: up to three digits at a time, words with their leading space; no normalizer.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEGIN, END = "<|begin_of_text|>", "<|eot_id|>"
START_HEADER, END_HEADER, PAD = "<|start_header_id|>", "<|end_header_id|>", "<|finetune_right_pad_id|>"
SPECIAL_TOKENS = (BEGIN, START_HEADER, END_HEADER, END, PAD)
CHAT_TEMPLATE = (
    "{{- '<|begin_of_text|>' -}}{%- for message in messages -%}{{- '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], size: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most `size` tokens, the special ones last (as in Llama 3).

    `context` is recorded as the model's maximum length in tokens.
    """
    core = train_byte_level_bpe(texts, size, LLAMA3_SPLIT, SPECIAL_TOKENS)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[START_HEADER, END_HEADER],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def prompt_text(tokenizer: Any, user: str) -> str:
    """Return the chat prompt up to and including the header that opens the assistant's turn."""
    turns = [{"role": "user", "content": user}]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
