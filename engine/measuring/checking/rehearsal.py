"""A model run without its weights: what a run would refuse once it has loaded it, told in the plan.

It is built as transformers builds it when it loads, on a device that holds no numbers, and one forward of a few tokens
goes through its text decoder with our attention in place. What hangs on numbers (recurrent states, experts that a
router chooses) ends the rehearsal and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.config import Config
from engine.errors import ConfigError, UnsupportedModelError
from engine.model.checkpoints.bases import other_base
from engine.model.checkpoints.headers import held_against_weights
from engine.model.checkpoints.quantised import Quantisation
from engine.model.classes import has_remote_code
from engine.model.facts import read_config, unloaded
from engine.model.geometry import Geometry
from engine.model.lent import lent_model

_NUM_TOKENS = 8
_WRONG_SHAPES = ("shape", "size of tensor", "expanded size")
"""Words of errors about shapes, which are there without numbers too."""
_WINDOWS = {"sliding_window": "sliding_attention", "attention_chunk_size": "chunked_attention"}
"""What a config calls the reach of a kind of layer."""
_NO_WRITERS = ("Classification", "QuestionAnswering", "MultipleChoice", "RewardModel")
"""How names of models end that have another head than one of tokens."""


def rehearse(config: Config, *, needs_model: bool) -> list[str]:
    """Refuse a model that cannot be built or run as its config describes it, or whose attention is not covered.

    Models with code of their own, GGUF files and lent models are left to the check before measuring.

    Parameters
    ----------
    config
        The run's config.
    needs_model
        Whether this machine will load the model; where it only plans, a package that is missing here may be there.

    Returns
    -------
    list of str
        Warnings.

    Raises
    ------
    ConfigError
        Saying what is wrong with the config.
    """
    section = config.model
    if lent_model() is not None:
        return []
    if section.gguf_file is not None:
        return [_unrun(section.path, "a GGUF file holds its config")]
    try:
        stated = read_config(section)
        is_own = not has_remote_code(stated, section.trust_remote_code)
    except Exception:  # a config that cannot be read, which planning says elsewhere
        return []
    warnings = [*other_base(section, stated), *_of_architectures(section.path, stated)]
    if not is_own:
        return [*warnings, _unrun(section.path, "its code comes with it")]
    try:
        model = unloaded(section, stated)
    except ConfigError:
        raise
    except ImportError as error:
        words = f"model.path: {section.path!r} cannot be built here: {' '.join(str(error).split())[:300]}"
        if needs_model:
            raise ConfigError(words) from None
        return [*warnings, f"{words} Whether its config holds together is therefore not known."]
    except Exception as error:  # transformers raises many types here
        raise ConfigError(_of_config(section.path, "be built", error, stated)) from None
    quantised = Quantisation.of(stated)
    has_known_shapes = Path(section.path).is_dir() and (quantised is None or quantised.is_held_against_headers)
    if has_known_shapes:
        warnings += held_against_weights(section, stated)
    try:
        _run(model.eval())
    except UnsupportedModelError as error:
        raise ConfigError(f"model.path: {section.path!r}: {error}.") from None
    except Exception as error:
        if not _is_about_numbers(error):
            raise ConfigError(_of_config(section.path, "run", error, stated)) from None
        return [*warnings, _unrun(section.path, "what it does next hangs on numbers")]
    return warnings


@torch.no_grad()
def _run(model: PreTrainedModel) -> None:
    """Run a model's text decoder on a few tokens, and hold its calls of attention against its config.

    Raises
    ------
    UnsupportedModelError
        Naming the layer and what differs.
    """
    geometry, seen = Geometry.of(model.config), set[int]()

    def answer(
        module: nn.Module, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _: Masking
    ) -> torch.Tensor:
        seen.add(layer)
        _check_heads(geometry, layer, query.shape[0], key.shape[0])
        return query.new_empty((query.shape[1], query.shape[0], value.shape[2]))

    found = model.get_decoder()
    decoder = found if isinstance(found, PreTrainedModel) else model
    # Told that no token is padding, a model does not look for several texts in the row, which would take numbers.
    mask = torch.ones((1, _NUM_TOKENS), dtype=torch.long)
    # The other ways of running experts ask for numbers, or for a dtype.
    model.set_experts_implementation("batched_mm")
    with armed(model, answer):
        decoder(input_ids=torch.zeros_like(mask, device="meta"), attention_mask=mask, use_cache=False)
    absent = sorted(set(geometry.softmax_layers) - seen)
    if absent:
        raise UnsupportedModelError(
            f"layer(s) {', '.join(map(str, absent))} call no attention, and the config says that they have heads; this "
            f"is not covered"
        )


def _of_architectures(path: str, stated: PreTrainedConfig) -> Iterator[str]:
    """Yield what the names of a checkpoint's own class tell: that its answers were no tokens."""
    for name in getattr(stated, "architectures", None) or ():
        if name.endswith(_NO_WRITERS):
            yield (
                f"config.json in {path!r} says that its weights are those of a {name}, which writes no tokens: what is "
                f"measured is the language model that it was made from, with the head that this one has."
            )


def _check_heads(geometry: Geometry, layer: int, num_heads: int, num_kv_heads: int) -> None:
    if layer not in geometry.softmax_layers:
        raise UnsupportedModelError(
            f"layer {layer} calls attention, and the config says it has none (layer_types in its config.json)"
        )
    if num_heads % num_kv_heads:
        raise UnsupportedModelError(
            f"layer {layer} has {num_heads} query heads and {num_kv_heads} key-value heads, and the first must be a "
            f"multiple of the second (num_attention_heads and num_key_value_heads in its config.json)"
        )


def _unrun(path: str, why: str) -> str:
    """Return the warning about a model that was not run to its end without its weights."""
    return (
        f"The plan could not run {path!r} to its end without its weights ({why}): whether all of it can be measured is "
        f"told by the check before measuring."
    )


_META = re.compile(r"(?<![\w/-])meta(?![\w/-])")
"""The device without numbers, as torch names it; neither "metadata" nor "meta-llama"."""


def _is_about_numbers(error: Exception) -> bool:
    """Whether an error may come of there being no numbers."""
    if isinstance(error, NotImplementedError) or _META.search(str(error)):
        return True
    return isinstance(error, RuntimeError) and not any(words in str(error) for words in _WRONG_SHAPES)


def _of_config(path: str, what: str, error: Exception, stated: PreTrainedConfig) -> str:
    """Return the sentence about a config that a model cannot be built from, or run with."""
    return (
        f"model.path: the model that config.json in {path!r} describes cannot {what}: {_reason(error, stated)}. Mend "
        f"config.json, or give the one that was saved with the weights."
    )


def _reason(error: Exception, stated: PreTrainedConfig) -> str:
    """Return what is wrong with a config, by the error that comes of it."""
    words = " ".join(str(error).split())[:300].rstrip(".")
    text = stated.get_text_config()
    for name, kind in _WINDOWS.items():
        if name in words and not getattr(text, name, None):
            # Some take the window for none where they are told not to use it.
            off = (
                ", as use_sliding_window: false makes it" if getattr(text, "use_sliding_window", None) is False else ""
            )
            return f"layer_types names {kind}, and {name} is {getattr(text, name, None) or 'null'}{off}"
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        place = next(_places(stated.to_dict(), error.args[0]), None)
        if place is not None:
            return f"{place} is {error.args[0]!r}, which the code of this model in transformers does not know"
    return f"{type(error).__name__}: {words}"


def _places(part: object, wanted: str, path: str = "") -> Iterator[str]:
    """Yield where a value stands in a config."""
    if part == wanted:
        yield path
    elif isinstance(part, Mapping):
        for name, inner in part.items():
            yield from _places(inner, wanted, f"{path}.{name}" if path else str(name))
    elif isinstance(part, list | tuple):
        for index, inner in enumerate(part):
            yield from _places(inner, wanted, f"{path}[{index}]")
