"""The check before measuring: what is measured equals what the model itself computes, alone and in a packed row.

At most three forwards of the checked sample: ``model(input_ids)`` as it is; the same sample through the probe, in whose
every layer the model's own eager attention answers some query rows of the same queries, keys and values; and the sample
again, behind a few tokens of itself in one row. The first two must agree, or the model is not covered. If the third
does not (recurrent state, convolutions, positions that are not looked at), samples get a row of their own. Before
samples share the rows that they begin with, one of them is compared with itself alone in the same way.

Shape legend: ``H`` query heads, ``R`` checked rows, ``T`` tokens, ``C`` key groups.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import torch
from transformers import PreTrainedModel

from engine.attention.interface import armed, wide_eager
from engine.attention.layout import SequenceLayout, packed_ids
from engine.attention.own_code import by_own_code, has_own_code
from engine.attention.visible_keys import chosen_rows
from engine.errors import UnsupportedModelError
from engine.machine.devices import fault_of, is_out_of_memory
from engine.measuring.checking.witness import Witness
from engine.measuring.forward import plain_logits
from engine.measuring.probe import Probe
from engine.model.limits import limits
from engine.tolerances import tolerance, tolerated

PREFIX = 16
"""Tokens before the sample in the packed row."""

SHORT = 1024
"""Tokens on which it is measured how far the model's own implementations lie apart."""

NOISE = 4.0
"""How many times as far as the model's own two implementations from each other the probe may lie from one of them."""

SAME_INPUTS = {"float32": 1e-3, "bfloat16": 6e-2, "float16": 2e-2}
"""Relative root mean square by which queries, keys and values may move when a sample shares its row: rounding of other
shapes of matrix products, against 6e-3 and more of recurrent state or a convolution that crosses samples."""


@dataclass(frozen=True, slots=True)
class StartCheck:
    """What the check found.

    Attributes
    ----------
    is_packed
        Whether samples share rows.
    why_unpacked
        Why they do not; empty where they do.
    sample_id, num_tokens
        The checked sample.
    largest_deviation
        Of all that was compared, over what is allowed by the bound that decided: at most 1.
    logit_deviation
        Largest deviation of the decision row's logits from those of ``model(input_ids)``.
    beyond
        The lengths of ``limits`` that the checked samples exceed.
    logits_over_tolerance
        ``logit_deviation`` over what the table of tolerances allows: above 1 where the model's own noise decided.
    bound
        What decided on the logits: the table, or how far the model's own implementations lie apart.
    is_shared
        Whether samples that begin with the same tokens share these rows; None before any that do were met.
    why_unshared
        Why they do not; empty where they do, or nobody has asked.
    """

    is_packed: bool
    why_unpacked: str
    sample_id: str
    num_tokens: int
    largest_deviation: float
    logit_deviation: float
    beyond: list[list[int]] = field(default_factory=list)
    logits_over_tolerance: float | None = None
    bound: str = ""
    is_shared: bool | None = None
    why_unshared: str = ""

    def as_record(self) -> dict[str, Any]:
        """Return the check as JSON and YAML hold it."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Return a check that was written down."""
        return cls(**record)


class SampleError(Exception):
    """The model's own forward, with nothing of ours, failed on a sample; the cause says how."""


def check(model: PreTrainedModel, probe: Probe, layout: SequenceLayout, sample_id: str, dtype: str) -> StartCheck:
    """Check one sample.

    Parameters
    ----------
    model, probe
        What is compared. ``probe.is_packed`` is left as it is.
    layout
        The sample, from position 0 on.
    sample_id
        Its name.
    dtype
        The model's.

    Returns
    -------
    StartCheck
        With NaN for deviations where the model gives NaN or infinity, with and without statistics.

    Raises
    ------
    UnsupportedModelError
        Naming layer, sample and both numbers where they differ.
    SampleError
        Where the model's own forward fails.
    """
    was_packed = probe.is_packed
    rows = chosen_rows(layout.num_tokens, limits(model.config), (layout.decision,))
    checked = replace(layout, query_weights=torch.eye(layout.num_tokens)[rows].to(layout.indicators), pattern_heads={})
    try:
        plain = plain_logits(model, layout)
    except UnsupportedModelError:
        raise
    except Exception as error:
        raise SampleError(sample_id) from error
    if not bool(torch.isfinite(plain).all()):
        _refuse_finite(probe, layout, sample_id)
        return StartCheck(was_packed, "", sample_id, layout.num_tokens, math.nan, math.nan)
    try:
        probe.is_packed = False
        alone = Witness(rows, checked, sample_id, is_local=True)
        (measured,) = probe.measure(layout.token_ids, [checked], alone)
        worst = alone.worst([layer.means for layer in measured.layers], measured.layer_numbers)
        gap = float((measured.logits - plain).abs().max())
        allowed = tolerance("logits", tolerated(dtype))
        share = over_tolerance = gap / (allowed.atol + allowed.rtol * _largest(plain))
        bound = f"the table of tolerances for {tolerated(dtype)}"
        if not share <= 1:  # written so that NaN is refused too
            share, bound = _beyond_noise(model, probe, layout, sample_id, gap)
        why = "" if was_packed else "the config says that layers carry state, or count positions, across a row"
        if was_packed:
            probe.is_packed = True
            why = _why_not_packed(probe, checked, alone, measured.logits, dtype)
    finally:
        probe.is_packed = was_packed
    return StartCheck(
        not why,
        why,
        sample_id,
        layout.num_tokens,
        max(worst, share),
        gap,
        logits_over_tolerance=over_tolerance,
        bound=bound,
    )


def _largest(logits: torch.Tensor) -> float:
    """Return the size of the largest logit, tokens left out that a model rules out by the lowest number there is."""
    kept = logits[logits > torch.finfo(torch.float32).min / 2]
    return float(kept.abs().max()) if kept.numel() else 0.0


def _refuse_finite(probe: Probe, layout: SequenceLayout, sample_id: str) -> None:
    """Refuse a model that gives numbers with statistics where it gives NaN or infinity by itself.

    Raises
    ------
    UnsupportedModelError
        Naming the sample.
    """
    was_packed, probe.is_packed = probe.is_packed, False
    try:
        (measured,) = probe.measure(layout.token_ids, [layout])
    finally:
        probe.is_packed = was_packed
    if bool(torch.isfinite(measured.logits).all()):
        raise UnsupportedModelError(
            f"by itself it gives NaN or infinity on sample {sample_id!r}, and with statistics it does not: what would "
            f"be measured is not what the model computes, and nothing was written. Try model.dtype=float32"
        )


def _why_not_packed(probe: Probe, layout: SequenceLayout, alone: Witness, logits: torch.Tensor, dtype: str) -> str:
    """Return what differs when the sample stands behind other tokens in its row; empty where nothing does."""
    size = min(PREFIX, layout.num_tokens)
    prefix = SequenceLayout(
        0, layout.token_ids[:size], layout.indicators[:size], layout.query_weights.new_zeros((1, size)), size - 1
    )
    second = replace(layout, start=size)
    return _why_moved(probe, [prefix, second], alone, logits, dtype, "in a row with another sample")


def why_not_shared(probe: Probe, alone: SequenceLayout, pair: list[SequenceLayout], sample_id: str, dtype: str) -> str:
    """Return what differs when a sample begins with rows of another one; empty where nothing does.

    Parameters
    ----------
    probe
        What is checked.
    alone
        The sample in a row of its own.
    pair
        The other one, and the sample behind it without the rows that they share.
    sample_id
        Its name.
    dtype
        The model's.
    """
    second = pair[1]
    wanted = (alone.decision, second.num_shared, (second.num_shared + alone.num_tokens) // 2, alone.num_tokens - 1)
    rows = chosen_rows(alone.num_tokens, wanted=(*wanted, max(second.num_shared - 1, 0)))
    witness = Witness(rows, alone, sample_id, is_local=False)
    (measured,) = probe.measure(alone.token_ids, [alone], witness)
    return _why_moved(probe, pair, witness, measured.logits, dtype, "with its first rows in another sample")


def _why_moved(
    probe: Probe, pair: list[SequenceLayout], alone: Witness, logits: torch.Tensor, dtype: str, where: str
) -> str:
    """Return what of the second of two sequences differs from what it is alone; empty where nothing does."""
    together = Witness(alone.rows, pair[1], alone.sample_id, is_local=False)
    try:
        found = probe.measure(packed_ids(pair), pair, together)[1]
    except UnsupportedModelError as error:
        return f"{where}: {error}"
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # alone it went well
        fault_of(error, "", "")
        if is_out_of_memory(error):
            raise
        return f"{where}, its forward fails: {type(error).__name__}: {error}"
    for layer, inputs in alone.inputs.items():
        for name, mine, shared in zip(("queries", "keys", "values"), inputs, together.inputs[layer], strict=True):
            moved = float((mine - shared).square().mean().sqrt() / mine.square().mean().sqrt().clamp(min=1e-12))
            if not moved <= SAME_INPUTS[tolerated(dtype)]:
                return (
                    f"{where}, {name} of layer {layer} move by {moved:.2g} of their size: state, "
                    f"a convolution or positions pass from one sample to the next"
                )
    allowed = tolerance("logits", tolerated(dtype))
    gap = float((found.logits - logits).abs().max())
    if dtype in ("float32", "float64") and gap > 2 * (allowed.atol + allowed.rtol * _largest(logits)):
        return f"{where}, logits move by {gap:.2g}"
    return ""


def _beyond_noise(
    model: PreTrainedModel, probe: Probe, layout: SequenceLayout, sample_id: str, gap: float
) -> tuple[float, str]:
    """Compare logits with what the model's own two attentions differ by on the sample's beginning.

    These are its eager and its sdpa attention; where it has code of its own or knows eager alone (sinks), that and the
    same in float32.

    Returns
    -------
    tuple of float and str
        The deviation over what is allowed, and that bound in words.

    Raises
    ------
    UnsupportedModelError
        With both numbers.
    """
    own = str(model.config._attn_implementation)
    end = min(layout.num_tokens, SHORT)
    short = SequenceLayout(
        0, layout.token_ids[:end], layout.indicators[:end], layout.query_weights.new_zeros((1, end)), end - 1
    )
    found: list[torch.Tensor] = []
    if has_own_code(model):
        which = "its own attention and the same in float32"
        found.append(plain_logits(model, short))
        with armed(model, by_own_code):
            found.append(plain_logits(model, short))
    else:
        which = "its own eager and sdpa attention"
        try:
            for name in ("eager", "sdpa"):
                model.set_attn_implementation(name)
                found.append(plain_logits(model, short))
        except (ValueError, ImportError):  # it knows one alone
            which = "its own eager attention and the same in float32"
        finally:
            model.set_attn_implementation(own)
        if len(found) == 1:
            with wide_eager(model):
                found.append(plain_logits(model, short))
    between = float((found[0] - found[1]).abs().max()) if len(found) == 2 else math.nan
    (measured,) = probe.measure(short.token_ids, [short])
    mine = min((float((measured.logits - logits).abs().max()) for logits in found), default=math.inf)
    share = mine / (NOISE * between) if between else math.inf
    if not share <= 1:
        raise UnsupportedModelError(
            f"with statistics, it gives logits that differ by {gap:.3g} from its own attention on sample "
            f"{sample_id!r}; on the first {end} tokens they differ by {mine:.3g}, and {which} "
            f"by {between:.3g}: its attention is not covered, and nothing was written"
        )
    return share, f"{NOISE:g} times what {which} differ by on its first {end} tokens"
