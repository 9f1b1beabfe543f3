"""Which backend computes a layer: what ``model.attention`` names, or the first of the registry that can."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence

import torch

from engine.attention.backends.backend import Backend, BackendUnavailable, LayerCall, PackedRow
from engine.attention.backends.registry import AUTO, BACKENDS, REFERENCE, backend_names
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.errors import ConfigError

logger = logging.getLogger(__name__)


class BackendChoice:
    """The backends that may compute a model's layers, the preferred one first; the last one covers every layer.

    Parameters
    ----------
    name
        ``model.attention``: ``auto`` for the registry's order, or one backend, beside the reference for what it does
        not cover.
    device
        Where the model is.

    Attributes
    ----------
    fallback_layers
        Layers that another backend than the preferred one has computed, by its method: chunks, sinks, biases, patterns.

    Raises
    ------
    ConfigError
        When a backend is asked for that cannot run here.
    """

    def __init__(self, name: str, device: torch.device):
        self.name = name
        self.fallback_layers: dict[str, list[int]] = {}
        self.backends: dict[str, Backend] = {}
        for candidate in BACKENDS if name == AUTO else dict.fromkeys((name, REFERENCE)):
            module = BACKENDS[candidate].module
            try:
                backend = importlib.import_module(module).create(device, is_asked_for=candidate == name)
            except BackendUnavailable as reason:
                self._give_up_before_the_run(candidate, reason)
                continue
            self.backends[candidate] = backend

    @property
    def method(self) -> str:
        """What computes most layers, as the backend calls itself."""
        return next(iter(self.backends.values())).method

    def prepare(self, layouts: Sequence[SequenceLayout]) -> None:
        """Find what all layers need to know about the sequences of a packed row, before its forward."""
        for backend in self.backends.values():
            backend.prepare(layouts)

    def attend(self, call: LayerCall, row: PackedRow, output: torch.Tensor) -> list[LayerStatistics]:
        """Write a layer's output for all sequences of a packed row and return each one's statistics.

        Parameters
        ----------
        call
            The layer.
        row
            The sequences, on the layer's device.
        output
            Receives the output, ``[T, H, head_dim]``.

        Raises
        ------
        ConfigError
            When the backend that was asked for fails on this machine.
        """
        for name, backend in list(self.backends.items()):
            if not backend.covers(call, row):
                continue
            try:
                statistics = backend.attend(call, row, output)
                if backend.method != self.method:
                    self._note(backend.method, call.layer_idx)
                return statistics
            except BackendUnavailable as reason:
                self._give_up(name, reason)
        raise AssertionError(f"{REFERENCE} covers every layer")

    def _note(self, method: str, layer: int) -> None:
        layers = self.fallback_layers.setdefault(method, [])
        if layer not in layers:
            layers.append(layer)
            layers.sort()

    def _give_up_before_the_run(self, name: str, reason: BackendUnavailable) -> None:
        """Do without a backend, unless the config insists on it."""
        if name != self.name:
            return
        *others, last = backend_names()
        raise ConfigError(
            f"model.attention: {name!r} cannot run here: {reason}. {reason.needs} Allowed are {', '.join(others)} and "
            f"{last}; {REFERENCE} gives the same numbers on any device, and auto takes {name} where it can."
        ) from None

    def _give_up(self, name: str, reason: BackendUnavailable) -> None:
        """Go on without a backend that failed, unless the config insists on it."""
        if name == self.name:
            raise ConfigError(
                f"model.attention: {name!r} failed on this machine ({reason}). Use auto or {REFERENCE}, whose numbers "
                f"are the same."
            ) from reason
        del self.backends[name]
        following = next(iter(self.backends))
        logger.warning("the %s attention cannot run here (%s); going on with %s", name, reason, following)
