"""The config's ``causal.attribution`` and ``causal.attention_gradient``, which take no settings."""

from __future__ import annotations

from typing import ClassVar

from engine.config.causes.method import Gradient, MethodSection


class AttributionSection(MethodSection):
    """Direct logit attribution and head gradients; takes no settings."""

    method: ClassVar[str] = "engine.causal.methods.attribution.Attribution"

    gradients: ClassVar[frozenset[Gradient]] = frozenset({"heads"})


class AttentionGradientSection(MethodSection):
    """Attention gradients by key group; takes no settings."""

    method: ClassVar[str] = "engine.causal.methods.attention_gradient.AttentionGradient"

    gradients: ClassVar[frozenset[Gradient]] = frozenset({"heads", "key_groups"})
