"""The causal methods, a file each; the part of the config that asks for one says where it is."""

from __future__ import annotations

import importlib
from typing import Any

from engine.causal.method import CausalMethod
from engine.config.causes.method import MethodSection


def method_of(part: type[MethodSection]) -> CausalMethod[Any]:  # Any: each takes its own part of the config
    """Return the method that a part of the config asks for."""
    module, _, name = part.method.rpartition(".")
    return getattr(importlib.import_module(module), name)()
