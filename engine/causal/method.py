"""The seam of the causal methods: what a method is given and what it gives.

A method is one file in ``causal/methods`` and one in ``config/causes``, its part of the config (where the method is,
its settings, needs, costs and checks), whose field of ``CausalSection`` is its one row; where it fills a new table,
that has a schema with an entry in ``schema/causal_tables.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Protocol, TypeVar

import numpy as np
import torch

from engine.causal.circuits.edges import Edge
from engine.causal.counterfactuals import Tokenize
from engine.causal.gradients import HeadGradients, head_gradients
from engine.causal.tables import TablePart
from engine.causal.targets import Head
from engine.config.causal import CausalSection
from engine.config.causes.method import MethodSection
from engine.encoded_samples import EncodedSample
from engine.interventions.sweeps import Sweep
from engine.interventions.unchanged_run import Trace
from engine.model.decoder import Decoder


@dataclass(frozen=True, slots=True)
class CircuitInputs:
    """What circuits of all samples share.

    Attributes
    ----------
    heads
        Layer and query head of each.
    key_groups
        Names of the key groups that are sources.
    edges
        Every edge, the strongest first; empty until they are ranked.
    controls
        Random orders of those edges that start from heads, as their places among them.
    linearised
        What every edge changes s by to first order, by sample id, in the order of ``candidate_edges``; a sample that is
        not there is worked out anew.
    held_out
        Ids of the samples that verify, on which neither heads nor edges were chosen; empty: all choose and verify.
    """

    heads: Sequence[Head]
    key_groups: Sequence[str]
    edges: Sequence[Edge] = ()
    controls: Sequence[Sequence[int]] = ()
    linearised: Mapping[str, Sequence[float]] = field(default_factory=dict)
    held_out: frozenset[str] = frozenset()

    def verifies(self, sample_id: str) -> bool:
        """Whether edges are cut on real runs of a sample."""
        return not self.held_out or sample_id in self.held_out


@dataclass(frozen=True, slots=True)
class CausalInputs:
    """What was worked out over the whole dataset before single samples are explained.

    Attributes
    ----------
    means
        Mean output of every head by layer, ``[H, head_dim]``, over the rows that ``CausalSection.mean_rows`` names.
    partners
        Another sample for each, by sample id (resample ablation).
    screened
        Heads that ``heads: {top: k}`` verifies.
    matched
        The right prediction that is matched with a wrong one, by the wrong one's sample id.
    circuit
        What circuits share; only where the config asks for one.
    """

    means: Mapping[int, torch.Tensor] | None = None
    partners: Mapping[str, EncodedSample] = field(default_factory=dict)
    screened: tuple[Head, ...] = ()
    matched: Mapping[str, EncodedSample] = field(default_factory=dict)
    circuit: CircuitInputs | None = None


@dataclass(frozen=True)
class SampleRun:
    """One sample with its unchanged run, and what methods share: each is worked out once, when it is first asked for.

    Attributes
    ----------
    decoder
        The model.
    settings
        The config's section.
    sample
        The sample.
    unchanged
        Its unchanged run, up to the decision row.
    inputs
        What is known of the whole dataset.
    tokens_per_batch
        Recomputed tokens of a batch at most.
    run_unchanged
        Runs another sample unchanged; raises ``RowRejected`` where that cannot be compared.
    tokenize
        Token ids of a rendered prompt; only for parts with ``uses_tokenizer``.
    """

    decoder: Decoder
    settings: CausalSection
    sample: EncodedSample
    unchanged: Trace
    inputs: CausalInputs
    tokens_per_batch: int
    run_unchanged: Callable[[EncodedSample], Trace]
    tokenize: Tokenize | None = None

    @cached_property
    def gradients(self) -> HeadGradients:
        """All gradients of s that any part of the config reads."""
        asked = self.settings.gradients
        indicators = self._indicators() if "key_groups" in asked else None
        return head_gradients(self.decoder, self.unchanged, indicators, keeps_outputs="outputs" in asked)

    @cached_property
    def sweep(self) -> Sweep:
        """What runs interventions on the sample."""
        return Sweep(self.decoder, self.unchanged, self.tokens_per_batch)

    def _indicators(self) -> torch.Tensor:
        """Return the sample's key groups as 0/1 columns ``[T, C]``."""
        groups = self.sample.key_groups
        indicators = np.zeros((self.sample.num_tokens, len(groups)), dtype=np.float32)
        for column, positions in enumerate(groups.values()):
            indicators[positions, column] = 1.0
        return torch.from_numpy(indicators[: self.unchanged.num_tokens]).to(self.unchanged.leaving.device)


def dtype_name(decoder: Decoder) -> str:
    """Return the model's dtype as tolerances name it, such as ``bfloat16``."""
    return str(decoder.model.dtype).removeprefix("torch.")


SettingsT = TypeVar("SettingsT", bound=MethodSection, contravariant=True)


class CausalMethod(Protocol[SettingsT]):
    """Explains samples in one way, one by one.

    Attributes
    ----------
    tables
        Names of the tables that it fills, keys of ``engine.schema.CAUSAL_TABLES``.
    """

    tables: ClassVar[tuple[str, ...]]

    def explain(self, settings: SettingsT, run: SampleRun) -> Mapping[str, TablePart]:
        """Return the sample's part of every table in ``tables``.

        Raises
        ------
        RowRejected
            When the sample cannot be explained; its other methods' parts are left out too.
        """
        ...

    def check_model(self, decoder: Decoder) -> None:
        """Refuse a model that is not covered, before anything is measured.

        Raises
        ------
        UnsupportedModelError
            Naming what is not covered.
        """

    def check_run(self, decoder: Decoder, unchanged: Trace) -> None:
        """Refuse a model by the first unchanged run, in which only gross faults count.

        Raises
        ------
        UnsupportedModelError
            Saying what differs.
        """
