"""Whether an attention's output reaches its output projection as it is.

Norm-weighted masses weigh each key by ``||W_O v_j||``. Where a gate that depends on the query row stands between the
heads' outputs and ``W_O`` (Qwen3-Next, Qwen3.5, Laguna, BEAM), a key weighs something else in every row, and no mean
over rows says what it says elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from engine.attention.interface import AttentionCall
from engine.errors import UnsupportedModelError
from engine.model.projections import output_projection


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

    def refuse(self) -> None:
        """Stop looking, and refuse what was not as expected.

        Raises
        ------
        UnsupportedModelError
            Naming the first layer.
        """
        for hook in self._hooks:
            hook.remove()
        if self._gated:
            raise UnsupportedModelError(
                f"statistics.norm_weighted: {self._gated[0]} changes its heads' outputs before the output projection "
                f"(a gate or a norm), so that a key's weight depends on the row that looks at it and norm_mass_* would "
                f"be wrong; set statistics.norm_weighted=false"
            )
