"""The one number per sample that a hypothesis asks about: see ``settings.hypotheses``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.runs.key_groups import of_kind
from analyses.runs.lifts import mean_without_gaps
from analyses.runs.run import Run
from analyses.runs.values import baseline_values, statistic_blocks
from analyses.settings.hypotheses import Hypothesis
from analyses.wording import count_text, key_group_label, query_group_label, statistic_label, statistic_unit
from engine.schema import MASS_PREFIX

FLOOR = 1e-6
"""Attention is taken to be between this and one minus this where a logarithm is taken; how often it was not is told."""


class CannotTestError(Exception):
    """Why a hypothesis cannot be tested on this run; shown in the note."""


@dataclass(frozen=True)
class SampleNumbers:
    """One number per sample.

    Attributes
    ----------
    values
        ``[samples]``, NaN where unknown.
    words, unit
        What it is.
    notes
        What was left out or clamped.
    shares
        ``[samples]``: the same as a share of attention, as charts draw it; None where it is no share of attention.
    layers
        ``[samples, layers]``: the same of each layer that is averaged; None where layers are compared with one another.
    halves
        ``[samples]``: of a slope, the later half of its layers minus the earlier half, as charts draw it; else None.
    """

    values: np.ndarray
    words: str
    unit: str
    notes: list[str]
    shares: np.ndarray | None = None
    layers: np.ndarray | None = None
    halves: np.ndarray | None = None


def sample_numbers(run: Run, hypothesis: Hypothesis) -> SampleNumbers:
    """Return the number of every sample.

    Raises
    ------
    CannotTestError
        When the run lacks what is asked about.
    """
    notes: list[str] = []
    values = _layer_values(run, hypothesis, hypothesis.key_group, notes)
    if hypothesis.versus is not None:
        values = values - _layer_values(run, hypothesis, hypothesis.versus, notes)
    chosen = _layer_range(hypothesis, run.num_layers)
    # A layer that no sample has is left out of everybody's number; a sample that lacks another one has none.
    exists = ~np.isnan(values).all(axis=0)
    numbers = _over_layers(values, hypothesis.contrast, exists & chosen, exists & ~chosen)
    if num_unknown := int(np.isnan(numbers).sum()):
        notes.append(f"{count_text(num_unknown, 'sample')} without a value left out")
    own = statistic_unit(hypothesis.statistic or MASS_PREFIX)
    own = "on a scale from 0 to 1" if own == "0 to 1" else own
    unit = {"log_odds": "log-odds", "lift": "times uniform attention"}.get(hypothesis.scale, own)
    per_layer = " per layer" if hypothesis.contrast == "slope" else ""
    inside, outside = exists & chosen, exists & ~chosen
    shares = values if hypothesis.scale == "value" else _shares(run, hypothesis)
    is_share = hypothesis.statistic is None or statistic_unit(hypothesis.statistic) == "share of attention"
    halves = None
    if hypothesis.contrast == "slope":
        drawn = shares if is_share else values
        notes.extend(_out_of_order(drawn, inside))
        halves = _later_minus_earlier(drawn, inside)
    return SampleNumbers(
        numbers,
        _in_words(run, hypothesis, np.flatnonzero(chosen)),
        f"{unit}{per_layer}",
        notes,
        shares=_over_layers(shares, hypothesis.contrast, inside, outside) if is_share else None,
        layers=values[:, inside] if hypothesis.contrast in ("difference", "versus") else None,
        halves=halves,
    )


def _shares(run: Run, hypothesis: Hypothesis) -> np.ndarray:
    """Return ``[samples, layers]``: attention as it is, whatever scale is tested."""
    plain = hypothesis.model_copy(update={"scale": "value"})
    values = _layer_values(run, plain, hypothesis.key_group, [])
    return values if hypothesis.versus is None else values - _layer_values(run, plain, hypothesis.versus, [])


def _over_layers(values: np.ndarray, contrast: str, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return ``[samples]`` from ``[samples, layers]``."""
    if not inside.any():
        raise CannotTestError("no sample has a value")
    if contrast == "slope":
        layers = np.flatnonzero(inside).astype(np.float64)
        if len(layers) < 2:
            raise CannotTestError("a slope needs at least two layers")
        distance = layers - layers.mean()
        return values[:, inside] @ distance / (distance @ distance)
    mean = values[:, inside].mean(axis=1)
    if contrast != "layers":
        return mean
    if not outside.any():
        raise CannotTestError("there is no other layer to compare with")
    return mean - values[:, outside].mean(axis=1)


def _later_minus_earlier(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return ``[samples]`` from ``[samples, layers]``; of an odd number of layers the middle one counts for neither."""
    layers = np.flatnonzero(inside)
    half = len(layers) // 2
    return values[:, layers[-half:]].mean(axis=1) - values[:, layers[:half]].mean(axis=1)


def _out_of_order(values: np.ndarray, inside: np.ndarray) -> list[str]:
    """Say where ``[samples, layers]`` is largest and smallest, as charts show it, where layers do not rise or fall."""
    layers, means = np.flatnonzero(inside), np.nanmean(values[:, inside], axis=0)
    if len({np.sign(step) for step in np.diff(means)} - {0.0}) < 2:
        return []
    most, least = layers[means.argmax()], layers[means.argmin()]
    return [
        f"this is a trend, not a change from every layer to the next: the mean is highest in layer {most} and lowest "
        f"in layer {least}"
    ]


def _layer_range(hypothesis: Hypothesis, num_layers: int) -> np.ndarray:
    """Return ``[layers]`` booleans."""
    first, last = hypothesis.layers
    first = 0 if first is None else first + num_layers * (first < 0)
    last = num_layers - 1 if last is None else last + num_layers * (last < 0)
    for bound in (first, last):
        if not 0 <= bound < num_layers:
            raise CannotTestError(f"layer {bound} is outside 0..{num_layers - 1} of this model")
    if last < first:
        raise CannotTestError(f"layers {first} to {last} are none")
    layers = np.arange(num_layers)
    return (layers >= first) & (layers <= last)


def _layer_values(run: Run, hypothesis: Hypothesis, key_group: str | None, notes: list[str]) -> np.ndarray:
    """Return the average head's value ``[samples, layers]``, NaN where unknown."""
    if hypothesis.query_group not in run.query_groups:
        known = ", ".join(run.query_groups)
        raise CannotTestError(f"this run has no query group {hypothesis.query_group!r}; it has {known}")
    name = hypothesis.statistic or f"{MASS_PREFIX}{_key_group(run, key_group)}"
    if name not in run.statistics:
        raise CannotTestError(f"this run has no statistic {name!r}; it has {', '.join(run.statistics)}")
    ((_, block),) = statistic_blocks(run, hypothesis.query_group, (name,))
    heads = block[:, 0].astype(np.float64).reshape(len(block), run.num_layers, run.num_heads)
    values = mean_without_gaps(heads, axis=2)
    if hypothesis.scale == "value":
        return values
    group = name.removeprefix(MASS_PREFIX)
    baseline = baseline_values(run, hypothesis.query_group, group)
    if baseline is None:
        raise CannotTestError(f"this run has no baseline of {group!r}; `scale: value` needs none")
    baseline = np.where(baseline > 0, np.broadcast_to(baseline, values.shape), np.nan)
    if hypothesis.scale == "lift":
        return values / baseline
    known = ~np.isnan(values) & ~np.isnan(baseline)
    num_clamped = int((known & (_is_outside(values) | _is_outside(baseline))).sum())
    if num_clamped:
        notes.append(f"{num_clamped:,} of {int(known.sum()):,} log-odds of {name} clamped at {FLOOR:g}")
    return _logit(values) - _logit(baseline)


def _is_outside(share: np.ndarray) -> np.ndarray:
    return (share < FLOOR) | (share > 1 - FLOOR)


def _logit(share: np.ndarray) -> np.ndarray:
    inside = np.clip(share, FLOOR, 1 - FLOOR)
    return np.log(inside / (1 - inside))


def _key_group(run: Run, key_group: str | None) -> str:
    """Return the run's name of a key group: ``vocabulary`` is the union of its categories."""
    name = run.vocabulary if key_group == "vocabulary" else str(key_group)
    if name is None:
        raise CannotTestError("this run has no key group that is its whole vocabulary")
    if name not in run.key_groups:
        random = of_kind(run, "random")
        known = ", ".join(group for group in run.key_groups if group not in random)
        raise CannotTestError(f"this run has no key group {name!r}; it has {known}")
    return name


def _in_words(run: Run, hypothesis: Hypothesis, layers: np.ndarray) -> str:
    rows = query_group_label(hypothesis.query_group)
    if hypothesis.statistic is not None:
        thing = f"{statistic_label(hypothesis.statistic).lower()} of the {rows}"
    else:
        scale = {"log_odds": "log-odds (against uniform attention) of the ", "lift": "lift of the "}
        label = key_group_label(_key_group(run, hypothesis.key_group))
        thing = f"{scale.get(hypothesis.scale, '')}attention of the {rows} to {label}"
    if hypothesis.versus is not None:
        thing += f" minus that to {key_group_label(_key_group(run, hypothesis.versus))}"
    span = f"layers {layers[0]} to {layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"
    how = {"slope": f"slope over {span} of", "layers": f"{span} minus all other layers:"}
    return f"{how.get(hypothesis.contrast, f'mean over {span} of')} {thing}, average head"
