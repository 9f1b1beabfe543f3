"""The lengths beyond which a model treats a text in another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.model.geometry import stated
from engine.model.rotary import rope_settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FORWARDS_OF_CHECK = 3
"""Forwards of a sample that the check before measuring takes, one sample of each regime of lengths."""

_LIMITS = (
    "sliding_window",
    "sliding_window_size",
    "attention_window_size",
    "local_attention",
    "window_size",
    "attention_chunk_size",
    "index_topk",
    "original_max_position_embeddings",
)


def limits(model_config: PreTrainedConfig) -> tuple[int, ...]:
    """Return the lengths beyond which a text is treated in another way: windows, chunks, top-k, rotary scaling."""
    text = model_config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    parts = [part for part in (rope, *rope.values()) if isinstance(part, Mapping)]
    found = [size for name in _LIMITS for size in stated(text, name)]
    found += [part.get("original_max_position_embeddings") for part in parts]
    found += [scaling.original for scaling in rope_settings(text)]
    return tuple(sorted({int(size) for size in found if isinstance(size, int) and size > 0}))


def regime(num_tokens: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return which of these lengths a text exceeds."""
    return tuple(size for size in sizes if num_tokens > size)
