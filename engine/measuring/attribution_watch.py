"""The forward in which rows are attributed: what every layer's parts take and give at the targets' rows.

Rows are reduced as soon as their layer has run, while its values are there; those whose tokens only the logits tell
wait for them with copies of the values. Whatever goes wrong here costs the attributions, not the measurement: a model
may be measured exactly and have parts that nobody here knows.

Shape legend: ``R`` targets of the packed row; the rest as in ``attribution``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from engine.attention.backends.backend import LayerCall
from engine.attention.layout import SequenceLayout
from engine.attention.patterns import row_weights
from engine.errors import UnsupportedModelError
from engine.machine.devices import fault_of, is_out_of_memory
from engine.measuring.attribution import Attribution, Attributor, LayerRow, Target, TargetSums
from engine.model.decoder import is_norm
from engine.model.frozen_norms import wide


@dataclass(slots=True)
class _Layer:
    """What the hooks of one layer saw, at the targets' rows ``[R, …]``."""

    call: LayerCall | None = None
    entering: torch.Tensor | None = None
    answered: torch.Tensor | None = None
    given: torch.Tensor | None = None
    projected: torch.Tensor | None = None
    mlps: dict[int, torch.Tensor] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    norms: list[tuple[nn.Module, torch.Tensor]] = field(default_factory=list)


class AttributionWatch:
    """Attributes the targets of one packed forward.

    Parameters
    ----------
    attributor
        The model.
    layouts
        The sequences of the packed row.
    targets
        Of each sequence.
    """

    def __init__(self, attributor: Attributor, layouts: Sequence[SequenceLayout], targets: Sequence[Sequence[Target]]):
        self.attributor, self.decoder, self.layouts = attributor, attributor.decoder, layouts
        self._of_rows = [place for place, own in enumerate(targets) for _ in own]
        self._sums = [TargetSums(attributor, target) for own in targets for target in own]
        self._positions = torch.tensor(
            [layouts[place].packed_row(sums.target.row) for place, sums in zip(self._of_rows, self._sums, strict=True)]
        )
        self._layers: dict[int, _Layer] = {}
        self._waiting: dict[int, dict[int, LayerRow]] = {}
        self._headless: list[torch.Tensor] = []
        self._first: torch.Tensor | None = None
        self._leaving: list[torch.Tensor] = []
        self.fault = ""
        """Why nothing is attributed; empty where all went well."""

    def saw(self, call: LayerCall, output: torch.Tensor) -> None:
        """Take note of a layer's attention call and of what was answered, ``[T_total, H, head_dim]``."""
        with self._surviving():
            layer = self._layers.setdefault(call.layer_idx, _Layer())
            layer.call, layer.answered = call, self._rows(output)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Note what fails inside, but for what the device fails in."""
        try:
            yield
        except Exception as error:
            fault_of(error, "", "")
            if is_out_of_memory(error):
                raise
            words = " ".join(str(error).split())
            self.fault = self.fault or f"{type(error).__name__}: {words[:300]}"
            self._layers.clear()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the parts of every layer in the forward inside."""
        with ExitStack() as hooks:
            for index, module in enumerate(self.decoder.layers):
                hooks.enter_context(
                    module.register_forward_pre_hook(self._guarded(self._enters(index)), with_kwargs=True)
                )
                hooks.enter_context(module.register_forward_hook(self._guarded(self._leaves(index))))
                if not self.decoder.has_heads(index):
                    continue
                projects = self._guarded(self._projects(index))
                hooks.enter_context(self.decoder.projections[index].register_forward_hook(projects))
                for place, mlp in enumerate(self.decoder.mlps[index]):
                    hooks.enter_context(mlp.register_forward_hook(self._guarded(self._feeds(index, place))))
                for child in module.children() if index not in self.attributor.norms_behind else ():
                    if is_norm(child):
                        hooks.enter_context(child.register_forward_hook(self._guarded(self._norms(index))))
            hooks.enter_context(self.decoder.final_norm.register_forward_pre_hook(self._guarded(self._ends)))
            yield

    @torch.inference_mode()
    def results(self, logits: Sequence[Mapping[int, torch.Tensor]]) -> list[list[Attribution]]:
        """Return what was found of each sequence, given its logits ``[vocabulary]`` by row; nothing after a fault."""
        found: list[list[Attribution]] = [[] for _ in self.layouts]
        with self._surviving():
            self._finish(logits, found)
        return [[] for _ in self.layouts] if self.fault else found

    def _finish(self, logits: Sequence[Mapping[int, torch.Tensor]], found: list[list[Attribution]]) -> None:
        if self.fault:
            return
        if self._first is None or len(self._leaving) != 1:
            raise UnsupportedModelError("its final norm does not take the residual stream once")
        (leaving,) = self._leaving
        if leaving.shape != self._first.shape:
            raise UnsupportedModelError("its layers hand on several residual streams, which its final norm takes mixed")
        pairs = []
        for place, sums in zip(self._of_rows, self._sums, strict=True):
            row = logits[place][sums.target.row]
            pairs.append(_against_runner_up(sums.target.token_ids, row))
            if sums.direction is None:
                sums.direction = self.attributor.direction(pairs[-1])
        for index, records in self._waiting.items():
            self._reduce(index, records)
        for number, (place, sums) in enumerate(zip(self._of_rows, self._sums, strict=True)):
            for added in self._headless:
                sums.add_headless(added[number])
            row = logits[place][sums.target.row].to(leaving.device)
            found[place].append(sums.finished(leaving[number], self._first[number], pairs[number], row))

    def _rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the targets' rows of ``[T_total, …]``, a copy."""
        return tensor[self._positions.to(tensor.device)]

    def _guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            with self._surviving():
                if not self.fault:
                    hook(*arguments)

        return guarded

    def _enters(self, index: int) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            layer = self._layers.setdefault(index, _Layer())
            if self._first is None or not self.decoder.has_heads(index):
                entering = args[0] if args else kwargs["hidden_states"]
                if entering.dim() != 3:
                    raise UnsupportedModelError("its layers take several residual streams")
                layer.entering = self._rows(entering[0])
                self._first = layer.entering if self._first is None else self._first

        return hook

    def _projects(self, index: int) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if layer := self._running(index):
                layer.given, layer.projected = self._rows(args[0].flatten(0, -2)), self._rows(output.flatten(0, -2))
                if index not in self.attributor.norms_behind:
                    layer.outputs["attention"] = output

        return hook

    def _feeds(self, index: int, place: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            if layer := self._running(index):
                whole = output[0] if isinstance(output, tuple) else output
                # A copy: Falcon adds what attention gives to it in place.
                layer.mlps[place] = self._rows(whole.flatten(0, -2))
                if index not in self.attributor.norms_behind:
                    layer.outputs["mlp"] = whole

        return hook

    def _norms(self, index: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
            if layer := self._running(index):
                layer.norms.append((module, args[0]))

        return hook

    def _running(self, index: int) -> _Layer | None:
        """Return a layer that runs; None where a part of one that has run is only asked what it multiplies by."""
        return self._layers.get(index)

    def _ends(self, _module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self._leaving.append(self._rows(args[0].flatten(0, -2)))

    def _leaves(self, index: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            layer = self._layers.pop(index)
            if self.decoder.has_heads(index):
                self._keep(index, layer)
                return
            assert layer.entering is not None
            leaving = self._rows((output[0] if isinstance(output, tuple) else output)[0])
            widest = wide(leaving.device)
            self._headless.append(leaving.to(widest) - layer.entering.to(leaving.device, widest))

        return hook

    def _keep(self, index: int, layer: _Layer) -> None:
        """Reduce the rows of a layer that has run, or keep what it takes where the logits must be known first."""
        call = layer.call
        parts = (layer.answered, layer.given, layer.projected, layer.mlps.get(0))
        if call is None or any(part is None for part in parts) or len(layer.mlps) < len(self.decoder.mlps[index]):
            raise UnsupportedModelError(f"layer {index} does not call its attention or MLP as is known")
        answered, given, projected, mlp = (part for part in parts if part is not None)
        for place in range(1, len(layer.mlps)):
            mlp = mlp + layer.mlps[place]
        if given[0].numel() != answered[0].numel():
            raise UnsupportedModelError(f"layer {index} changes the size of its heads' outputs before their projection")
        if index not in self.attributor.norms_behind:
            behind = (norm_taking(layer.norms, layer.outputs[name]) for name in ("attention", "mlp"))
            self.attributor.norms_behind[index] = (next(behind), next(behind))
        records: dict[int, LayerRow] = {}
        for number, (place, sums) in enumerate(zip(self._of_rows, self._sums, strict=True)):
            own, row = call.of_sequence(self.layouts[place]), sums.target.row
            values = own.value[:, : row + 1]
            weights = row_weights(own.query, own.key, row, own.masking)
            is_waiting = sums.direction is None
            records[number] = LayerRow(
                weights,
                values.clone() if is_waiting else values,
                answered[number],
                given[number],
                projected[number],
                mlp[number],
            )
        waiting = {number: record for number, record in records.items() if self._sums[number].direction is None}
        if waiting:
            self._waiting[index] = waiting
        self._reduce(index, {number: record for number, record in records.items() if number not in waiting})

    def _reduce(self, index: int, records: Mapping[int, LayerRow]) -> None:
        if records:
            columns = self.decoder.head_columns(index)
            for number, record in records.items():
                self._sums[number].add(index, record, columns)


def norm_taking(norms: Sequence[tuple[nn.Module, torch.Tensor]], output: torch.Tensor) -> nn.Module | None:
    """Return the norm that took a part's very output; pre-norms take the residual stream."""
    for norm, taken in norms:
        if taken.data_ptr() == output.data_ptr() and taken.numel() == output.numel():
            return norm
    return None


def _against_runner_up(token_ids: tuple[int, int | None], logits: torch.Tensor) -> tuple[int, int]:
    """Return both tokens, the likeliest other one in the place of None."""
    first, second = token_ids
    if second is not None:
        return first, second
    others = logits.clone()
    others[first] = -torch.inf
    return first, int(others.argmax())
