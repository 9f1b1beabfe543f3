"""Kinds of models whose residual stream is more than a sum of what its heads and MLPs add, by their names.

A skeleton does not show it: it is in the code of their layers. Kinds that are not named here are found out by what is
measured, since parts that are known must add up to the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_MIXED = ("gemma3n_text", "hy_v4", "hy_v4_vl_text", "muse_glimmer_text", "muse_spark_text", "nanochat", "zaya")
_FURTHER = ("beam", "gemma4_text", "gemma4_unified_text", "minimax")


@dataclass(frozen=True, slots=True)
class Unsummed:
    """What a kind of model does to its residual stream.

    Attributes
    ----------
    kind
        The model's type, as its config names it.
    words
        What it does, after "model type ...".
    is_mixed
        Whether streams are mixed between layers, so that layers cannot be run again by themselves either.
    """

    kind: str
    words: str
    is_mixed: bool


def unsummed(config: PreTrainedConfig) -> Unsummed | None:
    """Return what stands against a sum of parts in a model, None where nothing is known to."""
    for kind in (str(config.model_type), str(config.get_text_config().model_type)):
        if kind in _MIXED:
            words = "mixes several residual streams, or adds to them between its layers"
            return Unsummed(kind, words, is_mixed=True)
        if kind in _FURTHER:
            words = "adds more to its residual stream than what one attention and one MLP give, or scales it on the way"
            return Unsummed(kind, words, is_mixed=False)
    return None
