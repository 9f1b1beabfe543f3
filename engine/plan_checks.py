"""What a plan refuses before anything is measured: layers, heads, key groups, samples and tokens that are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.config import Config
from engine.errors import ConfigError
from engine.plan import ModelFacts, Unit


def check_layers(config: Config, facts: ModelFacts) -> None:
    """Refuse layers and heads that the model does not have.

    Raises
    ------
    ConfigError
        Naming the config path, the value and the allowed range.
    """
    wanted = config.statistics.patterns
    named = [] if wanted is None else [
        *((f"statistics.patterns.layers[{index}]", "layer", value) for index, value in enumerate(wanted.layers)),
        *((f"statistics.patterns.heads[{index}]", "head", value) for index, value in enumerate(wanted.heads)),
    ]  # fmt: skip
    for key, heads in config.causal.listed_heads():
        for index, pair in enumerate(heads):
            named += [(f"{key}[{index}]", kind, value) for kind, value in zip(("layer", "head"), pair, strict=True)]
    for key, kind, value in named:
        number = facts.num_layers if kind == "layer" else facts.num_heads
        if number is not None and not 0 <= value < number:
            raise ConfigError(f"{key}: {kind} {value} is outside 0..{number - 1} for this model ({number} {kind}s).")


def check_knockout(config: Config, key_groups: Sequence[str]) -> None:
    """Refuse to knock out key groups that the run does not have.

    Raises
    ------
    ConfigError
        Naming the config path and the key groups there are.
    """
    wanted = config.causal.knockout.key_groups if config.causal.knockout is not None else []
    for index, name in enumerate(wanted):
        if name not in key_groups:
            raise ConfigError(
                f"causal.knockout.key_groups[{index}]: {name!r} is no key group of this run; there are "
                f"{', '.join(key_groups)}."
            )


def check_vocabulary(facts: ModelFacts, unit: Unit) -> None:
    """Refuse a tokenizer whose ids the model does not know.

    Raises
    ------
    ConfigError
        Naming the id and the model's vocabulary.
    """
    largest = max(int(sample.input_ids.max()) for batch in unit.batches for sample in batch)
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
