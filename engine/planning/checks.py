"""What a plan refuses before anything is measured: layers, heads, key groups, samples and tokens that are not there."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config import Config
from engine.config.causes.method import RunFacts, check_heads, check_index
from engine.errors import ConfigError
from engine.model.facts import ModelFacts
from engine.planning.planned_samples import PlannedSample
from engine.planning.units import Unit


def check_layers(config: Config, facts: ModelFacts) -> None:
    """Refuse layers and heads that the model does not have.

    Raises
    ------
    ConfigError
        Naming the config path, the value and the allowed range.
    """
    known = RunFacts(facts.num_layers, facts.num_heads, headless_layers=facts.headless_layers)
    wanted = config.statistics.patterns
    if wanted is not None:
        for index, layer in enumerate(wanted.layers):
            check_index(f"statistics.patterns.layers[{index}]", "layer", layer, known)
            check_heads(f"statistics.patterns.layers[{index}]", layer, known)
        for index, head in enumerate(wanted.heads):
            check_index(f"statistics.patterns.heads[{index}]", "head", head, known)
    config.causal.check(known)


def check_vocabulary(facts: ModelFacts, unit: Unit[PlannedSample]) -> None:
    """Refuse a tokenizer whose ids the model does not know.

    Raises
    ------
    ConfigError
        Naming the id and the model's vocabulary.
    """
    largest = max(sample.largest_id for batch in unit.batches for sample in batch)
    if facts.vocab_size is not None and largest >= facts.vocab_size:
        raise ConfigError(
            f"model.tokenizer: the tokenizer gives token id {largest}, but the model knows ids 0.."
            f"{facts.vocab_size - 1}; tokenizer and model do not belong together."
        )


def kept_samples(config: Config) -> list[tuple[str, str]]:
    """Return config key and sample id of every sample that the config names to be kept in more detail."""
    rows, patterns = config.statistics.decision_rows, config.statistics.patterns
    named = {
        "decision_rows": rows if isinstance(rows, list) else [],
        "patterns.samples": patterns.samples if patterns else [],
    }
    return [
        (f"statistics.{key}[{index}]", sample_id) for key, ids in named.items() for index, sample_id in enumerate(ids)
    ]


def check_kept_samples(config: Config, lengths: Mapping[str, int]) -> None:
    """Refuse rows and patterns of unknown samples, and patterns above their byte limit.

    Parameters
    ----------
    config
        The run's config.
    lengths
        Tokens of each sample that the config names, by id; absent where it will not be measured.

    Raises
    ------
    ConfigError
        Naming the sample, or the bytes needed and allowed.
    """
    for key, sample_id in kept_samples(config):
        if sample_id not in lengths:
            raise ConfigError(f"{key}: no sample {sample_id!r} will be measured.")
    wanted = config.statistics.patterns
    if wanted is None:
        return
    num_patterns = len(set(wanted.layers)) * len(set(wanted.heads))
    needed = sum(lengths[s] * (lengths[s] + 1) for s in set(wanted.samples)) * num_patterns
    if needed > wanted.max_bytes:
        raise ConfigError(
            f"statistics.patterns: these patterns take {needed:,} bytes, max_bytes allows {wanted.max_bytes:,}: "
            f"name fewer samples, layers or heads, or raise statistics.patterns.max_bytes."
        )
