"""What the causal methods do not cover, found in a plan: a model's parts are known without its weights."""

from __future__ import annotations

from collections.abc import Iterable

from engine.causal.explainer import check_methods
from engine.config import Config
from engine.errors import ConfigError, UnsupportedModelError
from engine.model.decoder import Decoder
from engine.model.facts import read_config, unloaded
from engine.model.lent import lent_model
from engine.model.streams import Unsummed, unsummed

_OWN_LOGITS = "paligemma"
"""A model that makes its logits in another way than its text decoder by itself."""
_SUMMING = ("attribution", "circuit")
"""Methods that add up what parts give; the others run layers again."""


def _refuse_type(type_name: str, known: Unsummed | None, parts: Iterable[str]) -> None:
    """Refuse what a model's type tells; the check on 24 tokens, before anything is measured, sees others."""
    if known is not None:
        kind, what = known.kind, known.words
        refused = [name for name in parts if known.is_mixed or name in _SUMMING]
    elif type_name == _OWN_LOGITS:
        kind, what, refused = _OWN_LOGITS, "makes its logits in another way than its text decoder by itself", [*parts]
    else:
        return
    if refused:
        names = ", ".join(f"causal.{name}" for name in refused)
        raise UnsupportedModelError(f"model type {kind!r} {what}, which {names} does not cover")


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
        _refuse_type(str(stated.model_type), unsummed(stated), config.causal.parts)
    except UnsupportedModelError as error:
        raise ConfigError(f"causal: {settings.path!r}: {error}. Leave the causal section out to measure it.") from None
    except Exception:  # a config that cannot be read, which planning says elsewhere
        return
    try:
        model = lent.model if lent else unloaded(settings, read_config(settings))
    except Exception:  # code that does not run without weights, which the replica will load
        return
    try:
        check_methods(Decoder(model, allows_headless=True), config.causal.parts.values())
    except UnsupportedModelError as error:
        raise ConfigError(f"causal: {settings.path!r}: {error}. Leave the causal section out to measure it.") from None
