"""What the causal methods do not cover, found in a plan: a model's parts are known without its weights."""

from __future__ import annotations

from engine.causal.explainer import check_methods
from engine.config import Config
from engine.errors import ConfigError, UnsupportedModelError
from engine.model.decoder import Decoder
from engine.model.facts import read_config, skeleton
from engine.model.lent import lent_model


def refuse_uncovered(config: Config) -> None:
    """Refuse methods that do not cover the model's kind; what only weights tell is checked before measuring.

    Raises
    ------
    ConfigError
        Naming the section and what is not covered.
    """
    lent, settings = lent_model(), config.model
    try:
        model = lent.model if lent else skeleton(read_config(settings), settings.trust_remote_code)
    except Exception:  # code that does not run without weights, which the replica will load
        return
    try:
        check_methods(Decoder(model, allows_headless=True), config.causal.parts)
    except UnsupportedModelError as error:
        raise ConfigError(f"causal: {settings.path!r}: {error}. Leave the causal section out to measure it.") from None
