"""The shape of a model, read from its config, and the attention that is not covered, refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.errors import UnsupportedModelError

_ALIBI = (
    "ALiBi position biases inside its own attention code; of those, transformers' BLOOM, MPT and Falcon are covered"
)
WITH_ALIBI = ("bloom", "mpt", "falcon")
"""Models with ALiBi whose own code is known (``attention.own_code``)."""

_NOT_COVERED = {
    "is_encoder_decoder": "an encoder-decoder model; models that only decode are covered",
    "alibi": _ALIBI,
    "use_alibi": _ALIBI,
}
_OWN_CODE = "attention in code of its own, which cannot be measured from outside"
_NO_SOFTMAX = "recurrent layers alone, in which no head attends to anything"
_REFUSED_TYPES = {
    **dict.fromkeys(("mamba", "mamba2", "rwkv", "falcon_mamba", "xlstm"), _NO_SOFTMAX),
    **dict.fromkeys(("xlnet", "reformer", "xlm", "prophetnet", "cpmant"), _OWN_CODE),
    "blt": "attention over patches of bytes, which are no tokens",
    "longcat_flash": "two attentions per layer",
    "diffllama": "differential attention, two patterns per head",
    **dict.fromkeys(("doge", "glm5_next_text"), "a mask that it computes itself"),
    **dict.fromkeys(("dory", "hrm_text"), "layers that run several times in one forward"),
    "git": _OWN_CODE,
    **dict.fromkeys(("qwen4_exp_text", "qwen4_exp"), "attention to blocks of keys that it chooses"),
    **dict.fromkeys(("zamba", "zamba2"), "attention layers that share one module and do not know their number"),
    "deepseek_v4": "attention to compressed entries, which are no tokens",
    **dict.fromkeys(
        ("inkling_text", "inkling2_text", "inkling2_loop_text"),
        "sinks and position biases that differ from token to token",
    ),
}
"""Known not to be covered. Whatever is in no list is still compared with the model's own attention before measuring."""

_ENCODERS = (
    "albert",
    "bert",
    "big_bird",
    "camembert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "megatron-bert",
    "modernbert",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roc_bert",
    "roformer",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Encoders unless their config says ``is_decoder``."""

_GATED = (
    "afmoe",
    "axk2",
    "bailing_hybrid",
    "beam",
    "bitnet",
    "dots3_note_text",
    "hy_v4",
    "hy_v4_vl_text",
    "laguna",
    "lfm3",
    "muse_glimmer_text",
    "muse_spark_text",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
    "step3p5",
)
"""Models with a gate, or BitNet's norm, between heads' outputs and their projection; others are seen in a forward."""

_PROJECTED_ELSEWHERE = (*_ENCODERS, "bert-generation")
"""Models whose attention modules hand their heads' outputs to a projection of another module."""

SOFTMAX_LAYERS = (
    "attention",
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "indexed_attention",
    "hybrid",
    "hybrid_sliding",
)
"""Kinds of layers that have heads; ``hybrid`` ones have a recurrent part or a convolution beside them."""

OTHER_LAYERS = ("linear_attention", "conv", "recurrent", "mamba", "moe", "mlp")
"""Kinds of layers without heads: what they do is no attention from one token to another."""

_ACROSS_SAMPLES = ("linear_attention", "conv", "recurrent", "mamba", "hybrid", "hybrid_sliding")
"""Kinds whose state or convolution passes from one sample of a packed row to the next."""

_BY_POSITION_IN_ROW = ("chunked_attention", "indexed_attention")
"""Kinds that count positions from the beginning of the row, not of the sample."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Layers and query heads of a model, as its config states them.

    Attributes
    ----------
    num_layers
        All layers of the stack.
    num_heads
        Query heads of each layer that has any.
    softmax_layers
        Layers that have heads, ascending; the others are recurrent, convolutions or MLPs alone.
    is_packable
        Whether samples may share a row, as far as the config tells; the check before measuring finds the rest.
    is_gated
        Whether a gate or a norm stands between heads' outputs and their projection, as far as it is known.
    """

    num_layers: int
    num_heads: int
    softmax_layers: tuple[int, ...] = ()
    is_packable: bool = True
    is_gated: bool = False

    @classmethod
    def of(cls, model_config: Any) -> Geometry:
        """Read the geometry of a (text) config.

        Raises
        ------
        UnsupportedModelError
            When the config names a kind of attention that is not covered.
        """
        try:
            text = model_config.get_text_config() if hasattr(model_config, "get_text_config") else model_config
        except ValueError as error:  # several text models inside
            raise UnsupportedModelError(f"model type {_type(model_config)!r}: {error}") from None
        kind = _type(text)
        if kind in _REFUSED_TYPES:
            raise UnsupportedModelError(f"model type {kind!r} has or is {_REFUSED_TYPES[kind]}; this is not covered")
        if kind in _ENCODERS and not getattr(text, "is_decoder", False):
            raise UnsupportedModelError(
                f"model type {kind!r} has or is an encoder, whose rows see later keys; this is not covered (it decodes "
                f"where its config says is_decoder)"
            )
        for name, what in _NOT_COVERED.items():
            if getattr(text, name, None) and not (what == _ALIBI and kind in WITH_ALIBI):
                raise UnsupportedModelError(f"model type {kind!r} has or is {what}; this is not covered")
        if kind == "bloom" and text.slow_but_exact and text.pretraining_tp > 1:
            raise UnsupportedModelError(
                f"model type {kind!r} with slow_but_exact adds up its projections in {text.pretraining_tp} parts and "
                f"leaves out their biases; this is not covered (set slow_but_exact: false in its config.json)"
            )
        layers, heads = stated(text, "num_hidden_layers"), stated(text, "num_attention_heads")
        if len(layers) != 1 or not heads:
            raise UnsupportedModelError(f"model type {kind!r} does not state its layers and heads")
        if len(heads) > 1:
            raise UnsupportedModelError(
                f"model type {kind!r} has layers with {' and '.join(map(str, heads))} query heads; layers that differ "
                f"in their number of heads are not covered"
            )
        num_layers = layers[0]
        kinds = [str(layer) for layer in getattr(text, "layer_types", None) or ["full_attention"] * num_layers]
        unknown = sorted(set(kinds) - {*SOFTMAX_LAYERS, *OTHER_LAYERS})
        if unknown:
            raise UnsupportedModelError(
                f"model type {kind!r} has {', '.join(unknown)} layers, a kind of attention that is not covered; "
                f"covered are {', '.join(SOFTMAX_LAYERS)}, and layers without heads ({', '.join(OTHER_LAYERS)})"
            )
        softmax = tuple(layer for layer, of_layer in enumerate(kinds[:num_layers]) if of_layer in SOFTMAX_LAYERS)
        if not softmax:
            raise UnsupportedModelError(f"model type {kind!r} has or is {_NO_SOFTMAX}; this is not covered")
        is_packable = not {*_ACROSS_SAMPLES, *_BY_POSITION_IN_ROW} & set(kinds)
        return cls(num_layers, heads[0], softmax, is_packable, kind in _GATED)


def refuse_norm_weighted(geometry: Geometry, model_config: Any, is_decision_alone: bool) -> None:
    """Refuse norm-weighted masses of a model in which they mean nothing, or whose projections are not found.

    Raises
    ------
    UnsupportedModelError
        Saying what can be measured instead.
    """
    kind = _type(model_config.get_text_config())
    if geometry.is_gated and not is_decision_alone:
        raise UnsupportedModelError(
            f"model type {kind!r} changes its heads' outputs before the output projection (a gate or a norm), so that "
            f"a key's weight depends on the row that looks at it, and no mean over rows says what norm_mass_* says "
            f"elsewhere. In decision rows alone it is exact: set statistics.query_groups=[decision], or "
            f"statistics.norm_weighted=false"
        )
    if kind in _PROJECTED_ELSEWHERE:
        raise UnsupportedModelError(
            f"model type {kind!r} projects its heads' outputs outside of its attention, which is not covered; set "
            f"statistics.norm_weighted=false"
        )


def stated(text_config: Any, name: str) -> list[int]:
    """Return the sizes that a config states under a name, ascending: one, several where layers differ, or none."""
    try:
        value = getattr(text_config, name, None)
    except Exception:  # transformers' own type: the value differs by layer, and must be asked for by layer
        value = [getattr(layer, name, None) for layer in text_config.per_layer_config]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return sorted({int(part) for part in parts if isinstance(part, int | float) and not isinstance(part, bool)})


def _type(model_config: Any) -> str:
    return str(getattr(model_config, "model_type", type(model_config).__name__))
