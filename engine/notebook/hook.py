"""``AttentionHook``: the patterns of whatever a model runs inside, its own computation left as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from torch import nn

from engine.attention.interface import observed
from engine.attention.masking import Masking
from engine.attention.patterns import whole_patterns
from engine.errors import UserError
from engine.model.geometry import Geometry
from engine.model.wrapped import refuse_wrapped
from engine.notebook.workbench import MAX_BYTES, check_bytes, check_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LayerPatterns(dict[str, torch.Tensor]):
    """Patterns by ``layer_<number>``, float32 on the CPU, ``[batch, head, query, key]``.

    Attributes
    ----------
    input_ids
        Ids of the prompt that they are of, ``[batch, T]``; None where nobody saw them.
    model_name
        Where its model was loaded from; empty where it was made here.
    """

    input_ids: torch.Tensor | None = None
    model_name: str = ""

    def __repr__(self) -> str:
        """Say which layers are there, and their shape."""
        shape = f", each {list(next(iter(self.values())).shape)}" if self else ""
        return f"{type(self).__name__}({', '.join(self) or 'no layer yet'}{shape})"

    def __missing__(self, name: str) -> torch.Tensor:
        """Say which layers are there."""
        kept = ", ".join(self) or "none: no forward of a whole prompt ran inside"
        raise KeyError(f"{name!r} is not kept; kept are {kept}")


class AttentionHook:
    """Keeps the attention patterns of every layer while a model runs inside.

    Works with batches, padding and ``generate``, under any attention implementation that the model was loaded with:
    eager and sdpa go on computing what they compute, flash and flex attention are answered by sdpa meanwhile. Patterns
    are computed from queries and keys in float32, whatever the model's dtype. Only whole prompts count (prefill), not
    the single rows of the steps of generation; a second prompt inside replaces the first. On exit, and on any
    exception, the model is as it was; hooks nest. (The guide's hook kept what ``output_attentions`` returned, which is
    nothing unless the model was loaded with eager attention; ``generate(…, output_attentions=True)`` may stay, and what
    it returns of attention is empty.)

    Parameters
    ----------
    model
        Any transformers decoder.
    layers
        Layers to keep; all of them by default.
    max_bytes
        Bytes of patterns at most.

    Attributes
    ----------
    attention_weights
        ``["layer_3"]`` is ``[batch, heads, T, T]``, float32, rows sum to 1 (0 in rows of padding).

    Raises
    ------
    UserError
        For something around a model, such as DataParallel; on entering, for a layer that does not exist; inside, when
        the patterns exceed ``max_bytes``.
    UnsupportedModelError
        When the model does not let its attention be replaced.
    """

    def __init__(self, model: PreTrainedModel, layers: Iterable[int] | None = None, max_bytes: int = MAX_BYTES):
        refuse_wrapped(model)
        self.model, self.max_bytes = model, max_bytes
        self.layers = None if layers is None else frozenset(layers)
        self.attention_weights = LayerPatterns()
        self._stack: ExitStack | None = None
        self._modules: set[int] = set()
        self._ids: torch.Tensor | None = None

    def __enter__(self) -> AttentionHook:
        """Look on from here."""
        if self._stack is not None:
            raise UserError("AttentionHook: this hook is in use already; make another one to nest.")
        geometry = Geometry.of(self.model.config)
        for layer in self.layers or ():
            check_head(geometry, layer)
        self._num_layers = geometry.num_layers if self.layers is None else len(self.layers)
        self._modules = {id(module) for module in self.model.modules()}
        stack = ExitStack()
        stack.enter_context(observed(self.model, self._keep))
        stack.callback(self.model.register_forward_pre_hook(self._look_at_ids, with_kwargs=True).remove)
        self.attention_weights.model_name = str(getattr(self.model, "name_or_path", "") or "")
        self._stack = stack
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the model as it was."""
        assert self._stack is not None
        stack, self._stack = self._stack, None
        stack.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        """Say whether it looks on, and what it has kept."""
        state = "looking on" if self._stack is not None else "not in use"
        return f"AttentionHook({type(self.model).__name__}, {state}, {self.attention_weights!r})"

    def _look_at_ids(self, _: nn.Module, arguments: tuple[object, ...], options: Mapping[str, object]) -> None:
        ids = options.get("input_ids", arguments[0] if arguments else None)
        self._ids = ids if isinstance(ids, torch.Tensor) and ids.dim() == 2 else None

    @torch.no_grad()
    def _keep(
        self,
        module: nn.Module,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        masking: Masking,
    ) -> None:
        is_prefill = query.shape[2] == key.shape[2]
        if not is_prefill or id(module) not in self._modules or (self.layers is not None and layer not in self.layers):
            return
        num, heads, rows, _ = query.shape
        needed = 4 * self._num_layers * num * heads * rows * rows
        check_bytes(needed, self.max_bytes, f"{self._num_layers} layer(s) x {num} x {heads} heads x {rows}² tokens")
        # The last kept pattern of a layer stays: a later prompt stands for itself alone.
        self.attention_weights[f"layer_{layer}"] = whole_patterns(query, key, mask, masking).cpu()
        is_theirs = self._ids is not None and self._ids.shape[1] == rows
        self.attention_weights.input_ids = self._ids if is_theirs else None
