"""A model's continuation of prompts with settings of our own; the model's generation config is left as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from engine.model.rotary import forget_longer_inputs

if TYPE_CHECKING:
    from transformers import LogitsProcessorList


def continued(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    max_new_tokens: int,
    ends: Sequence[int],
    processors: LogitsProcessorList | None = None,
) -> torch.Tensor:
    """Return prompts and what follows, likeliest token by likeliest token, ``[B, T + new]``.

    Parameters
    ----------
    model
        A causal language model in inference state.
    input_ids, attention_mask
        Prompts of one length, ``[B, T]``, padded on the left.
    max_new_tokens
        Tokens to generate at most.
    ends
        Tokens that end an answer; the first one fills what follows it.
    processors
        What changes the scores before the likeliest is taken.
    """
    from transformers import GenerationConfig

    # A config of its own: the model's may ask for sampling or penalties that nobody chose here.
    wanted = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=ends[0] if ends else 0,
        eos_token_id=list(ends) or None,
    )
    own, model.generation_config = model.generation_config, wanted
    forget_longer_inputs(model)
    try:
        return model.generate(
            input_ids=input_ids, attention_mask=attention_mask, generation_config=wanted, logits_processor=processors
        )
    finally:
        model.generation_config = own


def ends_of(model: Any, tokenizer: object) -> list[int]:
    """Return the tokens that end an answer: those of the model, else the tokenizer's; empty where neither has one."""
    ends = model.generation_config.eos_token_id
    ends = getattr(tokenizer, "eos_token_id", None) if ends is None else ends
    return [] if ends is None else ends if isinstance(ends, list) else [ends]
