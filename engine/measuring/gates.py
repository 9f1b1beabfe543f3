"""Whether an attention's output reaches its output projection as it is.

Norm-weighted masses weigh each key by ``||W_O v_j||``. Where a gate that depends on the query row stands between the
heads' outputs and ``W_O`` (Qwen3-Next, Qwen3.5, Laguna, BEAM), a key weighs something else in every row, and no mean
over rows says what it says elsewhere. In one row it is exact: ``||W_O (g_i * v_j)||``, with the row's gate ``g_i``; a
norm in its place (BitNet) is frozen at the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from engine.attention.interface import AttentionCall
from engine.attention.layout import SequenceLayout
from engine.errors import UnsupportedModelError
from engine.model.projections import output_projection, value_norms


class GateWitness:
    """Looks at what goes into the output projection behind each attention call of one forward."""

    def __init__(self) -> None:
        self._hooks: list[RemovableHandle] = []
        self._gated: list[str] = []
        self._expected: dict[int, torch.Tensor] = {}

    def __call__(self, call: AttentionCall) -> None:
        """Expect this output at the projection."""
        projection = output_projection(call.module)
        if projection is None:
            return
        self._expected[id(projection)] = call.output
        name = f"layer {call.layer_idx}"

        def compare(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            output = self._expected.pop(id(module), None)
            if output is None:
                return
            given = inputs[0].reshape(-1)
            if given.shape != output.reshape(-1).shape or not torch.equal(given, output.reshape(-1)):
                self._gated.append(name)

        self._hooks.append(projection.register_forward_pre_hook(compare))

    def close(self) -> str:
        """Stop looking, and return the first layer that was not as expected; empty where all were."""
        for hook in self._hooks:
            hook.remove()
        return self._gated[0] if self._gated else ""

    def refuse(self) -> None:
        """Stop looking, and refuse what was not as expected.

        Raises
        ------
        UnsupportedModelError
            Naming the first layer.
        """
        if self.close():
            raise UnsupportedModelError(
                f"statistics.norm_weighted: {self._gated[0]} changes its heads' outputs before the output projection "
                f"(a gate or a norm), so that a key's weight depends on the row that looks at it and norm_mass_* would "
                f"be wrong; set statistics.norm_weighted=false"
            )


Keep = Callable[[int, int, torch.Tensor], None]
"""Takes the place of a sequence, a layer, and norm-weighted masses of its decision row ``[H, C]``."""


class GatedNorms:
    """Works out norm-weighted masses of decision rows behind each attention call of one forward, gate included.

    Parameters
    ----------
    layouts
        The sequences of the packed row.
    pattern_of
        Returns a sequence's decision row in a layer, ``[H, T]``.
    keep
        Takes what was found.
    """

    def __init__(
        self, layouts: Sequence[SequenceLayout], pattern_of: Callable[[int, int], torch.Tensor], keep: Keep
    ) -> None:
        self.layouts, self.pattern_of, self.keep = layouts, pattern_of, keep
        self._hooks: list[RemovableHandle] = []

    def __call__(self, call: AttentionCall) -> None:
        """Wait for what reaches the projection behind this call."""
        projection = output_projection(call.module)
        if projection is None:
            raise UnsupportedModelError(f"{type(call.module).__name__} has no output projection that is known")

        def weigh(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            hook.remove()
            output, given = call.output[0], inputs[0]
            if given.numel() != output.numel():
                raise UnsupportedModelError(
                    f"statistics.norm_weighted: layer {call.layer_idx} changes the size of its heads' outputs before "
                    f"the output projection; set statistics.norm_weighted=false"
                )
            given = given.reshape(output.shape)
            for place, layout in enumerate(self.layouts):
                self._weigh(place, layout.to(output.device), call, output, given)

        hook = projection.register_forward_pre_hook(weigh)
        self._hooks.append(hook)

    def _weigh(
        self, place: int, layout: SequenceLayout, call: AttentionCall, output: torch.Tensor, given: torch.Tensor
    ) -> None:
        row = layout.packed_row(layout.decision)
        before, after = output[row].float(), given[row].float()
        # A component that is 0 before the gate is 0 in every value, but for chance: whatever its gate, it adds nothing.
        gate = torch.where(before == 0, 0.0, after / before)
        value = layout.gathered(call.value[0])
        weighed = self.pattern_of(place, call.layer_idx) * value_norms(call.module, value, before.shape[0], gate)
        whole = weighed.sum(dim=-1, keepdim=True)
        masses = torch.where(whole > 0, weighed @ layout.indicators / whole, 0.0)
        self.keep(place, call.layer_idx, masses)

    def close(self) -> None:
        """Stop waiting."""
        for hook in self._hooks:
            hook.remove()
