"""A model brought to where it computes: one device, the GPUs of a replica, or partly memory and disk (accelerate)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from engine.config import Config, ModelSection
from engine.errors import ConfigError
from engine.machine.memory import free_memory_bytes
from engine.model.checkpoints.adapters import check_adapter, with_adapter
from engine.model.checkpoints.downloads import fetch_model
from engine.model.checkpoints.folders import check_folder
from engine.model.checkpoints.gguf import told_of_gguf
from engine.model.checkpoints.headers import refuse_incomplete
from engine.model.classes import auto_class
from engine.model.facts import read_config
from engine.model.lent import lent_model
from engine.sections import nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Place = int | str | torch.device
"""Where accelerate puts a module: the number of a GPU, ``cpu``, ``disk``, or a device."""
_FOR_WEIGHTS = 0.9
"""Share of a GPU's free memory that weights may take; the rest is left to activations."""


def select_device(name: str) -> torch.device:
    """Return the configured device; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ConfigError
        When the named device is not there.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        present = ", ".join(kind for kind, there in available.items() if there)
        raise ConfigError(f"model.device: {name!r} is not available on this machine; available: {present}.")
    return torch.device(name)


def load_model(config: Config, device: torch.device) -> PreTrainedModel:
    """Load the configured model for inference, or take the one that is lent, as it is.

    Weights are read from memory-mapped safetensors, so that replicas of one node share what is kept of the files in
    memory; on a CPU, and in the file's own dtype, they share the weights themselves.

    Parameters
    ----------
    config
        The run's config.
    device
        Where it computes; on CUDA the first of the replica's GPUs where it has several.

    Raises
    ------
    ConfigError
        When it cannot be loaded, for instance because the folder holds no weights or they do not fit the GPUs.
    """
    lent = lent_model()
    if lent is not None:
        return lent.model
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # a run has its own
    settings = config.model
    placement = _placement(config, device)
    if settings.gguf_file is None:
        fetch_model(config)
    check_folder(settings, needs_weights=True)
    if settings.adapter is not None:
        check_adapter(settings.adapter, allow_pickle=settings.allow_pickle)
    model: Any = _with_weights(settings, placement)
    if settings.adapter is not None:
        model = with_adapter(model, settings.adapter)
    if not placement:
        # Quantisers put weights where they belong, and some refuse to move them.
        is_placed = getattr(model, "hf_quantizer", None) is not None and model.device.type == device.type
        return model.eval() if is_placed else model.to(device).eval()
    _check_places(config, model)
    return model.eval()


def _with_weights(settings: ModelSection, placement: Mapping[str, Any]) -> Any:
    """Return the model with its weights where ``placement`` says; refuse what cannot be read, placed or completed."""
    try:
        model_config = read_config(settings)
        loaded: Any = auto_class(model_config, settings.trust_remote_code).from_pretrained(
            settings.path,
            config=model_config,
            revision=settings.revision,
            dtype=settings.dtype if settings.dtype == "auto" else getattr(torch, settings.dtype),
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=None if settings.allow_pickle else True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with both shapes
            **told_of_gguf(settings),
            **placement,
        )
    except Exception as error:  # transformers raises many types here
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        if "device_map" in reason or "offload_folder" in reason:
            raise ConfigError(
                f"model.device_map: {settings.path!r} cannot be placed as {settings.device_map!r} says: {reason} Every "
                f"part needs a place, and disk is for weights that are used as the safetensors hold them."
            ) from None
        raise ConfigError(
            f"model.path: the model {settings.path!r} could not be loaded: {reason} The folder must hold config.json "
            f"and weights (model.safetensors), or name a model on the hub that this machine can reach or has cached."
        ) from None
    model, loading = loaded
    refuse_incomplete(settings.path, loading)
    return model


def _placement(config: Config, device: torch.device) -> dict[str, Any]:
    """Return ``from_pretrained``'s arguments about where the weights lie; none for a model on one device.

    Raises
    ------
    ConfigError
        When the config asks for GPUs that are not there, or for a map on a device that knows none.
    """
    settings, num_gpus = config.model, max(1, int(config.cluster.gpus_per_replica))
    is_spread = settings.device_map is not None or (device.type == "cuda" and num_gpus > 1)
    if settings.max_memory is not None and (not is_spread or isinstance(settings.device_map, dict)):
        raise ConfigError(
            f"model.max_memory: is for model.device_map: auto and for several GPUs per replica, not for "
            f"model.device_map: {settings.device_map} and cluster.gpus_per_replica: "
            f"{config.cluster.gpus_per_replica:g} on {device.type}."
        )
    if not is_spread:
        return {}
    if device.type == "mps":
        raise ConfigError("model.device_map: is for GPUs and the CPU; with model.device: mps leave it null.")
    visible = torch.cuda.device_count() if device.type == "cuda" else 0
    gpus = range(num_gpus if device.type == "cuda" else 0)
    if len(gpus) > visible:
        raise ConfigError(
            f"cluster.gpus_per_replica: a replica asks for {num_gpus} GPUs, and {visible} are visible to it "
            f"(CUDA_VISIBLE_DEVICES). Lower it, or ask for more GPUs on one node: a replica cannot span nodes."
        )
    if isinstance(settings.device_map, dict):
        _refuse_strangers("model.device_map", settings.device_map.values(), gpus, device)
        return {"device_map": dict(settings.device_map)}
    limits = {int(key) if key.isdigit() else key: value for key, value in (settings.max_memory or {}).items()}
    _refuse_strangers("model.max_memory", limits, gpus, device)
    for gpu in gpus:
        limits.setdefault(gpu, int(_FOR_WEIGHTS * torch.cuda.mem_get_info(gpu)[0]))
    if settings.device_map == "auto":
        limits.setdefault("cpu", int(_FOR_WEIGHTS * free_memory_bytes()))
    return {"device_map": "auto", "max_memory": limits}


def _refuse_strangers(key: str, places: Iterable[int | str], gpus: range, device: torch.device) -> None:
    """Refuse GPU numbers that a replica has not."""
    strangers = sorted({str(place) for place in places if isinstance(place, int) and place not in gpus})
    if strangers:
        has = f"GPUs 0..{len(gpus) - 1}" if gpus else f"no GPU (model.device: {device.type})"
        raise ConfigError(
            f"{key}: names GPU {', '.join(strangers)}, but this replica has {has}. Places are GPU numbers within the "
            f"replica (cluster.gpus_per_replica), cpu and disk."
        )


def _check_places(config: Config, model: Any) -> None:
    """Refuse places that nobody asked for, names that no module has, and shared weights that lie apart.

    Raises
    ------
    ConfigError
        Naming the modules.
    """
    # A model that lies in one place as a whole has no map of its own.
    places: dict[str, Place] = getattr(model, "hf_device_map", None) or {"": model.device}
    outside = [name for name, place in places.items() if place in ("cpu", "disk")]
    if config.model.device_map is None and outside:
        raise ConfigError(
            f"cluster.gpus_per_replica: {config.model.path!r} does not fit the {config.cluster.gpus_per_replica:g} "
            f"GPUs of a replica: {len(outside)} of its parts, from {outside[0]} on, would lie outside. Raise "
            f"cluster.gpus_per_replica, or set model.device_map=auto to keep them in memory and on disk, which is slow."
        )
    modules = [name for name, _ in model.named_modules()]
    for name in config.model.device_map if isinstance(config.model.device_map, dict) else ():
        if name not in modules:
            near = nearest(name, modules)
            hint = f"; did you mean {near}?" if near else ""
            raise ConfigError(f"model.device_map: the model has no part {name!r}{hint}")
    for name, source in getattr(model, "all_tied_weights_keys", {}).items():
        apart = {_place_of(places, name), _place_of(places, source)}
        if len(apart) > 1 and "disk" in apart:
            raise ConfigError(
                f"model.device_map: {name} and {source} are the same weights, and cannot lie on disk and elsewhere at "
                f"once; give {name.rpartition('.')[0]} and {source.rpartition('.')[0]} one place."
            )


def _place_of(places: Mapping[str, Place], weight: str) -> Place | None:
    """Return the place of a weight: that of the longest name of a module that holds it."""
    holders = [name for name in places if not name or weight == name or weight.startswith(f"{name}.")]
    return places[max(holders, key=len)] if holders else None
