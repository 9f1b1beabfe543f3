"""Where an analyser's numbers come from: a loaded model, or patterns that were kept by whatever means.

Both give the statistics of the tables by the code that fills the tables. Kept patterns are fed to it as scores
``log A``, whose softmax is the pattern itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from engine.attention.backends.backend import LayerCall
from engine.attention.backends.blocked import attend
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import sequence_layout
from engine.attention.masking import Masking, Window
from engine.encoded_samples import EncodedSample
from engine.errors import UserError
from engine.measuring.measured import Measured
from engine.notebook.hook import LayerPatterns
from engine.notebook.workbench import MAX_BYTES, Workbench, check_bytes

_ROW_SUM = 2e-2
"""How far rows of given patterns may sum from 1: half precision rounds each of thousands of weights."""

_NO_WEIGHT = -1e4
"""``log`` of a weight of 0: small enough to vanish in softmax, and finite, since 0 times infinity is none."""


class ModelSource:
    """Measures a sample with a loaded model, layer by layer as asked for.

    Parameters
    ----------
    bench
        The model.
    encoded
        The sample.
    layers
        Layers whose whole patterns are kept from the first forward on.
    max_bytes
        Bytes of patterns at most, over all of them.
    """

    def __init__(self, bench: Workbench, encoded: EncodedSample, layers: Sequence[int], max_bytes: int = MAX_BYTES):
        self.bench, self.encoded, self.max_bytes = bench, encoded, max_bytes
        self.layer_numbers = bench.geometry.softmax_layers
        self.measured = bench.measure(encoded, tuple(dict.fromkeys(layers)), max_bytes=max_bytes)
        self.windows = self.measured.found.windows
        self.patterns = ModelPatterns(self)
        for layer in sorted(set(layers)):
            self.patterns[f"layer_{layer}"] = square(self.statistics(layer), encoded.num_tokens)

    def statistics(self, layer: int) -> LayerStatistics:
        """Return the statistics of a layer."""
        return self.measured.of_layer(layer)

    def head_pattern(self, layer: int, head: int) -> torch.Tensor:
        """Return one head's pattern ``[T, T]``, kept or measured for the occasion."""
        kept = self.patterns.get(f"layer_{layer}")
        if kept is not None:
            return kept[0, head]
        found = self.bench.measure(self.encoded, (layer,), (head,), self.max_bytes)
        return square(found.of_layer(layer), self.encoded.num_tokens)[0, 0]

    def rows(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a position's row in every layer and head ``[L, H, T]`` and its rollout ``[T]``."""
        moved = replace(self.encoded, decision_position=position)
        found = self.bench.measure(moved, with_rollout=True).found
        assert found.rollout is not None
        return torch.stack([layer.decision_pattern for layer in found.layers]).cpu(), found.rollout.cpu()


class ModelPatterns(LayerPatterns):
    """Patterns of the layers asked for; those of another are measured when it is asked for, under the same limit."""

    def __init__(self, source: ModelSource):
        super().__init__()
        self.source = source

    def __missing__(self, name: str) -> torch.Tensor:
        """Measure a layer's patterns."""
        numbers = {f"layer_{layer}": layer for layer in self.source.layer_numbers}
        if name not in numbers:
            raise KeyError(f"{name!r} is no layer of this model; its layers are layer_0 … layer_{len(numbers) - 1}")
        encoded, kept = self.source.encoded, sum(pattern.nbytes for pattern in self.values())
        heads = self.source.bench.geometry.num_heads
        check_bytes(
            kept + 4 * heads * encoded.num_tokens**2,
            self.source.max_bytes,
            f"{len(self) + 1} layer(s) x {heads} heads x {encoded.num_tokens}² tokens",
        )
        found = self.source.bench.measure(encoded, (numbers[name],), max_bytes=self.source.max_bytes)
        self[name] = square(found.of_layer(numbers[name]), encoded.num_tokens)
        return self[name]


class PatternSource:
    """Takes patterns as they are given.

    Parameters
    ----------
    patterns
        ``layer_<number>`` to ``[1, heads, T, T]``, such as ``AttentionHook.attention_weights``.
    encoded
        The tokens.

    Raises
    ------
    UserError
        When they are of several texts, of another length, or no patterns.
    """

    def __init__(self, patterns: Mapping[str, torch.Tensor], encoded: EncodedSample):
        self.encoded = encoded
        found = {_layer_number(name): pattern for name, pattern in patterns.items()}
        if not found:
            raise UserError("attention_weights: holds no layer; run the model inside the hook before analysing.")
        self.layer_numbers = tuple(sorted(found))
        self.windows: tuple[Window, ...] = (None,) * len(found)
        self.patterns = LayerPatterns()
        for layer in self.layer_numbers:
            self.patterns[f"layer_{layer}"] = _checked(f"layer_{layer}", found[layer], encoded.num_tokens)
        self._statistics: dict[int, LayerStatistics] = {}

    @property
    def measured(self) -> None:
        """No forward was made: logits are not known."""
        return

    def statistics(self, layer: int) -> LayerStatistics:
        """Return the statistics of a layer."""
        if layer not in self._statistics:
            self._statistics[layer] = self._reduced(layer, self.encoded)
        return self._statistics[layer]

    def _reduced(self, layer: int, encoded: EncodedSample) -> LayerStatistics:
        pattern = self.patterns[f"layer_{layer}"][0]
        scores = pattern.log().clamp(min=_NO_WEIGHT)
        keys = torch.eye(pattern.shape[-1])[None]
        nothing = torch.zeros((1, pattern.shape[-1], 1))
        layout = sequence_layout(encoded, 0, torch.device("cpu"))
        return attend(LayerCall(scores, keys, nothing, Masking(1.0), layer), layout)[1]

    def head_pattern(self, layer: int, head: int) -> torch.Tensor:
        """Return one head's pattern ``[T, T]``."""
        return self.patterns[f"layer_{layer}"][0, head]

    def rows(self, position: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return a position's row in every kept layer ``[L, H, T]``, and its rollout if all from 0 are."""
        rows = torch.stack([self.patterns[f"layer_{layer}"][0, :, position] for layer in self.layer_numbers])
        if self.layer_numbers != tuple(range(len(self.layer_numbers))):
            return rows, None
        share = torch.zeros(rows.shape[-1], dtype=torch.float64)
        share[position] = 1
        for layer in reversed(self.layer_numbers):
            mean = self.patterns[f"layer_{layer}"][0].double().mean(dim=0)
            share = (share + share @ mean) / 2
        return rows, share.float()


Source = ModelSource | PatternSource


def square(statistics: LayerStatistics, num_tokens: int) -> torch.Tensor:
    """Return a layer's kept triangles as ``[1, heads, T, T]`` on the CPU."""
    rows, columns = torch.tril_indices(num_tokens, num_tokens)
    full = torch.zeros((1, len(statistics.patterns), num_tokens, num_tokens))
    for place, head in enumerate(sorted(statistics.patterns)):
        full[0, place, rows, columns] = statistics.patterns[head].float().cpu()
    return full


def table_source(source: Source) -> Measured:
    """Return what the writers of tables take; logits are empty where no forward was made."""
    from engine.measuring.sequences import SequenceMeasurement

    if source.measured is not None:
        return source.measured
    layers = [source.statistics(layer) for layer in source.layer_numbers]
    return Measured(source.encoded, SequenceMeasurement(torch.empty(0), layers, source.windows, source.layer_numbers))


def _layer_number(name: str) -> int:
    number = str(name).removeprefix("layer_")
    if not number.isdigit():
        raise UserError(f"attention_weights: {name!r} is no layer; names are layer_0, layer_1, and so on.")
    return int(number)


def _checked(name: str, pattern: torch.Tensor, num_tokens: int) -> torch.Tensor:
    given = torch.as_tensor(np.asarray(pattern) if not isinstance(pattern, torch.Tensor) else pattern).detach()
    if given.dim() != 4 or given.shape[0] != 1 or given.shape[2:] != (num_tokens, num_tokens):
        raise UserError(
            f"attention_weights[{name!r}]: has the shape {list(given.shape)}; one text of {num_tokens} tokens has "
            f"[1, heads, {num_tokens}, {num_tokens}]. Of a batch, give one text without its padding."
        )
    given = given.float().cpu()
    error = float((given.sum(dim=-1) - 1).abs().max())
    if not error <= _ROW_SUM or bool((given < 0).any()) or bool(given.triu(1).any()):
        raise UserError(
            f"attention_weights[{name!r}]: are no causal patterns without padding: rows must sum to 1 (they miss it by "
            f"{error:.2g}), weights must not be negative, and no row may look ahead."
        )
    return given
