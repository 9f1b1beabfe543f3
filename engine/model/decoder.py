"""A decoder's parts, found without a list of model families.

Every layer is taken to add the output of its attention and of its MLP to the residual stream, each through a norm of
its own where there is one. Whether that is so is checked on every sample that is explained.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.errors import UnsupportedModelError
from engine.model.geometry import Geometry
from engine.model.placement import input_device, present
from engine.model.projections import output_projection, projection_columns

_FINAL_NORMS = ("norm", "final_norm", "final_layernorm", "final_layer_norm", "ln_f", "norm_f")
"""What families call the norm in front of the output head, where others stand beside the layers too (Gemma 3n, 4)."""

_MLP_NAMES = ("mlp", "feed_forward", "block_sparse_moe", "ffn")
_SECOND_MLP = "shared_mlp"
"""An MLP for every token, whose output is added to that of the experts, or the only one (Granite 4)."""

_MLP_PROJECTIONS = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out")

Contrast = tuple[int, int | None]
"""Token ids whose logits' difference is s; with None, s is the logit of the first alone."""


class Decoder:
    """The parts of a causal language model that the causal part works on.

    Parameters
    ----------
    model
        A transformers decoder.
    allows_headless
        Whether layers without heads (recurrent ones, convolutions) may be among its layers; whoever allows them asks
        ``has_heads`` before using a layer's parts.

    Attributes
    ----------
    needs_all_rows
        Whether layers run again need every row from the first on: state passes from row to row, or positions are
        counted from the first row that is there (Llama 4). The check before measuring finds the latter.
    applies_logit_scale
        Whether the model applies the scale of logits that its config states; ``see_logits`` finds that some do not
        (Aya Vision, around a text decoder that does).

    Raises
    ------
    UnsupportedModelError
        Naming the part that was not found.
    """

    def __init__(self, model: PreTrainedModel, *, allows_headless: bool = False):
        self.model = model
        self.geometry = Geometry.of(model.config)
        if self.is_hybrid and not allows_headless:
            raise UnsupportedModelError(
                f"{type(model).__name__} has layers without heads (recurrent layers or convolutions), which "
                f"this does not cover"
            )
        self.needs_all_rows, self.applies_logit_scale = self.is_hybrid, True
        self._has_seen_logits = False
        self.base, self.layers = self._stack()
        # Layers without heads have none of these, and nobody looks for them there.
        nothing = nn.Identity()
        self.attentions = [
            self._attention(layer) if self.has_heads(index) else nothing for index, layer in enumerate(self.layers)
        ]
        self.projections = [
            nothing if attention is nothing else _found(output_projection(attention), attention)
            for attention in self.attentions
        ]
        self.mlps = [self._mlps(layer) if self.has_heads(index) else () for index, layer in enumerate(self.layers)]
        self.final_norm = self._final_norm()
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise UnsupportedModelError(f"{type(model).__name__} has no linear output head, which is not covered")
        self.head = head

    @property
    def is_hybrid(self) -> bool:
        """Whether some layers have no heads."""
        return len(self.geometry.softmax_layers) < self.geometry.num_layers

    def has_heads(self, layer: int) -> bool:
        """Whether a layer has attention heads."""
        return layer in self.geometry.softmax_layers

    @property
    def dtype(self) -> torch.dtype:
        """What small products are computed in: float32, or float64 in a float64 model."""
        return torch.promote_types(self.model.dtype, torch.float32)

    @property
    def logit_scale(self) -> float:
        """What the output head's logits are multiplied with (Cohere, Granite, MiniCPM3)."""
        text = self.model.config.get_text_config()
        if not self.applies_logit_scale:
            return 1.0
        # MPT's config may state one (or its name), which transformers' MPT does not apply.
        scale = 1.0 if text.model_type == "mpt" else float(getattr(text, "logit_scale", None) or 1)
        return scale / float(getattr(text, "logits_scaling", None) or 1)

    @property
    def residual_scale(self) -> float:
        """What the outputs of attention and MLP are multiplied with before they are added (Granite, MiniCPM3)."""
        text = self.model.config.get_text_config()
        depth = getattr(text, "scale_depth", None)
        own = float(getattr(text, "residual_multiplier", None) or 1)
        return own if depth is None else own * depth / text.num_hidden_layers**0.5

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        return input_device(self.model)

    def _stack(self) -> tuple[nn.Module, nn.ModuleList]:
        inner = self.model.get_decoder()
        # Beside a vision tower, whose layers may be as many, the text decoder comes first.
        for root in (inner if isinstance(inner, nn.Module) else self.model, self.model):
            for module in root.modules():
                for child in module.children():
                    if isinstance(child, nn.ModuleList) and len(child) == self.geometry.num_layers:
                        return module, child
        raise UnsupportedModelError(f"{type(self.model).__name__} has no list of its layers that is known")

    def _final_norm(self) -> nn.Module:
        """Return the norm between the last layer and the output head; every trace sees whether it is that."""
        norms = {name: child for name, child in self.base.named_children() if is_norm(child)}
        if len(norms) == 1:
            return next(iter(norms.values()))
        found = next((norms[name] for name in _FINAL_NORMS if name in norms), None)
        if found is None:
            raise UnsupportedModelError(
                f"{type(self.base).__name__} has {len(norms)} norms beside its layers ({', '.join(norms) or 'none'}), "
                f"none of which is known as that in front of the output head; this is not covered"
            )
        return found

    def _attention(self, layer: nn.Module) -> nn.Module:
        found = [m for m in layer.modules() if hasattr(m, "layer_idx") and output_projection(m) is not None]
        if len(found) != 1:
            raise UnsupportedModelError(f"{type(layer).__name__} has {len(found)} attentions, which is not covered")
        return found[0]

    def _mlps(self, layer: nn.Module) -> tuple[nn.Module, ...]:
        """Return the modules whose outputs, added up, are what the layer's MLP gives."""
        mlp, second = _first_of(layer, _MLP_NAMES), getattr(layer, _SECOND_MLP, None)
        if second is not None:
            return (second,) if mlp is None else (mlp, second)
        mlp = _found(mlp, layer)
        return (_found(_first_of(mlp, _MLP_PROJECTIONS), mlp) if adds_residual(mlp) else mlp,)

    def layer_norms(self) -> list[nn.Module]:
        """Return the norms of all layers."""
        return [child for layer in self.layers for child in layer.children() if is_norm(child)]

    def mlp_bias(self, layer: int) -> torch.Tensor | None:
        """Return the bias of the MLP's last projection ``[hidden]``, of several modules their sum, or None."""
        biases = [bias for mlp in self.mlps[layer] if (bias := _last_bias(mlp)) is not None]
        return torch.stack(biases).sum(dim=0) if len(biases) > 1 else next(iter(biases), None)

    def head_columns(self, layer: int) -> torch.Tensor:
        """Return ``W_O`` by head, ``[hidden, H, head_dim]``."""
        with present(self.projections[layer]):
            columns = projection_columns(self.projections[layer])
        if columns is None:
            raise UnsupportedModelError(
                f"{type(self.projections[layer]).__name__} does not say what it multiplies heads' outputs by, which is "
                f"not covered"
            )
        return columns.to(self.dtype).unflatten(1, (self.geometry.num_heads, -1))

    def direction(self, contrast: Contrast) -> tuple[torch.Tensor, float]:
        """Return ``W_U[a] - W_U[b]``, ``[hidden]``, and the difference of the head's biases; without b, those of a.

        Both as the logits are scaled.
        """
        first, second = contrast
        scale = self.logit_scale
        with present(self.head):
            weight, bias = self.head.weight.detach(), self.head.bias
        towards = weight[first].to(self.dtype)
        constant = 0.0 if bias is None else float(bias[first].to(self.dtype))
        if second is not None:
            towards = towards - weight[second].to(self.dtype)
            constant = 0.0 if bias is None else float(bias[first].to(self.dtype) - bias[second].to(self.dtype))
        return towards if scale == 1 else towards * scale, constant * scale

    @torch.inference_mode()
    def see_logits(self, leaving: torch.Tensor, logits: torch.Tensor) -> None:
        """Find whether the model applies the scale of logits that its config states, from the first row that is shown.

        All tokens together tell; the difference of two that are nearly tied does not.

        Parameters
        ----------
        leaving
            The row of the residual stream behind the last layer, ``[hidden]``.
        logits
            What the model made of it, ``[vocabulary]``.
        """
        if self._has_seen_logits or self.logit_scale == 1:
            return
        self._has_seen_logits = True
        plain = self.head(self.final_norm(leaving[None]))[0].float()
        given = logits.to(plain)
        # Tokens that a model rules out have the lowest number there is.
        kept = given > torch.finfo(given.dtype).min / 2
        factor = float((plain[kept] @ given[kept]) / (plain[kept] @ plain[kept]))
        self.applies_logit_scale = not abs(factor - 1) < abs(factor - self.logit_scale)

    def logit_difference(self, hidden: torch.Tensor, contrast: Contrast) -> torch.Tensor:
        """Return s of residual streams ``[..., hidden]`` behind the last layer, before any final soft-capping."""
        direction, constant = self.direction(contrast)
        normed = self.final_norm(hidden).to(self.dtype)
        return (normed * direction.to(normed.device)).sum(dim=-1) + constant


def _found(part: nn.Module | None, owner: nn.Module) -> nn.Module:
    if part is None:
        raise UnsupportedModelError(f"{type(owner).__name__} has a part that is not known (output projection or MLP)")
    return part


def _last_bias(mlp: nn.Module) -> torch.Tensor | None:
    for name, module in mlp.named_modules():
        with present(module):
            bias = getattr(module, "bias", None)
        is_last = name.rpartition(".")[2] in _MLP_PROJECTIONS or (module is mlp and isinstance(mlp, nn.Linear))
        if is_last and isinstance(bias, torch.Tensor):
            return bias
    return None


def _first_of(owner: nn.Module, names: Iterable[str]) -> nn.Module | None:
    return next((getattr(owner, name) for name in names if hasattr(owner, name)), None)


def adds_residual(part: nn.Module) -> bool:
    """Whether an attention or MLP is handed the residual stream and adds it to its output itself (BLOOM, MPT)."""
    return "residual" in inspect.signature(type(part).forward).parameters


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm, by the name of its class (``LlamaRMSNorm``, ``NemotronLayerNorm1P``)."""
    return "norm" in type(module).__name__.lower() and not any(True for _ in module.children())
