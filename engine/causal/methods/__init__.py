"""The causal methods, by the name of their part of the config."""

from __future__ import annotations

from typing import Any

from engine.causal.method import CausalMethod
from engine.causal.methods.ablation import Ablation
from engine.causal.methods.amplification import Amplification
from engine.causal.methods.attention_gradient import AttentionGradient
from engine.causal.methods.attribution import Attribution
from engine.causal.methods.circuit import Circuit
from engine.causal.methods.knockout import AttentionKnockout
from engine.causal.methods.matched import Matched
from engine.causal.methods.patching import Patching

METHODS: dict[str, CausalMethod[Any]] = {  # Any: each takes its own part of the config
    "attribution": Attribution(),
    "attention_gradient": AttentionGradient(),
    "patching": Patching(),
    "ablation": Ablation(),
    "amplification": Amplification(),
    "knockout": AttentionKnockout(),
    "matched": Matched(),
    "circuit": Circuit(),
}
