"""Features of probes by kind: what each preset of ``analysis.decodability.presets`` takes from every head.

========== ===========================================================================================================
entropy    Rényi-2 entropy, -log of ``collision`` (head entropy probe, 2602.13699); of a group of several rows, of their
           mean collision
lookback   ``lookback_ratio``; where the run has none, the attention to what is not the answer, 1 - ``mass_response``:
           prompt and answer are all there is (Lookback Lens, 2407.07071)
received   sink score and what the keys that receive most receive, by rank (SinkProbe, 2604.10697)
masses     attention to every key group of the declared statistics
usual      what ``analysis.decodability.statistics`` takes when it names none
========== ===========================================================================================================
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.questions.decodability.features import HeadFeatures, head_features, places_of
from analyses.runs.key_groups import declared_statistics
from analyses.runs.run import Run
from analyses.runs.values import statistic_blocks
from analyses.settings.decodability import DecodabilitySettings, Preset
from engine.schema import MASS_PREFIX

RECEIVED = "received"
"""The preset that is of all rows of a text, whatever the query group."""

ALL_ROWS = "all"
"""What stands for the query group of that preset."""

BEFORE = ("prompt", "thinking")
"""Query groups whose rows lie before the answer."""

NUM_RECEIVED = 5
"""Keys that receive most, per head."""

_HEADS, _KEYS = "received_heads", "received_keys"
_LOOKBACK, _ANSWER = "lookback_ratio", f"{MASS_PREFIX}response"


def asked_probes(choices: DecodabilitySettings) -> list[tuple[Preset, str]]:
    """Return every preset with every query group; one that is of all rows comes once."""
    asked: dict[tuple[Preset, str], None] = {}
    for preset in choices.presets:
        for group in choices.preset_query_groups:
            asked[preset, ALL_ROWS if preset == RECEIVED else group] = None
    return list(asked)


def preset_features(run: Run, preset: Preset, query_group: str) -> HeadFeatures:
    """Return a preset's features of every head for one query group, or why there are none."""
    if preset == RECEIVED:
        return _received(run)
    if query_group not in run.query_groups:
        return _none(run, f"this run has no query group {query_group!r}; it has {', '.join(run.query_groups)}")
    if preset == "usual":
        return head_features(run, DecodabilitySettings(query_group=query_group))
    if preset == "masses":
        masses = tuple(name for name in declared_statistics(run) if name.startswith(MASS_PREFIX))
        if not masses:
            return _none(run, "this run has no attention to key groups")
        return head_features(run, DecodabilitySettings(query_group=query_group, statistics=masses))
    if preset == "entropy":
        return _entropy(run, query_group)
    return _lookback(run, query_group)


def _entropy(run: Run, query_group: str) -> HeadFeatures:
    values = _statistic(run, query_group, "collision")
    if values is None:
        return _none(run, "this run has no statistic 'collision'")
    with np.errstate(divide="ignore"):
        entropy = -np.log(np.where(values > 0, values, np.nan))
    return HeadFeatures(entropy, [f"{place} Rényi-2 entropy" for place in places_of(run)])


def _lookback(run: Run, query_group: str) -> HeadFeatures:
    values = _statistic(run, query_group, _LOOKBACK)
    if values is None:
        answered = _statistic(run, query_group, _ANSWER)
        if answered is None:
            return _none(run, f"this run has neither {_LOOKBACK!r} nor {_ANSWER!r}")
        values = 1 - answered
    return HeadFeatures(values, [f"{place} lookback ratio" for place in places_of(run)])


def _statistic(run: Run, query_group: str, name: str) -> np.ndarray | None:
    """Return one statistic of every head, float64 ``[samples, heads]``; None where the run has none of that name."""
    if name not in run.statistics:
        return None
    (_, block) = next(iter(statistic_blocks(run, query_group, (name,))))
    return block[:, 0].astype(np.float64)


def _received(run: Run) -> HeadFeatures:
    """Return sink scores, and what the keys of the first ranks receive; over all rows of a text."""
    if _HEADS not in run.tables or _KEYS not in run.tables:
        return _none(run, f"this run has no tables {_HEADS} and {_KEYS} (statistics.received)")
    ranked = pl.col("rank") < NUM_RECEIVED
    sinks = run.tables[_HEADS].select("sample_id", "layer", "head", rank=pl.lit(-1), value="sink_score").collect()
    keys = run.tables[_KEYS].filter(ranked).select("sample_id", "layer", "head", "rank", value="received").collect()
    values = np.full((len(run.samples), 1 + NUM_RECEIVED, run.num_layers * run.num_heads), np.nan)
    for frame in (sinks, keys):
        known = frame.with_columns(
            row=frame["sample_id"].replace_strict(run.rows_of, default=None, return_dtype=pl.Int64)
        ).drop_nulls(["row", "value"])
        place = (known["layer"] * run.num_heads + known["head"]).to_numpy()
        values[known["row"].to_numpy(), known["rank"].to_numpy() + 1, place] = known["value"].to_numpy()
    what = ["sink score", *(f"received by its key of rank {rank}" for rank in range(NUM_RECEIVED))]
    names = [f"{place} {text}" for text in what for place in places_of(run)]
    return HeadFeatures(values.reshape(len(values), -1), names)


def _none(run: Run, problem: str) -> HeadFeatures:
    return HeadFeatures(np.zeros((len(run.samples), 0)), [], problem)


def preset_label(preset: str) -> str:
    """Return what a preset's statistics are called in a sentence."""
    return {
        "entropy": "entropy (Rényi-2)",
        "lookback": "lookback ratios",
        "received": "what keys receive",
        "masses": "attention to key groups",
        "usual": "usual statistics",
    }[preset]
