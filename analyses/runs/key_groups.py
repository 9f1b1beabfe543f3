"""What each key group of a run is: a vocabulary category, their union, a random vocabulary, a part of the text."""

from __future__ import annotations

from analyses.runs.run import Run
from analyses.runs.vocabulary import Kind, kind_of
from engine.schema import COUNT_PREFIX, MASS_PREFIX, NORM_MASS_PREFIX

HOLDS_FIRST_TOKEN = ("first_token", "beginning", "system", "template")
"""Key groups that may contain the first token, for which a sink-free mass has no meaning."""


def of_kind(run: Run, *kinds: Kind) -> tuple[str, ...]:
    """Return the key groups of these kinds, in column order."""
    return tuple(name for name in run.key_groups if kind_of(name, run.config, run.vocabulary) in kinds)


def asked_key_groups(run: Run) -> tuple[str, ...]:
    """Return the key groups that questions are about: all but random vocabularies, which are a reference."""
    random = of_kind(run, "random")
    return tuple(name for name in run.key_groups if name not in random)


def declared_statistics(run: Run) -> tuple[str, ...]:
    """Return the statistics that are tested: the declared family, fixed before any value is looked at.

    Left out are random vocabularies (they are the reference), complements (one minus another mass) and
    ``mass_first_token`` (``first_token`` with row 0 added, which is 1 by construction). So are key groups that no
    sample holds, which is no result of the heads either.
    """
    names = *of_kind(run, "random", "complement"), *absent_key_groups(run)
    left_out = {f"{prefix}{name}" for name in names for prefix in _PREFIXES}
    left_out.add(f"{MASS_PREFIX}first_token")
    return tuple(name for name in run.statistics if name not in left_out)


def absent_key_groups(run: Run) -> tuple[str, ...]:
    """Return the key groups without a single token in any sample; one that was not counted is taken to be there."""
    counted = [name for name in run.key_groups if f"{COUNT_PREFIX}{name}" in run.samples.columns]
    # The largest of no known count is None, which is not 0.
    return tuple(name for name in counted if run.samples[f"{COUNT_PREFIX}{name}"].max() == 0)


def why_no_words(run: Run, *, of_lift: bool) -> str:
    """Return why there is no weight, or no lift, of words of the vocabulary."""
    words = of_kind(run, "union", "category")
    if not words:
        return "The run has no vocabulary."
    if of_lift and "baselines" not in run.tables:
        return "The run has no baselines table."
    if set(words) <= set(absent_key_groups(run)):
        return "No sample holds a term of the vocabulary."
    return "No value of the vocabulary's words is known."


_PREFIXES = (MASS_PREFIX, NORM_MASS_PREFIX)
