"""Which samples are checked before a run measures others: one of each regime of lengths, or nothing is measured."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from transformers import PreTrainedModel

from engine.attention.layout import sequence_layout
from engine.encoded_samples import EncodedSample
from engine.errors import ConfigError, RunFailedError, UnsupportedModelError
from engine.machine.devices import fault_of, free_memory
from engine.measuring.checking.start_check import SampleError, StartCheck, check, why_not_shared
from engine.measuring.checking.stores import CheckStore, Unshared
from engine.measuring.probe import Probe
from engine.measuring.unit_results import UnitProgress
from engine.model.limits import limits, regime
from engine.model.placement import input_device
from engine.samples import Reject
from engine.shared_prefixes import placements

logger = logging.getLogger(__name__)

_MOST_TRIES = 3
"""Samples that are tried where the first ones are at fault themselves."""


class Checker:
    """Checks one sample of each regime of lengths (``model.limits``) before any other of it is measured.

    Parameters
    ----------
    model, probe
        What is compared.
    path
        What the config calls the model.

    Attributes
    ----------
    store
        Where the check is written down for other replicas and later parts of the run.
    found
        What it found; None before the first unit.
    """

    def __init__(self, model: PreTrainedModel, probe: Probe, path: str):
        self.model, self.probe, self.path = model, probe, path
        self.store: CheckStore = Unshared()
        self.found: StartCheck | None = None
        self._checked: set[tuple[int, ...]] = set()

    def check(self, samples: Sequence[EncodedSample], isolated: Collection[str], progress: UnitProgress) -> None:
        """Check what has not been checked yet in this run.

        This is what catches any kind of attention that the probe does not reproduce, whatever the model, and decides
        whether samples share rows. A sample that is itself at fault is left to its own forward where another of its
        regime could be checked, and is rejected where it has a regime to itself.

        Parameters
        ----------
        samples
            The unit's.
        isolated
            Samples that may have killed a process; they are checked where their regime has no others.
        progress
            Told which sample is in flight, and takes rejects.

        Raises
        ------
        RunFailedError
            Where model and statistics differ, or where no check could be made.
        """
        sizes = limits(self.model.config)
        by_regime: dict[tuple[int, ...], list[EncodedSample]] = {}
        for sample in sorted(samples, key=lambda sample: -sample.num_tokens):
            by_regime.setdefault(regime(sample.num_tokens, sizes), []).append(sample)
        for beyond, members in by_regime.items():
            if beyond in self._checked:
                continue
            unsuspected = [sample for sample in members if sample.sample_id not in isolated]
            with self.store.turn() as known:
                if known is not None:
                    self._adopt(known)
                if beyond not in self._checked:
                    self._check_regime(beyond, unsuspected or members, progress)

    def check_shared(self, first: EncodedSample, second: EncodedSample) -> None:
        """Check once in a run, on two samples that begin with the same tokens, that they may share these rows.

        Parameters
        ----------
        first, second
            The second shares rows of the first, which is at least as long.
        """
        if self.found is None or self.found.is_shared is not None:
            return
        with self.store.turn() as known:
            if known is not None:
                self._adopt(known)
            if self.found.is_shared is None:
                why = self._why_unshared(first, second)
                if why:
                    logger.info("samples do not share the tokens that they begin with: %s", why)
                self._adopt(replace(self.found, is_shared=not why, why_unshared=why))
                self.store.write(self.found)

    def _why_unshared(self, first: EncodedSample, second: EncodedSample) -> str:
        dtype = str(self.model.dtype).removeprefix("torch.")
        device = input_device(self.model)
        places = placements([first.input_ids, second.input_ids])
        pair = [
            sequence_layout(sample, place.start, device, prefix=place.prefix)
            for sample, place in zip((first, second), places, strict=True)
        ]
        try:
            return why_not_shared(self.probe, pair[1].alone(), pair, second.sample_id, dtype)
        except Exception as error:  # they are measured apart then, where a fault of theirs is found
            fault = fault_of(error, "measurement_failed", f"sample {second.sample_id}")
        free_memory(device)
        return f"the check of it failed ({fault[0]}: {fault[1]})"

    def _check_regime(
        self, beyond: tuple[int, ...], candidates: Sequence[EncodedSample], progress: UnitProgress
    ) -> None:
        """Check the first candidate that can be, the longest first."""
        faults: list[Reject] = []
        for sample in candidates[:_MOST_TRIES]:
            progress.watch([sample.sample_id])
            found = self._try(sample)
            if isinstance(found, StartCheck):
                self._keep(found, beyond, sample)
                return
            # Outside of the handler: the exception's frames hold the tensors of the forward that did not fit.
            free_memory(input_device(self.model))
            faults.append(found)
        if len(candidates) > len(faults):
            told = "; ".join(f"{fault.sample_id!r} ({fault.reason}): {fault.detail}" for fault in faults)
            raise RunFailedError(
                f"model.path: {self.path!r}: the check before measuring could be made on none of {len(faults)} samples "
                f"that were tried, and nothing is measured unchecked: {told}"
            )
        progress.rejects += faults

    def _try(self, sample: EncodedSample) -> StartCheck | Reject:
        """Return a check, or why the sample itself could not be checked.

        Raises
        ------
        RunFailedError
            Where model and statistics differ, or the check fails in any other way than by the sample.
        DeviceLost
            Where the device cannot be used any more.
        """
        dtype = str(self.model.dtype).removeprefix("torch.")
        try:
            layout = sequence_layout(sample, 0, input_device(self.model))
            found = check(self.model, self.probe, layout, sample.sample_id, dtype)
        except UnsupportedModelError as error:
            raise RunFailedError(f"model.path: {self.path!r}: {error}.") from None
        except ConfigError:
            raise
        except SampleError as failed:
            error = failed.__cause__
            assert isinstance(error, Exception)
            fault = fault_of(error, "measurement_failed", f"sample {sample.sample_id}")
        except Exception as error:
            fault = fault_of(error, "", f"sample {sample.sample_id}")
            if not fault[0]:
                raise RunFailedError(
                    f"model.path: {self.path!r}: the check before measuring failed on sample {sample.sample_id!r} "
                    f"({sample.num_tokens} tokens), which the model itself takes: {fault[1]}. Nothing is measured "
                    f"unchecked; this is a fault of this program, or of the model's code, and not of the sample."
                ) from error
        else:
            if math.isfinite(found.logit_deviation):
                return found
            fault = ("not_finite", "The model gives NaN or infinity; try model.dtype=float32.")
        return Reject(sample.sample_id, "measure", *fault)

    def _keep(self, found: StartCheck, beyond: tuple[int, ...], sample: EncodedSample) -> None:
        """Go by a check from now on, and write it down.

        Raises
        ------
        RunFailedError
            Where it contradicts what this run was decided to do.
        """
        before = self.found
        if before is not None and found.is_packed != self.probe.is_packed:
            raise RunFailedError(
                f"model.path: {self.path!r}: samples share rows in this run, and sample {sample.sample_id!r} "
                f"({sample.num_tokens} tokens) shows that they must not: {found.why_unpacked}. Measure again under "
                f"another run.name with cluster.tokens_per_batch=1, which gives every sample a row of its own."
            )
        if before is None and found.why_unpacked:
            logger.info("every sample gets a forward of its own: %s", found.why_unpacked)
        worst = found if before is None or found.largest_deviation > before.largest_deviation else before
        regimes = [*([] if before is None else before.beyond), list(beyond)]
        shared = {} if before is None else {"is_shared": before.is_shared, "why_unshared": before.why_unshared}
        packed = {"is_packed": found.is_packed, "why_unpacked": found.why_unpacked}
        self._adopt(replace(worst, beyond=regimes, **packed, **shared))
        assert self.found is not None
        self.store.write(self.found)

    def _adopt(self, found: StartCheck) -> None:
        """Go by a check, this replica's or another's."""
        self.found, self.probe.is_packed = found, found.is_packed
        self._checked |= {tuple(beyond) for beyond in found.beyond}
