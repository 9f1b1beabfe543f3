"""Rotary embeddings: their settings, the longest text that a model takes, and forgetting longer inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class RopeSettings(NamedTuple):
    """A rotary scaling that depends on the sequence's length; all None where there is none.

    Attributes
    ----------
    kind
        ``dynamic`` or ``longrope``.
    original
        Tokens up to which nothing is scaled.
    factor
        By how much the context is stretched.
    """

    kind: str | None = None
    original: int | None = None
    factor: float | None = None


def rope_settings(text_config: PreTrainedConfig) -> RopeSettings:
    """Return the rotary scaling of a (text) config that depends on the sequence's length."""
    parameters = getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None) or {}
    if not isinstance(parameters, dict):
        return RopeSettings()
    layered = [part for part in parameters.values() if isinstance(part, dict) and "rope_type" in part]
    for part in layered or [parameters]:
        kind = part.get("rope_type")
        if kind in ("longrope", "dynamic"):
            original = part.get("original_max_position_embeddings") or _stated_positions(text_config)
            return RopeSettings(kind, original, part.get("factor"))
    return RopeSettings()


def context_length(model_config: PreTrainedConfig) -> int | None:
    """Return the longest sequence in tokens that a model takes, or None where its config does not say.

    Dynamic scaling stretches the positions that a config states, which are the original ones, by its factor
    (transformers' ``_compute_dynamic_ntk_parameters``); other scalings state the stretched number.
    """
    text_config = model_config.get_text_config()
    positions, rope = _stated_positions(text_config), rope_settings(text_config)
    if positions is not None and rope.kind == "dynamic":
        return int(positions * float(rope.factor or 1))
    return positions


def _stated_positions(text_config: PreTrainedConfig) -> int | None:
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(text_config, name, None)
        if value:
            return int(value)
    return None


def forget_longer_inputs(model: PreTrainedModel) -> None:
    """Reset rotary embeddings that remember the longest input so far, so that no batch depends on earlier ones."""
    import torch  # not with the module: a plan reads sizes alone, and mistakes are told before anything is loaded

    for module in model.modules():
        original = getattr(module, "original_inv_freq", None)
        inv_freq = getattr(module, "inv_freq", None)
        if isinstance(original, torch.Tensor) and isinstance(inv_freq, torch.Tensor):
            module.register_buffer("inv_freq", original.to(inv_freq.device, copy=True), persistent=False)
            if hasattr(module, "original_max_seq_len"):
                module.max_seq_len_cached = module.original_max_seq_len
