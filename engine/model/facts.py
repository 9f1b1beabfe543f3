"""What can be known of a model without loading its weights: its config and its size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import Config
from engine.config.model import ModelSection
from engine.errors import ConfigError, UnsupportedModelError
from engine.model.checkpoints.adapters import check_adapter, with_adapter
from engine.model.checkpoints.folders import SAFETENSORS, WEIGHT_PATTERNS, check_folder, refuse_missing_folder
from engine.model.checkpoints.gguf import told_of_gguf
from engine.model.checkpoints.quantised import Quantisation
from engine.model.classes import auto_class, check_code
from engine.model.geometry import Geometry, refuse_norm_weighted, stated
from engine.model.lent import lent_model
from engine.model.limits import limits
from engine.model.rotary import RopeSettings, context_length, rope_settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a plan knows of a model without its weights; None where the model's config could not be read."""

    num_layers: int | None = None
    num_heads: int | None = None
    num_parameters: int | None = None
    max_tokens: int | None = None
    hidden_size: int | None = None
    dtype: str = "float32"
    vocab_size: int | None = None
    ropes: tuple[RopeSettings, ...] = ()
    num_body_parameters: int | None = None
    intermediate_size: int | None = None
    head_dim: int | None = None
    weight_bytes: int | None = None
    quantisation: str | None = None
    limits: tuple[int, ...] = ()
    headless_layers: tuple[int, ...] = ()
    is_packable: bool = True

    @property
    def num_layers_with_heads(self) -> int | None:
        """Layers that have attention heads; the others are recurrent, convolutions or MLPs alone."""
        return None if self.num_layers is None else self.num_layers - len(self.headless_layers)

    def rope_regime(self, num_tokens: int) -> object:
        """Return what the rotary frequencies of a sequence depend on beside the position.

        ``longrope`` has one set of frequencies up to the original context and another beyond it; ``dynamic`` has one
        per length beyond it. Both look at the longest position of the whole packed row, so only sequences of one
        regime may share it. Layers may differ in their scaling: each counts.
        """
        beyond = [rope for rope in self.ropes if rope.original is not None and num_tokens > rope.original]
        return tuple((rope, num_tokens if rope.kind == "dynamic" else 1) for rope in beyond)


def read_model_facts(config: Config, needs_model: bool) -> tuple[ModelFacts, str]:
    """Read a model's config and fingerprint.

    Parameters
    ----------
    config
        The run's config.
    needs_model
        Whether the run will load the weights; a dry run goes on without knowing the model.

    Returns
    -------
    tuple of ModelFacts and str
        The facts, and a warning for the user (empty when all is known).

    Raises
    ------
    ConfigError
        When the model cannot be read although it is needed, or its kind of attention is not covered.
    """
    section, lent = config.model, lent_model()
    if lent is None:
        check_folder(section, needs_weights=needs_model)
        if section.adapter is not None:
            check_adapter(section.adapter, allow_pickle=section.allow_pickle)
    try:
        model_config = lent.model.config if lent else read_config(section)
    except Exception as error:  # transformers raises many types here
        message = _why_unread(section.path, error)
        if needs_model:
            raise ConfigError(
                f"{message} Give a folder with config.json and weights, or the name of a model on the hub that this "
                f"machine can reach or has in its cache."
            ) from None
        return ModelFacts(), f"{message} Layers, context length and memory are therefore unknown in this plan."
    try:
        geometry = Geometry.of(model_config)
        if lent is None:
            check_code(model_config, section.trust_remote_code)
    except UnsupportedModelError as error:
        raise ConfigError(f"model.path: {section.path!r}: {error}.") from None
    if config.statistics.norm_weighted:
        try:
            refuse_norm_weighted(geometry, model_config, config.statistics.query_groups == ["decision"])
        except UnsupportedModelError as error:
            raise ConfigError(f"statistics.norm_weighted: {section.path!r}: {error}.") from None
    if config.statistics.rollout and len(geometry.softmax_layers) < geometry.num_layers:
        raise ConfigError(
            f"statistics.rollout: follows attention through every layer, and {section.path!r} has layers without heads "
            f"(recurrent layers or convolutions); set statistics.rollout=false."
        )
    if needs_model and lent is None and section.gguf_file is None and Path(section.path).is_dir():
        _check_weights(section)
    quantised = None if lent or section.gguf_file else Quantisation.of(model_config)
    if quantised is not None:
        quantised.refuse_unreadable(section.path, section.device)
    return _facts(section, model_config, geometry, quantised), ""


def read_config(section: ModelSection) -> PreTrainedConfig:
    """Return a model's config without the attention that it asks for, in whose place ours comes anyway.

    A config may name one that is not installed here (``_attn_implementation: flash_attention_2``), for itself or for a
    part such as ``text_config``.
    """
    from transformers import AutoConfig

    model_config = AutoConfig.from_pretrained(
        section.path, revision=section.revision, trust_remote_code=section.trust_remote_code, **told_of_gguf(section)
    )
    for part in (model_config, *(getattr(model_config, name, None) for name in model_config.sub_configs)):
        if getattr(part, "_attn_implementation_internal", None) is not None:
            part._attn_implementation_internal = None  # type: ignore[union-attr]
    return model_config


def _why_unread(path: str, error: Exception) -> str:
    """Return why there is no model config.

    Raises
    ------
    ConfigError
        When the path is that of a folder that does not exist.
    """
    refuse_missing_folder("model.path", path)
    # Of several lines the second says why the first is said.
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    reason = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    if "trust_remote_code" in str(error):
        reason += " Set model.trust_remote_code=true if you trust that code."
    return f"model.path: no model config could be read from {path!r}: {reason}"


def _check_weights(section: ModelSection) -> None:
    """Refuse a folder without weights, and one with pickles alone unless they may be read."""
    folder = Path(section.path)
    if not any(True for pattern in WEIGHT_PATTERNS for _ in folder.glob(pattern)):
        raise ConfigError(
            f"model.path: {section.path!r} holds a config but no weights ({' or '.join(WEIGHT_PATTERNS)}); copy the "
            f"weights there, or plan without them by --stage plan."
        )
    if not section.allow_pickle and not any(folder.glob(SAFETENSORS)):
        raise ConfigError(
            f"model.path: {section.path!r} holds weights only as pickles (pytorch_model*.bin), which can run any code "
            f"when they are read; save them as safetensors, or set model.allow_pickle=true if you trust them."
        )


def _facts(
    section: ModelSection, model_config: PreTrainedConfig, geometry: Geometry, quantised: Quantisation | None
) -> ModelFacts:
    text = model_config.get_text_config()
    dtype = section.dtype if section.dtype != "auto" else str(getattr(text, "dtype", None) or "float32")
    num_parameters, num_body_parameters = _num_parameters(model_config, section.trust_remote_code) or (None, None)
    hidden_size = _largest(text, "hidden_size") or 0
    dtype = dtype.removeprefix("torch.")
    weight_bytes = None
    if num_parameters is not None and num_body_parameters is not None:
        itemsize = {"float64": 8, "float32": 4}.get(dtype, 2)
        weight_bytes = num_parameters * itemsize
        if quantised is not None:
            sizes = num_parameters, num_body_parameters, itemsize
            weight_bytes = quantised.weight_bytes(*sizes, section.path, section.device)
    return ModelFacts(
        num_layers=geometry.num_layers,
        num_heads=geometry.num_heads,
        num_parameters=num_parameters,
        num_body_parameters=num_body_parameters,
        max_tokens=context_length(model_config),
        hidden_size=hidden_size,
        dtype=dtype,
        vocab_size=getattr(text, "vocab_size", None),
        ropes=rope_settings(text),
        intermediate_size=_largest(text, "intermediate_size"),
        head_dim=_largest(text, "head_dim") or hidden_size // geometry.num_heads,
        weight_bytes=weight_bytes,
        quantisation="GGUF, unpacked when loaded" if section.gguf_file else quantised.words() if quantised else None,
        limits=limits(model_config),
        headless_layers=tuple(sorted(set(range(geometry.num_layers)) - set(geometry.softmax_layers))),
        is_packable=geometry.is_packable,
    )


def _largest(text: PreTrainedConfig, name: str) -> int | None:
    """Return a size that a config states once, or the largest of those that it states layer by layer."""
    return max(stated(text, name), default=None)


def _num_parameters(model_config: PreTrainedConfig, trust_remote_code: bool) -> tuple[int, int] | None:
    """Return the numbers of all parameters and of those between embedding and output head."""
    try:
        model = skeleton(model_config, trust_remote_code)
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
    except Exception:  # an estimate, nothing depends on it
        return None
    at_the_ends = {id(parameter) for module in ends if module is not None for parameter in module.parameters()}
    sizes = [(parameter.numel(), id(parameter) in at_the_ends) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, is_at_end in sizes if not is_at_end)


def skeleton(model_config: PreTrainedConfig, trust_remote_code: bool = False, dtype: str = "auto") -> PreTrainedModel:
    """Return a model on the meta device, which has every module and no numbers, made as transformers' loading does."""
    import torch
    from transformers.initialization import meta_device_safe_creation_ops

    stated = {} if dtype == "auto" else {"dtype": getattr(torch, dtype)}
    with torch.device("meta"), meta_device_safe_creation_ops():
        return auto_class(model_config, trust_remote_code).from_config(
            model_config, trust_remote_code=trust_remote_code, **stated
        )


def unloaded(section: ModelSection, model_config: PreTrainedConfig) -> PreTrainedModel:
    """Return the model that loading would give, without numbers: with its adapter, where that is in a folder.

    Raises
    ------
    ConfigError
        When the adapter does not fit.
    """
    model = skeleton(model_config, section.trust_remote_code, section.dtype)
    adapter = section.adapter
    return with_adapter(model, adapter) if adapter is not None and Path(adapter.path).is_dir() else model
