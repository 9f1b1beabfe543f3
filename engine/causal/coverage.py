"""What the causal methods do not cover, found in a plan: a model's parts are known without its weights."""

from __future__ import annotations

from collections.abc import Iterable

from engine.causal.explainer import check_methods
from engine.config import Config
from engine.errors import ConfigError, UnsupportedModelError
from engine.model.decoder import Decoder
from engine.model.facts import read_config, skeleton
from engine.model.lent import lent_model

_MIXED = "mixes several residual streams, or adds to them between its layers"
_MORE_PARTS = "adds more to its residual stream than what one attention and one MLP give, or scales it on the way"
_UNCOVERED: dict[str, tuple[str, tuple[str, ...] | None]] = {
    **dict.fromkeys(("gemma3n_text", "hy_v4", "hy_v4_vl_text", "nanochat", "muse_spark_text", "zaya"), (_MIXED, None)),
    **dict.fromkeys(("beam", "gemma4_text", "granitemoehybrid", "minimax"), (_MORE_PARTS, ("attribution", "circuit"))),
    "paligemma": ("makes its logits in another way than its text decoder by itself", None),
}
"""Models that methods do not cover although their parts are found, and which methods (None: all).

The check on 24 tokens, before anything is measured, sees others.
"""


def _refuse_type(kind: str, parts: Iterable[str]) -> None:
    what, methods = _UNCOVERED.get(kind, ("", ()))
    refused = [f"causal.{name}" for name in parts if methods is None or name in methods]
    if refused:
        raise UnsupportedModelError(f"model type {kind!r} {what}, which {', '.join(refused)} does not cover")


def refuse_uncovered(config: Config) -> None:
    """Refuse methods that do not cover the model's kind; what only weights tell is checked before measuring.

    Raises
    ------
    ConfigError
        Naming the section and what is not covered.
    """
    lent, settings = lent_model(), config.model
    try:
        stated = lent.model.config if lent else read_config(settings)
        for part in (stated, stated.get_text_config()):
            _refuse_type(str(part.model_type), config.causal.parts)
    except UnsupportedModelError as error:
        raise ConfigError(f"causal: {settings.path!r}: {error}. Leave the causal section out to measure it.") from None
    except Exception:  # a config that cannot be read, which planning says elsewhere
        return
    try:
        model = lent.model if lent else skeleton(read_config(settings), settings.trust_remote_code)
    except Exception:  # code that does not run without weights, which the replica will load
        return
    try:
        check_methods(Decoder(model, allows_headless=True), config.causal.parts.values())
    except UnsupportedModelError as error:
        raise ConfigError(f"causal: {settings.path!r}: {error}. Leave the causal section out to measure it.") from None
