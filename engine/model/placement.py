"""Models whose parts accelerate has dispatched to several devices, to memory or to disk.

accelerate puts a hook around ``forward`` of every module, which brings inputs to the module's device and offloaded
weights back for as long as the call lasts. Whatever reads a weight without calling its module, or puts another
``forward`` in a module's place, goes through here. A model on one device has no hooks, and nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def input_device(model: PreTrainedModel) -> torch.device:
    """Return the device that takes a model's token ids."""
    hook = getattr(model.get_input_embeddings(), "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is None:
        return model.device
    return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)


def compute_devices(model: PreTrainedModel) -> list[torch.device]:
    """Return the devices on which a model's layers are computed, the first GPU first."""
    places = getattr(model, "hf_device_map", None) or {}
    gpus = sorted({place for place in places.values() if isinstance(place, int)})
    return [torch.device("cuda", gpu) for gpu in gpus] or [input_device(model)]


@contextmanager
def present(module: nn.Module | None) -> Iterator[None]:
    """Have a module's own weights on the device where it computes while inside.

    Tensors taken out inside stay valid; only the module itself forgets them again.
    """
    if getattr(module, "_hf_hook", None) is None:
        yield
        return
    from accelerate.utils import align_module_device

    assert module is not None
    with align_module_device(module):
        yield


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., object]) -> Iterator[None]:
    """Put another ``forward`` in a module's place, and what was there back afterwards: it may be a hook's."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before
