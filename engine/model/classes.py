"""Which of transformers' auto classes loads a model, and which models compute attention in code of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.errors import UnsupportedModelError
from engine.model.geometry import WITH_ALIBI

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


_NEEDS_IMAGES = (
    "blip",
    "blip-2",
    "idefics",
    "instructblip",
    "instructblipvideo",
    "pi0",
    "pix2struct",
    "pp_formulanet",
    "udop",
)
"""Vision models that answer no text alone."""


def auto_class(model_config: PreTrainedConfig, trust_remote_code: bool = False) -> Any:
    """Return the auto class that loads a model: causal language models, else vision models around a text decoder.

    Raises
    ------
    UnsupportedModelError
        Naming the type that neither loads.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind, remote = str(model_config.model_type), getattr(model_config, "auto_map", None) or {}
    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if trust_remote_code and auto.__name__ in remote:
            return auto
        if _made(auto._model_mapping, model_config) is not None:
            return auto
    hint = " Set model.trust_remote_code=true if you trust the code that comes with it" if remote else ""
    raise UnsupportedModelError(
        f"model type {kind!r} is no causal language model and no vision model around one that transformers loads "
        f"(AutoModelForCausalLM, AutoModelForImageTextToText; encoders and encoder-decoders are not); this is not "
        f"covered.{hint}"
    )


def check_code(model_config: PreTrainedConfig, trust_remote_code: bool) -> None:
    """Refuse models that transformers does not load as decoders of text, and those with attention of their own.

    Raises
    ------
    UnsupportedModelError
        Naming the type.
    """
    if str(model_config.model_type) in _NEEDS_IMAGES:
        raise UnsupportedModelError(
            f"model type {model_config.model_type!r} answers no text without an image; only text is measured, and this "
            f"is not covered"
        )
    if str(model_config.model_type) == "nemotron_h_omni":
        raise UnsupportedModelError(
            f"model type {model_config.model_type!r} does not say where its output head is; this is not covered"
        )
    auto = auto_class(model_config, trust_remote_code)
    if has_remote_code(model_config, trust_remote_code):
        return  # what the code does is seen by the check before measuring
    for kind, made in _classes(auto, model_config):
        if not made._can_set_attn_implementation() and kind not in WITH_ALIBI:
            raise UnsupportedModelError(
                f"model type {kind!r} ({made.__name__}) computes attention in code of its own, which cannot be "
                f"measured from outside; this is not covered"
            )


def has_remote_code(model_config: PreTrainedConfig, trust_remote_code: bool) -> bool:
    """Whether a model is loaded by code that comes with it."""
    auto = auto_class(model_config, trust_remote_code)
    return trust_remote_code and auto.__name__ in (getattr(model_config, "auto_map", None) or {})


def own_class(auto: Any, model_config: PreTrainedConfig) -> Any:
    """Return the class of transformers itself that an auto class loads; None where it comes with the model's code."""
    made = _made(auto._model_mapping, model_config)
    if not isinstance(made, tuple):
        return made
    architectures = getattr(model_config, "architectures", None) or []
    return next((one for one in made if one.__name__ in architectures), made[0])


def _classes(auto: Any, model_config: PreTrainedConfig) -> Iterator[tuple[str, Any]]:
    """Yield type and class of a model, and of the text decoder inside it where it has one."""
    from transformers import AutoModel

    wanted = [(auto._model_mapping, model_config)]
    text = model_config.get_text_config()
    if text is not model_config:
        wanted.append((AutoModel._model_mapping, text))
    for mapping, config in wanted:
        made = _made(mapping, config)
        for one in made if isinstance(made, tuple) else (made,):
            if one is not None:
                yield str(config.model_type), one


def _made(mapping: Any, model_config: PreTrainedConfig) -> Any:
    """Return what a lazy mapping of an auto class makes of a config: a class or several; None where it is not known.

    By one entry: asking for its keys would import the configs of all models, which takes seconds. Entries go by the
    config's name alone, so that one of other code is not mistaken for that of transformers.
    """
    kind = type(model_config)
    if kind not in mapping._extra_content and not kind.__module__.startswith("transformers."):
        return None
    try:
        return mapping[kind]
    except KeyError:
        return None
