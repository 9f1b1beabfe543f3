"""Rotary embeddings: their settings, the longest text that a model takes, and forgetting longer inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


_ORIGINAL = "original_inv_freq"


class RopeSettings(NamedTuple):
    """A rotary scaling that depends on the sequence's length.

    Attributes
    ----------
    kind
        ``dynamic`` or ``longrope``.
    original
        Tokens up to which nothing is scaled; None where the config does not say.
    factor
        By how much the context is stretched.
    """

    kind: str
    original: int | None = None
    factor: float | None = None


def rope_settings(text_config: PreTrainedConfig) -> tuple[RopeSettings, ...]:
    """Return each rotary scaling of a (text) config that depends on the sequence's length; layers may differ in it."""
    parameters = getattr(text_config, "rope_parameters", None) or getattr(text_config, "rope_scaling", None) or {}
    if not isinstance(parameters, dict):
        return ()
    layered = [part for part in parameters.values() if isinstance(part, dict) and "rope_type" in part]
    found: list[RopeSettings] = []
    for part in layered or [parameters]:
        kind = part.get("rope_type")
        if kind in ("longrope", "dynamic"):
            original = part.get("original_max_position_embeddings") or _stated_positions(text_config)
            found.append(RopeSettings(kind, original, part.get("factor")))
    return tuple(dict.fromkeys(found))


def context_length(model_config: PreTrainedConfig) -> int | None:
    """Return the longest sequence in tokens that a model takes, or None where its config does not say.

    Dynamic scaling stretches the positions that a config states, which are the original ones, by its factor
    (transformers' ``_compute_dynamic_ntk_parameters``); other scalings state the stretched number.
    """
    text_config = model_config.get_text_config()
    positions = _stated_positions(text_config)
    factors = [float(rope.factor or 1) for rope in rope_settings(text_config) if rope.kind == "dynamic"]
    return int(positions * min(factors)) if positions is not None and factors else positions


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
        # Where layers differ in their scaling, each kind has frequencies of its own, under its name.
        for name in [name for name in (*vars(module), *module._buffers) if name.endswith(_ORIGINAL)]:
            kind = name.removesuffix(_ORIGINAL)
            original, inv_freq = getattr(module, name), getattr(module, f"{kind}inv_freq", None)
            if isinstance(original, torch.Tensor) and isinstance(inv_freq, torch.Tensor):
                module.register_buffer(f"{kind}inv_freq", original.to(inv_freq.device, copy=True), persistent=False)
                if hasattr(module, "original_max_seq_len"):
                    setattr(module, f"{kind}max_seq_len_cached", module.original_max_seq_len)
