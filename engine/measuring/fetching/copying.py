"""What a head writes when it looks at a token: whether that token's own logit rises beyond those of all others.

A head that looks at key j alone adds ``r = W_O^h v_j`` to the residual stream. Through the final norm, whose size does
not matter here, it adds ``l_u = r . (gamma * W_U[u])`` to the logit of every token u. The copy score of the key is

    z_hj = (l_t - mean_u l_u) / sd_u l_u,        t the key's own token,

by how many standard deviations of the vocabulary the token's own logit lies above the mean: 0 on average for a head
that writes what has nothing to do with the token, and 0 where it writes nothing. It is the OV circuit of Elhage et al.
2021, ``W_U W_O^h v``, asked for its diagonal as Wang et al. 2022 (copy score) ask it, but on the values of the user's
own texts in place of those of bare embeddings, and as a distance in place of a rank.

With ``B`` the rows of W_U through the final norm less their mean, and S their covariance, both are products of the
head's value alone: ``l_t - mean = B_t W_O^h v_j`` and ``sd^2 = v_j^T (W_O^h)^T S W_O^h v_j``.

Shape legend: ``V`` vocabulary, ``H`` query heads, ``KV`` key-value heads, ``T`` tokens of a sequence, ``n`` keys asked
for, ``d`` size of a head's value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.layout import SequenceLayout
from engine.errors import UnsupportedModelError
from engine.measuring.attribution_watch import norm_taking
from engine.measuring.gates import GateWitness
from engine.model.decoder import Decoder, is_norm
from engine.model.frozen_norms import frozen_norm, wide
from engine.model.placement import present
from engine.model.projections import holds_columns

_VOCABULARY_CHUNK = 8192
_LEARNT = 8
"""Tokens of the forward in which a model's parts are looked at."""


class LinearPart:
    """A norm but for its size: ``x -> gain * (x - c mean(x))``, ``c`` 1 where it centres and 0 where it does not.

    Parameters
    ----------
    norm
        RMSNorm or LayerNorm, or None for the identity.
    size
        Length of its input.
    like
        A tensor of the device and dtype in which it is handed inputs.
    """

    def __init__(self, norm: nn.Module | None, size: int, like: torch.Tensor):
        row = torch.full((size,), 0.5, dtype=like.dtype, device=like.device)
        row[::2] += 1
        row[1::2] -= 1
        row[0] += 1
        widest = wide(like.device)
        ones = torch.ones(size, dtype=widest, device=like.device)
        signs = ones.clone()
        signs[1::2] = -1
        # A frozen norm turns a direction u into gain * u - c mean(gain * u), so that two of them tell gain and c.
        given, turned = frozen_norm(norm, row, ones)[0], frozen_norm(norm, row, signs)[0] * signs
        means = (given - turned)[:2]  # -m1 + m2 at an even place and -m1 - m2 at an odd one
        first = -means.mean()
        self.gain = given + first
        self.centres = bool((means.abs() > 1e-9 * self.gain.abs().max()).any())
        if not self.centres:
            self.gain = given

    def of_directions(self, directions: torch.Tensor) -> torch.Tensor:
        """Return directions ``[..., size]`` behind the norm as directions in front of it."""
        gained = directions * self.gain.to(directions)
        return gained - gained.mean(dim=-1, keepdim=True) if self.centres else gained

    def of_vectors(self, columns: torch.Tensor) -> torch.Tensor:
        """Return what the norm makes of vectors ``[size, ...]``."""
        centred = columns - columns.mean(dim=0, keepdim=True) if self.centres else columns
        gain = self.gain.to(columns)
        return centred * gain.view(-1, *(1,) * (columns.dim() - 1))


class Copier:
    """Copy scores of one model; keeps what follows from its weights.

    Parameters
    ----------
    model
        A causal language model.

    Attributes
    ----------
    norms_behind
        The norm behind the attention of each layer, None where there is none; ``learning`` finds them.

    Raises
    ------
    UnsupportedModelError
        Naming the part of the model that is not known.
    """

    def __init__(self, model: PreTrainedModel):
        self.decoder = Decoder(model, allows_headless=True)
        if self.decoder.geometry.is_gated:
            raise UnsupportedModelError(
                f"{type(model).__name__} has a gate between heads' outputs and their projection, so that what a head "
                f"writes of a key depends on the row"
            )
        if getattr(model.config.get_text_config(), "apply_residual_connection_post_layernorm", False):
            raise UnsupportedModelError(
                f"{type(model).__name__} adds to what its norms give, not to the residual stream, so that a head's "
                f"output reaches the logits through later norms"
            )
        self.norms_behind: dict[int, nn.Module | None] = {}
        self._behind: dict[int, LinearPart] = {}
        self._kept: dict[int, torch.Tensor] = {}
        self._written: dict[int, torch.Tensor] = {}
        self._spreads: dict[int, torch.Tensor] = {}
        self._spread = self._mean = torch.empty(0)
        self._final: LinearPart | None = None

    @property
    def is_ready(self) -> bool:
        """Whether ``prepare`` has found what scores need."""
        return self._final is not None

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Find the norm behind each layer's attention in the forward inside."""
        outputs: dict[int, torch.Tensor] = {}
        norms: dict[int, list[tuple[nn.Module, torch.Tensor]]] = {}
        with ExitStack() as hooks:
            for index in self.decoder.geometry.softmax_layers:
                layer = self.decoder.layers[index]

                def projects(_module: nn.Module, _args: object, output: torch.Tensor, index: int = index) -> None:
                    outputs[index] = output

                def leaves(_module: nn.Module, _args: object, _output: object, index: int = index) -> None:
                    if index in outputs:
                        self.norms_behind[index] = norm_taking(norms.get(index, []), outputs.pop(index))

                def takes(module: nn.Module, args: tuple[torch.Tensor, ...], _out: object, index: int = index) -> None:
                    norms.setdefault(index, []).append((module, args[0]))

                hooks.enter_context(self.decoder.projections[index].register_forward_hook(projects))
                hooks.enter_context(layer.register_forward_hook(leaves))
                for child in filter(is_norm, layer.children()):
                    hooks.enter_context(child.register_forward_hook(takes))
            yield

    def prepare(self) -> None:
        """Work out what follows from the weights, outside of any forward: norms and projections are run for it.

        Raises
        ------
        UnsupportedModelError
            When a part is not known.
        """
        for index in self.decoder.geometry.softmax_layers:
            if index not in self.norms_behind:
                raise UnsupportedModelError(f"the heads of layer {index} reach no projection that is known")
            columns = self.decoder.head_columns(index)
            self._behind[index] = LinearPart(self.norms_behind[index], len(columns), columns)
            if not holds_columns(self.decoder.projections[index]):
                self._kept[index] = columns
        self._read_vocabulary()

    def scores(self, layer: int, value: torch.Tensor, token_ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the copy scores of some keys through every head of a layer, float32 ``[H, n]``.

        Parameters
        ----------
        layer
            The layer.
        value
            ``[KV, T, d]``, of one sequence.
        token_ids
            ``[T]``.
        places
            Positions of the keys, ``[n]``.
        """
        written, spread = self._of_layer(layer, value)
        if written.shape[-1] != value.shape[-1]:
            raise UnsupportedModelError(f"layer {layer} changes the size of its heads' outputs before their projection")
        distinct, code = token_ids[places].unique(return_inverse=True)
        reading = self._directions(distinct).to(written) @ written.flatten(1)
        reading = reading.unflatten(1, written.shape[1:])  # [tokens, H, d]
        values = value[:, places].to(written).repeat_interleave(written.shape[1] // value.shape[0], dim=0)
        above = torch.empty(values.shape[:2], dtype=written.dtype, device=value.device)
        for head in range(len(values)):  # [n, H, d] at once would be as large as the layer's activations
            above[head] = (values[head] * reading[code, head]).sum(dim=-1)
        size = ((values @ spread) * values).sum(dim=-1).clamp(min=0).sqrt()
        return torch.where(size > 0, above / size, torch.zeros_like(above)).float()

    def _of_layer(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what heads write ``[hidden, H, d]``, norms behind counted, and the vocabulary's spread ``[H, d, d]``.

        The spread follows from the weights and is kept; of what heads write, which is as large as the projection, that
        of the last layer alone.
        """
        if layer not in self._written:
            columns = self._kept[layer] if layer in self._kept else self.decoder.head_columns(layer)
            self._written = {layer: self._behind[layer].of_vectors(columns.to(like.device))}
        written = self._written[layer]
        if layer not in self._spreads:
            by_head = written.permute(1, 0, 2)
            self._spreads[layer] = by_head.mT @ (self._spread.to(by_head) @ by_head)
        return written, self._spreads[layer]

    def _directions(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Return rows of the output head through the final norm less their mean, ``[tokens, hidden]``."""
        assert self._final is not None
        with present(self.decoder.head):
            weight = self.decoder.head.weight.detach()
            rows = weight[token_ids.to(weight.device)].to(self._mean)
        return self._final.of_directions(rows) - self._mean

    def _read_vocabulary(self) -> None:
        """Find mean and covariance of the output head's rows through the final norm."""
        with present(self.decoder.head):
            weight = self.decoder.head.weight.detach()
            dtype, size = self.decoder.dtype, weight.shape[1]
            like = torch.empty(0, dtype=weight.dtype, device=weight.device)
            final = LinearPart(self.decoder.final_norm, size, like)
            widest = wide(weight.device)
            total = torch.zeros(size, dtype=widest, device=weight.device)
            for part in weight.split(_VOCABULARY_CHUNK):
                total += final.of_directions(part.to(dtype)).to(widest).sum(dim=0)
            mean = total / len(weight)
            spread = torch.zeros((size, size), dtype=widest, device=weight.device)
            for part in weight.split(_VOCABULARY_CHUNK):
                rows = final.of_directions(part.to(dtype)) - mean.to(dtype)
                spread += (rows.mT @ rows).to(widest)
        self._mean, self._spread, self._final = mean.to(dtype), (spread / len(weight)).to(dtype), final


def learnt(copier: Copier, layout: SequenceLayout, measure: Callable[..., object]) -> str:
    """Let a copier find what stands behind heads' outputs, by a forward over a few tokens; once.

    Parameters
    ----------
    copier
        Of the model.
    layout
        A sequence, of which the first tokens are taken.
    measure
        ``Probe.measure`` of the model.

    Returns
    -------
    str
        Why there is no copy score; empty where there is one.
    """
    if copier.is_ready:
        return ""
    number = min(_LEARNT, layout.num_tokens)
    short = SequenceLayout(
        0, layout.token_ids[:number], layout.indicators[:number], layout.query_weights[:, :number], number - 1
    )
    gates, why = GateWitness(), ""
    try:
        with copier.learning():
            measure(short.token_ids, [short], gates)
        with torch.inference_mode():
            copier.prepare()
    except UnsupportedModelError as error:
        why = str(error)
    gated = gates.close()
    return f"{gated} changes its heads' outputs before the output projection (a gate or a norm)" if gated else why
